"""`depends_on` by whole agents: what starts when over three hosts, and what is never held up."""

from pathlib import Path

import pytest

from tests.support.document import document
from tests.support.simulated_cluster import SimulatedCluster, images

pytestmark = pytest.mark.usefixtures("unlogged")

ORDERED = document(services={"billing": {"depends_on": ["order"]}})
"""billing, on node-232, starts after order, on node-231 and node-232."""
FIRST = ("prod-order-1", "prod-order-2", "prod-order-3")
LAST = "prod-billing-1"


@pytest.fixture
def cluster(tmp_path: Path) -> SimulatedCluster:
    made = SimulatedCluster(tmp_path, ORDERED)
    made.put_intent(ORDERED)
    return made


def up(cluster: SimulatedCluster) -> set[str]:
    return {name for running in cluster.running().values() for name in running}


def home(cluster: SimulatedCluster) -> str:
    """Name of the host that the dependent replica is on."""
    return next(name for name, host in cluster.hosts.items() if LAST in host.replicas())


def test_a_replica_starts_only_when_those_of_other_hosts_it_depends_on_have(
    cluster: SimulatedCluster,
) -> None:
    cluster.start()
    seen_waiting = False
    for _ in range(60):
        cluster.round()
        running = up(cluster)
        assert LAST not in running or running >= set(FIRST)
        seen_waiting = seen_waiting or "has to be started first" in cluster.told()
    assert seen_waiting
    assert {LAST, *FIRST} <= up(cluster)
    assert all(agent.at_rest for agent in cluster.agents.values())


def test_it_waits_for_as_long_as_that_takes_and_says_for_what(cluster: SimulatedCluster) -> None:
    cluster.lan.registry -= {each for each in images(ORDERED) if "order" in each}
    cluster.start()
    cluster.rounds(40)
    assert LAST not in up(cluster)
    assert (
        f"waiting container/{LAST}: depends on order: order-1 on node-231 has to be started first"
        in cluster.told()
    )
    cluster.lan.registry |= images(ORDERED)
    cluster.settle()
    assert LAST in up(cluster)


def test_once_it_was_let_start_nothing_of_its_dependency_touches_it_or_holds_it_up(
    cluster: SimulatedCluster,
) -> None:
    cluster.start()
    cluster.settle()
    cluster.lan.registry -= {each for each in images(ORDERED) if "order" in each}
    before = cluster.hosts[home(cluster)].replicas()[LAST]["Id"]
    for host in cluster.hosts.values():
        for name in FIRST:
            if name in host.replicas():
                host.engine.by_hand.end(name, exit_code=1)
    cluster.rounds(3)
    assert cluster.hosts[home(cluster)].replicas()[LAST]["Id"] == before
    cluster.hosts[home(cluster)].engine.by_hand.remove(LAST, force=True)
    cluster.rounds(5)
    assert LAST in up(cluster)


def test_a_host_that_starts_without_etcd_starts_what_it_has(cluster: SimulatedCluster) -> None:
    cluster.start()
    cluster.settle()
    name = home(cluster)
    cluster.lose_agent(name)
    cluster.hosts[name].engine.by_hand.end(LAST, exit_code=137)
    cluster.start(name)
    cluster.agents[name].cut_etcd()
    cluster.rounds(5)
    assert LAST in up(cluster)
