from dataclasses import replace
from typing import Any

import pytest

from agent.model.host_state import HostState, LocalState
from agent.model.intent import Intent, SwarmIntent
from agent.model.leader_steps import ClaimInit, PublishSwarm, PublishTokens, RotateTokens, WithdrawTokens
from agent.model.plan import Plan
from agent.model.records import SEAL_LASTS_S, SwarmRecord, Tokens
from agent.planner.leader.leading import plan_leading
from agent.planner.leader.swarm import plan_swarm
from tests.support import builders
from tests.support.builders import (
    cluster,
    empty_host,
    host,
    intent,
    member,
    node,
    observed,
    outside,
    record,
    status,
    tokens,
    told,
)

WANTED = intent(hosts="h1 h2")
BOTH = (node("h1"), node("h2"))
REPORTS = {"h1": status("h1"), "h2": status("h2")}
RECORDED = record(managers=(("node-h1", "10.0.0.1:2377"), ("node-h2", "10.0.0.2:2377")))


def plan(seen: HostState, *, wanted: Intent = WANTED, **etcd: Any) -> Plan:
    """What the leader, h1, decides; both hosts have joined and reported where nothing else is said."""
    state = cluster(wanted, **{"record": RECORDED, "statuses": REPORTS, **etcd})
    return plan_swarm(wanted, observed(state, seen, leads=True))


def everybody_in() -> HostState:
    return host(swarm=member("h1", of=BOTH))


def test_nothing_is_to_be_done_when_all_are_in() -> None:
    assert told(plan(everybody_in())) == []


# ---- who makes the swarm


def test_the_leader_claims_the_init_when_there_is_no_swarm() -> None:
    assert told(plan(empty_host(), record=None, statuses={})) == ["claim swarm-record: there is no swarm yet"]


def test_a_leader_whose_engine_refuses_every_swarm_claims_nothing() -> None:
    alone = replace(empty_host(), no_swarm="no swarm with nftables")
    assert told(plan(alone, record=None, statuses={})) == []


def test_an_own_claim_is_not_claimed_again() -> None:
    assert told(plan(empty_host(), record=SwarmRecord(claimed_by="h1"))) == []


def test_the_claim_of_a_host_that_is_there_is_respected() -> None:
    present = {"h1": "run-h1", "h2": "run-h2"}

    assert told(plan(empty_host(), record=SwarmRecord(claimed_by="h2"), present=present)) == [
        "waiting swarm-record: h2 claimed the init and still runs"
    ]


def test_the_claim_of_a_host_that_is_gone_is_taken_over_at_the_revision_seen() -> None:
    taken = plan(empty_host(), record=SwarmRecord(claimed_by="h2"), record_revision=44, statuses={})

    assert told(taken) == ["claim swarm-record: the agent of h2, which claimed the init, does not run"]
    (step,) = taken.steps
    assert isinstance(step, ClaimInit)
    assert step.over == 44


def test_no_swarm_is_made_before_everybody_there_has_said_whether_he_has_one() -> None:
    present = {"h1": "run-h1", "h2": "a later run", "h3": "run-h3"}

    assert told(plan(empty_host(), record=None, present=present)) == [
        "waiting swarm-record: h2, h3 did not report yet"
    ]


def test_no_swarm_is_made_beside_a_declared_manager_whose_dockerd_has_never_answered() -> None:
    """It may manage one that is to be adopted, and take a minute to start."""
    starting = status("h2", engine_up=False, state="unknown", node_id=None, swarm_id=None, is_manager=False)
    present = {"h1": "run-h1", "h2": "run-h2"}
    said: dict[str, Any] = {"record": None, "present": present}

    assert told(plan(empty_host(), statuses={"h2": starting}, **said)) == [
        "waiting swarm-record: the dockerd of h2 has not reported yet whether it is in a swarm"
    ]
    claims = ["claim swarm-record: there is no swarm yet"]
    seen_before = replace(starting, engine_version="20.10.24")
    assert told(plan(empty_host(), statuses={"h2": seen_before}, **said)) == claims
    worker = intent(hosts="h1 h2:worker")
    assert told(plan(empty_host(), wanted=worker, statuses={"h2": starting}, **said)) == claims


@pytest.mark.parametrize("local", ["pending", "locked", "error"])
def test_nothing_is_claimed_while_the_own_engine_is_between_states(local: LocalState) -> None:
    seen = host(swarm=outside(local))

    assert told(plan(seen, record=None, statuses={})) == []


def test_no_second_swarm_is_claimed_beside_the_recorded_one() -> None:
    assert told(plan(empty_host())) == []


# ---- its record


def test_the_swarm_that_was_made_is_recorded() -> None:
    assert told(plan(everybody_in(), record=SwarmRecord(claimed_by="h1"))) == [
        "publish swarm-record: swarm swarm-1 is created"
    ]


def test_a_swarm_that_was_there_before_is_adopted() -> None:
    assert told(plan(everybody_in(), record=None)) == [
        "publish swarm-record: this host is in swarm swarm-1 already, which is adopted"
    ]


def test_a_foreign_swarm_is_never_recorded_over_ours() -> None:
    seen = host(swarm=member("h1", of=BOTH, swarm_id="swarm-of-others"))

    assert told(plan(seen)) == []


def test_a_manager_that_raft_cannot_reach_is_no_place_to_join() -> None:
    seen = host(swarm=member("h1", of=(node("h1"), node("h2", reachable=False))))
    published = plan(seen)

    assert told(published) == ["publish swarm-record: managers or networks changed"]
    (step,) = published.steps
    assert isinstance(step, PublishSwarm)
    assert step.record.managers == (("node-h1", "10.0.0.1:2377"),)


def test_an_overlay_is_told_to_the_workers_as_soon_as_containers_can_join_it() -> None:
    (step,) = plan(everybody_in(), record=replace(RECORDED, networks=())).steps

    assert isinstance(step, PublishSwarm)
    assert step.record.networks == ("net",)


def test_an_overlay_that_was_never_allocated_is_not_told() -> None:
    unallocated = builders.overlay_network(driver="", subnet=None, gateway=None)
    seen = host(swarm=member("h1", of=BOTH), networks=(builders.bridge_network(), unallocated))

    assert told(plan(seen, record=replace(RECORDED, networks=(), overlay_ids=()))) == []


def test_without_a_quorum_the_record_is_kept_as_it_is() -> None:
    silent = replace(member("h1"), nodes=None)

    assert told(plan(host(swarm=silent, networks=()))) == []


# ---- its join tokens


def test_tokens_are_published_while_a_declared_host_is_missing() -> None:
    assert told(plan(host(swarm=member("h1")), record=record(), statuses={"h1": status("h1")})) == [
        "publish tokens: h2 not joined yet"
    ]


def test_published_tokens_stay_while_a_host_is_missing() -> None:
    waiting = plan(host(swarm=member("h1")), record=record(), statuses={"h1": status("h1")}, tokens=tokens())

    assert told(waiting) == []


def with_a_dead_manager(**more: Any) -> Plan:
    """h1 and h2 manage the swarm with h3, which cannot be reached; h4 is missing."""
    nodes = (node("h1"), node("h2"), node("h3", state="down", reachable=False))
    said = {name: status(name) for name in ("h1", "h2", "h3")}
    wanted = intent(hosts="h1 h2 h3 h4")
    seen = host(swarm=member("h1", of=nodes))
    managers = tuple((f"node-{name}", f"10.0.0.{name[1:]}:2377") for name in ("h1", "h2"))
    return plan(seen, wanted=wanted, record=record(managers=managers), statuses=said, **more)


def test_while_a_manager_cannot_be_reached_nobody_joins_as_one() -> None:
    (step,) = with_a_dead_manager().steps
    assert isinstance(step, PublishTokens)
    assert (str(step), step.managers) == ("publish tokens: h4 not joined yet", False)

    (step,) = with_a_dead_manager(tokens=tokens()).steps
    assert isinstance(step, PublishTokens)
    assert (str(step), step.managers) == (
        "publish tokens: hosts may join as workers only while h3 cannot be reached",
        False,
    )
    assert told(with_a_dead_manager(tokens=replace(tokens(), manager=""))) == []


def test_once_every_manager_is_reached_hosts_join_as_managers_again() -> None:
    waiting = plan(
        host(swarm=member("h1")),
        record=record(),
        statuses={"h1": status("h1")},
        tokens=replace(tokens(), manager=""),
    )
    assert told(waiting) == ["publish tokens: hosts may join also as managers"]


def test_a_manager_that_is_just_coming_in_keeps_nobody_out() -> None:
    nodes = (node("h1"), node("h2", reachable=False, labels=()))
    coming = plan(
        host(swarm=member("h1", of=nodes)), record=record(), statuses={"h1": status("h1")}, tokens=tokens()
    )

    assert told(coming) == []


def test_a_manager_that_is_down_counts_for_the_quorum_also_when_nobody_noted_whose_it_is() -> None:
    """One of a swarm that was there before, whose agent was never started."""
    nodes = (node("h1"), node("h2"), node("h3", state="down", reachable=False, labels=()))
    managers = (("node-h1", "10.0.0.1:2377"), ("node-h2", "10.0.0.2:2377"))
    seen = host(swarm=member("h1", of=nodes))
    (step,) = plan(seen, wanted=intent(hosts="h1 h2 h4"), record=record(managers=managers)).steps

    assert isinstance(step, PublishTokens)
    assert not step.managers


SEAL_AGAIN = (
    "publish tokens: the published join tokens are unsealed, outdated, or sealed long ago or with another key"
)


@pytest.mark.parametrize(
    ("read", "reason"), [(tokens(), SEAL_AGAIN), (None, "publish tokens: h2 not joined yet")]
)
def test_tokens_that_were_published_unsealed_are_sealed(read: Tokens | None, reason: str) -> None:
    """Also those that the leader itself refuses: its engine knows the tokens."""
    said = {"h1": status("h1")}
    exposed = plan(host(swarm=member("h1")), record=record(), statuses=said, tokens=read, tokens_exposed=True)

    assert told(exposed) == [reason]


def test_tokens_that_somebody_wrote_when_all_have_joined_are_withdrawn() -> None:
    forged = plan(everybody_in(), tokens_exposed=True)
    assert [type(each) for each in forged.steps] == [RotateTokens, WithdrawTokens]


@pytest.mark.parametrize(
    ("sealed_s", "present", "seals"),
    [
        (SEAL_LASTS_S / 2 + 1, {"h1": "run-h1", "h2": "run-h2"}, True),
        (SEAL_LASTS_S / 2, {"h1": "run-h1", "h2": "run-h2"}, False),
        (100 * SEAL_LASTS_S, {"h1": "run-h1"}, False),
    ],
    ids=["a host waits", "not old", "the host is off"],
)
def test_tokens_are_sealed_again_for_a_host_that_would_find_them_old(
    sealed_s: float, present: dict[str, str], seals: bool
) -> None:
    wanted = intent(hosts="h1 h2", swarm=SwarmIntent(default_addr_pool=(), rotate_tokens="never"))
    said = {"h1": status("h1")}
    state = cluster(
        wanted,
        record=RECORDED,
        statuses=said,
        present=present,
        tokens=tokens(),
        tokens_sealed_at=int(1e9 - sealed_s),
    )
    planned = plan_swarm(wanted, observed(state, host(swarm=member("h1")), leads=True, seen_at=1e9))
    assert [str(each) for each in planned.steps if isinstance(each, PublishTokens)] == [SEAL_AGAIN] * seals


def test_tokens_sealed_with_a_key_of_others_are_neither_replaced_nor_withdrawn() -> None:
    locked = plan(
        host(swarm=member("h1")), record=record(), statuses={"h1": status("h1")}, tokens_locked=True
    )

    assert told(locked) == []


def test_tokens_of_another_swarm_are_replaced() -> None:
    replaced = plan(
        host(swarm=member("h1")),
        record=record(),
        statuses={"h1": status("h1")},
        tokens=tokens("swarm-before"),
    )

    assert told(replaced) == ["publish tokens: h2 not joined yet"]


def missing_for(seconds: float, **more: Any) -> list[str]:
    """h2 is missing, and the tokens have been there for so long."""
    swarm = SwarmIntent(default_addr_pool=(), token_ttl_s=600.0, **more)
    wanted, seen = intent(hosts="h1 h2", swarm=swarm), host(swarm=member("h1"))
    state = builders.cluster(wanted, record=record(), statuses={"h1": status("h1")}, tokens=tokens())
    return told(plan_swarm(wanted, builders.observed(state, seen, leads=True, tokens_age_s=seconds)))


def test_tokens_that_were_there_for_too_long_are_rotated_although_a_host_is_missing() -> None:
    assert missing_for(599.0) == []
    assert missing_for(600.0) == ["rotate tokens: published 600 s ago, and h2 did not join yet"]
    assert missing_for(9999.0, rotate_tokens="never") == []


def test_tokens_are_rotated_and_then_withdrawn_when_the_last_host_is_in() -> None:
    assert told(plan(everybody_in(), tokens=tokens())) == [
        "rotate tokens: every declared host has joined",
        "withdraw tokens: every declared host has joined",
    ]


def test_tokens_are_only_withdrawn_where_the_operator_wants_them_kept() -> None:
    swarm = SwarmIntent(default_addr_pool=(), rotate_tokens="never")
    wanted = intent(hosts="h1 h2", swarm=swarm)

    assert told(plan(everybody_in(), wanted=wanted, tokens=tokens())) == [
        "withdraw tokens: every declared host has joined"
    ]


def test_a_node_that_never_reported_counts_as_missing() -> None:
    assert told(plan(everybody_in(), statuses={"h1": status("h1")})) == ["publish tokens: h2 not joined yet"]


def test_a_node_whose_dockerd_is_away_has_joined_all_the_same() -> None:
    away = status("h2", engine_up=False, state="unknown")

    assert told(plan(everybody_in(), statuses={"h1": status("h1"), "h2": away})) == []


@pytest.mark.parametrize(
    "known", [None, SwarmRecord(claimed_by="h1", swarm_id="sw")], ids=["none known", "one known"]
)
@pytest.mark.parametrize("seen", [empty_host(), everybody_in()])
def test_while_the_record_cannot_be_read_no_swarm_is_made_and_none_is_taken_for_the_clusters(
    seen: HostState, known: SwarmRecord | None
) -> None:
    unreadable = cluster(WANTED, record=known, record_held=True, record_revision=50, statuses=REPORTS)

    steps, blocked, *_ = plan_leading(observed(unreadable, seen, leads=True))

    assert [step for step in steps if step.kind in ("swarm", "overlay")] == []
    assert [each.kind for each in blocked if each.resource == "swarm-record"] == ["unreadable"]
