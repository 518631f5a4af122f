"""A document that ends each leader that plans it: it is refused, hosts never follow it, and the next one passes."""

from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from agent.diff.nodes import LeaderView
from agent.model.intent import Intent
from agent.model.records import Assignment, Trial, decode
from agent.planner.leader import leading, scheduler
from agent.planner.leader.scheduler import Placement
from tests.support.document import EXAMPLE, document
from tests.support.simulated_cluster import KEYS, TTL_S, Crash, SimulatedCluster, at_rest, images

pytestmark = pytest.mark.usefixtures("unlogged")

DEADLY = document(tags={"billing": "6.6.6"})
GOOD = document(tags={"billing": "1.0.1"})
FAULTY = "name: prod\nservices: 1\n"
PAUSED = document(policy={"mode": "paused"})


@pytest.fixture
def cluster(tmp_path: Path) -> SimulatedCluster:
    """Three managers that have carried the example out."""
    cluster = at_rest(tmp_path)
    cluster.lan.registry |= images(GOOD) | images(DEADLY)
    return cluster


@pytest.fixture
def deadly(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Let every agent end that places the replicas of a document with this image."""

    def end_with(image: str) -> None:
        def place(
            intent: Intent, current: Mapping[str, Assignment], observed: LeaderView | None = None
        ) -> Placement:
            if any(each.spec.image.endswith(image) for each in intent.services):
                raise Crash
            return schedule(intent, current, observed)

        monkeypatch.setattr(scheduler, "schedule", place)

    schedule = scheduler.schedule
    return end_with


def rounds(cluster: SimulatedCluster, count: int = 2 * int(TTL_S) + 10) -> list[str]:
    """Let time pass; return the agents that ended, each of which starts again a moment later."""
    ended = []
    for _ in range(count):
        for name in cluster.hosts:
            try:
                cluster.agents[name].turn()
            except Crash:
                cluster.lose_agent(name)
                ended.append(name)
                cluster.start(name)
        cluster.clock.advance(1.0)
    return ended


def trial(cluster: SimulatedCluster) -> Trial | None:
    found = cluster.read(KEYS.trial)
    return decode(Trial, found.value) if found else None


def is_accepted(cluster: SimulatedCluster) -> bool:
    verdict, intent = cluster.verdict(), cluster.read(KEYS.intent)
    assert verdict is not None
    assert intent is not None
    return verdict.accepted and verdict.revision == intent.mod_revision == verdict.accepted_revision


def test_it_ends_two_leaders_and_the_third_refuses_it_while_nothing_changes(
    cluster: SimulatedCluster, deadly: Callable[[str], None]
) -> None:
    before, accepted = cluster.ids(), cluster.accepted()
    deadly("billing:6.6.6")
    cluster.put_intent(DEADLY)

    assert len(rounds(cluster)) == leading.MOST_TRIALS
    verdict = cluster.verdict()
    assert verdict is not None
    assert not verdict.accepted
    assert "two leaders in a row ended" in verdict.errors[0]
    assert "apply a corrected document" in verdict.errors[0]
    assert (cluster.accepted(), cluster.ids()) == (accepted, before)
    assert "blocked intent: revision" in str(cluster.leader().plan)
    written = cluster.written()
    assert rounds(cluster, 10) == []
    assert cluster.written()[KEYS.trial] == written[KEYS.trial]

    cluster.put_intent(GOOD)
    assert rounds(cluster, 10) == []
    assert is_accepted(cluster)
    assert trial(cluster) is None
    cluster.settle()
    assert "billing:1.0.1" in str(cluster.running())


def test_put_again_it_gets_another_trial(cluster: SimulatedCluster, deadly: Callable[[str], None]) -> None:
    deadly("billing:6.6.6")
    cluster.put_intent(DEADLY)
    rounds(cluster)
    cluster.put_intent(DEADLY)
    assert len(rounds(cluster)) == leading.MOST_TRIALS
    assert not is_accepted(cluster)

    deadly("no such image")
    cluster.put_intent(DEADLY)
    assert rounds(cluster, 10) == []
    assert is_accepted(cluster)


def test_one_leader_that_ends_for_another_reason_does_not_count(
    cluster: SimulatedCluster, deadly: Callable[[str], None]
) -> None:
    deadly("billing:1.0.1")
    cluster.put_intent(GOOD)
    while not rounds(cluster, 1):
        assert not is_accepted(cluster)
    found = trial(cluster)
    assert found is not None
    assert len(found.leaders) == 1
    deadly("no such image")
    assert rounds(cluster) == []
    assert is_accepted(cluster)
    assert trial(cluster) is None


def test_a_document_that_nothing_ends_costs_one_write_more(cluster: SimulatedCluster) -> None:
    puts: list[str] = []
    leader = cluster.leader()
    leader.store.on_write = lambda _, operations: puts.extend(each.key for each in operations)
    cluster.put_intent(GOOD)
    cluster.settle()
    cluster.rounds(5)
    assert puts.count(KEYS.trial) == len(("its begin", "its end, together with the verdict"))
    assert [puts.count(each) for each in (KEYS.verdict, KEYS.accepted)] == [1, 1]


@pytest.mark.parametrize("newest", [GOOD, FAULTY, PAUSED], ids=["good", "faulty", "paused"])
def test_the_newest_document_is_judged_before_the_accepted_one_is_planned(
    cluster: SimulatedCluster, deadly: Callable[[str], None], newest: str
) -> None:
    deadly("billing:1.0.0")
    assert "billing:1.0.0" in str(images(EXAMPLE))
    assert len(rounds(cluster, 1)) == 1
    cluster.put_intent(newest)
    ended = rounds(cluster)
    verdict, intent = cluster.verdict(), cluster.read(KEYS.intent)
    assert verdict is not None
    assert intent is not None
    assert verdict.revision == intent.mod_revision
    assert is_accepted(cluster) == (newest != FAULTY)
    assert bool(ended) == (newest == FAULTY)
