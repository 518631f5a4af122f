"""Replicas that could not have their port: who has it, and what helps when nobody has."""

from typing import Any

import pytest

from agent.model.host_state import GOSSIP, Attached
from agent.model.spec import ContainerSpec, Port
from agent.planner.host.replicas import plan_replicas
from tests.support.builders import cluster, container, host, intent, observed, order, service, told

WEB = order(ports=(Port(target=80, published=8080),))
ONE_ADDRESS = order(ports=(Port(target=80, published=8080, host_ip="10.0.0.1"),))
BOTH = order(ports=(Port(target=80, published=8080), Port(target=80, published=8080, protocol="udp")))
ALLOCATED = (
    "driver failed programming external connectivity: Bind for 0.0.0.0:8080 failed: port is already allocated"
)
IN_USE = "Error starting userland proxy: listen tcp4 0.0.0.0:8080: bind: address already in use"
ENGINE_28 = (
    "failed to set up container networking: driver failed programming external connectivity on endpoint "
    "prod-order-1 (12740d5f): failed to bind host port {}: address already in use"
)
START = f"start container/prod-order-1: {ALLOCATED}"
CURE = "run `systemctl restart docker` on this host"
NOBODY = (
    "blocked container/prod-order-1: nothing uses port 8080/tcp, "
    f"but dockerd has kept it allocated since a crash: {CURE}"
)


def other(*ports: str, running: bool = True) -> Attached:
    return Attached(id="theirs", name="nginx", running=running, ports=ports)


def plan(
    *attached: Attached, error: str = ALLOCATED, failed_with: str = "", spec: ContainerSpec = WEB, **more: Any
) -> list[str]:
    """What is planned for a replica that docker could not start."""
    wanted = intent(service(spec=spec))
    failed = container(of=spec, status="created", error=error)
    own = Attached(id=failed.id, name=failed.name, running=False)
    seen = host(failed, attached=(own, *attached), **more)
    failures = {"container/prod-order-1": failed_with} if failed_with else {}
    return told(plan_replicas(wanted, observed(cluster(wanted), seen, failures=failures)))


# ---- somebody has it


def test_a_port_that_a_container_has_is_named_with_it_and_no_start_is_tried() -> None:
    assert plan(other("8080/tcp")) == [
        "blocked container/prod-order-1: port 8080/tcp is used by the container nginx"
    ]


@pytest.mark.parametrize(
    "error",
    [
        IN_USE,
        ENGINE_28.format("for 0.0.0.0:8080:172.17.0.3:80/tcp"),
        ENGINE_28.format("for [2001:db8:5::1]:8080:[fd00:7::2]:80/tcp"),
        ENGINE_28.format("0.0.0.0:8080/tcp"),
    ],
)
def test_a_port_that_a_process_has_is_named_as_its(error: str) -> None:
    named = "`ss -lnp 'sport = :8080'` on the host shows it"

    assert plan(error=error, listening=("8080/tcp",)) == [
        f"blocked container/prod-order-1: port 8080/tcp is used by a process of the host: {named}"
    ]


def test_a_container_is_named_before_the_process_that_listens_for_it() -> None:
    assert "the container nginx" in plan(other("8080/tcp"), error=IN_USE, listening=("8080/tcp",))[0]


@pytest.mark.parametrize(
    ("spec", "taken", "meets"),
    [
        (WEB, "10.0.0.2:8080/tcp", True),
        (ONE_ADDRESS, "8080/tcp", True),
        (ONE_ADDRESS, "10.0.0.1:8080/tcp", True),
        (ONE_ADDRESS, "10.0.0.2:8080/tcp", False),
        (WEB, "8080/udp", False),
        (WEB, "8081/tcp", False),
        (BOTH, "8080/udp", True),
    ],
)
def test_a_port_is_held_where_no_room_is_left_for_it(spec: ContainerSpec, taken: str, meets: bool) -> None:
    assert ("is used by" in plan(other(taken), spec=spec)[0]) is meets


def test_a_container_that_does_not_run_holds_no_port() -> None:
    assert plan(other("8080/tcp", running=False)) == [START]


# ---- nobody has it


def test_when_nobody_has_the_port_any_more_the_replica_is_started() -> None:
    assert plan() == [START]


def test_a_process_that_is_gone_is_nobody() -> None:
    assert plan(error=IN_USE, listening=(GOSSIP,)) == [f"start container/prod-order-1: {IN_USE}"]


def test_a_port_that_nobody_has_and_docker_refuses_is_told_with_what_cures_it_and_tried_on() -> None:
    assert plan(failed_with=ALLOCATED) == [START, NOBODY]


def test_docker_proxy_itself_may_listen_for_nobody() -> None:
    assert plan(failed_with=ALLOCATED, listening=(GOSSIP, "8080/tcp")) == [START, NOBODY]


def test_a_failure_that_is_not_about_a_port_is_not_told_as_one() -> None:
    assert plan(error="network xyz not found", failed_with="network xyz not found") == [
        "start container/prod-order-1: network xyz not found"
    ]


def test_a_replica_that_runs_is_not_asked_about_its_port() -> None:
    wanted = intent(service(spec=WEB))
    seen = host(container(of=WEB, error=ALLOCATED), attached=(other("8080/tcp"),))

    assert told(plan_replicas(wanted, observed(cluster(wanted), seen))) == []
