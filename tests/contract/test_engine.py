"""What an engine promises the agent: kept by the one in memory and by a real dockerd."""

import threading
from collections.abc import Iterator
from dataclasses import replace
from ipaddress import IPv4Address, IPv4Network

import pytest

from agent.clients.docker import Engine
from agent.diff.container import CreateRequest, FillContext, create_request
from agent.errors import Conflict, Missing, Refused, Unreachable
from agent.model.host_state import ContainerState, Difference, NetworkState, VolumeState
from agent.model.intent import GWBRIDGE, BridgeIntent, NetworkIntent, VolumeIntent
from agent.model.records import Replica
from agent.model.spec import Attachment, ContainerSpec, Port, Restart, spec_hash
from tests.contract.engines import CLUSTER, KINDS, DockerScene, FakeScene, Scene
from tests.support.docker_daemon import BARE, RICH, DockerDaemon, running
from tests.support.etcd_server import eventually

MIB = 2**20
NAME = "prod-order-1"
BRIDGE = BridgeIntent(
    subnet=IPv4Network("172.21.0.0/20"),
    gateway=IPv4Address("172.21.0.1"),
    options=(
        ("com.docker.network.bridge.enable_icc", "false"),
        ("com.docker.network.bridge.name", GWBRIDGE),
    ),
)
NET = NetworkIntent(
    key="net",
    name="net",
    driver="bridge",
    subnet=IPv4Network("10.20.0.0/16"),
    gateway=IPv4Address("10.20.0.1"),
)
OTHER = replace(NET, key="other", name="other", subnet=IPv4Network("10.21.0.0/16"), gateway=None)
OVERLAY = replace(
    NET, key="ov", name="ov", driver="overlay", subnet=IPv4Network("10.10.0.0/16"), gateway=None
)
SPEC = ContainerSpec(image=BARE, command=("sleep", "1000"), stop_signal="SIGKILL")


def _request(spec: ContainerSpec = SPEC, name: str = NAME, cluster: str = CLUSTER) -> CreateRequest:
    replica = Replica(service="order", slot=1, spec=spec_hash(spec))
    return create_request(spec, replica, project="prod", cluster=cluster, name=name)


def _context(replica: Replica) -> FillContext:
    return FillContext(host="host-1", service=replica.service, slot=replica.slot)


def _ours(engine: Engine, spec: ContainerSpec = SPEC) -> ContainerState:
    """The only container of ours."""
    (only,) = engine.containers({spec_hash(spec): spec}, _context).ours
    return only


def _seen_as(engine: Engine, made: ContainerSpec, spec: ContainerSpec) -> tuple[Difference, ...]:
    """The differences of the only container of ours, which was made from `made`, from another spec."""
    (only,) = engine.containers({spec_hash(made): spec}, _context).ours
    return only.differences


def _network(engine: Engine, name: str) -> NetworkState | None:
    return next((each for each in engine.networks() if each.name == name), None)


def _init(scene: Scene) -> None:
    pool = (IPv4Network("10.200.0.0/16"),)
    scene.engine.init_swarm(advertise=scene.address, pool=pool, mask_length=24, data_path_port=None)


# ---- swarm


def test_an_engine_outside_a_swarm_says_so(engine: Engine) -> None:
    swarm = engine.info().swarm

    assert (swarm.local, swarm.node_id, swarm.swarm_id, swarm.is_manager) == ("inactive", None, None, False)
    with pytest.raises(Refused, match="not a swarm manager"):
        engine.nodes()


def test_init_makes_this_engine_the_only_manager_of_a_new_swarm(scene: Scene) -> None:
    _init(scene)

    swarm = scene.engine.info().swarm
    (node,) = scene.engine.nodes()
    assert (swarm.local, swarm.is_manager, swarm.address) == ("active", True, scene.address)
    assert swarm.managers == ((node.id, f"{scene.address}:2377"),)
    assert (node.id, node.role, node.leader, node.reachable) == (swarm.node_id, "manager", True, True)
    assert (node.address, node.manager_address) == (scene.address, f"{scene.address}:2377")
    assert scene.engine.swarm_tokens().swarm_id == swarm.swarm_id


def test_a_second_init_or_join_is_a_conflict(scene: Scene) -> None:
    _init(scene)
    token = scene.engine.swarm_tokens().worker
    before = scene.engine.info().swarm.swarm_id

    with pytest.raises(Conflict, match="already part of a swarm"):
        _init(scene)
    assert scene.engine.info().swarm.swarm_id == before
    with pytest.raises((Conflict, Unreachable)):
        scene.engine.join_swarm(advertise=scene.address, remotes=[f"{scene.address}:2377"], token=token)


def test_a_join_that_no_manager_answers_changes_nothing(scene: Scene) -> None:
    with pytest.raises(Unreachable, match="no manager answers"):
        scene.engine.join_swarm(advertise=scene.address, remotes=["127.0.0.1:1"], token="none")

    assert scene.engine.info().swarm.local == "inactive"


def test_rotated_tokens_are_new_ones_for_the_same_swarm(scene: Scene) -> None:
    _init(scene)
    old = scene.engine.swarm_tokens()

    scene.engine.rotate_tokens()

    new = scene.engine.swarm_tokens()
    assert new.swarm_id == old.swarm_id
    assert {new.worker, new.manager}.isdisjoint({old.worker, old.manager})


# ---- networks and volumes


def test_the_bridge_comes_out_as_asked_for_and_asking_again_is_fine(engine: Engine) -> None:
    engine.create_bridge(BRIDGE)
    engine.create_bridge(BRIDGE)

    made = [each for each in engine.networks() if each.name == GWBRIDGE]
    assert [(each.subnet, each.gateway, each.options) for each in made] == [
        (BRIDGE.subnet, str(BRIDGE.gateway), BRIDGE.options)
    ]


def test_the_bridge_made_before_the_init_is_kept_by_it(scene: Scene) -> None:
    scene.engine.create_bridge(BRIDGE)

    _init(scene)

    made = _network(scene.engine, GWBRIDGE)
    assert made is not None
    assert made.subnet == BRIDGE.subnet


def test_in_a_swarm_the_ingress_gateway_is_on_the_bridge_and_holds_it(scene: Scene) -> None:
    scene.engine.create_bridge(BRIDGE)
    _init(scene)
    made = _network(scene.engine, GWBRIDGE)
    assert made is not None

    ingress = ("ingress-sbox", "gateway_ingress-sbox")
    eventually(lambda: ingress in scene.engine.bridge_endpoints(made.id), 10.0)
    with pytest.raises(Conflict, match="has active endpoints"):
        scene.engine.remove_network(made.id)


def test_another_network_of_the_same_name_is_a_conflict(engine: Engine) -> None:
    engine.create_network(NET)

    with pytest.raises(Conflict, match="already exists"):
        engine.create_network(replace(NET, subnet=IPv4Network("10.30.0.0/16"), gateway=None))


def test_a_network_that_overlaps_another_is_refused_and_not_there(engine: Engine) -> None:
    engine.create_network(NET)

    with pytest.raises(Refused, match="Pool overlaps"):
        engine.create_network(replace(OTHER, subnet=IPv4Network("10.20.8.0/24")))
    assert _network(engine, "other") is None


def test_a_removed_network_may_be_removed_again(engine: Engine) -> None:
    engine.create_network(NET)
    made = _network(engine, "net")
    assert made is not None

    engine.remove_network(made.id)
    engine.remove_network(made.id)

    assert _network(engine, "net") is None


def test_an_overlay_needs_a_manager(engine: Engine) -> None:
    with pytest.raises(Refused, match="not a swarm manager"):
        engine.create_network(OVERLAY)


def test_an_overlay_is_made_once(scene: Scene) -> None:
    _init(scene)

    scene.engine.create_network(OVERLAY)
    scene.engine.create_network(OVERLAY)

    made = _network(scene.engine, "ov")
    assert made is not None
    assert (made.driver, made.scope, made.subnet, made.attachable) == (
        "overlay",
        "swarm",
        OVERLAY.subnet,
        True,
    )


def test_an_overlay_the_swarm_cannot_allocate_is_refused_and_taken_away_again(scene: Scene) -> None:
    """Docker says 201 to it, and lets every container on it fail."""
    _init(scene)
    scene.engine.create_network(OVERLAY)

    with pytest.raises(Refused, match="removed again"):
        scene.engine.create_network(replace(OVERLAY, key="twin", name="twin"))
    assert _network(scene.engine, "twin") is None


def test_a_volume_is_made_once(engine: Engine) -> None:
    volume = VolumeIntent(key="data", name="prod_data", labels=(("team", "shop"),))

    engine.create_volume(volume)
    engine.create_volume(volume)

    (found,) = engine.volumes()
    labels = (("io.swarmkeeper.cluster", CLUSTER), ("team", "shop"))
    assert found == VolumeState(name="prod_data", labels=labels)


# ---- images


def test_an_image_is_found_by_every_spelling_of_its_name(engine: Engine) -> None:
    asked = ["bare:1", "docker.io/library/bare:1", "bare:2", "bare"]

    found = engine.images(asked)
    assert set(found) == {"bare:1", "docker.io/library/bare:1"}
    assert len(set(found.values())) == 1


def test_another_tag_of_a_wanted_repository_is_told_too(engine: Engine) -> None:
    assert set(engine.images(["bare:2"])) == {"bare:1"}
    assert engine.images(["other:1"]) == {}


def test_a_registry_that_does_not_answer_is_unreachable(engine: Engine) -> None:
    with pytest.raises(Unreachable, match="connection refused"):
        engine.pull("127.0.0.1:5/order:1.0.0")


# ---- containers: what is seen


def test_a_created_replica_is_ours_and_as_its_spec_says(engine: Engine) -> None:
    made = engine.create_container(_request())

    found = _ours(engine)
    assert (found.id, found.name, found.status, found.started_at) == (made, NAME, "created", "")
    assert found.replica == Replica(service="order", slot=1, spec=spec_hash(SPEC))
    assert found.differences == ()


def test_an_empty_command_clears_the_images_and_keeps_its_entrypoint(engine: Engine) -> None:
    spec = ContainerSpec(image=RICH, command=())
    engine.create_container(_request(spec))

    assert _ours(engine, spec).differences == ()
    as_the_image_says = replace(spec, command=None)
    told = [str(each) for each in _seen_as(engine, spec, as_the_image_says)]
    assert told == ["command: the declared value wanted, nothing found"]


def test_an_empty_command_needs_an_entrypoint_of_the_image(scene: Scene) -> None:
    if isinstance(scene, FakeScene):
        pytest.skip("the engine in memory does not judge commands")
    with pytest.raises(Refused, match=r"(?i)no command specified"):
        scene.engine.create_container(_request(ContainerSpec(image=BARE, command=())))


def test_a_started_replica_runs_with_an_address_on_each_of_its_networks(engine: Engine) -> None:
    engine.create_network(NET)
    engine.create_network(OTHER)
    both = (Attachment(network="net", ipv4_address="10.20.0.9"), Attachment(network="other", aliases=("x",)))
    spec = replace(SPEC, networks=both)
    engine.create_container(_request(spec))

    engine.start(NAME)

    found = _ours(engine, spec)
    assert found.status == "running"
    assert dict(found.addresses)["net"] == "10.20.0.9"
    assert IPv4Address(dict(found.addresses)["other"]) in IPv4Network("10.21.0.0/16")
    assert found.differences == ()


def test_containers_of_others_are_seen_by_name_only(scene: Scene) -> None:
    foreign = scene.run_foreign("nginx")
    elsewhere = scene.engine.create_container(_request(name="their-order-1", cluster="other"))

    found = scene.engine.containers({}, _context)

    assert found.ours == ()
    assert found.foreign_names == (("nginx", foreign), ("their-order-1", elsewhere))


def test_a_replica_whose_spec_is_not_known_is_seen_without_differences(engine: Engine) -> None:
    engine.create_container(_request())

    (found,) = engine.containers({}, _context).ours

    assert found.differences == ()


def test_of_a_busy_replica_no_more_is_told_than_that_it_is_there(engine: Engine) -> None:
    engine.create_container(_request())

    (found,) = engine.containers({spec_hash(SPEC): SPEC}, _context, in_flight=frozenset({NAME})).ours

    assert (found.name, found.replica.service, found.status, found.locked_by_engine) == (
        NAME,
        "order",
        "created",
        True,
    )


def test_placeholders_are_filled_in_before_a_replica_is_compared(engine: Engine) -> None:
    spec = replace(SPEC, environment=(("REPLICA", "{{.Service.Name}}-{{.Task.Slot}}"),))
    replica = Replica(service="order", slot=1, spec=spec_hash(spec))
    filled = replace(spec, environment=(("REPLICA", "order-1"),))
    engine.create_container(create_request(filled, replica, project="prod", cluster=CLUSTER, name=NAME))

    assert _ours(engine, spec).differences == ()


# ---- containers: what is done


def test_creating_the_same_replica_again_gives_the_same_container(engine: Engine) -> None:
    assert engine.create_container(_request()) == engine.create_container(_request())


def test_a_name_held_by_another_replica_or_by_a_stranger_is_a_conflict_that_says_who(scene: Scene) -> None:
    scene.engine.create_container(_request())
    scene.run_foreign("nginx")

    with pytest.raises(Conflict, match="used by replica 1 of order"):
        scene.engine.create_container(_request(replace(SPEC, user="1000")))
    with pytest.raises(Conflict, match="used by an unmanaged container"):
        scene.engine.create_container(_request(name="nginx"))


def test_without_its_image_a_replica_cannot_be_created(engine: Engine) -> None:
    with pytest.raises(Missing, match="No such image"):
        engine.create_container(_request(replace(SPEC, image="nowhere:1")))


def test_every_act_may_be_repeated(engine: Engine) -> None:
    made = engine.create_container(_request())

    for act in (engine.start, engine.unpause, lambda name: engine.stop(name, 1.0), engine.remove_container):
        act(made)
        act(made)

    assert engine.containers({}, _context).ours == ()


def test_a_container_that_is_gone_is_missing(engine: Engine) -> None:
    with pytest.raises(Missing, match="No such container"):
        engine.start("gone")
    with pytest.raises(Missing, match="No such container"):
        engine.stop("gone", 1.0)


def test_a_running_container_is_not_removed(engine: Engine) -> None:
    made = engine.create_container(_request())
    engine.start(made)

    with pytest.raises(Conflict, match="running"):
        engine.remove_container(made)
    assert _ours(engine).status == "running"


def test_a_paused_container_runs_again_after_unpause(scene: Scene) -> None:
    made = scene.engine.create_container(_request())
    scene.engine.start(made)
    scene.pause(made)
    assert _ours(scene.engine).status == "paused"

    scene.engine.unpause(made)

    assert _ours(scene.engine).status == "running"


def test_a_container_gets_its_name_back_unless_somebody_else_has_it(scene: Scene) -> None:
    made = scene.engine.create_container(_request())
    scene.rename(made, "renamed")
    assert _ours(scene.engine).name == "renamed"

    scene.engine.rename(made, NAME)
    scene.engine.rename(made, NAME)
    assert _ours(scene.engine).name == NAME
    scene.run_foreign("nginx")
    with pytest.raises(Conflict, match="already in use"):
        scene.engine.rename(made, "nginx")


def test_limits_changed_by_hand_are_named_and_put_right_in_place(scene: Scene) -> None:
    spec = replace(
        SPEC,
        memory_limit_bytes=64 * MIB,
        pids_limit=50,
        nano_cpus=500_000_000,
        restart=Restart(name="always"),
    )
    made = scene.engine.create_container(_request(spec))
    scene.engine.start(made)
    scene.update(
        made,
        Memory=32 * MIB,
        MemorySwap=32 * MIB,
        PidsLimit=10,
        NanoCpus=250_000_000,
        RestartPolicy={"Name": "no", "MaximumRetryCount": 0},
    )

    found = _ours(scene.engine, spec)
    assert {str(each) for each in found.differences} == {
        "memory: 64 MiB wanted, 32 MiB found",
        "memswap_limit: 128 MiB wanted, 32 MiB found",
        "cpus: 0.5 CPUs wanted, 0.25 CPUs found",
        "pids_limit: 50 wanted, 10 found",
        "restart: always wanted, no found",
    }
    assert {each.repair for each in found.differences} == {"update"}

    scene.engine.update(made, spec)

    healed = _ours(scene.engine, spec)
    assert (healed.id, healed.started_at, healed.differences) == (made, found.started_at, ())


def test_a_container_becomes_what_is_assigned_to_it_without_being_recreated(scene: Scene) -> None:
    old = replace(SPEC, memory_limit_bytes=64 * MIB)
    new = replace(old, memory_limit_bytes=96 * MIB, restart=Restart(name="always"))
    made = scene.engine.create_container(_request(old))
    scene.engine.start(made)
    before = _ours(scene.engine, old)
    known = {spec_hash(each): each for each in (old, new)}
    assigned = frozenset({Replica(service="order", slot=1, spec=spec_hash(new))})

    (found,) = scene.engine.containers(known, _context, assigned=assigned).ours
    assert {str(each) for each in found.differences} == {
        "memory: 96 MiB wanted, 64 MiB found",
        "restart: always wanted, no found",
    }
    scene.engine.update(made, new)

    (after,) = scene.engine.containers(known, _context, assigned=assigned).ours
    assert (after.id, after.started_at, after.differences) == (made, before.started_at, ())
    assert after.replica.spec == spec_hash(new)


def test_limits_somebody_set_where_none_were_said_are_taken_away_where_docker_can(scene: Scene) -> None:
    made = scene.engine.create_container(_request())
    scene.engine.start(made)
    policy = {"Name": "always", "MaximumRetryCount": 0}
    scene.update(made, PidsLimit=10, RestartPolicy=policy)
    assert {each.repair for each in _ours(scene.engine).differences} == {"update"}

    scene.engine.update(made, SPEC)

    assert _ours(scene.engine).differences == ()


def test_an_attachment_cut_by_hand_is_named_and_put_back(scene: Scene) -> None:
    scene.engine.create_network(NET)
    spec = replace(SPEC, networks=(Attachment(network="net", aliases=("x",), ipv4_address="10.20.0.9"),))
    made = scene.engine.create_container(_request(spec))
    scene.engine.start(made)
    scene.disconnect(made, "net")

    (found,) = _ours(scene.engine, spec).differences
    assert str(found) == "networks.net: attached as order, x at 10.20.0.9 wanted, nothing found"
    assert (found.repair, found.subject) == ("reconnect", "net")

    scene.engine.connect(made, spec.networks[0], ("order", "x"))

    healed = _ours(scene.engine, spec)
    assert (healed.differences, dict(healed.addresses)) == ((), {"net": "10.20.0.9"})
    with pytest.raises(Conflict, match="already exists"):
        scene.engine.connect(made, spec.networks[0], ("order", "x"))


def test_an_attachment_made_by_hand_is_named_and_cut(scene: Scene) -> None:
    scene.engine.create_network(NET)
    scene.engine.create_network(OTHER)
    spec = replace(SPEC, networks=(Attachment(network="net"),))
    made = scene.engine.create_container(_request(spec))
    scene.engine.start(made)
    scene.connect(made, "other")

    (found,) = _ours(scene.engine, spec).differences
    assert (found.field, found.wanted, found.subject) == ("networks.other", "nothing", "other")

    scene.engine.disconnect(made, "other")
    scene.engine.disconnect(made, "other")

    assert _ours(scene.engine, spec).differences == ()


def test_a_start_before_its_network_is_there_may_be_tried_again(engine: Engine) -> None:
    spec = replace(SPEC, networks=(Attachment(network="net"),))
    engine.create_container(_request(spec))

    with pytest.raises(Unreachable, match="network net not found"):
        engine.start(NAME)
    engine.create_network(NET)
    engine.start(NAME)

    assert _ours(engine, spec).status == "running"


def test_a_port_that_somebody_else_has_is_refused_in_dockers_words(scene: Scene) -> None:
    scene.run_foreign("nginx", port=8080)
    spec = replace(SPEC, ports=(Port(target=80, published=8080),))
    scene.engine.create_container(_request(spec))

    with pytest.raises(Refused, match="port is already allocated"):
        scene.engine.start(NAME)
    found = _ours(scene.engine, spec)
    assert found.status == "created"
    assert "port is already allocated" in found.error


# ---- events


def test_what_happens_is_heard_until_the_listener_closes(engine: Engine) -> None:
    events = engine.events()
    heard: list[str] = []
    listener = threading.Thread(target=lambda: heard.extend(events))
    listener.start()

    made = engine.create_container(_request())
    engine.start(made)
    engine.remove_network("none at all")
    engine.stop(made, 1.0)
    engine.create_network(NET)
    events.close()
    listener.join(5.0)

    assert not listener.is_alive()
    for hint in ("container create", "container start", "container die"):
        assert any(each.startswith(hint) for each in heard), hint


@pytest.fixture(params=KINDS)
def mortal(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    """An engine that may die."""
    if request.param == "in memory":
        yield FakeScene()
        return
    with running(DockerDaemon(tmp_path_factory.mktemp("mortal"))) as daemon:
        scene = DockerScene(daemon)
        yield scene
        scene.close()


def test_when_dockerd_dies_the_listener_learns_it_at_once_and_every_call_says_so(mortal: Scene) -> None:
    events = mortal.engine.events()
    death = threading.Timer(0.1, mortal.die)
    death.start()

    with pytest.raises(Unreachable):
        list(events)
    death.join()
    with pytest.raises(Unreachable, match="does not answer"):
        mortal.engine.info()
