"""`plan`: what would be done, for the whole cluster, with nothing done. `apply`: have it done."""

import json
from dataclasses import replace
from typing import Any

import typer

from agent.cli.connect import Connection
from agent.cli.validate import counted, painted, parse
from agent.errors import Conflict, Invalid, Refused, Unreachable
from agent.intent.guard import confirmed, guarding
from agent.model.observed import ClusterState, Document
from agent.model.plan import Blocked, Step
from agent.model.records import Verdict
from agent.model.store import Compare, Put
from agent.planner.dry_run.cluster import ClusterPlan, HostPlan, plan_cluster
from agent.yamldoc.faultlist import printable


def in_mind(cluster: ClusterState, name: str, raw: bytes) -> ClusterState:
    """`cluster` as it would be had this document just been put. Raises Invalid, after printing its faults."""
    # The next revision is the one it gets, as long as nobody else writes in between.
    document = parse(name, raw, revision=cluster.revision + 1, to_stderr=True)
    return replace(cluster, document=document)


def show_plan(cluster: ClusterState, *, as_json: bool, reveal: bool = False) -> ClusterPlan:
    """Print the plan for `cluster` and return it; `reveal`: with values that can be secret.

    Raises Invalid when a host's status makes no sense.
    """
    plan = plan_cluster(cluster, show_secrets=reveal)
    if as_json:
        typer.echo(json.dumps(plan_as_data(plan, cluster), indent=2))
    else:
        show_plan_lines(plan)
    return plan


def plan_as_data(plan: ClusterPlan, cluster: ClusterState) -> dict[str, Any]:
    """The plan in JSON's types. `text` of a step is word for word what the agent will log."""
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
    """Print the plan by host, each step as the agent's log will say it, and a sentence that sums it up."""
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
    """One sentence for the whole plan."""
    if not plan.hosts:
        return "There is no intent, and no agent has reported yet: nothing to plan."
    if not plan.steps and not plan.blocked:
        return "Nothing to do: the cluster is as the intent says."
    hosts = sum(1 for host in plan.hosts if host.steps)
    steps = f"{counted(len(plan.steps), 'step')} on {counted(hosts, 'host')}" if plan.steps else "No step"
    blocked = f"; {len(plan.blocked)} blocked" if plan.blocked else ""
    more = "" if plan.settled else "; it would go on, without coming to an end: please report this"
    return f"{steps}{blocked}{more}."


def _show_host(host: HostPlan) -> None:
    leads = painted(" (leads)", dim=True) if host.is_leader else ""
    typer.echo(f"{painted(host.name, bold=True)}{leads}")
    for note in host.notes:
        typer.echo(f"  {painted(f'({note})', dim=True)}")
    for step in host.steps:
        # The same text as `str(step)`, with a colour.
        verb = painted(step.verb, _VERBS.get(step.verb, "green"))
        typer.echo(f"  {verb}{printable(str(step).removeprefix(step.verb))}")
    for each in host.blocked:
        typer.echo(f"  {painted(each, 'yellow')}")
    if not host.steps and not host.blocked:
        typer.echo(f"  {painted('nothing to do', dim=True)}")


# ---- `apply`: put a document, seen before by its plan, and wait for what becomes of it


class Applying:
    """One document on its way; every wait ends after `wait_s` seconds."""

    def __init__(self, connection: Connection, *, wait_s: float) -> None:
        self._connection, self._wait_s = connection, wait_s

    def put(self, name: str, raw: bytes, *, ask: bool, confirm: str = "", reveal: bool = False) -> int:
        """Show the plan, ask, and put. Returns the revision of the document in etcd.

        `confirm` is the operator's word for an edit that waits for it; `reveal` shows values that can be secret.
        Raises Invalid for a faulty document or another word, Conflict when the intent was changed in the meantime,
        Refused when the operator says no, Unreachable.
        """
        cluster = self._connection.read()
        planned = _confirmed(in_mind(cluster, name, raw), cluster, name, confirm)
        document = planned.document
        assert document is not None
        for warning in document.warnings:
            typer.echo(f"{painted('warning', 'yellow')}: {warning}")
        if cluster.document and cluster.document.text == document.text:
            typer.echo(f"This document is there already, as revision {cluster.document.revision}.")
            return cluster.document.revision
        show_plan(planned, as_json=False, reveal=reveal)
        if guarded := guarding(planned):
            again = f"swarmkeeper apply --confirm {guarded[0]}"
            typer.echo(painted(f"Nothing of it would be done before it is confirmed: {again}", "yellow"))
        if ask and not typer.confirm("\nPut it?"):
            raise Refused("nothing was put")
        revision = self._put(cluster.document.revision if cluster.document else 0, document)
        typer.echo(f"Put as revision {revision}.")
        return revision

    def await_verdict(self, revision: int) -> None:
        """Print the leader's word on `revision`.

        Raises Refused when it is no, Unreachable when there is none in time, Conflict when a newer document came.
        """

        def found(cluster: ClusterState) -> Verdict | None:
            _still_newest(cluster, revision)
            verdict = cluster.verdict
            return verdict if verdict and verdict.revision == revision else None

        verdict = self._connection.wait_for(found, self._wait_s)
        if verdict is None:
            leader = self._connection.read().leader
            who = f"{leader} leads, but" if leader else "nobody leads:"
            raise Unreachable(f"{who} no verdict on revision {revision} came within {self._wait_s:g} s")
        if not verdict.accepted:
            for error in verdict.errors:
                typer.echo(painted(error, "red"), err=True)
            what = "waits for a confirmation" if verdict.confirm else "is refused"
            raise Refused(
                f"revision {revision} {what}; "
                + (
                    f"revision {verdict.accepted_revision} stays accepted"
                    if verdict.accepted_revision
                    else "none is accepted"
                )
            )
        typer.echo(painted(f"Revision {revision} is accepted.", "green"))

    def await_convergence(self, revision: int) -> None:
        """Wait until every declared host has carried `revision` out.

        Raises Unreachable, after saying who has not and why, when that takes too long; Conflict as above.
        """

        def found(cluster: ClusterState) -> bool | None:
            _still_newest(cluster, revision)
            return None if unfinished(cluster, revision) else True

        if self._connection.wait_for(found, self._wait_s):
            typer.echo(painted("Every host has carried it out.", "green"))
            return
        left = unfinished(self._connection.read(), revision)
        for line in left:
            typer.echo(printable(line), err=True)
        raise Unreachable(f"not carried out within {self._wait_s:g} s on {counted(len(left), 'host')}")

    def _put(self, before: int, document: Document) -> int:
        key = self._connection.keys.intent
        unchanged, put = Compare(key=key, mod_revision=before), Put(key=key, value=document.text.encode())
        try:
            result = self._connection.store.txn([unchanged], [put])
        except Unreachable:
            return self._what_came_of_it(before, document)
        if not result.succeeded:
            raise Conflict("somebody else has changed the intent since the plan was made; nothing was put")
        return result.revision

    def _what_came_of_it(self, before: int, document: Document) -> int:
        """The revision of a put that got no answer, if it was carried out all the same."""
        now = self._connection.read().document
        if now and now.revision != before and now.text == document.text:
            return now.revision
        raise Unreachable(
            "etcd did not answer, and the document is not there yet: look at `status` before you repeat it"
        )


def _confirmed(planned: ClusterState, cluster: ClusterState, name: str, word: str) -> ClusterState:
    """As planned, with the operator's word in the document, if it waits for one."""
    guarded, document = guarding(planned), planned.document
    assert document is not None
    if not word or guarded is None:
        return planned
    if guarded[0] != word:
        raise Invalid(
            f"{word} does not confirm this edit: it would take away {guarded[1]}; {guarded[0]} does"
        )
    return in_mind(cluster, name, confirmed(document.text.encode(), word))


def unfinished(cluster: ClusterState, revision: int) -> tuple[str, ...]:
    """The declared hosts that have not carried `revision` out in full, each with what it says is left."""
    if cluster.accepted is None:
        return ("what is accepted is gone from etcd, or cannot be read: `status` says more",)
    lines = []
    for host in cluster.accepted.hosts:
        status = cluster.statuses.get(host.name)
        if status is None:
            lines.append(f"{host.name}: no report")
        elif status.revision != revision:
            left = (*status.steps, *(f"blocked {each.resource}: {each.reason}" for each in status.blocked))
            lines.append(f"{host.name}: {'; '.join(left) or f'at revision {status.revision}'}")
    return tuple(lines)


def _still_newest(cluster: ClusterState, revision: int) -> None:
    newest = cluster.document.revision if cluster.document else 0
    if newest != revision:
        raise Conflict(f"revision {revision} is no longer the newest: {newest or 'nothing'} is")
