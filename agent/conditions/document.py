"""The conditions of etcd, of its keys and of the operator's document."""

from agent.conditions.condition import APPLY, READY, Blocked, Condition, Finding, Progressing, Unknown
from agent.conditions.reports import NO_SPACE, Reports, short_key
from agent.model.phrases import and_more

TOKENS = "tokens"
_SEALED = (TOKENS, "unlock")
_ROLLBACK = ("store", "confirm")
"""Resource and kind of what a host reports of a rollback of etcd."""
_MODES = {
    "paused": Blocked("Paused", "x-cluster.policy.mode is paused: the agents change nothing", APPLY),
    "observe": Blocked("ObserveMode", "x-cluster.policy.mode is observe: the agents only report", APPLY),
}


def store_finding(reports: Reports) -> Finding:
    """Return the state of etcd as the reader sees it."""
    error = reports.store_error
    if not error:
        return READY
    if NO_SPACE in error:
        return Blocked(
            "StoreFull",
            "etcd is out of space and refuses writes, so no report is current: "
            "compact and defragment it, then disarm the alarm",
            "etcdctl alarm disarm",
        )
    if error == "CORRUPT":
        text = "etcd has corrupt data and refuses writes, so no report is current: see docs/operate/backup.md"
        return Unknown("StoreUnreachable", text)
    return Unknown("StoreUnreachable", f"etcd is unreachable ({error}); running containers go on")


def key_conditions(reports: Reports) -> tuple[Condition, ...]:
    """Return a condition for each unreadable key, and one for tokens that hosts cannot open."""
    cluster = reports.cluster
    found = {
        short_key(key): Blocked(
            "Unreadable",
            f"unreadable: {problem}; its last readable value stays valid: delete the key, or upgrade this agent "
            "if a newer one wrote it",
            f"etcdctl del {key}",
        )
        for key, problem in cluster.unreadable
    }
    damaged = {key for key, _ in cluster.unreadable}
    # Hosts cannot open what this reader finds undamaged: they lack the key.
    unreadable = ((host, each.resource) for host, each in reports.blocked if each.kind == "unreadable")
    locked = dict.fromkeys(
        host for host, key in unreadable if short_key(key) in _SEALED and key not in damaged
    )
    if locked or cluster.tokens_locked:
        on = ", ".join(locked) or "this host"
        found[TOKENS] = Blocked(
            "WrongSealingKey",
            f"{on} cannot open the join tokens: the key in tokens.key_file differs from that of the leader; "
            "copy the same key to every host",
        )
    return tuple(Condition.of("key", name, each) for name, each in sorted(found.items()))


def document_condition(reports: Reports) -> Condition:
    """Return the condition of the newest document: accepted and enforced, or the reason against it."""
    document = reports.cluster.document
    return Condition.of("document", "", _document(reports), revision=document.revision if document else 0)


def _document(reports: Reports) -> Finding:
    cluster, accepted = reports.cluster, reports.accepted_revision
    if reports.store_error:
        return Unknown("StoreUnreachable", "the document is not known", cause="store/")
    stays = f"; revision {accepted} stays accepted" if accepted else ""
    if cluster.document is None:
        return Blocked("NoDocument", f"etcd has no document{stays}: apply one", APPLY)
    # Only agents with saved state can detect a rollback.
    told = (
        f"{host}: {each.reason}" for host, each in reports.blocked if (each.resource, each.kind) == _ROLLBACK
    )
    if why := cluster.store_rolled_back or next(told, ""):
        return Blocked(
            "RolledBackStore", f"etcd was rolled back ({why}): apply the correct document again", APPLY
        )
    verdict, revision = cluster.verdict, cluster.document.revision
    if verdict is None or verdict.revision != revision or (verdict.accepted and accepted != revision):
        return Progressing(
            "NoVerdict",
            f"the leader has published no verdict on revision {revision} yet{stays}",
            cause="leader/",
        )
    first = f"{verdict.errors[0] if verdict.errors else 'no reason given'}{and_more(len(verdict.errors))}"
    if verdict.confirm:
        command = f"swarmkeeper apply --confirm {verdict.confirm} FILE"
        return Blocked("WaitsForConfirmation", f"revision {revision} waits: {first}{stays}", command)
    if not verdict.accepted:
        return Blocked("Refused", f"revision {revision} is refused: {first}{stays}", APPLY)
    return _MODES.get(reports.mode, READY)
