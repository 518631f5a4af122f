"""What is allowed and yet seldom meant."""

from collections.abc import Iterator
from ipaddress import IPv4Network

from agent.diff.container import uses_overlay_address
from agent.model.intent import Intent
from agent.model.spec import why_alone

_WIDE = 16
_LOCAL_POOL = tuple(IPv4Network(f"172.{second}.0.0/16") for second in range(17, 32))
"""Where an engine puts its own networks first, docker0 among them: moby, libnetwork/ipamutils."""


def warnings(intent: Intent) -> tuple[str, ...]:
    """Return what the operator of `intent` should know, one sentence each; nothing of it hinders anything."""
    return (*_managers(intent), *_hosts(intent), *_networks(intent), *_orders(intent))


def _managers(intent: Intent) -> Iterator[str]:
    count = len(intent.managers)
    if count % 2 == 0:
        yield f"{count} managers survive no more losses than {count - 1}: an odd number is better"
    elif count == 1 and len(intent.hosts) > 1:
        yield "one manager: its loss leaves a swarm that cannot be changed; three survive a loss"


def _hosts(intent: Intent) -> Iterator[str]:
    for host in intent.hosts:
        if any(host.address in pool for pool in _LOCAL_POOL):
            yield (
                f"host {host.name}: {host.address} lies where Docker puts its own networks (172.17 to 172.31); "
                "give every engine another bip and default-address-pools"
            )


def _networks(intent: Intent) -> Iterator[str]:
    for network in intent.networks:
        if network.driver == "overlay" and network.subnet and network.subnet.prefixlen <= _WIDE:
            yield f"network {network.key}: {network.subnet} is large; Docker advises /24 for an overlay"


def _orders(intent: Intent) -> Iterator[str]:
    for service in intent.services:
        asked = [each for each in (service.update, service.rollback) if each and each.order == "start-first"]
        pinned = intent.policy.pin_addresses or uses_overlay_address(service.spec)
        why = why_alone(service.spec) or ("its address is pinned" if pinned and service.spec.networks else "")
        if asked and why:
            yield f"service {service.name}: a copy is replaced stop-first, although start-first is asked for: {why}"
