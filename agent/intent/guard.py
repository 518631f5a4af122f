"""`x-cluster.policy.deletion_guard`: an edit that removes many replicas waits until the operator confirms it.

The guard compares the two documents, not what runs: an unreachable host does not change what an edit removes. Only
whether an engine meets a constraint on its platform is known from reports. The stricter guard of the accepted and the
new document applies, so that removing the guard is itself guarded.
"""

import json
from collections import Counter
from collections.abc import Mapping as Lookup
from hashlib import sha256

from agent.diff.capacity import why_unmet
from agent.errors import Invalid
from agent.intent.rewrite import plain, rewritten
from agent.model.intent import Intent, ServiceIntent
from agent.model.observed import ClusterState
from agent.model.phrases import first_of
from agent.model.status import HostStatus
from agent.yamldoc.compose import Node

# ---- The hash of a document, from which the confirmation token is made

TOKEN_KEY = ("x-cluster", "policy", "confirm")
"""Path of the confirmation token in the document."""
DIGITS = 16
"""Hexadecimal digits of a hash. The token guards against mistakes, and people type it."""


def document_hash(root: Node) -> str:
    """Return the hash of the document's content. Comments, quotes and the confirmation token do not change it."""
    hashed = sha256()
    # In pieces: with aliases expanded the whole text can be large.
    for piece in json.JSONEncoder(ensure_ascii=False).iterencode(plain(root, TOKEN_KEY)):
        hashed.update(piece.encode())
    return hashed.hexdigest()[:DIGITS]


def shortened(text: str) -> str:
    """Return the first digits of the SHA-256 of `text`."""
    return sha256(text.encode()).hexdigest()[:DIGITS]


# ---- Writing the confirmation token into a document, without any other change of its text


def confirmed(raw: bytes, token: str) -> bytes:
    """Return the valid document `raw` with `token` as its `x-cluster.policy.confirm`.

    Raises Invalid if that would change anything else, as when the section is an alias.
    """
    try:
        return rewritten(raw, TOKEN_KEY, token)
    except Invalid as error:
        raise Invalid(
            f"the token cannot be added to the document: write {'.'.join(TOKEN_KEY)}: {token} by hand"
        ) from error


Statuses = Lookup[str, HostStatus]
_MOST_NAMED = 10
"""Services in a verdict, which people read."""


def guarded_removals(before: Intent | None, after: Intent, statuses: Statuses) -> str:
    """Describe what `after` removes from `before`, the accepted document; empty if the guard allows it.

    `statuses` are the last reports of hosts by their names, as far as they are known.
    """
    allowed = [each.policy.deletion_guard_percent for each in (before, after) if each]
    percents = [each for each in allowed if each is not None]
    if before is None or not percents:
        return ""
    return " and ".join((*_replicas(before, after, min(percents), statuses), *_managers(before, after)))


def confirmation(before: Intent, after: Intent) -> str:
    """Return the confirmation token of the edit from `before` to `after`.

    It is a hash of both: a confirmed document that is applied again over another accepted one waits again.
    """
    return shortened(f"{before.digest} {after.digest}")


def _replicas(before: Intent, after: Intent, percent: int, statuses: Statuses) -> tuple[str, ...]:
    declared = _counts(before, statuses)
    # Another project has other containers and other volumes: nothing of the previous one is left.
    left = _counts(after, statuses) if after.project == before.project else Counter[str]()
    dropped = declared - left
    total, lost = declared.total(), dropped.total()
    if not lost or lost * 100 <= percent * total:
        return ()
    named = [f"{name} {gone} of {declared[name]}" for name, gone in dropped.items()]
    services = ", ".join(first_of(named, _MOST_NAMED, "and of {} more"))
    return (f"{lost} of {total} replicas ({services}), which is more than the deletion_guard of {percent}%",)


def _managers(before: Intent, after: Intent) -> tuple[str, ...]:
    stay = {each.name for each in after.managers}
    gone = [each.name for each in before.managers if each.name not in stay]
    if 2 * len(gone) <= len(before.managers):
        return ()
    share = f"{len(gone)} of {len(before.managers)} managers ({', '.join(gone)})"
    return (f"{share}, which is a majority of them",)


def _counts(intent: Intent, statuses: Statuses) -> Counter[str]:
    return Counter({each.name: each.replica_count - _unmet(each, statuses) for each in intent.services})


def _unmet(service: ServiceIntent, statuses: Statuses) -> int:
    """Return the number of hosts whose engines get no replica of mode global; 0 if none gets one: then all stay."""
    hosts = [name for name, _ in service.placement if service.everywhere]
    unmet = sum(bool(why_unmet(service, statuses.get(each))) for each in hosts)
    return unmet if unmet < len(hosts) else 0


def guarding(cluster: ClusterState) -> tuple[str, str] | None:
    """Return (confirmation token, removals) of a newest document that waits for it; None if it does not wait."""
    newest = cluster.document.intent if cluster.document else None
    if cluster.accepted is None or newest is None:
        return None
    taken = guarded_removals(cluster.accepted, newest, cluster.statuses)
    confirm = confirmation(cluster.accepted, newest)
    return (confirm, taken) if taken and newest.policy.confirm != confirm else None
