"""The engine of a host as its report tells it: its platform, its node, and what it has for reservations.

A replica that asks for one of them is not placed on a host whose report lacks it.
"""

import sys
from collections import defaultdict
from collections.abc import Mapping
from typing import NamedTuple, Protocol

from agent.model.intent import REPORTED, Intent, Machine, ServiceIntent
from agent.model.phrases import counted, first_of, shorten
from agent.model.status import HostStatus

_ARCHITECTURES = {
    "x86_64": "amd64", "x86-64": "amd64", "i386": "386", "i686": "386", "aarch64": "arm64", "armhf": "arm/v7",
    "armv7l": "arm/v7", "armel": "arm/v6", "armv6l": "arm/v6",
}  # fmt: skip
"""The kernel's names of processors -> those of images."""
ARCHITECTURES = (
    *_ARCHITECTURES, "386", "amd64", "arm", "arm/v6", "arm/v7", "arm64", "loong64", "ppc64le", "riscv64", "s390x",
)  # fmt: skip
NOT_REPORTED = "it has not reported its engine yet"
_EARLIER = "its agent is of an earlier version and does not report platform, processors and memory"
_NANO, _MIB = 1_000_000_000, 1 << 20
_MOST_LINES, _MOST_NAMED, _LONGEST = 20, 5, 500


def normal(platform: str) -> str:
    """Return `os/arch[/variant]` with the words of images: `linux/x86_64` -> `linux/amd64`."""
    system, _, rest = platform.lower().partition("/")
    processor, *variant = rest.split("/")
    return "/".join(filter(None, (system, _ARCHITECTURES.get(processor, processor), *variant)))


def is_for(wanted: str, platform: str) -> bool:
    """Return True if a platform is the wanted one; a part that one of them lacks, such as the variant, may be any."""
    return all(one == other for one, other in zip(wanted.split("/"), platform.split("/"), strict=False))


class Reservation(NamedTuple):
    """Processors and memory that replicas reserve on a host."""

    nano_cpus: int = 0
    memory_bytes: int = 0

    def plus(self, other: "Reservation", times: int = 1) -> "Reservation":
        return Reservation(*(mine + times * its for mine, its in zip(self, other, strict=True)))


def reservation(service: ServiceIntent) -> Reservation:
    """Return what one replica of a service reserves."""
    return Reservation(service.reserved_nano_cpus, service.spec.memory_reservation_bytes or 0)


def asks(service: ServiceIntent) -> bool:
    """Return True if the report of a host decides whether the host may run replicas of a service."""
    return bool(service.spec.platform) or any(each.of in REPORTED for each in service.where.constraints)


class _Engine(Protocol):
    @property
    def machine(self) -> Machine: ...
    @property
    def node_id(self) -> str | None: ...


def why_unmet(service: ServiceIntent, status: _Engine | None) -> str:
    """Return why the engine of a host must not run a service; empty if it may, or if it is not known."""
    if status is None:
        return ""
    wanted, processor = service.spec.platform, status.machine.platform.partition("/")[2]
    if wanted and status.machine.platform and not is_for(wanted, status.machine.platform):
        return f"its engine runs {status.machine.platform}, and the service is for {wanted}"
    for each in service.where.constraints:
        found = {"id": status.node_id or "", "platform.arch": processor}.get(each.of, "")
        value = _ARCHITECTURES.get(each.value.lower(), each.value.lower())
        if found and (found == value or found.startswith(f"{value}/")) != each.equal:
            return f"{each} is not met, it is {found}"
    return ""


def why_unknown(service: ServiceIntent, status: HostStatus | None) -> str:
    """Return what the report of a host lacks of what the service asks for; empty if nothing."""
    by_id = any(each.of == "id" for each in service.where.constraints)
    reserves = any(reservation(service))
    if not reserves and not asks(service):
        return ""
    if status is None or not status.engine_version:
        return NOT_REPORTED
    has_size = status.machine.cpus and status.machine.memory_bytes
    if not status.machine.platform or (reserves and not has_size):
        return _EARLIER
    return "it is not in the swarm" if by_id and not status.node_id else ""


def why_too_small(wanted: Reservation, taken: Reservation, machine: Machine) -> str:
    """Return why a host has not enough left for one more reservation; empty if it has."""
    after = taken.plus(wanted)
    if wanted.nano_cpus and after.nano_cpus > machine.cpus * _NANO:
        has, used, asked = (f"{each / _NANO:g}" for each in (machine.cpus * _NANO, taken[0], wanted[0]))
        return f"of its {has} CPUs {used} are reserved, and a replica reserves {asked}"
    if wanted.memory_bytes and after.memory_bytes > machine.memory_bytes:
        has, used, asked = (f"{each / _MIB:,.0f}" for each in (machine.memory_bytes, taken[1], wanted[1]))
        return f"of its {has} MiB of memory {used} are reserved, and a replica reserves {asked}"
    return ""


def warn(intent: Intent, statuses: Mapping[str, HostStatus]) -> tuple[str, ...]:
    """Return a sentence for each service whose replicas do not fit on the hosts, by their last reports.

    A service that the scheduler places is judged alone, beside the fixed and the global replicas.
    """
    lines: list[str] = []
    taken: defaultdict[str, Reservation] = defaultdict(Reservation)
    for service in sorted(intent.services, key=lambda each: each.replicas is not None):
        one, asked = reservation(service), dict(service.placement)
        if not any(one) and not asks(service):
            continue
        if service.replicas is not None:
            hosts = [each for each in intent.hosts if each.availability == "active"]
            asked = {each.name: service.replicas for each in hosts if not service.where.unmet(each)}
        unmet = {each: why_unmet(service, statuses.get(each)) for each in asked}
        if service.everywhere:
            asked = {each: count for each, count in asked.items() if not unmet[each]} or asked
        lacks, why = sum(asked.values()) if service.replicas is None else service.replicas, []
        for host, count in asked.items():
            fits = 0 if unmet[host] else min(count, _most(service, statuses.get(host), taken[host]))
            lacks -= fits
            if fits < count:
                full = why_too_small(one, taken[host].plus(one, fits), statuses[host].machine)
                why.append(f"{host}: {unmet[host] or full}")
            taken[host] = taken[host].plus(one, 0 if service.replicas is not None else count)
        if lacks > 0:
            named = "; ".join(first_of(why, _MOST_NAMED, "and {} more hosts"))
            what = f"service {service.name}: {counted(lacks, 'replica')} too many for the hosts: {named}"
            lines.append(shorten(what, _LONGEST))
    return tuple(first_of(lines, _MOST_LINES, "{} more services do not fit"))


def _most(service: ServiceIntent, status: HostStatus | None, taken: Reservation) -> int:
    """Return the number of replicas for which a host has enough; a large number if that is not known."""
    one = reservation(service)
    if status is None or not any(one) or why_unknown(service, status):
        return sys.maxsize
    has = Reservation(status.machine.cpus * _NANO, status.machine.memory_bytes).plus(taken, -1)
    return max(0, min(left // each for left, each in zip(has, one, strict=True) if each))
