"""What a change of docker_gwbridge under running containers rests on: where an engine puts a container's gateway."""

from dataclasses import replace
from ipaddress import IPv4Address, IPv4Network
from types import SimpleNamespace
from typing import NamedTuple

import pytest

from agent.admission import Gate
from agent.apply import apply
from agent.clients.docker import Engine
from agent.diff.bridge import form_of, mark_of, refused_form
from agent.diff.container import FillContext
from agent.errors import Conflict, Refused, Unreachable
from agent.model.host_state import Attached, NetworkState
from agent.model.intent import GWBRIDGE, PARKING, BridgeIntent, NetworkIntent
from agent.model.records import Replica
from agent.model.steps import CreateParking, SwapBridge
from agent.planner.host.bridge_swap import plan_swap
from tests.contract.engines import Scene
from tests.support.builders import host, intent
from tests.support.etcd_server import eventually

WITHIN_S = 10.0
AGREED = BridgeIntent(
    subnet=IPv4Network("172.21.0.0/20"),
    gateway=IPv4Address("172.21.0.1"),
    options=(
        ("com.docker.network.bridge.enable_icc", "false"),
        ("com.docker.network.bridge.name", GWBRIDGE),
    ),
)
OVERLAY = NetworkIntent(key="shared", name="shared", driver="overlay", subnet=IPv4Network("10.10.0.0/16"))
# dockerd takes a name for the beginning of an id as well: a short one would now and then be that of another network.
PLACE = NetworkIntent(
    key=PARKING,
    name=PARKING,
    driver="bridge",
    attachable=False,
    subnet=IPv4Network("192.168.252.0/22"),
    labels=(("io.swarmkeeper.parking", "true"),),
)


class Live(NamedTuple):
    """A member of a swarm whose docker_gwbridge dockerd made in its own way."""

    scene: Scene

    @property
    def engine(self) -> Engine:
        return self.scene.engine

    def bridge(self) -> NetworkState:
        (found,) = (each for each in self.engine.networks() if each.name == GWBRIDGE)
        return found

    def run(self, name: str, port: int | None = None, network: str = OVERLAY.name) -> str:
        return self.scene.run_foreign(name, port=port, network=network)

    def gateway(self, container: str, network: str = GWBRIDGE) -> list[str]:
        """Names of the endpoints that a container has on a network, as it is shown there."""
        return [name for whose, name in self.engine.bridge_endpoints(network) if whose == container]

    def attached(self, container: str) -> Attached:
        (found,) = (each for each in self.engine.containers({}, _nothing).attached if each.id == container)
        return found

    def release_all(self) -> None:
        """Take off docker_gwbridge whatever is there."""
        bridge = self.bridge()
        for _, name in self.engine.bridge_endpoints(bridge.id):
            self.engine.release_endpoint(bridge.id, name)


def _nothing(replica: Replica) -> FillContext:
    return FillContext(host="host-1", service=replica.service, slot=replica.slot)


@pytest.fixture
def live(scene: Scene) -> Live:
    pool = (IPv4Network("10.200.0.0/16"),)
    scene.engine.init_swarm(advertise=scene.address, pool=pool, mask_length=24, data_path_port=None)
    scene.engine.create_network(OVERLAY)
    live = Live(scene)
    ingress = ("ingress-sbox", "gateway_ingress-sbox")
    eventually(lambda: ingress in scene.engine.bridge_endpoints(GWBRIDGE), WITHIN_S)
    return live


# ---- where the gateway is


def test_a_bridge_that_dockerd_makes_itself_is_not_as_agreed(live: Live) -> None:
    made = live.bridge()

    assert made.subnet not in (None, AGREED.subnet)
    assert dict(made.options)["com.docker.network.bridge.enable_icc"] == "false"


def test_a_container_on_an_overlay_alone_has_its_gateway_on_the_bridge_until_it_ends(live: Live) -> None:
    guest = live.run("guest", port=8080)

    (name,) = live.gateway(guest)
    assert name.startswith("gateway_")
    assert live.attached(guest).networks == (OVERLAY.name,)
    assert live.attached(guest).ports == ("8080/tcp",)
    live.scene.end(guest)
    assert live.gateway(guest) == []
    assert (live.attached(guest).running, live.attached(guest).ports) == (False, ())
    assert live.attached(guest).networks == (OVERLAY.name,)


def test_a_container_with_a_bridge_of_its_own_has_no_gateway_there(live: Live) -> None:
    live.engine.create_network(PLACE)
    guest = live.run("guest", network=PARKING)
    live.scene.connect(guest, OVERLAY.name)

    assert live.gateway(guest) == []
    assert live.gateway(guest, PARKING) == ["guest"]
    assert live.attached(guest).networks == (OVERLAY.name, PARKING)


def test_a_container_attached_by_hand_is_there_under_its_own_name(live: Live) -> None:
    guest = live.run("guest", network=GWBRIDGE)

    assert live.gateway(guest) == ["guest"]


def test_of_a_network_that_is_not_there_nobody_is_told(live: Live) -> None:
    assert live.engine.bridge_endpoints("none at all") == ()


# ---- parking


def test_parking_moves_the_gateway_away_and_unparking_brings_it_back(live: Live) -> None:
    guest = live.run("guest", port=8080)
    live.engine.create_network(PLACE)

    live.engine.park(guest, PARKING)

    assert live.gateway(guest) == []
    assert live.gateway(guest, PARKING) == ["guest"]
    assert live.attached(guest).networks == (OVERLAY.name, PARKING)
    assert live.attached(guest).ports == ("8080/tcp",)

    live.engine.unpark(guest, PARKING)

    assert len(live.gateway(guest)) == 1
    assert live.attached(guest).networks == (OVERLAY.name,)
    assert live.attached(guest).ports == ("8080/tcp",)


def test_parking_and_unparking_twice_is_fine(live: Live) -> None:
    guest = live.run("guest")
    live.engine.create_network(PLACE)

    for act in (live.engine.park, live.engine.unpark):
        act(guest, PARKING)
        act(guest, PARKING)

    assert len(live.gateway(guest)) == 1
    live.engine.remove_network(PARKING)


def test_unparking_what_was_never_parked_or_has_no_place_any_more_changes_nothing(live: Live) -> None:
    guest = live.run("guest")
    live.engine.unpark(guest, PARKING)
    live.engine.create_network(PLACE)
    live.engine.unpark(guest, PARKING)

    assert len(live.gateway(guest)) == 1


def test_a_gateway_that_does_not_come_back_is_said(live: Live) -> None:
    guest = live.run("guest")
    live.engine.create_network(PLACE)
    live.engine.park(guest, PARKING)
    live.scene.connect(guest, "bridge")

    with pytest.raises(Conflict, match="did not return"):
        live.engine.unpark(guest, PARKING)
    assert live.attached(guest).networks == ("bridge", OVERLAY.name)


def test_without_its_place_nothing_can_be_parked(live: Live) -> None:
    guest = live.run("guest")

    with pytest.raises(Unreachable, match="not found"):
        live.engine.park(guest, PARKING)
    assert len(live.gateway(guest)) == 1


def test_a_container_that_is_gone_needs_neither(live: Live) -> None:
    guest = live.run("guest")
    live.engine.create_network(PLACE)
    live.scene.remove(guest)

    live.engine.park(guest, PARKING)
    live.engine.unpark(guest, PARKING)


def test_a_stopped_container_is_parked_for_when_it_starts_and_unparked_all_the_same(live: Live) -> None:
    guest = live.run("guest")
    live.engine.create_network(PLACE)
    live.scene.end(guest)

    live.engine.park(guest, PARKING)
    assert live.attached(guest).networks == (OVERLAY.name, PARKING)
    live.engine.start(guest)
    assert live.gateway(guest) == []
    live.scene.end(guest)
    live.engine.unpark(guest, PARKING)
    live.engine.start(guest)

    assert len(live.gateway(guest)) == 1
    assert live.attached(guest).networks == (OVERLAY.name,)


def test_a_paused_container_is_moved_and_stays_paused(live: Live) -> None:
    guest = live.run("guest", port=8080)
    live.engine.create_network(PLACE)
    live.scene.pause(guest)

    live.engine.park(guest, PARKING)
    assert (live.gateway(guest), live.attached(guest).running) == ([], True)
    live.engine.unpark(guest, PARKING)

    assert len(live.gateway(guest)) == 1
    live.engine.unpause(guest)
    assert live.attached(guest).running


# ---- the bridge itself


def test_a_bridge_that_somebody_is_on_is_not_removed(live: Live) -> None:
    live.run("guest")

    with pytest.raises(Conflict, match="has active endpoints"):
        live.engine.remove_network(live.bridge().id)


def test_a_released_endpoint_is_gone_and_to_release_it_again_is_fine(live: Live) -> None:
    bridge = live.bridge()

    for _ in range(2):
        live.engine.release_endpoint(bridge.id, "gateway_ingress-sbox")

    assert live.engine.bridge_endpoints(bridge.id) == ()
    live.engine.remove_network(bridge.id)
    live.engine.release_endpoint(bridge.id, "gateway_ingress-sbox")


def test_a_gateway_taken_off_by_force_comes_back_only_when_the_container_is_moved(live: Live) -> None:
    guest = live.run("guest", port=8080)
    live.release_all()
    assert live.gateway(guest) == []

    live.engine.create_network(PLACE)
    live.engine.park(guest, PARKING)
    live.engine.unpark(guest, PARKING)

    assert len(live.gateway(guest)) == 1
    assert live.attached(guest).ports == ("8080/tcp",)


def test_without_a_bridge_a_container_that_starts_makes_dockerd_make_one_of_its_own(live: Live) -> None:
    live.release_all()
    live.engine.remove_network(live.bridge().id)
    assert live.engine.bridge_endpoints(GWBRIDGE) == ()

    guest = live.run("guest")

    assert live.bridge().subnet != AGREED.subnet
    assert len(live.gateway(guest)) == 1


def test_a_bridge_nobody_is_on_falls_to_a_prune(live: Live) -> None:
    made = live.bridge()
    live.scene.prune()
    assert live.bridge() == made
    live.release_all()

    live.scene.prune()

    assert GWBRIDGE not in {each.name for each in live.engine.networks()}


def test_the_whole_change_moves_every_gateway_and_restarts_nobody(live: Live) -> None:
    guests = [live.run("web", port=8080), live.run("worker")]
    paused = live.run("paused")
    live.scene.pause(paused)
    aside = live.run("aside", network="bridge")
    live.scene.connect(aside, OVERLAY.name)
    old, started = live.bridge(), live.scene.started()
    moved = [*guests, paused]

    live.engine.create_network(PLACE)
    for each in moved:
        live.engine.park(each, PARKING)
    live.engine.release_endpoint(old.id, "gateway_ingress-sbox")
    live.engine.remove_network(old.id)
    live.engine.create_bridge(AGREED)
    for each in moved:
        live.engine.unpark(each, PARKING)
    live.engine.remove_network(PARKING)

    new = live.bridge()
    assert new.id != old.id
    assert (new.subnet, new.gateway, new.options) == (AGREED.subnet, str(AGREED.gateway), AGREED.options)
    assert {whose for whose, _ in live.engine.bridge_endpoints(new.id)} == set(moved)
    assert live.attached(guests[0]).ports == ("8080/tcp",)
    assert live.attached(aside).networks == ("bridge", OVERLAY.name)
    assert live.scene.started() == started
    assert PARKING not in {each.name for each in live.engine.networks()}


@pytest.mark.parametrize(
    "declared",
    [
        replace(AGREED, options=(*AGREED.options, ("com.docker.network.driver.mtu", "bogus"))),
        replace(AGREED, options=(("com.docker.network.bridge.enable_icc", "maybe"), *AGREED.options[1:])),
        replace(AGREED, options=(*AGREED.options, ("com.docker.network.bridge.default_bridge", "bogus"))),
    ],
)
def test_a_form_that_docker_refuses_leaves_the_bridge_as_it_was_with_the_refusal_on_it(
    live: Live, declared: BridgeIntent
) -> None:
    old = live.bridge()
    live.engine.release_endpoint(old.id, "gateway_ingress-sbox")
    assert old.subnet is not None
    before = BridgeIntent(subnet=old.subnet, gateway=IPv4Address(old.gateway), options=old.options)
    mark = mark_of(declared, host())
    step = SwapBridge(bridge=declared, old=(old.id,), release=(), before=before, mark=mark, reason="r")

    with pytest.raises(Refused, match="failed to parse"):
        apply(SimpleNamespace(engine=live.engine, gate=Gate()), step)  # type: ignore[arg-type]

    new = live.bridge()
    assert new.id != old.id
    assert (new.subnet, new.gateway, new.options) == (old.subnet, old.gateway, old.options)
    seen = host(networks=live.engine.networks())
    assert form_of(seen) == before
    kept = refused_form(declared, seen)
    assert kept is not None
    assert kept[0] == before
    assert "failed to parse" in kept[1]
    guest = live.run("web")
    assert live.gateway(guest)


def test_the_parking_network_is_refused_for_an_option_that_the_bridge_would_be_refused_for(
    live: Live,
) -> None:
    wanted = intent(
        gwbridge=replace(AGREED, options=(*AGREED.options, ("com.docker.network.driver.mtu", "bogus")))
    )
    web = live.run("web")
    bridge = replace(live.bridge(), endpoints=live.engine.bridge_endpoints(GWBRIDGE))
    others = tuple(each for each in live.engine.networks() if each.name != GWBRIDGE)
    seen = host(networks=(bridge, *others), attached=live.engine.containers({}, _nothing).attached)
    (first, *_) = plan_swap(wanted, seen, "").steps

    assert isinstance(first, CreateParking)
    with pytest.raises(Refused, match="failed to parse"):
        live.engine.create_network(first.network)
    assert live.gateway(web)
