"""docker_gwbridge is broken by hand, or something else lies where it shall be: found, named, put right or held."""

import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import pytest

from integration.by_hand import CONTAINERS, all_answer, blocked_plan, run
from integration.lab.eventually import eventually
from integration.lab.host import Host
from integration.live_bridge import BRIDGE, FIRST, SECOND, Live, check_bridge

pytestmark = pytest.mark.every_base

FOUND_S = 10
HEALED_S = 30
BROKEN = {
    "its address removed": "ip address delete {gateway}/20 dev docker_gwbridge",
    "its address replaced": "ip address delete {gateway}/20 dev docker_gwbridge\n"
    "ip address add 172.30.9.1/24 dev docker_gwbridge",
    "its device set down": "ip link set docker_gwbridge down",
    "its device removed": "ip link delete docker_gwbridge",
}
"""Bash, in the host."""


def seen(live: Live, host: Host) -> float:
    """How many differences of the bridge the agent has found so far."""
    series = live.cluster.metrics(host).items()
    return sum(
        value for name, value in series if "drift_detected_total" in name and 'kind="gwbridge"' in name
    )


@pytest.mark.parametrize("how", BROKEN)
def test_a_bridge_broken_in_the_kernel_is_found_named_and_put_right(how: str, live: Live) -> None:
    host, before, found = live.lab["node-232"], blocked_plan(live.lab), seen(live, live.lab["node-232"])
    command = BROKEN[how].format(gateway=live.agreed.gateway)
    heals(live, host, found, lambda: host.exec("bash", "-ec", command), how)
    assert blocked_plan(live.lab) == before
    all_answer(live.lab, (f"{host.address}:{each.port}" for each in CONTAINERS))


def heals(live: Live, host: Host, found: float, breaks: Callable[[], object], how: str) -> None:
    """Break it, wait until it is found and right again, print how long both took."""
    revision, broken = live.revision(), time.monotonic()
    breaks()
    eventually(lambda: seen(live, host) > found, FOUND_S, f"{how} is found")
    after_s = time.monotonic() - broken
    eventually(partial(live.check, host, live.agreed, revision), HEALED_S, f"{how} is put right")
    print(f"\n{how}: found after {after_s:.1f} s, as agreed after {time.monotonic() - broken:.1f} s")


def test_a_bridge_pruned_on_a_quiet_host_is_made_again(live: Live) -> None:
    """Docker takes it for unused when no container runs, and would make one of its own choice at the next start."""
    host, found = live.lab["node-233"], seen(live, live.lab["node-233"])
    for container in CONTAINERS:
        host.exec("docker", "rm", "--force", container.name)
    try:
        eventually(lambda: endpoints(host) == [], HEALED_S, "nobody is on the bridge")
        heals(
            live, host, found, lambda: host.exec("docker", "network", "prune", "--force"), "the bridge pruned"
        )
    finally:
        for container in CONTAINERS:
            run(host, container)
    check_bridge(host, live.agreed)


def endpoints(host: Host) -> list[str]:
    return [each["Name"] for each in host.docker.api.inspect_network(BRIDGE)["Containers"].values()]


@dataclass(frozen=True, slots=True, kw_only=True)
class Foreign:
    """Something of somebody else's within the subnet that is to be docker_gwbridge's; commands are bash."""

    lay: str
    remove: str
    named: str
    """What the agent must say of it."""


INSIDE = {
    "node-231": Foreign(
        lay="ip route add 172.21.10.0/24 via 10.159.62.1",
        remove="ip route delete 172.21.10.0/24",
        named="the route 172.21.10.0/24",
    ),
    "node-232": Foreign(
        lay="ip link add theirs type bridge; ip address add 172.21.11.1/24 dev theirs; ip link set theirs up",
        remove="ip link delete theirs",
        named="dev theirs",
    ),
    "node-233": Foreign(
        lay="docker network create --subnet 172.21.12.0/24 theirs",
        remove="docker network rm theirs",
        named="network theirs",
    ),
}


def test_what_lies_where_the_bridge_shall_be_holds_it_is_named_and_when_it_goes_the_bridge_comes(
    live: Live,
) -> None:
    if live.agreed != SECOND:
        live.change(SECOND)
    lab, before = live.lab, blocked_plan(live.lab)
    bridges = {host.name: host.docker.api.inspect_network(BRIDGE)["Id"] for host in lab}
    for host in lab:
        host.exec("bash", "-c", INSIDE[host.name].lay)
    revision = live.put(FIRST)
    try:
        for host in lab:
            eventually(partial(held, live, host, revision), HEALED_S, f"{host.name} names what lies there")
        for host in lab:
            check_bridge(host, SECOND)
            assert host.docker.api.inspect_network(BRIDGE)["Id"] == bridges[host.name]
            assert theirs(host), f"{host.name}: {INSIDE[host.name].lay} is gone"
    finally:
        for host in lab:
            host.exec("bash", "-c", INSIDE[host.name].remove, check=False)
    live.wait_right(FIRST, revision)
    assert blocked_plan(lab) == before


def held(live: Live, host: Host, revision: int) -> None:
    named = INSIDE[host.name].named
    status = live.cluster.status(host)
    assert status["bridge"]["revision"] == revision, status
    assert any(
        each["resource"] == f"network/{BRIDGE}" and named in each["reason"] for each in status["blocked"]
    ), status
    assert live.cluster.metrics(host)['swarmkeeper_blocked{reason="overlap"}'] == 1


def theirs(host: Host) -> bool:
    """Whether the foreign thing is still there."""
    routes = json.loads(host.exec("ip", "-json", "route").stdout)
    return any(each["dst"].startswith(("172.21.10.", "172.21.11.", "172.21.12.")) for each in routes)
