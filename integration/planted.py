"""Faults that `doctor` has to find: how each is planted on hosts that are well, and taken away again."""

import base64
import json
import subprocess
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import bcrypt

from integration.cluster import ROOT, UNIT, Cluster
from integration.guarded import IMAGE
from integration.lab.eventually import eventually
from integration.states.stores import EMPTY, ETCD_SETTINGS

LOOKING, OTHER = "node-231", "node-232"
"""The host on which doctor runs, and another one."""
QUOTA_BYTES, NEARLY = 16 << 20, 14_000_000
"""A quota, and a size of the database that is above four fifths of it and leaves room for the agents."""
FILL = f"""
export ETCDCTL_API=3
head -c 500000 /dev/zero | tr '\\0' x >/tmp/fill
for n in $(seq 1 60); do
    size=$(etcdctl endpoint status --write-out=json | grep -o '"dbSize":[0-9]*' | cut -d: -f2)
    [ "$size" -lt {NEARLY} ] || break
    etcdctl put /fill/$n </tmp/fill >/dev/null
done
rm /tmp/fill
"""
DROP_IN = f"/run/systemd/system/{UNIT}.service.d/clock.conf"
FAKETIME = "/opt/libfaketime.so.1"
REGISTRY, HTPASSWD = "/etc/docker/registry/config.yml", "/etc/docker/registry/htpasswd"
RESTART_S = 30


@contextmanager
def dropped(cluster: Cluster, protocol: str, port: int) -> Iterator[None]:
    rule = ("INPUT", "-p", protocol, "--dport", str(port), "-j", "DROP")
    cluster.lab[OTHER].exec("iptables", "-I", *rule)
    try:
        yield
    finally:
        cluster.lab[OTHER].exec("iptables", "-D", *rule)


@contextmanager
def flushed(cluster: Cluster) -> Iterator[None]:
    host = cluster.lab[LOOKING]
    rules = host.exec("iptables-save").stdout
    for table in ("filter", "nat"):
        host.exec("iptables", "-t", table, "-F")
    try:
        yield
    finally:
        host.exec("iptables-restore", input=rules)


@contextmanager
def live_restore(cluster: Cluster) -> Iterator[None]:
    """A dockerd in a swarm takes it when it reads its file again, and does not start with it any more."""
    host, file = cluster.lab[LOOKING], "/etc/docker/daemon.json"
    own = host.read(file)

    def turn(on: bool) -> None:
        host.write(file, json.dumps({**json.loads(own), "live-restore": on}))
        host.systemctl("reload", "docker")
        eventually(lambda: host.docker.info()["LiveRestoreEnabled"] == on, RESTART_S, "dockerd took it")

    turn(on=True)
    try:
        yield
    finally:
        turn(on=False)
        host.write(file, own)


@contextmanager
def route_in_the_bridge(cluster: Cluster, on: str = LOOKING) -> Iterator[None]:
    route = ("172.21.5.0/24", "dev", "eth0")
    cluster.lab[on].exec("ip", "route", "add", *route)
    try:
        yield
    finally:
        cluster.lab[on].exec("ip", "route", "del", *route)


@contextmanager
def nearly_full(cluster: Cluster) -> Iterator[None]:
    """One member has a quota of which keys of another program take more than four fifths."""
    host = cluster.lab[OTHER]
    own = host.read(ETCD_SETTINGS)

    def restart(settings: str) -> None:
        host.write(ETCD_SETTINGS, settings)
        host.systemctl("restart", "etcd")
        cluster.lab.wait_etcd()

    host.exec("bash", "-c", FILL)
    try:
        restart(f'{own}ETCD_QUOTA_BACKEND_BYTES="{QUOTA_BYTES}"\n')
        yield
    finally:
        host.exec("bash", "-c", EMPTY)
        restart(own)


@contextmanager
def clock_ahead(cluster: Cluster) -> Iterator[None]:
    """The agent of another host sees a wall clock that is 90 s ahead; only that of its process is."""
    host = cluster.lab[OTHER]
    host.write(FAKETIME, faketime().read_bytes(), mode=0o755)
    host.exec("mkdir", "-p", str(Path(DROP_IN).parent))
    fake = f"LD_PRELOAD={FAKETIME} FAKETIME=+90s FAKETIME_DONT_FAKE_MONOTONIC=1"
    host.write(DROP_IN, f"[Service]\nEnvironment={fake}\n")
    host.systemctl("daemon-reload")
    host.systemctl("restart", UNIT)
    try:
        yield
    finally:
        host.exec("rm", "-r", str(Path(DROP_IN).parent))
        host.systemctl("daemon-reload")
        host.systemctl("restart", UNIT)


def faketime() -> Path:
    """The library of Debian's package, unpacked beside the repository's other tools."""
    folder = ROOT / "build/tools/faketime"
    if not folder.is_dir():
        folder.mkdir(parents=True)
        script = "apt-get download -qq libfaketime && dpkg-deb -x libfaketime_*.deb ."
        subprocess.run(["sh", "-c", script], cwd=folder, check=True, capture_output=True)
    return next(folder.glob("usr/lib/*/faketime/libfaketime.so.1"))


@contextmanager
def wrong_password(cluster: Cluster) -> Iterator[None]:
    """The registry asks for a password, and the credentials of one host have another one."""
    host, registry = cluster.lab[LOOKING], cluster.lab["node-231"]
    own, config = registry.read(REGISTRY), cluster.config(host)
    known = bcrypt.hashpw(b"right", bcrypt.gensalt(4)).decode()
    registry.write(HTPASSWD, f"robot:{known}\n")
    auth = {"htpasswd": {"realm": "locked", "path": HTPASSWD}}
    registry.write(REGISTRY, json.dumps({**json.loads(own), "auth": auth}))
    registry.systemctl("restart", "docker-registry")
    entry = {"auth": base64.b64encode(b"robot:of-the-past").decode()}
    host.write(
        "/etc/swarmkeeper/registry.json", json.dumps({"auths": {IMAGE.partition("/")[0]: entry}}), mode=0o640
    )
    host.exec("chgrp", "swarmkeeper", "/etc/swarmkeeper/registry.json")
    section = "docker:\n  registry_config: /etc/swarmkeeper/registry.json\n"
    host.write("/etc/swarmkeeper/agent.yaml", f"{config}{section}", mode=0o644)
    try:
        yield
    finally:
        host.write("/etc/swarmkeeper/agent.yaml", config, mode=0o644)
        registry.write(REGISTRY, own)
        registry.systemctl("restart", "docker-registry")


Fault = Callable[[Cluster], AbstractContextManager[None]]
FAULTS: dict[str, tuple[Fault, str, str, str]] = {
    "closed 7946": (
        lambda cluster: dropped(cluster, "tcp", 7946),
        "ports",
        "node-232: 10.159.62.232:7946/tcp does not answer",
        "let its firewall accept that port",
    ),
    "closed 4789": (
        lambda cluster: dropped(cluster, "udp", 4789),
        "overlays",
        "on node-232 does not answer over the overlay",
        "accept 4789/udp",
    ),
    "live-restore": (live_restore, "engine", "live-restore is on", 'remove "live-restore"'),
    "etcd near quota": (nearly_full, "etcd", "10.159.62.232:2379: the database is nearly full", "defrag"),
    "clock": (clock_ahead, "clocks", "the clock of the agent of node-232 is", "synchronise"),
    "route": (
        route_in_the_bridge,
        "addresses",
        "docker_gwbridge (172.21.0.0/20) overlaps the route 172.21.5.0/24 dev eth0",
        "remove that from this host",
    ),
    "wrong password": (wrong_password, "registries", "10.159.62.231: ", "docker login 10.159.62.231"),
    "flushed rules": (flushed, "firewall", "rules of docker are gone", "systemctl restart docker"),
}
"""Name -> the fault, and the check, words of the text and words of the remedy of its only finding."""
