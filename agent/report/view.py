"""A pass as the reporter looks at it: what was seen and planned, and what was made of it."""

from collections.abc import Mapping
from dataclasses import dataclass

from agent.diff.identity import must_not_act
from agent.model.observed import Observed
from agent.model.outcome import Failure
from agent.model.records import HostStatus
from agent.model.steps import Plan, Step
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
