"""For how long what is so has been so, on this agent's own clock: no two hosts need to agree about the time."""

from collections.abc import Callable, Mapping


class Spells:
    """Remembers since when. What is not so for a moment, or cannot be told then, begins anew."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._since: dict[str, float] = {}

    def look(self, lasting: frozenset[str], began: float | None = None) -> Mapping[str, float]:
        """Note by name what is so now; returns for how many seconds each has been.

        `began`: when the look was begun that showed it. One that hangs takes long, and between two looks there may be
        minutes of which nobody knows.
        """
        now = self._clock()
        since = now if began is None else began
        self._since = {name: self._since.get(name, since) for name in sorted(lasting)}
        return {name: now - since for name, since in self._since.items()}
