"""The events of a moment: what differs between the last known ones and the state of the cluster now."""

from collections.abc import Iterator, Mapping

from agent.conditions.condition import ClusterConditions, Condition
from agent.conditions.reports import duration, seconds_since
from agent.model.events import Event
from agent.model.history import outcomes_by_revision
from agent.model.observed import ClusterState
from agent.model.phrases import and_more
from agent.model.records import seconds_of

_AS_DOCUMENTS = ("Refused", "WaitsForConfirmation")
"""Reasons of the document's condition that the event of its revision has."""
_OPERATIONS: Mapping[str, tuple[str, ...]] = {
    "host": ("Joining", "Draining", "ChangingRole", "ChangingBridge", "WaitsForSlot"),
    "rollout": ("Rollout", "RollingBack"),
}
"""Kind -> reasons of progress that is an event. Every other progress is none."""


def transitions(
    last: Mapping[str, Event], found: ClusterConditions, cluster: ClusterState, at: str
) -> Iterator[Event]:
    """Yield an event for each change since `last`, the last known event of each subject. Without one it was Ready.

    What follows from another resource is left to the event of that one, unless a service has no ready replica for it.
    """
    for state, revision, text in _documents(cluster):
        event = Event(at=at, kind="document", resource=f"document/{revision}", state=state, text=text)
        before = last.get(event.subject)
        if before is None or before.what != event.what:
            yield event
    states = {each.key: each for each in found.every()}
    for key, each in states.items():
        before, now = last.get(key), (each.state, each.reason)
        if each.state == "Ready" if before is None else now == (before.state, before.reason):
            continue
        if each.state == "Ready" or _counts(each):
            text = each.text or _past(before, at)
            yield Event(
                at=at,
                kind="condition",
                resource=key,
                state=now[0],
                reason=now[1],
                text=text,
                cause=each.cause,
            )
    for key, before in last.items():
        if before.kind == "condition" and before.state not in ("Ready", "Ended") and key not in states:
            yield Event(at=at, kind="condition", resource=key, state="Ended", text=_past(before, at))


def _counts(condition: Condition) -> bool:
    if condition.kind == "document" and condition.reason in _AS_DOCUMENTS:
        return False
    own = condition.is_fault and (not condition.cause or condition.critical)
    return own or condition.reason in _OPERATIONS.get(condition.kind, ())


def _past(before: Event | None, at: str) -> str:
    lasted = seconds_since(before.at, seconds_of(at) or 0.0) if before else None
    return f"was {before.state} ({before.reason}) for {duration(lasted)}" if before and lasted else ""


def _documents(cluster: ClusterState) -> Iterator[tuple[str, int, str]]:
    """Yield the result of the newest document, and each outcome of the accepted one: state, revision, text."""
    if verdict := cluster.verdict:
        note = cluster.note if cluster.document and cluster.document.revision == verdict.revision else None
        text = f"{note.author}: {note.message}" if note else ""
        text = f"{verdict.errors[0]}{and_more(len(verdict.errors))}" if verdict.errors else text
        yield (
            "accepted" if verdict.accepted else "waits" if verdict.confirm else "refused",
            verdict.revision,
            text,
        )
    accepted = cluster.accepted.revision if cluster.accepted else 0
    yield from (
        (each, accepted, "") for each in sorted(outcomes_by_revision(cluster.history).get(accepted, ()))
    )
