"""The example with ZooKeeper: a consumer calls providers on other hosts by the addresses that it finds there.

It goes on while docker_gwbridge is changed under it and while providers and ZooKeeper are replaced. docs/dubbo.md has
what was counted.
"""

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any
from urllib.parse import unquote, urlsplit

import pytest

from integration import examples
from integration.cluster import Cluster
from integration.conftest import LONG_ONLY
from integration.lab import debian_images, registry
from integration.lab.eventually import eventually
from tests.support.document import document
from tests.support.examples import compiled

CONSUMER = "http://10.159.62.233:8080/"
NETWORK = "dubbo_default"
PROVIDERS = {"dubbo-provider-1": "node-231", "dubbo-provider-2": "node-232"}
PATH = "/dubbo/com.example.OrderService/providers"
RUNS_S, ANSWERS_S, ROLL_S = 240, 60, 240
ENOUGH = 100
"""Calls between two looks that something can be said about."""
OTHER_BRIDGE = {"gwbridge": {"subnet": "172.22.16.0/20"}}
NEWER = "1.0.1"


@dataclass(slots=True)
class Counted:
    """What the consumer counted while a block ran; `seconds` is how long that was."""

    calls: int = 0
    lost: int = 0
    failed_attempts: int = 0
    seconds: float = 0.0
    versions: set[str] = field(default_factory=set)
    failures: list[dict[str, Any]] = field(default_factory=list)


def told(cluster: Cluster) -> dict[str, Any]:
    """What the consumer says of itself; its published port is away for a moment while the bridge is changed."""

    def ask() -> dict[str, Any]:
        return dict(cluster.lab.lan.http_get(CONSUMER).json())

    return eventually(ask, ANSWERS_S, "the consumer tells its counts")


def is_called(cluster: Cluster) -> bool:
    """Whether both providers have answered the consumer, each on its own host, at the addresses that docker shows."""
    addresses = cluster.addresses(NETWORK)
    answered = {each.rpartition(" ")[0] for each in told(cluster)["answered"]}
    return {f"{addresses[name]} on {host}" for name, host in PROVIDERS.items()} <= answered


def in_zookeeper(cluster: Cluster) -> set[str]:
    """Addresses of the providers as ZooKeeper's own client shows them."""
    shown = cluster.lab["node-231"].exec(
        *("docker", "exec", "dubbo-zookeeper-1", "zkCli.sh", "-server", "127.0.0.1:2181", "ls", PATH),
        timeout=120,
    )
    listed = next(line for line in shown.stdout.splitlines() if line.startswith("[dubbo"))
    return {str(urlsplit(unquote(each)).hostname) for each in listed.strip("[]").split(", ")}


@contextmanager
def counted(cluster: Cluster, what: str) -> Iterator[Counted]:
    """Count the consumer's calls while the block runs, and after it until there were enough."""
    seen, began = Counted(), time.time()
    before = told(cluster)
    yield seen
    ended = told(cluster)["calls"]
    after = eventually(partial(_with_calls, cluster, ended + ENOUGH), ANSWERS_S, "the consumer goes on")
    for name in ("calls", "lost", "failed_attempts"):
        setattr(seen, name, after[name] - before[name])
    seen.seconds = round(time.time() - began, 1)
    new = {each for each, count in after["answered"].items() if count > before["answered"].get(each, 0)}
    seen.versions = {each.rpartition(" ")[2] for each in new}
    seen.failures = [each for each in after["failures"] if each["at"] >= began]
    print(f"\n{what}: {seen}")


def _with_calls(cluster: Cluster, wanted: int) -> dict[str, Any]:
    """What the consumer tells, or nothing while it has not made so many calls."""
    found = told(cluster)
    return found if found["calls"] >= wanted else {}


@LONG_ONLY
@pytest.mark.timeout(1500)
def test_a_consumer_goes_on_calling_by_the_addresses_in_zookeeper(running: Cluster) -> None:
    here = compiled("dubbo")
    with examples.prepared(running.lab, "dubbo"):
        registry.push(running.lab.lan, debian_images.build("provider", NEWER, {"VERSION": NEWER}))
        running.wait_converged(running.put(here), RUNS_S)
        eventually(partial(is_called, running), ANSWERS_S, "both providers are called")
        addresses = {running.addresses(NETWORK)[name] for name in PROVIDERS}
        assert in_zookeeper(running) == addresses
        with counted(running, "before") as before:
            pass
        with counted(running, "docker_gwbridge is changed") as bridge:
            moved = document(here, cluster=OTHER_BRIDGE)
            running.wait_converged(running.put(moved), ROLL_S)
        with counted(running, "the providers are replaced") as rollout:
            newer = document(moved, tags={"provider": NEWER})
            running.wait_converged(running.put(newer), ROLL_S)
        with counted(running, "ZooKeeper is replaced") as servers:
            last = document(newer, services={"zookeeper": {"environment": {"ZOO_TICK_TIME": "1500"}}})
            running.wait_converged(running.put(last), ROLL_S)
        with counted(running, "after") as after:
            pass
        assert {running.addresses(NETWORK)[name] for name in PROVIDERS} == addresses == in_zookeeper(running)
    for host in running.lab.hosts:
        subnet = host.docker.api.inspect_network("docker_gwbridge")["IPAM"]["Config"][0]["Subnet"]
        assert subnet == OTHER_BRIDGE["gwbridge"]["subnet"]
    parts = {"before": before, "bridge": bridge, "rollout": rollout, "servers": servers, "after": after}
    assert min(each.calls for each in parts.values()) >= ENOUGH
    assert {name: each.lost for name, each in parts.items()} == dict.fromkeys(parts, 0), json.dumps(
        {name: each.failures for name, each in parts.items()}, indent=1
    )
    assert bridge.failed_attempts == 0, bridge.failures
    assert (before.versions, after.versions) == ({"1.0.0"}, {NEWER})
