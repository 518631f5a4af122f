"""Which host runs which copies, and telling the hosts so."""

from collections.abc import Mapping

from agent.model.intent import Intent, ServiceIntent
from agent.model.observed import ClusterState
from agent.model.records import Assignment, Copy
from agent.model.spec import spec_hash
from agent.model.steps import CollectSpecs, Plan, PublishAssignment


def assign(intent: Intent, current: Mapping[str, Assignment]) -> dict[str, Assignment]:
    """The copies of every declared host, and none for a host that has some now and is not declared any more.

    A copy keeps its number and its host for as long as the document allows both; a new copy takes the lowest number
    that no host uses for that service. Deterministic: the same intent and the same current assignments give the same.
    """
    copies: dict[str, list[Copy]] = {each.name: [] for each in intent.hosts}
    copies |= {name: [] for name in sorted(current) if name not in copies}
    for service in intent.services:
        for host, numbers in _numbers(service, current).items():
            digest = spec_hash(service.spec)
            copies[host] += [Copy(service=service.name, number=number, spec=digest) for number in numbers]
    return {
        host: Assignment(revision=intent.revision, project=intent.project, copies=tuple(sorted(mine)))
        for host, mine in copies.items()
    }


def plan_assignments(intent: Intent, cluster: ClusterState) -> Plan:
    """Publish every assignment that is not what the intent says, and collect the specs nobody names any more."""
    wanted = assign(intent, cluster.assignments)
    specs = {spec_hash(service.spec): service.spec for service in intent.services}
    steps = []
    for host, assignment in sorted(wanted.items()):
        needed = sorted({copy.spec for copy in assignment.copies} - cluster.stored_specs)
        if cluster.assignments.get(host) == assignment and not needed:
            continue
        change = _change(cluster.assignments.get(host), assignment)
        missing = tuple(specs[digest] for digest in needed)
        steps.append(PublishAssignment(host=host, assignment=assignment, specs=missing, reason=change))
    return Plan(tuple(steps)) if steps else _collect(intent, wanted, cluster)


def _numbers(service: ServiceIntent, current: Mapping[str, Assignment]) -> dict[str, list[int]]:
    has = {
        host: sorted(copy.number for copy in assignment.copies if copy.service == service.name)
        for host, assignment in current.items()
    }
    kept = {host: has.get(host, [])[:count] for host, count in service.placement}
    used = {number for numbers in kept.values() for number in numbers}
    free = (number for number in range(1, 1_000_000) if number not in used)
    return {
        host: kept[host] + [next(free) for _ in range(count - len(kept[host]))]
        for host, count in service.placement
    }


def _collect(intent: Intent, wanted: Mapping[str, Assignment], cluster: ClusterState) -> Plan:
    assigned = {**cluster.assignments, **wanted}.values()
    named = {copy.spec for assignment in assigned for copy in assignment.copies}
    # A host that still runs an old spec compares with it, until the replacement is done. Then all go at once.
    # One that was removed has nothing to compare with, and its last report may stay for good.
    declared = [cluster.statuses[each.name] for each in intent.hosts if each.name in cluster.statuses]
    running = {copy.spec for status in declared for copy in status.copies}
    unused = () if running - named else tuple(sorted(cluster.stored_specs - named))
    return Plan((CollectSpecs(digests=unused, reason="no copy has them any more"),)) if unused else Plan()


def _change(old: Assignment | None, new: Assignment) -> str:
    before = {(copy.service, copy.number): copy.spec for copy in old.copies} if old else {}
    after = {(copy.service, copy.number): copy.spec for copy in new.copies}
    changed = sum(1 for key in before.keys() & after.keys() if before[key] != after[key])
    counts = (
        (len(after.keys() - before.keys()), "new"),
        (changed, "changed"),
        (len(before.keys() - after.keys()), "dropped"),
    )
    told = [f"{count} {word}" for count, word in counts if count]
    what = ", ".join(told) if told else "no copy changed" if old != new else "its specs were lost"
    return f"revision {new.revision}: {what}"
