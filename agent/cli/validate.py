"""The commands `validate` (the faults of a document) and `schema` (the JSON Schema of all documents)."""

import json
import os

import typer

from agent.errors import Invalid
from agent.intent import guard, parse_intent, schema, warnings
from agent.model import faults, observed
from agent.model.intent import Intent
from agent.model.phrases import counted
from agent.yamldoc.faultlist import printable


def show_schema() -> None:
    """Print the JSON Schema of the document."""
    typer.echo(json.dumps(schema.json_schema(), indent=2))


def show_validity(name: str, raw: bytes) -> None:
    """Print the warnings of a valid document and its number of hosts, services and replicas. Raises as `parse` does."""
    document = parse(name, raw, revision=0, to_stderr=False)
    assert document.intent is not None
    for warning in document.warnings:
        typer.echo(f"{name}: {painted('warning', 'yellow')}: {warning}")
    typer.echo(f"{name}: {painted('valid', 'green')}: {_extent(document.intent)}")


def show_confirmation(name: str, raw: bytes, accepted_name: str, accepted: bytes) -> None:
    """Print whether `raw` needs a confirmation to replace `accepted`, and its token. Raises as `parse` does."""
    before = parse(accepted_name, accepted, revision=0, to_stderr=False)
    after = parse(name, raw, revision=0, to_stderr=False)
    guarded = guard.guarding(observed.ClusterState(revision=0, document=after, accepted=before.intent))
    if guarded is None:
        typer.echo(f"{name}: needs no confirmation")
        return
    token, removed = guarded
    typer.echo(f"{name}: {painted('needs a confirmation', 'yellow')}: x-cluster.policy.confirm: {token}")
    typer.echo(f"{name}: removes {removed}")


def parse(name: str, raw: bytes, *, revision: int, to_stderr: bool) -> observed.Document:
    """Return the document `raw` as if etcd had it at `revision`. It has no faults and its intent is not None.

    If `raw` has faults, prints each after `name`, on stderr if `to_stderr`, and raises Invalid with their number.
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


# ---- Text for a terminal: without colours where NO_COLOR is set or the output is no terminal


def painted(text: object, colour: str | None = None, *, bold: bool = False, dim: bool = False) -> str:
    """Return `text`, which may be untrusted, for `typer.echo`, which strips colours if the output is no terminal."""
    shown = printable(str(text))
    if os.environ.get("NO_COLOR"):
        return shown
    return typer.style(shown, fg=colour, bold=bold or None, dim=dim or None)
