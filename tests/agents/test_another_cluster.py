"""An agent with another `cluster:` on a host in a swarm that an agent of the first cluster made."""

from dataclasses import replace
from ipaddress import IPv4Network
from pathlib import Path

import pytest

from agent.model.host_state import NetworkState
from tests.fakes.swarm import FakeSwarm
from tests.support.simulated_cluster import NAMES, SimulatedCluster, SimulatedHost

pytestmark = pytest.mark.usefixtures("unlogged")

FIRST = "node-231"
OVERLAY = NetworkState(
    id="overlay-of-test",
    name="test-overlay",
    driver="overlay",
    scope="swarm",
    subnet=IPv4Network("10.77.0.0/16"),
    gateway="10.77.0.1",
    attachable=True,
    cluster="test",
)


def member_of_test(cluster: SimulatedCluster, *, labelled: bool = True) -> FakeSwarm:
    """Put the first host into a swarm of the cluster `test`, with its bridge and a container of it."""
    engine = cluster.hosts[FIRST].engine
    engine.init_swarm(advertise=engine.address, pool=(), mask_length=24, data_path_port=None)
    swarm = cluster.lan.members[engine.address][0]
    swarm.made_for = "test" if labelled else ""
    swarm.networks[OVERLAY.name] = OVERLAY
    engine.run_foreign("test-order-1")
    return swarm


def everything(host: SimulatedHost) -> object:
    networks = {each.id: replace(each, endpoints=()) for each in host.engine.nets.listed()}
    return networks, {each: raw["State"].get("StartedAt") for each, raw in host.engine.by_hand.raws.items()}


@pytest.mark.parametrize("labelled", [True, False], ids=["label of the swarm", "label of an overlay"])
def test_it_adopts_nothing_leads_nothing_and_names_the_other_cluster(tmp_path: Path, labelled: bool) -> None:
    cluster = SimulatedCluster(tmp_path)
    swarm = member_of_test(cluster, labelled=labelled)
    before = everything(cluster.hosts[FIRST])
    cluster.put_intent()
    cluster.start(FIRST)
    cluster.rounds(20)

    agent = cluster.agents[FIRST]
    assert [(each.resource, each.kind) for each in agent.plan.blocked] == [("swarm", "foreign")]
    assert "this swarm is cluster test's" in agent.plan.blocked[0].reason
    assert (agent.plan.steps, agent.leads, cluster.record()) == ((), False, None)
    assert everything(cluster.hosts[FIRST]) == before
    assert cluster.lan.members[cluster.hosts[FIRST].engine.address][0] is swarm


def test_the_other_hosts_make_a_swarm_of_their_own(tmp_path: Path) -> None:
    cluster = SimulatedCluster(tmp_path)
    swarm = member_of_test(cluster)
    before = everything(cluster.hosts[FIRST])
    cluster.put_intent()
    cluster.start()
    cluster.rounds(40)

    assert everything(cluster.hosts[FIRST]) == before
    ids = {cluster.hosts[each].swarm_id for each in NAMES[1:]}
    record = cluster.record()
    assert record is not None
    assert ids == {record.swarm_id}
    assert swarm.id not in ids
    assert all(cluster.running()[each] for each in NAMES[1:])


def test_a_host_that_is_a_worker_there_keeps_its_bridge(tmp_path: Path) -> None:
    """A worker does not see the label of its swarm."""
    cluster = SimulatedCluster(tmp_path)
    swarm = member_of_test(cluster)
    theirs = cluster.hosts["node-233"].engine
    through = [f"{cluster.hosts[FIRST].engine.address}:2377"]
    theirs.join_swarm(advertise=theirs.address, remotes=through, token=swarm.tokens.worker)
    before = theirs.nets.listed()
    cluster.put_intent()
    cluster.start()
    cluster.rounds(40)

    assert theirs.nets.listed() == before
    assert cluster.hosts["node-233"].swarm_id == swarm.id
    assert cluster.running()["node-232"]
