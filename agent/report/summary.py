"""The state of a host in a few words: for `systemctl status`, and for who asks whether it is ready."""

from agent.model.observed import Observed
from agent.model.records import HostStatus
from agent.model.steps import Plan

AWAY = ("engine", "store")
"""Kinds of being blocked that are said in words of their own."""


def summary(observed: Observed, status: HostStatus, drifting: int) -> str:
    """One line: role, revision, what is away, what is open."""
    held = [each for each in status.blocked if each.kind not in AWAY]
    parts = [
        _role(observed, status),
        _revision(observed, status),
        "dockerd away" if observed.host is None else "",
        "etcd away" if observed.cluster is None or observed.stale else "",
        f"{drifting} not as declared" if drifting else "",
        f"{len(status.steps)} to do" if status.steps else "",
        f"{len(held)} held back" if held else "",
    ]
    return ", ".join(part for part in parts if part)


def unready(observed: Observed, plan: Plan) -> tuple[str, ...]:
    """Why this agent cannot do its work now, in words; empty when it can."""
    reasons = [each.reason for each in plan.blocked if each.kind in AWAY]
    if observed.cluster is None or observed.cluster.accepted is None:
        reasons.append("no intent is in force")
    return tuple(reasons)


def _role(observed: Observed, status: HostStatus) -> str:
    if observed.fence:
        return "leading"
    if observed.host is None:
        return ""
    if status.state != "active":
        return f"swarm {status.state}"
    return "manager" if status.is_manager else "worker"


def _revision(observed: Observed, status: HostStatus) -> str:
    accepted = observed.cluster.accepted if observed.cluster else None
    if accepted is None:
        return "no intent in force"
    done = "carried out" if status.revision == accepted.revision else "not carried out yet"
    return f"revision {accepted.revision} {done}"
