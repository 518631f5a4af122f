"""States of one host's engine, and of the swarm: stopped, frozen, in error, without a quorum, with another address."""

import base64
from collections.abc import Iterator
from contextlib import contextmanager

from integration.cluster import UNIT, Cluster
from integration.lab.eventually import eventually
from integration.lab.host import Host
from integration.states.state import CRITICAL, WARNING, State

ENGINE = ("docker.socket", "docker")
NODE_KEY = "/var/lib/docker/swarm/certificates/swarm-node.crt"
OTHER = "10.159.62.243"
SWARM_PORTS = (("tcp", "2377,7946"), ("udp", "7946,4789"))
AGENT_KEY = "/etc/swarmkeeper/tokens.key"
KEY, OTHER_KEY = (base64.b64encode(bytes([byte]) * 32).decode() for byte in (1, 2))
REJOIN_S = 180


@contextmanager
def engines_stopped(cluster: Cluster, *names: str) -> Iterator[None]:
    """`systemctl stop docker.socket docker` on these hosts."""
    hosts = [cluster.lab[name] for name in names]
    for host in hosts:
        host.systemctl("stop", *ENGINE)
    try:
        yield
    finally:
        for host in hosts:
            host.systemctl("start", "--no-block", *ENGINE)
        for host in hosts:
            host.wait_up()


@contextmanager
def engine_frozen(cluster: Cluster) -> Iterator[None]:
    """The dockerd of node-233 is stopped between two instructions."""
    host = cluster.lab["node-233"]
    host.systemctl("kill", "--kill-who=main", "--signal=STOP", "docker")
    try:
        yield
    finally:
        host.systemctl("kill", "--kill-who=main", "--signal=CONT", "docker")


@contextmanager
def engine_in_error(cluster: Cluster) -> Iterator[None]:
    """The certificate of node-233 is damaged while its dockerd is stopped."""
    host = cluster.lab["node-233"]
    host.systemctl("stop", *ENGINE)
    host.exec("cp", "-a", NODE_KEY, f"{NODE_KEY}.kept")
    host.write(NODE_KEY, "damaged\n", 0o600)
    try:
        host.systemctl("start", *ENGINE)
        yield
    finally:
        host.systemctl("stop", *ENGINE)
        host.exec("mv", f"{NODE_KEY}.kept", NODE_KEY)
        host.systemctl("reset-failed", "docker", check=False)
        host.systemctl("start", *ENGINE)


@contextmanager
def other_address(cluster: Cluster) -> Iterator[None]:
    """The interface of node-233 has another address than the document declares."""
    host = cluster.lab["node-233"]
    _move(host, host.address, OTHER)
    try:
        yield
    finally:
        _move(host, OTHER, host.address)
        host.systemctl("restart", "--no-block", "etcd")
        host.systemctl("restart", UNIT)


def _move(host: Host, old: str, new: str) -> None:
    host.exec("ip", "address", "delete", f"{old}/24", "dev", "eth0")
    host.exec("ip", "address", "add", f"{new}/24", "dev", "eth0")


@contextmanager
def wrong_sealing_key(cluster: Cluster) -> Iterator[None]:
    """node-233 has another sealing key than the others, and has left the swarm."""
    host = cluster.lab["node-233"]
    own = {each.name: each.read("/etc/swarmkeeper/agent.yaml") for each in cluster.lab.hosts}
    for each in cluster.lab.hosts:
        _give_key(each, OTHER_KEY if each is host else KEY, own[each.name])
    host.exec("docker", "swarm", "leave", "--force")
    try:
        yield
    finally:
        _give_key(host, KEY, own[host.name])
        # Sealed tokens cannot be read without a key: they are gone once the host has joined.
        eventually(lambda: cluster.get("tokens") is None, REJOIN_S, "node-233 joins with the right key")
        for each in cluster.lab.hosts:
            each.write("/etc/swarmkeeper/agent.yaml", own[each.name])
            each.exec("rm", "-f", AGENT_KEY)
        cluster.on_every_host(lambda each: each.systemctl("restart", UNIT))


def _give_key(host: Host, key: str, config: str) -> None:
    host.write(AGENT_KEY, f"{key}\n", 0o640)
    host.exec("chgrp", "swarmkeeper", AGENT_KEY)
    host.write("/etc/swarmkeeper/agent.yaml", f"{config}tokens:\n  key_file: {AGENT_KEY}\n")
    host.systemctl("restart", UNIT)


@contextmanager
def agent_stopped(cluster: Cluster) -> Iterator[None]:
    """`systemctl stop swarmkeeper` on node-233."""
    host = cluster.lab["node-233"]
    host.systemctl("stop", UNIT)
    try:
        yield
    finally:
        host.systemctl("start", UNIT)


@contextmanager
def swarm_ports_closed(cluster: Cluster) -> Iterator[None]:
    """Nobody reaches the swarm's ports of node-232 and node-233."""
    hosts = [cluster.lab[name] for name in ("node-232", "node-233")]
    _filter("-I", hosts)
    try:
        yield
    finally:
        _filter("-D", hosts)


def _filter(verb: str, hosts: list[Host]) -> None:
    for host in hosts:
        for protocol, ports in SWARM_PORTS:
            for side in ("--dports", "--sports"):
                for chain in ("PREROUTING", "OUTPUT"):
                    match = ("-p", protocol, "-m", "multiport", side, ports)
                    host.exec("iptables", "-w", "-t", "raw", verb, chain, *match, "-j", "DROP")


STATES = (
    State(
        name="dockerd-stopped",
        done="`systemctl stop docker.socket docker` on node-233, which alone runs `terminal`.",
        fault=lambda cluster: engines_stopped(cluster, "node-233"),
        cause="host/node-233",
        reason="EngineDown",
        state="Degraded",
        code=CRITICAL,
        first=("node-233", "terminal"),
        follows=("(replica|service)/terminal.*",),
        core=True,
    ),
    State(
        name="two-of-three-managers-away",
        done="`systemctl stop docker.socket docker` on node-232 and node-233.",
        fault=lambda cluster: engines_stopped(cluster, "node-232", "node-233"),
        cause="quorum",
        reason="QuorumLost",
        state="Blocked",
        code=CRITICAL,
        first=("[Qq]uorum", "1 of 3"),
        also=("node-232", "node-233"),
        core=True,
    ),
    State(
        name="quorum-cut",
        done="A firewall closes the swarm's ports of node-232 and node-233.",
        fault=swarm_ports_closed,
        cause="quorum",
        reason="QuorumLost",
        state="Blocked",
        code=CRITICAL,
        first=("quorum lost", "no raft leader"),
        within_s=120,
    ),
    State(
        name="dockerd-frozen",
        done="dockerd of node-233 is stopped by SIGSTOP.",
        fault=engine_frozen,
        cause="host/node-233",
        reason="EngineDown",
        state="Degraded",
        code=CRITICAL,
        first=("node-233", "terminal"),
        follows=("(replica|service)/terminal.*",),
        within_s=180,
    ),
    State(
        name="manager-in-error",
        done="The certificate of the manager node-233 is damaged, and its dockerd restarts.",
        fault=engine_in_error,
        cause="host/node-233",
        reason="SwarmError",
        state="Degraded",
        code=CRITICAL,
        first=("node-233",),
        within_s=120,
    ),
    State(
        name="other-address",
        done="The interface of node-233 gets another address than the document declares.",
        fault=other_address,
        cause="host/node-233",
        reason="OtherAddress",
        state="Degraded",
        code=WARNING,
        first=("node-233",),
        also=("10.159.62.233",),
        within_s=120,
    ),
    State(
        name="wrong-sealing-key",
        done="node-233 has another sealing key than the other hosts, and is outside the swarm.",
        fault=wrong_sealing_key,
        cause="key/tokens",
        reason="WrongSealingKey",
        state="Blocked",
        code=WARNING,
        first=("node-233", "key"),
        follows=("host/node-233", "service/(terminal|api)"),
        within_s=120,
    ),
    State(
        name="agent-stopped",
        done="`systemctl stop swarmkeeper` on node-233.",
        fault=agent_stopped,
        cause="host/node-233",
        reason="AgentStopped",
        state="Unknown",
        code=CRITICAL,
        first=("node-233",),
        within_s=90,
    ),
)
