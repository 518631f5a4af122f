from dataclasses import replace
from typing import Any

import pytest

from agent.cli.view import ClusterView, HostView, ReplicasView, view_of
from agent.model.observed import ClusterState, Document
from agent.model.records import Disruption, Verdict
from agent.model.status import (
    BlockedReport,
    BridgeReport,
    HostStatus,
    NetworkReport,
    ReplicaReport,
    StepReport,
)
from agent.planner.leader.assignments import assign
from tests.support.builders import BRIDGE, cluster, document, intent, service, status

WANTED = intent(service(on={"h1": 2, "h2": 1}), hosts="h1 h2")
ACCEPTED = Verdict(revision=7, accepted=True, accepted_revision=7)


def reported(name: str, **more: Any) -> HostStatus:
    """A host that has carried revision 7 out."""
    bridge = BridgeReport(
        subnet=str(BRIDGE.subnet),
        gateway=str(BRIDGE.gateway),
        options=BRIDGE.options,
        device=True,
        address="172.21.0.1/20",
        up=True,
    )
    network = NetworkReport(
        id="b",
        name="docker_gwbridge",
        driver="bridge",
        scope="local",
        subnet=str(BRIDGE.subnet),
        gateway=str(BRIDGE.gateway),
        options=BRIDGE.options,
    )
    return status(name, **{"revision": 7, "bridge": bridge, "networks": (network,), **more})


def replica(slot: int, status: Any = "running", health: str = "") -> ReplicaReport:
    return ReplicaReport(
        service="order", slot=slot, spec="s", id=str(slot), name="n", status=status, health=health
    )


def state(**more: Any) -> ClusterState:
    """Both hosts are there and done; h1 leads."""
    etcd: dict[str, Any] = {
        "verdict": ACCEPTED,
        "assignments": assign(WANTED, {}),
        "statuses": {name: reported(name) for name in ("h1", "h2")},
        "present": {name: f"run-{name}" for name in ("h1", "h2")},
    }
    return cluster(WANTED, **{**etcd, **more})


def seen(found: ClusterState) -> ClusterView:
    return view_of("prod", found)


def first(found: ClusterState) -> HostView:
    return seen(found).hosts[0]


def test_a_cluster_is_converged_when_every_host_is_there_and_has_carried_the_newest_document_out() -> None:
    assert seen(state()).converged


@pytest.mark.parametrize(
    "unfinished",
    [
        state(present={"h1": "run-h1"}),
        state(statuses={"h1": reported("h1")}),
        state(statuses={"h1": reported("h1"), "h2": reported("h2", revision=6)}),
        state(document=Document(revision=8, intent=None)),
        ClusterState(revision=1),
    ],
)
def test_a_cluster_is_not_converged_while_anything_is_missing(unfinished: ClusterState) -> None:
    assert not seen(unfinished).converged


@pytest.mark.parametrize(
    ("found", "agent"),
    [
        (state(), "leader"),
        (state(leader="h2"), "up"),
        (state(leader=None, present={"h1": "a later run"}), "starting"),
        (state(statuses={}), "starting"),
        (state(present={}), "unreachable"),
        (state(present={}, statuses={}), "never seen"),
    ],
)
def test_it_is_told_whether_an_agent_is_there(found: ClusterState, agent: str) -> None:
    assert first(found).agent == agent


def test_replicas_are_counted_as_wanted_running_and_healthy() -> None:
    replicas = (
        replica(1, health="healthy"),
        replica(2, health="starting"),
        replica(3),
        replica(4, status="exited"),
    )
    found = state(statuses={"h1": reported("h1", replicas=replicas)})

    assert first(found).replicas == ReplicasView(wanted=2, running=3, healthy=1, checked=2)


def test_before_an_assignment_the_document_says_how_many_replicas_are_wanted() -> None:
    assert first(state(assignments={})).replicas.wanted == 2


def test_before_the_first_verdict_the_hosts_of_the_newest_document_are_shown() -> None:
    found = ClusterState(revision=1, document=document(WANTED))

    assert [host.name for host in seen(found).hosts] == ["h1", "h2"]


def test_hosts_that_the_intent_does_not_name_are_shown_after_it() -> None:
    found = state(statuses={"h0": reported("h0"), "h1": reported("h1")})

    assert [(host.name, host.role_wanted) for host in seen(found).hosts] == [
        ("h1", "manager"),
        ("h2", "manager"),
        ("h0", ""),
    ]


def test_a_bridge_is_judged_in_docker_and_in_the_kernel() -> None:
    down = replace(reported("h1").bridge, up=False)

    assert first(state()).bridge_faults == ()
    assert first(state(statuses={"h1": reported("h1", bridge=down)})).bridge_faults == (
        "the device docker_gwbridge is down",
    )


def test_what_is_to_do_and_what_is_blocked_is_told_in_the_hosts_own_words() -> None:
    blocked = BlockedReport(resource="swarm", reason="it is locked", kind="locked")
    step = StepReport(resource="container/x", verb="start", text="start container/x: exited")
    found = state(statuses={"h1": reported("h1", steps=(step,), blocked=(blocked,))})

    assert first(found).to_do == ("start container/x: exited",)
    assert first(found).blocked == ("swarm: it is locked",)


@pytest.mark.parametrize(
    ("found", "judgement"),
    [
        (state(), "accepted"),
        (state(verdict=None), "no verdict yet"),
        (state(document=Document(revision=8, intent=None)), "no verdict yet"),
        (
            state(
                document=Document(revision=8, intent=None),
                verdict=Verdict(revision=8, accepted=False, accepted_revision=7, errors=("e",)),
            ),
            "refused",
        ),
        (state(document=None), "none"),
    ],
)
def test_it_is_told_what_became_of_the_newest_document(found: ClusterState, judgement: str) -> None:
    assert seen(found).intent.judgement == judgement
    assert seen(found).intent.accepted_revision == 7


def test_a_host_outside_a_swarm_has_no_role() -> None:
    found = state(statuses={"h1": reported("h1", state="inactive", is_manager=False, node_id=None)})

    assert (first(found).role, first(found).state, first(found).node) == ("", "inactive", "")


def test_a_status_that_makes_no_sense_is_shown_and_not_fatal() -> None:
    garbled = BridgeReport(device=True, address="somewhere")

    assert (
        first(state(statuses={"h1": reported("h1", bridge=garbled)}))
        .bridge_faults[0]
        .startswith("not a host status")
    )


def test_the_host_that_holds_the_disruption_slot_is_shown() -> None:
    disruption = Disruption(
        host="h2", state="acquired", reason="docker_gwbridge of h2 is not as declared", quorum=True
    )

    assert (
        seen(state(disruption=disruption)).disruption
        == "h2 (acquired): docker_gwbridge of h2 is not as declared"
    )
    assert seen(state()).disruption == ""


def test_a_routing_mesh_that_waits_for_dockerd_is_noted_and_is_no_fault() -> None:
    status = reported("h1")
    found = state(statuses={"h1": replace(status, bridge=replace(status.bridge, mesh=False))})

    assert "mode ingress" in first(found).notes[0]
    assert first(state()).notes == first(found).blocked == ()
