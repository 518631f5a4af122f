"""The faults, one host each: how each is caused and undone, and whether replicas of that host may notice."""

import random
from collections.abc import Callable
from dataclasses import dataclass

from integration.cluster import ETCDCTL_S, PREFIX, UNIT, Cluster
from integration.lab.eventually import eventually
from integration.lab.host import Host

ETCD_PORTS = ("tcp", "2379,2380")
SWARM_PORTS = (("tcp", "2377,7946"), ("udp", "7946,4789"))
LOST_SHARE = "0.2"
INTENT, ASIDE = f"{PREFIX}intent", "/run/intent-that-was-deleted"
# Both may be repeated. What an operator has put meanwhile is newer, and stays.
DELETE = f"""
export ETCDCTL_API=3
etcdctl get --print-value-only {INTENT} >{ASIDE}.new
if [ -s {ASIDE}.new ]; then head --bytes=-1 {ASIDE}.new >{ASIDE}; fi
etcdctl del {INTENT}
"""
PUT_BACK = f"""
export ETCDCTL_API=3
there=$(etcdctl get --keys-only {INTENT})
if [ -z "$there" ]; then etcdctl put {INTENT} <{ASIDE}; fi
rm -f {ASIDE}
"""
SLOW = ("rate", "2mbit", "burst", "32kb", "latency", "400ms")


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """`begin` and `end` are given the host it happens to and another one."""

    name: str
    begin: Callable[[Host, Host], None]
    end: Callable[[Host, Host], None] = lambda _host, _other: None
    holds_s: tuple[float, float] = (0.0, 0.0)
    """How long it lasts, at least and at most; 0: it is over at once."""
    stops_replicas: bool = False
    """Whether replicas on the host end by it; dockerd or the agent starts them again."""
    of_leader: bool = False
    """Happens to the host of the leader, whichever that is."""
    puts: bool = False
    """Whether the document in etcd has another revision by it."""
    ends_lease: bool = False
    """Whether the lease of the host's agent ends by it, once it has lasted for longer than that."""


def alone(change: Callable[[Host], None]) -> Callable[[Host, Host], None]:
    """What happens to a host whichever the other one is."""
    return lambda host, _other: change(host)


def signals(name: str, unit: str) -> Callable[[Host, Host], None]:
    def send(host: Host, _other: Host) -> None:
        host.systemctl("reset-failed", unit, check=False)  # systemd gives up on what is killed too often
        host.systemctl("kill", "--kill-who=main", f"--signal={name}", unit, check=False)

    return send


def filtered(verb: str, *matches: tuple[str, ...]) -> Callable[[Host, Host], None]:
    """Add (-I) or remove (-D) rules by which the host loses packets that match, both ways."""

    def change(host: Host, _other: Host) -> None:
        for match in matches:
            for chain in ("PREROUTING", "OUTPUT"):
                host.exec("iptables", "-w", "-t", "raw", verb, chain, *match, "-j", "DROP")

    return change


def ports(protocol: str, numbers: str) -> tuple[tuple[str, ...], ...]:
    """Matches of what goes to these ports, and of what comes from them."""
    match = ("-p", protocol, "-m", "multiport")
    return (*match, "--dports", numbers), (*match, "--sports", numbers)


ETCD = ports(*ETCD_PORTS)
SWARM = tuple(each for place in SWARM_PORTS for each in ports(*place))
LOSSY = ("-i", "eth0", "-m", "statistic", "--mode", "random", "--probability", LOST_SHARE)


def lose_packets(verb: str) -> Callable[[Host, Host], None]:
    def change(host: Host, _other: Host) -> None:
        host.exec("iptables", "-w", "-t", "raw", verb, "PREROUTING", *LOSSY, "-j", "DROP")

    return change


FAULTS = (
    Fault(name="agent killed", begin=signals("KILL", UNIT)),
    Fault(name="leader killed", begin=signals("KILL", UNIT), of_leader=True),
    Fault(name="agent ended", begin=signals("TERM", UNIT), of_leader=True),
    Fault(name="dockerd killed", begin=signals("KILL", "docker"), stops_replicas=True),
    Fault(
        name="agent frozen",
        begin=signals("STOP", UNIT),
        end=signals("CONT", UNIT),
        holds_s=(10, 25),
        of_leader=True,
        ends_lease=True,
    ),
    Fault(name="dockerd frozen", begin=signals("STOP", "docker"), end=signals("CONT", "docker"), holds_s=(5, 30)),
    Fault(
        name="host frozen", begin=alone(Host.freeze), end=alone(Host.thaw), holds_s=(5, 25), ends_lease=True
    ),
    Fault(name="power cycled", begin=alone(Host.cycle), stops_replicas=True),
    Fault(
        name="etcd ended",
        begin=lambda host, _: _etcd(host, "stop"),
        end=lambda host, _: _etcd(host, "start"),
        holds_s=(5, 25),
    ),
    Fault(name="etcd killed", begin=signals("KILL", "etcd")),
    Fault(name="cut off", begin=alone(Host.cut), end=alone(Host.heal), holds_s=(5, 25), ends_lease=True),
    Fault(name="cut from a peer", begin=Host.cut, end=alone(Host.heal), holds_s=(10, 30)),
    Fault(
        name="cut from etcd",
        begin=filtered("-I", *ETCD),
        end=filtered("-D", *ETCD),
        holds_s=(10, 30),
        ends_lease=True,
    ),
    Fault(name="cut from the swarm", begin=filtered("-I", *SWARM), end=filtered("-D", *SWARM), holds_s=(10, 30)),
    Fault(name="lossy link", begin=lose_packets("-I"), end=lose_packets("-D"), holds_s=(10, 25)),
    Fault(
        name="slow link",
        begin=lambda host, _: _run(host, "tc", "qdisc", "add", "dev", "eth0", "root", "tbf", *SLOW),
        end=lambda host, _: _run(host, "tc", "qdisc", "del", "dev", "eth0", "root"),
        holds_s=(10, 25),
    ),
    Fault(
        name="intent deleted",
        begin=lambda _host, other: _until_done(other, DELETE),
        end=lambda _host, other: _until_done(other, PUT_BACK),
        holds_s=(5, 25),
        puts=True,
    ),
)  # fmt: skip


def _run(host: Host, *command: str) -> None:
    host.exec(*command)


def _etcd(host: Host, verb: str) -> None:
    # A member alone does not become ready: nothing here waits for it.
    host.systemctl("--no-block", verb, "etcd")


def _until_done(host: Host, script: str) -> None:
    def run() -> None:
        done = host.exec("sh", "-ec", script, check=False)
        assert done.returncode == 0, done.stderr

    eventually(run, ETCDCTL_S, f"etcdctl on {host.name}")


def choose(chance: random.Random, cluster: Cluster) -> tuple[Fault, Host, Host]:
    """The next fault, the host it happens to, and another one. Asks etcd only where the leader is to be hit."""
    fault = chance.choice(FAULTS)
    host, other = chance.sample(cluster.lab.hosts, 2)
    if fault.of_leader:
        leader = (cluster.get("leader") or {}).get("host")
        host = next((each for each in cluster.lab.hosts if each.name == leader), host)
        other = next(each for each in (other, *cluster.lab.hosts) if each is not host)
    return fault, host, other
