"""The loop: wake, observe, plan, dispatch, report. It never waits for the steps that it started."""

import random
import threading
from collections.abc import Callable

import structlog

from agent.config import ReconcileSettings
from agent.daemon.dispatcher import Dispatcher
from agent.daemon.triggers import Triggers, WakeUps
from agent.model.host_state import GOSSIP, RAFT, HostState
from agent.model.observed import Observed
from agent.model.plan import Plan, soonest
from agent.model.store import Fence
from agent.observe import DOUBT_S, Observer
from agent.planner import make_plan
from agent.planner.host.update import LOOK_S, has_surge
from agent.report import Reporter

log = structlog.get_logger()

RESYNC = frozenset({"resync"})
"""Reason of a pass that no trigger asked for."""
RESYNC_JITTER = 0.1
"""Share of the resync interval. It spreads the passes of hosts that started together."""

MOST_REST_S = 2.0
"""Most seconds for which a leader gathers reasons for the next pass: as long as the last one observed and planned."""

UNSETTLED_S = 2.0
"""Seconds to the next pass while a raft leader is missing or a membership is changing."""
UNREAD_S = 5.0
"""Seconds between passes while this host has the leader lock and cannot read etcd."""
SILENT_S = 0.5
"""Seconds to the next pass after a join, while dockerd does not listen on the gossip port yet."""
DISTURBED_S = 5.0
"""Seconds between passes while a host has the disruption slot. dockerd sends no event for the peers that it awaits."""


class Reconciler:
    """Runs one pass after another on one thread."""

    def __init__(
        self,
        observer: Observer,
        dispatcher: Dispatcher,
        reporter: Reporter,
        triggers: Triggers,
        wake: WakeUps,
        schedule: ReconcileSettings,
        clock: Callable[[], float],
    ) -> None:
        self._observer, self._dispatcher, self._reporter = observer, dispatcher, reporter
        self._triggers, self._wake, self._schedule, self._clock = triggers, wake, schedule, clock
        self._backoff_epoch: object = None
        """Accepted revision, membership state and raft leader at the last pass. A change resets every backoff."""
        self._stopping = threading.Event()
        self.fence: Fence | None = None
        """The leader lock as last observed; None: this host is not the leader."""
        self.look_again_s = 0.0
        """Seconds to the next pass without a trigger; 0: not before the resync."""
        self._decided_in_s = 0.0
        """Seconds that the last pass took to observe and to plan."""
        self.last_pass_at = clock()
        """Time at which the last pass ended, for the watchdog."""

    def run(self) -> None:
        reasons = frozenset({"start"})
        while not self._stopping.is_set():
            try:
                self.run_pass(reasons)
            except Exception:  # a defect in a pass must not end the loop: the next one may see another state
                log.exception("pass failed", reasons=", ".join(sorted(reasons)))
                self._reporter.pass_failed()
            # A leader of many hosts is woken all the time. At least half of the time passes without its work.
            rest_s = min(self._decided_in_s, MOST_REST_S) if self.fence else 0.0
            reasons = self._wake.wait(self._until_next(), max(self._schedule.settle_s, rest_s)) or RESYNC

    def stop(self) -> None:
        """End `run` after the pass under way."""
        self._stopping.set()
        self._wake.wake("stop")

    def run_pass(self, reasons: frozenset[str]) -> Plan:
        """Observe, plan, dispatch and report. Return the plan, including the steps in flight."""
        began = self._clock()
        self._dispatcher.begin_pass()
        in_flight, failures = self._dispatcher.in_flight, self._dispatcher.failures
        observed = self._observer.observe(
            frozenset(step.resource for step in in_flight),
            {resource: each.error for resource, each in failures.items()},
        )
        seen = self._clock()
        plan = make_plan(observed)
        self.fence = observed.fence
        self.look_again_s = _look_again_s(observed, plan)
        self._triggers.rearm(self._observer.watched())
        self._reset_backoff(observed)
        planned = self._clock()
        self._decided_in_s = planned - began
        self._dispatcher.dispatch(plan)
        self._reporter.passed(
            observed,
            plan,
            # A step that ended meanwhile was in flight at the observation; the next pass sees its result.
            in_flight=tuple(dict.fromkeys((*in_flight, *self._dispatcher.in_flight))),
            failures=self._dispatcher.failures,
        )
        ended = self.last_pass_at = self._clock()
        phases = {"observe": seen - began, "plan": planned - seen, "apply": ended - planned}
        self._reporter.timed(reasons, phases)
        return plan

    def _reset_backoff(self, observed: Observed) -> None:
        accepted = observed.accepted
        swarm = observed.host.swarm if observed.host else None
        backoff_epoch = (accepted.revision if accepted else None, swarm and (swarm.local, swarm.leaderless))
        if backoff_epoch != self._backoff_epoch:
            self._backoff_epoch = backoff_epoch
            self._dispatcher.reset()

    def _until_next(self) -> float:
        jitter = random.uniform(-RESYNC_JITTER, RESYNC_JITTER)  # noqa: S311 - spreads load, guards nothing
        resync_s = self._schedule.resync_s * (1 + jitter)
        return soonest(
            resync_s, self._dispatcher.next_retry(), self.look_again_s, self._reporter.events.look_again_s
        )


def _look_again_s(observed: Observed, plan: Plan) -> float:
    disruption = observed.cluster is not None and observed.cluster.disruption is not None
    return soonest(
        _looks_at_host_in_s(observed.host),
        plan.requeue_after_s,
        DISTURBED_S if disruption and not observed.stale else 0.0,
        UNREAD_S if observed.lock_unread else 0.0,
    )


def _looks_at_host_in_s(host: HostState | None) -> float:
    if host is None:
        return 0.0
    if host.settles_in_s:
        return host.settles_in_s
    waits_for_port = host.swarm.local == "inactive" and any(map(host.has_listener, (GOSSIP, RAFT)))
    return soonest(
        *(each.restart_backoff_s for each in host.containers),
        *(each.steady_in_s for each in host.containers),
        host.stuck_in_s,
        DOUBT_S if host.settling else 0.0,
        LOOK_S if has_surge(host) else 0.0,
        UNSETTLED_S if host.swarm.unsettled or waits_for_port else 0.0,
        SILENT_S if host.gossip_not_listening else 0.0,
    )
