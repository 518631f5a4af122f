"""Join tokens while a declared host does not come: what was published once is good for a while only."""

from pathlib import Path

import pytest

from agent.model.records import Tokens, decode
from tests.support.document import document
from tests.support.simulated_cluster import KEYS, SimulatedCluster

pytestmark = pytest.mark.usefixtures("unlogged")

SHORT = document(cluster={"swarm": {"join_tokens": {"ttl": "60s"}}})
THERE, MISSING = ("node-231", "node-232"), "node-233"


@pytest.fixture
def cluster(tmp_path: Path) -> SimulatedCluster:
    """Two hosts of three are in."""
    cluster = SimulatedCluster(tmp_path)
    cluster.put_intent(SHORT)
    cluster.start(*THERE)
    cluster.rounds(20)
    return cluster


def published(cluster: SimulatedCluster) -> Tokens | None:
    found = cluster.read(KEYS.tokens)
    return decode(Tokens, found.value) if found else None


def test_they_are_others_after_every_ttl_and_always_those_of_the_swarm(cluster: SimulatedCluster) -> None:
    seen: list[str] = []
    for _ in range(200):
        cluster.round()
        tokens = published(cluster)
        assert tokens is not None
        if not seen or seen[-1] != tokens.worker:
            seen.append(tokens.worker)
    assert len(seen) == len(set(seen)) == 4
    cluster.start(MISSING)
    cluster.rounds(30)
    assert published(cluster) is None
    assert cluster.hosts[MISSING].swarm_id == cluster.hosts[THERE[0]].swarm_id is not None


def test_another_leader_counts_from_zero_and_they_are_rotated_all_the_same(cluster: SimulatedCluster) -> None:
    before = published(cluster)
    leader = next(name for name, agent in cluster.agents.items() if agent.leads)
    cluster.lose_agent(leader)
    cluster.rounds(120)
    after = published(cluster)
    assert before is not None
    assert after is not None
    assert after.worker != before.worker
