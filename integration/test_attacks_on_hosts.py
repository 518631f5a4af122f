"""Attacks on the agents' pages, state files, secrets and leases, on hosts whose etcd has the printed roles."""

import base64
import json
import resource
import select
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from functools import partial
from threading import Event, Thread

import bcrypt
import pytest

from agent.model.records import Presence, Tokens, encode
from agent.model.status import HostStatus
from integration.cluster import PREFIX, UNIT
from integration.conftest import CONVERGE_S, LONG_ONLY
from integration.guarded import (
    DOCUMENT,
    LEADERS,
    NAMED_S,
    PASSWORD,
    WORKER,
    GuardedCluster,
    fixed,
    lock_of_thief,
    now,
    said_on,
    stays,
)
from integration.lab.eventually import eventually
from integration.lab.host import Host
from tests.support.document import document

ONE = "node-231"
"""The host that is attacked, where one is enough."""
MEMORY_MAX_KB = 256 << 10


@pytest.fixture
def cluster(guarded: GuardedCluster) -> GuardedCluster:
    """The document carried out, whatever the test before has left."""
    guarded.wait_converged(guarded.put_unless_accepted(DOCUMENT), CONVERGE_S)
    return guarded


# ---- The pages: one client on the LAN dawdles, guesses or has many connections, and another host scrapes

SCRAPES, SCRAPE_S = 20, 1.0
HASH = bcrypt.hashpw(PASSWORD.encode(), b"$2b$10$" + b"abcdefghijklmnopqrstuu").decode()
WEB = "/etc/swarmkeeper/web.yaml"
GUESS = base64.b64encode(b"prometheus:guess").decode()
IDLE, HALF = b"", b"GET /metrics HTTP/1.1\r\nX-Slow: "
GUESSES = f"GET /metrics HTTP/1.0\r\nAuthorization: Basic {GUESS}\r\n\r\n".encode()


@contextmanager
def crowd(cluster: GuardedCluster, host: Host, number: int, first: bytes) -> Iterator[None]:
    """Hold `number` connections from the LAN that sent `first`; one that was cut or answered comes again at once."""
    done, here = Event(), Event()
    address = (host.address, 9477)

    poll, members = select.poll(), dict[int, socket.socket]()

    def join() -> None:
        with suppress(OSError):
            member = socket.create_connection(address, timeout=10)
            members[member.fileno()] = member
            poll.register(member, select.POLLIN)
            member.sendall(first)

    def insist() -> None:
        with cluster.lab.lan.inside():
            try:
                for _ in range(number):
                    join()
                here.set()
                while not done.wait(0.1):
                    for fd, _ in poll.poll(0):
                        poll.unregister(fd)
                        members.pop(fd).close()
                        join()
                    for member in members.values() if first == HALF else ():
                        with suppress(OSError):
                            member.sendall(b"x")
            finally:
                for member in members.values():
                    member.close()

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(4096, hard), hard))
    thread = Thread(target=insist)
    thread.start()
    try:
        assert here.wait(60)
        yield
        assert thread.is_alive()
    finally:
        done.set()
        thread.join()
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def scrapes(host: Host, of: Host, user: str = "") -> list[str]:
    """Scrape another host's page 20 times: curl's exit code, the status, and its seconds."""
    login = f"--user {user} " if user else ""
    options = (
        f"--silent --output /dev/null --max-time {SCRAPE_S:g} --write-out '%{{http_code}} %{{time_total}}'"
    )
    curl = f"curl {options} {login}http://{of.address}:9477/metrics"
    loop = f'for n in $(seq {SCRAPES}); do {curl}; echo " $?"; done'
    return host.exec("sh", "-c", loop, check=False).stdout.splitlines()


@pytest.mark.parametrize(
    ("number", "first"),
    [(8, HALF), (60, IDLE), (1000, IDLE)],
    ids=["8 drip a head", "60 are idle", "1,000 connections"],
)
def test_another_host_is_answered_whatever_one_client_does(
    cluster: GuardedCluster, number: int, first: bytes
) -> None:
    host, peer = cluster.lab[ONE], cluster.lab[WORKER]
    with crowd(cluster, host, number, first):
        found = scrapes(peer, host)
    print(f"{number} x {first!r}: {found}")
    assert [each.split()[0] for each in found] == ["200"] * SCRAPES


def test_another_host_logs_in_while_ten_clients_guess_a_password(cluster: GuardedCluster) -> None:
    host, peer = cluster.lab[ONE], cluster.lab[WORKER]
    config, since = cluster.config(host), now(host)
    host.write(WEB, f"basic_auth_users: {{prometheus: {HASH}}}\n", mode=0o640)
    host.exec("chgrp", "swarmkeeper", WEB)
    try:
        host.write(
            "/etc/swarmkeeper/agent.yaml",
            config.replace("http:\n", f"http:\n  web_config: {WEB}\n"),
            mode=0o644,
        )
        host.systemctl("restart", UNIT)

        def is_asked_for() -> None:
            assert scrapes(peer, host)[0].startswith("401"), "no password is asked for yet"

        eventually(is_asked_for, 30, "the page asks for a password")
        with crowd(cluster, host, 10, GUESSES):
            found = scrapes(peer, host, f"prometheus:{PASSWORD}")
        print(found)
        assert [each.split()[0] for each in found] == ["200"] * SCRAPES
        said = said_on(host, since)
        assert "login to the HTTP server refused" in said
        assert PASSWORD not in said
    finally:
        host.write("/etc/swarmkeeper/agent.yaml", config, mode=0o644)
        host.systemctl("restart", UNIT)


# ---- The saved state

KEPT = "/var/lib/swarmkeeper/kept.json"


@pytest.mark.parametrize(
    "made",
    [
        pytest.param(f"mkfifo {KEPT}", id="a FIFO"),
        pytest.param(f"ln -s /dev/zero {KEPT}", id="a link to /dev/zero", marks=LONG_ONLY),
        pytest.param(f"truncate --size=300M {KEPT}", id="300 MB of zeros", marks=LONG_ONLY),
    ],
)
def test_the_unit_starts_whatever_the_saved_state_is(cluster: GuardedCluster, made: str) -> None:
    host, before = cluster.lab[WORKER], cluster.started()
    host.systemctl("stop", UNIT)
    since = now(host)
    host.exec("sh", "-c", f"rm {KEPT} && {made} && chown -h swarmkeeper: {KEPT}")

    host.systemctl("start", UNIT)

    eventually(lambda: "saved state ignored" in said_on(host, since), NAMED_S, "the agent names the file")
    assert KEPT in next(each for each in said_on(host, since).splitlines() if "saved state ignored" in each)
    cluster.wait_converged(cluster.newest(), CONVERGE_S)
    assert cluster.started() == before
    eventually(lambda: json.loads(host.read(KEPT))["v"] == 1, 30, "the agent saves its state again")
    pid = host.systemctl("show", "--value", "--property=MainPID", UNIT)
    peak = int(host.exec("awk", "/VmHWM/ {print $2}", f"/proc/{pid}/status").stdout)
    print(f"{made}: at most {peak >> 10} MB")
    assert peak < MEMORY_MAX_KB


# ---- Sealed tokens that come back

MISSING = {"node-239": {"address": "10.159.62.239", "role": "worker"}}
"""While a declared host is missing, tokens are published."""


def sealed(cluster: GuardedCluster) -> Tokens:
    found = cluster.get("tokens")
    assert found
    assert found["sealed"]
    record: Tokens = cluster.record(Tokens, "tokens")
    return record


@LONG_ONLY
def test_an_earlier_sealed_value_is_refused_and_named(cluster: GuardedCluster) -> None:
    before, members = fixed(cluster), cluster.members()
    with_one_more = document(DOCUMENT, hosts=MISSING)
    cluster.put(with_one_more)
    eventually(lambda: cluster.get("tokens") is not None, CONVERGE_S, "tokens are published")
    first = sealed(cluster)
    cluster.put(DOCUMENT)
    eventually(lambda: not cluster.get("tokens"), CONVERGE_S, "the tokens are withdrawn")
    cluster.put(with_one_more)
    eventually(lambda: cluster.get("tokens") is not None, CONVERGE_S, "other tokens are published")
    assert sealed(cluster) != first
    leader = (cluster.get("leader") or {})["host"]
    thief = next(name for name in LEADERS if name != leader)
    since = {host.name: now(host) for host in cluster.lab.hosts}

    with lock_of_thief(cluster, thief):  # so that no leader replaces it before a host has seen it
        cluster.forge(thief, "tokens", encode(first).decode())

        def is_named() -> None:
            for host in cluster.lab.hosts:
                assert "an earlier value came back" in said_on(host, since[host.name]), host.name

        eventually(is_named, NAMED_S, "each host names the earlier value")
    eventually(lambda: sealed(cluster) != first, NAMED_S, "the leader seals other tokens")
    stays(cluster, before)
    assert cluster.members() == members


# ---- The lease of a leader that is dead

NEVER_AGAIN = "/run/systemd/system/swarmkeeper.service.d/dead.conf"
JUDGES_S = 60
"""docs/operate/etcd.md: a document without a verdict for so long is an alarm on every host."""


@contextmanager
def renewed(cluster: GuardedCluster, user: str, lease: int) -> Iterator[None]:
    """Renew a lease for as long as it exists, as a user who has no right to any key of its holder."""
    argv = cluster.etcdctl_command(cluster.user(user), ("lease", "keep-alive", f"{lease:x}"))
    renewing = cluster.lab.lan.popen(*argv, stdout=subprocess.DEVNULL)
    try:
        yield
        assert renewing.poll() is None
    finally:
        renewing.kill()
        renewing.wait()


@LONG_ONLY
def test_a_dead_leader_whose_lease_is_renewed_is_named_on_every_host_with_a_remedy_that_works(
    cluster: GuardedCluster,
) -> None:
    before = fixed(cluster)
    lease = json.loads(cluster.etcdctl("get", f"{PREFIX}leader", "-w", "json"))["kvs"][0]["lease"]
    dead = cluster.lab[(cluster.get("leader") or {})["host"]]
    with renewed(cluster, WORKER, lease):
        dead.write(NEVER_AGAIN, "[Service]\nRestart=no\n")
        dead.systemctl("daemon-reload")
        dead.systemctl("kill", "--signal=KILL", UNIT)
        try:
            since = {host.name: now(host) for host in cluster.lab.hosts}
            put_at = time.monotonic()
            revision = cluster.put(document(DOCUMENT, tags={"order": "1.0.1"}))
            others = [host for host in cluster.lab.hosts if host is not dead]

            def are_told(hosts: list[Host]) -> None:
                for host in hosts:
                    said = said_on(host, since[host.name])
                    assert f"has not judged revision {revision}" in said, host.name
                    assert f"etcdctl del {PREFIX}leader" in said, host.name

            # A worker sees the document in one pass by time, and names it in the first one 60 s later.
            resync_s = 3 * cluster.timings.resync_s
            eventually(partial(are_told, others), JUDGES_S + resync_s, "the others name the lock")
            print(f"named on the others after {time.monotonic() - put_at:.0f} s")
            dead.exec("rm", NEVER_AGAIN)
            dead.systemctl("daemon-reload")
            dead.systemctl("start", UNIT)
            eventually(partial(are_told, [dead]), JUDGES_S + resync_s, "so does the host of the dead one")
            assert cluster.get("leader")
            stays(cluster, before)
            cluster.delete("leader")
            cluster.wait_converged(revision, CONVERGE_S)
        finally:
            dead.exec("rm", "-f", NEVER_AGAIN)
            dead.systemctl("daemon-reload")
            dead.systemctl("start", UNIT)


# ---- What a stolen worker reports of itself


def lies(cluster: GuardedCluster, true: HostStatus) -> dict[str, HostStatus]:
    of_other = cluster.record(HostStatus, f"hosts/{ONE}/status")
    return {
        "nothing runs": replace(true, replicas=(), images=(), networks=()),
        "its replicas all fail": replace(
            true,
            replicas=tuple(replace(each, status="exited", error="no", exit_code=1) for each in true.replicas),
        ),
        "it has the replicas of another host": replace(true, replicas=of_other.replicas),
        "it is the node of another host": replace(
            true, node_id=of_other.node_id, swarm_address=of_other.swarm_address, is_manager=True
        ),
        "it is in another swarm": replace(true, swarm_id="x" * 25, node_id="y" * 25),
        "its dockerd does not answer": replace(true, engine_up=False, replicas=()),
    }


@LONG_ONLY
@pytest.mark.parametrize(
    "lie",
    [
        "nothing runs",
        "its replicas all fail",
        "it has the replicas of another host",
        "it is the node of another host",
        "it is in another swarm",
        "its dockerd does not answer",
    ],
)
def test_no_fixed_or_global_replica_of_another_host_stops_for_what_a_stolen_worker_reports(
    cluster: GuardedCluster, lie: str
) -> None:
    stolen, members = cluster.lab[WORKER], cluster.members()
    stolen.systemctl("stop", UNIT)
    before = fixed(cluster)
    try:
        true = cluster.record(HostStatus, f"hosts/{WORKER}/status")
        presence = Presence(
            instance="thief", boot_id="b", version=true.agent_version, since=true.at, host=WORKER
        )
        told = replace(lies(cluster, true)[lie], instance="thief", stopped=False)
        cluster.forge(WORKER, f"hosts/{WORKER}/presence", encode(presence).decode())
        cluster.forge(WORKER, f"hosts/{WORKER}/status", encode(told).decode())
        stays(cluster, before)
        assert cluster.members() == members
    finally:
        cluster.delete(f"hosts/{WORKER}/presence")
        stolen.systemctl("start", UNIT)
    cluster.wait_converged(cluster.newest(), CONVERGE_S)
