"""`plan`: the steps that the whole cluster would take. `apply`: write a document and wait for the result."""

import json
import shlex
from dataclasses import replace
from typing import Any

import typer

from agent.cli.connect import Connection
from agent.cli.validate import painted, parse
from agent.errors import Conflict, Invalid, Refused, Unreachable
from agent.intent.guard import confirmed, guarding
from agent.model.observed import ClusterState, Document
from agent.model.phrases import counted
from agent.model.plan import Blocked, Step
from agent.model.records import Verdict
from agent.model.store import Compare, Put
from agent.planner.dry_run.cluster import ClusterPlan, HostPlan, plan_cluster
from agent.yamldoc.faultlist import printable


def with_document(cluster: ClusterState, name: str, raw: bytes) -> ClusterState:
    """Return `cluster` with this document as the newest. Raises Invalid, after printing its faults."""
    # etcd gives it the next revision, unless another client writes in between.
    document = parse(name, raw, revision=cluster.revision + 1, to_stderr=True)
    return replace(cluster, document=document)


def show_plan(cluster: ClusterState, *, as_json: bool, show_secrets: bool = False) -> ClusterPlan:
    """Print the plan for `cluster` and return it; `show_secrets` prints values that can be secret.

    Raises Invalid when the status of a host contains an invalid value.
    """
    plan = plan_cluster(cluster, show_secrets=show_secrets)
    if as_json:
        typer.echo(json.dumps(plan_as_data(plan, cluster), indent=2))
    else:
        show_plan_lines(plan)
    return plan


def plan_as_data(plan: ClusterPlan, cluster: ClusterState) -> dict[str, Any]:
    """Return the plan in JSON's types. `text` of a step is the line that the agent will log."""
    return {
        "revision": cluster.document.revision if cluster.document else 0,
        "settled": plan.settled,
        "hosts": [
            {
                "name": host.name,
                "leads": host.is_leader,
                "notes": list(host.notes),
                "steps": [_step(each) for each in host.steps],
                "blocked": [_blocked(each) for each in host.blocked],
            }
            for host in plan.hosts
        ],
        "everywhere": [_blocked(each) for each in plan.everywhere],
    }


def _step(step: Step) -> dict[str, str]:
    return {"text": str(step), "verb": step.verb, "resource": step.resource, "reason": step.reason}


def _blocked(blocked: Blocked) -> dict[str, str]:
    return {"resource": blocked.resource, "reason": blocked.reason, "kind": blocked.kind}


_VERBS = {"remove": "red", "stop": "red", "withdraw": "red", "disconnect": "red"}


def show_plan_lines(plan: ClusterPlan) -> None:
    """Print the plan by host, each step as in the agent's log, and a summary."""
    for host in plan.hosts:
        _show_host(host)
    if plan.everywhere:
        typer.echo(painted("on every host", bold=True))
        for each in plan.everywhere:
            typer.echo(f"  {painted(each, 'yellow')}")
    if plan.hosts:
        typer.echo()
    typer.echo(summary(plan))


def summary(plan: ClusterPlan) -> str:
    """Return the last line of a plan."""
    if not plan.hosts:
        return "Nothing to plan: etcd has no document and no report of a host."
    if not plan.steps and not plan.blocked:
        return "Nothing to do: the cluster matches the document."
    hosts = sum(1 for host in plan.hosts if host.steps)
    steps = f"{counted(len(plan.steps), 'step')} on {counted(hosts, 'host')}" if plan.steps else "No step"
    blocked = f"; {len(plan.blocked)} blocked" if plan.blocked else ""
    more = "" if plan.settled else "; the plan did not come to an end: please report this"
    return f"{steps}{blocked}{more}."


def _show_host(host: HostPlan) -> None:
    leader = painted(" (leader)", dim=True) if host.is_leader else ""
    typer.echo(f"{painted(host.name, bold=True)}{leader}")
    for note in host.notes:
        typer.echo(f"  {painted(f'({note})', dim=True)}")
    for step in host.steps:
        # `str(step)` with a colour.
        verb = painted(step.verb, _VERBS.get(step.verb, "green"))
        typer.echo(f"  {verb}{printable(str(step).removeprefix(step.verb))}")
    for each in host.blocked:
        typer.echo(f"  {painted(each, 'yellow')}")
    if not host.steps and not host.blocked:
        typer.echo(f"  {painted('nothing to do', dim=True)}")


# ---- `apply`: show the plan of a document, write the document, wait for the verdict and the hosts


class Applying:
    """Applies one document; every wait ends after `wait_s` seconds."""

    def __init__(self, connection: Connection, *, wait_s: float) -> None:
        self._connection, self._wait_s = connection, wait_s

    def write(
        self, name: str, raw: bytes, *, ask: bool, confirm: str = "", show_secrets: bool = False
    ) -> int:
        """Show the plan, ask, write the document, and return its revision.

        `confirm` is the token for an edit that needs one. Raises Invalid for a faulty document or a wrong token,
        Conflict when another client changed the document after the plan, Refused when the operator answers no,
        Unreachable.
        """
        cluster = self._connection.read()
        planned = _confirmed(with_document(cluster, name, raw), cluster, name, confirm)
        document = planned.document
        assert document is not None
        for warning in document.warnings:
            typer.echo(f"{painted('warning', 'yellow')}: {warning}")
        if cluster.document and cluster.document.text == document.text:
            typer.echo(f"etcd already has this document, as revision {cluster.document.revision}.")
            return cluster.document.revision
        show_plan(planned, as_json=False, show_secrets=show_secrets)
        if guarded := guarding(planned):
            command = (
                f"swarmkeeper apply --confirm {guarded[0]} {'-' if name == '<stdin>' else shlex.quote(name)}"
            )
            typer.echo(painted(f"No step is taken before you confirm this edit: {command}", "yellow"))
        if ask and not typer.confirm("\nApply this document?"):
            raise Refused("the document was not applied: you did not answer yes")
        revision = self._write(cluster.document.revision if cluster.document else 0, document)
        typer.echo(f"Written to etcd as revision {revision}.")
        return revision

    def await_verdict(self, revision: int) -> None:
        """Print the leader's verdict on `revision`.

        Raises Refused for a refusal, Unreachable without a verdict in time, Conflict when a newer document exists.
        """

        def found(cluster: ClusterState) -> Verdict | None:
            _still_newest(cluster, revision)
            verdict = cluster.verdict
            return verdict if verdict and verdict.revision == revision else None

        verdict = self._connection.wait_for(found, self._wait_s)
        if verdict is None:
            leader = self._connection.read().leader
            cause = f"the leader is {leader}" if leader else "there is no leader"
            raise Unreachable(f"no verdict on revision {revision} within {self._wait_s:g} s: {cause}")
        if not verdict.accepted:
            for error in verdict.errors:
                typer.echo(painted(error, "red"), err=True)
            answer = "waits for a confirmation" if verdict.confirm else "is refused"
            raise Refused(
                f"revision {revision} {answer}; "
                + (
                    f"revision {verdict.accepted_revision} stays accepted"
                    if verdict.accepted_revision
                    else "no document is accepted"
                )
            )
        typer.echo(painted(f"Revision {revision} is accepted.", "green"))

    def await_convergence(self, revision: int) -> None:
        """Wait until every declared host has carried out `revision`.

        Raises Unreachable after `wait_s`, and prints the other hosts with their open steps; Conflict as above.
        """

        def found(cluster: ClusterState) -> bool | None:
            _still_newest(cluster, revision)
            return None if unfinished(cluster, revision) else True

        if self._connection.wait_for(found, self._wait_s):
            typer.echo(painted(f"Every host has carried out revision {revision}.", "green"))
            return
        left = unfinished(self._connection.read(), revision)
        for line in left:
            typer.echo(printable(line), err=True)
        hosts = counted(len(left), "host")
        raise Unreachable(f"revision {revision} is not carried out on {hosts} after {self._wait_s:g} s")

    def _write(self, before: int, document: Document) -> int:
        key = self._connection.keys.intent
        unchanged, put = Compare(key=key, mod_revision=before), Put(key=key, value=document.text.encode())
        try:
            result = self._connection.store.txn([unchanged], [put])
        except Unreachable:
            return self._revision_after(before, document)
        if not result.succeeded:
            raise Conflict(
                "another client changed the document after the plan; nothing was written: apply again"
            )
        return result.revision

    def _revision_after(self, before: int, document: Document) -> int:
        """Return the revision of a write without an answer, if etcd has the document. Raises Unreachable."""
        now = self._connection.read().document
        if now and now.revision != before and now.text == document.text:
            return now.revision
        raise Unreachable(
            "etcd did not answer, and does not have the document yet: see `swarmkeeper status` before you apply again"
        )


def _confirmed(planned: ClusterState, cluster: ClusterState, name: str, token: str) -> ClusterState:
    """Return `planned` with the token in its document, if the edit needs one. Raises Invalid for a wrong token."""
    guarded, document = guarding(planned), planned.document
    assert document is not None
    if not token or guarded is None:
        return planned
    if guarded[0] != token:
        raise Invalid(
            f"{token} does not confirm this edit, which removes {guarded[1]}; its token is {guarded[0]}"
        )
    return with_document(cluster, name, confirmed(document.text.encode(), token))


def unfinished(cluster: ClusterState, revision: int) -> tuple[str, ...]:
    """Return the declared hosts that have not carried out `revision` in full, each with its open steps."""
    if cluster.accepted is None:
        return ("the accepted document is missing in etcd or unreadable: see `swarmkeeper status`",)
    lines = []
    for host in cluster.accepted.hosts:
        status = cluster.statuses.get(host.name)
        if status is None:
            lines.append(f"{host.name}: no report")
        elif status.revision != revision:
            open_steps = [each.text for each in status.steps]
            left = (*open_steps, *(f"blocked {each.resource}: {each.reason}" for each in status.blocked))
            lines.append(f"{host.name}: {'; '.join(left) or f'at revision {status.revision}'}")
    return tuple(lines)


def _still_newest(cluster: ClusterState, revision: int) -> None:
    newest = cluster.document.revision if cluster.document else 0
    if newest != revision:
        state = f"revision {newest} has replaced it" if newest else "etcd has no document any more"
        raise Conflict(f"revision {revision} is not the newest document: {state}")
