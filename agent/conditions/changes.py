"""The services that a revision changes, and how far they are: for `apply --wait`."""

from collections.abc import Iterable
from dataclasses import dataclass

from agent.conditions.condition import ClusterConditions, Condition, Problem, Reason, is_fault
from agent.model.intent import HostIntent, Intent, ServiceIntent

MOST_ATTEMPTS = 3
"""Failed attempts in a row after which a wait for a pull or a start is given up."""
_FINAL: tuple[Reason, ...] = (
    "RolloutPaused",
    "RolledBack",
    "CrashLoop",
    "Failed",
    "NoHostFits",
    "Unsupported",
)
"""Reasons for which a release has failed: only another document, or a change by hand, ends them."""
_RETRIED: tuple[Reason, ...] = ("PullFailed", "StartFailed")


# ---- Which services a revision changes


def changed_services(before: Intent | None, after: Intent) -> frozenset[str]:
    """Return the services that `after` changes by spec, hosts, number or networks, or removes.

    A change of a host changes the services that may run on it.
    """
    if before is None:
        return frozenset(each.name for each in after.services)
    old = {each.name: each for each in before.services}
    new = {each.name: each for each in after.services}
    hosts = _changed_hosts(before, after)
    found = set(old.keys() ^ new.keys())
    for name in old.keys() & new.keys():
        if _is_changed(old[name], new[name], before, after) or any(
            _may_run(new[name], each) for each in hosts
        ):
            found.add(name)
    return frozenset(found)


def _is_changed(old: ServiceIntent, new: ServiceIntent, before: Intent, after: Intent) -> bool:
    placed = (old.spec, old.placement, old.replicas, old.everywhere, old.where)
    if placed != (new.spec, new.placement, new.replicas, new.everywhere, new.where):
        return True
    networks = (each.network for each in new.spec.networks)
    volumes = (each.source or "" for each in new.spec.volumes if each.type == "volume")
    return any(before.network(each) != after.network(each) for each in networks) or any(
        before.volume(each) != after.volume(each) for each in volumes
    )


def _changed_hosts(before: Intent, after: Intent) -> tuple[HostIntent, ...]:
    """Return the hosts that are new, gone, or changed; a gone one as it was."""
    old, new = set(before.hosts), set(after.hosts)
    return tuple(sorted(old ^ new, key=lambda each: each.name))


def _may_run(service: ServiceIntent, host: HostIntent) -> bool:
    if service.replicas is None:
        return service.replicas_on(host.name) > 0
    return service.where.unmet(host) is None


# ---- How far a revision is


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """The services that a revision changes, by what is so, and what is faulty without being changed."""

    ready: tuple[str, ...] = ()
    failed: tuple[Condition, ...] = ()
    """The root of each failure that this revision does not end by itself."""
    waiting: tuple[Condition, ...] = ()
    """Services that are neither ready nor failed: under way, or with a fault that is retried."""
    elsewhere: tuple[Problem, ...] = ()
    """Problems from which no changed service follows."""

    @property
    def done(self) -> bool:
        """True if every changed service is Ready at the revision."""
        return not self.failed and not self.waiting


def progress_of(conditions: ClusterConditions, services: Iterable[str], revision: int) -> Progress:
    """Return how far the changed `services` are at `revision`."""
    changed = frozenset(services)
    roots = {
        each.key: problem
        for problem in conditions.problems
        for each in (problem.condition, *problem.consequences)
    }
    ready, failed, waiting = [], {}, []
    rows = {each.condition.name: each.condition for each in conditions.services}
    for name in sorted(changed):
        condition = rows.get(name)
        if condition is None:
            # A removed service is done once no host reports a container of it.
            if name in conditions.removed:
                waiting.append(_removing(name))
            else:
                ready.append(name)
        elif condition.state == "Ready" and condition.revision >= revision:
            ready.append(name)
        elif final := _final(condition, conditions, roots):
            failed[final.key] = final
        else:
            waiting.append(condition)
    concerned = {roots[f"service/{name}"].condition.key for name in changed if f"service/{name}" in roots}
    return Progress(
        ready=tuple(ready),
        failed=tuple(failed.values()),
        waiting=tuple(waiting),
        elsewhere=tuple(each for each in conditions.problems if each.condition.key not in concerned),
    )


def _removing(name: str) -> Condition:
    text = "its containers are being removed"
    return Condition(kind="service", name=name, state="Progressing", reason="Steps", text=text)


def _final(
    condition: Condition, conditions: ClusterConditions, roots: dict[str, Problem]
) -> Condition | None:
    """Return the fault for which the service will not become ready; None: there is none, or it is retried."""
    replicas = (each.condition for each in conditions.replicas if each.service == condition.name)
    for each in (condition, *replicas):
        problem = roots.get(each.key)
        found = problem.condition if problem else each
        if is_fault(each.state) and (_is_final(each) or _is_final(found)):
            return found
    return None


def _is_final(condition: Condition) -> bool:
    given_up = condition.reason in _RETRIED and condition.attempts >= MOST_ATTEMPTS
    return condition.reason in _FINAL or given_up
