"""`handover` against whole agents on hosts in memory: another host leads, once, and no replica notices."""

import itertools
from pathlib import Path

import pytest

from agent.cli import verbs
from agent.cli.plan import with_document
from agent.errors import Invalid
from agent.intent import parse_intent
from agent.model.leader_steps import HandOver, LeaderStep, Resign
from agent.model.plan import Step
from agent.model.records import LeaderRecord, decode
from agent.planner.dry_run.cluster import plan_cluster
from agent.planner.leader.eligibility import HANDOVER_S
from tests.agents.test_apply_wait import Driven
from tests.agents.test_events import kept
from tests.fakes.store import FakeStore
from tests.support.document import EXAMPLE, document
from tests.support.simulated_cluster import KEYS, SimulatedCluster, at_rest, images

pytestmark = pytest.mark.usefixtures("unlogged")


@pytest.fixture
def cluster(tmp_path: Path) -> SimulatedCluster:
    return at_rest(tmp_path)


def hand_over(cluster: SimulatedCluster, *names: str) -> int:
    """`handover --yes`."""
    connection = Driven(store=FakeStore(cluster.etcd), keys=KEYS, cluster=cluster)
    return verbs.handover(connection, verbs.Wish(command="handover", ask=False), names)


def leader(cluster: SimulatedCluster) -> str:
    """The host that has the lock."""
    lock = cluster.read(KEYS.leader)
    assert lock is not None
    return decode(LeaderRecord, lock.value).host


def ordered(to: str, at: str) -> str:
    return document(policy={"handover": {"at": at, "to": to}})


def handed_over(cluster: SimulatedCluster) -> list[str]:
    """The hosts that have handed over, in no order, once for each time."""
    every = ((name, each.step) for name, agent in cluster.agents.items() for each in agent.outcomes)
    return [name for name, step in every if isinstance(step, Resign)]


def test_the_named_host_leads_and_no_replica_is_touched(
    cluster: SimulatedCluster, capsys: pytest.CaptureFixture[str]
) -> None:
    before, replicas = leader(cluster), cluster.ids()
    to = [each for each in cluster.agents if each != before][-1]

    assert hand_over(cluster, to) == 0

    assert f"{to} is the leader, " in capsys.readouterr().out
    assert leader(cluster) == to
    cluster.settle()
    cluster.rounds(40, seconds=4.0)
    assert leader(cluster) == to
    assert handed_over(cluster) == [before]
    assert cluster.ids() == replicas
    last = [each for each in kept(cluster).events if each.kind == "election"][-1]
    assert (last.resource, last.text.partition(" of ")[0]) == (
        f"leader/{to}",
        "handed over, as policy.handover",
    )


def test_without_a_name_any_other_manager_leads_and_the_next_order_counts_as_soon(
    cluster: SimulatedCluster,
) -> None:
    led = [leader(cluster)]
    for _ in range(3):
        assert hand_over(cluster) == 0
        led.append(leader(cluster))
    assert all(one != other for one, other in itertools.pairwise(led))
    cluster.settle()


def test_an_order_that_is_older_than_the_election_does_nothing_also_for_a_later_leader(
    cluster: SimulatedCluster,
) -> None:
    before = leader(cluster)
    to = cluster.follower().name
    cluster.put_intent(ordered(to, "1969-01-01T00:00:00Z"))
    cluster.rounds(20)
    assert leader(cluster) == before
    assert handed_over(cluster) == []

    # Who took the lock after an order has carried it out, whatever becomes of the document in between.
    at = "2026-11-30T17:00:00Z"
    cluster.put_intent(ordered(to, at))
    cluster.rounds(20)
    assert leader(cluster) == to
    cluster.put_intent(EXAMPLE)
    cluster.rounds(20)
    cluster.put_intent(ordered(before, at))
    cluster.rounds(40)
    assert leader(cluster) == to
    assert handed_over(cluster) == [before]


def test_if_the_named_host_does_not_take_it_any_host_does_and_the_command_says_why(
    cluster: SimulatedCluster, capsys: pytest.CaptureFixture[str]
) -> None:
    before = cluster.leader()
    to = cluster.follower().name

    def fails(step: Step) -> None:
        if isinstance(step, HandOver):
            cluster.lose_agent(to)

    before.before = fails
    began = cluster.clock()
    assert hand_over(cluster, to) == 1
    assert cluster.clock() - began >= HANDOVER_S

    others = {before.name, *cluster.agents} - {to}
    assert leader(cluster) in others
    assert f" is the leader, not {to}: " in capsys.readouterr().err
    cluster.rounds(20)
    assert leader(cluster) in others
    assert handed_over(cluster) == [before.name]


def test_a_leader_ends_what_it_does_before_it_hands_over(cluster: SimulatedCluster) -> None:
    """A document with a change and the order: what the leader has begun ends, the next leader does the rest."""
    before, to = cluster.leader(), cluster.follower().name
    newer = document(tags={"billing": "1.0.1"}, policy={"handover": {"at": "2026-11-30T17:00:00Z", "to": to}})
    cluster.lan.registry |= images(newer)
    order: list[Step] = []
    before.after = order.append
    cluster.put_intent(newer)
    cluster.rounds(15)
    cluster.settle()
    assert leader(cluster) == to
    led = [each for each in order if isinstance(each, LeaderStep)]
    assert isinstance(led[-1], HandOver)
    assert "10.159.62.231/somecom/billing:1.0.1" in {
        image for running in cluster.running().values() for image in running.values()
    }
    assert not before.failed()


def test_the_lock_is_of_the_order_when_the_clock_of_the_next_leader_is_behind(
    cluster: SimulatedCluster,
) -> None:
    to = cluster.follower().name
    cluster.put_intent(ordered(to, "2099-01-01T00:00:00Z"))
    cluster.rounds(20)
    lock = cluster.read(KEYS.leader)
    assert lock is not None
    assert decode(LeaderRecord, lock.value) == LeaderRecord(host=to, since="2099-01-01T00:00:00Z")
    with pytest.raises(Invalid, match=f"the lock of {to} is of 2099-01-01T00:00:00Z"):
        hand_over(cluster)


def test_the_plan_of_an_order_has_no_step_but_the_verdict(cluster: SimulatedCluster) -> None:
    connection = Driven(store=FakeStore(cluster.etcd), keys=KEYS, cluster=cluster)
    text = ordered(cluster.follower().name, "2026-11-30T17:00:00Z")
    planned = plan_cluster(with_document(connection.read(), "new.yaml", text.encode()))
    assert planned.settled
    assert [each.resource for each in planned.steps] == ["verdict"]


def test_it_works_while_the_cluster_is_paused(cluster: SimulatedCluster) -> None:
    cluster.put_intent(document(policy={"mode": "paused"}))
    cluster.settle()
    before = leader(cluster)
    assert hand_over(cluster) == 0
    assert leader(cluster) != before
    intent = cluster.read(KEYS.intent)
    assert intent is not None
    assert parse_intent(intent.value, intent.mod_revision).policy.mode == "paused"
