from dataclasses import replace
from ipaddress import IPv4Interface, IPv4Network
from typing import Any

import pytest

from agent.diff.bridge import OURS
from agent.model.host_state import (
    Attached,
    Difference,
    HostState,
    LinkState,
    NetworkState,
    NodeState,
    SwarmState,
)
from agent.model.intent import GWBRIDGE, PARKING, VolumeIntent
from agent.model.leader_steps import PromoteNode, PublishAssignment, UpdateNode
from agent.model.observed import ClusterState, Observed
from agent.model.plan import Blocked, Plan
from agent.model.records import Assignment, Verdict
from agent.model.spec import Mount, Restart, spec_hash
from agent.model.steps import BRIDGE, CreateVolume, StartContainer
from agent.planner import make_plan
from agent.report.drift import Drift, Look, find_differences, find_drift, since_when
from tests.support.scenes import (
    BRIDGE_FOUND,
    DIGEST,
    FENCE,
    INTENT,
    OVERLAY,
    OVERLAY_FOUND,
    SPEC,
    SWARM,
    cluster,
    container,
    host,
    intent,
    observed,
    replica,
)

JUDGED = Verdict(revision=7, accepted=True, accepted_revision=7)
RIGHT = Look(host(), cluster())
"""The look before: everything was as declared."""


def drift_of(
    seen: Observed, before: frozenset[Drift] = frozenset(), earlier: Look = RIGHT
) -> set[tuple[str, str, str]]:
    found = find_drift(seen, make_plan(seen), (), before, earlier)
    return {(each.kind, each.object, each.field) for each in found}


def with_replica(**changes: Any) -> Observed:
    return observed(host=host(containers=(container(1, **changes), container(2))))


def test_a_host_that_is_as_its_intent_says_does_not_drift() -> None:
    assert drift_of(observed()) == set()


def test_a_replica_that_is_gone_is_missing() -> None:
    assert drift_of(observed(host=host(containers=(container(2),)))) == {
        ("container", "prod-order-1", "missing")
    }


@pytest.mark.parametrize("status", ["paused", "created", "dead"])
def test_a_replica_that_does_not_run_differs_in_that(status: str) -> None:
    assert drift_of(with_replica(status=status)) == {("container", "prod-order-1", "running")}


def test_a_replica_that_has_done_its_work_may_rest() -> None:
    assert drift_of(with_replica(status="exited", started_at="2026-01-01T10:00:00Z")) == set()


def test_a_replica_that_shall_always_run_may_not() -> None:
    always = replace(SPEC, restart=Restart(name="always"))
    digest = spec_hash(always)
    seen = observed(
        host=host(containers=(container(1, replica=replica(1, digest), status="exited"),)),
        cluster=cluster(
            assignment=Assignment(revision=7, project="prod", replicas=(replica(1, digest),)),
            specs={digest: always},
        ),
    )

    ran = replace(seen, host=host(containers=(container(1, replica=replica(1, digest)),)))
    assert drift_of(seen, earlier=Look(ran.host, ran.cluster)) == {("container", "prod-order-1", "running")}


def test_a_hand_changed_field_is_named() -> None:
    image = Difference(field="image", wanted="a", found="b", repair="replace")
    limit = Difference(field="pids_limit", wanted="1", found="2", repair="update")

    assert drift_of(with_replica(differences=(image, limit))) == {
        ("container", "prod-order-1", "image"),
        ("container", "prod-order-1", "pids_limit"),
    }


def test_a_changed_intent_names_the_fields_that_change() -> None:
    newer = replace(SPEC, image="somecom/order:1.0.1", user="app")
    digest = spec_hash(newer)
    seen = observed(
        host=host(images=frozenset({newer.image})),
        cluster=cluster(
            assignment=Assignment(revision=7, project="prod", replicas=(replica(1, digest), replica(2))),
            specs={DIGEST: SPEC, digest: newer},
        ),
    )

    changed = {("container", "prod-order-1", "image"), ("container", "prod-order-1", "user")}
    assert set(map(tuple, find_differences(seen, make_plan(seen), ()))) == changed
    assert drift_of(seen) == set(), "the agent carries it out"


def test_a_replica_whose_old_spec_is_forgotten_differs_in_its_spec() -> None:
    assert drift_of(with_replica(replica=replica(1, "0" * 64))) == {("container", "prod-order-1", "spec")}


def test_an_image_that_is_not_here_yet_is_missing_too() -> None:
    assert drift_of(observed(host=host(containers=(container(2),), images=frozenset()))) == {
        ("container", "prod-order-1", "missing"),
        ("image", "somecom/order:1.0.0", "missing"),
    }


def test_a_volume_to_be_made_is_missing() -> None:
    volume = VolumeIntent(key="data", name="prod_data")
    spec = replace(SPEC, volumes=(Mount(type="volume", target="/data", source="prod_data"),))
    digest = spec_hash(spec)
    seen = observed(
        host=host(containers=()),
        cluster=cluster(
            accepted=replace(INTENT, volumes=(volume,)),
            assignment=Assignment(revision=7, project="prod", replicas=(replica(1, digest),)),
            specs={digest: spec},
        ),
    )
    assert CreateVolume(volume=volume, reason="wanted by prod-order-1") in make_plan(seen).steps

    missing = ("volume", "prod_data", "missing")
    assert missing in set(map(tuple, find_differences(seen, make_plan(seen), ())))
    assert missing not in drift_of(seen)
    assert missing in drift_of(seen, earlier=Look(host(volumes=frozenset({"prod_data"})), cluster()))


def test_a_renamed_replica_is_told_under_its_declared_name() -> None:
    assert drift_of(with_replica(name="my-debugging")) == {("container", "prod-order-1", "name")}


def test_a_replica_that_is_not_assigned_any_more_is_told_by_its_label_whatever_it_is_called() -> None:
    seen = observed(host=host(containers=(container(1), container(2), container(3, name="whatever"))))

    assert drift_of(seen) == {("container", "prod-order-3", "surplus")}


def test_a_second_container_of_a_replica_is_one_too_many() -> None:
    twin = container(1, id="id-twin", name="replica-of-order")
    seen = observed(host=host(containers=(container(1), container(2), twin)))

    assert drift_of(seen) == {("container", "prod-order-1", "surplus")}


def test_a_replica_that_docker_restarts_is_in_dockers_hands() -> None:
    assert drift_of(with_replica(status="restarting")) == set()


def test_an_id_is_never_an_object() -> None:
    seen = observed(host=host(containers=(container(9, name="id-9"),), networks=()))

    assert not any(each.startswith("id") for _, each, _ in drift_of(seen))


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"networks": (OVERLAY_FOUND,)}, "missing"),
        ({"networks": (OVERLAY_FOUND, BRIDGE_FOUND, BRIDGE_FOUND)}, "duplicate"),
        ({"networks": (OVERLAY_FOUND, replace(BRIDGE_FOUND, driver="macvlan"))}, "driver"),
        ({"networks": (OVERLAY_FOUND, replace(BRIDGE_FOUND, subnet=IPv4Network("172.18.0.0/16")))}, "subnet"),
        ({"networks": (OVERLAY_FOUND, replace(BRIDGE_FOUND, gateway="172.21.0.9"))}, "gateway"),
        (
            {
                "networks": (
                    OVERLAY_FOUND,
                    replace(
                        BRIDGE_FOUND,
                        options=(("com.docker.network.bridge.enable_icc", "false"), *BRIDGE_FOUND.options),
                    ),
                )
            },
            "enable_icc",
        ),
        ({"bridge_link": None}, "device"),
        ({"bridge_link": LinkState(address=IPv4Interface("172.21.0.2/20"), up=True)}, "address"),
        ({"bridge_link": LinkState(address=IPv4Interface("172.21.0.1/20"), up=False)}, "up"),
    ],
)
def test_each_way_in_which_the_bridge_can_be_wrong_has_a_field(change: dict[str, Any], field: str) -> None:
    assert drift_of(observed(host=host(**change))) == {("gwbridge", GWBRIDGE, field)}


GUEST = Attached(id="c" * 64, name="theirs", networks=(OVERLAY,))
LEFT_OVER = NetworkState(
    id="p", name=PARKING, driver="bridge", scope="local", subnet=None, gateway=None, labels=OURS
)
LACKING = host(attached=(GUEST,))
BEGUN = host(networks=(BRIDGE_FOUND, OVERLAY_FOUND, LEFT_OVER))


@pytest.mark.parametrize(("seen", "field"), [(LACKING, "endpoint"), (BEGUN, "parking")])
def test_what_is_wrong_around_the_bridge_has_a_field_too(seen: HostState, field: str) -> None:
    assert drift_of(observed(host=seen)) == {("gwbridge", GWBRIDGE, field)}


def test_a_container_with_its_gateway_on_the_bridge_lacks_nothing() -> None:
    bridge = replace(BRIDGE_FOUND, endpoints=((GUEST.id, "gateway_c"),))

    assert drift_of(observed(host=replace(LACKING, networks=(bridge, OVERLAY_FOUND)))) == set()


@pytest.mark.parametrize("seen", [LACKING, BEGUN])
def test_what_is_seen_in_the_middle_of_a_change_of_the_bridge_is_neither_found_nor_healed(
    seen: HostState,
) -> None:
    moving = observed(host=seen, in_flight=frozenset({BRIDGE}))
    left = frozenset({Drift("gwbridge", GWBRIDGE, "parking"), Drift("gwbridge", GWBRIDGE, "subnet")})

    assert drift_of(moving) == set()
    assert drift_of(moving, left) == {("gwbridge", GWBRIDGE, "parking")}


def test_the_network_of_others_that_has_the_temporary_name_is_nothing_left_over() -> None:
    theirs = replace(LEFT_OVER, labels=())

    assert drift_of(observed(host=replace(BEGUN, networks=(BRIDGE_FOUND, OVERLAY_FOUND, theirs)))) == set()


@pytest.mark.parametrize(
    ("swarm", "field"),
    [
        (SwarmState(local="inactive"), "membership"),
        (SwarmState(local="pending"), "membership"),
        (SwarmState(local="locked"), "state"),
        (SwarmState(local="error"), "state"),
        (replace(SWARM, swarm_id="other"), "swarm"),
        (replace(SWARM, is_manager=False), "role"),
        (replace(SWARM, address="10.159.62.99"), "address"),
    ],
)
def test_each_way_in_which_the_membership_can_be_wrong_has_a_field(swarm: SwarmState, field: str) -> None:
    assert drift_of(observed(host=host(swarm=swarm))) == {("swarm", "node-a", field)}


def test_a_host_the_intent_does_not_name_is_held_back_but_does_not_drift() -> None:
    assert drift_of(observed(me="node-x")) == set()


@pytest.mark.parametrize(
    ("networks", "field"),
    [
        ((BRIDGE_FOUND,), "missing"),
        ((BRIDGE_FOUND, replace(OVERLAY_FOUND, subnet=IPv4Network("10.11.0.0/16"))), "subnet"),
        ((BRIDGE_FOUND, replace(OVERLAY_FOUND, attachable=False)), "attachable"),
    ],
)
def test_the_leader_sees_the_overlays_drift(networks: Any, field: str) -> None:
    seen = observed(host=host(networks=networks), fence=FENCE, cluster=cluster(verdict=JUDGED))

    assert ("overlay", OVERLAY, field) in drift_of(seen)


def test_the_leader_sees_which_host_has_an_old_assignment() -> None:
    seen = observed(fence=FENCE, cluster=cluster(verdict=JUDGED))
    wanted = {
        step.host: step.assignment for step in make_plan(seen).steps if isinstance(step, PublishAssignment)
    }
    lost = ("intent", "node-c", "assignment")

    earlier = Look(host(), cluster(assignments=wanted, verdict=JUDGED))
    assert lost in drift_of(seen, earlier=earlier), "its key was deleted"
    assert lost not in drift_of(seen), "an edit asks for it"


def test_in_mode_observe_what_would_be_done_is_drift() -> None:
    seen = observed(host=host(containers=(container(2),)), cluster=cluster(accepted=intent("observe")))

    assert drift_of(seen) == {("container", "prod-order-1", "missing")}


def test_in_mode_paused_nothing_is() -> None:
    seen = observed(host=host(containers=()), cluster=cluster(accepted=intent("paused")))

    assert drift_of(seen) == set()


def test_while_dockerd_is_away_drift_is_what_it_was() -> None:
    before = frozenset({Drift("container", "prod-order-1", "image")})

    assert drift_of(observed(host=None), before) == {("container", "prod-order-1", "image")}


def test_while_etcd_is_away_containers_are_looked_at_and_the_bridge_is_as_it_was() -> None:
    before = frozenset({Drift("container", "prod-order-1", "image"), Drift("gwbridge", GWBRIDGE, "subnet")})
    seen = observed(stale=True, host=host(containers=(container(1),)))

    assert drift_of(seen, before) == {
        ("container", "prod-order-2", "missing"),
        ("gwbridge", GWBRIDGE, "subnet"),
    }


def test_a_step_in_flight_for_something_that_is_right_by_now_is_no_drift() -> None:
    start = StartContainer(name="prod-order-1", reason="exited with 1")

    assert find_drift(observed(), Plan(), (start,), frozenset(), RIGHT) == frozenset()


def test_a_replica_being_removed_to_be_replaced_still_differs() -> None:
    start = StartContainer(name="prod-order-1", reason="exited with 1")
    seen = with_replica(status="removing")

    assert find_drift(seen, Plan(), (start,), frozenset(), RIGHT) == {
        Drift("container", "prod-order-1", "running")
    }


def test_drift_is_dated_from_when_it_was_first_seen() -> None:
    one, other = Drift("container", "a", "image"), Drift("container", "b", "image")

    first = since_when({one}, {}, 100.0)
    second = since_when({one._replace(field="command"), other}, first, 200.0)

    assert second == {("container", "a"): 100.0, ("container", "b"): 200.0}


# ---- drift is what was as declared and is not any more: an edit that is carried out is none


NEWER = replace(SPEC, image="somecom/order:1.0.1")
NEWER_DIGEST = spec_hash(NEWER)
EDITED = cluster(
    assignment=Assignment(revision=8, project="prod", replicas=(replica(1, NEWER_DIGEST), replica(2))),
    specs={DIGEST: SPEC, NEWER_DIGEST: NEWER},
)
BIGGER = cluster(
    assignment=Assignment(revision=8, project="prod", replicas=(replica(1), replica(2), replica(3)))
)
SMALLER = cluster(assignment=Assignment(revision=8, project="prod", replicas=(replica(1),)))
MOVED = cluster(
    accepted=replace(INTENT, gwbridge=replace(INTENT.gwbridge, subnet=IPv4Network("172.28.0.0/20")))
)


@pytest.mark.parametrize(
    ("etcd", "now"),
    [
        (EDITED, host()),
        (EDITED, host(containers=(container(2),))),
        (EDITED, host(containers=(container(1, replica=replica(1, NEWER_DIGEST), status="created"), container(2)))),
        (BIGGER, host()),
        (BIGGER, host(containers=(container(1), container(2), container(3, status="created")))),
        (SMALLER, host()),
        (SMALLER, host(containers=(container(1), container(2, status="exited")))),
        (MOVED, host()),
    ],
    ids=[
        "a rollout waits", "the old one is removed", "the new one is made", "a first start", "a new one is made",
        "a replica moves away", "the one that leaves is stopped", "the bridge waits",
    ],
)  # fmt: skip
def test_what_an_edit_asks_for_is_no_drift_while_the_agent_carries_it_out(
    etcd: ClusterState, now: HostState
) -> None:
    seen = observed(cluster=etcd, host=now)
    assert find_differences(seen, make_plan(seen), ()) != frozenset()
    assert drift_of(seen) == set()


def test_what_was_carried_out_and_is_changed_drifts_until_it_is_right_again() -> None:
    made = container(1, replica=replica(1, NEWER_DIGEST))
    right = Look(host(containers=(made, container(2))), EDITED)
    stopped = observed(cluster=EDITED, host=host(containers=(replace(made, status="paused"), container(2))))
    drift = frozenset({Drift("container", "prod-order-1", "running")})

    assert find_drift(stopped, make_plan(stopped), (), frozenset(), right) == drift
    # At the next pass the look before shows it stopped, too.
    later = Look(stopped.host, stopped.cluster)
    assert find_drift(stopped, make_plan(stopped), (), drift, later) == drift
    healed = observed(cluster=EDITED, host=right.host)
    assert find_drift(healed, make_plan(healed), (), drift, later) == frozenset()


def test_without_an_earlier_look_nothing_is_known_to_have_been_carried_out() -> None:
    assert drift_of(observed(host=host(containers=())), earlier=Look()) == set()


def test_a_container_that_the_agent_works_on_was_stopped_by_it() -> None:
    seen = replace(with_replica(status="exited"), in_flight=frozenset({"container/prod-order-1"}))
    assert drift_of(seen) == set()


def test_a_network_that_is_blocked_drifts_also_after_an_edit() -> None:
    held = Blocked(resource=BRIDGE, reason="live-restore is on", kind="guard")
    seen = observed(cluster=MOVED)
    found = find_drift(seen, Plan(blocked=(held,)), (), frozenset(), RIGHT)
    assert {each.kind for each in found} == {"gwbridge"}


def test_a_node_that_a_person_changed_drifts_and_one_that_an_edit_changes_does_not() -> None:
    promote = PromoteNode(node_id="n", host="node-b", version=1, reason="r")
    label = UpdateNode(node_id="n", host="node-b", version=1, labels=(("disk", "ssd"),), reason="r")
    seen = observed(fence=FENCE)

    def found(step: PromoteNode | UpdateNode, was: NodeState) -> set[str]:
        before = Look(host(swarm=replace(SWARM, nodes=(was,))), cluster())
        return {each.field for each in find_drift(seen, Plan((step,)), (), frozenset(), before)}

    node = NodeState(
        id="n", hostname="b", role="worker", availability="active", state="ready", address="", version=1
    )
    assert found(promote, node) == set()
    assert found(promote, replace(node, role="manager")) == {"role"}
    assert found(label, node) == set()
    assert found(label, replace(node, labels=(("disk", "ssd"),))) == {"labels"}


def test_a_network_of_others_with_the_name_of_an_overlay_is_drift_from_the_first_look_on() -> None:
    other = replace(OVERLAY_FOUND, id="bridge-1", driver="bridge", scope="local")
    seen = observed(host=host(networks=(BRIDGE_FOUND, OVERLAY_FOUND, other)))

    assert drift_of(seen, earlier=Look()) == {("overlay", OVERLAY, "driver")}
