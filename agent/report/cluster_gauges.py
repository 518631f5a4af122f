"""The gauges of the whole cluster, from the conditions that the leader sees. No other agent exposes them.

They outlive a host: a service whose hosts are all unreachable keeps its series, with `ready` 0 and `unknown` n.
"""

import threading
from collections import Counter
from collections.abc import Callable, Iterator

import structlog

from agent.conditions import ClusterConditions, Condition, conditions_of
from agent.diff.nodes import quorum
from agent.model.observed import Observed
from agent.report.definitions import MANAGERS, REPLICAS, STATES, Series

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
        error = observed.store_alarm or observed.store_error
        try:
            return cluster_gauges(
                conditions_of(observed.cluster, now_s=self._now(), store_error=error), observed
            )
        except Exception:
            # The scrape goes on: the other metrics do not depend on the cluster.
            log.exception("report failed", part="metrics of the cluster")
            return {}


def cluster_gauges(conditions: ClusterConditions, observed: Observed) -> dict[str, Series]:
    """Return the gauges of the cluster, by name without prefix."""
    declared = Counter[str](each.condition.state for each in conditions.hosts if each.declared)
    return {
        "cluster_converged": {(): float(conditions.converged)},
        "cluster_replicas": _replicas(conditions),
        "cluster_hosts": {(state,): float(declared[state]) for state in STATES},
        "cluster_host_state": {
            (each.condition.name, each.condition.state, each.condition.reason): 1.0
            for each in conditions.hosts
        },
        "cluster_condition": _count(conditions),
        "cluster_rollout_state": {(each.name, each.reason): 1.0 for each in conditions.rollouts},
        "cluster_quorum": _quorum(conditions, observed),
    }


def _replicas(conditions: ClusterConditions) -> Series:
    return {
        (each.condition.name, state): float(getattr(each, state))
        for each in conditions.services
        for state in REPLICAS
    }


def _count(conditions: ClusterConditions) -> Series:
    """Count the resources by state and reason. A state without resources has one series, without a reason."""
    found = Counter[tuple[str, str]]((each.state, each.reason) for each in _each(conditions))
    series: Series = {labels: float(number) for labels, number in sorted(found.items())}
    used = {state for state, _ in found}
    return series | {(state, ""): 0.0 for state in STATES if state not in used}


def _each(conditions: ClusterConditions) -> Iterator[Condition]:
    """Return the condition of every resource below the cluster."""
    yield from (conditions.store, conditions.document, conditions.leader, conditions.quorum, *conditions.keys)
    yield from (each.condition for each in conditions.hosts)
    yield from (*conditions.networks, *conditions.images, *conditions.rollouts)
    yield from (each.condition for each in conditions.services)
    yield from (each.condition for each in conditions.replicas)


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
    return {(state,): float(count) for state, count in zip(MANAGERS, counts, strict=True)}
