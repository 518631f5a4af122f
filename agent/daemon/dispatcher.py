"""Runs the steps of a plan on worker threads: one chain per resource at a time, a barrier alone in its lane.

The loop's thread decides and never waits here. The loop reads the steps in flight, so that no step runs twice.
"""

import threading
from collections.abc import Callable, Iterable
from concurrent.futures import Executor, ThreadPoolExecutor

from agent.errors import Stale, SwarmkeeperError, Unreachable
from agent.model.phrases import cut
from agent.model.plan import Failure, Outcome, Plan, Step
from agent.model.steps import Lane

# ---- Backoff per resource: doubling with jitter, reset by a success or another task


class Backoff:
    """The failures of resources. Callers pass time and randomness, so that tests can choose them."""

    def __init__(self, first_s: float, most_s: float, jitter: Callable[[], float]) -> None:
        self._first_s, self._most_s, self._jitter = first_s, most_s, jitter
        self.failures: dict[str, Failure] = {}

    def failed(self, resource: str, task: str, error: str, now: float) -> Failure:
        """Record a failure. The delay is random in the upper half of the doubled limit, so that it always grows."""
        before = self.failures.get(resource)
        attempts = before.attempts + 1 if before and before.task == task else 1
        bound = min(self._most_s, self._first_s * 2 ** (min(attempts, 32) - 1))
        retry_at = now + bound * (0.5 + self._jitter() / 2)
        failure = Failure(error=error, attempts=attempts, retry_at=retry_at, task=task)
        self.failures[resource] = failure
        return failure

    def succeeded(self, resource: str) -> None:
        self.failures.pop(resource, None)

    def forget(self, resources: frozenset[str]) -> None:
        """Delete the failures of all resources except `resources`: no step is planned for them any more."""
        for resource in self.failures.keys() - resources:
            del self.failures[resource]

    def reset(self) -> None:
        self.failures.clear()

    def ready(self, resource: str, task: str, now: float) -> bool:
        failure = self.failures.get(resource)
        return failure is None or failure.task != task or failure.retry_at <= now

    def next_retry(self, now: float) -> float | None:
        """Return the seconds until the next retry; None: no retry is pending."""
        waits = [each.retry_at - now for each in self.failures.values() if each.retry_at > now]
        return min(waits, default=None)


Chain = tuple[Step, ...]
"""The steps of one resource in order. The first that does not succeed ends the chain."""

LEADER_WORKERS = 2
_PROBE = "probe"
"""Name of the task of all steps that probe a circuit."""


class Dispatcher:
    """Runs chains of steps on workers. `clock` returns monotonic seconds."""

    def __init__(
        self,
        apply: Callable[[Step], None],
        done: Callable[[Outcome], None],
        backoff: Backoff,
        clock: Callable[[], float],
        *,
        workers: int,
        pulls: int,
        new_pool: Callable[[int, str], Executor] = ThreadPoolExecutor,
    ) -> None:
        self._apply, self._done, self._backoff, self._clock = apply, done, backoff, clock
        sizes: dict[Lane, int] = {"host": workers, "leader": LEADER_WORKERS, "pull": pulls}
        self._pools = {lane: new_pool(size, lane) for lane, size in sizes.items()}
        self._changed = threading.Condition()  # guards everything below, and the backoff
        self._in_flight: dict[str, Chain] = {}
        self._completed: dict[str, Lane] = {}
        """Resources of chains that ended since the pass began. The pass may have observed them in mid-change."""
        self._closed = False

    @property
    def in_flight(self) -> tuple[Step, ...]:
        """Return the steps that run or wait behind another one of their chain."""
        with self._changed:
            return tuple(step for chain in self._in_flight.values() for step in chain)

    @property
    def failures(self) -> dict[str, Failure]:
        with self._changed:
            return dict(self._backoff.failures)

    def begin_pass(self) -> None:
        """Start a pass. Call it before the observation, which may see every later completed step in mid-change."""
        with self._changed:
            self._completed.clear()

    def dispatch(self, plan: Plan) -> None:
        """Start the chains that can start now. A later pass plans the others again."""
        chains: dict[str, list[Step]] = {}
        for step in plan.steps:
            chains.setdefault(step.resource, []).append(step)
        with self._changed:
            steps = (*plan.steps, *(step for chain in self._in_flight.values() for step in chain))
            known = {name for step in steps for name in (step.resource, step.circuit)}
            # A chain that completed meanwhile may have been in flight at the observation, so a plan may lack it.
            self._backoff.forget(frozenset(known | self._completed.keys()))
            for lane in self._pools:
                self._dispatch_lane(lane, [tuple(c) for c in chains.values() if c[0].lane == lane])

    def reset(self) -> None:
        """Delete every backoff: a new backoff epoch has begun."""
        with self._changed:
            self._backoff.reset()

    def next_retry(self) -> float | None:
        with self._changed:
            return self._backoff.next_retry(self._clock())

    def close(self, timeout_s: float) -> bool:
        """Start no more chains and wait `timeout_s` for those in flight. Return True if all of them ended."""
        with self._changed:
            self._closed = True
            ended = self._changed.wait_for(lambda: not self._in_flight, timeout_s)
        for pool in self._pools.values():
            pool.shutdown(wait=False, cancel_futures=True)
        return ended

    def _dispatch_lane(self, lane: Lane, chains: Iterable[Chain]) -> None:
        running = [chain for chain in self._in_flight.values() if chain[0].lane == lane]
        if any(chain[0].barrier for chain in running):
            return
        # A barrier in backoff delays no other chain.
        now = self._clock()
        chains = [chain for chain in chains if self._backoff.ready(chain[0].resource, _task(chain), now)]
        if barriers := [chain for chain in chains if chain[0].barrier]:
            # The barrier's basis must not have changed during the observation.
            quiet = not running and lane not in self._completed.values()
            chains = barriers[:1] if quiet else []
        for chain in chains:
            resource = chain[0].resource
            begun = resource in self._in_flight or resource in self._completed
            if not (begun or self._closed or self._is_open(chain[0].circuit, now)):
                self._in_flight[resource] = chain
                self._pools[lane].submit(self._run, chain)

    def _is_open(self, circuit: str, now: float) -> bool:
        """Return True if the circuit is open and the step must not probe it now."""
        if not circuit or circuit not in self._backoff.failures:
            return False
        tried = any(step.circuit == circuit for each in self._in_flight.values() for step in each)
        return tried or not self._backoff.ready(circuit, _PROBE, now)

    def _run(self, chain: Chain) -> None:
        outcome: Outcome | None = None
        for step in chain:
            outcome = self._run_step(step, chain)
            if not outcome.succeeded:
                break
            if step is not chain[-1]:
                self._done(outcome)
        assert outcome is not None
        with self._changed:
            if outcome.succeeded:
                self._backoff.succeeded(outcome.step.resource)
                self._backoff.succeeded(outcome.step.circuit)
            self._in_flight.pop(outcome.step.resource, None)
            self._completed[outcome.step.resource] = outcome.step.lane
            self._changed.notify_all()
        self._done(outcome)

    def _run_step(self, step: Step, chain: Chain) -> Outcome:
        began = self._clock()
        try:
            self._apply(step)
        except Stale as error:
            self._note_answer(step, error)
            return Outcome(step=step, seconds=self._clock() - began, stale=str(error))
        except SwarmkeeperError as error:
            self._note_answer(step, error)
            return self._failed(step, chain, began, str(error) or type(error).__name__, None)
        except Exception as error:
            return self._failed(step, chain, began, cut(f"{type(error).__name__}: {error}"), error)
        return Outcome(step=step, seconds=self._clock() - began)

    def _note_answer(self, step: Step, error: SwarmkeeperError) -> None:
        """Close the circuit on any answer, also a refusal; open it if the other side is unreachable."""
        with self._changed:
            if not isinstance(error, Unreachable):
                self._backoff.succeeded(step.circuit)
            elif step.circuit:
                self._backoff.failed(step.circuit, _PROBE, str(error), self._clock())

    def _failed(
        self, step: Step, chain: Chain, began: float, error: str, unexpected: Exception | None
    ) -> Outcome:
        now = self._clock()
        with self._changed:
            failure = self._backoff.failed(step.resource, _task(chain), error, now)
        return Outcome(step=step, seconds=now - began, error=error, unexpected=unexpected, failure=failure)


def _task(chain: Chain) -> str:
    # Without the reasons: docker's texts for the same failure vary, and each would count as a new task.
    return "; ".join(f"{step.verb} {step.resource}" for step in chain)
