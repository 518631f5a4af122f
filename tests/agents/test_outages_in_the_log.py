"""Whole agents in memory, and what half an hour of an outage writes to their log."""

import logging
from collections.abc import Iterator
from io import StringIO
from pathlib import Path

import pytest
import structlog

from agent import logs
from tests.support.simulated_cluster import SimulatedAgent, SimulatedCluster, at_rest

HALF_AN_HOUR_S = 1800


class Log(StringIO):
    """Written by one agent at a time: only the one that a test lets run."""

    def of(
        self, cluster: SimulatedCluster, agent: SimulatedAgent, seconds: int, every_s: int = 5
    ) -> list[str]:
        self.seek(0)
        self.truncate()
        for _ in range(seconds // every_s):
            agent.turn()
            cluster.clock.advance(every_s)
        return self.getvalue().splitlines()


@pytest.fixture
def quiet() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    logs.configure("info", "journal", StringIO())
    yield
    structlog.reset_defaults()
    root.handlers[:] = handlers
    root.setLevel(level)


@pytest.fixture
def cluster(tmp_path: Path, quiet: None) -> SimulatedCluster:
    return at_rest(tmp_path)


@pytest.fixture
def log(cluster: SimulatedCluster) -> Log:
    log = Log()
    logs.configure("info", "journal", log, clock=cluster.clock)
    return log


@pytest.mark.parametrize("leads", [True, False], ids=["leader", "follower"])
def test_half_an_hour_without_etcd_is_a_few_lines(cluster: SimulatedCluster, log: Log, leads: bool) -> None:
    agent = cluster.leader() if leads else cluster.follower()

    agent.cut_etcd()
    away = log.of(cluster, agent, HALF_AN_HOUR_S)
    agent.heal_etcd()
    back = log.of(cluster, agent, 60)

    assert "session: etcd does not answer" in away[0]
    assert any("etcd cannot be read" in line for line in away)
    assert [line for line in back if "etcd answers again" in line] == [
        'info etcd answers again: the lease is renewed after="30 m 5 s" failures=360'
    ]
    assert len(away) + len(back) <= 10, "\n".join([*away, *back])


def test_half_an_hour_without_a_registry_is_a_few_lines_for_all_its_images(
    tmp_path: Path,
    quiet: None,
) -> None:
    cluster, log = SimulatedCluster(tmp_path), Log()
    cluster.put_intent()
    cluster.lan.registry_answers = False
    cluster.start()
    cluster.rounds(40)
    agent = cluster.leader()
    logs.configure("info", "journal", log, clock=cluster.clock)

    away = log.of(cluster, agent, HALF_AN_HOUR_S, every_s=1)

    assert all("failed: pull image/" in line and "connection refused" in line for line in away)
    assert 1 <= len(away) <= 5
    assert "repeated=" in away[-1]


def test_a_dockerd_that_is_down_is_told_at_once_and_when_it_is_back(
    cluster: SimulatedCluster, log: Log
) -> None:
    agent = cluster.follower()

    agent.host.engine.answers = False
    away = log.of(cluster, agent, HALF_AN_HOUR_S)
    agent.host.engine.answers = True
    back = log.of(cluster, agent, 60)

    assert "dockerd cannot be read" in away[0]
    assert any("no longer blocked" in line and "engine" in line and 'after="30 m' in line for line in back)
    assert len(away) + len(back) <= 10, "\n".join([*away, *back])
