"""How a real dockerd words a start that it refuses for an address or a port, which the agent has to tell apart."""

import contextlib
import subprocess
import sys
from collections.abc import Iterator

import docker
import pytest

from agent.diff.replicas import is_about_an_address
from agent.model.spec import Port
from agent.planner.host.replicas import plan_replicas
from tests.support.builders import cluster, container, host, intent, observed, order, service, told
from tests.support.docker_daemon import BARE, DockerDaemon

NET, TAKEN, PORT = "refused", "10.77.0.9", 8099
LISTEN = f"""
import socket
with socket.create_server(("0.0.0.0", {PORT})):
    print("listens", flush=True)
    input()
"""


@pytest.fixture
def hands(dockerd: DockerDaemon) -> Iterator[docker.APIClient]:
    """A client with a network of fixed addresses; what it makes is removed."""
    pool = docker.types.IPAMPool(subnet="10.77.0.0/24")
    with contextlib.closing(dockerd.client()) as client:
        client.create_network(NET, driver="bridge", ipam=docker.types.IPAMConfig(pool_configs=[pool]))
        yield client
        for each in client.containers(all=True):
            client.remove_container(each["Id"], force=True)
        client.remove_network(NET)


def create(hands: docker.APIClient, address: str = "", port: int = 0) -> str:
    at = hands.create_endpoint_config(ipv4_address=address or None)
    config = hands.create_host_config(port_bindings={80: port} if port else {})
    networking = docker.types.NetworkingConfig({NET: at})  # type: ignore[arg-type]  # the stub is wrong
    made = hands.create_container(
        BARE, ["sleep", "1000"], ports=[80], host_config=config, networking_config=networking
    )
    return str(made["Id"])


def refusal(hands: docker.APIClient, made: str) -> str:
    """What dockerd keeps of the start that it refuses."""
    with pytest.raises(docker.errors.APIError):
        hands.start(made)
    return str(hands.inspect_container(made)["State"]["Error"])


def test_an_address_that_another_container_has_is_known_as_one(hands: docker.APIClient) -> None:
    hands.start(create(hands, TAKEN))

    assert is_about_an_address(refusal(hands, create(hands, TAKEN)))


def test_a_port_that_a_process_has_is_named_as_its(hands: docker.APIClient, dockerd: DockerDaemon) -> None:
    inside = ["nsenter", f"--net=/proc/{dockerd.pid}/ns/net", sys.executable, "-I", "-c", LISTEN]
    with subprocess.Popen(inside, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"listens\n"
        error = refusal(hands, create(hands, port=PORT))
        process.communicate(b"\n")

    spec = order(ports=(Port(target=80, published=PORT),))
    wanted = intent(service(spec=spec))
    seen = host(container(of=spec, status="created", error=error), listening=(f"{PORT}/tcp",))
    (line,) = told(plan_replicas(wanted, observed(cluster(wanted), seen)))
    assert f"port {PORT}/tcp is used by a process of the host" in line
    assert not is_about_an_address(error)
