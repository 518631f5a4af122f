"""`validate`: everything that is wrong with a document."""

import typer

from agent.cli.render import counted, painted
from agent.errors import Invalid
from agent.intent import parse_intent, warnings
from agent.intent.guard import guarding
from agent.model.faults import InvalidDocument
from agent.model.intent import Intent
from agent.model.observed import ClusterState, Document


def show_validity(name: str, raw: bytes) -> None:
    """Print every fault of the document, or its warnings and what it asks for. Raises Invalid when it has faults."""
    document = parse(name, raw, revision=0, to_stderr=False)
    assert document.intent is not None
    for warning in document.warnings:
        typer.echo(f"{name}: {painted('warning', 'yellow')}: {warning}")
    typer.echo(f"{name}: {painted('valid', 'green')}: {_extent(document.intent)}")


def show_whether_it_waits(name: str, raw: bytes, name_in_force: str, in_force: bytes) -> None:
    """Print whether the document would wait for a confirmation were the other one in force. Raises Invalid."""
    before = parse(name_in_force, in_force, revision=0, to_stderr=False)
    after = parse(name, raw, revision=0, to_stderr=False)
    guarded = guarding(ClusterState(revision=0, document=after, accepted=before.intent))
    if guarded is None:
        typer.echo(f"{name}: would not wait for a confirmation")
        return
    word, taken = guarded
    typer.echo(f"{name}: {painted('would wait', 'yellow')} for x-cluster.policy.confirm: {word}")
    typer.echo(f"{name}: it would take away {taken}")


def parse(name: str, raw: bytes, *, revision: int, to_stderr: bool) -> Document:
    """The document as if it had been put at etcd's `revision`; its intent is there.

    Raises Invalid, saying how many, after printing all faults if it has any.
    """
    try:
        intent = parse_intent(raw, revision)
    except InvalidDocument as error:
        for fault in error.faults:
            typer.echo(f"{name}: {painted(fault, 'red')}", err=to_stderr)
        raise Invalid(f"{name} is not valid: {counted(len(error.faults), 'fault')}") from error
    return Document(revision=revision, intent=intent, warnings=warnings(intent), text=raw.decode())


def _extent(intent: Intent) -> str:
    copies = sum(service.copies for service in intent.services)
    return ", ".join(
        (
            counted(len(intent.hosts), "host"),
            counted(len(intent.services), "service"),
            counted(copies, "copy", "copies"),
        )
    )
