"""The figures: what a pass and a step do to the metrics."""

from collections.abc import Mapping
from types import MappingProxyType

from agent.metrics.gauges import Pass, gauges
from agent.metrics.label_values import START_FAILURES, action_of
from agent.metrics.registry import Metrics
from agent.model.observed import Observed
from agent.model.plan import Outcome, Step
from agent.report.copies import Copies
from agent.report.drift import Drift, Since, since_when
from agent.report.failures import failure_reason, rejection_reason, services_by_resource
from agent.report.view import View


class Figures:
    """Counts what changes from pass to pass. For the loop's thread, but for `ended`, which any worker may call."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self._copies = Copies()
        self._services: Mapping[str, tuple[str, ...]] = MappingProxyType({})
        self._drift: frozenset[Drift] = frozenset()
        self._since: Since = {}
        self._refused = 0
        self._led = False
        self._applied_at = self._succeeded_at = 0.0

    def passed(self, view: View, now: float) -> None:
        """Count and show one pass; `now` in seconds since the epoch."""
        if view.observed.host:
            self._metrics.show_engine(view.observed.host.engine_version)
        self._count_leadership(view.observed)
        self._count_refusal(view)
        self._count_drift(view, now)
        self._count_copies(view.observed)
        self._metrics.count("reconcile_total", view.result)
        if view.etcd_answered and view.observed.host is not None:
            self._succeeded_at = now
        if view.carried_out:
            self._applied_at = now
        self._metrics.show(gauges(self._shown(view)))

    def pass_failed(self) -> None:
        self._metrics.count("reconcile_total", "error")

    def timed(self, phases: Mapping[str, float]) -> None:
        for phase, seconds in phases.items():
            self._metrics.time("reconcile_duration_seconds", seconds, phase)

    def ended(self, outcome: Outcome) -> None:
        """Count a step, and the copies that do not come up because it failed. One that was overtaken was none."""
        if outcome.overtaken:
            return
        step, result = outcome.step, "error" if outcome.error else "ok"
        self._metrics.count("actions_total", step.kind, action_of(step), result)
        if outcome.error and (reason := failure_reason(step, outcome.error)):
            self._count_failure(step, reason)

    def _shown(self, view: View) -> Pass:
        return Pass(
            observed=view.observed,
            plan=view.plan,
            in_flight=view.in_flight,
            drift=view.drift,
            since=self._since,
            revision=view.status.revision,
            applied_at=self._applied_at,
            succeeded_at=self._succeeded_at,
        )

    def _count_failure(self, step: Step, reason: str) -> None:
        for service in self._services.get(step.resource, ()):
            self._metrics.count("container_start_failures_total", service, reason)

    def _count_leadership(self, observed: Observed) -> None:
        leads = observed.fence is not None
        if leads and not self._led:
            self._metrics.count("leader_changes_total")
        self._led = leads

    def _count_refusal(self, view: View) -> None:
        document = view.observed.cluster.document if view.observed.cluster else None
        waits = any(each.resource == "intent" and each.kind == "confirm" for each in view.plan.blocked)
        if document is None or document.revision == self._refused or (document.intent and not waits):
            return
        self._refused = document.revision
        reason = "guard" if document.intent else rejection_reason(document.faults)
        self._metrics.count("intent_rejections_total", reason)

    def _count_drift(self, view: View, now: float) -> None:
        for each in view.drift - self._drift:
            self._metrics.count("drift_detected_total", each.kind, each.field)
        since = since_when(view.drift, self._since, now)
        for kind, *_ in self._since.keys() - since.keys():
            self._metrics.count("drift_healed_total", kind)
        self._drift, self._since = view.drift, since

    def _count_copies(self, observed: Observed) -> None:
        cluster = observed.cluster
        if cluster is None or cluster.assignment is None:
            return
        copies = cluster.assignment.copies
        self._metrics.retain(
            "container_restarts_total", ((each.service, str(each.number)) for each in copies)
        )
        services = {each.service for each in copies}
        self._metrics.retain(
            "container_start_failures_total", ((name, why) for name in services for why in START_FAILURES)
        )
        self._services = services_by_resource(cluster)
        known = {(each.service, each.number) for each in copies}
        for fate in self._copies.look(observed.host.containers) if observed.host else ():
            if (fate.service, fate.number) not in known:
                continue
            labels = (fate.service, str(fate.number))
            self._metrics.count("container_restarts_total", *labels, by=fate.restarts)
            if fate.ended_early:
                self._metrics.count("container_start_failures_total", fate.service, "exit")
