"""An init that a real dockerd refuses for a local cause: the handover of the claim relies on the state after it."""

import contextlib
import os
import subprocess
import sys
from ipaddress import IPv4Network

import pytest

from agent.clients.docker import DockerEngine
from agent.errors import SwarmkeeperError
from tests.contract.engines import CLUSTER
from tests.support.docker_daemon import ADDRESS, DockerDaemon, running

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="starts dockerds")

LISTEN = "import socket; s = socket.create_server(('', 2377)); print('up', flush=True); input()"


def test_an_init_whose_port_is_taken_leaves_the_engine_outside_and_succeeds_once_it_is_free(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    daemon = DockerDaemon(tmp_path_factory.mktemp("init"))
    with contextlib.ExitStack() as stack:
        stack.enter_context(running(daemon))
        engine = stack.enter_context(contextlib.closing(DockerEngine(daemon.url, 10.0, CLUSTER)))

        def init() -> None:
            pool = (IPv4Network("10.200.0.0/16"),)
            engine.init_swarm(advertise=ADDRESS, pool=pool, mask_length=24, data_path_port=None)

        inside = ["nsenter", f"--net=/proc/{daemon.pid}/ns/net", sys.executable, "-c", LISTEN]
        with subprocess.Popen(inside, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as taker:
            assert taker.stdout is not None
            assert taker.stdout.readline() == "up\n"
            for _ in range(2):
                with pytest.raises(SwarmkeeperError, match="address already in use"):
                    init()
                assert engine.info().swarm.local == "inactive"
            taker.communicate("\n", timeout=10)
        init()
        assert engine.info().swarm.local == "active"
