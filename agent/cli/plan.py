"""`plan`: what would be done, for the whole cluster, with nothing done."""

import json
from dataclasses import replace
from typing import Any

import typer

from agent.cli.show import show_plan_lines
from agent.cli.validate import parse
from agent.model.observed import ClusterState
from agent.model.steps import Blocked, Step
from agent.planner.whole_cluster import ClusterPlan, plan_cluster


def in_mind(cluster: ClusterState, name: str, raw: bytes) -> ClusterState:
    """`cluster` as it would be had this document just been put. Raises Invalid, after printing its faults."""
    # The next revision is the one it gets, as long as nobody else writes in between.
    document = parse(name, raw, revision=cluster.revision + 1, to_stderr=True)
    return replace(cluster, document=document)


def show_plan(cluster: ClusterState, *, as_json: bool, reveal: bool = False) -> ClusterPlan:
    """Print the plan for `cluster` and return it; `reveal`: with values that can be secret.

    Raises Invalid when a host's status makes no sense.
    """
    plan = plan_cluster(cluster, reveal=reveal)
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
                "leads": host.leads,
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
