"""`depends_on`: in which order the copies of a cluster start for the first time.

A host knows only its own copies, the leader what all hosts say. So the leader writes into the assignment what a copy
still waits for, and takes it out again for good: a copy that was let start once is never held up for a dependency
again, whatever becomes of that, of its host or of its container, nor does it wait on another host.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace

from agent.model.intent import Intent
from agent.model.observed import ClusterState
from agent.model.records import Assignment, Copy, CopyReport

Assignments = Mapping[str, Assignment]
Key = tuple[str, int]
_Where = tuple[str, Copy]
"""A copy, behind the name of its host."""


def hold_first_starts(
    intent: Intent, wanted: Assignments, current: Assignments, cluster: ClusterState
) -> dict[str, Assignment]:
    """`wanted`, in which every copy that has to wait for another service says for what."""
    free = _let_start(current, cluster)
    waits = {each.name: _unmet(each.depends_on, wanted, cluster) for each in intent.services}

    def held(copy: Copy) -> Copy:
        return copy if (copy.service, copy.number) in free else replace(copy, waits=waits[copy.service])

    return {
        name: replace(each, copies=tuple(held(copy) for copy in each.copies)) for name, each in wanted.items()
    }


def _let_start(current: Assignments, cluster: ClusterState) -> set[Key]:
    """Those that were let start before, or have been started anyhow."""
    found = {(each.service, each.number) for status in cluster.statuses.values() for each in status.copies}
    return found | {
        (copy.service, copy.number) for each in current.values() for copy in each.copies if not copy.waits
    }


def _unmet(needs: tuple[tuple[str, str], ...], wanted: Assignments, cluster: ClusterState) -> str:
    """What of a service's dependencies is not as far, in words; empty when all is."""
    return "; ".join(why for name, how in needs if (why := _lack(name, how, wanted, cluster)))


def _lack(service: str, how: str, wanted: Assignments, cluster: ClusterState) -> str:
    """The first copy of `service` that is not as far. One on a host that says nothing counts only if all are."""
    copies = [(host, copy) for host, each in sorted(wanted.items()) for copy in each.copies]
    copies = [each for each in copies if each[1].service == service]
    there = [each for each in copies if (status := cluster.status_of(each[0])) and status.engine_up]
    asked, to = _CONDITIONS[how], _TO[how]
    left = [(each, why) for each in there or copies if (why := _faults(each, asked, cluster)) is not None]
    if not left:
        return ""
    (host, copy), why = left[0]
    more = f" (and {len(left) - 1} more)" if len(left) > 1 else ""
    return f"depends on {service}: {service}-{copy.number} on {host} has to {to} first{more}{why}"


def _faults(where: _Where, asked: Callable[[CopyReport], str | None], cluster: ClusterState) -> str | None:
    """None: it is as far; else what keeps it, in words, where that is known."""
    host, copy = where
    status = cluster.status_of(host)
    if status is None or not status.engine_up:
        return f", and {host} is away"
    reports = [each for each in status.copies if (each.service, each.number) == (copy.service, copy.number)]
    found = [asked(each) for each in reports if each.spec == copy.spec or asked is not _completed]
    return None if None in found else next((why for why in found if why), "")


def _started(report: CopyReport) -> str | None:
    return None if report.started_at else ""


def _healthy(report: CopyReport) -> str | None:
    if report.status != "running":
        return ""
    if not report.health:
        return ", and it has no health check"
    return None if report.health == "healthy" else ""


def _completed(report: CopyReport) -> str | None:
    if report.status != "exited" or not report.started_at:
        return ""
    return f", and it exited with {report.exit_code}" if report.exit_code else None


_CONDITIONS: Mapping[str, Callable[[CopyReport], str | None]] = {
    "service_started": _started,
    "service_healthy": _healthy,
    "service_completed_successfully": _completed,
}
_TO = {
    "service_started": "be started",
    "service_healthy": "be healthy",
    "service_completed_successfully": "complete",
}
