"""The log of the passes: each change once. A pass without a change logs nothing."""

import re
import threading
from collections.abc import Callable, Mapping

import structlog

from agent.model.observed import ClusterState, Document, Observed
from agent.model.plan import Blocked, Outcome, Plan, Step
from agent.model.status import Waiting

# ---- Progress of long pulls, for the log and the status

log = structlog.get_logger()

REPORT_S = 10.0
"""Shortest interval between two reports of one pull: each is a line in the log and a write to etcd."""


class Pulls:
    """Pulls in flight. Any thread may call any method."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._reported: dict[str, tuple[str, float]] = {}
        """By resource: the last report and its time; an empty report stands for the start of the pull."""

    def report(self, resource: str, progress: str, now: float) -> bool:
        """Log the progress of a pull, at most every REPORT_S. Return True if it was logged."""
        with self._lock:
            before, at = self._reported.setdefault(resource, ("", now))
            if now - at < REPORT_S or progress == before:
                return False
            self._reported[resource] = (progress, now)
        log.info(f"pulling {resource.partition('/')[2]}", progress=progress)
        return True

    def forget(self, resource: str) -> None:
        with self._lock:
            self._reported.pop(resource, None)

    def progress(self) -> Mapping[str, str]:
        """Return the last report of each pull in flight."""
        with self._lock:
            return {resource: last for resource, (last, _) in self._reported.items() if last}


_EXPECTED = ("mode",)
"""Kinds of blocked resources that are part of normal operation."""
_DIGITS = re.compile(r"\d+")
_REASON_VARIES = ("engine", "store", "unhealthy")
"""Kinds whose reason changes from attempt to attempt while the fault is the same."""


class Journal:
    """Logs the changes since the last pass. Only the loop's thread may use it, except `started` and `ended`."""

    def __init__(self, why_ineligible: Callable[[Observed, ClusterState], str]) -> None:
        """`why_ineligible` returns why this host may not lead; empty when it may."""
        self._why_ineligible = why_ineligible
        self._blocked: dict[tuple[str, str], Blocked] = {}
        self._waiting: frozenset[tuple[str, str]] = frozenset()
        self._document: tuple[int, bool] | None = None
        self._accepted = 0
        self._leader: tuple[str | None, str] = (None, "")
        self._leading = False

    def passed(self, observed: Observed, plan: Plan) -> None:
        self._log_leader(observed)
        self._log_intent(observed)
        self._log_blocked(plan)
        self._log_waiting(plan.waiting)

    def started(self, step: Step) -> None:
        log.debug(f"start: {step.verb} {step.resource}", reason=step.reason)

    def ended(self, outcome: Outcome, now: float) -> None:
        """Log one line per step. `now` is on the clock of the outcome's failure."""
        step, failure = outcome.step, outcome.failure
        about = {"reason": step.reason, "seconds": round(outcome.seconds, 3)}
        if outcome.stale:
            log.info(f"replanned: {step.verb} {step.resource}", **about, why=outcome.stale)
            return
        if not outcome.error:
            log.info(f"{step.verb} {step.resource}", **about, succeeds=_failed(step))
            return
        retry: dict[str, float] = {}
        if failure:
            retry = {"attempts": failure.attempts, "again_in_s": round(failure.retry_at - now, 1)}
        log.warning(_failed(step), **about, error=outcome.error, **retry, exc_info=outcome.unexpected)

    def _log_leader(self, observed: Observed) -> None:
        leading = observed.fence is not None
        if leading != self._leading:
            log.info("leadership gained" if leading else "leadership lost")
        self._leading = leading
        leader = (observed.cluster.leader if observed.cluster else None, self._ineligible(observed))
        if leader != self._leader and not leading:
            host, why = leader
            # A free lock is not worth a line until it is clear that this host does not take it.
            if host or why:
                log.info("leader", host=host or "none", **({"why_ineligible": why} if why else {}))
        self._leader = leader

    def _log_intent(self, observed: Observed) -> None:
        cluster = observed.cluster
        document, accepted = (cluster.document, cluster.accepted) if cluster else (None, None)
        seen = (document.revision, observed.fence is not None) if document else None
        if document and document.faults and seen != self._document:
            self._log_refused(document, leading=observed.fence is not None)
        self._document = seen
        if accepted and accepted.revision != self._accepted:
            log.info("accepted intent", revision=accepted.revision, mode=accepted.policy.mode)
            self._accepted = accepted.revision

    def _log_refused(self, document: Document, *, leading: bool) -> None:
        """Log the first fault; the leader, which wrote the verdict, logs every fault."""
        first, number = str(document.faults[0]), len(document.faults)
        log.warning("intent refused", revision=document.revision, faults=number, first=first)
        for fault in document.faults if leading else ():
            log.warning("intent fault", revision=document.revision, fault=str(fault))

    def _log_blocked(self, plan: Plan) -> None:
        now = {(each.resource, _identity(each)): each for each in plan.blocked}
        places = {(each.resource, each.kind) for each in plan.blocked}
        for key, each in now.items():
            if key not in self._blocked:
                write = log.info if each.kind in _EXPECTED else log.warning
                write("blocked", resource=each.resource, kind=each.kind, reason=each.reason)
        for key, each in self._blocked.items():
            if key not in now and (each.resource, each.kind) not in places:
                log.info("no longer blocked", resource=each.resource, kind=each.kind, succeeds="blocked")
        self._blocked = now

    def _log_waiting(self, waiting: tuple[Waiting, ...]) -> None:
        """Log each wait once. Its numbers may change while it lasts; its end shows in the steps that follow."""
        now = {(each.resource, _DIGITS.sub("0", each.reason)): each for each in waiting}
        for key, each in now.items():
            if key not in self._waiting:
                log.info("waiting", resource=each.resource, reason=each.reason)
        self._waiting = frozenset(now)

    def _ineligible(self, observed: Observed) -> str:
        """Return why this host does not take the free leader lock: no step and no blocked resource shows that."""
        cluster = observed.cluster
        if cluster is None or cluster.leader or observed.stale:
            return ""
        return self._why_ineligible(observed, cluster)


def _failed(step: Step) -> str:
    return f"failed: {step.verb} {step.resource}"


def _identity(blocked: Blocked) -> str:
    return blocked.kind if blocked.kind in _REASON_VARIES else f"{blocked.kind}: {blocked.reason}"
