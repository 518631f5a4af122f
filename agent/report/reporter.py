"""The loop's reporter: hears of every pass and every step, and tells all who listen."""

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from typing import Any, NamedTuple

import structlog

from agent.clients import systemd
from agent.clients.etcd import Store
from agent.errors import Invalid, SwarmkeeperError
from agent.model.observed import ClusterState, Observed
from agent.model.plan import Failure, Outcome, Plan, Step
from agent.model.records import decode, encode, timestamp
from agent.model.status import HostStatus, Phase
from agent.model.store import KeyRange, Put
from agent.report import counters, drift, gauges, journal, registry
from agent.report.status import carried_out, host_status

log = structlog.get_logger()


def at_once(job: Callable[[], None]) -> None:
    """Do a job where it was asked for."""
    job()


# ---- Jobs of which only the newest counts, done on a thread of their own: a slow etcd must not delay the loop

CLOSE_S = 3.0


class LatestOnly:
    """Does the job it was given last, at most one per `pause_s` seconds; those in between are left out.

    A job that raises is told in the log, and the next one is done all the same.
    """

    def __init__(self, pause_s: float) -> None:
        self._pause_s = pause_s
        self._next: Callable[[], None] | None = None
        self._closing = False
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._run, name="newest", daemon=True)
        self._thread.start()

    def __call__(self, job: Callable[[], None]) -> None:
        """Do `job` soon, unless another one comes before its turn. Never waits."""
        with self._changed:
            self._next = job
            self._changed.notify_all()

    def close(self) -> None:
        """Do what is still to be done, within a few seconds, and end."""
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
                # Without this thread nothing would ever be told again, and nobody would say so.
                log.exception("report failed", part="later")
            with self._changed:
                self._changed.wait_for(lambda: self._closing, self._pause_s)


# ---- The status key: written when something worth telling changed, and now and then to show that it is fresh

REFRESH_S = 300.0


class StatusKey:
    """One host's status in etcd. `clock` gives monotonic seconds."""

    def __init__(self, store: Store, key: str, clock: Callable[[], float]) -> None:
        self._store, self._key, self._clock = store, key, clock
        self._written: HostStatus | None = None
        self._written_at = 0.0
        self._losses = self._losses_seen = 0

    def forget(self) -> None:
        """Write it again soon, whatever it says: etcd has lost it. May be called from any thread."""
        self._losses += 1

    def recall(self) -> HostStatus | None:
        """What an earlier run wrote, or None. Raises Unreachable, Refused."""
        found = self._store.read([KeyRange(key=self._key)]).get(self._key)
        try:
            return decode(HostStatus, found.value) if found else None
        except Invalid as error:
            log.warning("the status of an earlier run is not used", error=str(error))
            return None

    def write(self, status: HostStatus, *, anyway: bool = False) -> None:
        """Write `status` if it says something new or the last writing is old. One try; a failure is logged."""
        # Noted before it is written: what is lost meanwhile must not be forgotten.
        losses = self._losses
        fresh = self._clock() - self._written_at < REFRESH_S and losses == self._losses_seen
        if self._written is not None and fresh and not anyway and _same(status, self._written):
            return
        try:
            self._store.txn([], [Put(key=self._key, value=encode(status))])
        except SwarmkeeperError as error:
            log.warning("status not written", error=str(error))
            self._written = None
        else:
            self._written, self._written_at, self._losses_seen = status, self._clock(), losses


def _same(one: HostStatus, other: HostStatus) -> bool:
    return replace(one, at=other.at) == other


# ---- The state of a host in a few words: for `systemctl status`, and for who asks whether it is ready

AWAY = ("engine", "store")
"""Kinds of being blocked that are said in words of their own."""


def summary(observed: Observed, status: HostStatus, drifting: int) -> str:
    """One line: role, revision, what is away, what is open."""
    held = [each for each in status.blocked if each.kind not in AWAY]
    parts = [
        _role(observed, status),
        _revision(observed, status),
        "dockerd away" if observed.host is None else "",
        "etcd away" if observed.cluster is None or observed.stale else "",
        f"{drifting} not as declared" if drifting else "",
        f"{len(status.steps)} to do" if status.steps else "",
        f"{len(held)} held back" if held else "",
    ]
    return ", ".join(part for part in parts if part)


def unready(observed: Observed, plan: Plan) -> tuple[str, ...]:
    """Why this agent cannot do its work now, in words; empty when it can."""
    reasons = [each.reason for each in plan.blocked if each.kind in AWAY]
    if observed.cluster is None or observed.cluster.accepted is None:
        reasons.append("no intent is accepted")
    return tuple(reasons)


def _role(observed: Observed, status: HostStatus) -> str:
    if observed.fence:
        return "leading"
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
    """What of a report only the planner can say, beside the plan."""

    bridge_phase: Callable[[Observed], Phase]
    """Where this host stands with its bridge."""
    why_ineligible: Callable[[Observed, ClusterState], str]
    """Why this host may not lead; empty when it may."""


class Reporter:
    """Tells of one host. No method raises, and with a `later` that does not wait none waits for etcd."""

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
        later: Callable[[Callable[[], None]], None] = at_once,
    ) -> None:
        """`key` is the status key; `clock` the dispatcher's, in monotonic seconds; `now` is in seconds since the epoch.

        `later` does what may take its time, if need be on another thread; of several such jobs only the last counts.
        """
        self._later = later
        self._key = StatusKey(store, key, clock)
        self._phase_of = decisions.bridge_phase
        self._version, self._clock, self._now, self._notify = version, clock, now, notify
        self._journal, self._counters = journal.Journal(decisions.why_ineligible), counters.Counters(metrics)
        self._pulls = journal.Pulls()
        self._previous: HostStatus | None = None
        self._recalled = False
        self._view: gauges.View | None = None
        self._told = ""

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
                self._counters.passed(view, self._now())
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
            self._counters.timed(phases)
            rounded = {f"{phase}_s": round(seconds, 4) for phase, seconds in phases.items()}
            log.debug("pass", reasons=", ".join(sorted(reasons)), **rounded)

    def pass_failed(self) -> None:
        """A pass ended with a fault of the agent's own."""
        with _unharmed("metrics"):
            self._counters.pass_failed()

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
            self._counters.ended(outcome)

    def close(self) -> None:
        """Leave a last status: whoever reads it must not take this host for the leader any more."""
        with _unharmed("last status"):
            if self._view is not None and self._view.may_write:
                last = replace(self._view.status, leading=False, at=self._at())
                self._later(partial(self._key.write, last, anyway=True))

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
            "accepted_revision": accepted.revision if accepted else 0,
            "leader": view.observed.cluster.leader if view.observed.cluster else None,
            "assignment": {"source": view.observed.source, "seen_at": view.observed.seen_at},
            "drift": [each._asdict() for each in sorted(view.drift)],
            "plan": [str(step) for step in view.plan.steps],
            "in_flight": [str(step) for step in view.in_flight],
            "blocked": view.status.blocked,
            "status": view.status,
        }

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
    ) -> gauges.View:
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
        return gauges.View(
            observed=observed,
            plan=plan,
            in_flight=in_flight,
            failures=failures,
            status=status,
            drift=drift.find_drift(observed, plan, in_flight, before),
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
    """Whether etcd started again since, or somebody deleted what this host had there: its status is gone then, too."""
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
