"""The condition of each replica of the accepted document, from the current report of its host."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import field

from agent.conditions.condition import Condition, ReplicaCondition
from agent.conditions.finding import Blocked, Degraded, Finding, Progressing, Ready, Unknown, severest
from agent.conditions.reports import Reports, because, blocked_of
from agent.diff import capacity
from agent.diff.replicas import CRASH_LOOP, finished
from agent.model import Frozen
from agent.model.intent import ServiceIntent
from agent.model.records import Replica
from agent.model.spec import ContainerSpec, Key, registry_of
from agent.model.status import HostStatus, ReplicaReport

_OUTSIDE_SWARM = ("SwarmError", "NotInSwarm", "Locked")
"""Reasons of a host on which docker attaches nothing to an overlay."""


class Place(Frozen):
    """A slot of a service, and its host as far as it is assigned."""

    service: ServiceIntent
    slot: int
    host: str = ""
    replica: Replica | None = None
    """None: not assigned yet."""

    @property
    def key(self) -> Key:
        return self.service.name, self.slot


class Known(Frozen):
    """The conditions on which those of replicas depend."""

    hosts: Mapping[str, Condition]
    no_host: Mapping[str, str] = field(default_factory=dict)
    """Service -> the leader's reason why a replica of it has no host."""
    shown: Mapping[Key, Mapping[str, list[ReplicaReport]]]
    """Replica -> host -> the containers of it that the current report of the host shows."""


# ---- The slots of every service


def desired_replicas(service: ServiceIntent, reports: Reports) -> int:
    """Return the number of replicas that the document asks for on hosts that may run them."""
    if service.replicas is not None:
        return service.replicas
    unmet = [capacity.why_unmet(service, reports.cluster.statuses.get(name)) for name, _ in service.placement]
    return sum(
        _desired_on(name, count, service, reports)
        for (name, count), why in zip(service.placement, unmet, strict=True)
        if not (service.everywhere and why) or all(unmet)
    )


def _desired_on(name: str, count: int, service: ServiceIntent, reports: Reports) -> int:
    host = reports.declared(name)
    if host is None or host.availability == "drain":
        return 0
    if host.availability == "active" or not service.everywhere:
        return count
    assignment = reports.cluster.assignments.get(name)
    return sum(each.service == service.name for each in assignment.replicas) if assignment else 0


def places_on(host: str, reports: Reports) -> Iterator[Place]:
    """Yield the slots of declared services that are assigned to a host, by the name of the service."""
    intent, assignment = reports.intent, reports.cluster.assignments.get(host)
    for replica in assignment.replicas if intent and assignment else ():
        if intent and (service := intent.service(replica.service)):
            yield Place(service=service, slot=replica.slot, host=host, replica=replica)


def places(reports: Reports) -> Iterator[Place]:
    """Yield the slots of every declared service in the document's order, assigned or not."""
    intent = reports.intent
    if intent is None:
        return
    assigned: dict[str, list[Place]] = {}
    for host in intent.hosts:
        for place in places_on(host.name, reports):
            assigned.setdefault(place.service.name, []).append(place)
    for service in intent.services:
        mine = sorted(assigned.get(service.name, ()), key=lambda each: (each.slot, each.host))
        yield from mine
        taken, lacking = {each.slot for each in mine}, desired_replicas(service, reports) - len(mine)
        free = (slot for slot in range(1, len(mine) + lacking + 1) if slot not in taken)
        for slot, _ in zip(free, range(lacking), strict=False):
            yield Place(service=service, slot=slot)


# ---- One replica


def shown_in(reporting: Iterable[tuple[str, HostStatus]]) -> dict[Key, dict[str, list[ReplicaReport]]]:
    """Return the containers of each replica by host, from the reports of these hosts."""
    found: dict[Key, dict[str, list[ReplicaReport]]] = {}
    for host, status in reporting:
        for each in status.replicas if status.engine_up else ():
            found.setdefault(each.key, {}).setdefault(host, []).append(each)
    return found


def replica_condition(place: Place, reports: Reports, known: Known) -> ReplicaCondition:
    """Return the condition of a replica, with what the current report of its host shows."""
    status = reports.current(place.host) if place.host else None
    status = status if status and status.engine_up else None
    mine = known.shown.get(place.key, {}).get(place.host, []) if status else []
    judge = _Judge(place, reports, known)
    best = next((each for each in mine if each.spec == judge.target), mine[0] if mine else None)
    assignment = reports.cluster.assignments.get(place.host)
    # The accepted revision that both the assignment and the report behind the condition refer to.
    revision = min(assignment.revision, status.bridge.revision) if assignment and status else 0
    name = f"{place.service.name}-{place.slot}"
    return ReplicaCondition(
        condition=Condition.of("replica", name, judge.finding(status, mine), revision=revision),
        service=place.service.name,
        slot=place.slot,
        host=place.host,
        updated=any(each.spec == judge.target for each in mine),
        running=any(each.status == "running" for each in mine),
        ready=any(judge.works(each) for each in mine),
        health=best.health if best else "",
        restarts=best.restarts if best else 0,
        ports=best.ports if best else (),
        output=best.output if best else (),
    )


class _Judge:
    def __init__(self, place: Place, reports: Reports, known: Known) -> None:
        self.place, self.reports, self.known = place, reports, known
        self.target, _ = reports.target(place.service.name)
        self.rollout = reports.rollouts.get(place.service.name)
        self.spec = reports.spec(place.service.name, place.replica.spec if place.replica else "")
        project = reports.intent.project if reports.intent else ""
        self.container = f"container/{project}-{place.service.name}-{place.slot}"
        self.logs = f"swarmkeeper logs {place.service.name}-{place.slot}"

    def finding(self, status: HostStatus | None, mine: list[ReplicaReport]) -> Finding:
        place = self.place
        if place.replica is None and (why := self.known.no_host.get(place.service.name)):
            return Blocked("NoHostFits", f"no host can run it: {why}")
        if place.replica is None:
            text = "the leader has not assigned it to a host yet"
            return Progressing("NotAssigned", text, cause=self.reports.assigner)
        if status is None:
            host = self.known.hosts[place.host]
            text = f"not known: see {place.host}"
            return Unknown(host.reason, text, cause=host.key, since=host.since)
        if not mine:
            return self._absent(status, place.replica)
        if len(mine) > 1:
            containers = (self.container, *(f"container/{each.name}" for each in mine))
            if blocked := self._blocked(status, *containers):
                return severest(blocked)
            reason, on = self._waiting(status, *containers)
            # Without their names, which change meanwhile: `apply --wait` prints each new text.
            text = f"{len(mine)} containers of it exist until one is removed"
            text += f"; {reason}" if reason else ""
            return Progressing("Updating", text, cause=self._swarm_or_host(on))
        findings = (
            *self._of_container(mine[0], status),
            *self._of_spec(mine[0], place.replica, status),
            *self._of_assignment(),
            *self._elsewhere(),
        )
        worst = severest(findings)
        if not findings and mine[0].status == "exited":
            worst = Ready("Completed", "it has completed with exit code 0")
        attempts = max((each.attempts for each in findings if each.reason == worst.reason), default=0)
        return worst._replace(attempts=attempts)

    def works(self, found: ReplicaReport) -> bool:
        """Return True if the container does its work, whatever its spec."""
        if found.status == "running":
            return found.health in ("", "healthy") and found.steady and found.crashes < CRASH_LOOP
        return finished(self._spec_of(found), found) and found.exit_code == 0

    def _spec_of(self, found: ReplicaReport) -> ContainerSpec | None:
        return self.reports.spec(self.place.service.name, found.spec)

    # ---- Without a container or a report

    def _absent(self, status: HostStatus, replica: Replica) -> Finding:
        reason, on = self._waiting(status, self.container)
        on = self._swarm_or_host(replica.waits_on or on)
        if replica.waits:
            first = next((f"service/{name}" for name, _ in self.place.service.depends_on), "")
            return Progressing("WaitsForDependency", replica.waits, cause=on or first)
        if replica.held and replica.held_by_fault:
            return Blocked("Duplicate", replica.held, cause=on)
        if replica.held:
            return Progressing("Moving", replica.held, cause=on)
        if blocked := self._blocked(status, self.container):
            return severest(blocked)
        if reason:
            return Progressing("WaitsForDependency" if on else "Starting", reason, cause=on)
        host = self.known.hosts[self.place.host]
        if host.is_fault:
            return Degraded("ReplicasMissing", f"it cannot start: see {self.place.host}", cause=host.key)
        resources = {each.resource for each in (*blocked_of(status), *self.reports.leader_blocked())}
        networks = (f"network/{each.network}" for each in self.place.service.spec.networks)
        cause = next((each for each in networks if each in resources), "")
        cause = cause or self._failing_pull(status)
        return Progressing("Starting", f"it is being started on {self.place.host}", cause=cause)

    def _failing_pull(self, status: HostStatus) -> str:
        """Return the key of a failing image if the image of this replica waits for a pull from the same registry."""
        if self.spec is None or f"image/{self.spec.image}" not in [each.resource for each in status.steps]:
            return ""
        failing = (each.resource for each in blocked_of(status) if each.kind == "error")
        images = (each for each in failing if each.startswith("image/"))
        registry = registry_of(self.spec.image)
        return next((each for each in images if registry_of(each.removeprefix("image/")) == registry), "")

    def _swarm_or_host(self, on: str) -> str:
        """Return what a wait for the swarm is for: the quorum, or this host if only this one is without the swarm."""
        status, lost = self.reports.current(self.place.host), self.reports.swarm_work == "quorum/"
        if on.startswith("network/") and status is not None and status.state != "active":
            return f"host/{self.place.host}"
        # A leader without a list of the nodes knows no network, also where another manager reaches the raft leader.
        unlisted = "nodes" in [each.resource for each in self.reports.leader_blocked()]
        if on.startswith("network/") and (lost or unlisted):
            return self.reports.swarm_work
        return f"host/{self.place.host}" if on == "quorum/" and not lost else on

    def _waiting(self, status: HostStatus, *resources: str) -> tuple[str, str]:
        found = next((each for each in status.waiting if each.resource in resources), None)
        return (found.reason, found.on) if found else ("", "")

    def _blocked(self, status: HostStatus, *containers: str) -> tuple[Finding, ...]:
        """Return the findings for the container and the image of this replica that its host reports as blocked."""
        image, found = f"image/{self.spec.image}" if self.spec else "", []
        for each in blocked_of(status):
            if each.resource in containers:
                found.append(self.reports.finding(each, error="StartFailed"))
            elif each.resource == image and each.kind == "error":
                found.append(self.reports.finding(each, error="PullFailed")._replace(cause=image))
        return tuple(found)

    # ---- With one container

    def _of_spec(self, found: ReplicaReport, replica: Replica, status: HostStatus) -> Iterator[Finding]:
        rollout, cause = self.rollout, f"rollout/{self.place.service.name}"
        if found.spec == self.target:
            if rollout and rollout.back and replica.spec != self.target:
                yield Progressing("RollingBack", "it goes back to the previous spec", cause=cause)
            return
        if found.spec != replica.spec:
            reason, on = self._waiting(status, self.container, f"container/{found.name}")
            on = self._failing_pull(status) or self._swarm_or_host(on) or (cause if rollout else "")
            yield Progressing("Updating", f"it is being replaced{because(reason)}", cause=on)
        elif rollout is None:
            yield Progressing(
                "Updating", "it has the previous spec; the rollout begins", cause=self.reports.assigner
            )
        elif rollout.state in ("paused", "rollback-paused"):
            yield Blocked("RolloutPaused", "it has the previous spec; the rollout is paused", cause=cause)
        elif rollout.state == "rolled-back":
            yield Degraded("RolledBack", "it has the previous spec again", cause=cause)
        else:
            yield Progressing("Updating", "it has the previous spec", cause=cause)

    def _of_assignment(self) -> Iterator[Finding]:
        """Yield a finding if the document does not want the replica on its host, and the leader has not moved it."""
        service, reports, host = self.place.service, self.reports, self.place.host
        intent, assignment = reports.intent, reports.cluster.assignments.get(host)
        if intent is None or assignment is None or assignment.revision >= reports.accepted_revision:
            return
        count = 1 if service.replicas is not None else dict(service.placement).get(host, 0)
        if not _desired_on(host, count, service, reports):
            text = f"it is not declared on {host} any more: waits for the assignment of revision {intent.revision}"
            yield Progressing("NotAssigned", text, cause=reports.assigner)

    def _of_container(self, found: ReplicaReport, status: HostStatus) -> Iterator[Finding]:
        match found.status:
            case "running":
                yield from self._running(found, status)
            case "exited":
                yield from self._exited(found)
            case "restarting":
                yield self._crash_loop(found)
            case "created" if found.error:
                yield self._start_failed(found)
            case "created":
                reason, on = self._waiting(status, self.container, f"container/{found.name}")
                text = reason or "its container is created and starts"
                yield Progressing("Starting", text, cause=self._swarm_or_host(on))
            case "paused":
                yield Degraded("Differs", "it is paused (`docker pause`); its agent unpauses it")
            case "dead":
                yield Degraded("Exited", "docker reports its container as dead; its agent replaces it")
            case "removing":
                yield Progressing("Updating", "its container is being removed")
        yield from self._blocked(status, self.container, f"container/{found.name}")

    def _running(self, found: ReplicaReport, status: HostStatus) -> Iterator[Finding]:
        if found.health == "unhealthy":
            about = (each for each in blocked_of(status) if each.resource == f"container/{found.name}")
            why = next((each.reason for each in about if each.kind == "unhealthy"), "its health check fails")
            yield Degraded(
                "Unhealthy", why, f"docker inspect --format '{{{{json .State.Health}}}}' {found.name}"
            )
        if found.crashes >= CRASH_LOOP:
            yield self._crash_loop(found)
        if differences := [each for each in found.differences if each.repair != "none"]:
            names = ", ".join(each.field for each in differences[:3])
            of_networks = all(each.field.startswith("networks.") for each in differences)
            text = f"it differs from its spec ({names}); its agent repairs it"
            yield Degraded("Differs", text, cause=self._outside() if of_networks else "")
        spec = self._spec_of(found)
        check = spec.healthcheck if spec else None
        if found.health == "starting" or (not found.health and check and check.test and not check.disable):
            yield Progressing("Monitoring", "its health check has not passed yet")
        elif not found.steady and found.crashes < CRASH_LOOP:
            monitor_s = self.place.service.update.monitor_s
            yield Progressing("Monitoring", f"it has not run for its monitor window of {monitor_s:g} s yet")

    def _exited(self, found: ReplicaReport) -> Iterator[Finding]:
        code = f"exited with code {found.exit_code}"
        if finished(self._spec_of(found), found):
            if found.exit_code:
                yield Degraded("Failed", f"it {code}, and its restart policy ends it", self.logs)
            return
        if found.crashes >= CRASH_LOOP:
            yield self._crash_loop(found)
        elif found.error:
            yield self._start_failed(found)
        else:
            yield Degraded("Exited", f"it {code}; its agent starts it again", self.logs)

    def _crash_loop(self, found: ReplicaReport) -> Finding:
        times = found.crashes or found.restarts
        ended = f"it keeps exiting, {times} times so far" if times > 1 else "it keeps exiting"
        code = f", last with code {found.exit_code}" if found.status in ("exited", "restarting") else ""
        return Degraded("CrashLoop", f"{ended}{code}", self.logs)

    def _start_failed(self, found: ReplicaReport) -> Finding:
        return Degraded("StartFailed", f"it cannot start: {found.error}", cause=self._outside())

    def _outside(self) -> str:
        """Return the key of the host if it is outside the swarm, where nothing attaches to an overlay."""
        host = self.known.hosts[self.place.host]
        return host.key if host.reason in _OUTSIDE_SWARM else ""

    def _elsewhere(self) -> Iterator[Finding]:
        """Yield a finding if another host still has a container of the slot."""
        for host in self.known.shown.get(self.place.key, ()):
            if host != self.place.host:
                yield Progressing("Moving", f"{host} still has a container of it", cause=f"host/{host}")
