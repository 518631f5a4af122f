"""A cluster's keys in an etcd in memory, each as it should be, for the test that spoils one of them."""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace

from agent.errors import Invalid
from agent.model import spec
from agent.model.keys import Keys
from agent.model.records import (
    Accepted,
    Assignment,
    Digests,
    Disruption,
    LeaderRecord,
    MembershipOrder,
    Presence,
    Replica,
    Rollout,
    SwarmRecord,
    Tokens,
    Trial,
    UnlockKeys,
    Verdict,
    decode,
    encode,
)
from agent.model.spec import ContainerSpec, spec_hash
from agent.model.status import HostStatus
from agent.model.store import Delete, KeyRange, KeyValue, Put, Snapshot
from agent.observe import ClusterReader
from agent.observe.cluster import Reading
from tests.fakes.store import FakeEtcd, FakeStore

KEYS = Keys("prod")
ME, OTHER = "h1", "h2"
DOCUMENT = """\
name: prod
x-cluster:
  version: 1
  hosts:
    h1: {address: 10.0.0.1, role: manager}
    h2: {address: 10.0.0.2, role: manager}
  gwbridge: {subnet: 172.21.0.0/20, gateway: 172.21.0.1}
services:
  order:
    image: registry.example/order:1.0.0
    deploy: {replicas: 2}
    environment: {PASSWORD: hunter2}
    network_mode: none
"""
SPEC = ContainerSpec(
    image="registry.example/order:1.0.0", environment=(("PASSWORD", "hunter2"),), network_mode="none"
)
DIGEST = spec_hash(SPEC)
OLD_SPEC = replace(SPEC, image="registry.example/order:0.9.0")
OLD_DIGEST = spec_hash(OLD_SPEC)
REPLICA = Replica(service="order", slot=1, spec=DIGEST)
TOKENS = Tokens(swarm_id="swarm-1", worker="SWMTKN-worker", manager="SWMTKN-manager")
PRESENCE = Presence(instance="run-2", boot_id="b", version="1", since="now")
STATUS = HostStatus(instance="run-2", at="now", agent_version="1")
ACCEPTED_AT = 7
MEMBERSHIP_ORDER = MembershipOrder(state="pending", node_id="node-x", what="leave", reason="gone")

RECORDS: dict[str, object] = {
    KEYS.accepted: Accepted(revision=ACCEPTED_AT, document=DOCUMENT),
    KEYS.verdict: Verdict(revision=ACCEPTED_AT, accepted=True, accepted_revision=ACCEPTED_AT),
    KEYS.trial: Trial(revision=ACCEPTED_AT + 1, leaders=(1,)),
    KEYS.leader: LeaderRecord(host=OTHER, since="now"),
    KEYS.swarm: SwarmRecord(claimed_by=OTHER, swarm_id="swarm-1"),
    KEYS.tokens: TOKENS,
    KEYS.unlock: UnlockKeys(swarm_id="swarm-1", on=True, sealed="sealed"),
    KEYS.assignment(ME): Assignment(revision=ACCEPTED_AT, project="prod", replicas=(REPLICA,)),
    KEYS.assignment(OTHER): Assignment(revision=ACCEPTED_AT, project="prod"),
    KEYS.disruption: Disruption(host=OTHER, state="granted", reason="the disruption slot", quorum=True),
    KEYS.slot(OTHER): Disruption(
        host=OTHER, state="released", reason="an earlier grant", quorum=True, grant=1
    ),
    KEYS.digests: Digests(revision=ACCEPTED_AT, epoch=0, images=(("order:1.0.0", "sha256:1"),)),
    KEYS.membership_order(ME): MEMBERSHIP_ORDER,
    KEYS.membership_order(OTHER): MEMBERSHIP_ORDER,
    KEYS.rollout(REPLICA.service): Rollout(before=DIGEST, to=DIGEST),
    KEYS.presence(ME): PRESENCE,
    KEYS.presence(OTHER): PRESENCE,
    KEYS.status(OTHER): STATUS,
}
GOOD: dict[str, bytes] = {
    KEYS.intent: DOCUMENT.encode(),
    **{key: encode(record) for key, record in RECORDS.items()},
    KEYS.spec(DIGEST): spec.encode(SPEC),
    KEYS.spec(OLD_DIGEST): spec.encode(OLD_SPEC),
}


class RecordingStore(FakeStore):
    """Remembers what was read."""

    def __init__(self, etcd: FakeEtcd | None = None) -> None:
        super().__init__(etcd)
        self.reads: list[tuple[KeyRange, ...]] = []
        self.asked = 0
        """How often it was asked for the past."""

    def read(self, ranges: Sequence[KeyRange]) -> Snapshot:
        snapshot = super().read(ranges)
        self.reads.append(tuple(ranges))
        return snapshot

    def read_at(self, key: str, revision: int) -> KeyValue | None:
        self.asked += 1
        return super().read_at(key, revision)


class Scene:
    """The keys, and one agent's reader of them."""

    def __init__(self) -> None:
        self.store = RecordingStore()
        self.reader = ClusterReader(KEYS, ME)
        self.lease = self.store.grant(15).id
        self.store.etcd.revision = ACCEPTED_AT - 1  # the intent comes first
        self.put(**GOOD)

    def put(self, **values: bytes) -> None:
        """Write keys one after the other, as an operator would; what is accepted then was put at its revision."""
        for key, value in values.items():
            self.forge(key, value)
            with suppress(Invalid):
                found = decode(Accepted, value) if key == KEYS.accepted else None
                if found:
                    self.store.etcd.was_put(KEYS.intent, found.revision, found.document.encode())

    def forge(self, key: str, value: bytes) -> None:
        """Write a key as an agent with a stolen certificate would."""
        self.store.txn([], [Put(key=key, value=value)])

    def delete(self, key: str) -> None:
        self.store.txn([], [Delete(key=key)])

    def lead(self) -> None:
        """Hold the leader lock."""
        lock = Put(key=KEYS.leader, value=encode(LeaderRecord(host=ME, since="now")), lease=self.lease)
        self.store.txn([], [lock])

    def read(self, running: frozenset[str] = frozenset()) -> Reading:
        """One reading; only what it asked for is in `store.reads` then."""
        self.store.reads.clear()
        return self.reader.read(self.store, self.lease, running)
