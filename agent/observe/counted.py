"""Assignments and reports as of the accepted document, where that asks the same of a host as an earlier one.

The leader writes no other assignment for it then, and the host no other report.
"""

from dataclasses import replace

from agent.model.intent import Intent
from agent.model.observed import ClusterState
from agent.model.records import Assignment
from agent.model.status import HostStatus

_Asked = tuple[Assignment, HostStatus | None, Intent | None, int]


class Counted:
    """Remembers for each host what it was asked and what came of it, so that equal records stay the same objects."""

    def __init__(self) -> None:
        self._known: dict[str, tuple[_Asked, Assignment, HostStatus | None]] = {}

    def of(self, state: ClusterState) -> ClusterState:
        """Return the state with the assignments and reports that count for the accepted document as of that."""
        before, self._known = self._known, {}
        for host, each in state.assignments.items():
            asked = (each, state.statuses.get(host), state.accepted, state.epoch)
            known = before.get(host)
            if known is None or any(had is not has for had, has in zip(known[0], asked, strict=True)):
                known = (asked, *_counted(host, *asked))
            self._known[host] = known
        assignments = {host: each for host, (_, each, _) in self._known.items()}
        reports = {host: each for host, (_, _, each) in self._known.items() if each}
        return replace(state, assignments=assignments, statuses={**state.statuses, **reports})


def _counted(
    host: str, found: Assignment, report: HostStatus | None, accepted: Intent | None, epoch: int
) -> tuple[Assignment, HostStatus | None]:
    counted = accepted.counted(host, found, epoch) if accepted else found
    if counted is found or report is None or report.epoch != epoch:
        return counted, report
    at, revision, bridge = found.revision, counted.revision, report.bridge
    if at <= bridge.revision < revision:
        report = replace(report, bridge=replace(bridge, revision=revision))
    if at <= report.revision < revision and not counted.pending:
        report = replace(report, revision=revision)
    return counted, report
