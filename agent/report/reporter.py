"""The loop's reporter: hears of every pass and every step, and tells all who listen."""

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from typing import Any, NamedTuple

import structlog

from agent.clients import systemd
from agent.clients.etcd import Store
from agent.errors import SwarmkeeperError
from agent.model.plan import ClusterState, Failure, Observed, Outcome, Plan, Step
from agent.model.records import timestamp
from agent.model.status import HostStatus, Phase
from agent.report.counters import Figures
from agent.report.drift import find_drift
from agent.report.journal import Journal, Pulls
from agent.report.key import StatusKey
from agent.report.registry import Metrics
from agent.report.status import carried_out, host_status
from agent.report.view import View, summary, unready

log = structlog.get_logger()


def at_once(job: Callable[[], None]) -> None:
    """Do a job where it was asked for."""
    job()


class Decisions(NamedTuple):
    """What of a report only the planner can say, beside the plan."""

    bridge_phase: Callable[[Observed], Phase]
    """Where this host stands with its bridge."""
    why_not_leader: Callable[[Observed, ClusterState], str]
    """Why this host may not lead; empty when it may."""


class Reporter:
    """Tells of one host. No method raises, and with a `later` that does not wait none waits for etcd."""

    def __init__(
        self,
        store: Store,
        key: str,
        metrics: Metrics,
        decisions: Decisions,
        *,
        version: str,
        clock: Callable[[], float] = time.monotonic,
        now: Callable[[], float] = time.time,
        notify: Callable[..., bool] = systemd.notify,
        later: Callable[[Callable[[], None]], None] = at_once,
    ) -> None:
        """`key` is the status key; `clock` the dispatcher's, in monotonic seconds; `now` is in seconds since the epoch.

        `later` does what may take its time, if need be on another thread; of several such jobs only the last counts.
        """
        self._later = later
        self._key = StatusKey(store, key, clock)
        self._phase_of = decisions.bridge_phase
        self._version, self._clock, self._now, self._notify = version, clock, now, notify
        self._journal, self._figures = Journal(decisions.why_not_leader), Figures(metrics)
        self._pulls = Pulls()
        self._previous: HostStatus | None = None
        self._recalled = False
        self._view: View | None = None
        self._told = ""

    # ---- what the loop and its workers call

    def passed(
        self, observed: Observed, plan: Plan, *, in_flight: tuple[Step, ...], failures: Mapping[str, Failure]
    ) -> None:
        """A pass has ended with this plan; `in_flight` is what is being done, `failures` are by resource."""
        with _unharmed("view"):
            self._recall(observed)
            if self._view and _has_lost_keys(self._view.observed, observed):
                self._key.forget()
            self._view = view = self._look(observed, plan, in_flight, failures)
            self._previous = view.status
            with _unharmed("metrics"):
                self._figures.passed(view, self._now())
            with _unharmed("journal"):
                self._journal.passed(observed, plan)
            with _unharmed("status key"):
                if view.may_write:
                    self._later(partial(self._key.write, view.status))
            with _unharmed("systemd"):
                self._tell_systemd(summary(observed, view.status, len(view.drift)))

    def timed(self, reasons: frozenset[str], phases: Mapping[str, float]) -> None:
        """How long the parts of the pass took, in seconds, and why there was one."""
        with _unharmed("timing"):
            self._figures.timed(phases)
            rounded = {f"{phase}_s": round(seconds, 4) for phase, seconds in phases.items()}
            log.debug("pass", reasons=", ".join(sorted(reasons)), **rounded)

    def pass_failed(self) -> None:
        """A pass ended with a fault of the agent's own."""
        with _unharmed("metrics"):
            self._figures.pass_failed()

    def step_started(self, step: Step) -> None:
        """A worker begins with `step`."""
        with _unharmed("start of a step"):
            self._journal.started(step)

    def pull_goes_on(self, resource: str, progress: str) -> bool:
        """How far a pull is, heard many times a second. Returns whether that is worth a look: once in a while."""
        return self._pulls.hear(resource, progress, self._clock())

    def step_done(self, outcome: Outcome) -> None:
        """A worker is done with a step, one way or the other."""
        with _unharmed("end of a step"):
            self._pulls.forget(outcome.step.resource)
            self._journal.ended(outcome, self._clock())
        with _unharmed("metrics"):
            self._figures.ended(outcome)

    def close(self) -> None:
        """Leave a last status: whoever reads it must not take this host for the leader any more."""
        with _unharmed("last status"):
            if self._view is not None and self._view.may_write:
                last = replace(self._view.status, leading=False, at=self._at())
                self._later(partial(self._key.write, last, anyway=True))

    # ---- what the pages of the HTTP server ask

    def unready(self) -> tuple[str, ...]:
        """Why this agent cannot do its work now, in words; empty when it can."""
        view = self._view
        return unready(view.observed, view.plan) if view else ("no pass has ended yet",)

    def status(self) -> Mapping[str, Any]:
        """The host as the last pass saw it: the status key's content, the plan, what is held back."""
        view = self._view
        if view is None:
            return {"ready": False, "unready": self.unready()}
        accepted = view.observed.cluster.accepted if view.observed.cluster else None
        return {
            "host": view.observed.me,
            "ready": not self.unready(),
            "unready": self.unready(),
            "in_force": accepted.revision if accepted else 0,
            "leader": view.observed.cluster.leader if view.observed.cluster else None,
            "assignment": {"source": view.observed.source, "seen_at": view.observed.seen_at},
            "drift": [each._asdict() for each in sorted(view.drift)],
            "plan": [str(step) for step in view.plan.steps],
            "in_flight": [str(step) for step in view.in_flight],
            "blocked": view.status.blocked,
            "status": view.status,
        }

    # ----

    def _recall(self, observed: Observed) -> None:
        """Go on from what an earlier run said, so that a restart does not look like work undone."""
        if self._recalled or observed.cluster is None or observed.stale:
            return
        try:
            recalled = self._key.recall()
        except SwarmkeeperError as error:
            log.debug("status of an earlier run not read", error=str(error))
            return
        self._recalled = True
        self._previous = recalled or self._previous

    def _look(
        self, observed: Observed, plan: Plan, in_flight: tuple[Step, ...], failures: Mapping[str, Failure]
    ) -> View:
        before = self._view.drift if self._view else frozenset()
        status = host_status(
            observed,
            plan,
            in_flight,
            failures,
            self._previous,
            self._at(),
            self._version,
            phase=self._phase_of(observed),
            progress=self._pulls.progress(),
        )
        return View(
            observed=observed,
            plan=plan,
            in_flight=in_flight,
            failures=failures,
            status=status,
            drift=find_drift(observed, plan, in_flight, before),
            carried_out=carried_out(observed, plan, in_flight),
        )

    def _at(self) -> str:
        return timestamp(self._now())

    def _tell_systemd(self, text: str) -> None:
        """READY=1 with the first pass that ends, also one that could only hold: see the unit."""
        if text == self._told:
            return
        first, self._told = not self._told, text
        self._notify(*(["READY=1"] if first else []), f"STATUS={text}")


def _has_lost_keys(before: Observed, now: Observed) -> bool:
    """Whether etcd began anew since, or somebody deleted what this host had there: its status is gone then, too."""
    if before.cluster is None or now.cluster is None or now.stale:
        return False
    unsaid = before.cluster.presence is not None and now.cluster.presence is None
    return unsaid or now.cluster.revision < before.cluster.revision


@contextmanager
def _unharmed(what: str) -> Iterator[None]:
    """The loop must go on even if it cannot be told of."""
    try:
        yield
    except Exception:
        log.exception("report failed", part=what)
