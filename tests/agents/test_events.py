"""Whole agents in memory: what leaders see change and order is in one key, whoever leads and whatever is in it."""

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import pytest

from agent.model.events import Event, EventLog, read_log
from agent.model.records import encode
from agent.model.store import Compare, Delete, Put
from agent.report.events import GATHER_S
from tests.support.document import document
from tests.support.simulated_cluster import KEYS, SimulatedCluster, at_rest, images

pytestmark = pytest.mark.usefixtures("unlogged")

NEWER = document(tags={"billing": "1.0.1"})
FAULTY = "name: prod\nservices: 1\n"


@pytest.fixture
def cluster(tmp_path: Path) -> SimulatedCluster:
    """Three managers that have carried the example out, and whose leader has written its events."""
    cluster = at_rest(tmp_path)
    cluster.lan.registry |= images(NEWER)
    cluster.rounds(15)
    return cluster


def kept(cluster: SimulatedCluster) -> EventLog:
    found = cluster.read(KEYS.events)
    assert found is not None
    return read_log(found.value)


def told(cluster: SimulatedCluster, *kinds: str) -> list[tuple[str, str]]:
    return [(each.resource, each.state) for each in kept(cluster).events if each.kind in kinds]


def writes(cluster: SimulatedCluster) -> list[float]:
    """The times at which agents write the events from now on; the list grows."""
    found: list[float] = []

    def note(_: Sequence[Compare], operations: Sequence[Put | Delete]) -> None:
        found.extend(cluster.clock.now for each in operations if each.key == KEYS.events)

    for agent in cluster.agents.values():
        agent.store.on_write = note
    return found


def test_the_first_boot_is_an_election_a_document_and_hosts_that_join(cluster: SimulatedCluster) -> None:
    intent = cluster.read(KEYS.intent)
    assert intent is not None
    of_document = f"document/{intent.mod_revision}"
    assert told(cluster, "election") == [(f"leader/{cluster.leader().name}", "elected")]
    assert told(cluster, "document") == [(of_document, "accepted"), (of_document, "carried-out")]
    joined = [state for resource, state in told(cluster, "condition") if resource == "host/node-233"]
    assert joined == ["Progressing", "Ready"]


def test_a_cluster_at_rest_writes_no_event(cluster: SimulatedCluster) -> None:
    found = writes(cluster)
    cluster.rounds(120)
    cluster.put("/swarmkeeper/other/intent", b"raises etcd's revision")
    cluster.rounds(60, seconds=10.0)
    assert found == []


def test_a_host_that_goes_and_comes_is_two_writes(cluster: SimulatedCluster) -> None:
    found, name = writes(cluster), cluster.follower().name
    cluster.lose_agent(name)
    cluster.rounds(40)
    assert len(found) == 1
    assert (f"host/{name}", "Unknown") in told(cluster, "condition")
    cluster.start(name)
    cluster.rounds(40)
    assert (f"host/{name}", "Ready") in told(cluster, "condition")[-3:]
    assert len(found) == 2


def test_a_refused_document_is_an_event_with_its_first_error(cluster: SimulatedCluster) -> None:
    cluster.put_intent(FAULTY)
    cluster.rounds(10)
    last = kept(cluster).events[-1]
    intent = cluster.read(KEYS.intent)
    assert intent is not None
    assert (last.kind, last.resource, last.state) == (
        "document",
        f"document/{intent.mod_revision}",
        "refused",
    )
    assert "'x-cluster' is missing" in last.text


def test_a_drain_is_an_order_and_a_condition(cluster: SimulatedCluster) -> None:
    name = cluster.follower().name
    cluster.put_intent(document(hosts={name: {"availability": "drain"}}))
    cluster.rounds(40)
    orders = [each for each in kept(cluster).events if each.kind == "order"]
    assert (orders[-1].resource, orders[-1].state) == (f"host/{name}", "update node")
    assert "drain" in orders[-1].text
    drained = [
        each for each in kept(cluster).events if each.resource == f"host/{name}" and each.reason == "Drained"
    ]
    assert len(drained) == 1


def test_the_next_leader_goes_on_with_the_list_and_says_nothing_twice(cluster: SimulatedCluster) -> None:
    before, first = kept(cluster).events, cluster.leader().name
    cluster.put_intent(FAULTY)
    cluster.rounds(3)  # the leader has refused it, and its event is not written yet
    assert kept(cluster).events == before
    cluster.lose_agent(first)
    cluster.rounds(60)
    second = cluster.leader().name
    cluster.start(first)
    cluster.rounds(30)

    events = kept(cluster).events
    assert events[: len(before)] == before
    after = [(each.resource, each.state) for each in events[len(before) :]]
    assert after[0] == (f"leader/{second}", "elected")
    assert [each for each in after if each[1] == "refused"] == [after[1]]
    assert after.count((f"host/{first}", "Unknown")) == after.count((f"host/{first}", "Ready")) == 1
    assert all(each.count == 1 for each in events)


def test_an_event_that_another_one_wrote_meanwhile_is_not_lost(cluster: SimulatedCluster) -> None:
    leader = cluster.leader()
    raced: list[bool] = []
    other = Event(
        at="2026-01-01T00:00:00Z", kind="election", resource="leader/other", state="elected", lock=1
    )
    found = writes(cluster)
    read = leader.store.read

    def overtaken(*arguments: object) -> object:
        result = read(*arguments)  # type: ignore[arg-type]
        if [each.key for each in arguments[0]] == [KEYS.events] and not raced:  # type: ignore[attr-defined]
            raced.append(True)
            cluster.put(KEYS.events, encode(EventLog(events=(*kept(cluster).events, other)), terse=True))
        return result

    leader.store.read = overtaken  # type: ignore[method-assign, assignment]
    cluster.put_intent(FAULTY)
    cluster.rounds(20)
    assert raced
    assert len(found) == 1
    events = kept(cluster).events
    assert other in events
    assert [each.state for each in events].count("refused") == 1


def test_a_write_whose_answer_is_lost_is_no_second_event(cluster: SimulatedCluster) -> None:
    leader = cluster.leader()
    lost: list[bool] = []

    def lose(_: Sequence[Compare], operations: Sequence[Put | Delete]) -> None:
        if not lost and KEYS.events in [each.key for each in operations]:
            lost.append(True)
            leader.store.lose_next_answer()

    leader.store.on_write = lose
    cluster.put_intent(FAULTY)
    cluster.rounds(20)
    assert lost
    events = kept(cluster).events
    assert [each.state for each in events].count("refused") == 1
    assert all(each.count == 1 for each in events)


def test_a_damaged_list_is_replaced_and_says_so(cluster: SimulatedCluster) -> None:
    cluster.put(KEYS.events, b"\xff" * 1_000_000)
    cluster.put_intent(FAULTY)
    cluster.rounds(10)
    log = kept(cluster)
    assert [each.state for each in log.events] == ["refused"]
    assert log.dropped_at == log.events[0].at


def test_a_list_of_a_later_release_stays(cluster: SimulatedCluster) -> None:
    newer = b'{"v":3,"anything":1}'
    cluster.put(KEYS.events, newer)
    cluster.put_intent(NEWER)
    cluster.settle()
    cluster.rounds(20)
    found = cluster.read(KEYS.events)
    assert found is not None
    assert found.value == newer
    assert "billing:1.0.1" in str(cluster.running())


def test_the_events_are_written_at_most_once_in_five_seconds(cluster: SimulatedCluster) -> None:
    found = writes(cluster)
    for number in range(20):
        cluster.put_intent(FAULTY + f"# {number}\n")
        cluster.rounds(2)
    cluster.rounds(10)
    assert 4 <= len(found) <= 10
    assert all(later - earlier >= GATHER_S for earlier, later in pairwise(found))


def test_a_leader_looks_again_when_the_time_to_gather_is_over(cluster: SimulatedCluster) -> None:
    leader = cluster.leader()
    assert leader.reporter.events.look_again_s == 0.0
    cluster.put_intent(FAULTY)
    cluster.round()
    assert leader.loop._until_next() <= GATHER_S
