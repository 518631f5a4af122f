"""What a real dockerd chooses and what it has: ports of the host, its platform, its processors and memory."""

import contextlib
import os
import platform
from collections.abc import Iterator

import pytest

from agent.diff.capacity import normal
from tests.contract.engines import DockerScene
from tests.contract.one_host import OneHost
from tests.support.docker_daemon import BARE, DockerDaemon

PAGE = os.sysconf("SC_PAGE_SIZE")
HERE = normal(f"linux/{platform.machine()}")
SLEEPS = {"image": BARE, "command": ["sleep", "1000"], "stop_signal": "KILL", "network_mode": "bridge"}


@pytest.fixture(scope="module")
def one(dockerd: DockerDaemon, tmp_path_factory: pytest.TempPathFactory) -> Iterator[OneHost]:
    scene = DockerScene(dockerd)
    with (
        contextlib.closing(scene),
        contextlib.closing(OneHost(dockerd, tmp_path_factory.mktemp("disk"))) as made,
    ):
        yield made
        scene.clean()


def chosen(one: OneHost, name: str = "web") -> dict[str, str]:
    (found,) = [each for each in one.status().replicas if each.service == name]
    assert (found.status, found.differences) == ("running", ())
    return dict(found.ports)


def test_the_host_reports_its_processors_memory_and_platform(one: OneHost) -> None:
    one.put({})
    one.settle()
    machine = one.status().machine
    assert (machine.platform, machine.cpus) == (HERE, len(os.sched_getaffinity(0)))
    assert machine.memory_bytes == os.sysconf("SC_PHYS_PAGES") * PAGE


def test_ports_that_the_engine_chooses_are_reported_and_are_no_difference(one: OneHost) -> None:
    ports = ["80", "127.0.0.1::81/udp", "8100-8101:82", "8102:83"]
    one.put({"web": {**SLEEPS, "ports": ports}, "two": {**SLEEPS, "ports": ["8100-8101:82"]}})
    one.settle()
    first = chosen(one)
    assert first.keys() == {"80/tcp", "81/udp", "82/tcp"}  # 8102 was chosen by the document
    assert {first["82/tcp"], chosen(one, "two")["82/tcp"]} == {"8100", "8101"}
    shown = one.inspected("prod-web-1")["NetworkSettings"]["Ports"]
    assert all(port in {each["HostPort"] for each in shown[target]} for target, port in first.items())
    steps = len(one.steps)
    one.docker("restart", "--time", "0", "prod-web-1")
    one.settle()
    more = [each for each in one.steps[steps:] if each.resource != "history"]  # it may be recorded only now
    assert (more, chosen(one).keys()) == ([], first.keys())
    assert one.plan.blocked == ()


def test_a_range_without_a_free_port_is_named(one: OneHost) -> None:
    one.put({name: {**SLEEPS, "ports": ["8200-8201:80"]} for name in ("a", "b", "c")})
    for _ in range(30):
        one.turn()
    started = [each for each in one.status().replicas if each.status == "running"]
    assert sorted(dict(each.ports)["80/tcp"] for each in started) == ["8200", "8201"]
    (blocked,) = [each.reason for each in one.status().blocked if each.resource.startswith("container/")]
    assert "all ports are allocated" in blocked


def test_a_platform_is_passed_on_and_checked(one: OneHost) -> None:
    other = "linux/s390x" if HERE != "linux/s390x" else "linux/amd64"
    one.put({"web": {**SLEEPS, "platform": HERE}, "far": {**SLEEPS, "platform": other}})
    one.settle()
    chosen(one)
    (blocked,) = one.status().blocked
    assert blocked.kind == "unsupported"
    assert blocked.reason == f"it is for {other}, and the engine of this host runs {HERE}"
    assert "prod-far-1" not in one.containers()
