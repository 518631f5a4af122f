"""The reporter: it takes each pass and step from the loop, for etcd, metrics, log, systemd and the HTTP server."""

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import replace
from functools import partial
from typing import Any, NamedTuple

import structlog

from agent.clients import systemd
from agent.conditions import with_own_report
from agent.diff.reported import host_of
from agent.errors import Invalid, SwarmkeeperError
from agent.model.observed import ClusterState, Observed
from agent.model.phrases import cut
from agent.model.plan import Failure, Outcome, Plan, Step
from agent.model.records import timestamp
from agent.model.status import HostStatus, Phase
from agent.report import counters, drift, gauges, journal, registry
from agent.report.events import EventKey
from agent.report.page import local_page, summary, unready
from agent.report.status import carried_out, host_status
from agent.report.status_key import StatusKey, run_inline

log = structlog.get_logger()


class Decisions(NamedTuple):
    """Functions of the planner whose results a report needs and a plan does not contain."""

    bridge_phase: Callable[[Observed], Phase]
    """Returns the phase of this host's docker_gwbridge."""
    why_ineligible: Callable[[Observed, ClusterState], str]
    """Returns why this host may not lead; empty when it may."""


class Reporter:
    """Reports one host. Errors of a report are only logged. `passed` waits for etcd until it has the earlier status."""

    def __init__(
        self,
        status_key: StatusKey,
        metrics: registry.Metrics,
        decisions: Decisions,
        *,
        version: str,
        clock: Callable[[], float] = time.monotonic,
        now: Callable[[], float] = time.time,
        notify: Callable[..., bool] = systemd.notify,
        later: Callable[[Callable[[], None]], None] = run_inline,
        events: EventKey,
    ) -> None:
        """`clock` is the dispatcher's, in monotonic seconds; `now` gives seconds since 1970.

        `later` runs the writes to etcd. It may use another thread, and skip all waiting jobs but the last.
        """
        self._key, self._later, self._metrics = status_key, later, metrics
        self._phase_of = decisions.bridge_phase
        self._version, self._clock, self._now, self._notify = version, clock, now, notify
        self._journal, self._counters = journal.Journal(decisions.why_ineligible), counters.Counters(metrics)
        self._pulls = journal.Pulls()
        self._previous: HostStatus | None = None
        self._recalled = False
        self._view: gauges.View | None = None
        self._seen = drift.Look()
        self._notified = ""
        self.events = events

    def passed(
        self, observed: Observed, plan: Plan, *, in_flight: tuple[Step, ...], failures: Mapping[str, Failure]
    ) -> None:
        """Report a pass, its plan and the steps in flight; the keys of `failures` are resources."""
        with _guarded("view"):
            self._recall(observed)
            if self._view and _has_lost_keys(self._view.observed, observed):
                self._key.forget()
            self._view = view = self._look(observed, plan, in_flight, failures)
            self._previous = view.status
            with _guarded("metrics"):
                reported = _with_report(view)
                self.events.passed(observed, reported)
                self._metrics.show_cluster(gauges.ClusterGauges(reported, self._now))
                self._counters.passed(view, self._now())
            with _guarded("journal"):
                self._journal.passed(observed, plan)
            with _guarded("status key"):
                if view.may_write:
                    at = observed.cluster.assigned_at if observed.cluster else 0
                    self._later(partial(self._write, view.status, at))
                elif not view.etcd_answered and observed.lease:  # without a lease it is absent anyway
                    self._key.failed(view.status.at)
            with _guarded("systemd"):
                self._notify_systemd(summary(view))

    def _write(self, status: HostStatus, assigned_at: int) -> None:
        self._key.write(status, assigned_at=assigned_at)
        with _guarded("events"):
            self.events.write()

    def timed(self, reasons: frozenset[str], phases: Mapping[str, float]) -> None:
        """Report the seconds that each phase of a pass took, and the reasons for the pass."""
        with _guarded("timing"):
            self._counters.timed(phases)
            rounded = {f"{phase}_s": round(seconds, 4) for phase, seconds in phases.items()}
            log.debug("pass", reasons=", ".join(sorted(reasons)), **rounded)

    def pass_failed(self) -> None:
        """Count a pass that ended with a defect of the agent."""
        with _guarded("metrics"):
            self._counters.pass_failed()
            self._key.failed(timestamp(self._now()))

    @property
    def unreported_since(self) -> str:
        """As that of the status key. Any thread may ask."""
        return self._key.unreported_since

    def step_started(self, step: Step) -> None:
        with _guarded("start of a step"):
            self._journal.started(step)

    def pull_progress(self, resource: str, progress: str) -> bool:
        """Take the progress of a pull, even many times a second. Return True if the status should show it now."""
        return self._pulls.report(resource, progress, self._clock())

    def step_done(self, outcome: Outcome) -> None:
        with _guarded("end of a step"):
            self._pulls.forget(outcome.step.resource)
            self._journal.ended(outcome, self._clock())
            if outcome.succeeded:
                self.events.ordered(outcome.step)
        with _guarded("metrics"):
            self._counters.ended(outcome)

    def close(self) -> None:
        """Write a last status: the agent is stopped on purpose, and this host is not the leader."""
        with _guarded("last status"):
            if self._view is not None and self._view.may_write:
                last = replace(self._view.status, leading=False, stopped=True, at=self._at())
                self._later(partial(self._key.write, last, anyway=True))

    def unready(self) -> tuple[str, ...]:
        """Return why this agent cannot do its work now; empty when it can."""
        view = self._view
        fault = self._key.fault
        unwritten = (f"the status of this host cannot be written: {fault}",) if fault else ()
        if view is None:
            return ("no pass has ended yet",)
        alarm = view.observed.upkeep.alarm
        full = (f"etcd refuses every write: its alarm is {alarm}; see docs/operate/etcd.md",) if alarm else ()
        return (*unready(view), *full, *unwritten)

    def status(self) -> Mapping[str, Any]:
        """Return the page of this host: its state at the last pass."""
        view = self._view
        if view is None:
            return {"ready": False, "unready": self.unready()}
        return local_page(view, self.unready())

    def _recall(self, observed: Observed) -> None:
        """Read the status of an earlier run once, so that a restart does not reset the revision."""
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
    ) -> gauges.View:
        before, previous = self._view.drift if self._view else frozenset(), self._previous
        status = host_status(
            observed,
            plan,
            in_flight,
            failures,
            previous,
            self._at(),
            self._version,
            phase=self._phase_of(observed),
            progress=self._pulls.progress(),
        )
        return gauges.View(
            observed=observed,
            plan=plan,
            in_flight=in_flight,
            failures=failures,
            status=status,
            drift=drift.find_drift(observed, plan, in_flight, before, self._earlier(previous)),
            carried_out=carried_out(observed, plan, in_flight),
        )

    def _earlier(self, previous: HostStatus | None) -> drift.Look:
        """Return what the last pass saw; at the first pass of this run what an earlier run reported."""
        last = self._view.observed if self._view else None
        if last is not None and last.host is not None:
            self._seen = drift.Look(last.host, last.cluster)
        elif self._seen.host is None and previous is not None:
            with suppress(Invalid):
                self._seen = drift.Look(host_of(previous))
        return self._seen

    def _at(self) -> str:
        return timestamp(self._now())

    def _notify_systemd(self, text: str) -> None:
        """Send `text` if it changed; READY=1 with the first, even if etcd or dockerd did not answer: see the unit."""
        text = cut(text)  # a longer message is refused by the socket
        if text == self._notified:
            return
        first, self._notified = not self._notified, text
        self._notify(*(["READY=1"] if first else []), f"STATUS={text}")


def _with_report(view: gauges.View) -> Observed:
    """Return what was observed with this host's report of this pass: the one in etcd is of an earlier pass."""
    observed = view.observed
    if observed.cluster is None:
        return observed
    return replace(observed, cluster=with_own_report(observed.cluster, observed.me, view.status))


def _has_lost_keys(before: Observed, now: Observed) -> bool:
    """Return True if etcd lost the keys of this host: etcd was replaced, or a client deleted them."""
    if before.cluster is None or now.cluster is None or now.stale:
        return False
    deleted = before.cluster.presence is not None and now.cluster.presence is None
    return deleted or now.cluster.revision < before.cluster.revision


@contextmanager
def _guarded(part: str) -> Iterator[None]:
    """Log any error of the block: the loop must continue even if a report fails."""
    try:
        yield
    except Exception:
        log.exception("report failed", part=part)
