"""The gauges of the whole cluster in every named state, and how many series they are."""

import re
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import get_args

import pytest
from structlog.testing import capture_logs

from agent.conditions import conditions_of, finding
from agent.diff.reported import host_of
from agent.model.observed import Observed
from agent.model.store import Upkeep
from agent.report import definitions
from agent.report.definitions import DEFINITIONS, Series
from agent.report.gauges import ClusterGauges
from agent.report.registry import Metrics
from tests.support.cluster_states import CLUSTERS, HEALTHY, NOW_S, STORE_ERRORS
from tests.support.exposed_cluster import AWAY, FENCE, pages

PAGE = Path(__file__).parents[3] / "docs/metrics.md"
LED = [name for name in CLUSTERS if STORE_ERRORS.get(name) != AWAY]


def shown(name: str) -> dict[str, Series]:
    state = CLUSTERS[name]
    status = state.statuses.get(state.leader or "")
    me = Observed(
        me=state.leader or "",
        host=host_of(status) if status else None,
        cluster=state,
        fence=FENCE,
        upkeep=Upkeep(alarm=STORE_ERRORS.get(name, "")),
    )
    return ClusterGauges(me, lambda: NOW_S)()


def in_short(name: str) -> str:
    """Return `<service> <ready>/<desired>`, with ?<unknown>, then the declared hosts by state."""
    found = shown(name)
    numbers: dict[str, dict[str, int]] = {}
    for (service, state), value in found["cluster_replicas"].items():
        numbers.setdefault(service, {})[state] = int(value)
    services = [
        f"{service} {each['ready']}/{each['desired']}" + (f"?{each['unknown']}" if each["unknown"] else "")
        for service, each in numbers.items()
    ]
    hosts = [f"{state} {int(value)}" for (state,), value in found["cluster_hosts"].items() if value]
    return ", ".join((*services, *hosts))


EXPECTED: dict[str, str] = {
    "healthy": "web 3/3, order 4/4, billing 1/1, Ready 3",
    "crash loop, exited": "web 3/3, order 4/4, billing 0/1, Ready 3",
    "crash loop, between two exits": "web 3/3, order 4/4, billing 0/1, Ready 3",
    "crash loop, restarted by docker": "web 3/3, order 4/4, billing 0/1, Ready 3",
    "leader lock without a lease": "web 3/3, order 4/4, billing 1/1, Ready 3",
    "exited once": "web 3/3, order 4/4, billing 0/1, Ready 3",
    "unhealthy": "web 2/3, order 4/4, billing 1/1, Ready 3",
    "health check has not passed yet": "web 2/3, order 4/4, billing 1/1, Ready 3",
    "monitor window runs": "web 3/3, order 4/4, billing 0/1, Ready 3",
    "differs from its spec": "web 3/3, order 4/4, billing 1/1, Ready 3",
    "paused container": "web 3/3, order 4/4, billing 0/1, Ready 3",
    "start failed": "web 3/3, order 4/4, billing 0/1, Ready 3",
    "replica still on its earlier host": "web 3/3, order 4/4, billing 1/1, Ready 2, Progressing 1",
    "two containers of a slot": "web 3/3, order 4/4, billing 1/1, Ready 3",
    "host off for 6 minutes": "web 2/3?1, order 3/4?1, billing 0/1?1, Ready 2, Unknown 1",
    "host cut off from etcd": "web 2/3?1, order 3/4?1, billing 0/1?1, Ready 2, Unknown 1",
    "host off, its last report blocked": "web 2/3?1, order 3/4?1, billing 0/1?1, Ready 2, Unknown 1",
    "host never seen": "web 2/3?1, order 3/4?1, billing 1/1, Ready 2, Unknown 1",
    "host starting": "web 2/3?1, order 3/4?1, billing 0/1?1, Ready 2, Unknown 1",
    "agent stopped": "web 2/3?1, order 3/4?1, billing 0/1?1, Ready 2, Unknown 1",
    "every agent stopped": "web 0/3?3, order 0/4?4, billing 0/1?1, Unknown 3",
    "dockerd down": "web 2/3?1, order 3/4?1, billing 0/1?1, Ready 2, Degraded 1",
    "frozen: the report is old": "web 2/3?1, order 3/4?1, billing 0/1?1, Ready 2, Unknown 1",
    "manager in error": "web 3/3, order 4/4, billing 1/1, Ready 2, Degraded 1",
    "outside the swarm nothing is attached": "web 3/3, order 4/4, billing 1/1, Ready 2, Degraded 1",
    "outside the swarm nothing starts": "web 3/3, order 4/4, billing 0/1, Ready 2, Degraded 1",
    "swarm locked": "web 3/3, order 4/4, billing 1/1, Ready 2, Blocked 1",
    "not in the swarm": "web 2/3, order 3/4, billing 1/1, Ready 2, Degraded 1",
    "node down": "web 3/3, order 4/4, billing 1/1, Ready 2, Degraded 1",
    "other address in the swarm": "web 3/3, order 4/4, billing 1/1, Ready 2, Degraded 1",
    "other address on the host": "web 3/3, order 4/4, billing 1/1, Ready 2, Degraded 1",
    "duplicate node": "web 3/3, order 4/4, billing 1/1, Ready 2, Blocked 1",
    "managers cut from each other": "web 3/3, order 4/4, billing 1/1, Ready 3",
    "quorum lost": "web 1/3?2, order 2/4?2, billing 0/1?1, Ready 1, Degraded 1, Unknown 1",
    "no leader": "web 3/3, order 4/4, billing 1/1, Ready 3",
    "paused": "web 3/3, order 4/4, billing 1/1, Ready 3",
    "paused, and a host is off": "web 2/3?1, order 3/4?1, billing 0/1?1, Ready 2, Unknown 1",
    "observe": "web 3/3, order 4/4, billing 1/1, Ready 3",
    "no document": "",
    "document refused": "web 3/3, order 4/4, billing 1/1, Ready 3",
    "first document refused": "",
    "guard": "web 3/3, order 4/4, billing 1/1, Ready 3",
    "no verdict": "web 3/3, order 4/4, billing 1/1, Ready 3",
    "etcd rolled back": "web 3/3, order 4/4, billing 1/1, Ready 3",
    "healthy rollout": "web 3/3, order 4/4, billing 1/1, Ready 1, Progressing 2",
    "rollout paused": "web 3/3, order 4/4, billing 1/1, Progressing 3",
    "rollback under way": "web 3/3, order 4/4, billing 1/1, Progressing 3",
    "rolled back": "web 3/3, order 4/4, billing 1/1, Progressing 3",
    "rollback paused": "web 3/3, order 4/4, billing 1/1, Progressing 3",
    "first start": "web 0/3, order 0/4, billing 0/1, Progressing 3",
    "newest revision not assigned": "web 3/3, order 4/4, billing 1/1, Progressing 3",
    "drain under way": "web 3/2, order 4/4, billing 1/1, Ready 2, Progressing 1",
    "drained": "web 2/2, order 4/4, billing 1/1, Ready 3",
    "drained and off": "web 2/2, order 4/4, billing 1/1, Ready 3",
    "join under way": "web 2/3, order 3/4, billing 1/1, Ready 2, Progressing 1",
    "wrong sealing key": "web 2/3, order 3/4, billing 1/1, Ready 2, Degraded 1",
    "unsealed tokens": "web 2/3, order 3/4, billing 1/1, Ready 2, Degraded 1",
    "earlier unlock key": "web 3/3, order 4/4, billing 1/1, Ready 3",
    "role change": "web 3/3, order 4/4, billing 1/1, Ready 2, Progressing 1",
    "bridge waits": "web 3/3, order 4/4, billing 1/1, Ready 2, Progressing 1",
    "bridge moves": "web 3/3, order 4/4, billing 1/1, Ready 2, Progressing 1",
    "bridge held": "web 3/3, order 4/4, billing 1/1, Ready 2, Blocked 1",
    "foreign port": "web 3/3, order 4/4, billing 0/1, Ready 3",
    "foreign name": "web 3/3, order 4/4, billing 0/1, Ready 3",
    "registry away": "web 3/3, order 4/4, billing 1/1, Progressing 3",
    "missing image at a first start": "web 3/3, order 0/4, billing 1/1, Progressing 3",
    "no host fits": "web 3/3, order 3/4, billing 1/1, Ready 3",
    "dependency waits": "web 0/3, order 4/4, billing 0/1, Ready 3",
    "dependency failed": "web 0/3, order 4/4, billing 0/1, Ready 3",
    "one-shot completed": "web 3/3, job 1/1, Ready 3",
    "one-shot failed": "web 3/3, job 0/1, Ready 3",
    "unreadable key": "web 3/3, order 4/4, billing 1/1, Ready 3",
    "unreadable status": "web 2/3?1, order 3/4?1, billing 0/1?1, Ready 2, Unknown 1",
    "undeclared host": "web 3/3, order 4/4, billing 1/1, Ready 3",
    "removed host is off": "web 3/3, order 4/4, billing 1/1, Ready 3",
    "quarantined host": "web 3/3, order 4/4, billing 1/1, Ready 2, Blocked 1",
    "two images of a dead registry": "web 1/3, order 1/4, billing 0/1, Ready 1, Progressing 2",
    "external volume missing": "web 3/3, order 4/4, billing 0/1, Ready 3",
    "setting that a host does not admit": "web 3/3, order 4/4, billing 0/1, Ready 3",
    "setting that the kernel ignores": "web 3/3, order 4/4, billing 1/1, Ready 3",
    "volume that docker cannot change": "web 3/3, order 4/4, billing 1/1, Ready 2, Blocked 1",
    "replica moves": "web 3/3, order 3/4, billing 1/1, Ready 3",
    "replica not assigned": "web 3/3, order 4/4, billing 0/1, Ready 3",
    "network cannot be created": "web 3/3, order 4/4, billing 1/1, Ready 3",
    "overlay of another network": "web 3/3, order 4/4, billing 1/1, Ready 3",
    "state not saved": "web 3/3, order 4/4, billing 1/1, Ready 2, Degraded 1",
    "etcd out of space": "web 0/3?3, order 0/4?4, billing 0/1?1, Unknown 3",
}


@pytest.mark.parametrize("name", LED)
def test_the_replicas_and_hosts_of_a_state(name: str) -> None:
    assert in_short(name) == EXPECTED[name]


def test_the_table_has_every_state_with_a_leader_that_reads_etcd() -> None:
    assert set(EXPECTED) == set(LED)


@pytest.mark.parametrize("name", LED)
def test_every_state_of_hosts_and_conditions_is_there_and_each_resource_is_counted_once(name: str) -> None:
    found = shown(name)
    conditions = conditions_of(CLUSTERS[name], now_s=NOW_S, store_error=STORE_ERRORS.get(name, ""))

    states = set(get_args(finding.State))
    assert {state for (state,) in found["cluster_hosts"]} == states
    assert {state for state, _ in found["cluster_condition"]} == states
    assert sum(found["cluster_hosts"].values()) == sum(1 for each in conditions.hosts if each.declared)
    assert {reason for _, reason in found["cluster_condition"]} <= {"", *get_args(finding.Reason)}
    resources = 4 + sum(
        len(each)
        for each in (
            conditions.keys,
            conditions.hosts,
            conditions.networks,
            conditions.images,
            conditions.rollouts,
            conditions.services,
            conditions.replicas,
        )
    )
    assert sum(found["cluster_condition"].values()) == resources


def test_a_service_outlives_its_only_host() -> None:
    replicas = shown("host off for 6 minutes")["cluster_replicas"]

    assert {state: replicas["billing", state] for state in definitions.REPLICAS} == {
        "desired": 1,
        "running": 0,
        "ready": 0,
        "updated": 0,
        "unknown": 1,
    }


def test_a_host_without_power_has_a_state_with_its_reason() -> None:
    assert shown("host off for 6 minutes")["cluster_host_state"] == {
        ("node-231", "Ready", "Ready"): 1,
        ("node-232", "Unknown", "Unreachable"): 1,
        ("node-233", "Ready", "Ready"): 1,
    }


@pytest.mark.parametrize(
    ("name", "series"),
    [
        ("healthy rollout", {("order", "Rollout"): 1}),
        ("rollout paused", {("order", "RolloutPaused"): 1}),
        ("rollback under way", {("order", "RollingBack"): 1}),
        ("rolled back", {("order", "RolledBack"): 1}),
        ("healthy", {}),
    ],
)
def test_a_rollout_has_a_state_until_it_is_done(name: str, series: Series) -> None:
    assert shown(name)["cluster_rollout_state"] == series


@pytest.mark.parametrize(
    ("name", "counts"),
    [("healthy", (3, 3, 3, 2)), ("host off for 6 minutes", (3, 3, 2, 2)), ("quorum lost", (3, 3, 1, 2))],
)
def test_the_managers_are_counted_also_when_none_lists_them(name: str, counts: tuple[float, ...]) -> None:
    found = shown(name)["cluster_quorum"]

    assert tuple(found[(state,)] for state in definitions.MANAGERS) == counts


LEADER = Observed(me="node-231", host=None, cluster=HEALTHY, fence=FENCE)


def test_only_a_leader_that_reads_etcd_exposes_the_cluster() -> None:
    defined = [each.name for each in DEFINITIONS if each.name.startswith("cluster_")]
    assert list(ClusterGauges(LEADER, lambda: NOW_S)()) == defined
    for other in (replace(LEADER, fence=None), replace(LEADER, stale=True), replace(LEADER, cluster=None)):
        assert ClusterGauges(other, lambda: NOW_S)() == {}


# ---- When they are computed


def test_they_are_computed_at_the_first_scrape_after_a_pass_by_its_clock_and_only_then() -> None:
    clock = iter((NOW_S + 3600,))
    old = {name: replace(each, refreshed=True) for name, each in HEALTHY.statuses.items()}
    of_cluster = ClusterGauges(replace(LEADER, cluster=replace(HEALTHY, statuses=old)), lambda: next(clock))
    metrics = Metrics(version="test")
    metrics.show_cluster(of_cluster)

    with ThreadPoolExecutor(4) as scrapes:
        pages = [scrapes.submit(metrics.exposition) for _ in range(4)]

    # An hour after the reports of format 1 none is current. Another call of the clock would raise StopIteration.
    assert {b'swarmkeeper_cluster_hosts{state="Unknown"} 3.0' in each.result() for each in pages} == {True}
    assert list(clock) == []


def test_a_defect_of_theirs_leaves_the_other_metrics_and_is_logged_once() -> None:
    def broken() -> float:
        raise RuntimeError("no clock")

    metrics = Metrics(version="test")
    metrics.show_cluster(ClusterGauges(LEADER, broken))
    with capture_logs() as lines:
        pages = [metrics.exposition() for _ in range(3)]

    assert [line["event"] for line in lines] == ["report failed"]
    assert all(b"swarmkeeper_store_up" in page and b"swarmkeeper_cluster_" not in page for page in pages)


# ---- How many series


def bound(page: str, **sizes: int) -> int:
    """Return the number of series that docs/metrics.md allows in the row `page` of its table."""
    row = re.search(rf"^\| {page} \| `(.*?)` \|", PAGE.read_text(), re.MULTILINE)
    assert row, page
    total = 0
    for term in row[1].split(" + "):
        number, _, size = term.partition(" ")
        total += int(number) * (sizes[size] if size else 1)
    return total


@pytest.mark.parametrize("name", CLUSTERS)
def test_three_hosts_stay_under_the_number_of_series_that_the_page_allows(name: str) -> None:
    state = CLUSTERS[name]
    intent = state.accepted
    rollouts = len(state.rollouts)
    for host, page in pages(name, state).items():
        assignment = state.assignments.get(host)
        replicas = assignment.replicas if assignment else ()
        of_cluster = [each for each in page or () if each.name.startswith("swarmkeeper_cluster_")]
        drift = Counter(each.name for each in page or () if "_drift" in each.name and each.name != HEALED)
        others = len(page or ()) - len(of_cluster) - sum(drift.values())
        services = len({each.service for each in replicas})
        networks = len(intent.networks) if intent else 0

        assert others <= bound("each agent", s=services, r=len(replicas), N=networks)
        known = len({*state.statuses, *state.present, *(each.name for each in intent.hosts)}) if intent else 3
        assert len(of_cluster) <= bound(
            "the leader, in addition", S=len(intent.services) if intent else 0, H=known, O=rollouts
        )


HEALED = "swarmkeeper_drift_healed_total"


@pytest.mark.parametrize(
    ("keeps", "series"), [(None, {}), (False, {(): 0.0}), (True, {(): 1.0})], ids=["not known", "no", "yes"]
)
def test_the_leader_shows_whether_etcd_keeps_old_revisions_unless_that_is_not_known(
    keeps: bool | None, series: Series
) -> None:
    seen = Observed(me="node-1", host=None, cluster=HEALTHY, fence=FENCE, upkeep=Upkeep(keeps_history=keeps))
    assert ClusterGauges(seen, lambda: NOW_S)()["cluster_store_keeps_history"] == series
