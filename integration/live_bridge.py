"""docker_gwbridge on hosts that were in a swarm before the agents came: changing it, looking whether it is right."""

import json
import re
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from integration import by_hand
from integration.cluster import UNIT, Cluster
from integration.lab.errors import LabError
from integration.lab.eventually import eventually
from integration.lab.host import Host
from integration.lab.lab import Lab
from integration.timings import Timings

BRIDGE, PARKING = "docker_gwbridge", "swarmkeeper_parking"
CHANGED_S = 120
"""For three hosts one after the other; the tests print how long it took."""
SETTLE_S = 10
SWAP = ("prepare", "park", "swap", "unpark", "clear")
_DONE = re.compile(rf"^info (\w+) network/{BRIDGE} .*seconds=([0-9.]+)$")


@dataclass(frozen=True, slots=True, kw_only=True)
class Agreed:
    """What the intent says of docker_gwbridge."""

    subnet: str
    gateway: str
    icc: str = "false"


FIRST = Agreed(subnet="172.21.0.0/20", gateway="172.21.0.1")
SECOND = Agreed(subnet="172.22.16.0/20", gateway="172.22.16.1")

NO_SERVICES = "{}"
DOCUMENT = """\
name: prod
x-cluster:
  version: 1
  hosts:
{hosts}
  gwbridge:
    subnet: {subnet}
    gateway: {gateway}
    driver_opts: {{com.docker.network.bridge.enable_icc: "{icc}"}}
networks:
  {overlay}:
    name: {overlay}
    driver: overlay
    attachable: true
    ipam: {{config: [{{subnet: {overlay_subnet}, gateway: {overlay_gateway}}}]}}
services: {services}
"""


def document(lab: Lab, roles: Mapping[str, str], agreed: Agreed, services: str = NO_SERVICES) -> str:
    """An intent for hosts of these roles, with the overlay that was made by hand; `services` is YAML in flow style."""
    hosts = "\n".join(
        f"    {host.name}: {{address: {host.address}, role: {roles[host.name]}}}" for host in lab
    )
    return DOCUMENT.format(
        hosts=hosts,
        subnet=agreed.subnet,
        gateway=agreed.gateway,
        icc=agreed.icc,
        overlay=by_hand.OVERLAY,
        overlay_subnet=by_hand.OVERLAY_SUBNET,
        overlay_gateway=by_hand.OVERLAY_GATEWAY,
        services=services,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """A step on docker_gwbridge as a journal tells it; times by the wall clock all hosts share."""

    host: str
    verb: str
    began: float
    ended: float


class Live:
    """Agents on hosts that had their swarm before."""

    def __init__(self, lab: Lab, roles: Mapping[str, str], timings: Timings) -> None:
        self.lab, self.roles = lab, roles
        self.cluster = Cluster(lab, timings=timings)
        self.services = NO_SERVICES
        self._agreed: Agreed | None = None

    @property
    def agreed(self) -> Agreed:
        """What was last put."""
        assert self._agreed is not None, "nothing is agreed yet"
        return self._agreed

    def put(self, agreed: Agreed) -> int:
        self._agreed = agreed
        return self.cluster.put(self.document(agreed))

    def document(self, agreed: Agreed) -> str:
        """The intent with that bridge."""
        return document(self.lab, self.roles, agreed, self.services)

    def other(self) -> Agreed:
        """Another bridge than the one last put."""
        return FIRST if self.agreed == SECOND else SECOND

    def is_well(self) -> bool:
        """Whether the next test can begin here: three managers, every container runs, every bridge is right."""
        try:
            self.wait_right(self.agreed, self.revision(), SETTLE_S)
            there = set(by_hand.blocked_plan(self.lab).started)
        except (AssertionError, LabError, OSError):
            return False
        hand_made = {f"{host.name} {each.name}" for host in self.lab for each in by_hand.CONTAINERS}
        return self.roles == by_hand.ALL_MANAGERS and (self.services != NO_SERVICES or there == hand_made)

    def change(self, agreed: Agreed, within_s: float = CHANGED_S) -> list[Done]:
        """Put the intent and return when every host is as it says, with what was done for that; prints the time."""
        since = time.time()
        revision = self.put(agreed)
        self.wait_right(agreed, revision, within_s)
        print(f"\n{agreed.subnet} icc {agreed.icc}: everywhere after {time.time() - since:.1f} s")
        return self.done(since)

    def wait_right(self, agreed: Agreed, revision: int, within_s: float = CHANGED_S) -> None:
        """Return when every host has carried out `revision` and its bridge is as agreed, wherever one looks."""
        for host in self.lab:
            eventually(partial(self.check, host, agreed, revision), within_s, f"{host.name} is as agreed")

    def check(self, host: Host, agreed: Agreed, revision: int) -> None:
        """AssertionError unless the host is as agreed in docker, in the kernel, in its status and in its metrics."""
        check_bridge(host, agreed)
        self.cluster.check_converged(host, revision)
        status = self.cluster.status(host)["bridge"]
        assert (status["subnet"], status["gateway"]) == (agreed.subnet, agreed.gateway), status
        metrics = self.cluster.metrics(host)
        assert metrics["swarmkeeper_gwbridge_ok"] == 1
        assert not drifting(metrics), drifting(metrics)

    def revision(self) -> int:
        """The accepted revision."""
        return int((self.cluster.get("accepted") or {})["revision"])

    def done(self, since: float) -> list[Done]:
        """The steps on docker_gwbridge that ended since then, on all hosts, in the order they began."""
        return sorted(
            (each for host in self.lab for each in done_on(host, since)), key=lambda each: each.began
        )


def done_on(host: Host, since: float) -> Iterator[Done]:
    """The steps on docker_gwbridge that one host says it has done."""
    for entry in host.journal(UNIT, since=f"@{since:.3f}"):
        if found := _DONE.match(str(entry["MESSAGE"])):
            ended = int(entry["__REALTIME_TIMESTAMP"]) / 1e6
            yield Done(host=host.name, verb=found[1], began=ended - float(found[2]), ended=ended)


def turns(done: list[Done]) -> list[str]:
    """The hosts in the order they were changed. AssertionError if two of them were at work at the same time."""
    order: list[str] = []
    until = 0.0
    for each in done:
        if not order or order[-1] != each.host:
            assert each.host not in order, f"{each.host} began twice: {done}"
            assert each.began >= until, f"{each.host} began before {order[-1]} had ended: {done}"
            order.append(each.host)
        until = max(until, each.ended)
    return order


def check_bridge(host: Host, agreed: Agreed) -> None:
    """AssertionError unless docker and the kernel have the bridge as agreed, with a gateway for everyone."""
    docker = host.docker.api
    networks = [each["Name"] for each in docker.networks()]
    assert networks.count(BRIDGE) == 1, networks
    assert PARKING not in networks
    found = docker.inspect_network(BRIDGE)
    assert found["IPAM"]["Config"] == [{"Subnet": agreed.subnet, "Gateway": agreed.gateway}], found
    assert found["Options"]["com.docker.network.bridge.enable_icc"] == agreed.icc
    shown = host.exec("ip", "-json", "-4", "address", "show", BRIDGE, check=False)
    assert shown.returncode == 0, shown.stderr
    link = json.loads(shown.stdout)[0]
    assert "UP" in link["flags"], link
    there = [f"{each['local']}/{each['prefixlen']}" for each in link["addr_info"]]
    assert there == [f"{agreed.gateway}/{agreed.subnet.partition('/')[2]}"], there
    lost = {each["Names"][0] for each in on_overlays_alone(host) if each["Id"] not in found["Containers"]}
    assert not lost, f"without a gateway: {lost}"


def on_overlays_alone(host: Host) -> list[dict[str, Any]]:
    """The running containers that have their gateway on docker_gwbridge."""
    drivers = {each["Name"]: each["Driver"] for each in host.docker.api.networks()}
    running = [dict(each) for each in host.docker.api.containers()]
    return [each for each in running if {drivers.get(name) for name in networks_of(each)} == {"overlay"}]


def networks_of(listed: dict[str, Any]) -> list[str]:
    return list(listed["NetworkSettings"]["Networks"])


def drifting(metrics: Mapping[str, float]) -> list[str]:
    """What the metrics say differs now."""
    return [name for name, value in metrics.items() if name.startswith("swarmkeeper_drift{") and value]


def left_no_swarm(lab: Lab) -> bool:
    """Whether no agent ever took its host out of the swarm."""
    return not any(re.search(r"\bleave swarm\b", host.journal_text(UNIT)) for host in lab)
