"""`validate`: everything that is wrong with a document."""

import json
import os

import typer

from agent.errors import Invalid
from agent.intent import guard, parse_intent, schema, warnings
from agent.model import faults, observed
from agent.model.intent import Intent
from agent.yamldoc.faultlist import printable

# ---- `schema`: the form of the document, for editors


def show_schema() -> None:
    """Print the JSON Schema of the document."""
    typer.echo(json.dumps(schema.json_schema(), indent=2))


def show_validity(name: str, raw: bytes) -> None:
    """Print every fault of the document, or its warnings and what it asks for. Raises Invalid when it has faults."""
    document = parse(name, raw, revision=0, to_stderr=False)
    assert document.intent is not None
    for warning in document.warnings:
        typer.echo(f"{name}: {painted('warning', 'yellow')}: {warning}")
    typer.echo(f"{name}: {painted('valid', 'green')}: {_extent(document.intent)}")


def show_whether_it_waits(name: str, raw: bytes, accepted_name: str, accepted: bytes) -> None:
    """Print whether the document would wait for a confirmation were the other accepted one. Raises Invalid."""
    before = parse(accepted_name, accepted, revision=0, to_stderr=False)
    after = parse(name, raw, revision=0, to_stderr=False)
    guarded = guard.guarding(observed.ClusterState(revision=0, document=after, accepted=before.intent))
    if guarded is None:
        typer.echo(f"{name}: would not wait for a confirmation")
        return
    word, taken = guarded
    typer.echo(f"{name}: {painted('would wait', 'yellow')} for x-cluster.policy.confirm: {word}")
    typer.echo(f"{name}: it would take away {taken}")


def parse(name: str, raw: bytes, *, revision: int, to_stderr: bool) -> observed.Document:
    """The document as if it had been put at etcd's `revision`; its intent is there.

    Raises Invalid, saying how many, after printing all faults if it has any.
    """
    try:
        intent = parse_intent(raw, revision)
    except faults.InvalidDocument as error:
        for fault in error.faults:
            typer.echo(f"{name}: {painted(fault, 'red')}", err=to_stderr)
        raise Invalid(f"{name} is not valid: {counted(len(error.faults), 'fault')}") from error
    return observed.Document(revision=revision, intent=intent, warnings=warnings(intent), text=raw.decode())


def _extent(intent: Intent) -> str:
    replicas = counted(sum(service.replica_count for service in intent.services), "replica", "replicas")
    return f"{counted(len(intent.hosts), 'host')}, {counted(len(intent.services), 'service')}, {replicas}"


# ---- Words for a terminal. Colours reach terminals only, and not those of people who set NO_COLOR


def painted(text: object, colour: str | None = None, *, bold: bool = False, dim: bool = False) -> str:
    """`text`, be it anybody's words, for a terminal; `typer.echo` takes the colours away again where there is none."""
    shown = printable(str(text))
    if os.environ.get("NO_COLOR"):
        return shown
    return typer.style(shown, fg=colour, bold=bold or None, dim=dim or None)


def counted(count: int, one: str, many: str | None = None) -> str:
    """`1 step`, `2 steps`."""
    return f"{count} {one if count == 1 else many or f'{one}s'}"
