"""Who is on an overlay, and what it takes to recreate one: two managers, in memory and as two dockerds."""

import threading
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from ipaddress import IPv4Address, IPv4Network

import pytest

from agent.clients.docker import Engine, OverlayPeers
from agent.diff.container import FillContext, create_request
from agent.errors import Conflict, Refused, SwarmkeeperError, Unreachable
from agent.model.host_state import ContainerState, NetworkState
from agent.model.intent import NetworkIntent
from agent.model.records import Replica
from agent.model.spec import Attachment, ContainerSpec, spec_hash
from tests.contract.engines import CLUSTER, checks_names
from tests.contract.pairs import KINDS, OTHER, swarm_and_outsider
from tests.support.docker_daemon import ADDRESS, BARE
from tests.support.etcd_server import eventually

NET = NetworkIntent(
    key="ov",
    name="ov",
    driver="overlay",
    subnet=IPv4Network("10.10.0.0/16"),
    gateway=IPv4Address("10.10.0.254"),
)
MOVED = replace(NET, subnet=IPv4Network("10.11.0.0/16"), gateway=IPv4Address("10.11.0.1"))
SPEC = ContainerSpec(
    image=BARE,
    command=("sleep", "1000"),
    stop_signal="SIGKILL",
    networks=(Attachment(network="ov", aliases=("x",)),),
)
Pair = tuple[Engine, Engine]
GONE_S = 15.0
PINNED, OTHERS = "10.10.255.254", "10.10.255.253"
NAMES = ("prod-order-1", "prod-order-2")


@pytest.fixture(scope="module", params=KINDS)
def members(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    """The two managers of a swarm."""
    home = tmp_path_factory.mktemp("overlays")
    with swarm_and_outsider(request.param, home, images=True) as (first, second, _):
        token = first.swarm_tokens().manager
        second.join_swarm(advertise=OTHER, remotes=[f"{ADDRESS}:2377"], token=token)
        # Docker calls it a manager before raft has heard of it.
        eventually(lambda: all(each.reachable for each in first.nodes()) and len(second.nodes()) == 2, 20.0)
        yield first, second


@pytest.fixture
def pair(members: Pair) -> Iterator[Pair]:
    """The same, with nothing on it after each test."""
    yield members
    for engine in members:
        for each in ours(engine):
            engine.stop(each.id, 0.0)
            engine.remove_container(each.id)
    eventually(lambda: removed(members[0]), GONE_S)


def removed(engine: Engine) -> bool:
    if found := network(engine):
        try:
            engine.remove_network(found.id)
        except (Refused, Unreachable):
            return False
    return network(engine) is None


def network(engine: Engine) -> NetworkState | None:
    return next((each for each in engine.networks() if each.name == "ov"), None)


def the_network(engine: Engine) -> NetworkState:
    found = network(engine)
    assert found is not None
    return found


def context(replica: Replica) -> FillContext:
    return FillContext(host="h", service=replica.service, slot=replica.slot)


def pinned(replica: Replica, address: str) -> FillContext:
    return replace(context(replica), reserved=(("ov", address),))


def ours(engine: Engine) -> tuple[ContainerState, ...]:
    return engine.containers({spec_hash(SPEC): SPEC}, context).ours


def run(engine: Engine, slot: int) -> str:
    """A replica of ours on the overlay, running."""
    replica = Replica(service="order", slot=slot, spec=spec_hash(SPEC))
    made = engine.create_container(
        create_request(SPEC, replica, project="prod", cluster=CLUSTER, name=NAMES[slot - 1])
    )
    start(engine, made)
    return made


def start(engine: Engine, container: str) -> None:
    """As the agent does: again, when the network is not ready on this host yet."""

    def started() -> bool:
        try:
            engine.start(container)
        except Unreachable:
            return False
        return True

    eventually(started, 60.0)


def sees_both(engine: Engine, overlay: str) -> bool:
    return engine.overlay_peers(overlay).peers == (ADDRESS, OTHER)


def test_what_an_agent_makes_is_ours_for_every_manager_of_its_cluster(pair: Pair) -> None:
    pair[0].create_network(NET)

    eventually(lambda: network(pair[1]) is not None, 10.0)
    assert the_network(pair[0]).ours
    assert the_network(pair[1]).ours
    assert [each.ours for each in pair[0].networks() if each.name == "ingress"] in ([], [False])


@pytest.mark.parametrize("_round", range(5))
def test_of_two_managers_that_create_it_at_once_both_succeed_and_there_is_one(
    pair: Pair, _round: int
) -> None:
    together, failed = threading.Barrier(2), []

    def create(engine: Engine) -> None:
        together.wait()
        try:
            engine.create_network(NET)
        except SwarmkeeperError as error:
            failed.append(error)

    threads = [threading.Thread(target=create, args=(each,)) for each in pair]
    for each in threads:
        each.start()
    for each in threads:
        each.join()

    # Who was too late may be told so before it can see what the other made; its next look finds it.
    assert all(isinstance(each, Conflict) for each in failed)
    assert len(failed) < 2
    for engine in pair:
        eventually(partial(network, engine), 10.0)
        assert [each.subnet for each in engine.networks() if each.name == "ov"] == [NET.subnet]
        engine.create_network(NET)


def test_as_long_as_a_container_anywhere_is_on_it_it_is_not_removed_and_the_swarm_says_whose(
    pair: Pair,
) -> None:
    first, second = pair
    first.create_network(NET)
    made = run(second, 2)
    (node,) = (each.id for each in first.nodes() if each.address == OTHER)
    overlay = the_network(first).id

    assert first.overlay_users(overlay) == ((made, node),)
    with pytest.raises(Refused, match="in use by task"):
        first.remove_network(overlay)

    second.stop(made, 0.0)
    eventually(lambda: first.overlay_users(overlay) == (), GONE_S)
    first.remove_network(overlay)
    assert network(first) is None


def test_the_swarm_says_who_has_which_address_until_the_container_is_gone(pair: Pair) -> None:
    first, second = pair
    first.create_network(NET)
    (node,) = (each.id for each in first.nodes() if each.address == OTHER)
    overlay = the_network(first).id
    asked = replace(SPEC, networks=(replace(SPEC.networks[0], reserved=PINNED),))
    replica = Replica(service="order", slot=2, spec=spec_hash(SPEC))
    request = create_request(asked, replica, project="prod", cluster=CLUSTER, name=NAMES[1])
    made = second.create_container(request)
    start(second, made)

    assert first.overlay_addresses(overlay) == ((PINNED, made, node),)
    (found,) = second.containers({spec_hash(SPEC): SPEC}, lambda replica: pinned(replica, PINNED)).ours
    assert (dict(found.addresses)["ov"], found.differences) == (PINNED, ())
    (found,) = second.containers({spec_hash(SPEC): SPEC}, lambda replica: pinned(replica, OTHERS)).ours
    assert [(each.repair, each.subject) for each in found.differences] == [("reconnect", "ov")]

    second.stop(made, 0.0)
    eventually(lambda: first.overlay_addresses(overlay) == (), GONE_S)


def test_each_host_on_it_hears_of_the_other_and_of_its_leaving(pair: Pair) -> None:
    first, second = pair
    first.create_network(NET)
    overlay = the_network(first).id
    assert first.overlay_peers(overlay) == OverlayPeers()
    run(first, 1)
    made = run(second, 2)

    for engine in pair:
        eventually(partial(sees_both, engine, overlay), 30.0)
    own = {engine.overlay_peers(overlay).own_address for engine in pair}
    assert len(own) == 2
    assert own.isdisjoint({"", *(address for address, *_ in first.overlay_addresses(overlay))})
    second.stop(made, 0.0)
    eventually(lambda: first.overlay_peers(overlay).peers == (ADDRESS,), GONE_S)
    eventually(lambda: second.overlay_peers(overlay) == OverlayPeers(), GONE_S)


def test_a_network_that_is_not_there_has_no_peers_and_no_users(pair: Pair) -> None:
    assert pair[0].overlay_peers("none") == OverlayPeers()
    assert pair[0].overlay_users("none") == ()
    assert pair[0].overlay_addresses("none") == ()


def test_a_replica_that_was_on_one_that_was_recreated_starts_when_it_is_reconnected(pair: Pair) -> None:
    first, second = pair
    first.create_network(NET)
    made = run(second, 2)
    second.stop(made, 0.0)
    eventually(lambda: removed(first), GONE_S)
    first.create_network(MOVED)

    with pytest.raises(Unreachable, match="not found"):
        second.start(made)
    (found,) = ours(second)
    (difference,) = found.differences
    assert (difference.repair, difference.subject) == ("reconnect", "ov")

    second.disconnect(made, "ov")
    second.connect(made, SPEC.networks[0], ("order", "x"))
    start(second, made)

    (healed,) = ours(second)
    assert (healed.id, healed.status, healed.differences) == (made, "running", ())
    assert IPv4Address(dict(healed.addresses)["ov"]) in IPv4Network("10.11.0.0/16")


def test_a_replica_that_does_not_run_is_taken_off_where_the_overlay_is_not_known_any_more(pair: Pair) -> None:
    first, second = pair
    first.create_network(NET)
    made = run(second, 2)
    second.stop(made, 0.0)
    eventually(lambda: removed(first), GONE_S)

    second.disconnect(made, "ov")

    (off,) = ours(second)
    assert off.addresses == ()
    assert [each.found for each in off.differences] == ["nothing"]


def named(engine: Engine) -> list[NetworkState]:
    """The networks with the name of the overlay."""
    return [each for each in engine.networks() if each.name == NET.name]


LOCAL = NetworkIntent(
    key="ov",
    name="ov",
    driver="bridge",
    attachable=False,
    subnet=IPv4Network("172.30.0.0/16"),
    gateway=IPv4Address("172.30.0.1"),
)


def test_an_overlay_is_created_beside_a_local_network_of_its_name_which_gets_the_containers(
    pair: Pair,
) -> None:
    """Names do not identify networks: the ids of the endpoints do."""
    first, second = pair
    first.create_network(LOCAL)
    if checks_names(first):
        with pytest.raises(Conflict, match="already exists"):
            first.create_network(NET)
        second.create_network(NET)
    else:
        first.create_network(NET)

    eventually(lambda: len(named(first)) == 2, GONE_S)
    found = {(each.driver, each.scope): each.id for each in named(first)}
    assert found.keys() == {("bridge", "local"), ("overlay", "swarm")}
    local, overlay = found["bridge", "local"], found["overlay", "swarm"]
    made = run(first, 1)
    (replica,) = ours(first)
    assert dict(replica.network_ids) == {"ov": local}

    first.stop(made, 0.0)
    first.disconnect(made, local)
    assert [each.network_ids for each in ours(first)] == [()]
    first.remove_network(local)
    assert [each.id for each in named(first)] == [overlay]
    first.connect(made, SPEC.networks[0], ("x",))
    start(first, made)
    assert [dict(each.network_ids) for each in ours(first)] == [{"ov": overlay}]


def test_a_local_network_made_later_leaves_the_replicas_on_their_overlay(pair: Pair) -> None:
    first, second = pair
    first.create_network(NET)
    overlay = the_network(first).id
    made = run(second, 2)
    with pytest.raises((Conflict, Refused)):
        second.create_network(LOCAL)

    second.stop(made, 0.0)
    start(second, made)
    assert [dict(each.network_ids) for each in ours(second)] == [{"ov": overlay}]
