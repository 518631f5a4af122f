"""For how long each host has been gone, on the leader's own clock: no two hosts need to agree about the time."""

from collections.abc import Callable, Mapping


class AbsenceWatcher:
    """Remembers since when. A host that is seen for a moment, or not known to be gone, begins anew."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._since: dict[str, float] = {}

    def look(self, lost: frozenset[str]) -> Mapping[str, float]:
        """Note who is gone now; returns the seconds by host."""
        now = self._clock()
        self._since = {name: self._since.get(name, now) for name in sorted(lost)}
        return {name: now - since for name, since in self._since.items()}
