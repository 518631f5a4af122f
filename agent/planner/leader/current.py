"""What is assigned now, also where etcd has lost it."""

from collections.abc import Mapping

from agent.model.intent import Intent
from agent.model.observed import ClusterState
from agent.model.records import Assignment, Copy


def current_of(intent: Intent, cluster: ClusterState) -> Mapping[str, Assignment]:
    """What is assigned; of a declared host for which etcd has lost that, what it says that it runs.

    A host that was taken out and whose assignment is damaged counts as one without copies: it was named once, and is
    emptied as the others are.
    """
    current, lost = dict(cluster.assignments), _lost(intent, cluster)
    for name in _damaged(cluster):
        if intent.host(name) is None:
            current[name] = Assignment(revision=intent.revision, project=intent.project)
    taken = {
        (copy.service, copy.number) for name in current if name not in lost for copy in current[name].copies
    }
    for name in lost:
        status = cluster.statuses.get(name)
        runs = {(each.service, each.number): each for each in status.copies} if status else {}
        copies = tuple(
            Copy(service=key[0], number=key[1], spec=runs[key].spec, addresses=runs[key].pinned)
            for key in sorted(runs.keys() - taken)
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


def _damaged(cluster: ClusterState) -> tuple[str, ...]:
    """Hosts whose assignment is there and cannot be read; not for its age: nobody leads beside a newer format."""
    parts = (key.rpartition("/assignments/") for key, _ in cluster.garbage)
    return tuple(name for _, found, name in parts if found)


def silent_hosts(intent: Intent, cluster: ClusterState) -> tuple[str, ...]:
    """Hosts that are there, did not report yet in this era, and have to be asked for what they run.

    A backup brings old reports back, and the runs of agents that wrote them may still go on.
    """
    if not cluster.era:
        return ()
    return tuple(
        name
        for name in _lost(intent, cluster)
        if name in cluster.present and not _has_reported(name, cluster)
    )


def _has_reported(name: str, cluster: ClusterState) -> bool:
    status = cluster.statuses.get(name)
    return (
        status is not None and status.instance == cluster.present[name] and status.era in (None, cluster.era)
    )
