"""The stock services of a host and the few files an administrator would write for them."""

import json
import platform
from collections.abc import Mapping

from integration.lab import registry

UNITS = (
    ("docker.service", "multi-user.target"),
    ("containerd.service", "multi-user.target"),
    ("docker.socket", "sockets.target"),
    ("etcd.service", "multi-user.target"),
)


def files(lab: str, name: str, addresses: Mapping[str, str]) -> dict[str, str]:
    """Configuration of one host among `addresses` (host name to address), by path."""
    its_own = registry.files() if addresses[name] == registry.ADDRESS else {}
    return its_own | {
        "/etc/hosts": _hosts(addresses),
        "/etc/docker/daemon.json": json.dumps({"insecure-registries": [registry.ADDRESS]}) + "\n",
        "/etc/default/docker": "",
        "/etc/default/etcd": _etcd(lab, addresses[name], addresses),
    }


def units(address: str) -> tuple[tuple[str, str], ...]:
    """What the host starts at boot."""
    return (*UNITS, registry.UNIT) if address == registry.ADDRESS else UNITS


def _hosts(addresses: Mapping[str, str]) -> str:
    lines = ["127.0.0.1 localhost", *(f"{address} {name}" for name, address in addresses.items())]
    return "\n".join(lines) + "\n"


def _etcd(lab: str, address: str, addresses: Mapping[str, str]) -> str:
    """A member of one cluster of all hosts. Its name comes from the unit (the host's name)."""
    members = ",".join(f"{name}=http://{other}:2380" for name, other in addresses.items())
    settings = {
        "ETCD_LISTEN_PEER_URLS": f"http://{address}:2380",
        "ETCD_INITIAL_ADVERTISE_PEER_URLS": f"http://{address}:2380",
        "ETCD_LISTEN_CLIENT_URLS": f"http://{address}:2379,http://127.0.0.1:2379",
        "ETCD_ADVERTISE_CLIENT_URLS": f"http://{address}:2379",
        "ETCD_INITIAL_CLUSTER": members,
        "ETCD_INITIAL_CLUSTER_STATE": "new",
        "ETCD_INITIAL_CLUSTER_TOKEN": f"swarmkeeper-lab-{lab}",
    }
    if platform.machine() != "x86_64":  # etcd 3.4 asks to be told that one knows
        settings["ETCD_UNSUPPORTED_ARCH"] = {"aarch64": "arm64"}.get(platform.machine(), platform.machine())
    return "".join(f'{key}="{value}"\n' for key, value in settings.items())
