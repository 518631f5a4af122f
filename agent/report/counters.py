"""The counters: the effect of a pass and of a step on the metrics."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import NamedTuple, get_args

from agent.diff.replicas import container_name, ended_early, is_about_an_address
from agent.model import plan, steps
from agent.model.faults import Fault, FaultKind
from agent.model.host_state import ContainerState
from agent.model.observed import ClusterState, Observed
from agent.model.records import seconds_of
from agent.report import definitions, drift, registry
from agent.report.gauges import View, gauges

# ---- Restarts and early ends of replicas between two observations


class ReplicaChange(NamedTuple):
    service: str
    slot: int
    restarts: int
    ended_early: bool


@dataclass(slots=True)
class Replicas:
    """The containers of the last observation, compared with those of the next one."""

    _seen: dict[str, ContainerState] | None = None

    def compare(self, containers: tuple[ContainerState, ...]) -> tuple[ReplicaChange, ...]:
        """Return the changes since the last observation; none for the first one."""
        before, self._seen = self._seen, {each.id: each for each in containers}
        if before is None:
            return ()
        return tuple(filter(None, (_change(before.get(each.id), each) for each in containers)))


def _change(old: ContainerState | None, new: ContainerState) -> ReplicaChange | None:
    restarts = _restarts(old, new)
    failed = new.status != "running" and new.exit_code != 0 and not new.interrupted
    early = failed and ended_early(new.started_at, new.finished_at)
    early = early and (old is None or old.finished_at != new.finished_at)
    return ReplicaChange(*new.replica.key, restarts, early) if restarts or early else None


def _restarts(old: ContainerState | None, new: ContainerState) -> int:
    """Return the starts after the first. Docker counts only its own, and resets the count at any other start."""
    if old is None:
        return new.restarts
    if new.restarts > old.restarts:
        return new.restarts - old.restarts
    started_again = seconds_of(old.started_at) is not None and new.started_at != old.started_at
    return max(new.restarts, 1) if started_again else 0


# ---- The reason why a replica did not start, as a label, from Docker's error message

_REASONS = (
    ("port", ("port is already allocated", "address already in use", "external connectivity")),
    ("oom", ("out of memory", "oom", "cannot allocate memory")),
    ("network", ("network", "endpoint", "address already in use by", "swarm")),
    ("exit", ("oci runtime", "shim task", "exec:", "no such file", "executable file")),
)


def services_by_resource(cluster: ClusterState) -> dict[str, tuple[str, ...]]:
    """Map the resource of a container or image step to the services that need it."""
    assignment = cluster.assignment
    found: dict[str, set[str]] = {}
    for replica in assignment.replicas if assignment else ():
        name = container_name(assignment.project, replica) if assignment else ""
        found.setdefault(f"container/{name}", set()).add(replica.service)
        if spec := cluster.specs.get(replica.spec):
            found.setdefault(f"image/{spec.image}", set()).add(replica.service)
    return {resource: tuple(sorted(services)) for resource, services in found.items()}


def failure_reason(step: plan.Step, error: str) -> str | None:
    """Return one of START_FAILURES; None for a step that no replica needs to start."""
    if isinstance(step, steps.PullImage):
        return "pull"
    if not isinstance(step, steps.CreateContainer | steps.StartContainer):
        return None
    text = error.lower()
    if is_about_an_address(error):
        return "network"
    return next((reason for reason, parts in _REASONS if any(part in text for part in parts)), "other")


def rejection_reason(faults: tuple[Fault, ...]) -> FaultKind:
    """Return the earliest kind of the faults of a refused document, as a label."""
    return next(
        (kind for kind in get_args(FaultKind) if any(each.kind == kind for each in faults)), "semantic"
    )


class Counters:
    """Counts the changes from pass to pass. Only the loop's thread may use it, except `ended`: any worker."""

    def __init__(self, metrics: registry.Metrics) -> None:
        self._metrics = metrics
        self._replicas = Replicas()
        self._services: Mapping[str, tuple[str, ...]] = MappingProxyType({})
        self._drift: frozenset[drift.Drift] = frozenset()
        self._since: drift.Since = {}
        self._refused = 0
        self._led = False
        self._applied_at = self._succeeded_at = 0.0

    def passed(self, view: View, now: float) -> None:
        """Count one pass and set the gauges; `now` in seconds since the epoch."""
        if view.observed.host:
            self._metrics.show_engine(view.observed.host.engine_version)
        led, self._led = self._led, view.observed.fence is not None
        if self._led and not led:
            self._metrics.count("leader_changes_total")
        self._count_refusal(view)
        self._count_drift(view, now)
        self._count_replicas(view.observed)
        self._metrics.count("reconcile_total", view.result)
        if view.etcd_answered and view.observed.host is not None:
            self._succeeded_at = now
        if view.carried_out:
            self._applied_at = now
        self._metrics.show(
            gauges(view, self._since, applied_at=self._applied_at, succeeded_at=self._succeeded_at)
        )

    def pass_failed(self) -> None:
        self._metrics.count("reconcile_total", "error")

    def timed(self, phases: Mapping[str, float]) -> None:
        for phase, seconds in phases.items():
            self._metrics.time("reconcile_duration_seconds", seconds, phase)

    def ended(self, outcome: plan.Outcome) -> None:
        """Count a completed step, and the replicas that its failure keeps from starting. Ignore a stale step."""
        if outcome.stale:
            return
        step, result = outcome.step, "error" if outcome.error else "ok"
        self._metrics.count("actions_total", step.kind, definitions.action_of(step), result)
        if outcome.error and (reason := failure_reason(step, outcome.error)):
            for service in self._services.get(step.resource, ()):
                self._metrics.count("container_start_failures_total", service, reason)

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
        since = drift.since_when(view.drift, self._since, now)
        for kind, *_ in self._since.keys() - since.keys():
            self._metrics.count("drift_healed_total", kind)
        self._drift, self._since = view.drift, since

    def _count_replicas(self, observed: Observed) -> None:
        cluster = observed.cluster
        if cluster is None or cluster.assignment is None:
            return
        replicas = cluster.assignment.replicas
        known = {(each.service, str(each.slot)) for each in replicas}
        self._metrics.retain("container_restarts_total", known)
        services = {each.service for each in replicas}
        self._metrics.retain(
            "container_start_failures_total",
            ((name, why) for name in services for why in definitions.START_FAILURES),
        )
        self._services = services_by_resource(cluster)
        for change in self._replicas.compare(observed.host.containers) if observed.host else ():
            labels = (change.service, str(change.slot))
            if labels not in known:
                continue
            self._metrics.count("container_restarts_total", *labels, by=change.restarts)
            if change.ended_early:
                self._metrics.count("container_start_failures_total", change.service, "exit")
