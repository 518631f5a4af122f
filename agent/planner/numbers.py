"""Which numbers the copies of a service have, and on which host."""

from collections.abc import Mapping

from agent.model.intent import ServiceIntent
from agent.model.records import Assignment


def numbers_of(service: ServiceIntent, current: Mapping[str, Assignment]) -> dict[str, list[int]]:
    """Host -> numbers: a copy keeps its own, and its host; a new one takes the lowest that no host uses."""
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
