"""Whole agents in memory while somebody spoils one key after the other: it is told or put right, and nothing stops."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import structlog

from agent.errors import Invalid
from agent.model.records import Rollout, decode, encode
from agent.model.store import KeyRange
from tests.support.document import EXAMPLE, document
from tests.support.simulated_cluster import KEYS, SimulatedCluster

OF_ALL = (KEYS.accepted, KEYS.verdict, KEYS.leader, KEYS.swarm, KEYS.tokens, KEYS.unlock, KEYS.disruption)
OF_A_HOST = tuple(
    key("node-233")
    for key in (KEYS.assignment, KEYS.membership_order, KEYS.presence, KEYS.status, KEYS.rollout)
)
ON_A_LEASE = (KEYS.leader, KEYS.presence("node-233"))
ROLLOUT = Rollout(before="a", to="b", state="moving")
ROUNDS = 5
WITH_A_WORKER = document(roles={"node-233": "worker"})


def flipped(value: bytes) -> bytes:
    raw = bytearray(value or b'{"v":2}')
    raw[len(raw) // 2] ^= 4
    return bytes(raw)


HOW: dict[str, Callable[[bytes], bytes]] = {
    "a flipped bit": flipped,
    "another format": lambda _: b'{"v":3,"everything":"new"}',
    "a megabyte": lambda _: b'{"v":2,"' + b"x" * 1_000_000 + b'":0}',
    "another key's value": lambda _: encode(ROLLOUT),
    "nothing": lambda _: b"",
}


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SimulatedCluster]:
    """Three hosts at rest."""
    with structlog.testing.capture_logs():
        cluster = SimulatedCluster(tmp_path_factory.mktemp("unreadable"))
        cluster.put_intent(EXAMPLE)
        cluster.start()
        cluster.settle()
        yield cluster


def value(cluster: SimulatedCluster, key: str) -> bytes:
    found = cluster.read(key)
    return found.value if found else b""


def told(cluster: SimulatedCluster, key: str) -> bool:
    return any(
        each.resource == key and each.kind == "unreadable"
        for agent in cluster.agents.values()
        for each in agent.plan.blocked
    )


@pytest.mark.parametrize("how", HOW)
@pytest.mark.parametrize("key", [*OF_ALL, *OF_A_HOST])
def test_a_spoiled_key_is_told_or_put_right_and_no_replica_notices(
    cluster: SimulatedCluster, key: str, how: str
) -> None:
    before, running, replicas = value(cluster, key), cluster.running(), cluster.ids()
    unreadable = HOW[how](before)
    cluster.put(key, unreadable)
    seen = False
    for _ in range(ROUNDS):
        cluster.round()
        assert cluster.running() == running
        seen = seen or told(cluster, key) or value(cluster, key) != unreadable
    assert seen, cluster.told()

    if value(cluster, key) == unreadable:
        if before and key not in ON_A_LEASE:
            cluster.put(key, before)
        else:
            cluster.delete(key)  # as the operator is told to
    cluster.settle()
    assert (cluster.running(), cluster.ids()) == (running, replicas)


@pytest.mark.parametrize("how", HOW)
def test_a_spoiled_spec_stops_no_replica_that_was_made_from_it(cluster: SimulatedCluster, how: str) -> None:
    running, replicas = cluster.running(), cluster.ids()
    specs = cluster.etcd.snapshot([KeyRange(key=KEYS.specs, prefix=True)]).values
    for key, each in specs.items():
        cluster.put(key, HOW[how](each.value))
    cluster.rounds(ROUNDS)
    cluster.settle()
    assert (cluster.running(), cluster.ids()) == (running, replicas)


@pytest.mark.parametrize("how", HOW)
def test_a_worker_starts_replicas_that_end_while_the_record_of_the_swarm_cannot_be_read(
    tmp_path: Path, unlogged: None, how: str
) -> None:
    """It knows of an overlay only by that record while none of its replicas is on it."""
    cluster = SimulatedCluster(tmp_path)
    cluster.put_intent(WITH_A_WORKER)
    cluster.start()
    cluster.settle()
    running = cluster.running()
    cluster.put(KEYS.swarm, HOW[how](value(cluster, KEYS.swarm)))
    cluster.rounds(ROUNDS)
    host = cluster.hosts["node-233"]
    for name in host.replicas():
        host.engine.by_hand.end(name, exit_code=1)
    cluster.rounds(ROUNDS)
    assert cluster.running() == running


def test_a_flipped_bit_never_reads_as_another_value() -> None:
    raw = encode(ROLLOUT)
    good = decode(Rollout, raw)
    for position in range(len(raw)):
        for bit in range(8):
            spoiled = bytearray(raw)
            spoiled[position] ^= 1 << bit
            try:
                found = decode(Rollout, bytes(spoiled))
            except Invalid:
                continue
            assert found == good, bytes(spoiled)
