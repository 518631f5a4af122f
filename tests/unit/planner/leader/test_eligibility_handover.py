"""`policy.handover` in, who leads out: once for each order, first the host that it names."""

from dataclasses import replace
from typing import Any

import pytest

from agent.model.intent import Handover, PolicyIntent
from agent.model.leader_steps import Campaign, HandOver, Resign
from agent.model.observed import ClusterState
from agent.model.plan import Plan
from agent.model.records import LeaderRecord
from agent.planner.leader.eligibility import HANDOVER_S, plan_leadership
from tests.support.builders import cluster, host, intent, member, observed, told

AT, EARLIER, LATER = "2026-11-30T17:00:00Z", "2026-11-30T16:59:59Z", "2026-11-30T17:00:01Z"
WANTED = intent(hosts="h1 h2 h3", policy=PolicyIntent(handover=Handover(at=AT, to="h2")))
HANDS_OVER = [f"resign as leader: policy.handover of {AT} names h2"]
CAMPAIGNS = ["campaign for leader: the leader lock is free"]


def state(since: str = EARLIER, holder: str = "h1", **more: Any) -> ClusterState:
    """etcd with the order, while `holder` has the lock since then."""
    return cluster(
        WANTED, **{"leader": holder, "last_leader": LeaderRecord(host=holder, since=since), **more}
    )


def plan(found: ClusterState, me: str = "h1", **more: Any) -> Plan:
    return plan_leadership(observed(found, host(swarm=member(me)), me=me, **more))


def test_the_leader_hands_over_once_no_other_step_of_it_runs() -> None:
    found = plan(state(), leads=True)
    assert told(found) == HANDS_OVER
    (step,) = found.steps
    assert isinstance(step, HandOver)
    assert step.barrier
    assert not Resign.barrier


@pytest.mark.parametrize("since", [AT, LATER])
def test_an_order_that_is_not_newer_than_the_lock_does_nothing(since: str) -> None:
    assert plan(state(since), leads=True) == Plan()


def test_the_host_that_is_named_keeps_the_lock() -> None:
    assert plan(state(holder="h2"), "h2", leads=True) == Plan()


def test_a_document_without_an_order_hands_nothing_over() -> None:
    found = replace(state(), accepted=replace(WANTED, policy=PolicyIntent()))
    assert plan(found, leads=True) == Plan()


def test_the_host_that_is_named_takes_the_free_lock_at_once_and_the_others_leave_it_for_a_while() -> None:
    free = state(leader=None)
    assert told(plan(free, "h2")) == CAMPAIGNS
    for other in ("h1", "h3"):
        assert plan(free, other, unled_s=HANDOVER_S - 1.0) == Plan(requeue_after_s=1.0)
        assert told(plan(free, other, unled_s=HANDOVER_S)) == CAMPAIGNS


@pytest.mark.parametrize(
    "last",
    [None, LeaderRecord(host="h1", since=AT), LeaderRecord(host="h2", since=EARLIER)],
    ids=["no lock was seen", "the order was carried out", "the named host led"],
)
def test_any_other_lock_that_is_free_is_taken_at_once(last: LeaderRecord | None) -> None:
    assert told(plan(state(leader=None, last_leader=last), "h3")) == CAMPAIGNS


def test_who_takes_the_lock_notes_the_order_so_that_a_clock_that_is_behind_does_not_repeat_it() -> None:
    (step,) = plan(state(leader=None), "h2").steps
    assert isinstance(step, Campaign)
    assert step.not_before == AT
    (step,) = plan(cluster(intent(hosts="h1 h2"), leader=None), "h2").steps
    assert isinstance(step, Campaign)
    assert step.not_before == ""


def test_a_leader_that_must_not_lead_resigns_for_that() -> None:
    found = plan(state(may_lead=False), leads=True)
    assert "its role in etcd does not let it lead" in told(found)[0]


def test_an_order_asks_nothing_of_hosts() -> None:
    without = replace(WANTED, policy=PolicyIntent(), revision=WANTED.revision + 1)
    assert WANTED.asks_of("h1", ()) == without.asks_of("h1", ())
