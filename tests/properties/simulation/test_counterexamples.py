"""Histories that once came to a bad end, each by its name."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import pytest

from tests.properties.simulation.documents import Wish, document, wish
from tests.properties.simulation.history import OTHER_TAG, Event, History, history
from tests.properties.simulation.tell import Tale, tell

MANAGERS_ALL, FIRST_A_WORKER, FIRST_TAKEN_OUT = 0, 1, 204
"""Numbers of documents (documents.wish)."""


def test_the_maker_of_the_swarm_is_declared_a_worker_before_it_could_record_it() -> None:
    """It waited for the role of a manager, and whoever led waited for it, as it had claimed the init."""
    with history(3, begun=False, first=MANAGERS_ALL) as told:
        told.happens([("round", 0, 0)])
        for _ in range(10):
            if not told.world.hosts["node-231"].swarm_id:
                told.turn("node-231")
        told.world.put_intent(document(wish(FIRST_A_WORKER, 3), told.world.names))
        told.turn("node-231")  # the trial
        told.happens([("crash", 0, 1)])  # accepted, but the swarm is not recorded yet
        accepted, record = told.world.accepted(), told.world.record()
        assert accepted is not None
        assert "role: worker" in accepted.document
        assert record is not None
        assert (record.claimed_by, record.swarm_id) == ("node-231", None)
        told.start("node-231")
        told.settle()
        told.rest(FIRST_A_WORKER)


@pytest.mark.parametrize("last", [FIRST_A_WORKER, FIRST_TAKEN_OUT], ids=["declared a worker", "taken out"])
def test_who_claimed_the_init_is_no_manager_any_more_before_it_could_make_the_swarm(last: int) -> None:
    """It could not lead any more to make it, and whoever led waited for it, as it was still there."""
    with history(3, begun=False, first=MANAGERS_ALL) as told:
        for _ in range(10):
            if told.world.record() is None:
                told.happens([("round", 0, 0)])
        record = told.world.record()
        assert record is not None
        assert (record.claimed_by, told.world.hosts["node-231"].swarm_id) == ("node-231", None)
        told.rest(last)
        assert len(told.world.swarms) == 1


@pytest.mark.parametrize(
    "last", [MANAGERS_ALL, FIRST_A_WORKER, FIRST_TAKEN_OUT], ids=["manager", "worker", "out"]
)
def test_who_made_the_swarm_is_away_before_it_could_record_it_and_another_is_made(last: int) -> None:
    """Both were right to make one. The one that is not recorded stayed for ever, and its host with it."""
    with history(3, begun=False, first=MANAGERS_ALL) as told:
        for _ in range(10):
            if not told.world.hosts["node-231"].swarm_id:
                told.turn("node-231")
                told.happens([("turn", each, 0) for each in (1, 2)])
        told.happens([("power_is_cut", 0, 0), ("time_passes", 0, 2), *[("round", 0, 0)] * 6])
        assert len(told.world.swarms) == 2
        told.rest(last)
        assert len(told.world.swarms) == 1


def told(hosts: int, first: int, last: int, happens: Sequence[Event]) -> str:
    """What was wrong with a history that began at rest."""
    return tell(Tale(hosts=hosts, begun=True, first=first, happens=tuple(happens), last=last))


def test_a_swap_that_waits_since_the_bridge_broke_is_carried_out_when_the_document_is_another_one() -> None:
    """It needed no disruption slot, and the bridge is as broken as it was; the swap to the new subnet waits for one."""
    happens = [("changes_the_bridge", 3, 363), ("look", 3, 7113)]
    assert told(5, 1743, 3070, happens) == ""


def test_somebody_deletes_the_disruption_slot_while_its_host_is_at_work() -> None:
    happens = [
        ("put", 2, 9158), ("turn", 0, 378), ("look", 3, 2918), ("look", 1, 4303), ("deletes", 3, 9355),
        ("round", 0, 3833), ("round", 1, 6447), ("round", 0, 1837), ("look", 4, 1139), ("etcd_comes", 1, 7112),
        ("work", 0, 5984), ("take_lock", 3, 5287), ("registry_goes", 1, 8293), ("work", 2, 6629), ("work", 5, 3905),
        ("work", 5, 2578), ("an_answer_is_lost", 1, 9787), ("power_is_cut", 5, 3741), ("runs_a_guest", 5, 723),
        ("runs_a_guest", 3, 3082), ("power_is_cut", 5, 5068), ("deletes", 2, 103),
    ]  # fmt: skip
    assert told(3, 4773, 8608, happens) == ""


def test_the_bridge_is_gone_as_a_replica_of_the_new_spec_is_started() -> None:
    """The rollout was paused for good, by what was put right a moment later and was no doing of the spec."""
    happens = [
        ("crash", 0, 8539), ("turn", 2, 6812), ("work", 0, 7757), ("turn", 3, 4294), ("look", 0, 1016),
        ("look", 4, 6273), ("restart_in_order", 0, 4227), ("changes_the_bridge", 2, 4327), ("turn", 3, 2243),
        ("work", 3, 7944),
    ]  # fmt: skip
    assert told(3, 4123, 3665, happens) == ""


def test_a_document_turns_a_role_back_on_its_way_while_another_manager_is_away() -> None:
    """The one that was away was demoted beside it."""
    happens = [
        ("look", 2, 4187), ("deletes", 6, 3698), ("put", 6, 8982), ("round", 6, 7420), ("turn", 4, 5498),
        ("dockerd_comes", 5, 1018), ("misgives", 2, 8389), ("spoil", 1, 3552), ("put", 3, 4631), ("spoil", 0, 4300),
        ("turn", 3, 3756), ("an_answer_is_lost", 5, 1301), ("dockerd_goes", 0, 6720), ("turn", 4, 1859),
        ("cut_from_the_swarm", 4, 7708), ("round", 2, 3152), ("look", 6, 7617), ("reached_again", 0, 7597),
        ("look", 3, 1301), ("turn", 0, 2758), ("round", 4, 4220), ("a_call_fails", 2, 984), ("round", 5, 1269),
        ("registry_goes", 4, 5936), ("a_guest_goes", 5, 1481),
    ]  # fmt: skip
    assert told(3, 544, 9743, happens) == ""


def test_somebody_demotes_a_node_when_the_leader_has_just_decided_to_demote_another() -> None:
    """What is on its way already is not recalled; that the leader looked again before it arrived made it no worse."""
    happens = [
        ("work", 2, 6945), ("look", 0, 6028), ("turn", 0, 1733), ("put", 2, 335), ("look", 3, 4835),
        ("reached_again", 6, 4706), ("round", 1, 3310), ("work", 4, 9027), ("dockerd_restarts", 0, 1364),
        ("put_bad", 2, 6382), ("etcd_comes", 3, 3117), ("look", 0, 6586), ("look", 6, 5040), ("work", 1, 2862),
        ("look", 2, 7314), ("changes_a_node", 4, 5861), ("round", 0, 4133), ("work", 3, 7248), ("turn", 5, 8322),
        ("round", 6, 4405), ("turn", 1, 8765),
    ]  # fmt: skip
    assert told(7, 2692, 6937, happens) == ""


def test_a_leader_freezes_at_a_node_that_the_next_leader_makes_what_it_was_to_be() -> None:
    """Back again it finds nothing to change: that it has no lease any more is no matter."""
    happens = [
        ("changes_a_node", 1, 9470), ("an_answer_is_lost", 1, 3857), ("work", 5, 4834), ("take_lock", 3, 220),
        ("round", 5, 707), ("dockerd_restarts", 0, 8914), ("round", 3, 5759), ("power_comes", 2, 7892),
        ("takes_a_host_out_of_the_swarm", 5, 4627), ("frozen", 4, 4433), ("work", 3, 5948),
        ("a_stranger_joins", 0, 6337), ("round", 2, 3034), ("frozen_at_a_node", 0, 4468),
        ("turn", 1, 6545), ("work", 6, 9466), ("cut_from_the_swarm", 0, 1737), ("runs_a_guest", 4, 2212),
    ]  # fmt: skip
    assert told(5, 400, 8405, happens) == ""


def test_what_is_accepted_is_spoiled_before_its_only_manager_has_read_it() -> None:
    """It goes by the next document, which names another, who goes by the one before: nobody led for ever."""
    happens: tuple[Event, ...] = (
        ("frozen", 1, 5360),
        ("round", 2, 202),
        ("put_bad", 0, 2111),
        ("spoil", 2, 9515),
    )
    assert tell(Tale(hosts=3, begun=False, first=7903, happens=happens, last=4093)) == ""


def test_a_leader_that_has_just_taken_the_lock_has_not_reported_the_nodes() -> None:
    """Nobody else reports them while there is a leader: that a node is down was not known, and all was well."""
    happens: tuple[Event, ...] = (
        ("cut_from_the_swarm", 1, 779),
        *(("round", 0, number) for number in (213, 4268, 112, 62, 7066, 101, 323, 1171, 80)),
        ("frozen", 0, 2687),
        ("a_stranger_joins", 4, 103),
        ("round", 5, 319),
    )
    with history(7, begun=True, first=9999) as told:
        told.happens(happens)


@pytest.mark.parametrize(
    ("hosts", "managers", "removed", "last"),
    [
        (3, {1}, (0,), Wish(workers=frozenset({1, 2}))),
        (5, {3, 4}, (0, 1, 2), Wish(workers=frozenset({3, 4}))),
        (5, {3, 4}, (0, 1, 2), Wish(workers=frozenset({4}), out=frozenset({3}))),
    ],
    ids=["the only manager", "two managers", "one of them is taken out"],
)
def test_who_is_to_manage_the_swarm_is_not_in_it_and_those_that_do_are_to_be_workers(
    hosts: int, managers: set[int], removed: Sequence[int], last: Wish
) -> None:
    """It did not believe the order to leave: only declared managers counted, and none of them was one."""
    with removed_from_the_swarm(hosts, managers, removed) as told:
        told.world.put_intent(document(last, told.world.names))
        told.settle()
        told.check_converged(document(last, told.world.names))


def test_who_is_to_manage_the_swarm_is_not_in_it_and_the_document_names_nobody_that_is() -> None:
    """Nobody whom the document names can confirm that the swarm lacks its node: it asks for `docker swarm leave`."""
    last = Wish(workers=frozenset({2}), out=frozenset({1}))
    with removed_from_the_swarm(3, {1}, (0,)) as told:
        told.world.put_intent(document(last, told.world.names))
        told.rounds(10)
        (asked,) = [each for each in told.world.agents["node-231"].plan.blocked if each.kind == "untrusted"]
        assert "no other host of the document is a manager of its swarm" in asked.reason
        assert told.world.running()["node-231"]
        told.settle()
        told.check_converged(document(last, told.world.names))


@contextmanager
def removed_from_the_swarm(hosts: int, managers: set[int], removed: Sequence[int]) -> Iterator[History]:
    """A cluster with these managers; somebody has just removed the nodes of these workers."""
    with history(hosts, begun=True) as told:
        before = Wish(workers=frozenset(range(hosts)) - managers)
        told.world.put_intent(document(before, told.world.names))
        told.settle()
        told.happens([("removes_a_worker", each, 0) for each in removed])
        assert len(told.world.swarms[0].members) == hosts - len(removed)
        yield told


def test_a_manager_is_demoted_while_it_is_cut_off_and_the_others_lose_their_quorum() -> None:
    """Its engine takes itself for a manager, and nobody lists the nodes: the lost quorum is all that can be named."""
    happens = [
        ("cut_from_the_swarm", 3, 8778), ("an_answer_is_lost", 4, 4998), ("put", 2, 8775), ("round", 5, 8855),
        ("turn", 1, 2547), ("look", 3, 4099), ("turn", 6, 4221), ("turn", 3, 5376), ("registry_goes", 2, 5914),
        ("turn", 3, 6680), ("cut_from_the_swarm", 1, 599), ("round", 6, 4994), ("frozen", 5, 1742), ("put", 5, 3090),
        ("round", 5, 7014), ("put", 2, 9511), ("look", 1, 2935), ("dockerd_goes", 0, 3096), ("turn", 3, 899),
        ("registry_goes", 0, 4611), ("turn", 3, 1704),
    ]  # fmt: skip
    assert told(6, 8847, 4945, happens) == ""


def test_a_leader_without_a_list_of_the_nodes_is_the_cause_of_a_replica_that_waits_for_a_subnet() -> None:
    happens = [
        ("reached_again", 3, 2224), ("look", 6, 2635), ("round", 4, 3058), ("turn", 5, 7424),
        ("cut_from_the_swarm", 4, 7293), ("power_is_cut", 0, 7391), ("etcd_comes", 3, 5996), ("put", 0, 9436),
        ("look", 6, 1489), ("frozen", 4, 3550), ("round", 6, 253), ("put", 5, 8573), ("round", 2, 2034),
    ]  # fmt: skip
    assert told(5, 7253, 2194, happens) == ""


def test_a_drained_host_goes_off_with_a_container_that_no_report_shows() -> None:
    """It started it while it did not reach etcd. Its last report was of before, and all was well."""
    happens: tuple[Event, ...] = (
        ("round", 5, 8506), ("spoil", 5, 8646), ("runs_a_guest", 6, 5375), ("round", 5, 4382), ("round", 0, 5270),
        ("etcd_comes", 5, 7622), ("round", 4, 3881), ("look", 6, 4149), ("work", 5, 4277), ("round", 2, 192),
        ("put", 1, 2741), ("etcd_goes", 1, 5917), ("an_answer_is_lost", 2, 2281), ("start", 1, 4826),
        ("look", 0, 4000), ("turn", 3, 5543), ("killed", 1, 3390), ("work", 3, 8301),
    )  # fmt: skip
    assert tell(Tale(hosts=3, begun=False, first=8168, happens=happens, last=917)) == ""


def test_a_drained_host_is_off_and_its_report_is_deleted() -> None:
    """Nobody knew what it runs, and all was well."""
    happens: tuple[Event, ...] = (
        ("turn", 5, 7061), ("turn", 2, 3458), ("crash", 1, 1999), ("woken_twice", 3, 129), ("look", 4, 419),
        ("changes_the_bridge", 0, 9220), ("reached_again", 4, 1070), ("deletes", 1, 7937), ("work", 6, 8109),
        ("work", 3, 8929), ("changes_a_node", 3, 5975), ("round", 4, 8893), ("a_call_fails", 5, 6975),
        ("put", 1, 4417), ("work", 4, 1188), ("frozen", 2, 6718), ("work", 5, 6799), ("put", 6, 2755),
        ("round", 3, 6), ("round", 0, 1487), ("look", 3, 1025), ("power_is_cut", 1, 7194), ("etcd_comes", 2, 1640),
    )  # fmt: skip
    assert tell(Tale(hosts=3, begun=True, first=1055, happens=happens, last=554)) == ""


def test_a_correction_makes_another_host_the_leader_and_the_failed_spec_comes_back() -> None:
    """The correction had not begun its rollout: the operator has to wait for that, or the rollout stays paused."""
    happens: tuple[Event, ...] = (
        ("etcd_comes", 6, 7122), ("an_answer_is_lost", 6, 8427), ("takes_a_host_out_of_the_swarm", 1, 535),
        ("round", 4, 8106), ("removes_a_worker", 4, 2759), ("work", 4, 2506), ("frozen_at_a_node", 1, 5477),
        ("docker_refuses", 0, 8997), ("look", 2, 8583), ("power_comes", 0, 9336), ("etcd_comes", 5, 9628),
        ("turn", 3, 7905), ("an_answer_is_lost", 1, 2759), ("a_call_fails", 0, 598), ("look", 0, 8591),
        ("removes_a_worker", 4, 7975), ("put", 1, 7978), ("a_call_fails", 4, 7783),
    )  # fmt: skip
    assert tell(Tale(hosts=3, begun=True, first=3897, happens=happens, last=1836)) == ""


def test_a_replica_waits_for_another_one_that_cannot_join_their_overlay() -> None:
    """Nothing named it: it only waited, for a replica whose fault was named."""
    assert told(3, 3489, 2445, [("put", 1, 2750), ("cut_from_the_swarm", 0, 9664)]) == ""


def test_a_rollout_stops_where_a_new_container_is_made_and_its_host_is_cut_off() -> None:
    """That there are two containers was all that was said of it, and the wait for a raft leader had no cause."""
    happens: list[Event] = [("put", 0, OTHER_TAG), *[("round", 0, 0)] * 5, ("crash", 0, 0)]
    happens += [("cut_from_the_swarm", 0, 1), ("start", 0, 0)]
    assert told(3, 0, 0, happens) == ""


def test_the_dockerd_of_a_leader_is_away_when_a_document_removes_its_host() -> None:
    """It reported its own host as waiting to be removed, which hid that it knew nothing of its containers."""
    assert told(3, 8109, 6820, [("dockerd_goes", 2, 5010), ("put", 1, 6173)]) == ""


def test_the_quorum_is_lost_while_hosts_wait_for_the_disruption_slot() -> None:
    """They waited for the host that had it, which was well."""
    happens = [
        ("put", 1, 2531), ("round", 6, 2243), ("round", 5, 1141), ("look", 0, 1182), ("round", 4, 1746),
        ("dockerd_goes", 3, 4457), ("power_is_cut", 5, 3257),
    ]  # fmt: skip
    assert told(5, 8273, 4528, happens) == ""


def test_a_drained_host_has_the_disruption_slot_when_its_agent_ends() -> None:
    """A drained host may be off, so it was well, and the others waited for its slot without a problem."""
    happens: list[Event] = [("put", 0, 9704), *[("round", 0, 8284)] * 7, ("crash", 2, 3050)]
    assert told(3, 2483, 0, happens) == ""


def test_an_assignment_is_damaged_before_any_document_is_accepted() -> None:
    """Nobody rewrites it before then, as nobody knows what it is to be: the simulation read it all the same."""
    happens: tuple[Event, ...] = (("spoil", 0, 1032), ("put_bad", 5, 6887), ("docker_refuses", 6, 9354))
    assert tell(Tale(hosts=5, begun=False, first=9116, happens=happens, last=9655)) == ""


def test_a_leader_is_to_become_a_worker_and_the_declared_managers_are_not_in_the_swarm() -> None:
    """It waited for another leader, which is itself and was well: nothing named the managers that cannot lead."""
    happens: tuple[Event, ...] = (
        ("cut_from_the_swarm", 0, 9774), ("round", 4, 5944), ("turn", 0, 4479), ("round", 6, 9117),
        ("round", 3, 4522), ("frozen_mid_write", 0, 8425), ("round", 6, 904), ("put", 1, 8458),
    )  # fmt: skip
    assert tell(Tale(hosts=5, begun=False, first=6004, happens=happens, last=5595)) == ""


def test_a_host_is_cut_off_in_the_swarm_alone() -> None:
    """The leader saw its node down, and kept that for 5 s to save a write: all was well meanwhile."""
    happens: list[Event] = [("cut_from_the_swarm", 5, 239), ("round", 0, 1415), ("round", 2, 7447)]
    assert told(3, 1894, 7362, happens) == ""


def test_none_of_the_managers_in_the_quorum_can_report_that_they_do_not_reach_the_third() -> None:
    """The leader is the third: it names the quorum that it lacks. The simulation asked for its own host."""
    happens = [("etcd_goes", 5, 4122), ("crash", 6, 7345), ("put", 4, 795), ("cut_from_the_swarm", 0, 3981)]
    assert told(3, 4440, 8541, happens) == ""
