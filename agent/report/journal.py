"""What the log says of the passes: changes, each once. A pass in which nothing is new says nothing."""

import threading
from collections.abc import Callable, Mapping

import structlog

from agent.model.observed import ClusterState, Document, Observed
from agent.model.plan import Blocked, Outcome, Plan, Step

# ---- How far long pulls are: the last word on each, told to the log and to the status once in a while

log = structlog.get_logger()

TELL_S = 10.0
"""A status that is written, and a line in the log, are no progress bar."""


class Pulls:
    """Of pulls under way. Every method may be called from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._told: dict[str, tuple[str, float]] = {}
        """By resource: what was told last, and when. Empty: nothing yet, it began then."""

    def hear(self, resource: str, progress: str, now: float) -> bool:
        """Take in how far it is; whether it was told, because it is long enough since it began, or was told last."""
        with self._lock:
            before, at = self._told.setdefault(resource, ("", now))
            if now - at < TELL_S or progress == before:
                return False
            self._told[resource] = (progress, now)
        log.info(f"pulling {resource.partition('/')[2]}", progress=progress)
        return True

    def forget(self, resource: str) -> None:
        """It has ended, one way or the other."""
        with self._lock:
            self._told.pop(resource, None)

    def progress(self) -> Mapping[str, str]:
        """What was told last of each that goes on."""
        with self._lock:
            return {resource: told for resource, (told, _) in self._told.items() if told}


_EXPECTED = ("waiting", "mode")
"""Kinds of being blocked that belong to the ordinary course of things."""
_WORDS_VARY = ("engine", "store")
"""Kinds whose words change from try to try while the fault is the same."""


class Journal:
    """Remembers what was said. For the loop's thread, but for `started` and `ended`, which remember nothing."""

    def __init__(self, why_ineligible: Callable[[Observed, ClusterState], str]) -> None:
        """`why_ineligible` says why this host may not lead; empty when it may."""
        self._why_ineligible = why_ineligible
        self._blocked: dict[tuple[str, str], Blocked] = {}
        self._document: tuple[int, bool] | None = None
        self._accepted = 0
        self._leader: tuple[str | None, str] = (None, "")
        self._leading = False

    def passed(self, observed: Observed, plan: Plan) -> None:
        """Say what is new since the last pass."""
        self._say_leader(observed)
        self._say_intent(observed)
        self._say_blocked(plan)

    def started(self, step: Step) -> None:
        log.debug(f"start: {step.verb} {step.resource}", reason=step.reason)

    def ended(self, outcome: Outcome, now: float) -> None:
        """One line per step. `now` is on the clock of the outcome's failure."""
        step, failure = outcome.step, outcome.failure
        about = {"reason": step.reason, "seconds": round(outcome.seconds, 3)}
        if outcome.stale:
            log.info(f"replanned: {step.verb} {step.resource}", **about, why=outcome.stale)
            return
        if not outcome.error:
            log.info(f"{step.verb} {step.resource}", **about)
            return
        retry = {"tries": failure.attempts, "again_in_s": round(failure.retry_at - now, 1)} if failure else {}
        log.warning(
            f"failed: {step.verb} {step.resource}",
            **about,
            error=outcome.error,
            **retry,
            exc_info=outcome.unexpected,
        )

    def _say_leader(self, observed: Observed) -> None:
        leading = observed.fence is not None
        if leading != self._leading:
            log.info("leadership gained" if leading else "leadership lost")
        self._leading = leading
        leader = (observed.cluster.leader if observed.cluster else None, self._why_not_here(observed))
        if leader != self._leader and not leading:
            host, why_not = leader
            log.info("leader", host=host or "none", **({"why_ineligible": why_not} if why_not else {}))
        self._leader = leader

    def _say_intent(self, observed: Observed) -> None:
        cluster = observed.cluster
        document, accepted = (cluster.document, cluster.accepted) if cluster else (None, None)
        seen = (document.revision, observed.fence is not None) if document else None
        if document and document.faults and seen != self._document:
            self._say_refused(document, leading=observed.fence is not None)
        self._document = seen
        if accepted and accepted.revision != self._accepted:
            log.info("accepted intent", revision=accepted.revision, mode=accepted.policy.mode)
            self._accepted = accepted.revision

    def _say_refused(self, document: Document, *, leading: bool) -> None:
        """Every fault, but only by the one whose verdict it is; the others say the first."""
        first, number = str(document.faults[0]), len(document.faults)
        log.warning("intent refused", revision=document.revision, faults=number, first=first)
        for fault in document.faults if leading else ():
            log.warning("intent fault", revision=document.revision, fault=str(fault))

    def _say_blocked(self, plan: Plan) -> None:
        now = {(each.resource, _identity(each)): each for each in plan.blocked}
        places = {(each.resource, each.kind) for each in plan.blocked}
        for key, each in now.items():
            if key not in self._blocked:
                say = log.info if each.kind in _EXPECTED else log.warning
                say("blocked", resource=each.resource, kind=each.kind, reason=each.reason)
        for key, each in self._blocked.items():
            if key not in now and (each.resource, each.kind) not in places:
                log.info("no longer blocked", resource=each.resource, kind=each.kind)
        self._blocked = now

    def _why_not_here(self, observed: Observed) -> str:
        """Why this host does not take the lock that nobody holds: of no plan's steps, and nobody could tell it else."""
        cluster = observed.cluster
        if cluster is None or cluster.leader or observed.stale:
            return ""
        return self._why_ineligible(observed, cluster)


def _identity(blocked: Blocked) -> str:
    return blocked.kind if blocked.kind in _WORDS_VARY else f"{blocked.kind}: {blocked.reason}"
