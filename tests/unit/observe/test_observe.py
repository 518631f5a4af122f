"""One observation: etcd or dockerd may be away, and then what was known before goes on to count."""

from collections.abc import Iterator, MutableMapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import pytest
import structlog

from agent.clients.disk import FILE, StateDirectory
from agent.clients.docker import EngineInfo
from agent.errors import Refused, Unreachable
from agent.model.host_state import NodeState
from agent.model.observed import Observed
from agent.model.records import Assignment, Verdict, decode, encode
from agent.model.store import OLD_REVISIONS, KeyRange, Upkeep
from agent.observe import ClusterReader, HostReader, Identity, Observer
from agent.observe.observer import ALARM_S
from tests.fakes.engine import FakeEngine
from tests.fakes.kernel import FakeKernel
from tests.fakes.swarm import FakeLan
from tests.support.etcd_keys import ACCEPTED_AT, GOOD, KEYS, ME, OTHER, RECORDS, SPEC, RecordingStore, Scene


class Bench(Scene):
    """The keys, an engine, a disk, and the observer of them all."""

    def __init__(self, directory: Path) -> None:
        super().__init__()
        self.directory = directory
        self.engine = FakeEngine(ME, "10.0.0.1", FakeLan(), cluster="prod")
        self.lease_id: int | None = self.lease
        self.now = 0.0
        self.restart()

    def restart(self) -> None:
        """Another run of the agent."""
        self.reader = ClusterReader(KEYS, ME)
        self.observer = Observer(
            self.reader,
            HostReader(self.engine, FakeKernel(self.engine), ME),
            self.store,
            StateDirectory(self.directory),
            Identity(host=ME, instance="run-1", advertise="10.9.9.9"),
            lambda: self.lease_id,
            lambda: self.now,
            clock=lambda: self.now,
            renewed_s=lambda: 0.0,
        )
        self.observer.recall()

    def observe(self, *in_flight: str) -> Observed:
        return self.observer.observe(frozenset(in_flight))


@pytest.fixture(autouse=True)
def logged() -> Iterator[list[MutableMapping[str, Any]]]:
    """What is logged meanwhile."""
    with structlog.testing.capture_logs() as lines:
        yield lines


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def test_an_observation_says_who_looked_and_what_is_under_way(bench: Bench) -> None:
    seen = bench.observe("container/prod-order-1", "image/x")
    assert (seen.me, seen.instance, seen.advertise) == (ME, "run-1", "10.9.9.9")
    assert seen.in_flight == {"container/prod-order-1", "image/x"}
    assert (seen.stale, seen.store_error, seen.engine_error, seen.lease) == (False, "", "", True)


def test_what_steps_are_working_on_is_not_inspected(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[frozenset[str]] = []
    containers = bench.engine.containers

    def recording(specs: Any, fill_for: Any, busy: frozenset[str], *more: Any, **named: Any) -> Any:
        asked.append(busy)
        return containers(specs, fill_for, busy, *more, **named)

    monkeypatch.setattr(bench.engine, "containers", recording)
    bench.observe("container/prod-order-1", "image/registry/container/x", "swarm")
    assert asked == [frozenset({"prod-order-1"})]


# ---- who leads


def of_format_1(key: str, **renamed: str) -> bytes:
    """The record of `key` as an agent of the earlier format wrote it."""
    body = msgspec.json.decode(GOOD[key])
    del body["sum"]
    return msgspec.json.encode({renamed.get(name, name): each for name, each in body.items()} | {"v": 1})


def test_the_verdict_of_an_older_leader_is_written_again_so_that_it_leads_no_more(bench: Bench) -> None:
    before = decode(Verdict, GOOD[KEYS.verdict])
    bench.put(**{KEYS.verdict: of_format_1(KEYS.verdict, accepted_revision="in_force")})
    seen = bench.observe()
    assert seen.cluster is not None
    assert seen.cluster.verdict == before
    written = bench.store.read([KeyRange(key=KEYS.verdict)]).values[KEYS.verdict]
    assert written.value == encode(before)
    bench.observe()
    assert bench.store.read([KeyRange(key=KEYS.verdict)]).values[KEYS.verdict] == written


def test_a_host_that_must_not_write_the_verdict_says_that_an_older_agent_may_lead(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, logged: list[MutableMapping[str, Any]]
) -> None:
    def refuse(*_: Any) -> None:
        raise Refused("permission denied")

    bench.put(**{KEYS.verdict: of_format_1(KEYS.verdict, accepted_revision="in_force")})
    monkeypatch.setattr(bench.store, "txn", refuse)
    assert bench.observe().cluster is not None
    assert [each["event"] for each in logged if each["log_level"] == "warning"] == [
        "an older agent may be the leader"
    ]


def test_a_lock_on_our_lease_is_a_fence(bench: Bench) -> None:
    assert bench.observe().fence is None
    bench.lead()
    fence = bench.observe().fence
    lock = bench.store.read([KeyRange(key=KEYS.leader)]).values[KEYS.leader]
    assert fence is not None
    assert (fence.key, fence.create_revision) == (KEYS.leader, lock.create_revision)


def test_without_a_provable_lease_the_lock_is_no_fence(bench: Bench) -> None:
    bench.lead()
    bench.lease_id = None
    seen = bench.observe()
    assert seen.fence is None
    assert not seen.lease


def test_a_lease_that_ends_while_etcd_is_read_leaves_no_fence_for_the_next_one(bench: Bench) -> None:
    bench.lead()
    next_lease = bench.store.grant(15).id
    ids = iter([next_lease, bench.lease])
    bench.observer._lease_id = lambda: next(ids)
    assert bench.observe().fence is None


# ---- etcd is away


def test_while_etcd_is_away_what_it_said_last_is_told_as_stale(bench: Bench) -> None:
    bench.lead()
    known = bench.observe().cluster
    bench.store.cut()
    seen = bench.observe()
    assert seen.stale
    assert seen.cluster is known
    assert seen.store_error == "etcd cannot be read: etcd is unreachable"
    assert seen.fence is None
    assert seen.host is not None


def test_an_etcd_that_refuses_is_as_good_as_away(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(_ranges: object) -> None:
        raise Refused("etcdserver: permission denied")

    monkeypatch.setattr(bench.store, "read", refused)
    seen = bench.observe()
    assert seen.stale
    assert "permission denied" in seen.store_error


def test_an_etcd_that_never_answered_leaves_nothing_known(bench: Bench) -> None:
    bench.store.cut()
    seen = bench.observe()
    assert seen.stale
    assert seen.cluster is None
    assert seen.host is not None


def test_after_a_restart_without_etcd_the_host_knows_what_it_shall_run(bench: Bench) -> None:
    before = bench.observe().cluster
    bench.store.cut()
    bench.restart()
    seen = bench.observe()
    assert seen.stale
    assert seen.cluster is not None
    assert before is not None
    assert seen.cluster.accepted == before.accepted
    assert seen.cluster.assignment == RECORDS[KEYS.assignment(ME)]
    assert set(seen.cluster.specs.values()) == {SPEC}
    assert seen.cluster.tokens is None
    assert seen.cluster.leader is None


def test_what_etcd_says_counts_more_than_what_was_kept(bench: Bench) -> None:
    bench.observe()
    emptied = Assignment(revision=ACCEPTED_AT, project="prod")
    bench.put(**{KEYS.assignment(ME): encode(emptied)})
    bench.restart()
    seen = bench.observe()
    assert not seen.stale
    assert seen.cluster is not None
    assert seen.cluster.assignment == emptied


# ---- dockerd is away


def test_while_dockerd_is_away_etcd_is_seen_all_the_same(bench: Bench) -> None:
    bench.lead()
    bench.engine.go_down()
    seen = bench.observe()
    assert seen.host is None
    assert seen.engine_error.startswith("dockerd cannot be read: dockerd does not answer")
    assert seen.cluster is not None
    assert seen.fence is not None


def test_how_long_dockerd_is_away_is_counted_from_when_it_was_first_asked_in_vain(bench: Bench) -> None:
    """Between two looks at a quiet host there may be minutes, in which it answered nobody as nobody asked."""
    bench.now = 100
    assert bench.observe().engine_away_s == 0
    bench.engine.go_down()
    bench.now = 400
    assert bench.observe().engine_away_s == 0
    bench.now = 430
    assert bench.observe().engine_away_s == 30
    bench.engine.answers = True
    assert bench.observe().engine_away_s == 0


def test_a_look_that_hangs_counts_from_its_beginning(bench: Bench) -> None:
    def hangs() -> EngineInfo:
        bench.now += 30
        raise Unreachable("it took too long")

    bench.engine.info = hangs  # type: ignore[method-assign]
    assert bench.observe().engine_away_s == 30


def test_how_long_a_manager_does_not_see_the_nodes_is_counted_also_over_a_time_without_dockerd(
    bench: Bench,
) -> None:
    bench.engine.init_swarm(advertise="10.0.0.1", pool=(), mask_length=24, data_path_port=None)
    nodes = bench.engine.nodes
    assert bench.observe().nodes_unseen_s == 0
    bench.engine.nodes = _no_leader  # type: ignore[method-assign]
    bench.now += 100
    assert bench.observe().nodes_unseen_s == 0
    bench.engine.answers = False
    bench.now += 10
    assert bench.observe().nodes_unseen_s == 0
    bench.engine.answers = True
    bench.now += 10
    assert bench.observe().nodes_unseen_s == 20
    bench.engine.nodes = nodes  # type: ignore[method-assign]
    assert bench.observe().nodes_unseen_s == 0


def test_one_reading_that_fails_after_a_long_quiet_time_is_no_time_without_reading(bench: Bench) -> None:
    bench.lead()
    bench.observe()
    bench.now += 300
    bench.store.cut()
    assert bench.observe().unread_s == 0
    bench.now += 30
    assert bench.observe().unread_s == 30


def _no_leader() -> tuple[NodeState, ...]:
    raise Unreachable("the swarm does not have a leader")


def test_how_long_nobody_leads_is_counted_while_etcd_says_so(bench: Bench) -> None:
    bench.delete(KEYS.leader)
    assert bench.observe().unled_s == 0
    bench.now += 10
    assert bench.observe().unled_s == 10
    bench.store.cut()
    assert bench.observe().unled_s == 0
    bench.store.heal()
    assert bench.observe().unled_s == 0
    bench.now += 10
    assert bench.observe().unled_s == 10
    bench.lead()
    bench.now += 10
    assert [bench.observe().unled_s for _ in range(2)] == [10, 10]
    bench.delete(KEYS.leader)
    assert bench.observe().unled_s == 0


def test_with_both_away_there_is_still_an_observation(bench: Bench) -> None:
    bench.store.cut()
    bench.engine.go_down()
    seen = bench.observe()
    assert (seen.host, seen.cluster, seen.stale) == (None, None, True)


# ---- the disk


def kept(bench: Bench) -> set[str]:
    return {each.key for each in StateDirectory(bench.directory).load()}


def test_what_is_kept_is_written_when_it_changes_and_only_then(bench: Bench) -> None:
    bench.observe()
    first = (bench.directory / FILE).stat().st_ino
    bench.put(**{KEYS.status(OTHER): GOOD[KEYS.status(OTHER)]})
    bench.observe()
    assert (bench.directory / FILE).stat().st_ino == first
    bench.put(**{KEYS.assignment(ME): GOOD[KEYS.assignment(ME)]})
    bench.observe()
    assert (bench.directory / FILE).stat().st_ino != first


def test_an_outage_overwrites_nothing(bench: Bench) -> None:
    bench.observe()
    before = kept(bench)
    bench.store.cut()
    bench.observe()
    assert kept(bench) == before


class FullDisk(StateDirectory):
    """Takes nothing."""

    def save(self, values: object) -> None:
        raise Refused("cannot keep state: No space left on device")


def test_a_full_disk_is_reported_and_tried_again_and_stops_nothing(bench: Bench) -> None:
    bench.observer._disk = FullDisk(bench.directory)
    for _ in range(2):
        seen = bench.observe()
        assert seen.cluster is not None
        assert seen.state_fault == (
            "cannot keep state: No space left on device; an agent that starts without etcd uses an older state: "
            "free space on the file system of the state directory, or make it writable"
        )
    bench.observer._disk = StateDirectory(bench.directory)
    assert bench.observe().state_fault == ""
    assert KEYS.assignment(ME) in kept(bench)


def test_what_counts_is_said_to_be_from_etcd_or_from_the_disk_and_how_old_it_is(bench: Bench) -> None:
    bench.now = 5_000_000_000.0
    seen = bench.observe()
    assert (seen.source, seen.seen_at) == ("etcd", bench.now)
    bench.store.cut()
    bench.now += 60
    seen = bench.observe()
    assert (seen.source, seen.seen_at) == ("disk", bench.now - 60)
    bench.restart()
    seen = bench.observe()
    assert (seen.source, seen.seen_at) == ("disk", (bench.directory / FILE).stat().st_mtime)


def test_an_alarm_of_etcd_is_seen_within_half_a_minute_and_so_is_its_end(bench: Bench) -> None:
    assert bench.observe().upkeep.alarm == ""
    bench.store.etcd.out_of_space = True
    bench.now += ALARM_S
    assert bench.observe().upkeep.alarm == "NOSPACE"
    bench.store.cut()
    assert bench.observe().upkeep.alarm == ""
    bench.store.heal()
    bench.store.etcd.out_of_space = False
    assert bench.observe().upkeep.alarm == "NOSPACE"
    bench.now += ALARM_S
    assert bench.observe().upkeep.alarm == ""


def test_the_leader_alone_looks_whether_etcd_keeps_old_revisions_and_what_it_cannot_ask_is_not_known(
    bench: Bench,
) -> None:
    bench.store.etcd.revision += OLD_REVISIONS
    assert bench.observe().upkeep.keeps_history is None
    bench.lead()
    assert bench.observe().upkeep.keeps_history is True
    bench.store.etcd.compact()
    assert bench.observe().upkeep.keeps_history is True
    bench.now += ALARM_S
    assert bench.observe().upkeep.keeps_history is False
    bench.store.cut()
    assert bench.observe().upkeep == Upkeep()


def test_what_another_cluster_kept_is_reported_and_not_used(
    bench: Bench, logged: list[MutableMapping[str, Any]]
) -> None:
    bench.observe()
    values = StateDirectory(bench.directory).load()
    StateDirectory(bench.directory).save(
        [replace(each, key=f"/swarmkeeper/other{each.key}") for each in values]
    )
    bench.store.cut()
    bench.restart()
    assert bench.observe().cluster is None
    assert [each["event"] for each in logged] == ["saved state ignored"]
    assert "not a key of this cluster" in logged[0]["error"]


@pytest.mark.parametrize("damage", [b"", b"{", b"\xff" * 100])
def test_a_damaged_file_is_reported_and_replaced(
    bench: Bench, damage: bytes, logged: list[MutableMapping[str, Any]]
) -> None:
    bench.observe()
    (bench.directory / FILE).write_bytes(damage)
    bench.restart()
    assert [each["event"] for each in logged] == ["saved state ignored"]
    bench.observe()
    assert KEYS.assignment(ME) in kept(bench)


def test_a_file_of_a_newer_format_is_reported_and_set_aside_before_it_is_replaced(
    bench: Bench, logged: list[MutableMapping[str, Any]]
) -> None:
    bench.observe()
    (bench.directory / FILE).write_bytes(b'{"v":9}')
    bench.restart()
    assert [each["event"] for each in logged] == ["saved state ignored"]
    bench.observe()
    assert KEYS.assignment(ME) in kept(bench)
    assert (bench.directory / f"{FILE}.v9").read_bytes() == b'{"v":9}'
    assert [each["event"] for each in logged][1:] == ["state file of a newer agent saved under another name"]


def test_a_damaged_file_and_no_etcd_leave_nothing_known_and_nothing_broken(bench: Bench) -> None:
    bench.observe()
    (bench.directory / FILE).write_bytes(b"{")
    bench.store.cut()
    bench.restart()
    assert bench.observe().cluster is None


def test_the_ranges_to_watch_are_those_of_the_last_reading(bench: Bench) -> None:
    bench.observe()
    assert bench.observer.watched() == bench.reader.watched()
    assert isinstance(bench.store, RecordingStore)
