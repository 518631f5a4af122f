"""The events of a cluster: what its leaders saw change and ordered, in one value of bounded size in etcd."""

from collections import defaultdict, deque
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Literal

import msgspec

from agent.errors import Invalid
from agent.model import Frozen
from agent.model.phrases import cut
from agent.model.records import decode, encode, seconds_of

MOST_EVENTS, MOST_BYTES = 500, 64_000
"""Events, and bytes of the value, that are kept: the oldest go first, of the kind of resource that takes most."""
MOST_OF_A_KIND = 50
"""Events of one kind of resource with the same state that one look adds: a host may report any number of resources."""
LONGEST_TEXT = 300
"""Characters of a text, and of a name."""
ALIKE_S = 3600.0
"""Seconds within which equal events count as one, which moves to the end: what flaps pushes nothing else out."""


class Event(Frozen):
    """A change that a leader saw, or an order that it carried out. All times are of the leader's clock, RFC 3339."""

    at: str
    """Time of the last one."""
    kind: Literal["condition", "document", "election", "order"]
    resource: str
    """`<kind>/<name>` as of a condition; `document/<revision>`; `leader/<host>`."""
    state: str
    """State of a condition, or Ended: the resource is gone. Outcome of a document; `elected`; verb of an order."""
    reason: str = ""
    """Reason of a condition."""
    text: str = ""
    cause: str = ""
    """Key of the resource from which a condition follows; empty: it has its own cause."""
    lock: int = 0
    """Create revision of the leader lock of an election; else 0."""
    count: int = 1
    first: str = ""
    """Time of the first one; empty: there was one only."""

    @property
    def subject(self) -> str:
        """Name of what the event is about: the last event of a subject says what is known of it."""
        named = {"condition": self.resource, "document": f"document {self.state}"}
        return named.get(self.kind, self.kind)

    @property
    def described(self) -> tuple[str, str]:
        """State with its reason, and the text with how often it happened."""
        state = self.state if self.reason in ("", self.state) else f"{self.state} {self.reason}"
        times = f" ({self.count} times since {self.first})" if self.count > 1 else ""
        return state, f"{self.text}{times}".strip()

    @property
    def what(self) -> tuple[str, ...]:
        """Everything but times and texts: equal for equal events."""
        return self.kind, self.resource, self.state, self.reason


class EventLog(Frozen):
    """The events that are kept, the oldest first."""

    events: tuple[Event, ...] = ()
    dropped_at: str = ""
    """Time up to which events were dropped, RFC 3339; empty: none were."""


def read_log(raw: bytes) -> EventLog:
    """Return the log in a value of etcd. Raises Invalid, NewerFormat."""
    if len(raw) > 2 * MOST_BYTES:  # others may write it, and nothing needs it that much
        raise Invalid(f"not an EventLog: {len(raw)} bytes, and the maximum is {2 * MOST_BYTES}")
    return decode(EventLog, raw)


def with_events(log: EventLog, new: Iterable[Event]) -> EventLog:
    """Return the log with new events at its end, within its bounds. Equal events are counted in the last one."""
    kept, last, counted = list(log.events), {each.what: each for each in log.events}, set[int]()
    for event in new:
        each = replace(event, text=cut(event.text, LONGEST_TEXT), resource=cut(event.resource, LONGEST_TEXT))
        before = last.get(each.what)
        if before and (seconds_of(each.at) or 0.0) - (seconds_of(before.at) or 0.0) < ALIKE_S:
            counted.add(id(before))
            each = replace(each, count=before.count + 1, first=before.first or before.at)
        last[each.what] = each
        kept.append(each)
    kept = [each for each in kept if id(each) not in counted]
    surplus, dropped_at = max(len(kept) - MOST_EVENTS, 0), log.dropped_at
    while True:
        gone = _surplus(kept, surplus)
        dropped_at = max((dropped_at, *(kept[each].at for each in gone)))
        kept = [each for number, each in enumerate(kept) if number not in gone]
        found = EventLog(events=tuple(kept), dropped_at=dropped_at)
        if len(encode(found, terse=True)) <= MOST_BYTES:
            return found
        surplus = len(kept) // 20 + 1


def _surplus(events: Sequence[Event], count: int) -> set[int]:
    """Return the positions of `count` events to drop, so that no kind of resource pushes the others out."""
    numbers, sizes = defaultdict[str, deque[int]](deque), [len(msgspec.json.encode(each)) for each in events]
    for number, each in enumerate(events):
        numbers[each.resource.partition("/")[0]].append(number)
    return {
        max(numbers.values(), key=lambda some: sum(map(sizes.__getitem__, some))).popleft()
        for _ in range(count)
    }


def bounded(events: Iterable[Event]) -> tuple[Event, ...]:
    """Return the events of one look within MOST_OF_A_KIND. The last one of a kind says how many more there are."""
    alike: dict[tuple[str, str, str], list[Event]] = {}
    for each in events:
        alike.setdefault((each.kind, each.resource.partition("/")[0], each.state), []).append(each)
    shown = []
    for (_, kind, _), found in alike.items():
        shown += found[:MOST_OF_A_KIND]
        if (left := len(found) - MOST_OF_A_KIND) > 0:
            text = f"{cut(shown[-1].text, LONGEST_TEXT // 2)} (and {left} more of kind {kind})"
            shown[-1] = replace(shown[-1], text=text.strip())
    return tuple(shown)


def newest(log: EventLog, most: int) -> tuple[Event, ...]:
    """Return at most `most` events, the newest first."""
    return log.events[::-1][:most]
