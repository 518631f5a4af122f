"""Whole agents in memory change the roles of their hosts; a client asks for the quorum after every single step."""

from pathlib import Path

import pytest

from agent.diff.nodes import HOST_LABEL
from agent.errors import Unreachable
from tests.fakes.swarm import FakeSwarm, Member
from tests.support.document import EXAMPLE, SERVICES, document
from tests.support.simulated_cluster import KEYS, NAMES, TTL_S, SimulatedAgent, SimulatedCluster

pytestmark = pytest.mark.usefixtures("unlogged")

OTHERS = {name: [each for each in NAMES if each != name] for name in NAMES}


@pytest.fixture
def cluster(tmp_path: Path) -> SimulatedCluster:
    """Three managers at rest, on a LAN where a role is taken on a while after it was asked for."""
    made = SimulatedCluster(tmp_path)
    made.lan.lags = True
    made.put_intent()
    made.start()
    made.settle()
    return made


def without(name: str) -> str:
    """The example less one host, with all replicas on another one."""
    return document(hosts={name: None}, replicas={each: [OTHERS[name][0]] for each in SERVICES})


def swarm_of(cluster: SimulatedCluster) -> FakeSwarm:
    """The one swarm."""
    found = {membership[0] for membership in cluster.lan.members.values()}
    (swarm,) = found
    return swarm


def member(cluster: SimulatedCluster, name: str) -> Member:
    membership = cluster.hosts[name].engine.nets.membership
    assert membership is not None
    return membership[1]


def managers(cluster: SimulatedCluster) -> set[str]:
    return {each.host.name for each in swarm_of(cluster).members if each.in_raft}


def watched(cluster: SimulatedCluster, rounds: int = 60) -> None:
    """Go on until all is at rest; between any two agents' turns there is a quorum, and at most one role is moving."""
    swarm = swarm_of(cluster)
    for _ in range(rounds):
        for name in list(cluster.agents):
            cluster.agents[name].turn()
            assert swarm.has_quorum, cluster.told()
            moving = [each for each in swarm.members if (each.role == "manager") != each.in_raft]
            assert len(moving) <= 1, cluster.told()
        swarm.settle()
        cluster.clock.advance(1.0)
        agents = cluster.agents.values()
        if all(map(_rests, agents)) and any(agent.leads for agent in agents):
            return
    raise AssertionError(f"not at rest:\n{cluster.told()}")


def _rests(agent: SimulatedAgent) -> bool:
    """At rest, also where nobody asks anything of the host: it says that the intent does not name it."""
    unnamed = [each.reason for each in agent.plan.blocked] == [
        f"the intent does not name {agent.name}: nothing is changed on this host"
    ]
    return agent.at_rest or (unnamed and not agent.plan.steps and not agent.dispatcher.in_flight)


@pytest.mark.parametrize("name", NAMES)
def test_one_host_after_the_other_becomes_a_worker_and_a_manager_again_without_losing_the_quorum(
    cluster: SimulatedCluster, name: str
) -> None:
    before = cluster.ids()
    cluster.put_intent(document(roles={name: "worker"}))
    watched(cluster)
    assert managers(cluster) == set(OTHERS[name])
    assert cluster.leader().name != name

    cluster.put_intent(EXAMPLE)
    watched(cluster)
    assert managers(cluster) == set(NAMES)
    assert cluster.ids() == before


def test_three_managers_become_one_and_three_again(cluster: SimulatedCluster) -> None:
    for name in NAMES:
        cluster.put_intent(document(roles=dict.fromkeys(OTHERS[name], "worker")))
        watched(cluster)
        assert managers(cluster) == {name}
        assert cluster.leader().name == name
        cluster.put_intent(EXAMPLE)
        watched(cluster)
        assert managers(cluster) == set(NAMES)


def test_the_only_manager_changes_from_one_host_to_another_and_the_lead_goes_with_it(
    cluster: SimulatedCluster,
) -> None:
    """The one that leads has to promote the other before anybody but it can lead."""
    cluster.put_intent(document(roles={"node-232": "worker", "node-233": "worker"}))
    watched(cluster)

    cluster.put_intent(document(roles={"node-231": "worker", "node-232": "worker"}))
    watched(cluster)

    assert managers(cluster) == {"node-233"}
    assert cluster.leader().name == "node-233"


def test_the_agent_of_the_only_manager_starts_again_in_the_middle_of_the_change(
    cluster: SimulatedCluster,
) -> None:
    cluster.put_intent(document(roles={"node-232": "worker", "node-233": "worker"}))
    watched(cluster)
    cluster.put_intent(document(roles={"node-231": "worker", "node-232": "worker"}))
    cluster.round("node-231")
    assert managers(cluster) == {"node-231"}

    cluster.lose_agent("node-231")
    cluster.clock.advance(30.0)
    cluster.start("node-231")
    watched(cluster)

    assert managers(cluster) == {"node-233"}


def test_a_worker_whose_dockerd_would_ask_in_vain_is_promoted_only_after_a_new_start_of_it(
    cluster: SimulatedCluster,
) -> None:
    """All have joined through the host that made the swarm; that one is a worker now."""
    (maker,) = (name for name in NAMES if not member(cluster, name).joined_through)
    one, other = OTHERS[maker]
    cluster.put_intent(document(roles={maker: "worker", other: "worker"}))
    watched(cluster)
    assert managers(cluster) == {one}

    cluster.put_intent(document(roles={maker: "worker"}))
    cluster.rounds(5)
    assert managers(cluster) == {one}
    (held,) = (each for each in cluster.leader().plan.blocked if each.kind == "role")
    assert "no manager has that address" in held.reason

    cluster.hosts[other].engine.nets.restart()
    watched(cluster)
    assert managers(cluster) == {one, other}


def test_a_promotion_that_failed_is_taken_back_and_the_host_leaves_and_joins_as_a_manager(
    cluster: SimulatedCluster,
) -> None:
    """By hand, as the agents would not have done it."""
    (maker,) = (name for name in NAMES if not member(cluster, name).joined_through)
    one, other = OTHERS[maker]
    cluster.put_intent(document(roles={maker: "worker", other: "worker"}))
    watched(cluster)
    before = member(cluster, other)
    before.role = "manager"
    swarm_of(cluster).settle()
    assert before.failed

    cluster.put_intent(document(roles={maker: "worker"}))
    watched(cluster)

    assert managers(cluster) == {one, other}
    assert {each.host.name for each in swarm_of(cluster).members} == set(NAMES)
    assert member(cluster, other) is not before


def test_a_wiped_manager_joins_as_a_worker_and_is_promoted_when_its_old_record_counts_no_more(
    cluster: SimulatedCluster,
) -> None:
    """Two of three managers are left: a fourth that counts before it answers could cost them the quorum."""
    engine, swarm = cluster.hosts["node-233"].engine, swarm_of(cluster)
    old = member(cluster, "node-233")
    engine.nets.leave()
    for each in list(engine.by_hand.raws):
        engine.by_hand.remove(each, force=True)
    engine.nets.local.clear()
    joined_as: list[str] = []
    for _ in range(60):
        for name in list(cluster.agents):
            cluster.agents[name].turn()
            assert len([each for each in swarm.members if each.in_raft]) <= 3
        if engine.nets.membership and not joined_as:
            joined_as.append(member(cluster, "node-233").role)
        swarm.settle()
        cluster.clock.advance(1.0)

    assert joined_as == ["worker"]
    assert managers(cluster) == set(NAMES)
    assert old not in swarm.members
    assert all(map(_rests, cluster.agents.values())), cluster.told()


def test_while_a_manager_is_away_no_role_changes_and_then_it_does(cluster: SimulatedCluster) -> None:
    cluster.hosts["node-232"].engine.answers = False
    cluster.put_intent(document(roles={"node-233": "worker"}))
    for _ in range(10):
        cluster.round()
        swarm_of(cluster).settle()
    assert managers(cluster) == set(NAMES)
    held = [str(each) for each in cluster.leader().plan.blocked if each.kind == "quorum"]
    assert len(held) == 1
    assert "node-232 cannot be reached" in held[0]

    cluster.hosts["node-232"].engine.answers = True
    watched(cluster)
    assert managers(cluster) == {"node-231", "node-232"}


def test_a_dead_manager_is_replaced_by_a_worker_in_one_edit(cluster: SimulatedCluster) -> None:
    cluster.put_intent(document(roles={"node-233": "worker"}))
    watched(cluster)
    cluster.put_intent()
    watched(cluster)
    cluster.hosts["node-232"].engine.answers = False
    cluster.put_intent(document(roles={"node-232": "worker"}))
    for _ in range(10):
        cluster.round()
        swarm_of(cluster).settle()

    assert managers(cluster) == {"node-231", "node-233"}


def test_what_is_changed_by_hand_on_a_node_is_put_right(cluster: SimulatedCluster) -> None:
    by_hand = member(cluster, "node-232")
    by_hand.availability = "drain"
    by_hand.role, by_hand.in_raft = "worker", False
    by_hand.labels = {"theirs": "x"}

    watched(cluster)

    assert (by_hand.availability, by_hand.in_raft) == ("active", True)
    assert by_hand.labels == {"theirs": "x", HOST_LABEL: "node-232"}


def test_availability_and_labels_come_from_the_intent_and_go_with_it(cluster: SimulatedCluster) -> None:
    told = {"availability": "pause", "labels": {"rack": "a", "zone": "b"}}
    cluster.put_intent(document(hosts={"node-233": told}))
    watched(cluster)
    found = member(cluster, "node-233")
    said_of_it = (found.availability, found.labels.get("rack"), found.labels.get("zone"))
    assert said_of_it == ("pause", "a", "b")

    cluster.put_intent(document(hosts={"node-233": {"labels": {"rack": "a"}}}))
    watched(cluster)
    assert (member(cluster, "node-233").availability, found.labels.get("zone")) == ("active", None)

    cluster.put_intent()
    watched(cluster)
    assert found.labels == {HOST_LABEL: "node-233"}


@pytest.mark.parametrize("name", NAMES)
def test_a_host_that_is_taken_out_is_emptied_drained_and_demoted_leaves_and_is_forgotten(
    cluster: SimulatedCluster, name: str
) -> None:
    found, swarm = member(cluster, name), swarm_of(cluster)
    cluster.put_intent(without(name))
    watched(cluster)

    assert cluster.hosts[name].replicas() == {}
    assert (found.availability, found.role) == ("drain", "worker")
    assert cluster.hosts[name].engine.nets.membership is None
    assert {each.host.name for each in swarm.members} == managers(cluster) == set(OTHERS[name])
    assert cluster.leader().name != name
    assert cluster.read(KEYS.assignment(name)) is None
    assert cluster.read(KEYS.membership_order(name)) is None


@pytest.mark.parametrize("name", NAMES)
def test_a_host_that_was_taken_out_and_is_named_again_comes_back(
    cluster: SimulatedCluster, name: str
) -> None:
    cluster.put_intent(without(name))
    watched(cluster)
    cluster.put_intent()
    watched(cluster)
    assert managers(cluster) == set(NAMES)
    assert member(cluster, name).availability == "active"


def test_a_host_that_changes_its_mind_half_way_stays(cluster: SimulatedCluster) -> None:
    before = member(cluster, "node-233")
    cluster.put_intent(without("node-233"))
    cluster.rounds(2)
    cluster.put_intent()
    watched(cluster)
    assert member(cluster, "node-233") is before
    assert before.availability == "active"


def test_a_leader_that_stood_still_before_it_changed_a_role_changes_none_when_another_leads(
    cluster: SimulatedCluster,
) -> None:
    """Its document was taken back meanwhile, and as nobody had to change the node for that, dockerd would let it."""
    leader = cluster.leader()
    others = [name for name in NAMES if name != leader.name]
    engine = leader.host.engine

    def meanwhile() -> None:
        engine.before_node_update = lambda: None
        cluster.put_intent()
        cluster.clock.advance(TTL_S + 1)
        for each in others:  # nobody else does it before the document is judged
            cluster.hosts[each].engine.failures["update_node"] = Unreachable("Timeout was reached")
        for _ in range(10):
            cluster.round(*others)
        assert any(cluster.agents[each].leads for each in others)

    engine.before_node_update = meanwhile
    cluster.put_intent(document(roles={others[0]: "worker"}))
    for _ in range(5):
        cluster.round()
        assert member(cluster, others[0]).role == "manager"

    assert [each for each in leader.failed() if "lease" in each]
    assert {each.role for each in swarm_of(cluster).members} == {"manager"}
    watched(cluster)


@pytest.mark.parametrize("moment", ["before_node_update", "between_read_and_update"])
def test_a_node_that_somebody_changes_before_its_role_is_changed_is_decided_upon_again_at_once(
    cluster: SimulatedCluster, moment: str
) -> None:
    leader = cluster.leader()
    (name, _) = (each for each in NAMES if each != leader.name)
    by_hand = member(cluster, name)

    def somebody() -> None:
        setattr(leader.host.engine, moment, lambda: None)
        by_hand.labels |= {"theirs": "x"}

    setattr(leader.host.engine, moment, somebody)
    cluster.put_intent(document(roles={name: "worker"}))
    for _ in range(5):
        if not any(each.stale for each in leader.outcomes):
            cluster.round()
    assert any(each.stale for each in leader.outcomes)
    assert by_hand.role == "manager"

    leader.turn()

    assert (by_hand.role, leader.failed()) == ("worker", [])
    assert by_hand.labels["theirs"] == "x"
