from dataclasses import replace
from typing import Any

import pytest

from agent.model.host_state import HostState, SwarmState
from agent.model.intent import Intent
from agent.model.leader_steps import Resign
from agent.model.observed import ClusterState
from agent.model.plan import Plan
from agent.model.records import Disruption, SwarmRecord, Verdict
from agent.model.status import NetworkReport
from agent.planner.leader.eligibility import plan_leadership
from tests.support import builders
from tests.support.builders import (
    cluster,
    document,
    empty_host,
    host,
    intent,
    member,
    node,
    observed,
    outside,
    status,
    told,
    worker,
)

WANTED = intent(hosts="h1 h2 h3:worker")


def free(**more: Any) -> ClusterState:
    """etcd while nobody holds the lock."""
    return cluster(WANTED, "h2", leader=None, **more)


def plan(state: ClusterState, seen: HostState | None, **more: Any) -> list[str]:
    return told(plan_leadership(observed(state, seen, **{"me": "h2", **more})))


def test_a_manager_of_the_swarm_takes_a_free_lock() -> None:
    assert plan(free(), host(swarm=member("h2"))) == ["campaign for leader: the leader lock is free"]


def test_who_cannot_check_the_accepted_document_leads_only_for_a_document_that_nobody_judged() -> None:
    waits = Verdict(revision=9, accepted=False, accepted_revision=8, errors=("it waits",))
    state = free(accepted_doubt="compacted", document=document(intent(revision=9)), verdict=waits)
    assert plan(state, host(swarm=member("h2"))) == []
    assert plan(replace(state, verdict=replace(waits, revision=8)), host(swarm=member("h2")))


def test_a_lock_that_somebody_holds_is_left_to_him() -> None:
    assert plan(cluster(WANTED, "h2"), host(swarm=member("h2"))) == []


def test_nobody_campaigns_without_a_lease() -> None:
    assert plan(free(), host(swarm=member("h2")), lease=False) == []


def test_nobody_campaigns_on_what_etcd_said_before_it_went_away() -> None:
    assert plan(free(), host(swarm=member("h2")), stale=True) == []


def test_a_declared_worker_does_not_campaign() -> None:
    assert plan(free(), host(swarm=worker("h3")), me="h3") == []
    both = (node("h1"), node("h3"))
    assert plan(free(), host(swarm=member("h3", of=both)), me="h3") == []


def test_a_host_that_the_intent_does_not_name_does_not_campaign() -> None:
    both = (node("h1"), node("h2"))
    assert plan(free(), host(swarm=member("h2", of=both)), me="stranger") == []


@pytest.mark.parametrize(
    "swarm", [worker("h2"), member("h2", swarm_id="swarm-of-others"), outside(), outside("pending")]
)
def test_once_there_is_a_swarm_only_its_managers_campaign(swarm: SwarmState) -> None:
    assert plan(free(), host(swarm=swarm)) == []


def test_before_there_is_a_swarm_a_declared_manager_campaigns() -> None:
    assert plan(free(record=None), host(swarm=outside())) == ["campaign for leader: the leader lock is free"]


def test_who_has_no_swarm_leaves_the_lead_to_a_manager_that_has_one() -> None:
    state = free(record=None, statuses={"h1": status("h1")}, present={"h1": "run-h1"})

    assert plan(state, host(swarm=outside())) == []


@pytest.mark.parametrize(("beside", "leads"), [("inactive", False), ("error", True)])
def test_an_engine_without_support_of_swarms_leaves_the_lead_to_one_that_can_create_the_swarm(
    beside: Any, leads: bool
) -> None:
    other = replace(status("h1"), state=beside, node_id=None, swarm_id=None, is_manager=False)
    state = free(record=None, statuses={"h1": other}, present={"h1": "run-h1"})
    seen = replace(host(swarm=outside()), no_swarm="no swarm with nftables")

    assert plan(state, seen) == (["campaign for leader: the leader lock is free"] if leads else [])
    assert plan(state, replace(seen, no_swarm="")) == ["campaign for leader: the leader lock is free"]


def test_what_an_agent_reported_in_an_earlier_run_counts_for_nothing() -> None:
    state = free(record=None, statuses={"h1": status("h1")}, present={"h1": "a later run"})

    assert plan(state, host(swarm=outside())) == ["campaign for leader: the leader lock is free"]


def test_before_the_first_verdict_the_newest_document_says_who_may_lead() -> None:
    state = builders.cluster(None, leader=None, record=None, document=document(WANTED))

    assert plan(state, host(swarm=outside())) == ["campaign for leader: the leader lock is free"]


def test_anybody_leads_to_say_what_is_wrong_with_the_first_document() -> None:
    state = builders.cluster(None, leader=None, record=None, document=document(None))

    assert plan(state, host(swarm=outside())) == ["campaign for leader: the leader lock is free"]


@pytest.mark.parametrize(("accepted", "accepted_revision"), [(True, 8), (False, 7)])
def test_who_cannot_read_the_accepted_document_leaves_the_lead_to_those_who_can(
    accepted: bool, accepted_revision: int
) -> None:
    """As after an upgrade to an agent that refuses it: it would keep the lock from them, and do none of the duties."""
    verdict = Verdict(revision=8, accepted=accepted, accepted_revision=accepted_revision)
    state = builders.cluster(None, leader=None, document=document(None), verdict=verdict)
    seen = host(swarm=member("h2"))

    assert plan(state, seen) == []
    assert plan(replace(state, leader="h2"), seen, fence=builders.FENCE) == [
        "resign as leader: a document is accepted that this host cannot read"
    ]


def test_without_any_intent_nobody_leads() -> None:
    assert plan(builders.cluster(None, leader=None, record=None), host(swarm=outside())) == []


def test_while_dockerd_is_away_nobody_takes_the_lock() -> None:
    assert plan(free(), None) == []


def test_who_leads_goes_on_while_his_dockerd_is_away() -> None:
    assert plan(cluster(WANTED, "h2", leader="h2"), None, leads=True) == []


def test_who_renews_the_lock_and_cannot_read_etcd_for_long_lets_go_of_it() -> None:
    unread = {"stale": True, "lock_unread": builders.FENCE}
    state, seen = cluster(WANTED, "h2", leader="h2"), host(swarm=member("h2"))
    assert plan(state, seen, **unread, unread_s=29) == []
    assert plan(state, seen, **unread, unread_s=31) == [
        "resign as leader: etcd renews the lease but has answered no read for 31 s"
    ]
    assert plan(state, seen, stale=True, unread_s=31) == []


OTHER = {"statuses": {"h1": status("h1")}, "present": {"h1": "run-h1"}}


def blind(away_s: float, **more: Any) -> list[str]:
    """The plan of a leader whose dockerd has not answered for so long."""
    state = cluster(WANTED, "h2", leader="h2", **{**OTHER, **more})
    return plan(state, None, leads=True, engine_away_s=away_s)


def test_who_leads_gives_the_lock_back_when_his_dockerd_is_away_for_long_and_another_could_lead() -> None:
    assert blind(29) == []
    assert blind(31) == ["resign as leader: dockerd has not answered for 31 s, and another host could lead"]


@pytest.mark.parametrize(
    "nobody",
    [
        {"present": {}},
        {"present": {"h1": "a later run"}},
        {"statuses": {"h1": status("h1", engine_up=False)}},
        {"statuses": {"h1": status("h1", is_manager=False)}},
    ],
    ids=["gone", "just started", "without dockerd", "a worker"],
)
def test_a_leader_without_dockerd_leads_on_while_nobody_else_could(nobody: dict[str, Any]) -> None:
    assert blind(1000, **nobody) == []


def test_before_there_is_a_swarm_the_lock_goes_to_whose_dockerd_could_make_it() -> None:
    able = status("h1", state="inactive", is_manager=False, node_id=None, swarm_id=None)
    hanging = replace(able, engine_up=False)

    assert blind(31, record=None, statuses={"h1": able}) != []
    assert blind(31, record=None, statuses={"h1": hanging}) == []


def test_a_leader_whose_init_may_be_on_its_way_into_a_dockerd_that_hangs_leads_on() -> None:
    able = status("h1", state="inactive", is_manager=False, node_id=None, swarm_id=None)

    assert blind(1000, record=SwarmRecord(claimed_by="h2"), statuses={"h1": able}) == []


def test_who_leads_goes_on_while_his_dockerd_finds_back_into_the_swarm() -> None:
    assert plan(cluster(WANTED, "h2", leader="h2"), host(swarm=outside("pending")), leads=True) == []


def test_who_claimed_the_init_leads_on_while_it_is_under_way() -> None:
    state = cluster(WANTED, "h2", leader="h2", record=SwarmRecord(claimed_by="h2"))

    assert plan(state, host(swarm=outside("pending")), leads=True) == []


@pytest.mark.parametrize(
    ("swarm", "why"),
    [
        (worker("h2"), "this host's engine is a worker"),
        (member("h2", swarm_id="swarm-of-others"), "this host is in swarm swarm-of-others"),
        (outside(), "this host's engine is inactive, not a manager of swarm swarm-1"),
    ],
)
def test_who_leads_and_may_not_any_more_gives_the_lock_back(swarm: SwarmState, why: str) -> None:
    assert plan(cluster(WANTED, "h2", leader="h2"), host(swarm=swarm), leads=True) == [
        f"resign as leader: {why}"
    ]


def test_a_manager_that_cannot_tell_its_swarm_because_the_quorum_is_lost_leads_on_and_takes_a_free_lock() -> (
    None
):
    """Engine 20.10 leaves out the swarm's id then, but knows its managers."""
    seen = host(swarm=replace(member("h2", of=(node("h1"), node("h2"))), swarm_id=None, nodes=None))

    assert plan(cluster(WANTED, "h2", leader="h2"), seen, leads=True) == []
    assert plan(free(), seen) == ["campaign for leader: the leader lock is free"]


def test_a_manager_without_a_swarm_id_whose_managers_are_all_strangers_does_not_lead() -> None:
    seen = host(swarm=replace(member("h2"), swarm_id=None, nodes=None, managers=(("x", "192.0.2.1:2377"),)))
    known = SwarmRecord(claimed_by="h1", swarm_id="swarm-1", managers=(("node-h1", "192.0.2.9:2377"),))

    assert plan(free(record=known), seen) == []


# ---- a leader that the intent makes a worker, or takes out


def led_by(me: str, **more: Any) -> list[str]:
    """The plan of a manager of the swarm that holds the lock; h1 is there, a manager, and says so."""
    etcd = {"statuses": {"h1": status("h1")}, "present": {"h1": "run-h1"}, **more}
    nodes = (node("h1"), node("h3"))
    return plan(cluster(WANTED, leader=me, **etcd), host(swarm=member("h3", of=nodes)), me=me, leads=True)


@pytest.mark.parametrize("me", ["h3", "stranger"])
def test_it_gives_the_lock_back_once_a_declared_manager_can_lead(me: str) -> None:
    assert led_by(me) == ["resign as leader: the intent does not declare this host a manager"]


@pytest.mark.parametrize(
    "more",
    [
        {"present": {}},
        {"present": {"h1": "a later run"}},
        {"statuses": {"h1": status("h1", is_manager=False)}},
        {"statuses": {"h1": status("h1", engine_up=False)}},
        {"statuses": {"h1": status("h1", swarm_id="swarm-of-others")}},
        {"statuses": {"h3": status("h3")}, "present": {"h3": "run-h3"}},
    ],
    ids=["gone", "just started", "a worker", "without dockerd", "elsewhere", "only itself"],
)
def test_it_leads_on_while_no_declared_manager_can(more: dict[str, Any]) -> None:
    assert led_by("h3", **more) == []


def test_before_there_is_a_swarm_only_a_declared_manager_leads() -> None:
    assert led_by("h3", record=None, statuses={}) == [
        "resign as leader: the intent does not declare this host a manager"
    ]


def test_a_free_lock_is_taken_by_an_undeclared_manager_only_when_the_swarm_has_no_declared_one() -> None:
    mine = node("h3")
    for others, expected in (
        ((), ["campaign for leader: the leader lock is free"]),
        ((node("h1", "worker"),), ["campaign for leader: the leader lock is free"]),
        ((node("h1", reachable=False),), ["campaign for leader: the leader lock is free"]),
        ((node("h1"),), []),
    ):
        assert plan(free(), host(swarm=member("h3", of=(mine, *others))), me="h3") == expected


def test_an_undeclared_manager_that_cannot_see_the_swarm_takes_no_lock() -> None:
    blind = replace(member("h3"), nodes=None)

    assert plan(free(), host(swarm=blind), me="h3") == []


# ---- a claimant that lost the lock before it could init

CLAIMED = SwarmRecord(claimed_by="h1")
ABLE = status("h1", state="inactive", is_manager=False, node_id=None, swarm_id=None)


def claimed(**more: Any) -> ClusterState:
    """etcd while h1 holds the claim, is there, could init, and does not lead."""
    etcd = {"record": CLAIMED, "present": {"h1": "run-h1"}, "statuses": {"h1": ABLE}, "leader": "h2"}
    return cluster(WANTED, "h2", **{**etcd, **more})


def test_whoever_leads_makes_room_for_the_claimant() -> None:
    assert plan(claimed(), empty_host(), leads=True) == [
        "resign as leader: h1 claimed the init and has to lead"
    ]


def test_nobody_but_the_claimant_campaigns() -> None:
    free_lock = claimed(leader=None)
    assert plan(free_lock, empty_host()) == []
    assert plan(free_lock, empty_host(), me="h1") == ["campaign for leader: the leader lock is free"]


@pytest.mark.parametrize(
    "more",
    [
        {"present": {}},
        {"present": {"h1": "another run"}},
        {"statuses": {}},
        {"statuses": {"h1": replace(ABLE, engine_up=False)}},
        {"statuses": {"h1": replace(ABLE, state="error")}},
        {"record": SwarmRecord(claimed_by="h3"), "statuses": {"h3": ABLE}, "present": {"h3": "run-h1"}},
        {"record": SwarmRecord(claimed_by="h9"), "statuses": {"h9": ABLE}, "present": {"h9": "run-h1"}},
    ],
    ids=["gone", "started again", "silent", "without dockerd", "with a broken engine", "a worker", "unknown"],
)
def test_no_room_is_made_for_a_claimant_that_could_not_lead(more: dict[str, Any]) -> None:
    assert plan(claimed(**more), empty_host(), leads=True) == []


# ---- a claimant that has made the swarm, and was declared otherwise before it could say so

MADE_BY_A_WORKER = {"record": SwarmRecord(claimed_by="h3"), "present": {"h3": "run-h3", "h2": "run-h2"}}


def test_who_made_the_swarm_leads_to_record_it_though_it_is_declared_a_worker_since() -> None:
    """Nobody else can say which swarm it is, and none is made beside it while it is there."""
    assert plan(free(**MADE_BY_A_WORKER), host(swarm=member("h3", of=(node("h3"),))), me="h3") == [
        "campaign for leader: the leader lock is free"
    ]
    leading = cluster(WANTED, "h3", leader="h3", **MADE_BY_A_WORKER)
    assert plan(leading, None, me="h3", leads=True) == []


def test_whoever_leads_makes_room_for_it() -> None:
    made = {"h3": status("h3", is_manager=True, swarm_id="swarm-1")}
    state = cluster(WANTED, "h2", **{**MADE_BY_A_WORKER, "statuses": made})
    assert plan(state, empty_host(), leads=True) == [
        "resign as leader: h3 is in a swarm already and has to lead"
    ]


def test_a_worker_that_has_made_no_swarm_does_not_lead_on_its_claim() -> None:
    assert plan(free(**MADE_BY_A_WORKER), empty_host(), me="h3") == []


# ---- a manager that does not see the swarm's nodes

SEES = status("h1", nodes=())
BLIND = host(swarm=replace(member("h2", of=(node("h1"), node("h2"))), nodes=None))
"""Cut from the other managers, or all of them are without a quorum: it cannot tell."""
MANAGERS = intent(hosts="h1 h2 h3")


def unseeing(leader: str | None, unseen_s: float, *, wanted: Intent = MANAGERS, **more: Any) -> list[str]:
    """The plan of h2, which has not seen the nodes for so long, while h1 says whether it does."""
    etcd = {name: more.pop(name, known) for name, known in (("statuses", {"h1": SEES}), ("present", HERE))}
    state = cluster(wanted, "h2", leader=leader, **etcd)
    return plan(state, BLIND, leads=leader == "h2", nodes_unseen_s=unseen_s, **more)


HERE = {"h1": "run-h1", "h3": "run-h3"}
NONE_SEES = [
    {"present": {}},
    {"present": {"h1": "a later run"}},
    {"statuses": {"h1": replace(SEES, nodes=None)}},
    {"statuses": {"h1": replace(SEES, engine_up=False)}},
    {"statuses": {"h1": replace(SEES, swarm_id="swarm-of-others")}},
    {"wanted": intent(hosts="h1:worker h2 h3")},
]
NAMES = ["gone", "just started", "blind as well", "without dockerd", "elsewhere", "declared a worker"]


def test_a_leader_that_has_not_seen_the_nodes_for_long_gives_the_lock_to_one_that_does() -> None:
    assert unseeing("h2", 29, led_s=1000) == []
    assert unseeing("h2", 31, led_s=1000) == [
        "resign as leader: this host has not seen the swarm's nodes for 31 s, and h1 sees them"
    ]


@pytest.mark.parametrize("nobody", NONE_SEES, ids=NAMES)
def test_it_leads_on_while_nobody_else_that_could_lead_sees_them(nobody: dict[str, Any]) -> None:
    assert unseeing("h2", 1000, led_s=2000, **nobody) == []


def test_a_manager_that_does_not_see_them_leaves_a_free_lock_to_one_that_does() -> None:
    assert unseeing(None, 1) == []


@pytest.mark.parametrize("nobody", NONE_SEES, ids=NAMES)
def test_while_nobody_sees_them_any_manager_takes_it(nobody: dict[str, Any]) -> None:
    assert unseeing(None, 1000, **nobody) == ["campaign for leader: the leader lock is free"]


def test_a_lock_that_who_sees_them_does_not_take_is_taken_and_kept_for_a_while() -> None:
    """It may be of an older version than a key of the leader's, say: then somebody leads most of the time."""
    assert unseeing(None, 1000, unled_s=29) == []
    assert unseeing(None, 1000, unled_s=31) == ["campaign for leader: the leader lock is free"]
    assert unseeing("h2", 1000, led_s=299) == []
    assert unseeing("h2", 1000, led_s=301) != []


def test_while_what_is_accepted_cannot_be_read_in_etcd_the_managers_of_the_newest_document_may_lead_too() -> (
    None
):
    newest = intent(hosts="h1:worker h2:worker h3")
    later = free(document=document(newest))
    for held, said in ((False, []), (True, ["campaign for leader: the leader lock is free"])):
        state = replace(later, accepted_held=held, record=None)
        assert plan(state, empty_host(), me="h3") == said
        assert plan(state, empty_host()) == ["campaign for leader: the leader lock is free"]


# ---- a local network has the name of an overlay, and the engine refuses to create the overlay beside it


NAMED = builders.bridge_network(id="bridge-2", name="net")
REPORTED = NetworkReport(id="bridge-3", name="net", driver="bridge", scope="local")


@pytest.mark.parametrize(
    ("version", "others", "ineligible"),
    [
        ("20.10.24+dfsg1", (), False),
        ("28.5.2", (), True),
        ("28.5.2", (REPORTED,), False),
        ("dev", (), False),
    ],
    ids=["an engine that creates it", "another host can", "no host can", "version not known"],
)
def test_who_cannot_create_an_overlay_leaves_the_lock_to_a_host_that_can(
    version: str, others: tuple[NetworkReport, ...], ineligible: bool
) -> None:
    statuses = {"h1": status("h1", networks=others)}
    seen = host(swarm=member("h2"), networks=(builders.bridge_network(), NAMED), engine_version=version)
    for leads in (True, False):
        state = cluster(
            WANTED, "h2", leader="h2" if leads else None, statuses=statuses, present={"h1": "run-h1"}
        )
        verb = "resign" if leads else "campaign"
        assert any(each.startswith(verb) for each in plan(state, seen, leads=leads)) == (ineligible == leads)


def test_an_overlay_that_exists_keeps_nobody_from_leading() -> None:
    seen = host(
        swarm=member("h2"),
        networks=(builders.bridge_network(), NAMED, builders.overlay_network()),
        engine_version="28.5.2",
    )
    state = cluster(WANTED, "h2", leader="h2", statuses={"h1": status("h1")}, present={"h1": "run-h1"})
    assert plan(state, seen, leads=True) == []


KEPT = NetworkReport(id="earlier", name="net", driver="overlay", scope="swarm", ours=True, left_behind=True)
WITH_A_BRIDGE = host(swarm=member("h2"), networks=(builders.bridge_network(), NAMED), engine_version="28.5.2")


def named(leader: str | None, report: NetworkReport | None = None, **more: Any) -> list[str]:
    """The plan of h2, which has a bridge with the name of the overlay, beside h1 with that report."""
    etcd = {"statuses": {"h1": status("h1", networks=(report,) if report else ())}, "present": HERE}
    etcd |= {key: more.pop(key) for key in ("disruption", "record") if key in more}
    state = cluster(more.pop("wanted", WANTED), "h2", leader=leader, **etcd)
    return plan(state, more.pop("seen", WITH_A_BRIDGE), leads=leader == "h2", **more)


CAMPAIGN = ["campaign for leader: the leader lock is free"]
CANNOT = "resign as leader: dockerd has a network of its own named net, and h1 can create that overlay"


def test_a_host_that_has_kept_an_earlier_overlay_does_not_count_as_one_that_can() -> None:
    kept = replace(builders.overlay_network(id="earlier", ours=True), left_behind=True)
    for seen in (WITH_A_BRIDGE, replace(WITH_A_BRIDGE, networks=(builders.bridge_network(), kept))):
        assert named(None, KEPT, seen=seen) == CAMPAIGN
        assert named("h2", KEPT, seen=seen) == []
        assert named("h2", replace(KEPT, left_behind=False), seen=seen) == [CANNOT]


def test_nor_does_one_that_rejoins_the_swarm() -> None:
    wanted = replace(WANTED, gwbridge=replace(WANTED.gwbridge, method="rejoin"))
    for slot, said in (("h1", CAMPAIGN), ("h3", [])):
        disruption = Disruption(host=slot, state="acquired", reason="another bridge", quorum=False)
        assert named(None, wanted=wanted, disruption=disruption) == said


def test_nor_does_one_with_a_network_named_like_another_missing_overlay() -> None:
    """Each of two hosts would leave the lock to the other."""
    wanted = replace(WANTED, networks=(*WANTED.networks, replace(builders.OVERLAY, key="b", name="b")))
    assert named(None, replace(REPORTED, name="b"), wanted=wanted) == CAMPAIGN
    assert named(None, replace(REPORTED, name="c"), wanted=wanted) == []


def test_a_lock_that_who_can_create_it_does_not_take_is_taken_and_kept_for_a_while() -> None:
    """So the obstacle is reported with its remedy, whatever keeps the other one from leading."""
    assert named(None, unled_s=29) == []
    assert named(None, unled_s=31) == CAMPAIGN
    assert named("h2", unled_s=31, led_s=299) == []
    assert named("h2", unled_s=31, led_s=301) == [CANNOT]
    assert named("h2", unled_s=0, led_s=1) == [CANNOT]


# ---- a role in etcd that does not let it lead


def test_without_the_right_to_lead_no_host_campaigns_and_a_declared_manager_says_so() -> None:
    """On a worker it is as it should be; before the first document nothing is known."""
    state = replace(cluster(WANTED, "h2"), may_lead=False, leader=None)
    seen = observed(state, host(swarm=member("h2")), me="h2", lease=True)
    told = plan_leadership(seen)
    assert told.steps == ()
    ((blocked),) = told.blocked
    assert blocked.resource == "host/h2"
    assert "`swarmkeeper etcd-roles --host h2 --may-lead` prints the one that does" in blocked.reason
    for other in (replace(seen, me="h9"), replace(seen, cluster=replace(state, accepted=None))):
        assert plan_leadership(other) == Plan()


def test_a_leader_that_lost_the_right_to_lead_resigns() -> None:
    state = replace(cluster(WANTED, "h2", leader="h2"), may_lead=False)
    seen = observed(state, host(swarm=member("h2")), me="h2", lease=True, fence=builders.FENCE)
    (step,) = plan_leadership(seen).steps
    assert isinstance(step, Resign)
    assert step.lock == builders.FENCE
