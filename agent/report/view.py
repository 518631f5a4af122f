"""A pass as the reporter looks at it: what was seen and planned, and what was made of it."""

from collections.abc import Mapping
from dataclasses import dataclass

from agent.diff.replicas import must_not_act
from agent.model.plan import Failure, Observed, Plan, Step
from agent.model.status import HostStatus
from agent.report.drift import Drift


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    observed: Observed
    plan: Plan
    in_flight: tuple[Step, ...]
    failures: Mapping[str, Failure]
    status: HostStatus
    drift: frozenset[Drift]
    carried_out: bool
    """Whether the host is in every way as the intent in force says of it."""

    @property
    def etcd_answered(self) -> bool:
        return self.observed.cluster is not None and not self.observed.stale

    @property
    def may_write(self) -> bool:
        """Whether this agent may speak in the name of its host now."""
        return self.etcd_answered and not must_not_act(self.observed)

    @property
    def result(self) -> str:
        """What came of the pass, in the metric's words: error, ok (something to do), blocked or noop."""
        if not self.etcd_answered or self.observed.host is None or self.failures:
            return "error"
        if self.plan.steps or self.in_flight:
            return "ok"
        return "blocked" if self.plan.blocked else "noop"


# ---- The state of a host in a few words: for `systemctl status`, and for who asks whether it is ready

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
