"""A real Prometheus scrapes the agents and sees what operators see in Grafana."""

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest

from integration import prometheus as real
from integration.cluster import Cluster
from integration.lab.eventually import eventually
from integration.prometheus import Prometheus


@pytest.fixture
def prometheus(cluster: Cluster, tmp_path: Path) -> Iterator[Prometheus]:
    with real.running(cluster.lab, tmp_path) as asked:
        yield asked


def test_prometheus_sees_three_converged_agents_and_no_alert(
    prometheus: Prometheus, cluster: Cluster
) -> None:
    assert prometheus.value("sum(swarmkeeper_leader)") == [1.0]
    eventually(
        lambda: prometheus.value("swarmkeeper_cluster_converged") == [1.0], 60, "the leader says converged"
    )
    hosts = 'count(count by (cluster, host) (swarmkeeper_build_info{cluster="prod"}))'
    assert prometheus.value(hosts) == [3.0]
    eventually(
        lambda: prometheus.value("swarmkeeper_cluster_converged") == [1.0], 60, "the leader says converged"
    )
    assert prometheus.value('count(count by (cluster, host) (swarmkeeper_build_info{cluster="prod"}))') == [
        3.0
    ]
    assert prometheus.value("sum(swarmkeeper_service_replicas_running)") == [8.0]
    assert prometheus.value('sum(swarmkeeper_cluster_replicas{state="ready"})') == [8.0]
    assert prometheus.value('swarmkeeper_cluster_hosts{state="Ready"}') == [3.0]
    assert prometheus.value('sum(swarmkeeper_cluster_replicas{state="ready"})') == [8.0]
    assert prometheus.value('swarmkeeper_cluster_hosts{state="Ready"}') == [3.0]
    assert prometheus.value("sum(swarmkeeper_swarm_quorum)") == [3.0]
    assert set(prometheus.value("swarmkeeper_gwbridge_ok")) == {1.0}
    groups = prometheus.ask("rules")["groups"]
    rules = [rule for group in groups for rule in group["rules"]]
    assert rules
    eventually(
        lambda: all(r["health"] == "ok" for g in prometheus.ask("rules")["groups"] for r in g["rules"]),
        20,
        "every rule is evaluated without a fault",
    )
    assert not prometheus.alerts()
    assert cluster.get("verdict")


def test_drift_made_by_hand_shows_in_prometheus_and_goes_again(
    prometheus: Prometheus, cluster: Cluster
) -> None:
    host = cluster.lab["node-233"]
    detected = partial(prometheus.value, "sum(swarmkeeper_drift_detected_total)")
    healed = partial(prometheus.value, "sum(swarmkeeper_drift_healed_total)")
    for by_hand in (
        ("docker", "stop", "prod-terminal-1"),
        ("docker", "rm", "-f", "prod-terminal-1"),
        ("docker", "network", "disconnect", "my-network-overlay", "prod-terminal-1"),
    ):
        before = detected(), healed()
        host.exec(*by_hand)
        eventually(partial(grew, detected, before[0]), 20, f"drift is detected after {' '.join(by_hand)}")
        eventually(partial(grew, healed, before[1]), 40, f"and healed after {' '.join(by_hand)}")
        eventually(
            lambda: prometheus.value("sum(swarmkeeper_drift) or vector(0)") == [0.0], 40, "no drift is left"
        )
        eventually(
            lambda: prometheus.value('swarmkeeper_service_replicas_running{service="terminal"}') == [1.0],
            20,
            "the replica is counted again",
        )


def grew(value: Callable[[], list[float]], before: list[float]) -> bool:
    return value() > before
