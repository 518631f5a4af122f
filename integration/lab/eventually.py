"""Wait for a condition, never for a time."""

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")
SHORTEST_S, LONGEST_S = 0.02, 0.25


def eventually(check: Callable[[], T], within_s: float, what: str) -> T:
    """Call `check` until it returns something true, or `None` without raising, and return that.

    `None` counts as success so that a function of plain `assert` statements can be handed in: wait for what may be
    missing with `or {}`.
    An AssertionError, OSError or LookupError means "not yet"; anything else is a fault of the check and
    passes through. Raises AssertionError after `within_s` seconds, naming `what` and the last value or error.
    """
    start = time.monotonic()
    pause = SHORTEST_S
    while True:
        try:
            value = check()
            if value or value is None:
                return value
            last = f"last value {value!r}"
        except (AssertionError, OSError, LookupError) as error:
            last = f"last error {type(error).__name__}: {error}"
        elapsed = time.monotonic() - start
        if elapsed >= within_s:
            raise AssertionError(f"not within {within_s:g} s: {what}; {last}")
        time.sleep(min(pause, within_s - elapsed))
        pause = min(pause * 1.5, LONGEST_S)
