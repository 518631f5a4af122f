"""Keys of Compose that are not offered, and why: so that nobody searches for a typing error in them."""

from collections.abc import Iterator
from ipaddress import IPv4Network

from agent.diff.container import uses_overlay_address
from agent.model.intent import Intent
from agent.model.spec import why_alone

_NO_FILES = "is not offered: a host has no files of this document"
_WINDOWS = "is not offered: it is for Windows"
_NETWORKS = "is not offered: use networks and their aliases"
_REAL_TIME = "is not offered: cgroup v2 has no such limit; use cpus or cpu_shares"

SERVICE_REFUSED: dict[str, str] = {
    "attach": "is not offered: it is about the terminal of docker compose",
    "build": "is not offered: push an image to a registry and name it",
    "container_name": "is not offered: replicas are called <project>-<service>-<slot>",
    "cpu_count": _WINDOWS,
    "cpu_percent": _WINDOWS,
    "cpu_rt_period": _REAL_TIME,
    "cpu_rt_runtime": _REAL_TIME,
    "credential_spec": _WINDOWS,
    "develop": "is not offered: it is for development",
    "env_file": f"{_NO_FILES}; use environment",
    "expose": "is not needed: replicas on a network reach every port of each other",
    "extends": f"{_NO_FILES}; use a YAML anchor",
    "external_links": _NETWORKS,
    "isolation": _WINDOWS,
    "label_file": f"{_NO_FILES}; use labels",
    "links": _NETWORKS,
    "mac_address": "is not offered: two replicas with one address disturb each other",
    "models": "is not offered: a model is no container",
    "platform": "is not offered: every host runs the image for its own processor; another one would need an emulator",
    "post_start": "is not offered: put it into the image, or into its entrypoint",
    "pre_stop": "is not offered: put it into the image; stop_signal and stop_grace_period are there",
    "profiles": "is not offered: what is in the document runs",
    "provider": "is not offered: a provider is no container",
    "scale": "is not offered: use x-hosts, which says how many replicas run on which host",
    "storage_opt": "is not offered: what it does depends on the storage driver of each host",
    "use_api_socket": "is not offered: whoever has the socket of dockerd has the host; mount it yourself",
    "volumes_from": "is not offered: declare a volume and mount it in both services",
}

TOP_REFUSED: dict[str, str] = {
    "include": f"{_NO_FILES}; put one whole document",
    "models": "is not offered: a model is no container",
    "version": "is obsolete in Compose: take it out",
}


# ---- What is allowed and yet seldom meant

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
            yield f"service {service.name}: a replica is replaced stop-first, although start-first is asked for: {why}"
