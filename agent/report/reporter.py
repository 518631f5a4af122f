"""The reporter: it takes each pass and step from the loop, for etcd, metrics, log, systemd and the HTTP server."""

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import replace
from functools import partial
from typing import Any, NamedTuple

import structlog

from agent.clients import systemd
from agent.clients.etcd import Store
from agent.conditions import Condition
from agent.diff.reported import host_of
from agent.errors import Invalid, SwarmkeeperError
from agent.model.observed import ClusterState, Observed
from agent.model.phrases import and_more, cut
from agent.model.plan import Failure, Outcome, Plan, Step
from agent.model.records import decode, timestamp
from agent.model.status import HostStatus, Phase
from agent.model.store import KeyRange, Put
from agent.report import counters, drift, gauges, journal, registry
from agent.report.cap import encode_status
from agent.report.cluster_gauges import ClusterGauges
from agent.report.page import local_page
from agent.report.status import carried_out, host_status

log = structlog.get_logger()


def run_inline(job: Callable[[], None]) -> None:
    """Run a job in the thread of the caller."""
    job()


# ---- A thread that runs only the newest job, so that a slow etcd does not delay the loop

CLOSE_S = 3.0


class LatestOnly:
    """Runs the latest job on its own thread and skips older ones. It waits `pause_s` seconds after each job.

    An error of a job is logged, and the next job still runs.
    """

    def __init__(self, pause_s: float) -> None:
        self._pause_s = pause_s
        self._next: Callable[[], None] | None = None
        self._closing = False
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._run, name="newest", daemon=True)
        self._thread.start()

    def __call__(self, job: Callable[[], None]) -> None:
        """Run `job` soon, unless a newer job replaces it. Never waits."""
        with self._changed:
            self._next = job
            self._changed.notify_all()

    def close(self) -> None:
        """End the thread after the pending job. Waits for that at most CLOSE_S."""
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        self._thread.join(CLOSE_S)

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._next is not None or self._closing)
                job, self._next = self._next, None
            if job is None:
                return
            try:
                job()
            except Exception:
                # If this thread ended, no later status would be written, and no log line would show that.
                log.exception("report failed", part="later")
            with self._changed:
                self._changed.wait_for(lambda: self._closing, self._pause_s)


# ---- The status key: written when its content changes, and every REFRESH_S to show that the agent runs

REFRESH_S = 300.0
NOT_WRITTEN = "status not written"


class StatusKey:
    """One host's status in etcd. `clock` gives monotonic seconds."""

    def __init__(
        self,
        store: Store,
        key: str,
        clock: Callable[[], float],
        on_failure: Callable[[], None] = lambda: None,
    ) -> None:
        """`on_failure` is called after each failed write."""
        self._store, self._key, self._clock, self._on_failure = store, key, clock, on_failure
        self._written: HostStatus | None = None
        self._written_at = 0.0
        self._losses = self._losses_seen = 0
        self.fault = ""
        """Error of the last write; empty: it succeeded, or there was none."""

    def forget(self) -> None:
        """Make the next `write` unconditional, because etcd has lost the key. Any thread may call this."""
        self._losses += 1

    def recall(self) -> HostStatus | None:
        """Return the status of an earlier run, or None. Raises Unreachable, Refused."""
        found = self._store.read([KeyRange(key=self._key)]).get(self._key)
        try:
            return decode(HostStatus, found.value) if found else None
        except Invalid as error:
            log.warning("status of an earlier run ignored: unreadable", error=str(error))
            return None

    def write(self, status: HostStatus, *, anyway: bool = False) -> None:
        """Write `status` if it has changed, a write is due or `anyway` is true. One attempt; a failure is logged."""
        # Read before the write: a loss during the write then causes another one.
        losses = self._losses
        fresh = self._clock() - self._written_at < REFRESH_S and losses == self._losses_seen
        if self._written is not None and fresh and not anyway and _same(status, self._written):
            return
        try:
            self._store.txn([], [Put(key=self._key, value=encode_status(status))])
        except SwarmkeeperError as error:
            log.warning(NOT_WRITTEN, error=str(error))
            self.fault = str(error)
            self._written = None
            self._on_failure()
        else:
            self._written, self._written_at, self._losses_seen = status, self._clock(), losses
            if self.fault:
                log.info("status written again", recovers=NOT_WRITTEN)
            self.fault = ""


def _same(one: HostStatus, other: HostStatus) -> bool:
    return replace(one, at=other.at) == other


# ---- The state of a host in one line, for `systemctl status` and /readyz


def summary(view: gauges.View) -> str:
    """Return one line: role, revision, the first fault, etcd if unreachable, and the counts of drift and steps."""
    status = view.status
    parts = [
        _role(view.observed, status),
        _revision(view.observed, status),
        _first(view.own.faults),
        "" if view.etcd_answered else "etcd unreachable",
        f"{len(view.drift)} not as declared" if view.drift else "",
        f"{len(status.steps)} steps to do" if status.steps else "",
    ]
    return ", ".join(part for part in parts if part)


def unready(view: gauges.View) -> tuple[str, ...]:
    """Return why this agent or its host cannot do its work now; empty when it can."""
    observed = view.observed
    reasons = [] if view.etcd_answered else [observed.store_error or "etcd does not answer"]
    if observed.cluster is None or observed.cluster.accepted is None:
        reasons.append("no intent is accepted")
    elif observed.cluster.store_rolled_back:
        reasons.append(
            f"etcd was rolled back, {observed.cluster.store_rolled_back}: apply the correct document again"
        )
    if not observed.lease and not reasons:
        reasons.append("this agent has no live lease in etcd, so other hosts take this host for unreachable")
    return (*reasons, *(f"{each.key}: {each.text}" for each in view.own.faults))


def _first(faults: tuple[Condition, ...]) -> str:
    if not faults:
        return ""
    first, more = faults[0], and_more(len(faults))
    if first.reason == "EngineDown":
        return "dockerd does not answer"
    return f"{first.text}{more}" if first.kind in ("host", "quorum") else f"{first.name}: {first.text}{more}"


def _role(observed: Observed, status: HostStatus) -> str:
    if observed.fence:
        return "leader"
    if observed.host is None:
        return ""
    if status.state != "active":
        return f"swarm {status.state}"
    return "manager" if status.is_manager else "worker"


def _revision(observed: Observed, status: HostStatus) -> str:
    accepted = observed.cluster.accepted if observed.cluster else None
    if accepted is None:
        return "no accepted intent"
    done = "carried out" if status.revision == accepted.revision else "not carried out yet"
    return f"revision {accepted.revision} {done}"


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
        store: Store,
        key: str,
        metrics: registry.Metrics,
        decisions: Decisions,
        *,
        version: str,
        clock: Callable[[], float] = time.monotonic,
        now: Callable[[], float] = time.time,
        notify: Callable[..., bool] = systemd.notify,
        later: Callable[[Callable[[], None]], None] = run_inline,
    ) -> None:
        """`key` is the status key. `clock` is the dispatcher's, in monotonic seconds; `now` gives seconds since 1970.

        `later` runs the writes to etcd. It may use another thread, and skip all waiting jobs but the last.
        """
        self._later, self._metrics = later, metrics
        self._key = StatusKey(store, key, clock, partial(metrics.count, "status_write_failures_total"))
        self._phase_of = decisions.bridge_phase
        self._version, self._clock, self._now, self._notify = version, clock, now, notify
        self._journal, self._counters = journal.Journal(decisions.why_ineligible), counters.Counters(metrics)
        self._pulls = journal.Pulls()
        self._previous: HostStatus | None = None
        self._recalled = False
        self._view: gauges.View | None = None
        self._seen = drift.Look()
        self._notified = ""

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
                self._metrics.show_cluster(ClusterGauges(observed, self._now))
                self._counters.passed(view, self._now())
            with _guarded("journal"):
                self._journal.passed(observed, plan)
            with _guarded("status key"):
                if view.may_write:
                    self._later(partial(self._key.write, view.status))
            with _guarded("systemd"):
                self._notify_systemd(summary(view))

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

    def step_started(self, step: Step) -> None:
        with _guarded("start of a step"):
            self._journal.started(step)

    def pull_progress(self, resource: str, progress: str) -> bool:
        """Take the progress of a pull, even many times a second. Return True if the status should show it now."""
        return self._pulls.report(resource, progress, self._clock())

    def step_done(self, outcome: Outcome) -> None:
        """Report a step that ended, with or without an error."""
        with _guarded("end of a step"):
            self._pulls.forget(outcome.step.resource)
            self._journal.ended(outcome, self._clock())
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
        alarm = view.observed.store_alarm
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
