"""What Prometheus scrapes in a named state of a cluster: every agent's page, made by the product from the reports.

Each host that reports is rebuilt from its report, as the leader does it, and passes through the agent's own counters
and gauges. A host without presence has no page.
"""

from collections.abc import Iterator
from dataclasses import replace
from typing import NamedTuple

from prometheus_client.parser import text_string_to_metric_families

from agent.diff.reported import NOTHING_THERE, host_of
from agent.model.observed import ClusterState, Observed
from agent.model.plan import Blocked, Plan
from agent.model.status import HostStatus, Waiting
from agent.model.store import Fence, Upkeep
from agent.report.counters import Counters
from agent.report.drift import Look, find_drift
from agent.report.gauges import ClusterGauges, View
from agent.report.registry import Metrics
from tests.support.cluster_states import HEALTHY, NOW_S, STORE_ERRORS

AWAY = "etcd does not answer"
FENCE = Fence(key="/swarmkeeper/prod/leader", create_revision=5)


class Sample(NamedTuple):
    name: str
    labels: dict[str, str]
    value: float


def pages(name: str, state: ClusterState) -> dict[str, tuple[Sample, ...] | None]:
    """Return the page of each host of the state `name`; None: no agent answers there."""
    declared = state.accepted.hosts if state.accepted else ()
    hosts = dict.fromkeys((*(each.name for each in declared), *state.present))
    return {host: _page(name, state, host) for host in hosts}


def _page(name: str, state: ClusterState, host: str) -> tuple[Sample, ...] | None:
    status, instance = state.statuses.get(host), state.present.get(host)
    if instance is None or (status and status.stopped):
        return None
    if status and status.instance != instance:
        return ()  # it starts: its first pass has not ended
    metrics = Metrics(version="test", host=host, cluster=name)
    view = _view(state, host, status, STORE_ERRORS.get(name, ""))
    Counters(metrics).passed(view, NOW_S)
    metrics.show_cluster(ClusterGauges(view.observed, lambda: NOW_S))
    return tuple(_samples(metrics))


def _view(state: ClusterState, host: str, status: HostStatus | None, store_error: str) -> View:
    away = store_error == AWAY
    observed = Observed(
        me=host,
        host=host_of(status) if status else NOTHING_THERE,
        cluster=replace(state, assignment=state.assignments.get(host)),
        stale=away,
        store_error=store_error if away else "",
        upkeep=Upkeep(alarm="" if away else store_error),
        fence=FENCE if state.leader == host and not away else None,
    )
    plan = Plan(
        blocked=tuple(
            Blocked(resource=each.resource, reason=each.reason, kind=each.kind)  # type: ignore[arg-type]
            for each in (status.blocked if status else ())
            if each.kind != "error"  # a failed step, which no plan has
        ),
        waiting=tuple(
            Waiting(resource=each.resource, reason=each.reason, on=each.on)
            for each in (status.waiting if status else ())
        ),
    )
    return View(
        observed=observed,
        plan=plan,
        status=status or HostStatus(instance=state.present[host], at="", agent_version=""),
        drift=find_drift(observed, plan, (), frozenset(), _earlier(host)),
    )


def _earlier(host: str) -> Look:
    """Return the look before the fault: the host was as declared."""
    status = HEALTHY.statuses.get(host)
    return Look(host_of(status) if status else None, HEALTHY)


def _samples(metrics: Metrics) -> Iterator[Sample]:
    for family in text_string_to_metric_families(metrics.exposition().decode()):
        for each in family.samples:
            if each.name.startswith(("swarmkeeper_", "process_")):
                yield Sample(each.name, dict(each.labels), each.value)
