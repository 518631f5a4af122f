import pytest

from bench.engine_events import Event, all_running
from bench.statistics import Series, Target, ratio, table, verdicts
from bench.upkeep import Upkeep, report

FAST = Series(name="fast", values_s=(1.0, 9.0, 2.0))
SLOW = Series(name="slow one", values_s=(4.0, 6.0))
WANTED = {"one": frozenset({"a", "b"}), "two": frozenset({"c"})}


def test_the_median_is_of_the_rounds_in_any_order() -> None:
    assert FAST.median_s == 2.0
    assert SLOW.median_s == 5.0


def test_a_ratio_is_of_medians() -> None:
    assert ratio(SLOW, FAST) == 2.5


def test_what_was_not_measured_has_no_median() -> None:
    with pytest.raises(ValueError, match="nobody was not measured"):
        Series(name="nobody", values_s=())


def test_a_table_shows_every_round() -> None:
    assert table([FAST, SLOW]) == (
        "seconds   median   every round\n"
        "fast        2.00     1.00   9.00   2.00\n"
        "slow one    5.00     4.00   6.00"
    )


def test_a_target_is_reached_up_to_its_bound_and_missed_above() -> None:
    bounds = [Target(of="slow one", against="fast", at_most=at_most) for at_most in (2.5, 2.4)]
    assert verdicts([FAST, SLOW], bounds) == (
        "slow one / fast = 2.50   (at most 2.50: reached)\nslow one / fast = 2.50   (at most 2.40: MISSED)"
    )


def test_a_target_is_left_out_when_one_side_was_not_measured() -> None:
    assert verdicts([FAST], [Target(of="fast", against="slow one", at_most=1)]) == ""


def test_everything_runs_from_the_last_first_start_on() -> None:
    events = [start("two", "c", 30), start("one", "b", 20), start("one", "a", 10), start("one", "a", 40)]
    assert all_running(events, WANTED) == 30


def test_a_replica_that_died_on_the_way_is_waited_for() -> None:
    events = [
        start("one", "a", 10),
        event("one", "a", "die", 15),
        start("one", "b", 20),
        start("two", "c", 30),
    ]
    assert all_running(events, WANTED) is None
    assert all_running([*events, start("one", "a", 50)], WANTED) == 50


def test_the_same_name_on_another_host_and_strangers_do_not_count() -> None:
    events = [start("one", "a", 1), start("one", "b", 2), start("one", "c", 3), event("two", "x", "die", 4)]
    assert all_running(events, WANTED) is None


def test_the_upkeep_of_the_dearest_agent_is_held_against_the_targets() -> None:
    cheap, dear = upkeep("one", cpu_s=0.06, rss_mb=60.0), upkeep("two", cpu_s=0.6, rss_mb=79.9)
    lines = report([cheap, dear]).splitlines()
    assert lines[-2:] == [
        "at most 1.00 % of a core (under 0.5: MISSED)",
        "at most 79.9 MB resident (under 80: reached)",
    ]


def test_the_upkeep_tells_which_calls_were_made() -> None:
    assert "one docker: info 2, nodes 1; etcd: none" in report([upkeep("one")])


def start(host: str, container: str, at_ns: int) -> Event:
    return event(host, container, "start", at_ns)


def event(host: str, container: str, word: str, at_ns: int) -> Event:
    return Event(host=host, container=container, id=container, word=word, at_ns=at_ns)


def upkeep(host: str, *, cpu_s: float = 0.0, rss_mb: float = 1.0) -> Upkeep:
    return Upkeep(
        host=host,
        seconds=60.0,
        cpu_s=cpu_s,
        rss_mb=rss_mb,
        pss_mb=rss_mb,
        passes={"ok": 2},
        docker={"info": 2, "nodes": 1},
        etcd={},
    )
