"""A copy that could not be started for a port of the host: who has the port, or what cures it when nobody has.

Docker says it in two ways. "port is already allocated" is about its own table of ports: a container has it, or, after
a crash of dockerd in the wrong moment, nobody: the mapping of an endpoint that is gone was restored, docker-proxy and
all, and only the next start of dockerd forgets it (docs/engine-quirks.md). "address already in use" is the kernel's
no: a process listens there.
"""

import re
from collections.abc import Iterable

from agent.diff.replicas import IN_USE
from agent.model.observed import ContainerState, HostState
from agent.model.spec import ContainerSpec, Port
from agent.model.steps import Blocked, Plan, StartContainer

_ALLOCATED = re.compile(r"Bind for \S*:(\d+) failed: port is already allocated")
_BOUND = re.compile(rf"listen (tcp|udp)\d? \S*:(\d+): bind: {IN_USE}")


def heed_ports(
    plan: Plan, spec: ContainerSpec, found: ContainerState, host: HostState, failed_with: str
) -> Plan:
    """The plan of one copy, without its start while somebody is seen to have its port.

    Where nobody has it, the start is tried on, as only docker knows when it has forgotten. `failed_with` is why this
    agent's own last start failed, made when nobody was seen to have the port; what docker keeps in the container's
    state may be older than that.
    """
    if not any(isinstance(step, StartContainer) for step in plan.steps):
        return plan
    if reason := _holder(spec, found, host):
        others = tuple(step for step in plan.steps if not isinstance(step, StartContainer))
        return Plan(others, (*plan.blocked, _blocked(found, reason)))
    if reason := _nobodys(spec, failed_with):
        return Plan(plan.steps, (*plan.blocked, _blocked(found, reason)))
    return plan


def _holder(spec: ContainerSpec, found: ContainerState, host: HostState) -> str:
    """Who has the port that the last start of `found` failed for, in words; empty when nobody is seen to."""
    others = [each for each in host.attached if each.running and each.id != found.id]
    for port in _failed_for(spec, found.error):
        for other in others:
            if any(_meets(port, each) for each in other.ports):
                return f"port {_name(port)} is held by the container {other.name}"
        if _BOUND.search(found.error) and any(_meets(port, each) for each in host.listening or ()):
            asked = f"`ss -lnp 'sport = :{port.published}'` on the host names it"
            return f"port {_name(port)} is held by a process of the host: {asked}"
    return ""


def _nobodys(spec: ContainerSpec, failed_with: str) -> str:
    """What cures a start that failed for a port of nobody's, in words; empty for one that did not."""
    if not _ALLOCATED.search(failed_with):
        return ""
    names = " and ".join(_name(port) for port in _failed_for(spec, failed_with))
    cure = "`systemctl restart docker` on this host cures it"
    return f"nobody has port {names}, but dockerd has kept it since a crash: {cure}"


def _failed_for(spec: ContainerSpec, error: str) -> Iterable[Port]:
    """The published ports that docker's words are about."""
    if said := _ALLOCATED.search(error):
        return [port for port in spec.ports if port.published == int(said[1])]
    if said := _BOUND.search(error):
        return [port for port in spec.ports if (port.protocol, port.published) == (said[1], int(said[2]))]
    return ()


def _meets(wanted: Port, taken: str) -> bool:
    """Whether `taken` (`8080/tcp`, `10.0.0.1:8080/tcp`) leaves no room for the port."""
    place, _, protocol = taken.rpartition("/")
    address, _, number = place.rpartition(":")
    anywhere = not address or wanted.host_ip in ("", "0.0.0.0", "::")  # noqa: S104 - every address, as docker says it
    same = (protocol, number) == (wanted.protocol, str(wanted.published))
    return same and (anywhere or address == wanted.host_ip)


def _name(port: Port) -> str:
    return f"{port.published}/{port.protocol}"


def _blocked(found: ContainerState, reason: str) -> Blocked:
    return Blocked(resource=f"container/{found.name}", reason=reason, kind="port")
