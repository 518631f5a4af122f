"""Which numbers the copies of a service have, and on which host, where the document says the hosts."""

from collections.abc import Mapping

from agent.model.intent import ServiceIntent
from agent.model.records import Assignment, Copy

Numbers = Mapping[str, list[int]]
"""Host -> the numbers of the copies of one service."""


def copies_of(service: str, current: Mapping[str, Assignment]) -> dict[str, dict[int, Copy]]:
    """Host -> number -> copy, of one service, as assigned now; hosts in the order of their names."""
    return {
        host: {copy.number: copy for copy in assignment.copies if copy.service == service}
        for host, assignment in sorted(current.items())
    }


def numbers_of(
    service: ServiceIntent, current: Mapping[str, Assignment], counts: Mapping[str, int] | None = None
) -> dict[str, list[int]]:
    """Host -> numbers: a copy keeps its own, and its host; a new one takes the lowest that no host uses.

    `counts` says how many there are to be on each host; None: as the document says.
    """
    has = {host: sorted(copies) for host, copies in copies_of(service.name, current).items()}
    placement = service.placement if counts is None else tuple(counts.items())
    kept = {host: has.get(host, [])[:count] for host, count in placement}
    used = {number for numbers in kept.values() for number in numbers}
    free = (number for number in range(1, 1_000_000) if number not in used)
    return {
        host: kept[host] + [next(free) for _ in range(count - len(kept[host]))] for host, count in placement
    }
