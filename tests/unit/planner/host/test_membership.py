from dataclasses import replace
from typing import Any

import pytest

from agent.model.host_state import ContainerState, HostState, SwarmState
from agent.model.plan import Plan
from agent.model.records import SEAL_LASTS_S, SwarmRecord, Tokens
from agent.model.steps import GiveUpInit, JoinSwarm
from agent.planner.host.membership import plan_membership
from tests.support import builders
from tests.support.builders import (
    cluster,
    host,
    intent,
    member,
    node,
    observed,
    outside,
    overlay_network,
    record,
    tokens,
    told,
)

WANTED = intent(hosts="h1 h2 h3:worker")
WORD = "waits for the leader's order to leave the swarm"
CLAIMED = SwarmRecord(claimed_by="h1")


def plan(me: str, swarm: SwarmState, *, leads: bool = False, bridge_ready: bool = True, **etcd: Any) -> Plan:
    state = cluster(WANTED, me, **etcd)
    seen = observed(state, host(swarm=swarm), me=me, leads=leads)
    return plan_membership(WANTED, seen, bridge_ready=bridge_ready)


def test_who_holds_the_claim_makes_the_swarm() -> None:
    assert told(plan("h1", outside(), leads=True, record=CLAIMED)) == [
        "init swarm: no swarm yet, and this host has the claim"
    ]


@pytest.mark.parametrize("me", ["h1", "h2"], ids=["init", "join"])
def test_an_engine_that_refuses_every_swarm_is_named_before_it_is_asked(me: str) -> None:
    state = cluster(WANTED, me, record=CLAIMED)
    seen = observed(
        state, replace(host(swarm=outside()), no_swarm="no swarm with nftables"), me=me, leads=me == "h1"
    )

    for ready in (False, True):
        assert told(plan_membership(WANTED, seen, bridge_ready=ready)) == [
            "blocked swarm: no swarm with nftables"
        ]


def test_a_claim_without_the_leader_lock_is_not_enough_to_make_the_swarm() -> None:
    assert told(plan("h1", outside(), record=CLAIMED)) == ["waiting swarm: h1 is creating the swarm"]


@pytest.mark.parametrize("me", ["h3", "h9"], ids=["declared a worker", "taken out"])
@pytest.mark.parametrize("leads", [True, False], ids=["leading", "following"])
def test_who_claimed_the_init_and_is_no_declared_manager_gives_it_up(me: str, leads: bool) -> None:
    """Nobody else takes the claim over while it is there: the others would wait for it for ever."""
    vain = plan(me, outside(), leads=leads, record=SwarmRecord(claimed_by=me), record_revision=44)

    assert told(vain) == [
        f"give up the init of swarm: {me} claimed the init, and the intent does not declare it a manager"
    ]
    (step,) = vain.steps
    assert isinstance(step, GiveUpInit)
    assert step.over == 44


def test_who_may_have_made_the_swarm_gives_nothing_up() -> None:
    making: dict[str, Any] = {"record": SwarmRecord(claimed_by="h3"), "record_revision": 44}

    for local in ("pending", "error", "locked"):
        assert not plan("h3", SwarmState(local=local), **making).steps
    assert not plan("h3", member("h3"), **making).steps


def test_nothing_is_given_up_once_the_swarm_is_recorded() -> None:
    made = SwarmRecord(claimed_by="h3", swarm_id="swarm-1")

    assert not plan("h3", outside(), record=made, record_revision=44).steps


INGRESS = overlay_network(name="ingress")


def in_vain(**more: Any) -> HostState:
    """The only node of an empty swarm that an agent made, and that another one was recorded instead of."""
    made = replace(member("h1", swarm_id="in-vain"), made_here=True)
    return host(swarm=replace(made, **more), networks=(INGRESS,))


def dissolving(found: HostState, me: str = "h1", **etcd: Any) -> list[str]:
    state = cluster(WANTED, me, **etcd)
    return [
        str(each) for each in plan_membership(WANTED, observed(state, found, me=me), bridge_ready=True).steps
    ]


DISSOLVED = ["dissolve swarm: swarm in-vain is empty, and the recorded swarm of the cluster is swarm-1"]


def test_of_two_swarms_that_were_made_for_the_cluster_the_one_that_was_not_recorded_is_dissolved() -> None:
    assert dissolving(in_vain(), tokens=tokens()) == DISSOLVED
    assert dissolving(in_vain(), "h9") == DISSOLVED  # taken out meanwhile


@pytest.mark.parametrize("published", [None, tokens("in-vain")])
def test_nothing_is_dissolved_for_a_record_of_a_swarm_that_the_host_has_no_tokens_for(
    published: Tokens | None,
) -> None:
    assert dissolving(in_vain(), tokens=published) == []


@pytest.mark.parametrize(
    "found",
    [
        in_vain(made_here=False),
        in_vain(nodes=None),
        in_vain(nodes=(node("h1"), node("h2"))),
        in_vain(nodes=(node("h2"),)),
        in_vain(is_manager=False),
        in_vain(local="pending"),
        replace(in_vain(), networks=(INGRESS, overlay_network())),
    ],
    ids=["made by people", "no quorum", "another node", "not its node", "a worker", "starting", "an overlay"],
)
def test_no_other_swarm_is_dissolved(found: HostState) -> None:
    assert dissolving(found, tokens=tokens()) == []


def test_nothing_is_dissolved_before_the_other_one_is_recorded() -> None:
    for known in (None, SwarmRecord(claimed_by="h2"), SwarmRecord(claimed_by="h1", swarm_id="in-vain")):
        assert dissolving(in_vain(), record=known, tokens=tokens()) == []


@pytest.mark.parametrize(
    ("sealed_s", "joins"), [(0.0, True), (SEAL_LASTS_S, True), (SEAL_LASTS_S + 1, False), (-60.0, True)]
)
def test_a_host_joins_by_no_tokens_that_were_sealed_long_ago(sealed_s: float, joins: bool) -> None:
    state = cluster(WANTED, "h2", tokens=tokens(), tokens_sealed_at=int(2e6 - sealed_s))
    seen = observed(state, host(swarm=outside()), me="h2", seen_at=2e6)
    planned = plan_membership(WANTED, seen, bridge_ready=True)
    assert [type(each) for each in planned.steps] == [JoinSwarm] * joins
    if not joins:
        assert "the join tokens were sealed over a day ago" in str(planned)


def test_the_others_wait_while_the_swarm_is_made() -> None:
    assert told(plan("h2", outside(), record=CLAIMED)) == ["waiting swarm: h1 is creating the swarm"]


def test_nobody_joins_before_a_swarm_is_recorded() -> None:
    assert told(plan("h2", outside(), record=None)) == ["waiting swarm: no swarm is recorded yet"]


def test_nobody_joins_without_the_tokens_of_that_very_swarm() -> None:
    assert told(plan("h2", outside(), tokens=tokens("swarm-before"))) == [
        "waiting swarm: no join tokens for swarm swarm-1 are published yet"
    ]


def test_a_host_joins_in_its_declared_role() -> None:
    assert told(plan("h2", outside(), tokens=tokens())) == ["join swarm: declared a manager of swarm swarm-1"]
    assert told(plan("h3", outside(), tokens=tokens())) == ["join swarm: declared a worker of swarm swarm-1"]


@pytest.mark.parametrize("taken", ["7946/tcp", "10.0.0.2:7946/tcp", "::1:7946/tcp"])
def test_nobody_joins_while_the_port_for_the_talk_about_overlays_is_taken(taken: str) -> None:
    """A dockerd that was slow to leave its swarm keeps it until it is restarted."""
    state = cluster(WANTED, "h2", tokens=tokens())
    seen = host(swarm=outside(), listening=("22/tcp", taken))
    (blocked,) = plan_membership(WANTED, observed(state, seen, me="h2"), bridge_ready=True).blocked

    assert blocked.kind == "port"
    assert "a process listens on port 7946/tcp of this host" in blocked.reason
    free = host(swarm=outside(), listening=("17946/tcp",))
    assert told(plan_membership(WANTED, observed(state, free, me="h2"), bridge_ready=True)) == [
        "join swarm: declared a manager of swarm swarm-1"
    ]


@pytest.mark.parametrize("taken", ["2377/tcp", "10.0.0.2:2377/tcp"])
def test_no_manager_joins_while_another_process_has_its_port(taken: str) -> None:
    state = cluster(WANTED, "h2", tokens=tokens())
    seen = host(swarm=outside(), listening=("22/tcp", taken))
    (blocked,) = plan_membership(WANTED, observed(state, seen, me="h2"), bridge_ready=True).blocked

    assert blocked.kind == "port"
    assert "a process listens on port 2377/tcp of this host, which a manager needs" in blocked.reason
    state = cluster(WANTED, "h3", tokens=tokens())
    assert told(plan_membership(WANTED, observed(state, seen, me="h3"), bridge_ready=True)) == [
        "join swarm: declared a worker of swarm swarm-1"
    ]


def test_without_a_token_for_managers_a_declared_one_joins_as_a_worker() -> None:
    (step,) = plan("h2", outside(), tokens=replace(tokens(), manager="")).steps

    assert isinstance(step, JoinSwarm)
    assert (step.role, step.token) == ("worker", "worker-token")
    assert str(step) == (
        "join swarm: declared a manager of swarm swarm-1, but joins as a worker first: "
        "a manager of the swarm is unreachable"
    )


@pytest.mark.parametrize(("me", "token"), [("h2", "manager-token"), ("h3", "worker-token")])
def test_a_join_uses_the_token_of_the_role_and_shows_it_to_nobody(me: str, token: str) -> None:
    (step,) = plan(me, outside(), tokens=tokens()).steps

    assert isinstance(step, JoinSwarm)
    assert step.token == token
    assert step.remotes == ("10.0.0.1:2377",)
    assert token not in repr(step)


def test_nobody_joins_before_the_bridge_is_as_agreed() -> None:
    assert told(plan("h2", outside(), bridge_ready=False, tokens=tokens())) == []


def test_a_member_as_declared_is_left_alone() -> None:
    assert told(plan("h1", builders.member("h1"))) == []
    assert told(plan("h3", builders.worker("h3"))) == []


def test_a_member_of_another_swarm_is_never_left_unasked() -> None:
    assert told(plan("h2", builders.member("h2", swarm_id="swarm-of-others"), tokens=tokens())) == [
        "blocked swarm: in swarm swarm-of-others, while the cluster's is swarm-1"
    ]


def test_a_worker_that_cannot_tell_its_swarm_is_believed() -> None:
    assert told(plan("h3", builders.worker("h3", swarm_id=None))) == []


def test_a_role_that_is_not_as_declared_is_the_leaders_to_change() -> None:
    assert told(plan("h2", builders.worker("h2"))) == [
        "waiting swarm: manager wanted, worker found: the leader changes roles one by one"
    ]


def test_a_node_at_another_address_is_reported() -> None:
    assert told(plan("h2", builders.member("h1"))) == [
        (
            "blocked swarm: address: 10.0.0.2 wanted, 10.0.0.1 found: a manager keeps its address: "
            "declare it a worker first"
        )
    ]
    assert told(plan("h3", replace(builders.worker("h3"), address="10.0.0.9"))) == [
        "blocked swarm: address: 10.0.0.3 wanted, 10.0.0.9 found: waits for the leader's order to leave the swarm"
    ]


@pytest.mark.parametrize(
    ("swarm", "why"),
    [
        (outside("pending"), "waiting swarm: dockerd has not finished joining the swarm"),
        (
            outside("pending", "no route"),
            "waiting swarm: dockerd has not finished joining the swarm: no route",
        ),
        (
            outside("locked"),
            "blocked swarm: the swarm is locked; `docker swarm unlock` needs the unlock key",
        ),
        (
            outside("error", "certificate expired"),
            (
                "blocked swarm: docker reports the swarm as error: certificate expired; the leader orders it to leave "
                "if it was a node of the cluster's swarm. If it was not, `docker swarm leave --force` on this host "
                "deletes what is left of that other swarm"
            ),
        ),
    ],
)
def test_an_engine_between_the_states_is_waited_for(swarm: SwarmState, why: str) -> None:
    assert told(plan("h2", swarm, tokens=tokens())) == [why]


def removed(swarm: SwarmState, *replicas: ContainerState, **etcd: Any) -> list[str]:
    """What is said of h2, which the intent does not name."""
    wanted = intent(hosts="h1")
    seen = observed(cluster(wanted, **etcd), host(*replicas, swarm=swarm), me="h2")
    return told(plan_membership(wanted, seen, bridge_ready=True))


def test_a_host_that_was_taken_out_says_what_it_waits_for() -> None:
    assert removed(builders.member("h2")) == [
        "blocked swarm: the intent does not name h2: the leader demotes it first"
    ]
    assert removed(builders.worker("h2"), builders.container()) == [
        "blocked swarm: the intent does not name h2: 1 managed container is left on it"
    ]
    assert removed(builders.worker("h2")) == [
        "blocked swarm: the intent does not name h2: waits for the leader's order to leave the swarm"
    ]


NOTHING = ["blocked host/h2: the intent does not name h2: nothing is changed on this host"]


def test_a_host_that_was_taken_out_and_has_left_has_nothing_more_to_do() -> None:
    assert removed(outside()) == NOTHING


def test_the_swarm_of_a_host_that_the_intent_never_named_is_nobodys_business() -> None:
    assert removed(builders.member("h2", swarm_id="swarm-of-others")) == NOTHING
    assert removed(a_worker("x1")) == NOTHING


def test_a_member_that_the_intent_never_named_is_left_as_it_is() -> None:
    assert removed(builders.worker("h2"), assignment=None) == [
        "blocked swarm: the intent does not name h2: no document has named it before, so it is not changed"
    ]


def test_a_manager_joins_where_raft_reaches_somebody() -> None:
    two = record(managers=(("node-h1", "10.0.0.1:2377"), ("node-h2", "10.0.0.2:2377")))
    (step,) = plan("h3", outside(), record=two, tokens=tokens()).steps

    assert isinstance(step, JoinSwarm)
    assert step.remotes == ("10.0.0.1:2377", "10.0.0.2:2377")


def a_worker(*managers: str) -> SwarmState:
    known = tuple((each, f"10.0.0.1:{2377}") for each in managers)
    return SwarmState(local="active", node_id="node-h3", managers=known, address="10.0.0.3")


def test_a_worker_that_knows_no_manager_of_the_recorded_swarm_is_in_another_one() -> None:
    recorded = SwarmRecord(claimed_by="h1", swarm_id="ours", managers=(("m1", "a"), ("m2", "b")))
    assert told(plan("h3", a_worker("x1", "x2"), record=recorded)) == [
        "blocked swarm: in the swarm managed by x1, x2, while the cluster's is ours"
    ]
    assert "the cluster's is" not in str(plan("h3", a_worker("m2", "m9"), record=recorded))
    assert "the cluster's is" not in str(plan("h3", a_worker(), record=recorded))


def test_an_engine_that_says_active_without_a_node_is_told_of_with_what_helps() -> None:
    nowhere = replace(builders.worker("h3"), node_id=None)

    (said,) = told(plan("h3", nowhere))
    assert "no node id" in said
    assert "`systemctl restart docker`" in said
