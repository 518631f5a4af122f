"""docker_gwbridge on a member of the swarm: repaired at once, changed with the disruption slot, blocked, or left.

Also what the agent reports meanwhile.
"""

from dataclasses import replace
from ipaddress import IPv4Address, IPv4Interface, IPv4Network
from typing import Any

import pytest

from agent.model.host_state import HostState, LinkState, LocalState
from agent.model.intent import PARKING
from agent.model.observed import ClusterState
from agent.model.records import Disruption
from agent.planner.host.bridge import bridge_phase, plan_bridge
from tests.support.builders import (
    BRIDGE,
    bridge_network,
    cluster,
    empty_host,
    intent,
    member,
    node,
    observed,
    outside,
    told,
    worker,
)
from tests.support.guests import INGRESS, PLACE, WHY_WRONG, WRONG, disruption, endpoints, guest, hosting

WEB = guest("web", ports=("8080/tcp",))
PARKED = guest("web", "net", PARKING)
RIGHT = bridge_network()
WAITS = f"waiting network/docker_gwbridge: {WHY_WRONG}; waits for the disruption slot"
TOUCHES = "it will affect web (8080/tcp), ports unreachable for about 0.3 s in all"


def planned(
    found: HostState, now: Disruption | None = None, *, hosts: str = "h1 h2", **more: Any
) -> list[str]:
    wanted = intent(hosts=hosts)
    return told(plan_bridge(wanted, observed(etcd(now, hosts=hosts), found, **more)))


def etcd(now: Disruption | None = None, *, hosts: str = "h1 h2") -> ClusterState:
    wanted = intent(hosts=hosts)
    return cluster(wanted, wanted.hosts[0].name, disruption=now, disruption_revision=60 if now else 0)


def phase(found: HostState, now: Disruption | None = None, *, hosts: str = "h1 h2") -> str:
    return bridge_phase(intent(hosts=hosts), "h1", found, etcd(now, hosts=hosts))


def verbs(lines: list[str]) -> list[str]:
    return [each.split()[0] for each in lines]


CHANGE = ["prepare", "park", "swap", "unpark", "clear"]


# ---- the disruption slot


def test_a_wrong_bridge_that_works_waits_for_the_disruption_slot_and_says_whom_it_will_touch() -> None:
    found = hosting(WEB)

    assert planned(found) == [f"{WAITS} (the leader grants it); {TOUCHES}"]
    assert phase(found) == "waiting"


def test_while_another_host_has_the_disruption_slot_that_is_said() -> None:
    assert planned(hosting(WEB), disruption("h2")) == [f"{WAITS} (h2 has it); {TOUCHES}"]
    assert planned(hosting(), disruption("h2")) == [f"{WAITS} (h2 has it); it affects no container"]


def test_a_bridge_that_works_is_left_as_it_is_in_another_swarm() -> None:
    """Whoever leads here could not see how that came out, and all others would wait for it."""
    found = hosting(WEB, swarm=member(swarm_id="theirs"))
    left = "blocked network/docker_gwbridge: not changed while this host is in swarm theirs"

    assert planned(found) == planned(found, disruption("h2")) == [left]
    assert planned(found, disruption("h1")) == ["release disruption: this host is in another swarm", left]
    assert phase(found) == "held"


def test_what_was_begun_is_brought_to_an_end_in_another_swarm_too() -> None:
    begun = hosting(PARKED, swarm=member(swarm_id="theirs"), beside=(PLACE,))

    assert planned(begun, disruption("h1")) == planned(replace(begun, swarm=member()), disruption("h1"))


def test_a_granted_disruption_slot_is_acquired_before_anything_is_done() -> None:
    found = hosting(WEB)

    assert planned(found, disruption("h1", "granted")) == [
        "acquire disruption: docker_gwbridge of h1 is not as declared",
        f"{WAITS} (h1 has it); {TOUCHES}",
    ]
    assert phase(found, disruption("h1", "granted")) == "waiting"


def test_with_the_disruption_slot_the_host_changes_its_bridge_and_says_how_the_managers_stand() -> None:
    nodes = (node("h1"), node("h2"), node("h3", reachable=False))
    found = hosting(WEB, swarm=member(of=nodes))

    lines = planned(found, disruption("h1"))

    assert verbs(lines) == CHANGE
    assert lines[2].endswith("; 2 of 3 managers reachable, before and after")
    assert phase(found, disruption("h1")) == "moving"


def test_without_a_quorum_it_is_changed_all_the_same() -> None:
    lines = planned(hosting(WEB, swarm=replace(member(), nodes=None)), disruption("h1"))

    assert verbs(lines) == CHANGE
    assert lines[2].endswith("; the swarm has no raft leader, and needs none for this")


def test_a_worker_changes_its_bridge_alone() -> None:
    lines = planned(hosting(WEB, swarm=worker()), disruption("h1"), hosts="h1:worker h2")

    assert verbs(lines) == CHANGE
    assert lines[2] == f"swap network/docker_gwbridge: {WHY_WRONG}"


@pytest.mark.parametrize("state", ["granted", "acquired"])
def test_the_disruption_slot_is_released_when_all_is_right(state: str) -> None:
    assert planned(hosting(WEB, bridge=RIGHT), disruption("h1", state)) == [
        "release disruption: docker_gwbridge is as declared"
    ]


def test_the_disruption_slot_is_released_once() -> None:
    assert planned(hosting(WEB, bridge=RIGHT), disruption("h1", "released")) == []
    assert planned(hosting(WEB, bridge=RIGHT), disruption("h2")) == []
    assert phase(hosting(WEB, bridge=RIGHT), disruption("h1", "released")) == "right"


def test_a_released_disruption_slot_allows_nothing() -> None:
    assert planned(hosting(WEB), disruption("h1", "released")) == [f"{WAITS} (h1 has it); {TOUCHES}"]


def test_the_disruption_slot_is_kept_until_everybody_has_gone_back() -> None:
    found = hosting(PARKED, bridge=RIGHT, beside=[PLACE])

    assert verbs(planned(found, disruption("h1"))) == ["unpark", "clear"]


# ---- repairs


@pytest.mark.parametrize(
    "found",
    [
        hosting(WEB, bridge=None),
        hosting(WEB, bridge=RIGHT, bridge_link=None),
        hosting(WEB, bridge=replace(RIGHT, endpoints=(INGRESS,))),
        hosting(PARKED, bridge=RIGHT, beside=[PLACE]),
    ],
    ids=["no bridge", "no device", "no gateway", "left over"],
)
@pytest.mark.parametrize(
    "now", [None, disruption("h2")], ids=["nobody's disruption slot", "another's disruption slot"]
)
def test_what_is_broken_is_repaired_without_the_disruption_slot(
    found: HostState, now: Disruption | None
) -> None:
    lines = planned(found, now)

    assert lines
    assert not [each for each in lines if "disruption" in each]
    assert phase(found, now) == "moving"


# ---- held


def test_what_cannot_be_changed_is_held_and_waits_for_nobody() -> None:
    found = hosting(WEB, live_restore=True)

    assert planned(found)[0].startswith(
        f"blocked network/docker_gwbridge: {WHY_WRONG}, but live-restore is on"
    )
    assert phase(found) == "held"


@pytest.mark.parametrize("state", ["granted", "acquired"])
def test_a_host_that_cannot_be_changed_lets_the_next_one_go(state: str) -> None:
    lines = planned(hosting(WEB, live_restore=True), disruption("h1", state))

    assert lines[0] == "release disruption: it cannot be changed now"
    assert verbs(lines) == ["release", "blocked"]


def test_a_host_that_is_stopped_half_way_keeps_the_disruption_slot() -> None:
    by_hand = (*endpoints(), (guest("their-db").id, "their-db"))
    found = hosting(PARKED, bridge=replace(WRONG, endpoints=by_hand), beside=[PLACE])

    assert planned(found, disruption("h1")) == [
        f"blocked network/docker_gwbridge: {WHY_WRONG}, but attached to it by hand: their-db"
    ]
    assert phase(found, disruption("h1")) == "held"


# ---- a new intent in the middle


def test_a_bridge_that_is_right_by_the_new_intent_needs_nothing_but_its_containers_back() -> None:
    link = LinkState(address=IPv4Interface("172.18.0.1/16"), up=True)
    found = hosting(PARKED, bridge=WRONG, beside=[PLACE], bridge_link=link)
    as_found = replace(BRIDGE, subnet=IPv4Network("172.18.0.0/16"), gateway=IPv4Address("172.18.0.1"))
    wanted = intent(hosts="h1", gwbridge=as_found)
    state = replace(etcd(disruption("h1")), accepted=wanted)

    assert verbs(told(plan_bridge(wanted, observed(state, found)))) == ["unpark", "clear"]


def test_a_host_with_the_disruption_slot_goes_to_what_the_newest_intent_says() -> None:
    found = hosting(PARKED, bridge=RIGHT, beside=[PLACE])
    wanted = intent(hosts="h1", gwbridge=replace(BRIDGE, options=()))

    lines = told(plan_bridge(wanted, observed(replace(etcd(disruption("h1")), accepted=wanted), found)))

    assert verbs(lines) == ["swap", "unpark", "clear"]
    assert "enable_icc: true wanted, false found" in lines[0]


# ---- a host that the intent does not name


def test_a_host_that_is_not_in_the_intent_is_left_as_it_is() -> None:
    for bridge in (WRONG, None):
        assert planned(hosting(WEB, bridge=bridge), hosts="h2") == []
    assert planned(empty_host(), hosts="h2") == []
    assert phase(hosting(WEB), hosts="h2") == ""


def test_a_host_removed_from_the_intent_releases_its_disruption_slot() -> None:
    assert planned(hosting(WEB), disruption("h1"), hosts="h2") == [
        "release disruption: the intent does not name h1"
    ]


def test_before_that_what_was_begun_is_brought_to_an_end() -> None:
    old, gone = hosting(PARKED, beside=[PLACE]), hosting(PARKED, bridge=None, beside=[PLACE])

    assert verbs(planned(old, disruption("h1"), hosts="h2")) == ["unpark", "clear"]
    assert verbs(planned(gone, disruption("h1"), hosts="h2")) == ["swap", "unpark", "clear"]
    left = replace(gone, swarm=outside())
    assert verbs(planned(left, disruption("h1"), hosts="h2")) == ["unpark", "clear"]


# ---- without etcd


def test_without_etcd_nothing_that_works_is_begun_to_be_changed() -> None:
    assert planned(hosting(WEB), disruption("h1"), stale=True) == [
        f"waiting network/docker_gwbridge: {WHY_WRONG}; waits for etcd"
    ]
    assert verbs(planned(hosting(WEB), disruption("h1", "granted"), stale=True)) == ["waiting"]
    assert verbs(planned(hosting(WEB), stale=True)) == ["waiting"]


def test_without_etcd_what_was_begun_is_brought_to_an_end() -> None:
    found = hosting(PARKED, WEB, beside=[PLACE])

    assert verbs(planned(found, disruption("h1"), stale=True)) == [
        "park",
        "swap",
        "unpark",
        "unpark",
        "clear",
    ]


def test_without_etcd_a_host_that_does_not_know_the_disruption_slot_any_more_leaves_it_at_what_was_begun() -> (
    None
):
    assert verbs(planned(hosting(PARKED, beside=[PLACE]), stale=True)) == ["waiting"]


@pytest.mark.parametrize(
    "found",
    [
        hosting(WEB, bridge=None),
        hosting(WEB, bridge=RIGHT, bridge_link=None),
        hosting(WEB, bridge=replace(RIGHT, endpoints=(INGRESS,))),
        hosting(PARKED, bridge=RIGHT, beside=[PLACE]),
    ],
    ids=["no bridge", "no device", "no gateway", "left over"],
)
def test_without_etcd_what_is_broken_is_repaired(found: HostState) -> None:
    assert planned(found, stale=True) == planned(found)


def test_without_etcd_no_disruption_slot_is_released() -> None:
    assert planned(hosting(WEB, bridge=RIGHT), disruption("h1"), stale=True) == []


def test_without_etcd_nothing_is_done_outside_a_swarm() -> None:
    assert planned(empty_host(), stale=True) == []


# ---- a membership that is not settled


@pytest.mark.parametrize("state", ["pending", "locked", "error"])
def test_while_the_membership_is_not_settled_a_wrong_bridge_waits(state: LocalState) -> None:
    found = hosting(WEB, swarm=outside(state))

    assert planned(found, disruption("h1")) == [
        f"waiting network/docker_gwbridge: {WHY_WRONG}; waits while the engine's membership is {state}"
    ]
    assert planned(hosting(WEB, bridge=RIGHT, swarm=outside(state))) == []
    assert phase(found, disruption("h1")) == ""


def test_outside_a_swarm_it_is_made_without_the_disruption_slot() -> None:
    assert verbs(planned(empty_host())) == ["create"]
    assert phase(empty_host()) == ""
