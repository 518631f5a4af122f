"""How much whole agents write to etcd, and how much they read from it."""

from collections.abc import Sequence
from pathlib import Path

import pytest

from agent.model.keys import host_role
from agent.model.records import Presence, decode
from agent.model.store import KeyRange, Put, Snapshot
from agent.report.status_key import UNWRITTEN_S
from tests.fakes.etcd import in_any
from tests.fakes.store import FakeStore
from tests.support.simulated_cluster import KEYS, SimulatedCluster, at_rest, images

pytestmark = pytest.mark.usefixtures("unlogged")

WORKER = "node-232"


def since(cluster: SimulatedCluster, name: str) -> str:
    found = cluster.read(KEYS.presence(name))
    assert found is not None
    return decode(Presence, found.value).unreported_since


def test_a_cluster_that_is_idle_for_an_hour_writes_nothing(tmp_path: Path) -> None:
    cluster = at_rest(tmp_path)
    cluster.rounds(5)
    before = cluster.etcd.snapshot([]).revision

    cluster.rounds(360, seconds=10)

    assert cluster.etcd.snapshot([]).revision == before


def test_a_host_that_cannot_write_its_status_says_so_in_its_presence_until_it_can(tmp_path: Path) -> None:
    cluster = at_rest(tmp_path)
    agent, key = cluster.agents[WORKER], KEYS.status(WORKER)
    whole = host_role(KEYS, WORKER, may_lead=True)
    left = tuple(each for each in whole.permissions if each.key != key)
    agent.store.role = type(whole)(name=whole.name, permissions=left)
    cluster.hosts[WORKER].engine.by_hand.remove("prod-billing-1", force=True)
    cluster.rounds(int(UNWRITTEN_S) - 10)
    assert since(cluster, WORKER) == ""

    cluster.rounds(15)
    assert since(cluster, WORKER) != ""

    agent.store.role = whole
    cluster.rounds(3)
    assert since(cluster, WORKER) == ""


# ---- Counts of writes


def document_of(hosts: int, *, tag: str = "1.0.0", comment: str = "") -> str:
    """Three managers and workers, each host with two replicas on an overlay; `tag` is of a service on three hosts."""
    names = [f"node-{number}" for number in range(101, 101 + hosts)]
    roles = ["manager"] * 3 + ["worker"] * (hosts - 3)
    lines = [
        f"    {name}: {{address: 10.159.62.{name[-3:]}, role: {role}}}"
        for name, role in zip(names, roles, strict=True)
    ]
    image = "restart: always, networks: [net], image: 'r.example/app"
    return "\n".join(
        (
            f"{comment}name: prod",
            "x-cluster:",
            "  version: 1",
            "  gwbridge: {subnet: 172.21.0.0/20, gateway: 172.21.0.1}",
            "  hosts:",
            *lines,
            "networks:",
            "  net: {driver: overlay, attachable: true, ipam: {config: [{subnet: 10.64.0.0/16}]}}",
            "services:",
            f"  all: {{{image}:1.0.0', x-hosts: [{', '.join(names)}]}}",
            f"  few: {{{image}:{tag}', x-hosts: [{', '.join(names[-3:])}]}}",
            "",
        )
    )


def cluster_of(hosts: int, directory: Path) -> SimulatedCluster:
    text = document_of(hosts)
    cluster = SimulatedCluster(directory, text, [f"node-{number}" for number in range(101, 101 + hosts)])
    cluster.lan.registry |= images(document_of(hosts, tag="1.0.1"))
    cluster.put_intent(text)
    cluster.start()
    cluster.settle()
    cluster.rounds(15)
    return cluster


def puts(cluster: SimulatedCluster) -> list[str]:
    """The keys that agents write from now on, in order; the list grows."""
    found: list[str] = []
    for agent in cluster.agents.values():
        for store in (agent.store, agent.lease_store):
            store.on_write = lambda _, operations: found.extend(
                each.key.removeprefix(KEYS.root) for each in operations if isinstance(each, Put)
            )
    return found


@pytest.mark.parametrize("hosts", [10, 40])
def test_a_host_that_goes_and_comes_costs_four_writes_at_any_size(tmp_path: Path, hosts: int) -> None:
    cluster = cluster_of(hosts, tmp_path)
    name = f"node-{100 + hosts}"
    found, address = puts(cluster), cluster.hosts[name].engine.address

    cluster.lan.sides[address] = 1
    cluster.agents[name].cut_etcd()
    cluster.rounds(25)
    cluster.lan.sides.clear()
    cluster.agents[name].heal_etcd()
    cluster.settle()

    assert sorted(found) == ["events", "events", *[f"hosts/{cluster.leader().name}/status"] * 2]


@pytest.mark.parametrize("hosts", [10, 40])
def test_an_edit_of_a_comment_writes_nothing_for_a_host_and_is_carried_out(
    tmp_path: Path, hosts: int
) -> None:
    cluster = cluster_of(hosts, tmp_path)
    found = puts(cluster)

    cluster.put_intent(document_of(hosts, comment="# a comment\n"))
    cluster.settle()

    leader = cluster.leader()
    accepted, state = cluster.accepted(), leader.observer.observe().cluster
    assert accepted is not None
    history = [f"history/{accepted.revision}", f"history/{accepted.revision}/carried-out"]
    assert sorted(found) == ["accepted", *history, "trial", "verdict"]
    assert state is not None
    assert {each.revision for each in state.assignments.values()} == {accepted.revision}
    assert {each.revision for each in state.statuses.values()} == {accepted.revision}
    assert {each.bridge.revision for each in state.statuses.values()} == {accepted.revision}


def test_an_edit_of_a_service_writes_each_key_once_and_each_of_its_hosts_twice(tmp_path: Path) -> None:
    cluster = cluster_of(10, tmp_path)
    found = puts(cluster)

    cluster.put_intent(document_of(10, tag="1.0.1"))
    cluster.settle(120)
    cluster.rounds(10)

    accepted, concerned = cluster.accepted(), ("node-108", "node-109", "node-110")
    assert accepted is not None
    history = [f"history/{accepted.revision}", f"history/{accepted.revision}/carried-out"]
    of_leader = ["trial", "verdict", "accepted", *history, "rollouts/few", "specs/"]
    of_leader += [f"assignments/{host}" for host in concerned]
    # The replica runs, and it is steady.
    reports = [f"hosts/{host}/status" for host in concerned for _ in range(2)]
    keys = [each[:6] if each.startswith("specs/") else each for each in found]
    assert sorted(keys) == sorted([*of_leader, *reports, "events", "events"])


def test_an_assignment_whose_rollout_has_not_come_counts_for_the_document(tmp_path: Path) -> None:
    cluster = cluster_of(4, tmp_path)

    cluster.put_intent(document_of(4, tag="1.0.1"))
    cluster.rounds(6)

    accepted, state = cluster.accepted(), cluster.leader().observer.observe().cluster
    assert accepted is not None
    assert state is not None
    revision = accepted.revision
    assert {each.revision for each in state.assignments.values()} == {revision}
    assert state.assignments["node-101"].pending == ()
    assert state.assignments["node-104"].pending == ("few",)
    assert state.statuses["node-101"].revision == revision > state.statuses["node-104"].revision
    assert state.statuses["node-104"].bridge.revision == revision


def test_a_host_that_has_not_carried_out_its_part_does_not_count_as_done(tmp_path: Path) -> None:
    cluster = cluster_of(4, tmp_path)
    silent = cluster.agents["node-104"]
    silent.cut_etcd()

    cluster.put_intent(document_of(4, tag="1.0.1"))
    cluster.rounds(8)

    accepted, state = cluster.accepted(), cluster.leader().observer.observe().cluster
    assert accepted is not None
    assert state is not None
    assert state.statuses["node-104"].revision < accepted.revision
    assert state.statuses["node-101"].revision == accepted.revision


# ---- Counts of reads


def documents_read(store: FakeStore) -> list[int]:
    """The number of documents in each reading from now on; the list grows."""
    found: list[int] = []
    read = store.read

    def counted(ranges: Sequence[KeyRange]) -> Snapshot:
        snapshot = read(ranges)
        found.append(sum(b"x-cluster" in each.value for each in snapshot.values.values()))
        return snapshot

    store.read = counted  # type: ignore[method-assign]
    return found


def test_a_host_reads_each_document_once_and_after_an_outage_again(tmp_path: Path) -> None:
    cluster = cluster_of(4, tmp_path)
    agent = cluster.agents["node-104"]
    found = documents_read(agent.store)
    cluster.rounds(5)
    assert sum(found) == 0

    cluster.put_intent(document_of(4, comment="# a comment\n"))
    cluster.settle()
    assert 2 <= sum(found) <= 4

    found.clear()
    agent.cut_etcd()
    cluster.rounds(2)
    agent.heal_etcd()
    cluster.rounds(5)
    assert sum(found) == 2


def test_a_worker_is_woken_neither_by_the_leader_nor_by_other_hosts(tmp_path: Path) -> None:
    cluster = cluster_of(4, tmp_path)
    watched = {name: agent.observer.watched() for name, agent in cluster.agents.items()}
    seen = (KEYS.leader, KEYS.intent, KEYS.status("node-101"), KEYS.presence("node-101"))

    assert not any(in_any(key, watched["node-104"]) for key in seen)
    assert in_any(KEYS.accepted, watched["node-104"])
    assert all(in_any(KEYS.leader, watched[f"node-{number}"]) for number in (101, 102, 103))


def test_before_there_is_a_swarm_only_hosts_that_may_lead_read_all(tmp_path: Path) -> None:
    text = document_of(4)
    cluster = SimulatedCluster(tmp_path, text, [f"node-{number}" for number in range(101, 105)])
    cluster.put_intent(text)
    cluster.start()
    for _ in range(20):
        cluster.round()
        assert not in_any(KEYS.status("node-101"), cluster.agents["node-104"].observer.watched())
    cluster.settle()
