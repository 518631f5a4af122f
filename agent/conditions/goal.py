"""The goal of `apply --wait`: what one revision changes, and whether that is reached, failed or under way. Pure."""

from collections.abc import Mapping

from agent.conditions.condition import ClusterConditions, Condition, HostCondition, ServiceCondition
from agent.conditions.headline import title
from agent.model import Frozen
from agent.model.intent import Intent, NetworkIntent, ServiceIntent
from agent.model.observed import ClusterState

_FAILED = frozenset({"RolloutPaused", "RollingBack", "RolledBack"})
"""Reasons of a rollout that no longer goes to the new spec."""
_ENDED = frozenset({"CrashLoop", "Failed"})
"""Reasons of a replica that does not become ready by waiting."""


class Goal(Frozen):
    """The resources that must be as declared before the wait ends."""

    revision: int
    keys: frozenset[str]
    """Condition keys of the changed services, hosts and networks."""
    removed: frozenset[str] = frozenset()
    """Services that the document no longer declares."""
    whole: bool = False
    """True: the whole cluster has to converge."""

    def has(self, key: str) -> bool:
        """Return True if the condition belongs to the goal: a rollout or a replica does with its service."""
        kind, _, name = key.partition("/")
        service = name.rpartition("-")[0] if kind == "replica" else name
        return (
            self.whole
            or key in self.keys
            or (kind in ("replica", "rollout") and f"service/{service}" in self.keys)
        )


def goal_of(revision: int, intent: Intent, before: Intent | None, *, whole: bool) -> Goal:
    """Return the goal of a document that replaces `before`; None: every service counts as changed."""
    keys = {f"service/{each.name}" for each in intent.services if _is_changed(each, intent, before)}
    had = {each.name: each for each in before.hosts} if before else {}
    bridge = before is None or before.gwbridge != intent.gwbridge
    keys |= {f"host/{each.name}" for each in intent.hosts if bridge or had.get(each.name) != each}
    keys |= {f"network/{each.name}" for each in _changed_networks(intent, before)}
    removed = {each.name for each in before.services} if before else set()
    removed -= {each.name for each in intent.services}
    return Goal(revision=revision, keys=frozenset(keys), removed=frozenset(removed), whole=whole)


def _is_changed(service: ServiceIntent, after: Intent, before: Intent | None) -> bool:
    """Return True if the edit changes the service, a network or volume of it, or a host that may run it."""
    if before is None or before.project != after.project or before.service(service.name) != service:
        return True
    networks = {each.name for each in _changed_networks(after, before)}
    volumes = {each.name for each in after.volumes if before.volume(each.name) != each}
    # A host is there twice if it has changed: it may have been allowed to run replicas, or is now.
    hosts = {*before.hosts} ^ {*after.hosts}
    placed = service.replicas is not None or service.everywhere
    return (
        (placed and any(service.where.unmet(each) is None for each in hosts))
        or any(each.network in networks for each in service.spec.networks)
        or any(each.source in volumes for each in service.spec.volumes if each.type == "volume")
    )


def _changed_networks(after: Intent, before: Intent | None) -> tuple[NetworkIntent, ...]:
    return tuple(each for each in after.networks if before is None or before.network(each.name) != each)


class Progress(Frozen):
    """The state of a goal at one read of the cluster."""

    done: bool
    failed: tuple[Condition, ...]
    """Conditions that end the wait: a paused rollout, a rollback, a replica that keeps ending."""
    lines: Mapping[str, str]
    """Name of each service and host that is not as declared yet -> its state."""
    causes: tuple[str, ...]
    """Problems of the goal, most severe first."""
    others: tuple[str, ...]
    """Faults outside the goal."""


def progress_to(goal: Goal, cluster: ClusterState, found: ClusterConditions) -> Progress:
    """Return how far `cluster` is, whose conditions are `found`."""
    begun = _is_begun(goal, cluster)
    failed = _failed(goal, found) if begun else ()
    lines = _lines(goal, found) if begun else {"leader": f"has not assigned revision {goal.revision} yet"}
    done = found.converged if goal.whole else not lines
    return Progress(
        done=begun and done and not failed,
        failed=failed,
        lines=lines,
        causes=_causes(goal, found, failed),
        others=() if goal.whole else _others(goal, found),
    )


def _is_begun(goal: Goal, cluster: ClusterState) -> bool:
    """Return True if the leader has assigned the revision: earlier records say nothing of it."""
    accepted = cluster.accepted
    if accepted is None or accepted.revision != goal.revision:
        return False
    assigned = [cluster.assignments.get(each.name) for each in accepted.hosts]
    return all(each is not None and each.revision == goal.revision for each in assigned)


def _failed(goal: Goal, found: ClusterConditions) -> tuple[Condition, ...]:
    rollouts = (each for each in found.rollouts if each.reason in _FAILED and goal.has(each.key))
    crashing = (
        each.condition
        for each in found.replicas
        if each.updated and each.condition.reason in _ENDED and goal.has(each.condition.key)
    )
    return (*rollouts, *crashing)


def _lines(goal: Goal, found: ClusterConditions) -> Mapping[str, str]:
    """Return the open part of the goal by name."""
    lines, old = {}, f"has not reported at revision {goal.revision} yet"
    for service in found.services:
        ready = service.condition.state == "Ready" and service.condition.revision >= goal.revision
        if goal.has(service.condition.key) and not ready:
            lines[service.condition.name] = _of_service(service, old)
    for name in found.removed:
        if goal.whole or name in goal.removed:
            lines[name] = "its replicas are being removed"
    for host in found.hosts:
        if goal.has(host.condition.key) and not _is_done(host, goal):
            lines[host.condition.name] = host.condition.text or old
    for network in found.networks:
        if goal.has(network.key) and network.state != "Ready":
            lines[f"network {network.name}"] = network.text or network.reason
    return lines


def _is_done(host: HostCondition, goal: Goal) -> bool:
    """Return True if the host is as declared; what it has to do for services is judged with them."""
    condition = host.condition
    for_services = condition.reason == "Rollout" or (condition.reason == "Steps" and not host.open_steps)
    well = condition.state == "Ready" or (condition.state == "Progressing" and for_services)
    return well and (condition.revision >= goal.revision or condition.reason == "Drained")


def _of_service(service: ServiceCondition, old: str) -> str:
    condition = service.condition
    updated = "" if condition.reason == "Rollout" else f", {service.updated} updated"
    unknown = f", {service.unknown} unknown" if service.unknown else ""
    text = old if condition.state == "Ready" else condition.text or condition.reason
    return f"{service.ready} of {service.desired} ready{updated}{unknown}; {text}"


def _causes(goal: Goal, found: ClusterConditions, failed: tuple[Condition, ...]) -> tuple[str, ...]:
    related = [
        each
        for each in found.problems
        if goal.has(each.condition.key) or any(goal.has(other.key) for other in each.consequences)
    ]
    known = {other.key for each in related for other in (each.condition, *each.consequences)}
    ahead = [each for each in failed if each.key not in known]
    return tuple(dict.fromkeys(map(_described, (*ahead, *(each.condition for each in related)))))


def _others(goal: Goal, found: ClusterConditions) -> tuple[str, ...]:
    services, hosts = (each.condition for each in found.services), (each.condition for each in found.declared)
    every = (*services, *hosts, *found.networks)
    return tuple(_described(each) for each in every if each.is_fault and not goal.has(each.key))


def _described(condition: Condition) -> str:
    """Return a condition in one line, with the next command."""
    command = f"; next: {condition.command}" if condition.command else ""
    return f"{title(condition)}: {condition.text or condition.reason}{command}"
