"""Looking at one engine: only for what there is a reason to ask for, and only where asking disturbs nothing."""

from dataclasses import replace
from datetime import datetime
from ipaddress import IPv4Interface, IPv4Network
from typing import Any

import pytest

from agent.clients.docker.swarm import NodeCertificate
from agent.clients.kernel import LinuxKernel
from agent.diff.bridge import without_gateway
from agent.diff.container import create_request
from agent.errors import Refused, SwarmkeeperError, Unreachable
from agent.model.host_state import GivenOut, HostState, LinkState, SwarmState
from agent.model.intent import GWBRIDGE, PolicyIntent, VolumeIntent
from agent.model.observed import ClusterState
from agent.model.records import Disruption, Replica, Tokens
from agent.model.spec import Attachment, ContainerSpec, spec_hash
from agent.observe import HostReader
from agent.observe.host import INSPECT_S
from tests.fakes.engine import FakeEngine
from tests.fakes.swarm import FakeLan
from tests.support.builders import BRIDGE, OVERLAY, intent, record, service
from tests.support.builders import cluster as cluster_of

POOL = (IPv4Network("10.200.0.0/16"),)
SPEC = ContainerSpec(image="order:1.0.0", network_mode="none")
WANTED = intent(service(spec=SPEC))


class StillKernel(LinuxKernel):
    """A kernel with one device, one route and one address."""

    def link(self, name: str) -> LinkState | None:
        return LinkState(address=None, up=True) if name == GWBRIDGE else None

    def routes(self) -> tuple[tuple[IPv4Network, str], ...]:
        return ((IPv4Network("10.0.0.0/24"), "eth0"),)

    def lacks_sysctl(self, name: str) -> bool:
        return False

    def listening(self) -> tuple[str, ...]:
        return ("22/tcp",)

    def addresses(self) -> tuple[tuple[IPv4Interface, str], ...]:
        return ((IPv4Interface("10.0.0.1/24"), "eth0"),)

    def real_path(self, path: str) -> str | None:
        return path


class Scene:
    def __init__(self) -> None:
        self.lan = FakeLan(registry={"order:1.0.0"})
        self.engine = FakeEngine("h1", "10.0.0.1", self.lan, cluster="prod")
        self.now = 100.0
        self.reader = HostReader(self.engine, StillKernel(), "h1", lambda: self.now)

    def run(self, name: str, spec: ContainerSpec = SPEC, slot: int = 1) -> None:
        """A running replica of ours."""
        replica = Replica(service="order", slot=slot, spec=spec_hash(spec))
        self.engine.load_image(spec.image)
        self.engine.create_container(
            create_request(spec, replica=replica, project="prod", cluster="prod", name=name)
        )
        self.engine.start(name)

    def init(self) -> None:
        self.engine.init_swarm(advertise="10.0.0.1", pool=POOL, mask_length=24, data_path_port=None)

    def read(self, cluster: ClusterState | None = None, busy: frozenset[str] = frozenset()) -> HostState:
        self.engine.calls.clear()
        return self.reader.read(cluster, busy)


@pytest.fixture
def scene() -> Scene:
    return Scene()


def cluster(**more: Any) -> ClusterState:
    return cluster_of(WANTED, **more)


def test_an_empty_host_is_seen_as_it_is(scene: Scene) -> None:
    seen = scene.read(cluster())
    assert seen.swarm.local == "inactive"
    assert (seen.containers, seen.images) == ((), frozenset())
    assert {each.name for each in seen.networks} == {"bridge", "host", "none"}
    assert seen.bridge_link == LinkState(address=None, up=True)
    assert seen.routes == ((IPv4Network("10.0.0.0/24"), "eth0"),)
    assert seen.addresses == ((IPv4Interface("10.0.0.1/24"), "eth0"),)


@pytest.mark.parametrize(
    "error",
    [
        "listen tcp4 0.0.0.0:22: bind: address already in use",
        "attaching to network failed, make sure your network options are correct",
        "network my-network-overlay not found",
    ],
)
def test_who_listens_is_looked_at_only_outside_a_swarm_and_when_a_start_has_failed_for_it(
    scene: Scene, error: str
) -> None:
    assert scene.read(cluster()).listening == ("22/tcp",)
    scene.init()
    scene.run("prod-order-1")
    assert scene.read(cluster()).listening is None
    (raw,) = scene.engine.by_hand.raws.values()
    raw["State"] |= {"Status": "exited", "Error": error}
    assert scene.read(cluster()).listening == ("22/tcp",)


def test_without_a_dockerd_there_is_nothing_to_see(scene: Scene) -> None:
    scene.engine.go_down()
    with pytest.raises(Unreachable):
        scene.read(cluster())


def test_our_replicas_are_compared_with_the_spec_they_are_named_after(scene: Scene) -> None:
    scene.run("prod-order-1")
    scene.engine.by_hand.update("prod-order-1", {"Memory": 64 * 2**20})
    (found,) = scene.read(cluster()).containers
    assert [each.field for each in found.differences] == ["memory"]


def test_without_etcd_our_replicas_are_still_seen(scene: Scene) -> None:
    scene.run("prod-order-1")
    (found,) = scene.read(None).containers
    assert (found.name, found.status, found.differences) == ("prod-order-1", "running", ())


def test_what_is_not_ours_is_known_by_name_alone(scene: Scene) -> None:
    foreign = scene.engine.run_foreign("database")
    seen = scene.read(cluster())
    assert seen.containers == ()
    assert seen.foreign_names == (("database", foreign),)


def test_the_specs_of_what_runs_are_asked_for_next_time(scene: Scene) -> None:
    assert scene.reader.running_specs == frozenset()
    older = replace(SPEC, image="order:0.9.0")
    scene.run("prod-order-1")
    scene.run("prod-order-2", older, slot=2)
    scene.read(cluster())
    assert scene.reader.running_specs == {spec_hash(SPEC), spec_hash(older)}


def test_a_replica_that_is_being_worked_on_is_not_inspected(scene: Scene) -> None:
    scene.run("prod-order-1")
    scene.run("prod-order-2", slot=2)
    scene.engine.by_hand.update("prod-order-1", {"Memory": 1})
    scene.engine.by_hand.update("prod-order-2", {"Memory": 1})
    seen = scene.read(cluster(), busy=frozenset({"prod-order-1"}))
    assert [(each.name, each.locked_by_engine, bool(each.differences)) for each in seen.containers] == [
        ("prod-order-1", True, False),
        ("prod-order-2", False, True),
    ]


# ---- what is asked for


def test_only_a_manager_is_asked_for_nodes(scene: Scene) -> None:
    assert scene.read(cluster()).swarm.nodes is None
    assert "nodes" not in scene.engine.calls
    scene.init()
    nodes = scene.read(cluster()).swarm.nodes
    assert nodes is not None
    assert [each.hostname for each in nodes] == ["h1"]


@pytest.mark.parametrize(
    "answer", [Unreachable("The swarm does not have a leader."), Refused("This node is not a swarm manager.")]
)
def test_a_manager_whose_swarm_lists_no_nodes_is_seen_all_the_same(
    scene: Scene, answer: SwarmkeeperError
) -> None:
    scene.init()
    scene.run("prod-order-1")
    scene.engine.failures["nodes"] = answer
    seen = scene.read(cluster())
    assert seen.swarm.is_manager
    assert seen.swarm.nodes is None
    assert len(seen.containers) == 1


def test_of_several_networks_only_the_bridge_is_asked_for_its_endpoints(scene: Scene) -> None:
    scene.engine.create_bridge(BRIDGE)
    scene.engine.by_hand.create({"Image": "x"}, {"Id": "sha256:x", "Config": {}}, "guest")
    scene.engine.by_hand.connect("guest", GWBRIDGE, {})
    scene.engine.by_hand.start("guest")
    (bridge,) = scene.read(cluster()).bridges
    assert bridge.endpoints == ((scene.engine.by_hand.get("guest")["Id"], "guest"),)


def test_who_is_on_the_bridge_is_asked_after_who_runs_so_that_nobody_new_seems_to_lack_a_gateway(
    scene: Scene,
) -> None:
    scene.init()
    scene.read(cluster())

    asked = [each for each in scene.engine.calls if each in ("containers", "networks", "bridge_endpoints")]

    assert asked == ["containers", "networks", "bridge_endpoints"]


def test_every_container_is_seen_with_its_networks_ports_and_gateway_ours_or_not(scene: Scene) -> None:
    scene.init()
    scene.engine.create_network(NET)
    scene.run("prod-order-1", ON_NET)
    bindings = {"80/tcp": [{"HostIp": "", "HostPort": "8080"}]}
    theirs = scene.engine.run_foreign("theirs", NetworkMode="net", PortBindings=bindings)
    scene.engine.run_foreign("aside", NetworkMode="net")
    scene.engine.by_hand.connect("aside", "bridge", {})
    scene.engine.by_hand.pause("theirs")
    stopped = scene.engine.run_foreign("stopped", NetworkMode="net", PortBindings={})
    scene.engine.by_hand.end("stopped")

    seen = scene.read(cluster())

    (bridge,) = seen.bridges
    assert {each.name: (each.running, each.networks, each.ports) for each in seen.attached} == {
        "aside": (True, ("bridge", "net"), ()),
        "prod-order-1": (True, ("net",), ()),
        "stopped": (False, ("net",), ()),
        "theirs": (True, ("net",), ("8080/tcp",)),
    }
    having = {whose for whose, _ in bridge.endpoints}
    assert having == {scene.engine.by_hand.get("prod-order-1")["Id"], theirs, "ingress-sbox"}
    assert stopped not in having


def test_a_container_lacks_its_gateway_only_when_it_still_does_a_second_later(scene: Scene) -> None:
    """One that ends has lost it before docker says that it has ended."""
    scene.init()
    scene.engine.create_network(NET)
    theirs = scene.engine.run_foreign("theirs", NetworkMode="net")
    assert scene.read(cluster()).settling == frozenset()
    (bridge,) = scene.read(cluster()).bridges
    scene.engine.release_endpoint(bridge.id, dict(bridge.endpoints)[theirs])

    seen = scene.read(cluster())
    assert seen.settling == {theirs}
    assert without_gateway(seen) == ()
    scene.now += 1.0
    seen = scene.read(cluster())
    assert seen.settling == frozenset()
    assert [each.id for each in without_gateway(seen)] == [theirs]


def test_a_container_that_keeps_exiting_does_not_lack_its_gateway(scene: Scene) -> None:
    """Each look may find it as it ends. It has had a gateway in between: nothing is to be moved."""
    scene.init()
    scene.engine.create_network(NET)
    scene.run("prod-order-1", ON_NET)
    raw = scene.engine.by_hand.get("prod-order-1")
    (bridge,) = scene.read(cluster()).bridges
    scene.engine.release_endpoint(bridge.id, dict(bridge.endpoints)[raw["Id"]])

    for second in range(5):
        raw["State"] |= {"StartedAt": f"2026-11-29T12:00:0{second}Z"}
        raw["RestartCount"] = second
        assert without_gateway(scene.read(cluster())) == ()
        scene.now += 1.0
    assert [each.name for each in without_gateway(scene.read(cluster()))] == ["prod-order-1"]


def test_a_container_that_does_not_run_but_has_a_gateway_may_be_starting_for_ten_seconds(
    scene: Scene,
) -> None:
    scene.init()
    scene.engine.create_network(NET)
    theirs = scene.engine.run_foreign("theirs", NetworkMode="net")
    scene.engine.by_hand.get("theirs")["State"] |= {"Status": "created", "Running": False}

    assert scene.read(cluster()).settling == {theirs}
    scene.now += 9.9
    assert scene.read(cluster()).settling == {theirs}
    scene.now += 0.2
    assert scene.read(cluster()).settling == frozenset()


def test_only_images_of_declared_services_and_assigned_replicas_are_looked_for(scene: Scene) -> None:
    database = ContainerSpec(image="database:5")
    specs = {spec_hash(each): each for each in (SPEC, database)}
    for each in specs.values():
        scene.engine.load_image(each.image)
    for assigned in (
        {},
        {"assignment": None},
    ):  # a drained host still has the image, and a plan pulls it no more
        assert scene.read(cluster(specs=specs, **assigned)).images == {"order:1.0.0"}
    empty = replace(WANTED, services=())
    assert scene.read(cluster_of(empty, specs=specs, assignment=None)).images == frozenset()


def test_volumes_are_asked_for_only_where_the_intent_has_some(scene: Scene) -> None:
    scene.engine.volume_names.add("data")
    assert scene.read(cluster()).volumes == frozenset()
    assert "volumes" not in scene.engine.calls
    with_volume = replace(WANTED, volumes=(VolumeIntent(key="data", name="data"),))
    assert scene.read(cluster_of(with_volume)).volumes == {"data"}


def test_an_active_membership_is_believed_for_a_moment_and_one_that_comes_is_looked_for_each_time(
    scene: Scene,
) -> None:
    scene.read(cluster())
    scene.read(cluster())
    assert "info" in scene.engine.calls
    scene.init()
    assert scene.read(cluster()).swarm.local == "active"
    for passed_s, asked in ((0.5, False), (1.4, False), (0.2, True), (1.9, False)):
        scene.now += passed_s
        scene.read(cluster())
        assert ("info" in scene.engine.calls) == asked, passed_s


def test_a_node_list_that_is_refused_makes_the_membership_be_looked_at_again(scene: Scene) -> None:
    scene.init()
    scene.read(cluster())
    scene.engine.failures["nodes"] = Refused("This node is not a swarm manager.")
    assert scene.read(cluster()).swarm.nodes is None
    scene.read(cluster())
    assert "info" in scene.engine.calls


NET = replace(OVERLAY, name="net")
ON_NET = ContainerSpec(image="order:1.0.0", networks=(Attachment(network="net"),))


def overlay_asked(scene: Scene) -> list[str]:
    return [each for each in scene.engine.calls if each.startswith("overlay_")]


def test_the_peers_of_an_overlay_our_replicas_are_on_are_asked_for_every_ten_seconds(scene: Scene) -> None:
    scene.init()
    scene.engine.create_network(NET)
    scene.read(cluster(leader="h2"))
    assert overlay_asked(scene) == []
    scene.run("prod-order-1", ON_NET)
    for passed_s, asked in ((0.1, True), (5.0, False), (4.9, False), (0.2, True), (9.9, False)):
        scene.now += passed_s
        seen = scene.read(cluster(leader="h2")).network("net")
        assert seen is not None
        assert seen.peers == ("10.0.0.1",)
        assert overlay_asked(scene) == (["overlay_peers"] if asked else []), passed_s


def test_while_a_host_has_the_disruption_slot_they_are_asked_for_at_each_look(scene: Scene) -> None:
    scene.init()
    scene.engine.create_network(NET)
    scene.run("prod-order-1", ON_NET)
    disruption = Disruption(host="h2", state="acquired", reason="r", quorum=True)
    for _ in range(3):
        scene.read(cluster(leader="h2", disruption=disruption))
        assert overlay_asked(scene) == ["overlay_peers"]


def test_who_uses_an_overlay_of_ours_is_asked_by_the_leader_and_at_each_look_while_it_is_to_be_changed(
    scene: Scene,
) -> None:
    scene.init()
    scene.engine.create_network(NET)
    scene.engine.by_hand.create({"Image": "x"}, {"Id": "sha256:x", "Config": {}}, "guest")
    scene.engine.by_hand.connect("guest", "net", {})
    guest = scene.engine.by_hand.start("guest")["Id"]
    moved = replace(WANTED, networks=(replace(NET, subnet=IPv4Network("10.99.0.0/16")),))
    assert overlay_asked(scene) == []
    scene.read(cluster(leader="h2"))
    assert overlay_asked(scene) == []
    for state, asked in ((cluster(), True), (cluster(), False), (cluster_of(moved), True)):
        seen = scene.read(state).network("net")
        assert seen is not None
        assert [what for what, _ in seen.users] == [guest]
        assert (overlay_asked(scene) == ["overlay_users"]) == asked
    scene.read(cluster_of(moved))
    assert overlay_asked(scene) == ["overlay_users"]


def test_who_has_which_address_is_asked_by_the_leader_where_addresses_are_pinned(scene: Scene) -> None:
    scene.init()
    scene.engine.create_network(NET)
    scene.engine.by_hand.create({"Image": "x"}, {"Id": "sha256:x", "Config": {}}, "guest")
    scene.engine.by_hand.connect("guest", "net", {"IPAMConfig": {"IPv4Address": "10.10.0.7"}})
    guest = scene.engine.by_hand.start("guest")["Id"]
    on_it = replace(SPEC, network_mode=None, networks=(Attachment(network="net"),))
    pinning = intent(service(spec=on_it), policy=PolicyIntent(reserve_addresses=True))

    def holders(state: ClusterState) -> GivenOut | None:
        seen = scene.read(state).network("net")
        assert seen is not None
        return seen.address_users

    assert (holders(cluster()), holders(cluster_of(pinning, leader="h2"))) == (None, None)
    told = holders(cluster_of(pinning))
    assert told is not None
    assert [(address, what) for address, what, _ in told] == [("10.10.0.7", guest)]
    scene.now += 60.0
    scene.engine.failures["overlay_addresses"] = Unreachable("The swarm does not have a leader.")
    assert holders(cluster_of(pinning)) is None


def test_an_overlay_that_others_made_is_not_looked_into(scene: Scene) -> None:
    scene.init()
    scene.engine.nets.managed().add_network(NET, ours=False)
    scene.read(cluster())
    assert overlay_asked(scene) == []


def test_a_swarm_that_does_not_say_who_uses_an_overlay_is_asked_again(scene: Scene) -> None:
    scene.init()
    scene.engine.create_network(NET)
    scene.engine.failures["overlay_users"] = Unreachable("The swarm does not have a leader.")
    seen = scene.read(cluster()).network("net")
    assert seen is not None
    assert seen.users == ()
    scene.read(cluster())
    assert overlay_asked(scene) == ["overlay_users"]


def test_a_worker_knows_the_pool_of_its_swarm_from_the_record(scene: Scene) -> None:
    first = FakeEngine("h2", "10.0.0.2", scene.lan, cluster="prod")
    first.init_swarm(advertise="10.0.0.2", pool=POOL, mask_length=24, data_path_port=None)
    scene.engine.join_swarm(
        advertise="10.0.0.1", remotes=["10.0.0.2:2377"], token=first.swarm_tokens().worker
    )
    assert first.info().swarm.pool == POOL
    assert scene.read(cluster(record=record(pool=("10.200.0.0/16",)))).swarm.pool == POOL
    assert scene.read(cluster(record=record())).swarm.pool == ()
    assert scene.read(cluster(record=record(pool=("unreadable",)))).swarm.pool == ()


def test_a_host_that_has_just_come_into_the_swarm_says_how_long_it_should_keep_off_the_overlays(
    scene: Scene,
) -> None:
    assert scene.read(cluster()).settles_in_s == 0.0
    scene.init()
    assert scene.read(cluster()).settles_in_s == pytest.approx(0.6)
    scene.now += 0.5
    assert scene.read(cluster()).settles_in_s == pytest.approx(0.1)
    scene.now += 0.2
    assert scene.read(cluster()).settles_in_s == 0.0


# ---- membership


def worker(scene: Scene, certificate: NodeCertificate | None) -> HostReader:
    """h1 becomes a worker of another host's swarm; the reader that finds this certificate on its disk."""
    other = FakeEngine("h2", "10.0.0.2", scene.lan, cluster="prod")
    other.init_swarm(advertise="10.0.0.2", pool=POOL, mask_length=24, data_path_port=None)
    token = other.swarm_tokens().worker
    scene.engine.join_swarm(advertise="10.0.0.1", remotes=["10.0.0.2:2377"], token=token)
    return HostReader(scene.engine, StillKernel(), "h1", lambda: scene.now, lambda _root: certificate)


def test_a_worker_knows_its_swarm_by_the_certificate_of_its_node(scene: Scene) -> None:
    worker(scene, None)
    mine = scene.engine.info().swarm.node_id
    assert mine is not None
    found = NodeCertificate(swarm_id="swarm-x", node_id=mine)
    reader = HostReader(scene.engine, StillKernel(), "h1", lambda: scene.now, lambda _root: found)
    assert reader.read(cluster()).swarm.swarm_id == "swarm-x"


def test_without_a_certificate_or_with_another_nodes_a_worker_does_not_know_its_swarm(scene: Scene) -> None:
    assert worker(scene, None).read(cluster()).swarm.swarm_id is None
    stale = NodeCertificate(swarm_id="swarm-x", node_id="node-before")
    reader = HostReader(scene.engine, StillKernel(), "h1", lambda: scene.now, lambda _root: stale)
    assert reader.read(cluster()).swarm.swarm_id is None


def test_after_a_step_has_changed_the_membership_it_is_asked_again(scene: Scene) -> None:
    reader = worker(scene, None)
    assert reader.read(cluster()).swarm.local == "active"
    scene.engine.leave_swarm()
    scene.now += 0.1
    assert reader.read(cluster()).swarm.local == "active"  # believed for a while
    reader.forget()
    scene.now += 0.1
    assert reader.read(cluster()).swarm.local == "inactive"


def test_the_tokens_that_are_good_are_asked_for_by_who_leads_while_some_are_published(scene: Scene) -> None:
    scene.init()
    assert scene.read(cluster()).swarm.tokens is None
    published = Tokens(swarm_id="s", worker="w", manager="m")
    assert scene.read(cluster(tokens=published, leader="h2")).swarm.tokens is None
    assert scene.read(cluster(tokens=published)).swarm.tokens == scene.engine.swarm_tokens()
    scene.engine.failures["swarm_tokens"] = Unreachable("The swarm does not have a leader")
    assert scene.read(cluster(tokens=published)).swarm.tokens is None


def test_a_join_that_goes_on_in_the_background_is_looked_at_again_soon(scene: Scene) -> None:
    scene.engine.stuck = SwarmState(local="pending")
    assert scene.read(cluster()).settles_in_s == 2.0
    scene.engine.stuck = SwarmState(local="error", error="no route to host")
    assert scene.read(cluster()).settles_in_s == 0.0


def test_how_long_a_replica_has_run_is_counted_from_when_it_is_first_seen_to(scene: Scene) -> None:
    def up_s(*busy: str) -> float:
        return scene.read(cluster(), frozenset(busy)).containers[0].up_s

    scene.run("prod-order-1")
    assert up_s() == 0.0
    scene.now += 4.0
    assert up_s() == 4.0
    up_s("prod-order-1")  # only listed meanwhile, as a step is working on it
    scene.now += 3.0
    assert up_s() == 7.0
    scene.engine.by_hand.end("prod-order-1")
    scene.engine.start("prod-order-1")
    assert up_s() == 0.0


def test_a_replica_is_steady_once_it_has_run_for_the_monitor_of_its_service(scene: Scene) -> None:
    scene.reader = HostReader(scene.engine, StillKernel(), "h1", lambda: scene.now, wall=lambda: scene.now)

    def steady() -> tuple[bool, float]:
        (found,) = scene.read(cluster()).containers
        return found.steady, found.steady_in_s

    scene.run("prod-order-1")
    assert steady() == (False, 5.0)
    scene.now += 4.0
    assert steady() == (False, 1.0)
    scene.now += 1.0
    assert steady() == (True, 0.0)
    scene.engine.by_hand.end("prod-order-1")
    assert steady() == (False, 0.0)
    scene.engine.start("prod-order-1")
    assert steady() == (False, 5.0)


def test_a_new_run_of_the_agent_knows_from_docker_what_is_steady(scene: Scene) -> None:
    scene.run("prod-order-1")
    began = datetime.fromisoformat(scene.read(cluster()).containers[0].started_at).timestamp()

    def steady_after(seconds: float) -> bool:
        wall = began + seconds
        reader = HostReader(scene.engine, StillKernel(), "h1", lambda: scene.now, wall=lambda: wall)
        return reader.read(cluster()).containers[0].steady

    assert steady_after(5.0)
    assert not steady_after(4.9)
    assert not steady_after(-60.0), "the clock was set back"


def test_every_container_is_inspected_anew_from_time_to_time(scene: Scene) -> None:
    def believed() -> bool:
        scene.reader.read(None)
        return scene.engine.believed[-1]

    assert believed()
    scene.now += INSPECT_S - 1
    assert believed()
    scene.now += 1
    assert not believed()
    assert believed()
