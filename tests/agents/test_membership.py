"""Whole agents in memory on hosts whose membership was taken from them: removed, wiped, copied, recreated elsewhere."""

from ipaddress import IPv4Interface
from pathlib import Path

import pytest

from agent.errors import Unreachable
from agent.model.host_state import SwarmState
from agent.model.plan import Plan
from agent.model.records import Presence, Tokens, decode
from agent.model.steps import LeaveSwarm
from tests.fakes.swarm import FakeSwarm, Member
from tests.support.document import document
from tests.support.simulated_cluster import (
    KEYS,
    TTL_S,
    SimulatedAgent,
    SimulatedCluster,
    SimulatedHost,
)

pytestmark = pytest.mark.usefixtures("unlogged")

NAMES = ("node-231", "node-232", "node-233")
WORKER = "node-233"
ONE_WORKER = document(roles={WORKER: "worker"})
TWO_WORKERS = document(roles={"node-232": "worker", WORKER: "worker"})
OVERLAY = "my-network-overlay"


def started(directory: Path, document: str = ONE_WORKER) -> SimulatedCluster:
    cluster = SimulatedCluster(directory)
    cluster.put_intent(document)
    cluster.start()
    cluster.settle()
    return cluster


@pytest.fixture
def cluster(tmp_path: Path) -> SimulatedCluster:
    """Two managers and a worker at rest."""
    return started(tmp_path)


def membership(cluster: SimulatedCluster, name: str = WORKER) -> tuple[FakeSwarm, Member]:
    found = cluster.hosts[name].engine.nets.membership
    assert found is not None
    return found


def remove_by_force(cluster: SimulatedCluster, name: str = WORKER) -> None:
    """`docker node rm --force` on a manager: the host's own engine does not notice."""
    swarm, member = membership(cluster, name)
    swarm.members.remove(member)


def verbs(cluster: SimulatedCluster, name: str = WORKER) -> list[str]:
    """What the agent of that host did, container by container and step by step."""
    return [
        f"{each.step.verb} {each.step.resource}" for each in cluster.agents[name].outcomes if not each.error
    ]


def others(cluster: SimulatedCluster, name: str = WORKER) -> set[tuple[str, str]]:
    return {each for each in cluster.ids() if each[0] != name}


def test_a_worker_that_was_removed_by_force_stops_its_replicas_leaves_and_is_back(
    cluster: SimulatedCluster,
) -> None:
    before, ids, running = membership(cluster)[1], cluster.ids(), cluster.running()
    cluster.agents[WORKER].outcomes.clear()
    remove_by_force(cluster)

    cluster.settle()

    swarm, member = membership(cluster)
    assert member is not before
    assert member in swarm.members
    assert cluster.running() == running
    assert cluster.ids() == ids  # the containers are the same ones
    assert verbs(cluster)[:4] == [
        "stop container/prod-api-2",
        "stop container/prod-terminal-1",
        "leave swarm",
        "join swarm",
    ]
    assert cluster.read(KEYS.membership_order(WORKER)) is None


def test_a_leave_that_dockerd_gives_up_waiting_for_is_made_again(cluster: SimulatedCluster) -> None:
    running = cluster.running()
    cluster.hosts[WORKER].engine.leave_takes_long = True
    remove_by_force(cluster)

    cluster.settle()

    assert membership(cluster)[1] in membership(cluster)[0].members
    assert cluster.running() == running
    assert cluster.read(KEYS.membership_order(WORKER)) is None


def test_nothing_is_left_where_somebody_else_runs_on_an_overlay(cluster: SimulatedCluster) -> None:
    engine = cluster.hosts[WORKER].engine
    engine.by_hand.connect(engine.run_foreign("database"), OVERLAY, {})
    before, running = membership(cluster), cluster.running()
    remove_by_force(cluster)

    cluster.rounds(10)

    assert membership(cluster) == before
    assert cluster.running() == running
    assert "database would lose its overlay" in str(cluster.agents[WORKER].plan)
    engine.by_hand.remove("database", force=True)
    cluster.settle()
    assert membership(cluster)[1] is not before[1]


def test_a_manager_cut_off_from_the_others_cannot_send_a_worker_away(cluster: SimulatedCluster) -> None:
    """Its list may be old: the swarm's majority is asked before anything is said."""
    remove_by_force(cluster)
    for name in NAMES[:2]:
        cluster.hosts[name].engine.failures["has_node"] = Unreachable("The swarm does not have a leader")
    cluster.round()
    assert cluster.read(KEYS.membership_order(WORKER)) is None
    cluster.settle()
    assert membership(cluster)[1] in membership(cluster)[0].members


def test_an_agent_that_crashes_anywhere_on_the_way_out_and_in_again_goes_on(
    cluster: SimulatedCluster,
) -> None:
    running = cluster.running()
    for steps in range(1, 7):
        remove_by_force(cluster)
        cluster.agents[WORKER].crash_after(steps)
        for _ in range(40):
            try:
                cluster.round()
            except BaseException:
                cluster.lose_agent(WORKER)
                cluster.clock.advance(1.0)
                cluster.start(WORKER)
        assert cluster.running() == running, cluster.told()
        assert membership(cluster)[1] in membership(cluster)[0].members


# ---- a join that failed, or is refused


def wiped(cluster: SimulatedCluster, name: str = WORKER) -> None:
    """The engine of that host starts again with an empty disk."""
    host = cluster.hosts[name]
    host.engine.nets.leave()
    for each in list(host.engine.by_hand.raws):
        host.engine.by_hand.remove(each, force=True)
    host.engine.nets.local.clear()
    host.engine.image_configs.clear()


def test_a_wiped_host_is_back_as_a_new_node_and_the_old_one_is_gone(cluster: SimulatedCluster) -> None:
    before, running, kept = membership(cluster)[1], cluster.running(), others(cluster)
    wiped(cluster)

    cluster.settle()

    swarm, member = membership(cluster)
    assert cluster.running() == running
    assert others(cluster) == kept
    assert {each.host.name for each in swarm.members} == set(NAMES)
    assert before not in swarm.members
    assert member in swarm.members


def test_a_join_that_failed_for_good_is_left_behind_and_tried_again(cluster: SimulatedCluster) -> None:
    running = cluster.running()
    wiped(cluster)
    engine = cluster.hosts[WORKER].engine
    engine.failures["join_swarm"] = Unreachable("Timeout was reached before node joined.")
    for _ in range(20):
        cluster.round()
        if "join_swarm" not in engine.failures:
            break
    engine.stuck = SwarmState(local="pending")
    cluster.rounds(3)
    assert "dockerd has not finished joining the swarm" in str(cluster.agents[WORKER].plan)
    engine.stuck = SwarmState(local="error", error="no route to host")

    cluster.settle()

    assert engine.info().swarm.local == "active"
    assert cluster.running() == running
    assert "leave swarm" in verbs(cluster)


def test_an_engine_in_error_that_the_agent_did_not_bring_there_is_left_alone(
    cluster: SimulatedCluster,
) -> None:
    wiped(cluster)
    swarm, _ = membership(cluster, NAMES[0])
    swarm.members[:] = [each for each in swarm.members if not each.gone]  # nobody knows a node of this host
    engine = cluster.hosts[WORKER].engine
    engine.stuck = SwarmState(local="error", error="certificate has expired")
    cluster.rounds(10)
    assert engine.stuck is not None
    assert "docker reports the swarm as error: certificate has expired" in str(cluster.agents[WORKER].plan)


def test_tokens_that_somebody_rotated_are_published_again(cluster: SimulatedCluster) -> None:
    running = cluster.running()
    wiped(cluster)
    cluster.agents[WORKER].session.close()
    cluster.lose_agent(WORKER)
    cluster.start(WORKER)
    agent = cluster.agents.pop(WORKER)
    agent.turn()
    cluster.rounds(2)
    published = cluster.read(KEYS.tokens)
    assert published is not None
    swarm, _ = membership(cluster, NAMES[0])
    swarm.rotate()
    cluster.agents[WORKER] = agent
    cluster.agents[WORKER].turn()
    assert "A valid join token is necessary" in "".join(agent.failed())

    cluster.round(*NAMES[:2])
    renewed = cluster.read(KEYS.tokens)
    assert renewed is not None
    assert decode(Tokens, renewed.value) == swarm.tokens
    cluster.settle()
    assert cluster.running() == running


# ---- the swarm recreated


def test_workers_of_a_swarm_that_was_recreated_follow_when_the_operator_says_so(tmp_path: Path) -> None:
    cluster = started(tmp_path, TWO_WORKERS)
    running, ids = cluster.running(), cluster.ids()
    first = cluster.hosts["node-231"].engine
    old, _ = membership(cluster, "node-231")
    first.by_hand.cut_off(old.networks)
    first.nets.leave()
    first.init_swarm(advertise=first.address, pool=(old.pool,), mask_length=24, data_path_port=None)
    membership(cluster, "node-231")[0].made_for = ""  # by hand
    cluster.clock.advance(3.0)
    cluster.rounds(5)
    assert "while the cluster's is" in str(cluster.agents["node-231"].plan)
    assert membership(cluster, "node-232")[0] is old

    cluster.delete(KEYS.swarm)
    cluster.settle()

    new = membership(cluster, "node-231")[0]
    assert new is not old
    assert {membership(cluster, name)[0] for name in NAMES} == {new}
    assert cluster.running() == running
    assert cluster.ids() == ids


def test_a_worker_of_somebody_elses_swarm_is_never_taken_out_of_it(tmp_path: Path) -> None:
    cluster = SimulatedCluster(tmp_path)
    stranger = SimulatedHost("stranger", "10.159.62.240", cluster.lan, tmp_path / "stranger").engine
    stranger.init_swarm(advertise=stranger.address, pool=(), mask_length=24, data_path_port=None)
    theirs = cluster.hosts[WORKER].engine
    remotes = [f"{stranger.address}:2377"]
    theirs.join_swarm(advertise=theirs.address, remotes=remotes, token=stranger.swarm_tokens().worker)
    before = theirs.nets.membership
    cluster.put_intent(ONE_WORKER)
    cluster.start()

    cluster.rounds(40)

    assert theirs.nets.membership == before
    assert "in the swarm managed by" in str(cluster.agents[WORKER].plan)
    assert not any(
        isinstance(each.step, LeaveSwarm) for agent in cluster.agents.values() for each in agent.outcomes
    )


# ---- copied machines


def replica_of(cluster: SimulatedCluster, directory: Path, name: str, address: str) -> SimulatedHost:
    """A clone of the worker's machine, which dockerd there takes for the same node."""
    host = SimulatedHost(name, address, cluster.lan, directory / "replica")
    host.machine_id = cluster.hosts[WORKER].machine_id
    host.engine.advertised = cluster.hosts[WORKER].engine.advertised
    cluster.lan.members[address] = membership(cluster)
    return host


def test_a_clone_of_a_machine_with_the_same_name_does_nothing(
    cluster: SimulatedCluster, tmp_path: Path
) -> None:
    replica = replica_of(cluster, tmp_path, WORKER, "10.159.62.99")
    told = cluster.read(KEYS.status(WORKER))
    agent = SimulatedAgent(replica, cluster.etcd, cluster.clock, "the-replica")

    for _ in range(20):
        cluster.round()
        agent.turn()

    assert agent.outcomes == []
    assert replica.replicas() == {}
    assert "another agent runs as node-233, on a machine with the same machine id" in str(agent.plan)
    assert agent.session.lease_id is None
    assert cluster.agents[WORKER].at_rest
    assert cluster.read(KEYS.status(WORKER)) == told


def test_the_machine_with_the_declared_address_gets_its_name_back_from_a_clone(
    cluster: SimulatedCluster, tmp_path: Path
) -> None:
    cluster.lose_agent(WORKER)
    cluster.clock.advance(TTL_S + 1)
    replica = SimulatedAgent(
        replica_of(cluster, tmp_path, WORKER, "10.159.62.99"), cluster.etcd, cluster.clock, "the-replica"
    )
    replica.session.run_once()
    assert whose(cluster) == "the-replica"
    cluster.hosts[WORKER].boot_id = "a later boot"
    cluster.start(WORKER)

    cluster.rounds(8)
    replica.turn()

    assert whose(cluster) == cluster.agents[WORKER].observer.observe().instance
    assert replica.outcomes == []
    assert cluster.agents[WORKER].at_rest


def whose(cluster: SimulatedCluster) -> str:
    found = cluster.read(KEYS.presence(WORKER))
    assert found is not None
    return decode(Presence, found.value).instance


def test_a_rebooted_host_does_not_wait_for_the_lease_it_had_before(cluster: SimulatedCluster) -> None:
    cluster.lose_agent(WORKER)
    cluster.hosts[WORKER].boot_id = "a later boot"
    cluster.hosts[WORKER].engine.by_hand.end("prod-terminal-1")
    cluster.start(WORKER)

    cluster.round(seconds=1.0)
    cluster.round(seconds=1.0)

    assert "prod-terminal-1" in cluster.hosts[WORKER].running()
    assert cluster.agents[WORKER].session.lease_id is not None


def test_of_two_hosts_that_are_one_node_the_one_without_its_address_is_quarantined(tmp_path: Path) -> None:
    with_another = document(
        ONE_WORKER,
        hosts={"node-234": {"address": "10.159.62.234", "role": "worker"}},
        replicas={"api": ["node-232", "node-234"]},
    )
    cluster = started(tmp_path)
    running = cluster.running()[WORKER]
    del running["prod-api-2"]
    cluster.hosts["node-234"] = replica_of(cluster, tmp_path, "node-234", "10.159.62.234")
    cluster.start("node-234")
    cluster.put_intent(with_another)

    cluster.rounds(20)

    assert cluster.hosts["node-234"].replicas() == {}
    assert "reports the same node id" in str(cluster.agents["node-234"].plan)
    assert cluster.agents["node-234"].plan.steps == Plan().steps
    assert cluster.hosts[WORKER].running() == running


# ---- another address


def test_a_worker_moves_to_another_address_when_it_has_it(cluster: SimulatedCluster) -> None:
    running, ids, before = cluster.running(), cluster.ids(), membership(cluster)[1]
    cluster.put_intent(document(ONE_WORKER, hosts={WORKER: {"address": "10.159.62.99"}}))
    cluster.rounds(10)
    assert membership(cluster)[1] is before
    assert "this host does not have the address 10.159.62.99" in str(cluster.agents[WORKER].plan)

    cluster.hosts[WORKER].kernel.foreign_addresses.append((IPv4Interface("10.159.62.99/24"), "lan"))
    cluster.settle()

    assert membership(cluster)[1] is not before
    assert cluster.hosts[WORKER].engine.info().swarm.address == "10.159.62.99"
    assert cluster.running() == running
    assert cluster.ids() == ids
