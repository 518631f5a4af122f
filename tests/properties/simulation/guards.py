"""Guards of the product, each of which can be broken, to see that the histories notice."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import Any
from unittest import mock

from agent.conditions import cluster as conditions
from agent.conditions.reports import Reports
from agent.diff.container import identity as known_identity
from agent.model.host_state import ContainerState, HostState
from agent.model.intent import Intent
from agent.model.observed import ClusterState
from agent.model.plan import Plan
from agent.model.records import Disruption, Replica
from agent.model.status import HostStatus
from agent.model.store import Fence, KeyRange
from agent.planner.host import bridge, bridge_swap, membership, update
from agent.planner.host.bridge_swap import needs_disruption
from agent.planner.host.update import stop_and_remove
from agent.planner.host.wanted import Wanted
from agent.planner.leader import nodes
from tests.fakes.engine import FakeEngine
from tests.fakes.store import FakeStore


@contextmanager
def no_quorum_guard() -> Iterator[None]:
    """Roles are changed whoever is away."""
    with mock.patch.object(nodes, "_why_waits", return_value=None):
        yield


@contextmanager
def no_fence() -> Iterator[None]:
    """A leader compares the lock as it is now, whoever has taken it."""
    write_fenced = FakeStore.write_fenced

    def write(store: FakeStore, fence: Fence, operations: Any, compares: Any = ()) -> None:
        store.before_fenced()
        now = store.etcd.snapshot([KeyRange(key=fence.key)]).get(fence.key)
        current = Fence(key=fence.key, create_revision=now.create_revision if now else 0)
        write_fenced(store, current, operations, compares)

    with mock.patch.object(FakeStore, "write_fenced", write):
        yield


@contextmanager
def no_second_look_at_the_lock() -> Iterator[None]:
    """Who was to change a node and led when it began goes on, however long it has taken."""
    update_node = FakeEngine.update_node

    def update(engine: FakeEngine, node_id: str, **more: Any) -> None:
        update_node(engine, node_id, **{**more, "still": lambda: None})

    with mock.patch.object(FakeEngine, "update_node", update):
        yield


@contextmanager
def no_disruption_slot() -> Iterator[None]:
    """Every host takes it that it has the disruption slot, when it needs one."""
    plan_live = bridge._plan_live

    def always(intent: Intent, me: str, host: HostState, cluster: ClusterState) -> Plan:
        disruption = Disruption(host=me, state="acquired", reason="", quorum=True)
        return plan_live(
            intent,
            me,
            host,
            replace(cluster, disruption=disruption) if needs_disruption(intent, host) else cluster,
        )

    with mock.patch.object(bridge, "_plan_live", always):
        yield


@contextmanager
def no_disruption_needed() -> Iterator[None]:
    """No host takes it that changing its bridge takes anything away."""
    with mock.patch.object(bridge_swap, "needs_disruption", return_value=False):
        yield


@contextmanager
def no_foreign_check() -> Iterator[None]:
    """Nobody asks what of others would lose its overlay when a host leaves the swarm."""
    with mock.patch.object(membership, "_strangers", return_value=[]):
        yield


@contextmanager
def no_label_check() -> Iterator[None]:
    """What bears the name of a replica is taken for ours, whatever its labels say."""

    def by_name(engine: FakeEngine, raw: Mapping[str, Any]) -> object:
        labels = raw["Config"]["Labels"] or {}
        parts = raw["Name"][1:].split("-")
        if not labels and parts[0] == "prod":
            return Replica(service=parts[1], slot=int(parts[2]), spec="0" * 64)
        return known_identity(labels)

    with mock.patch.object(FakeEngine, "_replica_of", by_name):
        yield


@contextmanager
def no_look_at_the_engine() -> Iterator[None]:
    """Status goes on with the last report of a host whose dockerd answered."""
    answered: dict[str, HostStatus] = {}

    def last(status: HostStatus) -> HostStatus:
        if status.engine_up:
            answered[status.instance] = status
        return answered.get(status.instance, status)

    with _reports(last):
        yield


@contextmanager
def no_look_at_the_presence() -> Iterator[None]:
    """Status takes every agent that has ever reported for one that runs."""
    with _reports(lambda each: replace(each, stopped=False), everyone_present=True):
        yield


@contextmanager
def _reports(status: Callable[[HostStatus], HostStatus], *, everyone_present: bool = False) -> Iterator[None]:
    """Let status judge other reports than those in etcd."""

    def judged(cluster: ClusterState, now_s: float, store_error: str = "") -> Reports:
        statuses = {name: status(each) for name, each in cluster.statuses.items()}
        everyone = {name: each.instance for name, each in statuses.items()}
        present = everyone if everyone_present else cluster.present
        return Reports(replace(cluster, statuses=statuses, present=present), now_s, store_error)

    with mock.patch.object(conditions, "Reports", judged):
        yield


@contextmanager
def no_kept_container() -> Iterator[None]:
    """The old container is removed before anybody knows whether docker starts the new one."""

    def around(start: Plan, wanted: Wanted, old: ContainerState, reason: str = "") -> Plan:
        return start._replace(steps=(*stop_and_remove(wanted.name, old, 0.0, reason), *start.steps))

    with mock.patch.object(update, "around", around):
        yield


GUARDS = {
    "quorum": no_quorum_guard,
    "fencing": no_fence,
    "lease": no_second_look_at_the_lock,
    "turn": no_disruption_slot,
    "needs_disruption": no_disruption_needed,
    "foreign": no_foreign_check,
    "labels": no_label_check,
    "engine_up": no_look_at_the_engine,
    "presence": no_look_at_the_presence,
    "kept": no_kept_container,
}
SAYS = {
    "quorum": "were away: ",
    "fencing": "held the lock",
    "lease": "without a lease",
    "turn": "while the disruption slot was",
    "needs_disruption": "while the disruption slot was",
    "foreign": "was {",
    "labels": "was {",
    "engine_up": "its dockerd does not answer",
    "presence": "no agent runs there",
    "kept": "no other container of it has started",
}
"""What a violation says that comes of that guard being broken."""
