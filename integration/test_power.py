"""All hosts lose power at once, dockerds crash, a swarm is locked: every replica runs again without a person."""

import os
import random
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

import pytest

from integration.cluster import DUPLICATE_ADDRESS, REPLICAS, Cluster
from integration.conftest import LONG_ONLY
from integration.lab.eventually import eventually
from integration.lab.host import Host
from integration.lab.outage import Wanted, black_out, crash
from integration.test_main_job import asks
from tests.support.left_task import leave_task
from tests.support.reliability import SECONDS, RecordProperty, recovering

pytestmark = pytest.mark.every_base

LONG = bool(os.environ.get("SWARMKEEPER_LONG"))
TRIES = 30
POWER_CUTS, CRASHES = 10, 10 if LONG else 1
SEED = int(os.environ.get("SWARMKEEPER_SEED", "0")) or random.SystemRandom().randrange(1, 10**6)
BACK_S = 240
"""Docker's own waits come one after the other: 20 s for a leader, 30 s for peers, before it answers at all."""
LONGEST_S = 1800 if LONG else 900
EMPTY_TASK = "containerd has kept an empty task of its last run"
BRIDGE = [{"Subnet": "172.21.0.0/20", "Gateway": "172.21.0.1"}]


def by_host() -> Wanted:
    return {
        host: frozenset(each for each, on in REPLICAS.items() if on == host)
        for host in set(REPLICAS.values())
    }


def membership(host: Host) -> tuple[str, str, str]:
    """(swarm, node, state) as the host's engine says."""
    swarm = host.docker.api.info()["Swarm"]
    return swarm["Cluster"]["ID"], swarm["NodeID"], swarm["LocalNodeState"]


def containers(cluster: Cluster) -> dict[str, str]:
    """Id of every container of all hosts, running or not, by host and name."""
    return {f"{each.host}/{each.name}": each.id for each in cluster.containers(everything=True)}


def whole(cluster: Cluster) -> None:
    """AssertionError unless the document is carried out and every replica runs where it should.

    The leader says so: a host whose turn in a rollout has not come has nothing to do.
    """
    cluster.check_leader(int((cluster.get("accepted") or {})["revision"]))
    assert {each.name: each.host for each in cluster.containers() if each.status == "running"} == REPLICAS


@contextmanager
def the_same_afterwards(cluster: Cluster) -> Iterator[None]:
    """The same swarm with the same nodes, the same containers and the agreed bridge when the block has ended.

    A container is another one only if its old one can no longer do its work: containerd has kept a task of it, with
    which no start can succeed, or the swarm has allocated its address twice. Its agent says so.
    """
    members = [membership(host) for host in cluster.lab.hosts]
    made = containers(cluster)
    since = {host.name: host.exec("date", "+%F %T.%N").stdout.strip() for host in cluster.lab.hosts}
    yield
    eventually(lambda: whole(cluster), BACK_S, "everything converges")
    assert [membership(host) for host in cluster.lab.hosts] == members
    found = containers(cluster)
    assert found.keys() == made.keys()
    for each in (each for each in made if found[each] != made[each]):
        on, _, name = each.partition("/")
        lines = cluster.lab[on].journal_text("swarmkeeper", since[on]).splitlines()
        told = [line for line in lines if f"create container/{name} reason=" in line]
        print(f"{each} was recreated: {told}")
        reasons = (EMPTY_TASK, DUPLICATE_ADDRESS)
        assert any(reason in line for line in told for reason in reasons), f"{each} is another container"
    for host in cluster.lab.hosts:
        assert host.docker.api.inspect_network("docker_gwbridge")["IPAM"]["Config"] == BRIDGE


@LONG_ONLY  # test_power_lost.py has what is harder: in the middle of a rollout, with a disk that lost data
@pytest.mark.fault("all hosts lose power at once")
@pytest.mark.timeout(LONGEST_S)
@pytest.mark.parametrize("_cut", range(POWER_CUTS))
def test_after_a_power_cut_of_all_hosts_every_replica_runs_again_by_itself(
    cluster: Cluster, _cut: int, record_property: RecordProperty
) -> None:
    with the_same_afterwards(cluster):
        recovery = black_out(cluster.lab, by_host(), BACK_S)
        print(f"\npower cut of all hosts: {recovery}")
        record_property(SECONDS, recovery.seconds)
        assert not recovery.down
    for host in cluster.lab.hosts:
        inside = min(name for name, where in REPLICAS.items() if where == host.name)
        for name in ("prod-order-1", "prod-billing-1"):
            reached = partial(asks, host, inside, f"http://{name}:8080/")
            eventually(reached, BACK_S, f"{inside} on {host.name} reaches {name}")


@pytest.mark.fault("dockerd is killed again and again")
@pytest.mark.timeout(LONGEST_S)
def test_a_dockerd_killed_at_random_moments_gets_every_replica_back(
    cluster: Cluster, record_property: RecordProperty
) -> None:
    """At once after the one before, or when that one's replicas are back: what a crash interrupts differs."""
    chance = random.Random(SEED)
    print(f"\nseed {SEED} (SWARMKEEPER_SEED)")
    for _ in range(CRASHES):
        host = chance.choice(cluster.lab.hosts)
        with the_same_afterwards(cluster):
            crash(host, by_host()[host.name], within_s=chance.choice((0.0, chance.uniform(0, 6))))
            recovery = crash(host, by_host()[host.name], BACK_S)
            print(f"{host.name}: {recovery}")
            record_property(SECONDS, recovery.seconds)
            restart_as_told(cluster, host)


@pytest.mark.timeout(LONGEST_S)
def test_a_replica_of_which_containerd_has_kept_an_empty_task_is_recreated(cluster: Cluster) -> None:
    """Neither a restart of dockerd nor one of containerd would help: the shim, without a container, lives on."""
    host, name = cluster.lab["node-233"], "prod-terminal-1"
    before = containers(cluster)[f"{host.name}/{name}"]
    with the_same_afterwards(cluster):
        socket = host.socket.with_name("containerd") / "containerd.sock"
        leave_task(before, socket, partial(signal_dockerd, host))
    assert containers(cluster)[f"{host.name}/{name}"] != before


def signal_dockerd(host: Host, number: int) -> None:
    host.systemctl("kill", "--kill-who=main", f"--signal={number}", "docker")


@LONG_ONLY
@pytest.mark.fault("each dockerd is restarted in order")
@pytest.mark.timeout(LONGEST_S)
def test_a_dockerd_restarted_in_order_is_not_taken_for_one_outside_the_swarm(
    cluster: Cluster, record_property: RecordProperty
) -> None:
    """While it ends, dockerd says that it is in no swarm, and that its containers have ended."""
    since = {host.name: host.exec("date", "+%F %T.%N").stdout.strip() for host in cluster.lab.hosts}
    for host in cluster.lab.hosts:
        with recovering(record_property), the_same_afterwards(cluster):
            host.restart_dockerd()
    done = "".join(host.journal_text("swarmkeeper", since[host.name]) for host in cluster.lab.hosts)
    assert "join swarm" not in done
    assert "publish tokens" not in done


def restart_as_told(cluster: Cluster, host: Host) -> str:
    """Wait for all to be well; restart dockerd, as an operator does, where the agent says that only this cures a port.

    Returns what it said.
    """
    told: list[str] = []

    def well() -> bool:
        blocked = (cluster.get(f"hosts/{host.name}/status") or {}).get("blocked", ())
        if cures := [each["reason"] for each in blocked if "systemctl restart docker" in each["reason"]]:
            print(f"{host.name}: {', '.join(cures)}")
            told.extend(cures)
            host.restart_dockerd()
            return False
        for each in cluster.lab.hosts:
            cluster.heed(each)
        whole(cluster)
        return True

    eventually(well, BACK_S, f"{host.name} has its replicas, or says what it needs")
    return "; ".join(told)


@LONG_ONLY
@pytest.mark.fault("dockerd is killed while a gateway moves, and keeps a port without an owner")
@pytest.mark.timeout(LONGEST_S)
def test_a_port_that_dockerd_keeps_without_an_owner_is_reported_with_the_remedy(cluster: Cluster) -> None:
    """Killed while a container gets another way out, dockerd restores the mapping of an endpoint that is gone."""
    host, chance = cluster.lab["node-233"], random.Random(SEED)
    host.exec("docker", "network", "create", "another-way")
    try:
        for _ in range(TRIES):
            connecting = ("docker", "network", "connect", "another-way", "prod-terminal-1")
            with cluster.lab.lan.popen(*host.enter_command(), *connecting, stderr=subprocess.DEVNULL):
                time.sleep(chance.uniform(0.05, 0.6))  # the moment of the kill
                crash(host, frozenset(), 0)
            if "nothing uses port 20880/tcp" in restart_as_told(cluster, host):
                return
        pytest.skip(f"dockerd kept no port in {TRIES} crashes (seed {SEED})")
    finally:
        host.exec("docker", "network", "rm", "another-way")


@pytest.mark.timeout(LONGEST_S)
def test_a_locked_host_starts_nothing_until_it_is_unlocked(cluster: Cluster) -> None:
    host, other = cluster.lab["node-233"], cluster.lab["node-231"]
    other.exec("docker", "swarm", "update", "--autolock=true")
    try:
        key = other.exec("docker", "swarm", "unlock-key", "--quiet").stdout.strip()
        with the_same_afterwards(cluster):
            since = host.exec("date", "+%F %T.%N").stdout.strip()
            host.restart_dockerd()
            eventually(lambda: check_locked(cluster, host), BACK_S, "the host says that it is locked")
            seen = cluster.passes(host)
            eventually(lambda: cluster.passes(host) > seen + 3, BACK_S, "the agent looks again and again")
            assert "start: start container" not in host.journal_text("swarmkeeper", since)
            host.exec("docker", "swarm", "unlock", input=f"{key}\n")
    finally:
        other.exec("docker", "swarm", "update", "--autolock=false")


def check_locked(cluster: Cluster, host: Host) -> None:
    """AssertionError unless the host's status names the lock, and every replica as waiting for it."""
    status = cluster.status(host)
    assert {each["resource"]: each["kind"] for each in status["blocked"]} == {"swarm": "locked"}
    assert {each["resource"] for each in status["waiting"]} == {
        f"container/{name}" for name in by_host()[host.name]
    }
