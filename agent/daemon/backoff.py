"""Waiting after failures, per resource: doubling with full jitter, forgotten on success or when the task changes."""

from collections.abc import Callable

from agent.model.outcome import Failure


class Backoff:
    """Remembers the failures of resources. Time and randomness are given, so that tests can choose them."""

    def __init__(self, first_s: float, most_s: float, jitter: Callable[[], float]) -> None:
        self._first_s, self._most_s, self._jitter = first_s, most_s, jitter
        self._failures: dict[str, Failure] = {}

    @property
    def failures(self) -> dict[str, Failure]:
        """The present failures by resource."""
        return dict(self._failures)

    def failed(self, resource: str, task: str, error: str, now: float) -> Failure:
        """Note a failure; the wait is drawn from the upper half of the doubling bound, so that it always grows."""
        before = self._failures.get(resource)
        tries = before.tries + 1 if before and before.task == task else 1
        bound = min(self._most_s, self._first_s * 2 ** (min(tries, 32) - 1))
        retry_at = now + bound * (0.5 + self._jitter() / 2)
        failure = Failure(error=error, tries=tries, retry_at=retry_at, task=task)
        self._failures[resource] = failure
        return failure

    def succeeded(self, resource: str) -> None:
        self._failures.pop(resource, None)

    def forget(self, resources: frozenset[str]) -> None:
        """Drop what is remembered of resources that nothing is planned for any more: they are as they should be."""
        for resource in self._failures.keys() - resources:
            del self._failures[resource]

    def reset(self) -> None:
        """Forget everything: a new intent gets a new try at once."""
        self._failures.clear()

    def ready(self, resource: str, task: str, now: float) -> bool:
        """Whether `task` may be tried on `resource` now."""
        failure = self._failures.get(resource)
        return failure is None or failure.task != task or failure.retry_at <= now

    def next_retry(self, now: float) -> float | None:
        """Seconds until the first failed resource may be tried again; None when none waits."""
        waits = [each.retry_at - now for each in self._failures.values() if each.retry_at > now]
        return min(waits, default=None)
