"""Another subnet for an overlay: refused without the word, done with it, and nothing else touched; who sees whom."""

import json
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from ipaddress import IPv4Address, IPv4Network
from typing import Any

import pytest

from agent.clients.docker import DockerEngine
from agent.errors import Conflict
from agent.model.intent import NetworkIntent
from integration.cluster import EXAMPLE, REPLICAS, Cluster, running_on
from integration.conftest import LONG_ONLY
from integration.lab.eventually import eventually
from integration.lab.host import Host
from integration.test_main_job import whole_chain
from tests.support.attachments import DETACH
from tests.support.document import document

pytestmark = pytest.mark.every_base

NET = "my-network-overlay"
GOOD = EXAMPLE
MOVED = document(
    GOOD, networks={NET: {"ipam": {"config": [{"subnet": "10.99.0.0/16", "gateway": "10.99.0.1"}]}}}
)
ROUNDS = 20
CUT_S, HEALED_S = 60, 60


def allowed(text: str) -> str:
    return document(text, policy={"allow_network_recreate": True})


def overlay(cluster: Cluster, host: Host) -> dict[str, Any]:
    """The overlay that the leader has recorded. A dockerd that has kept an earlier one has two of that name."""
    recorded = dict((cluster.get("swarm") or {}).get("overlay_ids", ()))
    return dict(host.docker.api.inspect_network(recorded[NET]))


def subnets(cluster: Cluster) -> set[str]:
    """As every manager has it; empty while the swarm has made the overlay and not allocated it yet."""
    ranges = [(overlay(cluster, host)["IPAM"]["Config"] or [{}])[0] for host in cluster.lab.hosts]
    return {each.get("Subnet", "") for each in ranges}


def ids(cluster: Cluster) -> dict[str, str]:
    return {each.name: each.id for each in cluster.containers()}


def nodes(cluster: Cluster) -> list[str]:
    return sorted(each["ID"] for each in cluster.lab.hosts[0].docker.api.nodes())


def leaders_blocked(cluster: Cluster) -> list[dict[str, str]]:
    """What the leader reports as blocked or waiting."""
    leader = (cluster.get("leader") or {})["host"]
    status = cluster.status(cluster.lab[leader])
    return [*status["blocked"], *status["waiting"]]


@pytest.fixture
def back(cluster: Cluster) -> Iterator[Cluster]:
    """The cluster; afterwards the overlay has the subnet of the example again."""
    yield cluster
    cluster.wait_converged(cluster.put(allowed(GOOD)), 90)
    cluster.wait_converged(cluster.put(GOOD), 60)


def has_applied(cluster: Cluster, host: Host, revision: int) -> bool:
    return bool(cluster.status(host)["revision"] == revision)


class Client:
    """Somebody on the LAN who asks for one URL all the time."""

    def __init__(self, cluster: Cluster, url: str) -> None:
        self._lan, self._url = cluster.lab.lan, url
        self._ends = threading.Event()
        self._answered: list[float] = []
        self._thread = threading.Thread(target=self._ask)

    def __enter__(self) -> "Client":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ends.set()
        self._thread.join()

    @property
    def longest_gap_s(self) -> float:
        pairs = zip(self._answered, self._answered[1:], strict=False)
        return max((later - earlier for earlier, later in pairs), default=0.0)

    def _ask(self) -> None:
        while not self._ends.is_set():
            with suppress(OSError):
                if self._lan.http_get(self._url, timeout=1).status == 200:
                    self._answered.append(time.monotonic())
            time.sleep(0.02)


def test_without_the_word_nothing_is_touched_and_everything_it_would_touch_is_named(cluster: Cluster) -> None:
    before, was = cluster.started(), ids(cluster)
    cluster.lab["node-231"].write("/tmp/moved.yaml", MOVED)
    planned = cluster.command("plan", "-o", "json", "/tmp/moved.yaml").stdout
    revision = cluster.put(MOVED)

    eventually(lambda: [each["kind"] for each in leaders_blocked(cluster)] == ["guard"], 30, "it is said")
    (said,) = leaders_blocked(cluster)
    assert said["resource"] == f"network/{NET}"
    for name, where in REPLICAS.items():
        assert name in said["reason"].split(f"on {where} ")[1].split(";")[0], where
    for port in ("8080/tcp", "20880/tcp", "80/tcp"):
        assert f"publishes {port}" in said["reason"]
    assert "x-cluster.policy.allow_network_recreate: true" in said["reason"]
    hosts = json.loads(planned)["hosts"]
    assert said["reason"] in [each["reason"] for host in hosts for each in host["blocked"]]
    assert "stop container" not in planned

    for host in cluster.lab.hosts:
        eventually(partial(has_applied, cluster, host, revision), 30, "the rest is done")
    assert subnets(cluster) == {"10.10.0.0/16"}
    assert (cluster.started(), ids(cluster)) == (before, was)
    cluster.wait_converged(cluster.put(GOOD), 30)
    assert cluster.started() == before


def test_with_the_word_every_replica_gets_a_new_address_once_nobody_elses_is_on_it(back: Cluster) -> None:
    cluster = back
    host, other = cluster.lab["node-231"], cluster.lab["node-232"]
    image = next(each.image for each in running_on(host))
    host.exec("docker", "run", "-d", "--name", "theirs", image)
    host.exec("docker", "network", "create", "theirs-net")
    other.exec("docker", "run", "-d", "--name", "guest", "--network", NET, image)
    other.exec("docker", "stop", "-t", "0", "guest")
    before, was, members, old = cluster.started(), ids(cluster), nodes(cluster), overlay(cluster, host)["Id"]
    bridges = [each.docker.api.inspect_network("docker_gwbridge")["Id"] for each in cluster.lab.hosts]
    since = {each.name: each.exec("date", "+%F %T.%N").stdout.strip() for each in cluster.lab.hosts}
    revision = cluster.put(allowed(MOVED))

    eventually(partial(is_held_by, cluster, "guest on node-232"), 30, "the guest is named")
    assert (cluster.started(), subnets(cluster)) == (before, {"10.10.0.0/16"})

    with Client(cluster, f"http://{host.address}:8080/") as client:
        began = time.monotonic()
        other.exec("docker", "rm", "guest")
        eventually(lambda: subnets(cluster) == {"10.99.0.0/16"}, 60, "it is recreated by itself")
        cluster.wait_converged(revision, 90)
        took_s = time.monotonic() - began
    print(f"\nrecreated in {took_s:.1f} s; a published port was away for {client.longest_gap_s:.1f} s")

    assert overlay(cluster, host)["Id"] != old
    assert overlay(cluster, host)["Labels"]["io.swarmkeeper.cluster"] == "prod"
    assert ids(cluster) == was
    assert {each.name: each.host for each in cluster.containers() if each.name != "theirs"} == REPLICAS
    for each in cluster.lab.hosts:
        for container in overlay(cluster, each)["Containers"].values():
            assert IPv4Address(container["IPv4Address"].split("/")[0]) in IPv4Network("10.99.0.0/16")
    for name in ("node-232", "node-233"):
        eventually(partial(whole_chain, cluster.lab, name), 60, f"the api on {name} reaches billing")

    assert cluster.started()["theirs"] == before["theirs"]
    assert "theirs-net" in host.exec("docker", "network", "ls").stdout
    assert nodes(cluster) == members
    assert bridges == [each.docker.api.inspect_network("docker_gwbridge")["Id"] for each in cluster.lab.hosts]
    for each in cluster.lab.hosts:
        assert "failed: " not in each.journal_text("swarmkeeper", since[each.name])
    host.exec("docker", "rm", "-f", "theirs")
    host.exec("docker", "network", "rm", "theirs-net")


def test_an_overlay_that_a_dockerd_has_kept_is_removed_there_and_its_replicas_run_on_the_new_one(
    back: Cluster,
) -> None:
    """Its attachments ended in the swarm first, as those of a node that is too slow, and dockerd learnt nothing."""
    cluster = back
    leader = cluster.lab[(cluster.get("leader") or {})["host"]]
    slow = [leader, next(each for each in cluster.lab.hosts if each is not leader)]
    old, was = overlay(cluster, leader)["Id"], ids(cluster)
    since = {each.name: each.exec("date", "+%F %T.%N").stdout.strip() for each in slow}
    for host in slow:
        for task in attachments(host):
            folder, manager = "/var/lib/docker/swarm/certificates", f"{leader.address}:2377"
            host.exec("/opt/swarmkeeper/bin/python", "-c", DETACH, folder, manager, task)
        assert attachments(host) == []
    cluster.wait_converged(cluster.put(allowed(MOVED)), 90)

    assert subnets(cluster) == {"10.99.0.0/16"}
    assert ids(cluster) == was
    for host in cluster.lab.hosts:
        assert [each["Id"] for each in host.docker.api.networks() if each["Name"] == NET] == [
            overlay(cluster, host)["Id"]
        ]
    for host in slow:
        assert "the swarm has another overlay of that name" in host.journal_text(
            "swarmkeeper", since[host.name]
        )
        assert old not in {each["NetworkID"] for each in ends(host)}
    for name in ("node-232", "node-233"):
        eventually(partial(whole_chain, cluster.lab, name), 60, f"the api on {name} reaches billing")


def attachments(host: Host) -> list[str]:
    """Ids of the swarm's tasks that are the attachments of this host's containers."""
    api = host.docker.api
    tasks = api.tasks(filters={"runtime": ["attachment"]})  # type: ignore[no-untyped-call]
    return [each["ID"] for each in tasks if each["NodeID"] == api.info()["Swarm"]["NodeID"]]


def ends(host: Host) -> list[dict[str, Any]]:
    """The endpoints of the containers that run on a host."""
    seen = [host.docker.api.inspect_container(each.id) for each in running_on(host)]
    return [end for raw in seen for end in raw["NetworkSettings"]["Networks"].values()]


def is_held_by(cluster: Cluster, who: str) -> bool:
    said = [(each["kind"], each["reason"].rpartition("use it: ")[2]) for each in leaders_blocked(cluster)]
    return said == [("foreign", who)]


def test_managers_that_create_an_overlay_at_the_same_moment_make_one(cluster: Cluster) -> None:
    hosts = cluster.lab.hosts
    engines = [DockerEngine(f"unix://{host.socket}", 10.0, "prod") for host in hosts]
    failed = 0
    for number in range(ROUNDS):
        wanted = NetworkIntent(
            key="race", name=f"race-{number}", driver="overlay", subnet=IPv4Network("10.77.0.0/16")
        )
        together = threading.Barrier(len(engines))

        def create(engine: DockerEngine, wanted: NetworkIntent = wanted, at: Any = together) -> bool:
            at.wait()
            try:
                engine.create_network(wanted)
            except Conflict:
                return False
            return True

        with ThreadPoolExecutor(len(engines)) as pool:
            failed += list(pool.map(create, engines)).count(False)
        for engine in engines:
            eventually(partial(is_one, engine, wanted), 10, "there is exactly one, on every manager")
            engine.create_network(wanted)
        (found,) = (each for each in engines[0].networks() if each.name == wanted.name)
        engines[0].remove_network(found.id)
    print(f"\n{ROUNDS} rounds with {len(engines)} managers: {failed} told to look again")
    for engine in engines:
        engine.close()


def is_one(engine: DockerEngine, wanted: NetworkIntent) -> bool:
    found = [each for each in engine.networks() if each.name == wanted.name]
    return [(each.driver, each.subnet, each.ours) for each in found] == [("overlay", wanted.subnet, True)]


def sees(cluster: Cluster, host: Host, addresses: set[str]) -> bool:
    return {each["IP"] for each in overlay(cluster, host)["Peers"]} == addresses


@LONG_ONLY
def test_a_host_that_is_cut_off_is_missed_on_the_overlay_and_seen_again(cluster: Cluster) -> None:
    host, others = cluster.lab["node-233"], [cluster.lab[name] for name in ("node-231", "node-232")]
    everybody = {each.address for each in cluster.lab.hosts}
    for each in cluster.lab.hosts:
        eventually(partial(sees, cluster, each, everybody), 60, f"{each.name} sees the others")
    began = time.monotonic()
    host.cut()
    try:
        for each in others:
            eventually(
                partial(sees, cluster, each, everybody - {host.address}), CUT_S, f"{each.name} misses it"
            )
        eventually(partial(sees, cluster, host, {host.address}), CUT_S, "it misses the others")
        print(f"\nmissed after {time.monotonic() - began:.1f} s")
    finally:
        host.heal()
    began = time.monotonic()
    for each in cluster.lab.hosts:
        eventually(partial(sees, cluster, each, everybody), HEALED_S, f"{each.name} sees all again")
    print(f"seen again after {time.monotonic() - began:.1f} s")
