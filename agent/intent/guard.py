"""`x-cluster.policy.deletion_guard`: an edit that takes much away waits until the operator confirms this very edit.

It is counted by what the documents declare, not by what happens to run: a host that is away changes nothing about what
an edit means. The guard of either document counts, the stricter one: the edit that takes the guard away is under it.
"""

from agent.intent.digest import shortened
from agent.model.intent import Intent
from agent.model.observed import ClusterState

_MOST_NAMED = 10
"""Services; a verdict is read by people."""


def what_it_takes(before: Intent | None, after: Intent) -> str:
    """What `after` takes away of what `before`, the document in force, declares, in words; empty: nothing guarded."""
    allowed = [each.policy.deletion_guard_percent for each in (before, after) if each]
    percents = [each for each in allowed if each is not None]
    if before is None or not percents:
        return ""
    told = (*_copies(before, after, min(percents)), *_managers(before, after))
    return " and ".join(told)


def confirmation(before: Intent, after: Intent) -> str:
    """The word that confirms the edit from one document to the other.

    It is a hash of both: put back later, when something else is in force, a confirmed document waits again.
    """
    return shortened(f"{before.digest} {after.digest}")


def _copies(before: Intent, after: Intent, percent: int) -> tuple[str, ...]:
    declared = _counts(before)
    # Another project is other containers and, worse, other volumes: nothing of the former one is left.
    left = _counts(after) if after.project == before.project else {}
    dropped = {
        name: count - left.get(name, 0) for name, count in declared.items() if count > left.get(name, 0)
    }
    total, lost = sum(declared.values()), sum(dropped.values())
    if not lost or lost * 100 <= percent * total:
        return ()
    named = [f"{name} {gone} of {declared[name]}" for name, gone in dropped.items()]
    more = f", and of {len(named) - _MOST_NAMED} more" if len(named) > _MOST_NAMED else ""
    services = ", ".join(named[:_MOST_NAMED]) + more
    return (f"{lost} of {total} copies ({services}), which is more than the deletion_guard of {percent}%",)


def _managers(before: Intent, after: Intent) -> tuple[str, ...]:
    stay = {each.name for each in after.managers}
    gone = [each.name for each in before.managers if each.name not in stay]
    if 2 * len(gone) <= len(before.managers):
        return ()
    return (
        f"{len(gone)} of {len(before.managers)} managers ({', '.join(gone)}), which is a majority of them",
    )


def _counts(intent: Intent) -> dict[str, int]:
    return {each.name: each.copies for each in intent.services}


def guarding(cluster: ClusterState) -> tuple[str, str] | None:
    """What the newest document waits for (the word that confirms it, what it takes away); None: for nothing."""
    newest = cluster.document.intent if cluster.document else None
    if cluster.accepted is None or newest is None:
        return None
    taken, confirm = what_it_takes(cluster.accepted, newest), confirmation(cluster.accepted, newest)
    return (confirm, taken) if taken and newest.policy.confirm != confirm else None
