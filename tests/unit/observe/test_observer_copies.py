"""What a leader remembers of the replicas: how long each is as it is, and which of them ended."""

from dataclasses import replace
from typing import Any, Literal

import pytest

from agent.model.observed import ClusterState, ReplicaTimers
from agent.model.records import Assignment, Disruption, Replica
from agent.model.status import BlockedReport, HostStatus, ReplicaReport, Waiting
from agent.observe.observer import ReplicaWatcher
from tests.fakes.store import FakeClock

KEY = ("h1", "order", 1)
FIRST, AGAIN = "2026-01-01T00:00:00Z", "2026-01-01T00:00:09Z"
HELD = "container/prod-order-1"
RUNNING = ReplicaReport(
    service="order", slot=1, spec="new", id="c", name="prod-order-1", status="running", started_at=FIRST
)


class Bench:
    def __init__(self) -> None:
        self.clock = FakeClock()
        self.watcher = ReplicaWatcher(self.clock)

    def look(
        self, *reports: ReplicaReport, spec: str = "new", slot: Disruption | None = None, **more: Any
    ) -> ReplicaTimers:
        """What is known of replica 1 when its host says this of it, a second after the last look."""
        self.clock.advance(1.0)
        said = replace(
            HostStatus(instance="run-1", at="", agent_version="", engine_up=True, replicas=reports), **more
        )
        assignment = Assignment(
            revision=1, project="prod", replicas=(Replica(service="order", slot=1, spec=spec),)
        )
        state = ClusterState(
            revision=1,
            assignments={"h1": assignment},
            statuses={"h1": said},
            present={"h1": "run-1"},
            disruption=slot,
        )
        return self.watcher.look(state)[KEY]


@pytest.fixture
def bench() -> Bench:
    return Bench()


def test_a_replica_is_steady_for_as_long_as_the_same_is_said_of_it(bench: Bench) -> None:
    assert [bench.look(RUNNING).steady_s for _ in range(3)] == [0.0, 1.0, 2.0]
    assert bench.look(replace(RUNNING, health="healthy")).steady_s == 0.0


@pytest.mark.parametrize("more", [{"engine_up": False}, {"instance": "run-0"}], ids=["dockerd", "agent"])
def test_a_host_that_is_away_is_steady_in_that_too(bench: Bench, more: dict[str, Any]) -> None:
    bench.look(RUNNING)
    assert [bench.look(RUNNING, **more).steady_s for _ in range(2)] == [0.0, 1.0]


@pytest.mark.parametrize(
    "later",
    [{"status": "exited"}, {"status": "restarting"}, {"started_at": AGAIN}],
    ids=["down", "restarting", "started again"],
)
def test_a_replica_that_ran_and_does_not_any_more_has_ended_also_when_it_runs_again(
    bench: Bench, later: dict[str, Any]
) -> None:
    assert not bench.look(RUNNING).ended
    assert bench.look(replace(RUNNING, **later)).ended
    assert bench.look(replace(RUNNING, started_at=AGAIN)).ended


@pytest.mark.parametrize(
    "left",
    [
        {"waiting": (Waiting(resource=HELD, reason="the swarm has no leader"),)},
        {"blocked": (BlockedReport(resource=HELD, reason="no such volume", kind="dependency"),)},
    ],
)
def test_how_long_a_replica_is_down_counts_from_zero_when_its_host_may_start_it_at_last(
    bench: Bench, left: dict[str, Any]
) -> None:
    down = replace(RUNNING, status="exited")

    assert [bench.look(down, **left).steady_s for _ in range(3)] == [0.0, 1.0, 2.0]
    assert [bench.look(down).steady_s for _ in range(2)] == [0.0, 1.0]


def test_a_replica_that_its_host_has_only_listed_has_not_ended_when_it_is_looked_at(bench: Bench) -> None:
    listed = replace(RUNNING, started_at="")
    assert not any(bench.look(each).ended for each in (listed, RUNNING, listed, RUNNING))
    assert bench.look(replace(RUNNING, started_at=AGAIN)).ended


def test_a_replica_that_was_down_and_is_only_listed_while_it_is_started_has_not_ended(bench: Bench) -> None:
    down = replace(RUNNING, status="exited")
    listed = replace(down, started_at="")
    up = replace(RUNNING, started_at=AGAIN)
    assert not any(bench.look(each).ended for each in (down, listed, down, listed, up, up))


def test_a_replica_that_is_never_found_running_but_was_started_meanwhile_has_ended(bench: Bench) -> None:
    down = replace(RUNNING, status="exited")
    assert not bench.look(down).ended
    assert bench.look(replace(down, started_at=AGAIN)).ended


def test_a_replica_that_was_stopped_for_another_and_is_started_again_has_not_ended(bench: Bench) -> None:
    bench.look(replace(RUNNING, spec="old", status="running"), spec="old")
    stopped = replace(RUNNING, spec="old", status="exited")
    bench.look(stopped, spec="new")
    assert not bench.look(stopped, spec="old").ended
    assert not bench.look(replace(RUNNING, spec="old", started_at=AGAIN), spec="old").ended


def test_for_another_container_of_the_replica_the_time_starts_again(bench: Bench) -> None:
    bench.look(RUNNING)
    assert not bench.look(replace(RUNNING, id="d", started_at=AGAIN)).ended


def test_what_a_replica_went_through_while_dockerd_was_away_is_not_its_doing(bench: Bench) -> None:
    bench.look(RUNNING)
    bench.look(RUNNING, engine_up=False)
    assert not bench.look(replace(RUNNING, started_at=AGAIN)).ended


def test_who_does_not_lead_remembers_nothing(bench: Bench) -> None:
    bench.look(RUNNING)
    assert bench.watcher.look(None) == {}
    assert bench.look(replace(RUNNING, started_at=AGAIN)) == ReplicaTimers()


@pytest.mark.parametrize(
    ("host", "state", "failed"),
    [("h1", "acquired", False), ("h1", "granted", True), ("h1", "released", True), ("h2", "acquired", True)],
)
def test_a_replica_that_its_host_stops_to_join_again_has_not_ended(
    bench: Bench, host: str, state: Literal["granted", "acquired", "released"], *, failed: bool
) -> None:
    slot = Disruption(host=host, state=state, reason="method rejoin", quorum=True)
    bench.look(RUNNING, slot=slot)

    assert bench.look(replace(RUNNING, status="exited"), slot=slot).ended == failed
    assert bench.look(replace(RUNNING, started_at=AGAIN), slot=slot).ended == failed
    assert bench.look(replace(RUNNING, started_at=AGAIN)).ended == failed
