"""What became of copies between two looks at the engine: restarted, ended as soon as they had begun."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

from agent.model.host_state import ContainerState

EARLY_S = 10.0
"""A copy that ends this soon did not come up."""


class Fate(NamedTuple):
    service: str
    number: int
    restarts: int
    ended_early: bool


@dataclass(slots=True)
class Copies:
    """Remembers the containers of the last look; the first look only fills the memory."""

    _seen: dict[str, ContainerState] | None = None

    def look(self, containers: tuple[ContainerState, ...]) -> tuple[Fate, ...]:
        """Return what happened to copies since the last look, where something did."""
        before, self._seen = self._seen, {each.id: each for each in containers}
        if before is None:
            return ()
        return tuple(_fates(before, containers))


def _fates(before: dict[str, ContainerState], containers: tuple[ContainerState, ...]) -> Iterator[Fate]:
    for each in containers:
        old = before.get(each.id)
        restarts = _restarts(old, each)
        early = _ended_early(each) and (old is None or old.finished_at != each.finished_at)
        if restarts or early:
            yield Fate(each.copy.service, each.copy.number, restarts, early)


def _restarts(old: ContainerState | None, new: ContainerState) -> int:
    """Starts after the first. Docker counts its own, and forgets them whenever somebody else starts the container."""
    if old is None:
        return new.restarts
    if new.restarts > old.restarts:
        return new.restarts - old.restarts
    started_again = bool(_instant(old.started_at)) and new.started_at != old.started_at
    return max(new.restarts, 1) if started_again else 0


def _ended_early(found: ContainerState) -> bool:
    began, ended = _instant(found.started_at), _instant(found.finished_at)
    if found.status == "running" or began is None or ended is None or found.exit_code == 0:
        return False
    return 0 <= (ended - began).total_seconds() < EARLY_S


def _instant(text: str) -> datetime | None:
    """Docker's time, RFC 3339; year 1 is its way to say never."""
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        return None
    return found if found.year > 1 else None
