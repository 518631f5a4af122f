"""What a leader remembers of the events, and when it looks again."""

from dataclasses import replace

import pytest

from agent.model.events import read_log
from agent.model.observed import Observed
from agent.model.status import BlockedReport
from agent.model.store import Fence, KeyRange, Put
from agent.report.events import GATHER_S, EventKey
from tests.fakes.store import FakeClock, FakeEtcd, FakeStore
from tests.support.builders import host, member, node
from tests.support.cluster_states import CLUSTERS

KEY, LOCK = "/swarmkeeper/prod/events", "/swarmkeeper/prod/leader"
HEALTHY = CLUSTERS["healthy"]


class Desk:
    """The key of a leader, and what it has of etcd."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.store = FakeStore(FakeEtcd(self.clock))
        self.store.txn([], [Put(key=LOCK, value=b"{}")])
        self.key = EventKey(self.store, KEY, self.clock, self.clock)

    def led(self, **changes: object) -> Observed:
        lock = self.store.read([KeyRange(key=LOCK)]).values[LOCK]
        fence = Fence(key=LOCK, create_revision=lock.create_revision)
        return Observed(me="node-231", host=None, cluster=replace(HEALTHY, **changes), fence=fence)  # type: ignore[arg-type]

    def look(self, seen: Observed) -> None:
        """Pass twice, so that the look at `seen` is due."""
        self.key.passed(seen, seen)
        self.clock.advance(GATHER_S)
        self.key.passed(seen, seen)
        self.key.write()

    @property
    def told(self) -> list[tuple[str, str]]:
        found = self.store.read([KeyRange(key=KEY)]).values[KEY]
        return [
            (each.resource, each.state) for each in read_log(found.value).events if each.kind == "condition"
        ]


@pytest.fixture
def desk() -> Desk:
    return Desk()


def test_what_is_gone_is_not_remembered(desk: Desk) -> None:
    for number in range(20):
        desk.look(desk.led(unreadable=((f"/swarmkeeper/prod/hosts/x{number}/presence", "no JSON"),)))
        assert len([each for each in desk.key._last.values() if each.kind == "condition"]) <= 1
    desk.look(desk.led())
    one, last = ("key/hosts/x18/presence", "Ended"), "key/hosts/x19/presence"
    assert desk.told[-3:] == [(last, "Blocked"), one, (last, "Ended")]


def test_what_comes_again_after_it_was_gone_is_an_event_again(desk: Desk) -> None:
    damaged = desk.led(unreadable=(("/swarmkeeper/prod/hosts/x/presence", "no JSON"),))
    for seen in (damaged, desk.led(), damaged):
        desk.look(seen)
    assert desk.told[-1] == ("key/hosts/x/presence", "Blocked")


def test_what_one_host_reports_of_thousands_of_keys_pushes_nothing_else_out(desk: Desk) -> None:
    desk.look(desk.led())
    status = HEALTHY.statuses["node-232"]
    for number in range(4):
        keys = (f"/swarmkeeper/prod/k{number}-{each:04}" for each in range(3000))
        blocked = tuple(BlockedReport(resource=each, reason="odd", kind="untrusted") for each in keys)
        statuses = {**HEALTHY.statuses, "node-232": replace(status, blocked=blocked)}
        desk.look(desk.led(statuses=statuses))
        told = desk.told
        desk.look(desk.led(statuses=statuses, can_seal=not HEALTHY.can_seal))
        assert desk.told == told
    events = read_log(desk.store.read([KeyRange(key=KEY)]).values[KEY].value).events
    assert [each.resource for each in events[:2]] == ["leader/node-231", "document/7"]
    assert len(events) == 2 + 4 * 50 + 3 * 50
    assert sum(each.text.endswith("odd (and 2950 more of kind key)") for each in events) == 4


def test_passes_that_fail_do_not_follow_each_other_at_once(desk: Desk) -> None:
    assert desk.key.look_again_s == 0.0
    seen = desk.led()
    desk.key.passed(seen, seen)
    assert desk.key.look_again_s == GATHER_S
    desk.clock.advance(10 * GATHER_S)
    assert desk.key.look_again_s == 1.0


def test_a_node_is_looked_at_before_the_report_with_it_is_written(desk: Desk) -> None:
    def seen(state: str) -> Observed:
        return replace(desk.led(), host=host(swarm=member(of=[node("h1", state=state)])))

    desk.look(seen("ready"))
    assert desk.key.look_again_s == 0.0

    desk.key.passed(seen("ready"), seen("ready"))
    assert desk.key.look_again_s == 0.0
    desk.key.passed(seen("down"), seen("down"))
    assert desk.key.look_again_s == GATHER_S
