"""A swarm as operators make one, before any agent: docker swarm init and join, an overlay, docker run on each host.

Nobody made docker_gwbridge beforehand, so it is the one Docker chooses, 172.18.0.0/16 on a host without other networks.
"""

from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial

from integration.cluster import time_swarm
from integration.lab.eventually import eventually
from integration.lab.host import Host
from integration.lab.lab import Lab
from integration.lab.registry import ADDRESS as REGISTRY
from integration.timings import Timings

OVERLAY = "my-network-overlay"
OVERLAY_SUBNET, OVERLAY_GATEWAY = "10.10.0.0/16", "10.10.0.254"
DOCKERS_CHOICE = "172.18.0.0/16"
SETTLE_S = 60

ALL_MANAGERS = {"node-231": "manager", "node-232": "manager", "node-233": "manager"}
ONE_MANAGER = {"node-231": "manager", "node-232": "worker", "node-233": "worker"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Container:
    """One started by hand on each host, with a published port."""

    name: str
    service: str
    inside: int
    port: int

    @property
    def image(self) -> str:
        return f"{REGISTRY}/somecom/{self.service}:1.0.0"


CONTAINERS = (
    Container(name="hand-terminal", service="terminal", inside=20880, port=8081),
    Container(name="hand-billing", service="billing", inside=8080, port=8082),
    Container(name="hand-console", service="console", inside=80, port=8083),
)


def make_swarm(lab: Lab, roles: Mapping[str, str], timings: Timings) -> None:
    """The swarm on hosts where nobody made docker_gwbridge: docker has, in its own way, when this returns."""
    join_all(lab, roles, timings)
    for host in lab:
        eventually(lambda: _subnet(host) == DOCKERS_CHOICE, SETTLE_S, f"{host.name} has docker's own bridge")  # noqa: B023


def join_all(lab: Lab, roles: Mapping[str, str], timings: Timings) -> None:
    """`docker swarm init` on the first manager, `docker swarm join` on the others; all are ready when it returns."""
    first, *others = (lab[name] for name in sorted(roles, key=lambda name: (roles[name] != "manager", name)))
    first.exec("docker", "swarm", "init", "--advertise-addr", first.address)
    time_swarm(first, timings)
    for host in others:
        token = first.exec("docker", "swarm", "join-token", "--quiet", roles[host.name]).stdout.strip()
        join = ("docker", "swarm", "join", "--advertise-addr", host.address, "--token", token)
        host.exec(*join, f"{first.address}:2377")
    eventually(lambda: _all_ready(lab, roles), SETTLE_S, "every node is ready")


def leave_swarm(host: Host, *options: str) -> None:
    """`docker swarm leave`, and once more where dockerd took longer for it than it gives itself, 15 s."""
    leave = partial(host.exec, "docker", "swarm", "leave", *options, check=False)
    eventually(lambda: leave().returncode == 0, SETTLE_S, f"{host.name} leaves its swarm")


def _all_ready(lab: Lab, roles: Mapping[str, str]) -> bool:
    nodes = leader_of(lab).docker.api.nodes()
    return len(nodes) == len(roles) and all(node["Status"]["State"] == "ready" for node in nodes)


def _subnet(host: Host) -> str:
    bridges = host.docker.api.networks(names=["docker_gwbridge"])
    return str(bridges[0]["IPAM"]["Config"][0]["Subnet"]) if bridges else ""


def leader_of(lab: Lab) -> Host:
    """The host that leads the raft. LookupError when no manager knows one."""
    for host in lab:
        if host.docker.api.info()["Swarm"]["ControlAvailable"]:
            for node in host.docker.api.nodes():
                if node.get("ManagerStatus", {}).get("Leader"):
                    return lab[node["Description"]["Hostname"]]
    raise LookupError("no manager knows a leader")


def make_overlay(host: Host) -> None:
    """The attachable overlay, with subnet and gateway as the operator wants them."""
    addresses = ("--subnet", OVERLAY_SUBNET, "--gateway", OVERLAY_GATEWAY)
    host.exec("docker", "network", "create", "--driver", "overlay", "--attachable", *addresses, OVERLAY)


def run(host: Host, container: Container, *options: str) -> None:
    """`docker run` with what every container started by hand has."""
    common = (
        "--detach",
        "--restart=always",
        "--network",
        OVERLAY,
        "--publish",
        f"{container.port}:{container.inside}",
    )
    host.exec("docker", "run", "--name", container.name, *common, *options, container.image, timeout=120)


def make_everything(lab: Lab, roles: Mapping[str, str], timings: Timings) -> None:
    """The swarm, the overlay, three containers with a published port on each host; all of them answer on return."""
    make_swarm(lab, roles, timings)
    make_overlay(lab[next(name for name, role in roles.items() if role == "manager")])
    with ThreadPoolExecutor(len(lab.hosts)) as pool:
        list(pool.map(_run_all, lab.hosts))
    all_answer(lab, published(lab))


def _run_all(host: Host) -> None:
    for container in CONTAINERS:
        run(host, container)


def all_answer(lab: Lab, ports: Iterable[str], within_s: float = SETTLE_S) -> None:
    """Return when every port, as address:port, has an answer for a client on the LAN."""
    for port in ports:
        eventually(partial(answers, lab, port), within_s, f"{port} answers")


def answers(lab: Lab, port: str) -> bool:
    """Whether a published port has an answer for a client on the LAN."""
    return lab.lan.http_get(f"http://{port}/", 2).status == 200


def published(lab: Lab) -> Iterator[str]:
    """Every port that `make_everything` publishes, as address:port."""
    yield from (f"{host.address}:{container.port}" for host in lab for container in CONTAINERS)


@dataclass(frozen=True, slots=True, kw_only=True)
class BlockedPlan:
    """What must be the same after a change that disturbs nobody."""

    nodes: Mapping[str, str]
    """Node id of each host."""
    started: Mapping[str, str]
    """Of each container on each host, by "host name": id and the moment it was last started."""


def blocked_plan(lab: Lab) -> BlockedPlan:
    """Node ids and containers of all hosts as they are now; every container must run (or be paused)."""
    started = {}
    for host in lab:
        for each in host.docker.api.containers(all=True):
            seen = host.docker.api.inspect_container(each["Id"])
            assert seen["State"]["Running"], f"{host.name}: {seen['Name']} is {seen['State']}"
            started[f"{host.name} {seen['Name'].lstrip('/')}"] = f"{seen['Id']} {seen['State']['StartedAt']}"
    nodes = {host.name: str(host.docker.api.info()["Swarm"]["NodeID"]) for host in lab}
    return BlockedPlan(nodes=nodes, started=started)
