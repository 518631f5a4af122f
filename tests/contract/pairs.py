"""Two engines of which the first has made a swarm: in memory, and as two dockerds with a cable between them."""

import contextlib
import os
from collections.abc import Callable, Iterator
from ipaddress import IPv4Network
from pathlib import Path
from typing import Any, NamedTuple

from agent.clients.docker import DockerEngine, Engine
from agent.errors import Stale
from tests.contract.engines import CLUSTER
from tests.fakes.engine import FakeEngine
from tests.fakes.swarm import FakeLan
from tests.support.docker_daemon import ADDRESS, BARE, DockerDaemon, load_images, running
from tests.support.etcd_server import eventually

OTHER = "10.99.0.2"
"""The address of the second one."""
KINDS = ["in memory", "dockerd"] if os.geteuid() == 0 else ["in memory"]


class Pair(NamedTuple):
    """Two engines that reach each other."""

    first: Engine
    second: Engine
    kill_first: Callable[[], None]


def ask(by: Engine, node_id: str, **wanted: Any) -> None:
    """Change a node; dockerd itself goes on changing one that takes on a role, so look at it again when need be."""

    def asked() -> bool:
        (version,) = (each.version for each in by.nodes() if each.id == node_id)
        with contextlib.suppress(Stale):
            by.update_node(node_id, version=version, **wanted)
            return True
        return False

    eventually(asked, 10.0, "the node is asked for something")


@contextlib.contextmanager
def swarm_and_outsider(kind: str, directory: Path, *, images: bool = False) -> Iterator[Pair]:
    """A manager, and an engine outside that can reach it; a dockerd lives in `directory`.

    With `images` both have those that containers can be made of.
    """
    with contextlib.ExitStack() as stack:
        pair = stack.enter_context(_dockerds(directory, images=images)) if kind == "dockerd" else _fakes()
        pool = (IPv4Network("10.200.0.0/16"),)
        pair.first.init_swarm(advertise=ADDRESS, pool=pool, mask_length=24, data_path_port=None)
        yield pair


def _fakes() -> Pair:
    lan = FakeLan()
    first, second = (FakeEngine(*each, lan, CLUSTER) for each in (("host-1", ADDRESS), ("host-2", OTHER)))
    for each in (first, second):
        each.load_image(BARE)
    return Pair(first, second, first.go_down)


@contextlib.contextmanager
def _dockerds(directory: Path, *, images: bool) -> Iterator[Pair]:
    with contextlib.ExitStack() as stack:
        daemons = [DockerDaemon(directory / address, address=address) for address in (ADDRESS, OTHER)]
        for each in daemons:
            stack.enter_context(running(each))
            if images:
                load_images(each)
        daemons[0].link_to(daemons[1])
        first, second = (
            stack.enter_context(contextlib.closing(DockerEngine(each.url, 10.0, CLUSTER))) for each in daemons
        )
        yield Pair(first, second, daemons[0].kill)
