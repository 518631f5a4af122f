from dataclasses import replace
from typing import Any

import pytest

from agent.model.host_state import ContainerState, HostState, LocalState, VolumeState
from agent.model.intent import Intent, NetworkIntent, VolumeIntent
from agent.model.records import Assignment, Replica
from agent.model.spec import Attachment, ContainerSpec, Mount, spec_hash
from agent.model.steps import CreateContainer, StopContainer
from agent.planner.host.replicas import MOST_REFUSED, plan_replicas
from tests.support import builders
from tests.support.builders import (
    LOCAL,
    cluster,
    container,
    differs,
    empty_host,
    host,
    intent,
    observed,
    order,
    record,
    service,
    told,
)

ONE = intent(service())
TWO = intent(service(on={"h1": 2}))
NEWER = order("1.0.1")
GIVEN_UP = (
    "attaching to network failed, make sure your network options are correct and check manager logs: context deadline",
    "Could not attach to network xyz: context deadline exceeded",
    "network xyz not found",
    "invalid cluster node while attaching to network",
)
"""What docker says of containers that it does not start again by itself (moby#32607)."""
WHY_NEWER = "image order:1.0.0 -> order:1.0.1"


def replicas(wanted: Intent, seen: HostState, **etcd: Any) -> list[str]:
    """What h1 plans for its replicas."""
    return told(plan_replicas(wanted, observed(cluster(wanted, **etcd), seen)))


def changed(spec: ContainerSpec, **etcd: Any) -> tuple[Intent, dict[str, Any]]:
    """The intent with the one service changed to `spec`, and etcd with the old spec still known."""
    specs = {spec_hash(each): each for each in (order(), spec)}
    return intent(service(spec=spec)), {"specs": specs, **etcd}


# ---- made


def test_replicas_that_run_are_left_alone() -> None:
    assert replicas(TWO, host(container(1), container(2))) == []


def test_an_assigned_replica_is_created_and_started() -> None:
    assert replicas(ONE, host()) == [
        "create container/prod-order-1: order replica 1 is assigned here",
        "start container/prod-order-1: order replica 1 is assigned here",
    ]


def test_before_an_assignment_nothing_is_run_and_nothing_removed() -> None:
    assert replicas(ONE, host(container(5)), assignment=None) == []


def test_an_empty_assignment_removes_all_of_ours() -> None:
    nothing = Assignment(revision=7, project="prod")

    assert replicas(ONE, host(container(1)), assignment=nothing) == [
        "stop container/prod-order-1: order replica 1 is no longer assigned here",
        "remove container/prod-order-1: order replica 1 is no longer assigned here",
    ]


def test_the_container_of_a_replica_that_is_refused_stays_and_the_replica_is_named() -> None:
    nothing = Assignment(revision=7, project="prod")
    refused = {("order", 1): "its spec is of no document"}

    for seen in (host(container(1)), host()):
        assert replicas(ONE, seen, assignment=nothing, refused=refused) == [
            "blocked container/prod-order-1: its spec is of no document"
        ]


def test_of_many_refused_replicas_those_of_declared_services_are_named() -> None:
    forged = {(f"a\x1b{number}" + "x" * 1000, 1): "so" for number in range(2 * MOST_REFUSED)}
    nothing = Assignment(revision=7, project="prod")
    named = replicas(ONE, host(), assignment=nothing, refused={**forged, ("order", 1): "so"})
    assert len(named) == MOST_REFUSED
    assert named[0] == "blocked container/prod-order-1: so"
    assert not any("\x1b" in each or len(each) > 300 for each in named)


def test_an_image_is_pulled_once_for_all_replicas_before_any_is_created() -> None:
    assert replicas(TWO, host(images=frozenset())) == ["pull image/order:1.0.0: wanted by prod-order-1"]


def test_an_image_that_is_never_to_be_pulled_is_waited_for() -> None:
    wanted = intent(replace(service(), pull="never"))

    assert replicas(wanted, host(images=frozenset())) == [
        "blocked container/prod-order-1: the image order:1.0.0 is not on this host, and pull_policy is never"
    ]
    assert replicas(wanted, host(container(1), images=frozenset())) == []


def test_an_image_is_pulled_before_the_host_is_in_the_swarm() -> None:
    assert replicas(ONE, empty_host())[0] == "pull image/order:1.0.0: wanted by prod-order-1"


def test_placeholders_are_filled_in_for_the_replica() -> None:
    spec = order(hostname="{{.Service.Name}}-{{.Task.Slot}}")
    plan = plan_replicas(intent(service(spec=spec)), observed(cluster(intent(service(spec=spec))), host()))
    create = plan.steps[0]

    assert isinstance(create, CreateContainer)
    assert create.spec.hostname == "order-1"


def test_a_placeholder_without_a_value_holds_back_only_its_replica() -> None:
    wanted = intent(service(spec=order(hostname="{{.Node.ID}}")), service("billing"))
    nowhere = replace(builders.member(), node_id=None)
    lines = replicas(wanted, host(swarm=nowhere))

    assert "blocked container/prod-order-1: {{.Node.ID}} has no value here: this host is in no swarm" in lines
    assert "create container/prod-billing-1: billing replica 1 is assigned here" in lines


def test_a_spec_that_cannot_be_read_holds_its_replica_as_it_is() -> None:
    assert replicas(ONE, host(container(1)), specs={}) == [
        f"blocked container/prod-order-1: its spec {spec_hash(order())[:12]} cannot be read from etcd"
    ]


# ---- waited for


def test_a_replica_waits_for_its_overlay() -> None:
    seen = host(networks=(builders.bridge_network(),))

    assert replicas(ONE, seen, record=record(networks=())) == [
        "create container/prod-order-1: order replica 1 is assigned here",
        "waiting container/prod-order-1: network net is not ready yet",
    ]


def test_a_replica_is_not_started_on_an_overlay_while_its_host_has_just_come_into_the_swarm() -> None:
    seen = host(containers=(builders.container(status="created"),))

    assert replicas(ONE, replace(seen, settles_in_s=0.3)) == [
        "waiting container/prod-order-1: network net is not ready yet"
    ]
    assert replicas(ONE, seen) == ["start container/prod-order-1: created, but never started"]


@pytest.mark.parametrize("local", ["inactive", "pending", "locked", "error"])
def test_a_replica_that_docker_gave_up_on_is_not_started_before_its_host_is_in_the_swarm(
    local: LocalState,
) -> None:
    given_up = container(status="exited", error="invalid cluster node while attaching to network")

    assert replicas(ONE, host(given_up, swarm=builders.outside(local))) == [
        "waiting container/prod-order-1: network net is not ready yet"
    ]


@pytest.mark.parametrize("words", GIVEN_UP)
def test_a_replica_that_docker_gave_up_on_is_started_once_its_host_is_in_the_swarm(words: str) -> None:
    given_up = container(status="exited", exit_code=128, error=words)

    assert replicas(ONE, host(given_up)) == [f"start container/prod-order-1: {words}"]


def test_a_replica_is_not_started_while_the_swarm_has_no_leader() -> None:
    leaderless = replace(builders.member(), nodes=None)
    waits = [
        "waiting container/prod-order-1: the swarm has no raft leader that could allocate an address on network net"
    ]

    assert replicas(ONE, host(container(status="exited"), swarm=leaderless)) == waits
    assert replicas(ONE, host(swarm=leaderless))[1:] == waits
    assert replicas(ONE, host(container(), swarm=leaderless)) == []


def test_a_replica_is_not_started_while_dockerd_takes_no_part_in_the_networks_of_its_swarm() -> None:
    """Its libnetwork has lost the swarm, which nobody is told but its log: only another start of dockerd helps."""
    failed = container(status="exited", error="attaching to network failed, make sure your network options")
    starts = [f"start container/prod-order-1: {failed.error}"]

    seen = host(failed, listening=("22/tcp", "17946/tcp"))
    (blocked,) = plan_replicas(ONE, observed(cluster(ONE), seen)).blocked
    assert blocked.kind == "dependency"  # an alert is raised for it, as it does not end by itself
    (silent,) = replicas(ONE, seen)
    assert silent.startswith(
        "blocked container/prod-order-1: dockerd is in the swarm, but not in its networks"
    )
    assert "(nothing listens on 7946/tcp)" in silent
    assert "run `systemctl restart docker` on this host" in silent
    assert replicas(ONE, host(failed, listening=("22/tcp", "10.0.0.1:7946/tcp"))) == starts
    assert replicas(ONE, host(failed)) == starts
    assert replicas(ONE, host(container(), listening=())) == []


def test_a_replica_that_runs_keeps_its_overlay_while_it_could_not_come_back_to_it() -> None:
    renamed = container(
        differences=(differs("networks", "reconnect", "net"),), addresses=(("net", "10.10.0.2"),)
    )
    leaderless = replace(builders.member(), nodes=None)

    assert [line.split(":")[0] for line in replicas(ONE, host(renamed))] == [
        "disconnect container/prod-order-1",
        "connect container/prod-order-1",
    ]
    assert replicas(ONE, host(renamed, swarm=leaderless)) == [
        "waiting container/prod-order-1: the swarm has no raft leader that could allocate an address on network net"
    ]


def test_a_replica_that_is_made_is_not_started_before_its_overlay_is_there() -> None:
    made = builders.container(status="created")
    seen = host(containers=(made,), networks=(builders.bridge_network(),))

    assert replicas(ONE, seen, record=record(networks=())) == [
        "waiting container/prod-order-1: network net is not ready yet"
    ]


def test_a_worker_that_cannot_see_an_overlay_takes_the_leaders_word() -> None:
    seen = host(swarm=builders.worker(), networks=(builders.bridge_network(),))

    assert replicas(ONE, seen)[0] == "create container/prod-order-1: order replica 1 is assigned here"


def test_the_leaders_word_on_an_overlay_is_no_good_outside_the_swarm() -> None:
    seen = host(swarm=builders.outside(), networks=(builders.bridge_network(),))

    assert replicas(ONE, seen) == [
        "create container/prod-order-1: order replica 1 is assigned here",
        "waiting container/prod-order-1: network net is not ready yet",
    ]


ON_LOCAL = ContainerSpec(image="order:1.0.0", networks=(Attachment(network="local"),))


def test_a_network_of_the_host_is_created_before_its_replicas() -> None:
    spec = ContainerSpec(image="order:1.0.0", networks=(Attachment(network="local"),))
    wanted = intent(service(spec=spec, on={"h1": 2}), networks=(LOCAL,))

    assert replicas(wanted, host()) == ["create network/local: declared, and missing on this host"]


def test_a_network_of_the_host_that_a_running_replica_shall_join_is_created_first() -> None:
    both = ContainerSpec(
        image="order:1.0.0", networks=(Attachment(network="local"), Attachment(network="new"))
    )
    new = NetworkIntent(key="new", name="new", driver="bridge")
    wanted = intent(service(spec=both), networks=(LOCAL, new))
    local = builders.bridge_network(id="local-id", name="local", subnet=LOCAL.subnet, options=(), ours=True)
    running = container(of=both, differences=(differs("networks.new", "reconnect", "new"),))
    seen = host(networks=(local,), containers=(running,))

    assert replicas(wanted, seen) == ["create network/new: declared, and missing on this host"]
    there = replace(seen, networks=(local, replace(local, id="new-id", name="new")))
    assert [each.split(":")[0] for each in replicas(wanted, there)] == ["connect container/prod-order-1"]


@pytest.mark.parametrize(
    "found",
    [
        (),
        (container(of=ON_LOCAL, status="exited", differences=()),),
        (container(of=ON_LOCAL, differences=(differs("networks.local", "reconnect", "local"),)),),
        (container(of=ON_LOCAL),),
    ],
    ids=["missing", "ended", "runs with another alias", "runs"],
)
def test_no_replica_gets_on_a_network_of_the_host_that_others_made(found: tuple[ContainerState, ...]) -> None:
    wanted = intent(service(spec=ON_LOCAL), networks=(LOCAL,))
    theirs = builders.bridge_network(id="l", name="local", subnet=LOCAL.subnet)
    plan = plan_replicas(wanted, observed(cluster(wanted), host(networks=(theirs,), containers=found)))

    assert plan.steps == ()
    assert "network/local" in {each.resource for each in plan.blocked}
    runs_on = found[-1:] == (container(of=ON_LOCAL),)
    assert ("container/prod-order-1" in {each.resource for each in plan.blocked}) is not runs_on
    assert {each.kind for each in plan.blocked} == {"foreign"}
    # Another host, or the same network declared external: nothing is in the way.
    external = intent(service(spec=ON_LOCAL), networks=(replace(LOCAL, external=True),))
    seen = observed(cluster(external), host(networks=(theirs,), containers=found))
    assert plan_replicas(external, seen).blocked == ()


def test_a_missing_volume_is_created_before_its_replicas() -> None:
    spec = ContainerSpec(image="order:1.0.0", volumes=(Mount(type="volume", target="/d", source="data"),))
    wanted = intent(service(spec=spec), volumes=(VolumeIntent(key="data", name="data"),))

    assert replicas(wanted, host()) == ["create volume/data: wanted by prod-order-1"]
    assert len(replicas(wanted, host(volumes=frozenset({"data"})))) == 2


def test_a_volume_of_another_driver_is_not_used_and_its_replica_runs_on() -> None:
    spec = ContainerSpec(image="order:1.0.0", volumes=(Mount(type="volume", target="/d", source="data"),))
    wanted = intent(service(spec=spec), volumes=(VolumeIntent(key="data", name="data"),))
    found = VolumeState(name="data", driver="nfs")
    share = host(volumes=frozenset({"data"}), declared_volumes=(found,))

    blocked, waiting = replicas(wanted, share)
    assert blocked.startswith("blocked volume/data: driver: local wanted, nfs found: ")
    assert waiting == "waiting container/prod-order-1: volume data of this host has another driver"
    for declared in (replace(wanted.volumes[0], driver="nfs"), replace(wanted.volumes[0], external=True)):
        assert len(replicas(replace(wanted, volumes=(declared,)), share)) == 2


def test_a_volume_of_another_driver_is_one_cause_for_all_of_its_replicas() -> None:
    spec = ContainerSpec(image="order:1.0.0", volumes=(Mount(type="volume", target="/d", source="data"),))
    wanted = intent(service(spec=spec, on={"h1": 3}), volumes=(VolumeIntent(key="data", name="data"),))
    share = host(volumes=frozenset({"data"}), declared_volumes=(VolumeState(name="data", driver="nfs"),))

    found = plan_replicas(wanted, observed(cluster(wanted), share))

    assert [(each.resource, each.kind) for each in found.blocked] == [("volume/data", "foreign")]
    assert {each.on for each in found.waiting} == {"host/h1"}
    assert len(found.waiting) == 3


def test_a_volume_of_another_cluster_is_not_used_unless_it_is_declared_external() -> None:
    spec = ContainerSpec(image="order:1.0.0", volumes=(Mount(type="volume", target="/d", source="data"),))
    declared = VolumeIntent(key="data", name="data")
    theirs = host(
        volumes=frozenset({"data"}), declared_volumes=(VolumeState(name="data", of_cluster="test"),)
    )

    assert replicas(intent(service(spec=spec), volumes=(declared,)), theirs) == [
        (
            "blocked volume/data: is of cluster test: nothing of it is used or changed; remove it, or declare another "
            "name or `external: true`"
        ),
        "waiting container/prod-order-1: volume data of this host is of another cluster",
    ]
    external = intent(service(spec=spec), volumes=(replace(declared, external=True),))
    assert len(replicas(external, theirs)) == 2


def test_a_missing_external_volume_is_waited_for() -> None:
    spec = ContainerSpec(image="order:1.0.0", volumes=(Mount(type="volume", target="/d", source="data"),))
    wanted = intent(service(spec=spec), volumes=(VolumeIntent(key="data", name="data", external=True),))

    assert replicas(wanted, host()) == [
        "blocked container/prod-order-1: the external volume data does not exist"
    ]


def test_a_missing_external_network_is_waited_for() -> None:
    spec = ContainerSpec(image="order:1.0.0", networks=(Attachment(network="theirs"),))
    theirs = NetworkIntent(key="theirs", name="theirs", driver="bridge", external=True)

    assert replicas(intent(service(spec=spec), networks=(theirs,)), host()) == [
        "blocked network/theirs: declared external, but it does not exist",
        "blocked container/prod-order-1: network theirs cannot be used here: declared external, but it does not exist",
    ]


# ---- replaced


def test_a_changed_service_is_replaced_with_what_changed_as_the_reason() -> None:
    wanted, etcd = changed(NEWER)

    assert replicas(wanted, host(container(1)), **etcd) == [
        f"create container/prod-order-1: {WHY_NEWER}",
        f"stop container/prod-order-1: {WHY_NEWER}",
        "rename container/prod-order-1: kept until the new one has started",
        f"rename container/prod-order-1: {WHY_NEWER}",
        f"start container/prod-order-1: {WHY_NEWER}",
        "remove container/prod-order-1: the new one has started",
    ]


def test_the_new_replica_is_made_beside_the_old_one_so_that_a_refusal_costs_nothing() -> None:
    wanted, etcd = changed(NEWER)
    create = plan_replicas(wanted, observed(cluster(wanted, **etcd), host(container(1)))).steps[0]

    assert isinstance(create, CreateContainer)
    assert create.resource == "container/prod-order-1"
    assert create.becomes == f"prod-order-1-{spec_hash(NEWER)[:12]}"


def test_a_replacement_that_was_interrupted_goes_on_with_the_container_that_was_made() -> None:
    wanted, etcd = changed(NEWER)
    aside = f"prod-order-1-{spec_hash(NEWER)[:12]}"
    made = container(1, id="new", name=aside, of=NEWER, status="created")

    assert replicas(wanted, host(container(1), made), **etcd) == [
        "stop container/prod-order-1: another container is order replica 1 now",
        "rename container/prod-order-1: kept until the new one has started",
        f"rename container/prod-order-1: name: prod-order-1 wanted, {aside} found",
        "start container/prod-order-1: created, but never started",
        "remove container/prod-order-1: the new one has started",
    ]


def test_the_old_replica_stays_while_the_one_that_was_made_cannot_be_started() -> None:
    wanted, etcd = changed(NEWER)
    made = container(1, id="new", name="prod-order-1-new", of=NEWER, status="created")
    unready = host(container(1), made, networks=(builders.bridge_network(),))

    plan = replicas(wanted, unready, record=record(networks=()), **etcd)

    assert "waiting container/prod-order-1: network net is not ready yet" in plan
    assert not [each for each in plan if each.startswith(("stop", "remove"))]


def test_the_old_replica_runs_until_the_new_image_is_there() -> None:
    wanted, etcd = changed(NEWER)
    seen = host(container(1), images=frozenset({"order:1.0.0"}))

    assert replicas(wanted, seen, **etcd) == ["pull image/order:1.0.1: wanted by prod-order-1"]


def test_the_old_replica_runs_until_the_new_ones_network_is_there() -> None:
    spec = ContainerSpec(image="order:1.0.1", networks=(Attachment(network="other"),))
    wanted, etcd = changed(spec)

    assert replicas(wanted, host(container(1)), **etcd) == [
        "waiting container/prod-order-1: network other is not ready yet"
    ]


def test_a_stopped_replica_is_replaced_without_being_stopped() -> None:
    wanted, etcd = changed(NEWER)

    assert [each.split()[0] for each in replicas(wanted, host(container(1, status="exited")), **etcd)] == [
        "create", "rename", "rename", "start", "remove",
    ]  # fmt: skip


def test_a_value_of_the_environment_is_never_told() -> None:
    wanted, etcd = changed(order(environment=(("PASSWORD", "secret"),)))

    assert replicas(wanted, host(container(1)), **etcd)[0] == (
        "create container/prod-order-1: environment PASSWORD changed"
    )


def test_a_replica_of_an_unknown_spec_is_replaced_by_hash() -> None:
    wanted = intent(service(spec=NEWER))

    assert replicas(wanted, host(container(1)))[0] == (
        f"create container/prod-order-1: spec {spec_hash(order())[:12]} -> {spec_hash(NEWER)[:12]}"
    )


def test_a_replica_that_was_changed_by_hand_beyond_repair_is_replaced() -> None:
    seen = host(container(1, differences=(differs("command", "replace"), differs("memory", "update"))))

    assert replicas(ONE, seen)[0] == "create container/prod-order-1: command: this wanted, that found"


def test_a_dead_replica_is_replaced() -> None:
    assert replicas(ONE, host(container(1, status="dead"))) == [
        "create container/prod-order-1: docker reports it as dead",
        "remove container/prod-order-1: docker reports it as dead",
        "rename container/prod-order-1: docker reports it as dead",
        "start container/prod-order-1: docker reports it as dead",
    ]


def to_recreate(container_id: str) -> dict[str, Any]:
    """An assignment in which the leader has a container of the one replica recreated."""
    replica = Replica(
        service="order", slot=1, spec=spec_hash(order()), recreate=((container_id, "duplicate address"),)
    )
    return {"assignment": Assignment(revision=1, project="prod", replicas=(replica,))}


def test_a_container_whose_address_somebody_else_has_is_recreated() -> None:
    seen = host(container(1, up_s=20.0))

    assert replicas(ONE, seen, **to_recreate("id-prod-order-1")) == [
        "create container/prod-order-1: duplicate address",
        "stop container/prod-order-1: duplicate address",
        "rename container/prod-order-1: kept until the new one has started",
        "rename container/prod-order-1: duplicate address",
        "start container/prod-order-1: duplicate address",
        "remove container/prod-order-1: the new one has started",
    ]


def test_a_container_whose_address_somebody_else_has_stays_while_that_may_be_old_news() -> None:
    assert replicas(ONE, host(container(1, up_s=19.9)), **to_recreate("id-prod-order-1")) == []
    assert replicas(ONE, host(container(1, up_s=60.0)), **to_recreate("the one before")) == []
    stale = observed(
        cluster(ONE, **to_recreate("id-prod-order-1")), host(container(1, up_s=60.0)), stale=True
    )
    assert told(plan_replicas(ONE, stale)) == []


@pytest.mark.parametrize("error", ["", "failed to set up container networking: "], ids=["20.10", "28"])
@pytest.mark.parametrize(
    ("status", "does"),
    [("created", "create remove rename start"), ("exited", "create rename rename start remove")],
)
def test_a_container_whose_address_its_own_host_has_given_away_is_recreated(
    status: str, does: str, error: str
) -> None:
    """The swarm remembers what it gave the container, so that every further start of it would fail the same way."""
    seen = container(1, status=status, error=f"{error}Address already in use")
    lines = replicas(ONE, host(seen))

    assert [each.split()[0] for each in lines] == does.split()
    assert lines[0] == (
        "create container/prod-order-1: the swarm allocated it an address that another container on this host has"
    )


@pytest.mark.parametrize(
    ("address", "error"),
    [
        ("10.10.0.7", "Address already in use"),
        (None, "Error starting userland proxy: listen tcp4 0.0.0.0:80: bind: address already in use"),
    ],
    ids=["it asks for the address", "a port"],
)
def test_a_container_that_another_one_would_not_do_better_than_is_started_again(
    address: str | None, error: str
) -> None:
    spec = replace(order(), networks=(Attachment(network="net", ipv4_address=address),))
    wanted, etcd = changed(spec)
    seen = container(1, of=spec, status="created", error=error)

    assert replicas(wanted, host(seen), **etcd) == [f"start container/prod-order-1: {error}"]


def test_a_container_whose_address_is_pinned_is_started_again_as_another_one_would_ask_for_it_too() -> None:
    pinned = builders.assignment(ONE)
    pinned = replace(pinned, replicas=(replace(pinned.replicas[0], addresses=(("net", "10.10.0.7"),)),))
    seen = container(1, status="created", error="Address already in use")

    assert replicas(ONE, host(seen), assignment=pinned) == [
        "start container/prod-order-1: Address already in use"
    ]


def test_a_replacement_gives_the_process_the_time_its_service_declares() -> None:
    wanted, etcd = changed(order("1.0.1", stop_grace_period_s=42.0))
    stop = plan_replicas(wanted, observed(cluster(wanted, **etcd), host(container(1)))).steps[1]

    assert isinstance(stop, StopContainer)
    assert stop.grace_s == 42.0


# ---- removed


@pytest.mark.parametrize("status", ["running", "paused", "restarting"])
def test_a_replica_that_is_not_assigned_any_more_is_stopped_and_removed(status: str) -> None:
    assert replicas(ONE, host(container(1), container(2, status=status))) == [
        "stop container/prod-order-2: order replica 2 is no longer assigned here",
        "remove container/prod-order-2: order replica 2 is no longer assigned here",
    ]


@pytest.mark.parametrize(("said", "given"), [(300.0, 300.0), (0.0, 0.0), (None, 10.0)])
def test_a_replica_that_is_not_assigned_any_more_has_the_time_it_was_made_with(
    said: float | None, given: float
) -> None:
    stop = plan_replicas(ONE, observed(cluster(ONE), host(container(1), container(2, grace_s=said)))).steps[0]

    assert isinstance(stop, StopContainer)
    assert stop.grace_s == given


@pytest.mark.parametrize("made", [True, False])
def test_the_last_replica_on_an_overlay_waits_for_the_one_that_joins_it_there_by_its_key(made: bool) -> None:
    wanted, etcd = changed(NEWER)
    both = tuple(Replica(service="order", slot=slot, spec=spec_hash(NEWER)) for slot in (1, 2))
    etcd["assignment"] = Assignment(revision=7, project="prod", replicas=both)
    joins = container(1, of=NEWER, status="created", error=GIVEN_UP[0], addresses=(("net", ""),))
    seen = host(container(2, addresses=(("net", "10.0.0.5"),)), *((joins,) if made else ()))

    (waits,) = plan_replicas(wanted, observed(cluster(wanted, **etcd), seen)).waiting
    assert (waits.resource, waits.on) == ("container/prod-order-2", "replica/order-1")


@pytest.mark.parametrize("status", ["created", "exited", "dead"])
def test_a_stopped_replica_that_is_not_assigned_any_more_is_removed(status: str) -> None:
    assert replicas(ONE, host(container(1), container(2, status=status))) == [
        "remove container/prod-order-2: order replica 2 is no longer assigned here"
    ]


def test_what_docker_is_removing_already_is_left_to_it() -> None:
    assert replicas(ONE, host(container(1), container(2, status="removing"))) == []
    assert replicas(ONE, host(container(1, status="removing"))) == []


def test_of_two_containers_of_one_replica_the_running_one_with_the_right_spec_stays() -> None:
    stopped = container(1, id="a", name="a-replica", status="exited")
    outdated = container(1, id="b", name="an-outdated-replica", of=order("0.9.0"))

    assert replicas(ONE, host(stopped, outdated, container(1))) == [
        "remove container/prod-order-1: another container is order replica 1 now",
        "stop container/prod-order-1: another container is order replica 1 now",
        "remove container/prod-order-1: another container is order replica 1 now",
    ]


def test_of_two_containers_of_one_replica_neither_gets_the_others_name_while_they_wait_for_a_network() -> (
    None
):
    outdated = container(1, of=order("0.9.0"), status="created")
    seen = host(outdated, container(1, id="b", name="aside", status="created"), networks=())

    assert replicas(ONE, seen, record=record(networks=())) == [
        "waiting container/prod-order-1: network net is not ready yet"
    ]


def test_a_replica_waits_for_the_name_that_a_second_container_of_another_one_has() -> None:
    seen = host(container(1, status="created"), container(1, id="b", name="prod-order-2"), networks=())

    assert "blocked container/prod-order-2: replica 1 of order has the name prod-order-2" in replicas(
        TWO, seen, record=record(networks=())
    )


def test_while_the_one_before_it_is_being_removed_nothing_is_said_of_its_name() -> None:
    made = container(1, id="b", name="prod-order-1-abc", status="created")

    assert replicas(ONE, host(container(1, status="removing"), made)) == []


def test_what_is_not_ours_is_never_touched() -> None:
    assert replicas(ONE, host(container(1), foreign_names=(("their-own", "x"), ("prod-order-9", "y")))) == []


# ---- names


def test_a_name_that_somebody_else_has_is_not_taken_from_him() -> None:
    assert replicas(ONE, host(foreign_names=(("prod-order-1", "x"),))) == [
        "blocked container/prod-order-1: an unmanaged container has the name prod-order-1; remove or rename it"
    ]


def test_a_renamed_replica_whose_name_somebody_else_took_is_left_as_it_is() -> None:
    seen = host(container(1, name="renamed"), foreign_names=(("prod-order-1", "x"),))

    assert replicas(ONE, seen) == [
        "blocked container/prod-order-1: an unmanaged container has the name prod-order-1; remove or rename it"
    ]


def test_a_name_is_given_back_before_the_replica_that_it_belongs_to_is_made() -> None:
    assert replicas(TWO, host(container(1, name="prod-order-2"))) == [
        "rename container/prod-order-1: name: prod-order-1 wanted, prod-order-2 found",
        "blocked container/prod-order-2: replica 1 of order has the name prod-order-2",
    ]


def test_of_replicas_whose_names_were_swapped_each_steps_aside_first() -> None:
    swapped = (container(1, id="a", name="prod-order-2"), container(2, id="b", name="prod-order-1"))

    assert replicas(TWO, host(*swapped)) == [
        "rename container/prod-order-1-a: it has the name of another replica, and replica 2 of order has its name",
        "rename container/prod-order-2-b: it has the name of another replica, and replica 1 of order has its name",
    ]


def test_replicas_that_stepped_aside_get_their_names() -> None:
    aside = (container(1, id="a", name="prod-order-1-a"), container(2, id="b", name="prod-order-2-b"))

    assert replicas(TWO, host(*aside)) == [
        "rename container/prod-order-1: name: prod-order-1 wanted, prod-order-1-a found",
        "rename container/prod-order-2: name: prod-order-2 wanted, prod-order-2-b found",
    ]


def test_the_name_of_what_is_removed_is_free_afterwards() -> None:
    surplus: ContainerState = container(3, name="prod-order-1")

    assert replicas(ONE, host(surplus)) == [
        "stop container/prod-order-1: order replica 3 is no longer assigned here",
        "remove container/prod-order-1: order replica 3 is no longer assigned here",
        "create container/prod-order-1: order replica 1 is assigned here",
        "start container/prod-order-1: order replica 1 is assigned here",
    ]


def test_the_name_of_what_docker_is_removing_is_waited_for() -> None:
    assert replicas(ONE, host(container(3, name="prod-order-1", status="removing"))) == [
        "blocked container/prod-order-1: replica 3 of order, which is being removed, has the name prod-order-1"
    ]


# ---- etcd is away


def without_etcd(wanted: Intent, seen: HostState, **more: Any) -> list[str]:
    return told(plan_replicas(wanted, observed(cluster(wanted, **more), seen, stale=True)))


def test_while_etcd_is_away_a_replica_that_is_missing_is_made_from_what_was_kept() -> None:
    assert without_etcd(ONE, host()) == replicas(ONE, host())


def test_while_etcd_is_away_a_replica_that_has_ended_is_started() -> None:
    ended = host(container(1, status="exited", exit_code=137))
    assert without_etcd(ONE, ended) == replicas(ONE, ended)
    assert any(line.startswith("start container/prod-order-1") for line in replicas(ONE, ended))


def test_while_etcd_is_away_nothing_that_is_not_assigned_is_taken_away() -> None:
    assert without_etcd(ONE, host(container(1), container(5))) == [
        "waiting container/prod-order-5: the last known assignment does not have it; it stays until etcd answers"
    ]


def test_while_etcd_is_away_a_replica_of_another_spec_is_kept_as_it_is() -> None:
    specs = {spec_hash(each): each for each in (order(), NEWER)}
    assert without_etcd(ONE, host(container(1, of=NEWER)), specs=specs) == []
    ended = host(container(1, of=NEWER, status="exited"))
    (line,) = without_etcd(ONE, ended, specs=specs)
    assert line.startswith("start container/prod-order-1")


@pytest.mark.parametrize("local", ["pending", "locked", "error"])
def test_a_replica_that_is_there_needs_no_value_for_its_placeholders(local: LocalState) -> None:
    """It was made with them; its host may be out of the swarm for a while, as after a power cut."""
    spec = ContainerSpec(image="order:1.0.0", network_mode="host", environment=(("NODE", "{{.Node.ID}}"),))
    wanted, out = intent(service(spec=spec)), builders.outside(local)

    assert replicas(wanted, host(container(of=spec), swarm=out)) == []
    assert replicas(wanted, host(container(of=spec, status="exited"), swarm=out)) == [
        "start container/prod-order-1: exited with 0"
    ]
