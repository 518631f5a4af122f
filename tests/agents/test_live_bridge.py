"""Three hosts in a swarm that somebody made by hand get the agreed docker_gwbridge, whatever happens meanwhile.

Whole agents on engines in memory. What must never happen is watched by LiveCluster at every step.
"""

from pathlib import Path

import pytest

from agent.model.intent import GWBRIDGE
from tests.support.document import EXAMPLE, document
from tests.support.live_cluster import AGREED, MOVED, MOVED_TO, OVERLAY, WITH_A_WORKER, LiveCluster, crash
from tests.support.simulated_cluster import KEYS, NAMES, TTL_S
from tests.support.thoroughness import thorough

pytestmark = pytest.mark.usefixtures("unlogged")

STEPS = range(1, 39)
"""As many as an agent takes here, the leader's own included."""
STRIDE = 1 if thorough else 3
SOME_STEPS = STEPS[::STRIDE]


@pytest.fixture
def cluster(tmp_path: Path) -> LiveCluster:
    return LiveCluster(tmp_path)


@pytest.fixture
def settled(cluster: LiveCluster) -> LiveCluster:
    """One in which all is done."""
    cluster.start()
    cluster.settle()
    cluster.disturbed.clear()
    cluster.swapped.clear()
    return cluster


# ---- the ordinary course


def test_all_hosts_come_to_the_agreed_bridge_one_after_the_other_and_nobody_is_restarted(
    cluster: LiveCluster,
) -> None:
    assert cluster.bridges() == {"172.18.0.0/16 172.18.0.1"}
    nodes = {name: host.engine.info().swarm.node_id for name, host in cluster.hosts.items()}
    cluster.start()

    cluster.settle()

    cluster.check_done()
    # The first manager that was asked leads the raft; it comes last.
    assert cluster.disturbed == ["node-232", "node-233", "node-231"]
    assert {name: host.engine.info().swarm.node_id for name, host in cluster.hosts.items()} == nodes
    assert not [error for agent in cluster.agents.values() for error in agent.failed()]


def test_workers_come_before_managers(tmp_path: Path) -> None:
    cluster = LiveCluster(tmp_path, WITH_A_WORKER)
    cluster.start()

    cluster.settle()

    cluster.check_done()
    assert cluster.disturbed == ["node-233", "node-232", "node-231"]


def test_what_is_done_stays_done(settled: LiveCluster) -> None:
    before = settled.written()

    settled.rounds(5, seconds=30.0)

    settled.check_done()
    assert settled.swapped == []
    assert {key: revision for key, revision in settled.written().items() if "/hosts/" not in key} == {
        key: revision for key, revision in before.items() if "/hosts/" not in key
    }


def test_another_subnet_is_gone_to_in_the_same_way_and_back_again(settled: LiveCluster) -> None:
    for text, bridge in ((MOVED, MOVED_TO), (EXAMPLE, AGREED)):
        settled.put_intent(text)
        settled.settle()
        settled.check_done(bridge)

    assert settled.disturbed == ["node-232", "node-233", "node-231"] * 2


def test_another_option_alone_is_a_change_too(settled: LiveCluster) -> None:
    settled.put_intent(
        document(cluster={"gwbridge": {"driver_opts": {"com.docker.network.bridge.enable_icc": "true"}}})
    )

    settled.settle()

    settled.check_done()
    assert sorted(settled.disturbed) == sorted(NAMES)
    options = [dict(host.engine.nets.local[GWBRIDGE].options) for host in settled.hosts.values()]
    assert {each["com.docker.network.bridge.enable_icc"] for each in options} == {"true"}


def test_in_mode_observe_nothing_is_touched_and_all_is_said(tmp_path: Path) -> None:
    cluster = LiveCluster(tmp_path, document(policy={"mode": "observe"}))
    cluster.start()

    cluster.rounds(10)

    assert (cluster.disturbed, cluster.bridges()) == ([], {"172.18.0.0/16 172.18.0.1"})
    assert cluster.turn() is None


# ---- crashes


@pytest.mark.parametrize(
    ("name", "after"),
    [(name, after) for number, name in enumerate(NAMES) for after in STEPS if (number + after) % STRIDE == 0],
)
def test_an_agent_that_crashes_after_any_step_goes_on_where_it_was(
    cluster: LiveCluster, name: str, after: int
) -> None:
    cluster.start()
    if crash(cluster, name, after):
        cluster.start(name)

    cluster.settle()

    cluster.check_done()
    assert sum(len(agent.outcomes) for agent in cluster.agents.values()) > after


@pytest.mark.parametrize("name", NAMES)
def test_an_agent_that_crashes_after_every_single_step_comes_to_the_end_all_the_same(
    cluster: LiveCluster, name: str
) -> None:
    cluster.start()
    crashes = 0
    while crash(cluster, name, 1):
        crashes += 1
        cluster.start(name)

    cluster.settle()

    cluster.check_done()
    assert crashes > 15


@pytest.mark.parametrize("name", NAMES)
def test_one_that_stays_away_with_the_disruption_slot_is_waited_for_and_the_others_work_on(
    tmp_path: Path, name: str
) -> None:
    for after in SOME_STEPS:
        cluster = LiveCluster(tmp_path / str(after))
        cluster.start()
        if not crash(cluster, name, after):
            break
        disruption = cluster.turn()
        held = disruption is not None and (disruption.host, disruption.state) == (name, "acquired")
        disturbed = list(cluster.disturbed)

        cluster.rounds(10, seconds=TTL_S)

        assert not held or cluster.disturbed == disturbed
        assert cluster.out_of_reach() == []
        cluster.start(name)
        cluster.settle()
        cluster.check_done()


# ---- what else may happen in the middle


ROUNDS = range(1, 16, 1 if thorough else 2)
"""Of the fourteen it takes."""


def test_a_leader_that_loses_its_lock_in_the_middle_is_followed_by_another(tmp_path: Path) -> None:
    for moment in ROUNDS:
        cluster = LiveCluster(tmp_path / str(moment))
        cluster.start()
        cluster.rounds(moment)

        cluster.delete(KEYS.leader)
        cluster.settle()

        cluster.check_done()


def test_a_leader_that_dies_in_the_middle_is_followed_by_another(tmp_path: Path) -> None:
    for moment in ROUNDS:
        cluster = LiveCluster(tmp_path / str(moment))
        cluster.start()
        cluster.rounds(moment)
        leaders = [name for name, agent in cluster.agents.items() if agent.leads]

        for name in leaders:
            cluster.lose_agent(name)
        cluster.rounds(3, seconds=TTL_S)
        cluster.start(*leaders) if leaders else None
        cluster.settle()

        cluster.check_done()


def test_without_etcd_no_further_host_is_begun_with_and_nobody_is_left_half_way(tmp_path: Path) -> None:
    for moment in ROUNDS:
        cluster = LiveCluster(tmp_path / str(moment))
        cluster.start()
        cluster.rounds(moment)
        disturbed = list(cluster.disturbed)

        for agent in cluster.agents.values():
            agent.cut_etcd()
        cluster.rounds(5, seconds=TTL_S)

        assert cluster.disturbed == disturbed
        assert cluster.begun() == cluster.out_of_reach() == []
        for agent in cluster.agents.values():
            agent.heal_etcd()
        cluster.settle()
        cluster.check_done()


def test_a_host_that_crashed_half_way_ends_what_it_began_also_without_etcd(tmp_path: Path) -> None:
    """Its agent knows of the disruption slot from before.

    An agent that was started without etcd keeps every container parked and reachable.
    """
    for after in SOME_STEPS:
        cluster = LiveCluster(tmp_path / str(after))
        cluster.start()
        if not crash(cluster, "node-232", after):
            break
        cluster.start("node-232")
        cluster.agents["node-232"].cut_etcd()

        cluster.rounds(3)

        assert cluster.out_of_reach() == []
        cluster.agents["node-232"].heal_etcd()
        cluster.settle()
        cluster.check_done()


@pytest.mark.parametrize(("text", "bridge"), [(MOVED, MOVED_TO), (EXAMPLE, AGREED)])
def test_a_new_intent_in_the_middle_is_gone_to_by_all(tmp_path: Path, text: str, bridge: str) -> None:
    for moment in ROUNDS:
        cluster = LiveCluster(tmp_path / str(moment))
        cluster.start()
        cluster.rounds(moment)

        cluster.put_intent(text)
        cluster.settle()

        cluster.check_done(bridge)


def test_an_intent_that_agrees_to_what_is_there_ends_it(tmp_path: Path) -> None:
    as_found = document(cluster={"gwbridge": {"subnet": "172.18.0.0/16", "gateway": "172.18.0.1"}})
    for moment in ROUNDS:
        cluster = LiveCluster(tmp_path / str(moment))
        cluster.start()
        cluster.rounds(moment)

        cluster.put_intent(as_found)
        cluster.settle()

        cluster.check_done("172.18.0.0/16 172.18.0.1")


def test_a_dockerd_that_restarts_in_the_middle_is_no_reason_to_begin_with_another_host(
    tmp_path: Path,
) -> None:
    """It has made every gateway again on what is named docker_gwbridge then, and a wrong bridge if there was none."""
    for after in SOME_STEPS:
        cluster = LiveCluster(tmp_path / str(after))
        cluster.start()
        if not crash(cluster, "node-232", after):
            break
        engine = cluster.hosts["node-232"].engine
        engine.answers = False
        cluster.start("node-232")
        cluster.rounds(3)

        engine.nets.restart()
        engine.answers = True
        cluster.settle()

        cluster.check_done()


def test_without_a_quorum_the_bridge_is_changed_all_the_same(cluster: LiveCluster) -> None:
    for name in ("node-231", "node-233"):
        cluster.hosts[name].engine.answers = False
    cluster.start("node-232")
    cluster.put_intent(EXAMPLE)

    cluster.rounds(20)

    found = cluster.hosts["node-232"].engine.nets.local[GWBRIDGE]
    assert f"{found.subnet} {found.gateway}" == AGREED
    for name in ("node-231", "node-233"):
        cluster.hosts[name].engine.answers = True
    cluster.start("node-231", "node-233")
    cluster.settle()
    cluster.check_done()


def test_a_container_that_starts_and_stops_all_the_time_delays_nobody_for_good(cluster: LiveCluster) -> None:
    restless = cluster.hosts["node-232"].engine
    restless.run_foreign("restless", NetworkMode=OVERLAY)
    cluster.start()

    for number in range(40):
        cluster.round()
        if number % 2:
            restless.by_hand.start("restless")
        else:
            restless.by_hand.end("restless", exit_code=1)

    cluster.check_done()


# ---- a form that docker refuses


def test_options_that_docker_refuses_move_nothing_and_the_next_document_goes_on(settled: LiveCluster) -> None:
    before, started = settled.bridges(), settled.when_started()
    # Of an option that a later engine knows: the document refuses wrong values of those known here.
    bogus = {"com.docker.network.bridge.enable_later": "bogus"}
    settled.put_intent(document(cluster={"gwbridge": {"driver_opts": bogus}}))
    settled.rounds(60)

    assert settled.bridges() == before
    assert settled.disturbed == []
    assert any("failed to parse" in error for agent in settled.agents.values() for error in agent.failed())
    settled.put_intent(EXAMPLE)
    settled.settle()
    assert settled.bridges() == before
    assert settled.when_started() == started
