"""The command `validate`: the faults of a document."""

from dataclasses import asdict, replace
from itertools import chain

import typer

from agent.cli.output import Output, print_data
from agent.errors import Invalid
from agent.intent import guard, parse_intent, warnings
from agent.model import faults, observed
from agent.model.intent import Intent
from agent.model.phrases import counted
from agent.yamldoc.faultlist import printable

VERSION = 1
"""Version of the JSON of `validate`."""


def show_validity(
    name: str, raw: bytes, against: observed.ClusterState | None = None, output: Output = Output.TABLE
) -> None:
    """Print the faults of a document, or its warnings and its number of hosts, services and replicas.

    `against` has the accepted document: then also print whether replacing it needs a confirmation. Raises Invalid.
    """
    if output.is_data:
        _print_validity(name, raw, against, output)
        return
    document = parse(name, raw, revision=0, to_stderr=False)
    assert document.intent is not None
    for warning in _warnings(document, against):
        typer.echo(f"{name}: {painted('warning', 'yellow')}: {warning}")
    extent = _extent(document.intent)
    replicas = counted(extent["replicas"], "replica")
    counts = f"{counted(extent['hosts'], 'host')}, {counted(extent['services'], 'service')}, {replicas}"
    typer.echo(f"{name}: {painted('valid', 'green')}: {counts}")
    if against is None:
        return
    guarded = guard.guarding(replace(against, document=document))
    if guarded is None:
        typer.echo(f"{name}: needs no confirmation")
        return
    token, removed = guarded
    typer.echo(f"{name}: {painted('needs a confirmation', 'yellow')}: x-cluster.policy.confirm: {token}")
    typer.echo(f"{name}: removes {removed}")


def _print_validity(name: str, raw: bytes, against: observed.ClusterState | None, output: Output) -> None:
    data = {"version": VERSION, "name": name, "valid": True, "faults": [], "warnings": []}
    try:
        document = _parsed(raw, 0)
    except faults.InvalidDocument as error:
        print_data({**data, "valid": False, "faults": [asdict(each) for each in error.faults]}, output)
        raise _invalid(name, error) from error
    assert document.intent is not None
    guarded = guard.guarding(replace(against, document=document)) if against else None
    confirmation = guarded and {"token": guarded[0], "removes": guarded[1]}
    warned = {"warnings": _warnings(document, against), "confirmation": confirmation}
    print_data({**data, **warned, **_extent(document.intent)}, output)


def _warnings(document: observed.Document, against: observed.ClusterState | None) -> list[str]:
    if document.intent is None or against is None:
        return [*document.warnings]
    from agent.admission import warn  # noqa: PLC0415 - only a comparison with a cluster needs these
    from agent.diff import capacity  # noqa: PLC0415

    refused = warn(document.intent, against.statuses), capacity.warn(document.intent, against.statuses)
    return [*document.warnings, *chain(*refused)]


def accepted(name: str, raw: bytes, output: Output) -> observed.ClusterState:
    """Return a cluster whose accepted document is `raw`. Raises Invalid, after printing its faults."""
    document = parse(name, raw, revision=0, to_stderr=output.is_data)
    return observed.ClusterState(revision=0, accepted=document.intent)


def parse(name: str, raw: bytes, *, revision: int, to_stderr: bool) -> observed.Document:
    """Return the document `raw` as if etcd had it at `revision`. It has no faults and its intent is not None.

    If `raw` has faults, prints each after `name`, on stderr if `to_stderr`, and raises Invalid with their number.
    """
    try:
        return _parsed(raw, revision)
    except faults.InvalidDocument as error:
        for fault in error.faults:
            typer.echo(f"{name}: {painted(fault, 'red')}", err=to_stderr)
        raise _invalid(name, error) from error


def _parsed(raw: bytes, revision: int) -> observed.Document:
    intent = parse_intent(raw, revision)
    return observed.Document(revision=revision, intent=intent, warnings=warnings(intent), text=raw.decode())


def _invalid(name: str, error: faults.InvalidDocument) -> Invalid:
    return Invalid(f"{name} is not valid: {counted(len(error.faults), 'fault')}")


def _extent(intent: Intent) -> dict[str, int]:
    replicas = sum(service.replica_count for service in intent.services)
    return {"hosts": len(intent.hosts), "services": len(intent.services), "replicas": replicas}


# ---- Text for a terminal


def painted(text: object, colour: str | None = None, *, bold: bool = False, dim: bool = False) -> str:
    """Return `text`, which may be untrusted, for `typer.echo`, which strips colours where they are not wanted."""
    return typer.style(printable(str(text)), fg=colour, bold=bold or None, dim=dim or None)
