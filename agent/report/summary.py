"""The state of a host in a few words: for `systemctl status`, and for who asks whether it is ready."""

from agent.model.observed import Observed
from agent.model.records import HostStatus
from agent.model.steps import Plan


def summary(observed: Observed, status: HostStatus, drifting: int) -> str:
    """One line: role, revision, what is open."""
    accepted = observed.cluster.accepted if observed.cluster else None
    parts = [_role(observed, status)]
    if accepted is None:
        parts.append("no intent in force")
    elif status.revision == accepted.revision:
        parts.append(f"revision {accepted.revision} carried out")
    else:
        parts.append(f"revision {accepted.revision} not carried out yet")
    if observed.host is None:
        parts.append("dockerd away")
    if observed.cluster is None or observed.stale:
        parts.append("etcd away")
    parts += [f"{drifting} not as declared"] if drifting else []
    parts += [f"{len(status.steps)} to do"] if status.steps else []
    parts += [f"{len(status.blocked)} held back"] if status.blocked else []
    return ", ".join(parts)


def unready(observed: Observed, plan: Plan) -> tuple[str, ...]:
    """Why this agent cannot do its work now, in words; empty when it can."""
    reasons = [each.reason for each in plan.blocked if each.kind in ("engine", "store")]
    if observed.cluster is None or observed.cluster.accepted is None:
        reasons.append("no intent is in force")
    return tuple(reasons)


def _role(observed: Observed, status: HostStatus) -> str:
    if observed.fence:
        return "leading"
    if status.state != "active":
        return f"swarm {status.state}"
    return "manager" if status.is_manager else "worker"
