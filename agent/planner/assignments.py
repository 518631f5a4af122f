"""Which host runs which copies, and telling the hosts so."""

from collections.abc import Mapping

from agent.model.intent import Intent, ServiceIntent
from agent.model.observed import ClusterState
from agent.model.records import Assignment, Copy
from agent.model.spec import spec_hash
from agent.model.steps import Blocked, CollectSpecs, Plan, PublishAssignment


def assign(intent: Intent, current: Mapping[str, Assignment], era: int = 0) -> dict[str, Assignment]:
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
        host: Assignment(
            revision=intent.revision, project=intent.project, copies=tuple(sorted(mine)), era=era
        )
        for host, mine in copies.items()
    }


def plan_assignments(intent: Intent, cluster: ClusterState) -> Plan:
    """Publish every assignment that is not what the intent says, and collect the specs nobody names any more."""
    if silent := _silent(intent, cluster):
        reason = f"{', '.join(silent)} did not report yet which copies run there, and etcd has lost it"
        return Plan(blocked=(Blocked(resource="assignments", reason=reason, kind="waiting"),))
    wanted = assign(intent, _current(intent, cluster), cluster.era)
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


def _current(intent: Intent, cluster: ClusterState) -> Mapping[str, Assignment]:
    """What is assigned; of a declared host for which etcd has lost that, what it says that it runs."""
    current, lost = dict(cluster.assignments), _lost(intent, cluster)
    taken = {
        (copy.service, copy.number) for name in current if name not in lost for copy in current[name].copies
    }
    for name in lost:
        status = cluster.statuses.get(name)
        runs = {(each.service, each.number): each.spec for each in status.copies} if status else {}
        copies = tuple(
            Copy(service=service, number=number, spec=runs[service, number])
            for service, number in sorted(runs.keys() - taken)
        )
        taken |= runs.keys()
        if name in current or copies:
            current[name] = Assignment(revision=intent.revision, project=intent.project, copies=copies)
    return current


def _lost(intent: Intent, cluster: ClusterState) -> tuple[str, ...]:
    """Declared hosts without an assignment of this era."""
    found = cluster.assignments
    names = (each.name for each in intent.hosts)
    return tuple(name for name in names if name not in found or found[name].era < cluster.era)


def _silent(intent: Intent, cluster: ClusterState) -> tuple[str, ...]:
    """Hosts that are there, did not report yet, and have to be asked for what they run."""
    if not cluster.era:
        return ()
    return tuple(
        name
        for name in _lost(intent, cluster)
        if name in cluster.present
        and (name not in cluster.statuses or cluster.statuses[name].instance != cluster.present[name])
    )


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
