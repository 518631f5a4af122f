"""A real Prometheus over minutes: a service without a ready replica wakes somebody, whatever the cause of it is."""

from functools import partial
from pathlib import Path

import pytest

from integration import prometheus as real
from integration.cluster import EXAMPLE, Cluster
from integration.conftest import LONG_ONLY
from integration.lab.eventually import eventually
from integration.prometheus import Prometheus
from integration.states.documents import SHELL
from integration.states.state import service

pytestmark = LONG_ONLY

DOWN = "SwarmkeeperServiceDown"
FIRES_S = 15 * 60
"""Rules average over five minutes, so that a short life of a replica resets nothing, and then wait for three."""
BACK_S = 240
LOOPING = service("looping", "restart: always\n" + SHELL.format("sleep 3; exit 1"))


@pytest.mark.timeout(2 * FIRES_S)
def test_a_dead_host_and_a_crash_loop_each_fire_a_critical_alert_of_their_service(
    cluster: Cluster, tmp_path: Path
) -> None:
    host = cluster.lab["node-232"]
    with real.running(cluster.lab, tmp_path) as prometheus:
        cluster.put(LOOPING)
        host.off()
        try:
            fires = partial(fired, prometheus, {"billing", "looping"})
            eventually(fires, FIRES_S, "a critical alert of both services fires")
            unknown = 'swarmkeeper_cluster_replicas{service="billing",state="unknown"}'
            assert prometheus.value(unknown) == [1.0]
            assert prometheus.value('swarmkeeper_cluster_replicas{service="billing",state="ready"}') == [0.0]
            assert prometheus.value("max(swarmkeeper_cluster_converged)") == [0.0]
        finally:
            host.boot()
        cluster.wait_converged(cluster.put(EXAMPLE), BACK_S)
        quiet = partial(is_quiet, prometheus)
        eventually(quiet, FIRES_S, "no critical alert of a service is left")


def fired(prometheus: Prometheus, services: set[str]) -> None:
    firing = prometheus.alerts()
    critical = {
        each.get("service") for each in firing if (each["alertname"], each["severity"]) == (DOWN, "critical")
    }
    assert critical == services, firing


def is_quiet(prometheus: Prometheus) -> None:
    assert not [each for each in prometheus.alerts() if each["alertname"] == DOWN]
