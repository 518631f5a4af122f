"""Two engines become one swarm: in memory, and as two dockerds with a cable between them."""

from collections.abc import Iterator
from ipaddress import IPv4Address, IPv4Network

import pytest

from agent.clients.docker import Engine
from agent.errors import Refused, Unreachable
from agent.model.intent import NetworkIntent
from tests.contract.engines import CLUSTER
from tests.contract.pairs import KINDS, OTHER, swarm_and_outsider
from tests.support.docker_daemon import ADDRESS
from tests.support.etcd_server import eventually

FIRST = f"{ADDRESS}:2377"
DEAD = "127.0.0.1:1"


@pytest.fixture(scope="module", params=KINDS)
def swarm(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Engine, Engine]]:
    """A manager, and an engine outside that can reach it."""
    with swarm_and_outsider(request.param, tmp_path_factory.mktemp("join")) as pair:
        yield pair.first, pair.second


def test_a_worker_joins_through_the_one_manager_that_answers(swarm: tuple[Engine, Engine]) -> None:
    first, second = swarm
    token = first.swarm_tokens().worker
    with pytest.raises(Unreachable, match="no manager answers"):
        second.join_swarm(advertise=OTHER, remotes=[DEAD], token=token)

    second.join_swarm(advertise=OTHER, remotes=[DEAD, FIRST], token=token)

    manager, worker = first.info().swarm, second.info().swarm
    assert (worker.local, worker.is_manager, worker.address) == ("active", False, OTHER)
    # Where it joined is the agent's own knowledge: dockerd asks there again, and tells nobody.
    assert (manager.joined_through, worker.joined_through) == ("", FIRST)
    # A worker is not told which swarm it is in, but who manages it.
    assert worker.swarm_id is None
    eventually(lambda: second.info().swarm.managers == ((manager.node_id, FIRST),), 10.0)
    roles = {each.id: (each.role, each.address) for each in first.nodes()}
    assert roles == {manager.node_id: ("manager", ADDRESS), worker.node_id: ("worker", OTHER)}


def test_only_a_manager_has_tokens_and_makes_overlays(swarm: tuple[Engine, Engine]) -> None:
    first, second = swarm
    overlay = NetworkIntent(
        key="ov", name="ov", driver="overlay", subnet=IPv4Network("10.10.0.0/16"), gateway=IPv4Address("10.10.0.254")
    )  # fmt: skip

    with pytest.raises(Refused):
        second.swarm_tokens()
    with pytest.raises(Refused):
        second.create_network(overlay)
    first.create_network(overlay)

    assert "ov" in {each.name for each in first.networks()}
    # Until a container of its own is on it, a worker does not list an overlay.
    assert "ov" not in {each.name for each in second.networks()}


def test_a_node_is_known_by_its_id_and_only_to_managers(swarm: tuple[Engine, Engine]) -> None:
    first, second = swarm
    worker = second.info().swarm.node_id
    assert worker

    assert first.has_node(worker)
    assert not first.has_node("0" * 25)
    with pytest.raises(Refused):
        second.has_node(worker)


def test_a_manager_does_not_leave_and_a_worker_leaves_once(swarm: tuple[Engine, Engine]) -> None:
    first, second = swarm
    with pytest.raises(Refused, match="participating as a manager"):
        first.leave_swarm()

    second.leave_swarm()
    second.leave_swarm()

    assert first.info().swarm.local == "active"
    left = second.info().swarm
    assert (left.local, left.node_id, left.managers) == ("inactive", None, ())
    second.join_swarm(advertise=OTHER, remotes=[FIRST], token=first.swarm_tokens().worker)
    assert second.info().swarm.local == "active"


def test_a_swarm_is_dissolved_only_where_it_is_empty_and_was_made_for_this_cluster(
    swarm: tuple[Engine, Engine],
) -> None:
    """docker asks for force where the last manager leaves: so this door looks at all that would be gone."""
    used, outside = swarm
    with pytest.raises(Refused, match="not empty"):
        used.dissolve_swarm(used.swarm_tokens().swarm_id)
    outside.leave_swarm()
    outside.init_swarm(
        advertise=OTHER, pool=(IPv4Network("10.201.0.0/16"),), mask_length=24, data_path_port=None
    )
    made = outside.info().swarm
    assert made.made_here
    assert made.cluster == CLUSTER
    assert made.swarm_id

    with pytest.raises(Refused, match="not the one to dissolve"):
        outside.dissolve_swarm("0" * 25)
    outside.create_network(NetworkIntent(key="own", name="own", driver="overlay"))
    with pytest.raises(Refused, match="not empty"):
        outside.dissolve_swarm(made.swarm_id)
    (own,) = [each.id for each in outside.networks() if each.name == "own"]
    outside.remove_network(own)
    outside.dissolve_swarm(made.swarm_id)

    assert outside.info().swarm.local == "inactive"
    assert used.info().swarm.local == "active"
    outside.join_swarm(advertise=OTHER, remotes=[FIRST], token=used.swarm_tokens().worker)
    assert outside.info().swarm.local == "active"


def test_a_token_that_was_rotated_is_refused_and_leaves_the_engine_outside(
    swarm: tuple[Engine, Engine],
) -> None:
    first, second = swarm
    second.leave_swarm()
    token = first.swarm_tokens().worker
    first.rotate_tokens()
    with pytest.raises(Refused, match="A valid join token is necessary"):
        second.join_swarm(advertise=OTHER, remotes=[FIRST], token=token)
    assert second.info().swarm.local == "inactive"
