"""The gauges of a pass, as pure functions: a test can pass in any state."""

import threading
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property

import structlog

from agent.conditions import ClusterConditions, OwnHost, conditions_of, own_host
from agent.diff import bridge, networks, replicas
from agent.diff.nodes import quorum
from agent.model.host_state import ContainerState, HostState
from agent.model.intent import GWBRIDGE, Intent
from agent.model.observed import ClusterState, Observed
from agent.model.plan import Failure, Plan, Step
from agent.model.spec import Key
from agent.model.status import HostStatus
from agent.report import definitions
from agent.report.definitions import Series
from agent.report.drift import Drift, Since


@dataclass(frozen=True, kw_only=True)  # no slots: cached_property needs a __dict__
class View:
    """One pass for the reporter: observation, plan and results."""

    observed: Observed
    plan: Plan
    in_flight: tuple[Step, ...] = ()
    failures: Mapping[str, Failure] = field(default_factory=dict)
    status: HostStatus
    drift: frozenset[Drift] = frozenset()
    carried_out: bool = False
    """True if the host has carried out the accepted intent in full."""

    @cached_property
    def own(self) -> OwnHost:
        """The conditions of this host and its replicas."""
        return own_host(self.observed, self.status)

    @property
    def etcd_answered(self) -> bool:
        return self.observed.cluster is not None and not self.observed.stale

    @property
    def may_write(self) -> bool:
        """True if this agent may write the status of its host now."""
        return self.etcd_answered and not replicas.must_not_act(self.observed)

    @property
    def result(self) -> str:
        """One of RESULTS: error, ok (there are steps), blocked or noop."""
        if not self.etcd_answered or self.observed.host is None or self.failures:
            return "error"
        if self.plan.steps or self.in_flight:
            return "ok"
        return "blocked" if self.plan.blocked else "noop"


NOTHING_YET = View(
    observed=Observed(me="", host=None, cluster=None),
    plan=Plan(),
    status=HostStatus(instance="", at="", agent_version=""),
)


def gauges(
    view: View, since: Since, *, applied_at: float = 0.0, succeeded_at: float = 0.0
) -> dict[str, Series]:
    """Return the gauges after this pass, by name without prefix. Times are in seconds since the epoch, 0 for never."""
    observed = view.observed
    return {
        **_intent(observed, view.status.revision),
        "intent_applied_timestamp_seconds": {(): applied_at},
        **_store(observed),
        "reconcile_last_success_timestamp_seconds": {(): succeeded_at},
        "drift_since_timestamp_seconds": dict(since),
        **_loop(view),
        **_swarm(observed),
        **_networks(observed),
        **_replicas(observed),
        "drained": _drained(observed),
    }


def _one_of(names: Iterable[str], chosen: str | None) -> Series:
    return {(name,): float(name == chosen) for name in names}


def _is(fact: bool) -> Series:
    return {(): float(fact)}


def _intent(observed: Observed, applied: int) -> dict[str, Series]:
    cluster, accepted = observed.cluster, observed.accepted
    document = cluster.document if cluster else None
    seen = document.revision if document else 0
    accepted_revision = accepted.revision if accepted else 0
    return {
        "intent_revision": {("seen",): seen, ("accepted",): accepted_revision, ("applied",): applied},
        "intent_valid": _is(document is None or document.intent is not None),
        "mode": _one_of(definitions.MODES, accepted.policy.mode if accepted else None),
    }


def _store(observed: Observed) -> dict[str, Series]:
    return {
        "leader": _is(observed.fence is not None),
        "store_up": _is(observed.cluster is not None and not observed.stale),
        "docker_up": _is(observed.host is not None),
        "assignment_source": _one_of(definitions.SOURCES, observed.source if observed.cluster else None),
        "assignment_seen_timestamp_seconds": {(): observed.seen_at},
        "state_kept": _is(not observed.state_fault),
        "store_database_bytes": {
            (kind,): float(size) for kind in definitions.SIZES if (size := getattr(observed.upkeep, kind))
        },
    }


def _loop(view: View) -> dict[str, Series]:
    open_steps = {(step.kind, step.verb, step.resource) for step in (*view.plan.steps, *view.in_flight)}
    pending = Counter(kind for kind, _, _ in open_steps)
    reasons = {each.kind for each in view.plan.blocked}
    return {
        "actions_pending": {(kind,): float(pending[kind]) for kind in definitions.KINDS},
        "blocked": {(kind,): float(kind in reasons) for kind in definitions.BLOCKED},
        "waiting": {(): float(len({each.resource for each in view.plan.waiting}))},
        "drift": {tuple(each): 1.0 for each in sorted(view.drift)},
    }


def _swarm(observed: Observed) -> dict[str, Series]:
    accepted, swarm = observed.accepted, observed.host.swarm if observed.host else None
    nodes = swarm.nodes if swarm else None
    states = Counter(node.state for node in nodes or ())
    managers = [node for node in nodes or () if node.role == "manager"]
    reachable = sum(1 for node in managers if node.reachable)
    active = swarm is not None and swarm.local == "active"
    role = ("manager" if swarm.is_manager else "worker") if swarm and active else None
    return {
        "swarm_state": _one_of(definitions.LOCAL_STATES, swarm.local if swarm else None),
        "swarm_role": _one_of(definitions.ROLES, role),
        "swarm_control_available": _is(role == "manager" and nodes is not None),
        "swarm_managers_declared": {(): float(len(accepted.managers) if accepted else 0)},
        "swarm_managers_reachable": {(): float(reachable)},
        "swarm_quorum": _is(reachable >= quorum(len(managers)) and bool(managers)),
        "swarm_nodes": {(state,): float(states[state]) for state in definitions.NODE_STATES},
    }


def _networks(observed: Observed) -> dict[str, Series]:
    accepted, host, cluster = observed.accepted, observed.host, observed.cluster
    if accepted is None or host is None or cluster is None:
        return {"network_info": {}, "gwbridge_ok": _is(False), "overlay_ok": _is(False)}
    names = (GWBRIDGE, *(each.name for each in accepted.networks))
    return {
        "network_info": {
            (found.name, str(found.subnet or ""), found.gateway or ""): 1.0
            for found in host.networks
            if found.name in names
        },
        "gwbridge_ok": _is(not bridge.bridge_differences(accepted.gwbridge, host)),
        "overlay_ok": _is(_overlays_ok(accepted, host, cluster)),
    }


def _overlays_ok(intent: Intent, host: HostState, cluster: ClusterState) -> bool:
    known = cluster.record.networks if cluster.record else ()
    for wanted in intent.networks:
        if wanted.driver != "overlay":
            continue
        if networks.strangers(wanted, host, cluster.record):
            return False
        found = networks.found_for(wanted, host, cluster.record)
        # A worker lists an overlay only while it runs a container on it. Otherwise the leader's record counts.
        if wanted.name not in known if found is None else networks.overlay_differences(wanted, found):
            return False
    return host.swarm.local == "active"


def _replicas(observed: Observed) -> dict[str, Series]:
    replicas = observed.assignment.replicas if observed.assignment else ()
    desired = Counter(replica.service for replica in replicas)
    series: dict[str, Series] = {
        "service_replicas_desired": {(name,): n for name, n in sorted(desired.items())}
    }
    if observed.host is None:
        return series  # the number that run is unknown; docker_up is 0
    assigned = {replica.key for replica in replicas}
    running = [each for each in observed.host.containers if each.status == "running"]
    ran = _services(assigned, running)
    healthy = _services(assigned, (each for each in running if each.health in ("", "healthy")))
    series |= _each(observed.cluster, observed.host, assigned)
    series["service_replicas_running"] = {(name,): float(ran[name]) for name in sorted(desired)}
    series["service_replicas_healthy"] = {(name,): float(healthy[name]) for name in sorted(desired)}
    return series


def _drained(observed: Observed) -> Series:
    accepted, host = observed.accepted, observed.host
    declared = accepted.host(observed.me) if accepted else None
    drains = declared is not None and declared.availability == "drain"
    return _is(drains and host is not None and not host.containers)


def _services(assigned: set[Key], containers: Iterable[ContainerState]) -> Counter[str]:
    found = {each.replica.key for each in containers}
    return Counter(service for service, _ in found & assigned)


def _each(cluster: ClusterState | None, host: HostState, assigned: set[Key]) -> dict[str, Series]:
    """Return the gauges that have one series per replica."""
    crashes: Series = {}
    outdated: Series = {}
    for found in host.containers:
        replica = found.replica
        if replica.key in assigned:
            label = (replica.service, str(replica.slot))
            crashes[label] = max(float(found.crashes), crashes.get(label, 0.0))
            if cluster and replicas.image_now(cluster, host, found):
                outdated[label] = 1.0
    return {"replica_crashes": crashes, "replica_image_outdated": outdated}


# ---- The gauges of the whole cluster, from the conditions that the leader sees. No other agent exposes them
#
# They outlive a host: a service whose hosts are all unreachable keeps its series, with `ready` 0 and `unknown` n.

log = structlog.get_logger()


class ClusterGauges:
    """The gauges of the cluster after one pass, computed at the first scrape after it. Any thread may call this.

    Most passes are not scraped, so a pass itself computes nothing of the cluster.
    """

    def __init__(self, observed: Observed, now: Callable[[], float]) -> None:
        """`now` gives seconds since the epoch."""
        self._observed, self._now = observed, now
        self._lock = threading.Lock()
        self._found: dict[str, Series] | None = None

    def __call__(self) -> dict[str, Series]:
        """Return the gauges by name without prefix; none on a host that is not the leader or does not read etcd."""
        with self._lock:
            if self._found is None:
                self._found = self._compute()
            return self._found

    def _compute(self) -> dict[str, Series]:
        observed = self._observed
        if observed.fence is None or observed.cluster is None or observed.stale:
            return {}
        error = observed.upkeep.alarm or observed.store_error
        try:
            return cluster_gauges(
                conditions_of(observed.cluster, now_s=self._now(), store_error=error), observed
            )
        except Exception:
            # The scrape goes on: the other metrics do not depend on the cluster.
            log.exception("report failed", part="metrics of the cluster")
            return {}


def cluster_gauges(conditions: ClusterConditions, observed: Observed) -> dict[str, Series]:
    declared = Counter[str](each.condition.state for each in conditions.hosts if each.declared)
    return {
        "cluster_converged": {(): float(conditions.converged)},
        "cluster_replicas": {
            (each.condition.name, state): float(getattr(each, state))
            for each in conditions.services
            for state in definitions.REPLICAS
        },
        "cluster_hosts": {(state,): float(declared[state]) for state in definitions.STATES},
        "cluster_host_state": {
            (each.condition.name, each.condition.state, each.condition.reason): 1.0
            for each in conditions.hosts
        },
        "cluster_condition": _count(conditions),
        "cluster_rollout_state": {(each.name, each.reason): 1.0 for each in conditions.rollouts},
        "cluster_quorum": _quorum(conditions, observed),
        "cluster_store_keeps_history": {} if (keeps := observed.upkeep.keeps_history) is None else _is(keeps),
    }


def _count(conditions: ClusterConditions) -> Series:
    """Count the resources by state and reason. A state without resources has one series, without a reason."""
    found = Counter[tuple[str, str]]((each.state, each.reason) for each in conditions.every())
    series: Series = {labels: float(number) for labels, number in sorted(found.items())}
    used = {state for state, _ in found}
    return series | {(state, ""): 0.0 for state in definitions.STATES if state not in used}


def _quorum(conditions: ClusterConditions, observed: Observed) -> Series:
    """Count the managers as the leader's manager lists them; if it lists none, as their agents report."""
    declared = [each for each in conditions.hosts if each.declared == "manager"]
    nodes = observed.host.swarm.nodes if observed.host else None
    if nodes is None:
        listed = len(declared)
        reachable = sum(each.current and each.engine_up and each.role == "manager" for each in declared)
    else:
        managers = [each for each in nodes if each.role == "manager"]
        listed, reachable = len(managers), sum(each.reachable is True for each in managers)
    counts = (len(declared), listed, reachable, quorum(listed))
    return {(state,): float(count) for state, count in zip(definitions.MANAGERS, counts, strict=True)}
