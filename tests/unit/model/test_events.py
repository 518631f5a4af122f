"""The log of events: equal ones are counted, and it stays within its bounds whatever comes."""

from dataclasses import replace

import pytest

from agent.errors import Invalid, NewerFormat
from agent.model.events import (
    ALIKE_S,
    LONGEST_TEXT,
    MOST_BYTES,
    MOST_EVENTS,
    MOST_OF_A_KIND,
    Event,
    EventLog,
    bounded,
    newest,
    read_log,
    with_events,
)
from agent.model.records import encode, timestamp


def event(at_s: float, resource: str = "host/node-1", state: str = "Unknown", text: str = "") -> Event:
    return Event(at=timestamp(at_s), kind="condition", resource=resource, state=state, text=text)


def test_a_resource_that_flaps_has_two_events_with_their_numbers_and_pushes_no_other_one_out() -> None:
    log = with_events(EventLog(), [event(0, "service/web", "Blocked")])
    for number in range(2 * MOST_EVENTS):
        log = with_events(log, [event(10.0 * number, state=("Unknown", "Ready")[number % 2])])
    assert [(each.resource, each.state) for each in log.events] == [
        ("service/web", "Blocked"),
        ("host/node-1", "Unknown"),
        ("host/node-1", "Ready"),
    ]
    ready = log.events[-1]
    assert (ready.count, ready.first, ready.at) == (MOST_EVENTS, timestamp(10), timestamp(9990))
    assert log.dropped_at == ""


def test_the_same_event_an_hour_later_is_another_one() -> None:
    log = with_events(EventLog(), [event(0), event(ALIKE_S)])
    assert [each.count for each in log.events] == [1, 1]
    log = with_events(log, [event(ALIKE_S + 1)])
    assert [(each.count, each.first) for each in log.events] == [(1, ""), (2, timestamp(ALIKE_S))]


def test_equal_events_of_one_write_are_counted_too() -> None:
    (found,) = with_events(EventLog(), [event(0), event(1), event(2)]).events
    assert (found.count, found.first, found.at) == (3, timestamp(0), timestamp(2))


def test_the_oldest_go_first_and_the_log_says_up_to_when() -> None:
    log = with_events(EventLog(), [event(n, f"host/n{n}") for n in range(MOST_EVENTS + 3)])
    assert len(log.events) == MOST_EVENTS
    assert log.events[0].resource == "host/n3"
    assert log.dropped_at == timestamp(2)


def test_no_kind_of_resource_pushes_the_others_out() -> None:
    web, one = (
        event(0, "service/web"),
        Event(at=timestamp(1), kind="document", resource="document/7", state="accepted"),
    )
    log = with_events(EventLog(), [web, one])
    for n in range(3 * MOST_EVENTS):
        log = with_events(log, [event(10 + n, f"key/{n}", text="x" * LONGEST_TEXT)])
    assert log.events[:2] == (web, one)
    assert log.events[-1].resource == f"key/{3 * MOST_EVENTS - 1}"
    assert log.dropped_at == timestamp(9 + 3 * MOST_EVENTS - (len(log.events) - 2))


def test_of_many_alike_the_last_says_how_many_more_there_are() -> None:
    keys = [event(0, f"key/{n}", text="y" * 1000) for n in range(MOST_OF_A_KIND + 7)]
    few = [event(0, f"key/{n}", state="Ended") for n in range(MOST_OF_A_KIND)]
    web = event(0, "service/web")
    shown = bounded([*keys, *few, web])
    assert shown == (*keys[: MOST_OF_A_KIND - 1], shown[MOST_OF_A_KIND - 1], *few, web)
    (last,) = with_events(EventLog(), [shown[MOST_OF_A_KIND - 1]]).events
    assert last.resource == f"key/{MOST_OF_A_KIND - 1}"
    assert last.text.endswith(" (and 7 more of kind key)")
    assert last.text.startswith("yyy")


@pytest.mark.parametrize("text", ["x" * 100_000, "\x00" * 300, "\ud83d" * 300, "\N{FIRE}" * 300])
def test_no_text_makes_the_value_larger_than_its_bound(text: str) -> None:
    log = EventLog()
    for n in range(0, 2000, 400):
        log = with_events(log, [event(m, f"key/{m}{text}", text=text) for m in range(n, n + 400)])
        assert len(encode(log, terse=True)) <= MOST_BYTES
        assert log.events[-1].at == timestamp(n + 399)
    assert log.dropped_at == timestamp(1999 - len(log.events))
    assert len(log.events[-1].text) < LONGEST_TEXT + 40
    assert read_log(encode(log, terse=True)) == log


def test_a_value_is_bounded_before_it_is_decoded() -> None:
    good = encode(EventLog(events=(event(0),)), terse=True)
    assert read_log(good + b" " * MOST_BYTES).events == (event(0),)
    with pytest.raises(Invalid, match="bytes, and the maximum is 128000"):
        read_log(good + b" " * 2 * MOST_BYTES)


@pytest.mark.parametrize("raw", [b"", b"\xff", b"[]", b'{"v":2,"events":[{"at":1}]}', b'{"v":2,"events":7}'])
def test_a_damaged_value_is_invalid(raw: bytes) -> None:
    with pytest.raises(Invalid):
        read_log(raw)


def test_a_newer_format_is_told_from_damage() -> None:
    with pytest.raises(NewerFormat):
        read_log(b'{"v":3,"anything":1}')


def test_the_newest_come_first() -> None:
    log = with_events(EventLog(), [event(n, f"host/n{n}") for n in range(5)])
    assert [each.resource for each in newest(log, 2)] == ["host/n4", "host/n3"]
    assert len(newest(log, 9)) == 5
    assert newest(replace(log, events=()), 9) == ()
