"""Two engines become one swarm: in memory, and as two dockerds with a cable between them."""

import contextlib
import os
from collections.abc import Iterator
from ipaddress import IPv4Address, IPv4Network

import pytest

from agent.clients.engine import DockerEngine, Engine
from agent.errors import Refused, Unreachable
from agent.model.intent import NetworkIntent
from tests.contract.engines import CLUSTER
from tests.docker_daemon import ADDRESS, DockerDaemon, running
from tests.etcd_server import eventually
from tests.fake_engine import FakeEngine
from tests.fake_swarm import FakeLan

OTHER = "10.99.0.2"
FIRST = f"{ADDRESS}:2377"
DEAD = "127.0.0.1:1"
KINDS = ["in memory", "dockerd"] if os.geteuid() == 0 else ["in memory"]


@contextlib.contextmanager
def _two_dockerds(tmp: pytest.TempPathFactory) -> Iterator[tuple[Engine, Engine]]:
    with contextlib.ExitStack() as stack:
        daemons = [DockerDaemon(tmp.mktemp("pair"), address=address) for address in (ADDRESS, OTHER)]
        for each in daemons:
            stack.enter_context(running(each))
        daemons[0].link_to(daemons[1])
        first, second = (stack.enter_context(DockerEngine(each.url, 10.0, CLUSTER)) for each in daemons)
        yield first, second


@pytest.fixture(scope="module", params=KINDS)
def swarm(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Engine, Engine]]:
    """A manager, and an engine outside that can reach it."""
    if request.param == "in memory":
        lan = FakeLan()
        pair: contextlib.AbstractContextManager[tuple[Engine, Engine]] = contextlib.nullcontext(
            (FakeEngine("host-1", ADDRESS, lan), FakeEngine("host-2", OTHER, lan))
        )
    else:
        pair = _two_dockerds(tmp_path_factory)
    with pair as (first, second):
        pool = (IPv4Network("10.200.0.0/16"),)
        first.init_swarm(advertise=ADDRESS, pool=pool, mask_length=24, data_path_port=None)
        yield first, second


def test_a_worker_joins_through_the_one_manager_that_answers(swarm: tuple[Engine, Engine]) -> None:
    first, second = swarm
    token = first.swarm_tokens().worker
    with pytest.raises(Unreachable, match="no manager answers"):
        second.join_swarm(advertise=OTHER, remotes=[DEAD], token=token)

    second.join_swarm(advertise=OTHER, remotes=[DEAD, FIRST], token=token)

    manager, worker = first.info().swarm, second.info().swarm
    assert (worker.local, worker.is_manager, worker.address) == ("active", False, OTHER)
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
