"""`get`, `edit`, `rollback`, and the verbs that change one value of the accepted document."""

import os
import shlex
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import typer

from agent.cli.apply import Order, run_apply, show_unwritten
from agent.cli.connect import Connection, refuse_unknown
from agent.cli.describe import named
from agent.cli.history import document_at, read_history, refuse_unjudged, show_differences
from agent.cli.output import Output, shown_if_slow
from agent.cli.plan import show_plan, with_document
from agent.cli.validate import painted
from agent.conditions import conditions_of
from agent.diff.nodes import lacking_managers
from agent.errors import Invalid
from agent.intent.guard import guarding
from agent.intent.rewrite import rewritten
from agent.model.intent import Intent, ServiceIntent
from agent.model.observed import ClusterState
from agent.model.phrases import first_of
from agent.model.records import SEAL_LASTS_S, seconds_of, timestamp
from agent.yamldoc.faultlist import nearest

_MOST_NAMED = 8
_HANDOVER_S = 30.0
"""Longest wait for the next leader. After 10 s any host may become it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """The options that all verbs have."""

    command: str
    """The command line, with `{}` for the token of a guarded edit."""
    ask: bool = True
    message: str = ""
    confirm: str = ""
    output: Output = Output.TABLE
    show_secrets: bool = False
    plan_only: bool = False
    wait: bool = True


def get(connection: Connection, revision: int | None) -> None:
    """Print the accepted document, or that of a revision, byte for byte. Raises Invalid if there is none."""
    history = read_history(connection)
    if revision is None and history.accepted is None:
        raise Invalid("no document is accepted: apply one; `swarmkeeper history` lists those that were put")
    at = history.held if revision is None else revision
    text, unproven = document_at(connection, history, at)
    if unproven:
        typer.echo(painted(f"warning: {unproven}", "yellow"), err=True)
    sys.stdout.buffer.write(text.encode())
    sys.stdout.buffer.flush()


def rollback(connection: Connection, wish: Wish, revision: int | None) -> int:
    """Put an earlier document again, after its plan and a question; return the exit code of `apply`."""
    history = read_history(connection)
    refuse_unjudged(history.newest, history.held, history.refusal)
    at = history.before().revision if revision is None else revision
    text, unproven = document_at(connection, history, at)
    name = f"revision {at}"
    quiet = wish.output.is_data
    if unproven:
        typer.echo(painted(f"warning: {unproven}: read what it changes", "yellow"), err=True)
    if not quiet and history.refusal and at == history.held:
        why = "waits for a confirmation" if history.refusal.confirm else "was refused"
        typer.echo(f"revision {history.newest} {why}: this puts the accepted {name} again\n")
    elif not quiet and history.accepted:
        typer.echo(f"From revision {history.held}, the accepted one, to {name}:")
        raws = history.accepted.document.encode(), text.encode()
        names = f"revision {history.held}", name
        show_differences(names, raws, Output.TABLE, show_secrets=wish.show_secrets)
        typer.echo()
    if wish.plan_only:
        planned = with_document(connection.read(), name, text.encode())
        show_plan(planned, output=wish.output, show_secrets=wish.show_secrets, confirming=wish.command)
        return 0
    wish = replace(wish, message=wish.message or f"rollback to {name}")
    return run_apply(connection, _order(wish, name, text.encode(), history.newest))


def _order(wish: Wish, name: str, raw: bytes, over: int) -> Order:
    return Order(
        name=name,
        raw=raw,
        ask=wish.ask,
        confirm=wish.confirm,
        command=wish.command,
        output=wish.output,
        show_secrets=wish.show_secrets,
        message=wish.message,
        verdict=wish.wait,
        over=over,
    )


# ---- Verbs that change one value


def drain(connection: Connection, wish: Wish, hosts: Sequence[str], availability: str) -> int:
    """Set the availability of hosts. Raises Invalid for a host that the document does not declare."""
    cluster, accepted = _accepted(connection)
    declared = {each.name: each.availability for each in accepted.hosts}
    _refuse_undeclared(hosts, declared)
    edits = [(("x-cluster", "hosts", each, "availability"), declared[each], availability) for each in hosts]
    return _change(connection, cluster, wish, edits)


def set_mode(connection: Connection, wish: Wish, _: Sequence[str], mode: str) -> int:
    """Set `x-cluster.policy.mode` to paused, or from there to enforce."""
    cluster, accepted = _accepted(connection)
    found = accepted.policy.mode
    wanted = mode if "paused" in (found, mode) else found  # `resume` leaves `observe` as it is
    return _change(connection, cluster, wish, [(("x-cluster", "policy", "mode"), found, wanted)])


def rebalance(connection: Connection, wish: Wish, names: Sequence[str]) -> int:
    """Order that the replicas of services are spread evenly again; without `names`, of those that are uneven.

    Raises Invalid for a service that the document does not declare, or whose hosts it fixes.
    """
    cluster, accepted = _accepted(connection)
    services, at = {each.name: each for each in accepted.services}, timestamp(time.time())
    _refuse_undeclared(names, services)
    chosen = names or [each.name for each in accepted.services if _is_uneven(each, accepted, cluster)]
    for name in chosen:
        if services[name].replicas is None:
            raise Invalid(f"{name} has fixed hosts: only services with deploy.replicas can be rebalanced")
        if services[name].rebalanced_at > at:
            raise Invalid(f"x-rebalanced-at of {name} is after {at}, the time here: correct it, or the clock")
    if not chosen:
        fixed = all(each.replicas is None for each in accepted.services)
        why = "no service has deploy.replicas" if fixed else "every service is spread evenly already"
        return _unwritten(why, cluster, wish)
    edits = [(("services", each, "x-rebalanced-at"), services[each].rebalanced_at, at) for each in chosen]
    return _change(connection, cluster, wish, edits)


def _is_uneven(service: ServiceIntent, accepted: Intent, cluster: ClusterState) -> bool:
    """Return True if active hosts that may run the service have unequally many replicas; labels are not looked at.

    The scheduler decides. This only keeps the orders of most services out of the document.
    """
    fit = [each for each in accepted.hosts if each.availability == "active" and not service.where.unmet(each)]
    has = (cluster.assignments[each.name].slots for each in fit if each.name in cluster.assignments)
    counts = [len(each.get(service.name, ())) for each in has] or [0]
    return service.replicas is not None and (bool(service.where.spread) or max(counts) - min(counts) > 1)


def _refuse_undeclared(names: Sequence[str], declared: Collection[str]) -> None:
    if unknown := [each for each in names if each not in declared]:
        some, near = ", ".join(first_of([*declared], _MOST_NAMED, "{} more")), nearest(unknown[0], declared)
        declares = f"did you mean {near}? it declares {some}" if near else f"it declares {some}"
        raise Invalid(f"the accepted document does not declare {', '.join(unknown)}: {declares}")


def is_service(connection: Connection, name: str) -> bool:
    """Return True if the accepted document has a service of that name, which may begin with `service/`.

    Raises Invalid if a replica has the bare name, too.
    """
    cluster = _read(connection)
    if cluster.accepted is None or cluster.accepted.service(name.removeprefix("service/")) is None:
        return False
    return named(name, conditions_of(cluster, now_s=time.time()), ("service", "replica")).kind == "service"


def restart(connection: Connection, wish: Wish, service: str) -> int:
    """Set `x-restarted-at` of a service to now, so that a rollout replaces its replicas."""
    cluster, accepted = _accepted(connection)
    services = {each.name: each for each in accepted.services}
    _refuse_undeclared([service], services)
    before, at = services[service].spec.restarted_at or "", timestamp(time.time())
    return _change(connection, cluster, wish, [(("services", service, "x-restarted-at"), before, at)])


def handover(connection: Connection, wish: Wish, names: Sequence[str]) -> int:
    """Order that a manager becomes the leader, by default the first that can; wait for the next leader.

    Raises Invalid for a host that cannot lead now, for several, and if there is no leader.
    """
    cluster, accepted = _accepted(connection)
    leader, last, old = cluster.leader, cluster.last_leader, accepted.policy.handover
    _refuse_undeclared(names, [each.name for each in accepted.hosts])
    if leader is None or last is None or len(names) > 1:
        raise Invalid(
            "name one host" if leader else "there is no leader that could hand over: see `swarmkeeper status`"
        )
    if leader in names:
        return _unwritten(f"{leader} is the leader already", cluster, wish)
    unable = _unable_to_lead(cluster, accepted)
    able = [each.name for each in accepted.managers if each.name not in (leader, *unable)]
    if not able:
        whys = [f"{each}: {why}" for each, why in unable.items()] or ["there is none"]
        raise Invalid(f"no other manager can lead now: {'; '.join(first_of(whys, _MOST_NAMED, '{} more'))}")
    to = names[0] if names else able[0]
    if to not in able:
        why = unable.get(to, "it is declared a worker")
        raise Invalid(
            f"{to} cannot lead now: {why}; name one of {', '.join(first_of(able, _MOST_NAMED, '{} more'))}"
        )
    since, now, place = seconds_of(last.since) or 0.0, time.time(), ("x-cluster", "policy", "handover")
    if since > now + SEAL_LASTS_S:
        # The next lock would be of that order again.
        first = f"remove {'.'.join(place)} from the document, then " if old and old.at >= last.since else ""
        raise Invalid(
            f"the lock of {leader} is of {last.since}, and now is {timestamp(now)}: {first}restart its agent"
        )
    # The leader compares this with its election, and its clock may be ahead.
    at = timestamp(max(now, since + 1))
    edits = (((*place, "to"), old.to if old else "", to), ((*place, "at"), old.at if old else "", at))
    return _change(connection, cluster, wish, edits, lambda: _await_leader(connection, to, at, wish.output))


def _unable_to_lead(cluster: ClusterState, accepted: Intent) -> dict[str, str]:
    """Return the declared managers that cannot lead, with the reason: by their reports, or as they do not report."""
    every = ((each.name, cluster.status_of(each.name)) for each in accepted.managers)
    found = {
        name: each.reason
        for name, status in every
        if status
        for each in status.blocked
        if (each.resource, each.kind) == (f"host/{name}", "dependency")
    }
    return found | lacking_managers(accepted, cluster, "")


def _await_leader(connection: Connection, to: str, at: str, output: Output) -> str:
    """Wait until a host was elected after `at`, and print it. Returns an error if that is not `to`; empty: it is."""
    began, last = time.monotonic(), [connection.read()]

    def elected(cluster: ClusterState) -> str | None:
        last[0] = cluster
        return cluster.leader if cluster.last_leader and cluster.last_leader.since >= at else None

    with shown_if_slow(f"waiting until {to} is the leader"):
        leader = connection.wait_for(elected, _HANDOVER_S)
    took = f"{time.monotonic() - began:.1f} s after the verdict"
    if leader != to:
        why = _unable_to_lead(last[0], last[0].accepted).get(to) if last[0].accepted else ""
        blamed = to if leader else last[0].leader or to  # a leader that has not resigned in time
        state = f"{took}, {last[0].leader or 'no host'} is the leader, not {to}"
        # A leader in a long step resigns when it has ended.
        stays = "" if leader else "; the order stays in effect"
        return f"{state}: {why or f'see the journal of {blamed}'}{stays}"
    if not output.is_data:
        typer.echo(painted(f"{to} is the leader, {took}.", "green"))
    return ""


VERBS: Mapping[str, Callable[[Connection, Wish, Sequence[str]], int]] = {
    "drain": partial(drain, availability="drain"),
    "undrain": partial(drain, availability="active"),
    "pause": partial(set_mode, mode="paused"),
    "resume": partial(set_mode, mode="enforce"),
    "rebalance": rebalance,
    "handover": handover,
}
"""The verbs that the factory in agent.cli.documents makes commands of."""


def _change(
    connection: Connection,
    cluster: ClusterState,
    wish: Wish,
    edits: Sequence[tuple[tuple[str, ...], str, str]],
    then: Callable[[], str] | None = None,
) -> int:
    """Set what is not as wanted yet. `edits` have the path, the value there and the wanted one."""
    raw, newest = cluster.accepted_text.encode(), cluster.document.revision if cluster.document else 0
    changed = [each for each in edits if each[1] != each[2]]
    for path, _, value in changed:
        raw = rewritten(raw, path, value)
    if not changed:
        same = ", ".join(f"{'.'.join(path)} is {value}" for path, _, value in edits)
        return _unwritten(f"{same} already", cluster, wish)
    if wish.plan_only:
        return _plan(cluster, raw, wish)
    wish = replace(wish, message=wish.message or wish.command.partition(" --confirm {}")[0])
    if not wish.output.is_data:
        _warn(cluster)
        for path, old, value in changed:  # not the line, which may have secrets too
            typer.echo(f"{'.'.join(path)}: changed {old or 'nothing'} -> {value}")
        typer.echo()
    order = _order(wish, "the accepted document", raw, newest)
    return run_apply(connection, replace(order, intended=True, then=then))


def _unwritten(why: str, cluster: ClusterState, wish: Wish) -> int:
    if wish.plan_only and wish.output.is_data:
        return _plan(cluster, cluster.accepted_text.encode(), wish)
    return show_unwritten(why, cluster.accepted, wish.output)


def _plan(cluster: ClusterState, raw: bytes, wish: Wish) -> int:
    show_plan(with_document(cluster, "the accepted document", raw), output=wish.output)
    return 0


def _accepted(connection: Connection) -> tuple[ClusterState, Intent]:
    """Read the accepted document. Raises Invalid if there is none, or the newest one has no verdict yet."""
    cluster = _read(connection)
    if cluster.accepted is None or cluster.document is None:
        raise Invalid("no document is accepted: apply one")
    refuse_unjudged(cluster.document.revision, cluster.accepted.revision, cluster.refusal)
    return cluster, cluster.accepted


def _read(connection: Connection) -> ClusterState:
    cluster = connection.read()
    refuse_unknown(connection.store, connection.keys, cluster)
    return cluster


def _warn(cluster: ClusterState) -> None:
    if cluster.refusal:
        waits = f"revision {cluster.refusal.revision} is not accepted: this changes the accepted document"
        typer.echo(painted(f"warning: {waits}, and replaces that one", "yellow"))


def confirm(connection: Connection, wish: Wish, token: str) -> int:
    """Put the newest document again with the token that it waits for. Raises Invalid if it waits for none."""
    cluster = _read(connection)
    guarded = guarding(cluster)
    if guarded is None or cluster.document is None:
        raise Invalid("the newest document waits for no confirmation: see `swarmkeeper status`")
    needed, removed = guarded
    if token and token != needed:
        raise Invalid(f"{token} does not confirm this edit, which removes {removed}; its token is {needed}")
    if not token and not wish.ask:
        raise Invalid(
            f"--yes needs the token, as nobody reads what is removed: {removed}; the token is {needed}"
        )
    if not wish.output.is_data:
        typer.echo(painted(f"This edit removes {removed}.", "yellow"))
    name = f"revision {cluster.document.revision}"
    order = _order(wish, name, cluster.document.text.encode(), cluster.document.revision)
    return run_apply(connection, replace(order, confirm=needed))


# ---- The whole document in an editor


def edit(connection: Connection, wish: Wish) -> int:
    """Open the accepted document in the operator's editor, and apply what comes back.

    Whatever fails after the editor ended, a changed text stays in a file, which the error names.
    """
    (cluster, _), editor = _accepted(connection), _editor()
    text, newest = cluster.accepted_text.encode(), cluster.document.revision if cluster.document else 0
    _warn(cluster)
    descriptor, name = tempfile.mkstemp(prefix="swarmkeeper-", suffix=".yaml")
    path = Path(name)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(text)
        raw = _edited(editor, path)
        if raw == text:
            typer.echo("The document was not changed.")
            path.unlink()
            return 0
        names = "the accepted document", "your edit"
        show_differences(names, (text, raw), Output.TABLE, show_secrets=wish.show_secrets)
        code = run_apply(connection, replace(_order(wish, name, raw, newest), intended=True))
    except BaseException:
        _keep(path, text)
        raise
    if code:
        _keep(path, text)
    else:
        path.unlink()
    return code


def _editor() -> Sequence[str]:
    """Return the command line of the operator's editor. Raises Invalid if its variable has none."""
    variable = next((each for each in ("VISUAL", "EDITOR") if os.environ.get(each)), "")
    value = os.environ.get(variable, "vi")
    try:
        command = shlex.split(value)
    except ValueError:
        command = []
    if not command:
        raise Invalid(f"${variable} is {value!r}, which is no command line: set it to an editor, as vi")
    return command


def _edited(editor: Sequence[str], path: Path) -> bytes:
    """Return what the operator made of the file. Raises Invalid if the editor fails."""
    try:
        ended = subprocess.run([*editor, str(path)], check=False).returncode  # noqa: S603 - the operator's own
        raw = path.read_bytes()
    except OSError as error:
        raise Invalid(f"{error.filename}: {error.strerror}; nothing was applied") from error
    if ended:
        raise Invalid(f"{shlex.join(editor)} ended with {ended}; nothing was applied")
    return raw


def _keep(path: Path, text: bytes) -> None:
    """Name the file of a text that was not applied; remove it if it is the document as it was."""
    if path.exists() and path.read_bytes() != text:
        typer.echo(f"Your text is in {path}.", err=True)
    else:
        path.unlink(missing_ok=True)
