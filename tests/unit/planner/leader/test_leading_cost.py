"""What a pass of the leader does for a cluster at rest grows no faster than the cluster, and repeats nothing."""

import sys
from collections import Counter
from dataclasses import replace
from types import CodeType, FrameType
from typing import Any

from agent.diff import networks, nodes
from agent.diff.nodes import LeaderView
from agent.model.observed import ClusterState
from agent.model.records import Replica
from agent.model.status import HostStatus, ReplicaReport
from agent.observe.observer import ReplicaWatcher
from agent.planner.leader import rollout, scheduler, scheduler_state
from agent.planner.leader.assignments import assign
from agent.planner.leader.leading import plan_leading
from agent.planner.leader.rescheduler import ReplicaScheduler
from agent.planner.leader.scheduler_state import SchedulerState
from tests.fakes.store import FakeClock
from tests.support.builders import FENCE, cluster, host, host_intent, intent, member, node, service, status

SERVICES, OF_EACH = 4, 2
"""Replicas of each service for every host."""


class Rest:
    """A cluster at rest, whose leader looks at it again and again."""

    def __init__(self, hosts: int) -> None:
        self.names = tuple(f"h{number}" for number in range(1, hosts + 1))
        services = (
            replace(service(f"s{number}", {}), replicas=OF_EACH * hosts) for number in range(SERVICES)
        )
        declared = tuple(replace(host_intent("h1"), name=name) for name in self.names)
        self.wanted = replace(intent(*services), hosts=declared)
        self.assignments = assign(self.wanted, {})
        self.statuses = {name: self.status(name) for name in self.names}
        self.nodes = tuple(replace(node("h1"), id=f"node-{name}", labels=()) for name in self.names)
        self.watcher = ReplicaWatcher(FakeClock())

    def status(self, name: str, health: str = "healthy") -> HostStatus:
        reports = (_report(each, health) for each in self.assignments[name].replicas)
        return status(name, node_id=f"node-{name}", replicas=tuple(reports))

    def state(self) -> ClusterState:
        present = {name: f"run-{name}" for name in self.names}
        return cluster(
            self.wanted, assignments=self.assignments, statuses=dict(self.statuses), present=present
        )

    def seen(self, state: ClusterState) -> LeaderView:
        return LeaderView(
            me="h1",
            host=host(swarm=member(of=self.nodes)),
            cluster=state,
            fence=FENCE,
            lease=True,
            instance="run-h1",
            watches=self.watcher.look(state),
        )

    def calls_after_one_change(self) -> Counter[CodeType]:
        """The calls of a pass by function after the status of one host has changed."""
        plan_leading(self.seen(self.state()))
        self.statuses["h1"] = self.status("h1", "starting")
        calls, state = Counter[CodeType](), self.state()

        def count(frame: FrameType, event: str, _: Any) -> None:
            if event == "call":
                calls[frame.f_code] += 1

        sys.setprofile(count)
        try:
            plan_leading(self.seen(state))
        finally:
            sys.setprofile(None)
        return calls


def _report(replica: Replica, health: str) -> ReplicaReport:
    name = f"{replica.service}-{replica.slot}"
    return ReplicaReport(
        service=replica.service,
        slot=replica.slot,
        spec=replica.spec,
        id=f"id-{name}",
        name=f"prod-{name}",
        status="running",
        health=health,
        addresses=(("net", f"address of {name}"),),
    )


def test_a_pass_after_one_changed_status_grows_no_faster_than_the_cluster() -> None:
    small, large = (Rest(hosts).calls_after_one_change().total() for hosts in (40, 160))
    assert large <= 4 * small


def test_a_pass_decides_once_and_makes_no_replica_anew() -> None:
    calls = Rest(10).calls_after_one_change()
    once = (
        scheduler.schedule,
        scheduler_state.current_of,
        rollout.plan_rollouts,
        nodes._find_node_owners,
        nodes._gone_nodes,
    )
    assert [calls[each.__code__] for each in once] == [1] * len(once)
    assert calls[Replica.__init__.__code__] == 0
    # Where nothing limits a service, its hosts are looked at once for all services, and none replica by replica.
    assert calls[ReplicaScheduler._disposition_on.__code__] == 0
    assert calls[SchedulerState.may_be_held.__code__] == 0
    # What follows from a spec and an intent alone is decided for each spec, here only one, and service.
    assert calls[networks.asks_of.__code__] == SERVICES
    # Of all the statuses only the changed one is read replica by replica.
    assert calls[HostStatus.__dict__["by_key"].func.__code__] == 1


def test_a_cluster_at_rest_is_assigned_nothing() -> None:
    rest = Rest(5)
    steps = plan_leading(rest.seen(rest.state())).steps
    assert not [each for each in steps if each.resource.startswith("assignment")]
