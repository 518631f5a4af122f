"""A real Prometheus scrapes the agents and sees what operators see in Grafana."""

import json
import urllib.parse
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from integration.cluster import ROOT, Cluster
from integration.lab.eventually import eventually
from integration.lab.lab import Lab

URL = "http://10.159.62.1:9090"
CONFIG = """\
global: {{scrape_interval: 1s, evaluation_interval: 1s}}
rule_files: [{rules}]
scrape_configs:
  - job_name: swarmkeeper
    honor_labels: true
    static_configs:
      - targets: {targets}
        labels: {{cluster: prod}}
"""


class Prometheus:
    def __init__(self, lab: Lab) -> None:
        self._lab = lab

    def ask(self, path: str) -> Any:
        answer = self._lab.lan.http_get(f"{URL}/api/v1/{path}")
        assert answer.status == 200, answer.text
        return answer.json()["data"]

    def value(self, query: str) -> list[float]:
        """The values of the query's series now."""
        found = self.ask(f"query?query={urllib.parse.quote(query)}")["result"]
        return [float(each["value"][1]) for each in found]


@pytest.fixture
def prometheus(cluster: Cluster, tmp_path: Path) -> Iterator[Prometheus]:
    lab = cluster.lab
    targets = json.dumps([f"{host.address}:9477" for host in lab.hosts])
    config = tmp_path / "prometheus.yaml"
    config.write_text(CONFIG.format(rules=ROOT / "deploy/prometheus/alerts.yaml", targets=targets))
    log = (tmp_path / "log").open("w")
    server = lab.lan.popen(
        "prometheus",
        f"--config.file={config}",
        f"--storage.tsdb.path={tmp_path / 'data'}",
        "--web.listen-address=10.159.62.1:9090",
        stdout=log,
        stderr=log,
    )
    try:
        asked = Prometheus(lab)
        eventually(lambda: asked.value('sum(up{job="swarmkeeper"})') == [3.0], 30, "all agents are scraped")
        yield asked
    finally:
        server.terminate()
        server.wait(10)
        log.close()


def test_prometheus_sees_three_converged_agents_and_no_alert(
    prometheus: Prometheus, cluster: Cluster
) -> None:
    assert prometheus.value("sum(swarmkeeper_leader)") == [1.0]
    eventually(
        lambda: prometheus.value("swarmkeeper_cluster_converged") == [1.0], 60, "the leader says converged"
    )
    assert prometheus.value('count(count by (cluster, host) (swarmkeeper_build_info{cluster="prod"}))') == [
        3.0
    ]
    assert prometheus.value("sum(swarmkeeper_service_replicas_running)") == [8.0]
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
    assert not [alert["labels"] for alert in prometheus.ask("alerts")["alerts"] if alert["state"] == "firing"]
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
