"""What a report tells of an engine, and what a valid document asks of it in vain."""

from dataclasses import replace

import pytest

from agent.clients.docker.reading import machine
from agent.diff.capacity import is_for, normal, warn
from agent.model.intent import Constraint, Machine, ServiceIntent, Where
from agent.model.status import HostStatus
from tests.support.builders import intent, order, service, status

CPU = 1_000_000_000


@pytest.mark.parametrize(
    ("written", "words"),
    [
        ("linux/x86_64", "linux/amd64"),
        ("linux/aarch64", "linux/arm64"),
        ("Linux/armv7l", "linux/arm/v7"),
        ("linux/arm64/v8", "linux/arm64/v8"),
        ("linux/riscv64", "linux/riscv64"),
        ("linux", "linux"),
    ],
)
def test_a_platform_has_the_words_of_images(written: str, words: str) -> None:
    assert normal(written) == words


def test_a_part_that_one_side_lacks_may_be_any() -> None:
    assert is_for("linux", "linux/arm/v7")
    assert is_for("linux/arm64/v8", "linux/arm64")
    assert not is_for("linux/arm/v6", "linux/arm/v7")
    assert not is_for("linux/386", "linux/amd64")


def test_an_engine_that_says_nothing_of_its_host_is_not_known() -> None:
    assert machine({}) == Machine()
    said = {"OSType": "linux", "Architecture": "aarch64", "NCPU": 2, "MemTotal": 1 << 30}
    assert machine(said) == Machine(platform="linux/arm64", cpus=2, memory_bytes=1 << 30)


def reports(name: str, **more: object) -> HostStatus:
    of = Machine(platform="linux/amd64", cpus=4, memory_bytes=8 << 30)
    return status(name, **{"engine_version": "20.10.24", "machine": of, **more})


def warned(*services: ServiceIntent, **statuses: HostStatus) -> list[str]:
    known = {"h1": reports("h1"), "h2": reports("h2"), **statuses}
    return list(warn(intent(*services, hosts="h1 h2"), known))


def reserving(made: ServiceIntent, cpus: float) -> ServiceIntent:
    return replace(made, reserved_nano_cpus=round(cpus * CPU))


EVERYWHERE = replace(service("all", on={"h1": 1, "h2": 1}), everywhere=True)
PLACED = replace(service("free", on={}), replicas=4)


def test_what_fits_is_not_warned_of() -> None:
    assert warned(reserving(PLACED, 2), service("plain", on={"h1": 900})) == []


def test_what_does_not_fit_is_warned_of_with_its_numbers() -> None:
    fixed = reserving(service("fixed", on={"h1": 3}), 1.5)
    reserves = "are reserved, and a replica reserves"
    of_fixed, of_free = warned(fixed, reserving(PLACED, 2))
    assert of_fixed == f"service fixed: 1 replica too many for the hosts: h1: of its 4 CPUs 3 {reserves} 1.5"
    full = f"h1: of its 4 CPUs 4.5 {reserves} 2; h2: of its 4 CPUs 4 {reserves} 2"
    assert of_free == f"service free: 2 replicas too many for the hosts: {full}"
    (line,) = warned(reserving(EVERYWHERE, 5))
    assert line.startswith(
        f"service all: 2 replicas too many for the hosts: h1: of its 4 CPUs 0 {reserves} 5; h2: "
    )


def test_of_a_host_that_is_not_known_nothing_is_said() -> None:
    assert warned(reserving(PLACED, 9), h2=status("h2")) == []
    assert list(warn(intent(reserving(PLACED, 9), hosts="h1 h2"), {})) == []


def test_a_platform_that_hosts_lack_is_warned_of() -> None:
    arm = order(platform="linux/arm64")
    why = "its engine runs linux/amd64, and the service is for linux/arm64"
    of_arm = reports("h2", machine=Machine(platform="linux/arm64", cpus=4, memory_bytes=8 << 30))
    for one in (service("x", on={"h1": 1}, spec=arm), replace(PLACED, name="x", spec=arm, replicas=1)):
        (line,) = warned(one)
        assert line.startswith(f"service x: 1 replica too many for the hosts: h1: {why}")
    assert warned(replace(EVERYWHERE, spec=arm), h2=of_arm) == []
    assert warned(replace(PLACED, spec=arm), h2=of_arm) == []
    none = Where(constraints=(Constraint(of="platform.arch", equal=True, value="s390x"),))
    (line,) = warned(replace(EVERYWHERE, where=none))
    assert (
        "2 replicas too many for the hosts: h1: node.platform.arch == s390x is not met, it is amd64; h2: "
        in line
    )
