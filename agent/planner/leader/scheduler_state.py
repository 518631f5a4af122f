"""The state on which the scheduler and the rollouts decide: the hosts, and the condition of each replica."""

from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

from agent.diff.nodes import LeaderView, why_absent
from agent.diff.replicas import (
    AGAIN,
    does_not_follow,
    finished,
    has_duplicate_address,
    is_about_a_network,
    is_held_by_its_host,
)
from agent.model.intent import HostIntent, Intent, ServiceIntent
from agent.model.observed import ClusterState, ReplicaTimers
from agent.model.records import Assignment, Replica, StartObstacle
from agent.model.spec import ContainerSpec, Key
from agent.model.status import HostStatus, ReplicaReport

# ---- The condition of a replica, from the report of its host and the time for which the report is unchanged


DOWN_S = 5.0
"""Seconds for which a replica that never ran may be down before it counts as failed: its host may be starting it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Condition:
    is_: Literal["healthy", "settling", "failed", "unreachable", "unseen"]
    """unreachable: its host does not report now; unseen: its host never reported, or it was not allowed to start."""
    why: str = ""
    """The reason; empty if healthy."""
    for_s: float = 0.0
    """Seconds for which the condition has held."""
    up: bool = False
    """True if a container of any spec does its work, or may do so on an unreachable host."""


def spec_of(replica: Replica, service: ServiceIntent | None, cluster: ClusterState) -> ContainerSpec | None:
    if service and service.spec_hash == replica.spec:
        return service.spec
    return cluster.specs.get(replica.spec)


def condition(replica: Replica, host: str, observed: LeaderView, service: ServiceIntent | None) -> Condition:
    """Return the condition of `replica`, assigned to `host`. `service`: its service in the intent."""
    cluster = observed.cluster
    if replica.waits:
        return Condition(is_="unseen", why=replica.waits)
    watch = observed.watches.get((host, *replica.key), ReplicaTimers())
    if host not in cluster.statuses:
        return Condition(is_="unseen")
    if why := why_absent(host, cluster):
        return Condition(is_="unreachable", why=why, for_s=watch.steady_s, up=True)
    status, spec = cluster.statuses[host], spec_of(replica, service, cluster)
    reports = status.by_key.get(replica.key, ())
    up = any(each.status in ("running", "paused") for each in reports)
    mine = [each for each in reports if each.spec == replica.spec]
    names = {f"container/{each.name}" for each in reports}
    names |= {f"image/{spec.image}"} if spec else set()
    held = [each.reason for each in status.left if each.resource in names]
    waits = is_held_by_its_host(status, names)
    faults = (
        _failure(each, spec, watch, excused=waits or _is_host_problem(each, replica, spec)) for each in mine
    )
    if fault := next(filter(None, faults), ""):
        return Condition(is_="failed", why=fault, for_s=watch.steady_s, up=up)
    if len(reports) == len(mine) == 1 and not (unwell := _unwell(mine[0], spec)):
        return Condition(is_="healthy", for_s=watch.steady_s, up=True)
    doing = unwell if len(reports) == len(mine) == 1 else "it is being replaced"
    why = held[0] if held else doing
    return Condition(is_="settling", why=why, for_s=watch.steady_s, up=up)


def _is_host_problem(report: ReplicaReport, replica: Replica, spec: ContainerSpec | None) -> bool:
    """Return True if the start failed for a cause that the host repairs: no network, or a duplicate address."""
    return not report.name.endswith(AGAIN) and (
        is_about_a_network(report.error)
        or (spec is not None and has_duplicate_address(report, replica, spec))
    )


def _failure(
    report: ReplicaReport, spec: ContainerSpec | None, watch: ReplicaTimers, *, excused: bool
) -> str:
    """Return the fault that waiting does not repair; empty if there is none.

    `excused`: the spec is not the cause that the replica is down, as while its host blocks the start after a power cut.
    """
    exited = f"it exited with {report.exit_code}"
    if finished(spec, report):
        return exited if report.exit_code else ""
    if report.status == "restarting":
        return f"it keeps exiting with {report.exit_code}"
    if report.health == "unhealthy":
        return "it is unhealthy"
    if watch.ended:
        return exited if report.status in ("exited", "dead") else "it ended and was started again"
    if excused or watch.steady_s < DOWN_S or report.status not in ("created", "exited", "dead"):
        return ""
    return report.error or ("" if report.status == "created" else exited)


def _unwell(report: ReplicaReport, spec: ContainerSpec | None) -> str:
    """Return what the replica still lacks to be healthy; empty if nothing."""
    if any(each.repair != "none" for each in report.differences):
        return "it differs from its spec"
    if finished(spec, report):
        return ""
    if report.status != "running":
        return f"it is {report.status}"
    return "" if report.health in ("", "healthy") else "it is not healthy yet"


# ---- The current assignments, also if etcd has lost them


def current_of(intent: Intent, cluster: ClusterState) -> Mapping[str, Assignment]:
    """Return the assignments; a declared host that lost its own has its reported replicas, a removed one none."""
    current, lost = dict(cluster.assignments), frozenset(_lost(intent, cluster))
    for name in _damaged(cluster):
        if intent.host(name) is None:
            current[name] = Assignment(revision=intent.revision, project=intent.project)
    if not lost:
        return current
    taken = {replica.key for name in current if name not in lost for replica in current[name].replicas}
    for name in filter(lost.__contains__, (each.name for each in intent.hosts)):
        status = cluster.statuses.get(name)
        runs = {each.key: each for each in status.replicas} if status else {}
        replicas = tuple(
            Replica(service=key[0], slot=key[1], spec=runs[key].spec, addresses=runs[key].reserved)
            for key in sorted(runs.keys() - taken)
        )
        taken |= runs.keys()
        if name in current or replicas:
            current[name] = Assignment(revision=intent.revision, project=intent.project, replicas=replicas)
    return current


def _lost(intent: Intent, cluster: ClusterState) -> tuple[str, ...]:
    """Return the declared hosts without an assignment of this epoch."""
    found = cluster.assignments
    names = (each.name for each in intent.hosts)
    return tuple(name for name in names if name not in found or found[name].epoch < cluster.epoch)


def _damaged(cluster: ClusterState) -> tuple[str, ...]:
    """Return the hosts whose assignment is damaged; with one of a newer format this agent would not be the leader."""
    parts = (key.rpartition("/assignments/") for key, _ in cluster.unreadable)
    return tuple(name for _, found, name in parts if found)


def silent_hosts(intent: Intent, cluster: ClusterState) -> tuple[str, ...]:
    """Return the present hosts with a lost assignment whose report is not of this epoch, as after a restore."""
    if not cluster.epoch:
        return ()
    present = [each for each in _lost(intent, cluster) if each in cluster.present]
    statuses = {each: cluster.status_of(each) for each in present}
    return tuple(
        each for each, status in statuses.items() if not status or status.epoch not in (None, cluster.epoch)
    )


# ---- The slots of a service with fixed replicas


Slots = Mapping[str, list[int]]
"""Host -> the slots of the replicas of one service."""


Has = Mapping[str, Mapping[int, Replica]]
"""Host -> slot -> replica of one service; hosts sorted by name, without those that have none."""


def by_service(current: Mapping[str, Assignment]) -> Mapping[str, Has]:
    """Return the assigned replicas of every service."""
    found: defaultdict[str, dict[str, Mapping[int, Replica]]] = defaultdict(dict)
    for host, assignment in sorted(current.items()):
        for service, replicas in assignment.by_service.items():
            found[service][host] = replicas
    return found


def slots_of(
    has: Has, counts: Mapping[str, int], kept_on: Callable[[str], list[int]] = lambda _: []
) -> dict[str, list[int]]:
    """Return host -> slots, as many as `counts` has for the host.

    A replica keeps its slot and its host; a new one takes the lowest slot not in use. `kept_on` returns the slots that
    a host does not give up: they come before others that are assigned to it.
    """
    taken = {slot for slots in has.values() for slot in slots}
    kept = dict[str, list[int]]()
    for host, count in counts.items():
        mine = [each for each in kept_on(host) if each not in taken]
        kept[host] = [*mine, *sorted(has.get(host, ()))][:count]
        taken |= {*mine}
    used = {slot for slots in kept.values() for slot in slots}
    free = (slot for slot in range(1, 1_000_000) if slot not in used)
    return {host: kept[host] + [next(free) for _ in range(n - len(kept[host]))] for host, n in counts.items()}


_HEALTHY = Condition(is_="healthy", for_s=float("inf"), up=True)


class SchedulerState:
    """The hosts at one moment. Without `observed` all are assumed to be reachable and healthy."""

    def __init__(
        self, intent: Intent, current: Mapping[str, Assignment], observed: LeaderView | None
    ) -> None:
        self.intent, self.current, self.observed = intent, current, observed
        self.cluster = observed.cluster if observed else None
        self.lost_s: Mapping[str, float] = observed.lost_s if observed else {}
        self.ready = self._ready_nodes()
        self.has = by_service(current)
        self._silent: dict[str, str] = {}
        """Host -> why it does not report; empty: it does. Filled on demand."""

    @cached_property
    def _shown(self) -> Mapping[Key, set[str]]:
        """Return the hosts that report a container of a replica."""
        found: defaultdict[Key, set[str]] = defaultdict(set)
        for name, status in self.cluster.statuses.items() if self.cluster else ():
            for key in status.by_key:
                found[key].add(name)
        return found

    @cached_property
    def _assigned(self) -> Mapping[Key, set[str]]:
        """Return the hosts to which a replica is assigned so that it may start."""
        found: defaultdict[Key, set[str]] = defaultdict(set)
        for name, assignment in self.current.items():
            for replica in assignment.replicas:
                if not replica.held:
                    found[replica.key].add(name)
        return found

    @cached_property
    def rebalanced(self) -> Mapping[str, str]:
        """Return the last order to rebalance that was carried out, by service."""
        every = (pair for each in self.current.values() for pair in each.rebalanced)
        return dict(sorted(every))

    @cached_property
    def keeping(self) -> Mapping[str, HostIntent]:
        """Return the hosts on which the replicas stay unless their service forbids it."""
        hosts = (each for each in self.intent.hosts if each.availability != "drain")
        return {each.name: each for each in hosts if not self.is_gone(each.name)}

    @cached_property
    def settled(self) -> frozenset[str]:
        """Return the hosts that report now that each of their assigned replicas runs or may start."""
        status = self.cluster.statuses if self.cluster else {}
        up = (name for name, each in self.current.items() if name in status and status[name].up == each.slots)
        return frozenset(name for name in up if self.is_reachable(name))

    def is_gone(self, name: str) -> bool:
        """Return True if the host has been lost for `policy.reschedule_after`."""
        return name in self.lost_s and self.lost_s[name] >= self.intent.policy.reschedule_after_s

    def is_reachable(self, name: str) -> bool:
        if name not in self._silent:
            self._silent[name] = why_absent(name, self.cluster) if self.cluster else ""
        return not self._silent[name]

    def why_absent(self, name: str) -> str:
        """Return why the host does not report, or the state of its node that makes it lost."""
        return (why_absent(name, self.cluster) if self.cluster else "") or "its node is down"

    def describe_absence(self, name: str) -> str:
        return f"{name} does not report ({self.why_absent(name)})"

    def gone_in_s(self, name: str) -> float:
        """Return the seconds until a lost host is gone; 0: not lost, or gone already."""
        if name not in self.lost_s:
            return 0.0
        return max(0.0, self.intent.policy.reschedule_after_s - self.lost_s[name])

    def why_no_move_to(self, name: str) -> str:
        """Return why no replica can move to the host now; empty if one can."""
        if not self.is_reachable(name):
            return self.describe_absence(name)
        if self.ready is None:
            return "the swarm lists no nodes"
        if self.observed and self.cluster and self.cluster.record and name not in self.ready:
            return f"the swarm does not call the node of {name} ready"
        return ""

    def has_image(self, name: str, image: str) -> bool:
        status = self.status(name)
        return self.cluster is None or (status is not None and image in status.images)

    def condition(self, replica: Replica, host: str) -> Condition:
        service = self.intent.service(replica.service)
        return condition(replica, host, self.observed, service) if self.observed else _HEALTHY

    def up_on(self, host: str, service: str) -> frozenset[int]:
        """Return the slots of which a host reports a container that runs or may start."""
        status = self.status(host)
        return status.up.get(service, frozenset()) if status else frozenset()

    def kept_on(self, host: str, service: str) -> list[int]:
        """Return the slots of replicas that run on a host and stay there although its assignment has others."""
        status = self.status(host)
        up = sorted(self.up_on(host, service)) if status and status.blocked else ()
        return [slot for slot in up if status and does_not_follow(status, self.intent, (service, slot))]

    def may_be_held(self, host: str, service: str, slots: list[int]) -> list[int]:
        """Return those of the slots for which `held` may have a reason: they do not run on the host, as it reports."""
        if self.cluster is None:
            return []
        up = self.up_on(host, service) if self.is_reachable(host) else ()
        return [slot for slot in slots if slot not in up]

    def held(self, host: str, service: str, slot: int) -> StartObstacle:
        """Return why a replica that does not run on `host` must not start there: another has it, or may have it."""
        has, assigned = self._shown.get((service, slot), set()), self._assigned.get((service, slot), set())
        for other in sorted((has | assigned) - {host}):
            if self.is_reachable(other):
                still = f"it is still on {other}"
                why = still if other in has else f"{other} has not confirmed its removal yet"
                return StartObstacle(why, f"host/{other}")
            if other in has and self.intent.host(other) and not self.is_gone(other):
                why = f"it may still run on {other}, which does not report ({self.why_absent(other)})"
                return StartObstacle(why, f"host/{other}")
        return StartObstacle()

    def status(self, name: str) -> HostStatus | None:
        """Return the last report of a host."""
        return self.cluster.statuses.get(name) if self.cluster else None

    def _ready_nodes(self) -> frozenset[str] | None:
        """Return the hosts whose node is ready; None without a node list."""
        if self.observed is None:
            return frozenset(each.name for each in self.intent.hosts)
        if self.cluster is None or self.cluster.record is None or self.cluster.record.swarm_id is None:
            return frozenset()
        if (node_owners := self.observed.node_owners) is None:
            return None
        return frozenset(name for name, node in node_owners.now.items() if node.state == "ready")
