"""Replicas that end again and again: counted, left alone longer and longer, and quoted."""

from dataclasses import replace
from typing import Any

from agent.model.host_state import ContainerState
from agent.model.records import Replica
from agent.model.spec import ContainerSpec, spec_hash
from agent.observe.crashes import CrashReader, CrashSettings
from tests.fakes.engine import FakeEngine
from tests.fakes.swarm import FakeLan

SPEC = ContainerSpec(image="order:1.0.0", environment=(("TOKEN", "tok-123"),))
REPLICA = Replica(service="order", slot=1, spec=spec_hash(SPEC))


class Bench:
    def __init__(self, lines: int = 5) -> None:
        self.engine = FakeEngine("h1", "10.0.0.1", FakeLan(registry=set()), cluster="prod")
        self.engine.by_hand.raws["c"] = {"Output": b"starting\nbad token tok-123\n"}
        self.now = 0.0
        self.finished_at = ""
        self.reader = CrashReader(self.engine, lambda: self.now, CrashSettings(lines=lines))

    def look(self, **state: Any) -> ContainerState:
        found = ContainerState(
            **{"id": "c", "name": "prod-order-1", "replica": REPLICA, "status": "running", **state}
        )
        (told,) = self.reader.look([found], {REPLICA.spec: SPEC})
        return told

    def run_and_end(self, second: int, ran_s: int = 1, **state: Any) -> ContainerState:
        self.look(started_at=at(second), finished_at=self.finished_at)
        self.finished_at = at(second + ran_s)
        ended = {
            "status": "exited",
            "exit_code": 1,
            "started_at": at(second),
            "finished_at": at(second + ran_s),
        }
        return self.look(**{**ended, **state})


def at(second: int) -> str:
    return f"2026-01-01T00:{second // 60:02}:{second % 60:02}.5Z"


def test_the_output_of_a_failing_check_is_one_bounded_line_without_secrets() -> None:
    bench = Bench()
    spec = replace(SPEC, environment=(("DB_PASSWORD", "hunter2secret"),))
    replica = replace(REPLICA, spec=spec_hash(spec))
    output = "no route to db\nlogin hunter2secret refused\n" + "x" * 4000
    found = replace(bench.look(health="unhealthy"), replica=replica, health_output=output)

    (seen,) = bench.reader.look([found], {replica.spec: spec})
    assert seen.health_output.startswith("no route to db / login ***DB_PASSWORD*** refused / xxx")
    assert len(seen.health_output) <= 1000

    (unknown,) = bench.reader.look([found], {})
    assert unknown.health_output == ""


def test_one_end_is_no_loop() -> None:
    found = Bench().run_and_end(1)
    assert (found.crashes, found.restart_backoff_s, found.output) == (1, 0.0, ())


def test_a_replica_that_the_agent_itself_stopped_has_not_crashed() -> None:
    bench = Bench()
    bench.run_and_end(1)
    found = bench.run_and_end(3, interrupted=True)
    assert (found.crashes, found.restart_backoff_s, found.output) == (1, 0.0, ())
    assert bench.run_and_end(5).crashes == 2


def test_from_the_second_on_it_is_left_alone_twice_as_long_each_time() -> None:
    bench = Bench()
    found = [bench.run_and_end(second) for second in range(1, 60, 5)]
    assert [each.crashes for each in found] == list(range(1, 13))
    assert [each.restart_backoff_s for each in found] == [0, 1, 2, 4, 8, 16, 32, 60, 60, 60, 60, 60]


def test_the_wait_passes() -> None:
    bench = Bench()
    bench.run_and_end(1)
    ended = bench.run_and_end(3)
    bench.now = 0.75
    again = bench.look(**{name: getattr(ended, name) for name in ("status", "started_at", "finished_at")})
    assert again.restart_backoff_s == 0.25


def test_its_last_words_are_quoted_without_its_secrets() -> None:
    bench = Bench()
    bench.run_and_end(1)
    assert bench.run_and_end(3).output == ("starting", "bad token ***TOKEN***")
    assert Bench(lines=0).run_and_end(3).output == ()


def test_a_run_of_ten_seconds_makes_good_for_all() -> None:
    bench = Bench()
    bench.run_and_end(1)
    bench.run_and_end(3)
    bench.look(started_at=at(5), finished_at=at(4))
    bench.now += 9.9
    assert bench.look(started_at=at(5), finished_at=at(4)).crashes == 2
    bench.now += 0.1
    found = bench.look(started_at=at(5), finished_at=at(4))
    assert (found.crashes, found.output) == (0, ())
    assert Bench().run_and_end(1, ran_s=10).crashes == 0


def test_what_docker_restarts_by_itself_counts_with_all_that_was_not_seen() -> None:
    bench = Bench()
    bench.look(started_at=at(1), restarts=0)
    found = bench.look(status="restarting", started_at=at(2), finished_at=at(3), restarts=4)
    assert found.crashes == 4
    found = bench.look(started_at=at(4), finished_at=at(3), restarts=4)
    assert (found.crashes, found.restart_backoff_s) == (4, 0.0)


def test_what_ran_when_the_agent_came_is_let_be() -> None:
    assert Bench().look(started_at=at(5), finished_at=at(4), restarts=7).crashes == 0


def test_one_that_dockerd_is_busy_with_is_as_it_was() -> None:
    bench = Bench()
    bench.run_and_end(1)
    bench.run_and_end(3)
    assert bench.look(locked_by_engine=True).crashes == 2


def test_an_output_that_cannot_be_read_is_none() -> None:
    bench = Bench()
    bench.engine.by_hand.raws.clear()
    bench.run_and_end(1)
    found = bench.run_and_end(3)
    assert (found.crashes, found.output) == (2, ())


def test_for_another_container_the_count_starts_again() -> None:
    bench = Bench()
    bench.run_and_end(1)
    bench.run_and_end(3)
    assert replace(bench.look(id="d"), id="c").crashes == 0
