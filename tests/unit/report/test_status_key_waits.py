"""Reports whose only news is the work under way wait for its result, and for WAITS_S at most."""

from dataclasses import replace

import pytest

from agent.model.host_state import Attached, NodeState
from agent.model.records import decode
from agent.model.status import BlockedReport, BridgeReport, HostStatus, ReplicaReport, StepReport, Waiting
from agent.model.store import KeyRange
from agent.report.status_key import WAITS_S, StatusKey
from tests.fakes.store import FakeClock, FakeEtcd, FakeStore

KEY = "/swarmkeeper/prod/hosts/node-a/status"
REPLICA = ReplicaReport(service="app", slot=1, spec="old", id="1", name="prod-app-1", status="running")
REST = HostStatus(
    instance="run-1",
    at="10:00",
    agent_version="1.0",
    state="active",
    revision=7,
    bridge=BridgeReport(phase="right", revision=7),
    replicas=(REPLICA,),
)
PULL = StepReport(resource="image/app:2", verb="pull", text="pull image/app:2")
PUBLISH = StepReport(resource="assignment/node-b", verb="publish", text="publish", leads=True)
BEGUN = replace(REST, at="10:01", steps=(PULL,))


def told(resource: str, reason: str = "why") -> tuple[Waiting, ...]:
    return (Waiting(resource=resource, reason=reason),)


class Desk:
    """A key whose writes a test counts."""

    def __init__(self) -> None:
        self.clock, self.asked = FakeClock(), list[float]()
        self.store = FakeStore(FakeEtcd(self.clock))
        self.key = StatusKey(self.store, KEY, self.clock, again=self.asked.append)

    def writes(self, status: HostStatus, *, assigned_at: int = 0) -> bool:
        """Return True if the status is in etcd after it was offered."""
        self.key.write(status, assigned_at=assigned_at)
        found = self.store.read([KeyRange(key=KEY)]).get(KEY)
        return found is not None and decode(HostStatus, found.value) == status


NODE = NodeState(
    id="n", hostname="node-b", role="worker", availability="active", state="down", address="10.0.0.2"
)
UP = replace(NODE, state="ready")
AWAY = (("node-b", "10:00"),)


@pytest.fixture
def desk() -> Desk:
    found = Desk()
    assert found.writes(REST)
    return found


@pytest.mark.parametrize(
    "more",
    [
        {"steps": (PULL,)},
        {"steps": (PUBLISH,)},
        {"steps": (PULL,), "images": ("app:2",)},
        {"waiting": told("rollout/app")},
        {"bridge": BridgeReport(phase="right", revision=8)},
    ],
)
def test_work_under_way_alone_waits(desk: Desk, more: dict[str, object]) -> None:
    begun = replace(REST, at="10:01", **more)  # type: ignore[arg-type]

    assert not desk.writes(begun)
    assert desk.asked == [WAITS_S]
    desk.clock.advance(WAITS_S - 1)
    assert not desk.writes(begun)
    assert desk.asked == [WAITS_S, 1.0]
    desk.clock.advance(1)
    assert desk.writes(begun)
    assert len(desk.asked) == 2


@pytest.mark.parametrize(
    "more",
    [
        {"replicas": (replace(REPLICA, status="exited"),)},
        {"replicas": (replace(REPLICA, steady=True),)},
        # A leader that first sees a container when it has ended does not count that as a failure of the rollout.
        {
            "replicas": (
                REPLICA,
                replace(REPLICA, spec="new", id="2", name="prod-app-1-new", status="created"),
            )
        },
        {"replicas": ()},
        {"blocked": (BlockedReport(resource="image/app:2", reason="no", kind="error"),)},
        {"waiting": told("network/net")},
        {"waiting": told("container/prod-app-1")},
        {"bridge": BridgeReport(phase="waiting", revision=8)},
        {"state": "pending"},
        {"node_id": "node-2"},
        {"leading": True},
        {"epoch": 2},
        {"unreachable": (("node-b", "10:00"),)},
        {"attached": (Attached(id="2", name="other"),)},
        {"revision": 6},
        {"instance": "run-2"},
    ],
)
def test_what_a_host_decides_by_is_written_at_once_with_the_work(desk: Desk, more: dict[str, object]) -> None:
    assert desk.writes(replace(BEGUN, **more))  # type: ignore[arg-type]
    assert desk.asked == []


def test_what_changes_when_a_host_comes_back_is_one_report(desk: Desk) -> None:
    away = replace(REST, leading=True, nodes=(NODE,), unreachable=AWAY, waiting=told("placement/app"))
    assert desk.writes(away)

    assert not desk.writes(replace(away, nodes=(UP,), waiting=()))
    desk.clock.advance(1)
    assert not desk.writes(replace(away, nodes=(UP,), waiting=(), unreachable=()))
    assert desk.asked == [WAITS_S, WAITS_S - 1]
    desk.clock.advance(WAITS_S - 1)
    assert desk.writes(replace(away, nodes=(UP,), waiting=(), unreachable=()))


@pytest.mark.parametrize(
    "more",
    [
        {"nodes": (UP,), "unreachable": (*AWAY, ("node-c", "10:01"))},
        {"nodes": ()},
        {"nodes": None},
        {"nodes": (replace(UP, availability="drain"),)},
        {"nodes": (UP, replace(UP, id="another"))},
        {"nodes": (UP,), "waiting": told("network/net")},
        {"waiting": ()},
    ],
)
def test_what_else_a_leader_sees_is_written_at_once(desk: Desk, more: dict[str, object]) -> None:
    away = replace(REST, leading=True, nodes=(NODE,), unreachable=AWAY, waiting=told("placement/app"))
    assert desk.writes(away)

    assert desk.writes(replace(away, **more))  # type: ignore[arg-type]


def test_a_node_that_goes_down_is_written_at_once(desk: Desk) -> None:
    other = replace(NODE, id="another")
    led = replace(REST, leading=True, nodes=(UP, other), unreachable=AWAY)
    assert desk.writes(led)

    assert desk.writes(replace(led, nodes=(NODE, replace(other, state="ready"))))


def test_the_work_of_a_host_outside_of_the_swarm_is_written_at_once(desk: Desk) -> None:
    assert desk.writes(replace(REST, state="inactive"))
    assert desk.writes(replace(BEGUN, state="inactive"))


def test_a_document_that_is_carried_out_is_told_at_once(desk: Desk) -> None:
    done = replace(REST, revision=8, bridge=BridgeReport(phase="right", revision=8), steps=(PUBLISH,))

    assert desk.writes(done)


def test_a_document_that_asks_nothing_of_a_host_does_not_make_its_work_urgent(desk: Desk) -> None:
    done = replace(REST, revision=8, bridge=BridgeReport(phase="right", revision=8), steps=(PUBLISH,))

    assert not desk.writes(done, assigned_at=7)
    assert desk.asked == [WAITS_S]


def test_work_that_is_over_before_its_report_is_never_told(desk: Desk) -> None:
    assert not desk.writes(BEGUN)
    desk.clock.advance(WAITS_S - 1)

    assert not desk.writes(replace(REST, at="10:02"))  # as it is in etcd, apart from its time
    desk.clock.advance(2)
    assert not desk.writes(replace(BEGUN, at="10:03"))
    assert desk.asked == [WAITS_S, WAITS_S]


def test_the_end_of_a_reported_step_of_the_host_is_told_at_once(desk: Desk) -> None:
    assert not desk.writes(BEGUN)
    desk.clock.advance(WAITS_S)
    assert desk.writes(BEGUN)

    assert desk.writes(replace(REST, at="10:02", waiting=told("rollout/app")))


def test_the_end_of_all_work_is_told_at_once(desk: Desk) -> None:
    leads = replace(REST, at="10:01", waiting=told("rollout/app"))
    assert not desk.writes(leads)
    desk.clock.advance(WAITS_S)
    assert desk.writes(leads)

    assert desk.writes(replace(REST, at="10:02"))


def test_what_etcd_has_lost_does_not_wait(desk: Desk) -> None:
    desk.store.etcd.wipe()
    desk.key.forget()

    assert desk.writes(BEGUN)


def test_the_last_report_does_not_wait(desk: Desk) -> None:
    desk.key.write(BEGUN, anyway=True)
    found = desk.store.read([KeyRange(key=KEY)]).get(KEY)

    assert found is not None
    assert decode(HostStatus, found.value) == BEGUN
