"""`apply`: show the plan of a document, write the document, wait for the verdict and for what it changes."""

import getpass
import os
import platform
import shlex
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import typer

from agent.admission import warn
from agent.cli.connect import Connection
from agent.cli.output import Output, print_data, shown_if_slow
from agent.cli.plan import show_plan, with_document
from agent.cli.validate import painted
from agent.cli.wait import await_goal, check_newest, show_outcome
from agent.conditions import goal_of
from agent.errors import Conflict, Denied, Invalid, Refused, SwarmkeeperError, Unreachable
from agent.intent.guard import confirmed, guarding
from agent.model.history import LONGEST_MESSAGE, Note
from agent.model.intent import Intent
from agent.model.observed import ClusterState, Document
from agent.model.records import Verdict, encode
from agent.model.store import Compare, Put

VERSION = 1
"""Version of the JSON of `apply`."""
VERDICT_S = 60.0
GOAL_S = 600.0
"""Longest waits, for the verdict and for the goal, if --timeout is not given."""
_MEANWHILE = "another client changed the document after the plan; nothing was written: apply again"
INTERRUPTED = 130
"""Exit code after Ctrl-C, as of a shell."""


def confirming(
    document: str,
    config: Path | None,
    endpoints: Sequence[str] | None,
    cluster: str | None,
    *more: str,
    command: str = "apply",
) -> str:
    """Return the command line that confirms an edit, with the options of this one, and `{}` for the token.

    `document` has the arguments that name the document, quoted for a shell; empty: none are needed.
    """
    options = ["--config", str(config)] if config else []
    for each in endpoints or ():
        options += ["--endpoint", each]
    options += ["--cluster", cluster] if cluster else []
    return f"{shlex.join(('swarmkeeper', command, *options, *more))} --confirm {{}} {document}".rstrip()


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """The arguments and options of `apply`."""

    name: str
    raw: bytes = field(repr=False)
    ask: bool
    confirm: str = ""
    """Token for an edit that needs one; empty: none is given."""
    command: str = "swarmkeeper apply --confirm {}"
    """The command line that gives the token, at `{}`."""
    output: Output = Output.TABLE
    show_secrets: bool = False
    every_step: bool = False
    verdict: bool = True
    wait: str = ""
    """services, cluster, or empty: none after the verdict."""
    timeout_s: float | None = None
    message: str = ""
    """Message of the operator for the history; empty: none."""
    over: int | None = None
    """Revision of the newest document for which this one was made; None: whichever is the newest."""
    then: Callable[[], str] | None = None
    """Wait for more after an accepting verdict; returns an error, empty: none."""
    intended: bool = False
    """True if a drain or a pause that the document ends is not left out by mistake."""


def _result(revision: int, result: str = "") -> dict[str, Any]:
    """Return what `apply` prints as data, of a command that has written nothing."""
    found = {"version": VERSION, "revision": revision, "written": False, "result": result, "error": ""}
    return found | {"seconds": 0.0, "causes": [], "others": []}


def show_unwritten(why: str, accepted: Intent | None, output: Output) -> int:
    """Print that the accepted document is as the operator asks; return the exit code."""
    if output.is_data:
        print_data(_result(accepted.revision if accepted else 0, "accepted"), output)
    else:
        typer.echo(f"{why}: nothing was written.")
    return 0


def run_apply(connection: Connection, order: Order) -> int:
    """Apply a document, and return the exit code. Prints one object in the end if the output is data."""
    result, begin, failure = _result(0), time.monotonic(), None
    try:
        error = _run(connection, order, result)
    except SwarmkeeperError as raised:
        failure, error = raised, str(raised)
        result["result"] = type(raised).__name__.lower()
    result |= {"error": error, "seconds": round(time.monotonic() - begin, 1)}
    if error and not failure:
        typer.secho(f"swarmkeeper: {error}", fg="red", err=True)
    if order.output.is_data:
        print_data(result, order.output)
    if failure:
        raise failure
    return 0 if not error else INTERRUPTED if result["result"] == "interrupted" else 1


def _run(connection: Connection, order: Order, result: dict[str, Any]) -> str:
    """Carry out the order and note the `result`. Returns an error; empty: none."""
    quiet, timeout_s = order.output.is_data, order.timeout_s
    applying = Applying(connection, quiet=quiet)
    written = applying.write(order)
    revision = written.revision
    result |= {"revision": revision, "written": written.changed, "result": "written"}
    try:
        if not order.verdict:
            return ""
        applying.await_verdict(
            revision, (GOAL_S if order.wait else VERDICT_S) if timeout_s is None else timeout_s
        )
        result["result"] = "accepted"
        error = order.then() if order.then else ""
        result["result"] = "failed" if error else "accepted"
    except KeyboardInterrupt:
        result["result"] = "interrupted"
        return f"the wait has ended; revision {revision} stays in etcd: see `swarmkeeper status`"
    if error or not order.wait:
        return error
    if (mode := written.intent.policy.mode) != "enforce":
        result["result"] = "failed"
        return (
            f"revision {revision} is accepted, but x-cluster.policy.mode is {mode}: no agent carries it out"
        )
    before = written.before if written.changed else None  # what an earlier call has changed is not known
    goal = goal_of(revision, written.intent, before, whole=order.wait == "cluster")
    outcome = await_goal(connection, goal, GOAL_S if timeout_s is None else timeout_s, to_stderr=quiet)
    result |= {"result": outcome.result, "causes": list(outcome.causes), "others": list(outcome.others)}
    return show_outcome(outcome, revision, to_stderr=quiet)


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """The document that etcd has now."""

    revision: int
    intent: Intent
    before: Intent | None
    """The document that was accepted before; None: none was."""
    changed: bool
    """False if etcd had this document already."""


class Applying:
    """Applies one document. With `quiet`, only the result is printed, by the caller."""

    def __init__(self, connection: Connection, *, quiet: bool = False) -> None:
        self._connection, self._quiet = connection, quiet

    def write(self, order: Order) -> Written:
        """Show the plan, ask, and write the document.

        Raises Invalid for a faulty document or a wrong token. Raises Conflict when another client changed the document
        after the plan. Raises Refused when the edit needs a token or the operator answers no, and Unreachable.
        """
        cluster = self._connection.read()
        if order.over is not None and order.over != (cluster.document.revision if cluster.document else 0):
            raise Conflict(_MEANWHILE)
        planned = _planned(cluster, order)
        document, before = planned.document, cluster.accepted
        assert document is not None
        assert document.intent is not None
        same = cluster.document
        refused = cluster.refusal
        if same and same.text == document.text and (refused is None or refused.confirm):
            self._say(f"etcd already has this document, as revision {same.revision}.")
            return Written(revision=same.revision, intent=document.intent, before=before, changed=False)
        if not self._quiet:
            show_plan(planned, every_step=order.every_step, show_secrets=order.show_secrets)
            ended = () if order.intended else left_out(cluster, document.intent)
            for warning in (*document.warnings, *warn(document.intent, cluster.statuses), *ended):
                typer.echo(f"{painted('warning', 'yellow')}: {warning}")
        if guarded := guarding(planned):
            token, removed = guarded
            raise Refused(
                f"nothing was written: this edit removes {removed}; to confirm it, run:\n"
                f"  {order.command.replace('{}', token)}"
            )
        if order.ask and not typer.confirm("\nApply this document?", err=self._quiet):
            raise Refused("the document was not applied: you did not answer yes")
        revision = self._write(same.revision if same else 0, document, order.message)
        self._say(f"Written to etcd as revision {revision}.")
        return Written(revision=revision, intent=document.intent, before=before, changed=True)

    def await_verdict(self, revision: int, timeout_s: float) -> None:
        """Print the leader's verdict on `revision`.

        Raises Refused for a refusal, Unreachable without a verdict in time, Conflict when a newer document exists.
        """

        def found(cluster: ClusterState) -> Verdict | None:
            check_newest(cluster, revision)
            verdict = cluster.verdict
            return verdict if verdict and verdict.revision == revision else None

        with shown_if_slow("waiting for the verdict of the leader"):
            verdict = self._connection.wait_for(found, timeout_s)
        if verdict is None:
            leader = self._connection.read().leader
            cause = f"the leader is {leader}" if leader else "there is no leader"
            raise Unreachable(f"no verdict on revision {revision} within {timeout_s:g} s: {cause}")
        if not verdict.accepted:
            for error in verdict.errors:
                typer.echo(painted(error, "red"), err=True)
            answer = "waits for a confirmation" if verdict.confirm else "is refused"
            stays = f"revision {verdict.accepted_revision} stays accepted"
            raise Refused(
                f"revision {revision} {answer}; {stays if verdict.accepted_revision else 'no document is accepted'}"
            )
        self._say(painted(f"Revision {revision} is accepted.", "green"))

    def _say(self, text: str) -> None:
        if not self._quiet:
            typer.echo(text)

    def _write(self, before: int, document: Document, message: str) -> int:
        keys, store = self._connection.keys, self._connection.store
        unchanged = Compare(key=keys.intent, mod_revision=before)
        put = Put(key=keys.intent, value=document.text.encode())
        note = Put(key=keys.note, value=encode(Note(author=_author(), message=message[:LONGEST_MESSAGE])))
        try:
            result = store.txn([unchanged], [put, note])
        except Denied:
            # The role that an earlier version printed has the document alone.
            self._say(
                "The history will not name you: your role in etcd may not write intent-note (etcd-roles)."
            )
            result = store.txn([unchanged], [put])
        except Unreachable:
            return self._revision_after(before, document)
        if not result.succeeded:
            raise Conflict(_MEANWHILE)
        return result.revision

    def _revision_after(self, before: int, document: Document) -> int:
        """Return the revision of a write without an answer, if etcd has the document. Raises Unreachable."""
        now = self._connection.read().document
        if now and now.revision != before and now.text == document.text:
            return now.revision
        raise Unreachable(
            "etcd did not answer, and does not have the document yet: see `swarmkeeper status` before you apply again"
        )


def _author() -> str:
    """Return the user and the machine of this command. Nothing proves them: they are for people."""
    try:
        user = os.environ.get("SUDO_USER") or getpass.getuser()
    except (KeyError, OSError):  # a user id without a name
        user = str(os.getuid())
    return f"{user}@{platform.node()}"


def left_out(cluster: ClusterState, after: Intent) -> Iterator[str]:
    """Yield what a document ends by lacking it, as another file does: a drain, a pause, an order not carried out."""
    before, assigned = cluster.accepted, cluster.assignments.values()
    if before is None:
        return
    for host in before.hosts:
        same = after.host(host.name)
        if same and same.availability == "active" != host.availability:
            yield f"{host.name} is set to {host.availability} in the accepted document, and not in this one"
    if before.policy.mode != "enforce" and after.policy.mode == "enforce":
        yield f"the accepted document has mode {before.policy.mode}, and this one ends it"
    ended = [] if after.policy.handover or not cluster.handover else ["x-cluster.policy.handover"]
    for each in before.services:
        now, at = after.service(each.name), each.spec.restarted_at
        if now and at and not now.spec.restarted_at:
            specs = {it.spec for host in assigned for it in host.replicas if it.service == each.name}
            waits = any(it.restarted_at != at for it in map(cluster.specs.get, specs) if it)
            ended += [f"services.{each.name}.x-restarted-at"] * waits
        if now and each.rebalanced_at and not now.rebalanced_at:
            done = max(dict(host.rebalanced).get(each.name, "") for host in assigned) if assigned else ""
            ended += [f"services.{each.name}.x-rebalanced-at"] * (each.rebalanced_at > done)
    for name in ended:
        yield f"{name} of the accepted document is not carried out yet, and this one ends it"


def _planned(cluster: ClusterState, order: Order) -> ClusterState:
    """Return `cluster` with the document, and the token if the edit needs one. Raises Invalid for a wrong token."""
    planned = with_document(cluster, order.name, order.raw)
    guarded = guarding(planned)
    if not order.confirm or guarded is None:
        return planned
    token, removed = guarded
    if token != order.confirm:
        raise Invalid(
            f"{order.confirm} does not confirm this edit, which removes {removed}; its token is {token}"
        )
    return with_document(cluster, order.name, confirmed(order.raw, token))
