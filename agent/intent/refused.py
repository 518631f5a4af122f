"""Keys of Docker Compose that a document must not have, each with the reason, and warnings about valid documents."""

from collections import Counter
from collections.abc import Iterator
from ipaddress import IPv4Network

from agent.diff.container import overlays_in
from agent.diff.nodes import tolerated
from agent.model.intent import Intent
from agent.model.network_options import OPTIONS, nearest_option
from agent.model.spec import why_alone
from agent.yamldoc.faultlist import printable

_NO_FILES = "is not supported: the document is in etcd and cannot refer to files beside it"
_WINDOWS = "is not supported: it is for Windows; remove it"
_NETWORKS = "is not supported; use networks and their aliases"
_REAL_TIME = "is not supported: cgroup v2 has no such limit; use cpus or cpu_shares"

SERVICE_REFUSED: dict[str, str] = {
    "attach": "is not supported: it controls the terminal of docker compose; remove it",
    "build": "is not supported; use image, and push the image to a registry",
    "cpu_count": _WINDOWS,
    "cpu_percent": _WINDOWS,
    "cpu_rt_period": _REAL_TIME,
    "cpu_rt_runtime": _REAL_TIME,
    "credential_spec": _WINDOWS,
    "develop": "is not supported: it is for development; remove it",
    "env_file": f"{_NO_FILES}; use environment",
    "extends": f"{_NO_FILES}; write image and the other keys here, or use a YAML anchor",
    "external_links": _NETWORKS,
    "isolation": _WINDOWS,
    "label_file": f"{_NO_FILES}; use labels",
    "mac_address": "is not supported: two replicas with one MAC address interrupt each other's traffic; remove it",
    "models": "is not supported: a model is not a container; run it as a service",
    "post_start": "is not supported; put the command into the image or its entrypoint",
    "pre_stop": "is not supported; put the command into the image, or use stop_signal and stop_grace_period",
    "profiles": "is not supported: every service of the document runs; remove the key, or the service",
    "pre_start": "is not supported; put the command into the image or its entrypoint, or use a service and depends_on",
    "provider": "is not supported: a provider is not a container; run what it provides as a service",
    "pull_refresh_after": "is not supported; use pull_policy: daily or weekly",
    "storage_opt": "is not supported: each host has its own storage driver; mount a tmpfs of that size",
    "use_api_socket": "is not supported: the socket of dockerd gives full control of the host; mount it explicitly",
    "volumes_from": "is not supported; declare a volume and mount it in both services",
}

TOP_REFUSED: dict[str, str] = {
    "include": f"{_NO_FILES}; remove the key, and write what the files have here",
    "jobs": "is not supported; use a service with restart: on-failure, or a timer of the host",
    "models": "is not supported: a model is not a container; run it as a service",
}


# ---- Warnings: settings that are valid but seldom intended

_WIDE = 15
"""Prefix length of the smallest overlay that causes a warning. Docker recommends /24 for services with a virtual IP; a
replica has none, so an overlay is too large only if it takes more of the private ranges than any cluster uses."""
_NOT_FREE = 3
"""The network's own address, its broadcast address and its gateway."""
_LOCAL_POOL = tuple(IPv4Network(f"172.{second}.0.0/16") for second in range(17, 32))
"""Subnets that dockerd gives first to its own networks, such as docker0 (moby, libnetwork/ipamutils)."""


def warnings(intent: Intent) -> tuple[str, ...]:
    """Return warnings about `intent`, one sentence each. A document with warnings is valid."""
    return (
        *intent.notes,
        *_managers(intent),
        *_hosts(intent),
        *_networks(intent),
        *_options(intent),
        *_orders(intent),
    )


def _managers(intent: Intent) -> Iterator[str]:
    count = len(intent.managers)
    if tolerated(count) == tolerated(count - 1):
        yield f"{count} managers tolerate no more failures than {count - 1}: declare an odd number of managers"
    elif count == 1 and len(intent.hosts) > 1:
        yield "one manager: if it fails, the swarm cannot be changed; three managers tolerate one failure"


def _hosts(intent: Intent) -> Iterator[str]:
    for host in intent.hosts:
        if any(host.address in pool for pool in _LOCAL_POOL):
            yield (
                f"host {host.name}: {host.address} is in the range of Docker's own networks (172.17 to 172.31); "
                "set bip and default-address-pools of every engine to other networks"
            )


def _networks(intent: Intent) -> Iterator[str]:
    replicas: Counter[str] = Counter()
    for service in intent.services:
        replicas.update({each.network: service.replica_count for each in service.spec.networks})
    for network in intent.networks:
        if network.driver != "overlay" or network.subnet is None:
            continue
        if network.subnet.prefixlen <= _WIDE:
            yield f"network {network.key}: {network.subnet} is wider than /16 and easily overlaps other networks"
        on_it, free = replicas[network.name], network.subnet.num_addresses - _NOT_FREE
        needed = on_it + min(on_it, len(intent.hosts))
        if free < needed:
            why = "one for each replica on it, and for each of their hosts"
            yield f"network {network.key}: {network.subnet} has {free} free addresses of {needed} needed: {why}"


def _options(intent: Intent) -> Iterator[str]:
    """Yield a warning for each option of a network that its driver ignores."""
    networks = [(f"network {each.key}", each.driver, each.options) for each in intent.networks]
    for what, driver, options in (("gwbridge", "bridge", intent.gwbridge.options), *networks):
        for name, _ in options:
            known = OPTIONS.get(name)
            near = None if known else nearest_option(name)
            if near:
                yield f"{what}: the option {printable(name)} is unknown, and a driver ignores it: did you mean {near}?"
            elif known and known.driver not in ("", driver):
                yield f"{what}: the option {name} has no effect on a network of driver {driver}"


def _orders(intent: Intent) -> Iterator[str]:
    for service in intent.services:
        asked = [each for each in (service.update, service.rollback) if each and each.order == "start-first"]
        reserved = intent.policy.reserve_addresses or overlays_in(service.spec)
        is_reserved = bool(reserved and service.spec.networks)
        why = why_alone(service.spec) or ("its address is reserved" if is_reserved else "")
        if asked and why:
            yield f"service {service.name}: order start-first has no effect, replicas are replaced stop-first: {why}"
