"""The claim of the only `swarm init`: when a host that cannot create the swarm passes it on, and to which manager.

The claimant may fail for a cause that only this host has: a port in use, a full disk, live-restore, a bridge that
overlaps. The other managers would wait for it without end. A swarm that the host created all the same, unseen, is empty
and is dissolved (`agent/planner/host/membership.py`).
"""

from typing import NamedTuple

from agent.model.intent import Intent
from agent.model.observed import ClusterState, Observed
from agent.model.status import BlockedReport, HostStatus
from agent.model.steps import BRIDGE

MOST_ATTEMPTS = 3
"""Failed attempts of a step on the swarm or docker_gwbridge after which the claim is passed on."""
BLOCKED_S = 30.0
"""Seconds for which a blocked claimant is the leader before it passes the claim on."""
AWAY_S = 300.0
"""Seconds after which the init of a dockerd that does not answer counts as failed, and after which a host that failed
before gets the claim again."""

_BEFORE_INIT = ("swarm", BRIDGE)


class Heir(NamedTuple):
    """The next claimant."""

    host: str
    why: str
    """Cause for which this host passes the claim on."""


def next_claimant(intent: Intent, observed: Observed) -> Heir | None:
    """Return the manager that gets this leader's claim; None: this host has no claim, may succeed, or none else can."""
    cluster = observed.cluster
    if cluster is None or observed.stale or not observed.fence or "swarm" in observed.in_flight:
        return None
    record = cluster.record
    if cluster.record_held or record is None or record.swarm_id or record.claimed_by != observed.me:
        return None
    failed_before = [host for host, _ in record.unable]
    others = (each.name for each in intent.managers if each.name != observed.me)
    able = [each for each in others if can_init(each, cluster)]
    if observed.led_s < AWAY_S:
        able = [each for each in able if each not in failed_before]
    if not able or not (why := _why_unable(observed, cluster)):
        return None
    # In a ring: first those that have not failed, then the one that failed longest ago.
    return Heir(min(able, key=lambda each: failed_before.index(each) if each in failed_before else -1), why)


def can_init(name: str, cluster: ClusterState) -> bool:
    """Return True if the running agent of a host reports nothing that would make an init fail."""
    status = cluster.status_of(name)
    if status is None or not status.engine_up or status.state != "inactive":
        return False
    return not status.live_restore and not obstacles(status)


def obstacles(status: HostStatus) -> list[BlockedReport]:
    """Return what keeps a host from creating a swarm: a failed step only after MOST_ATTEMPTS attempts."""
    return [
        each
        for each in status.blocked
        if each.resource in _BEFORE_INIT and (each.attempts == 0 or each.attempts >= MOST_ATTEMPTS)
    ]


def _why_unable(observed: Observed, cluster: ClusterState) -> str:
    """Return why this host does not create the swarm; empty if it still may."""
    host = observed.host
    if host is None:
        away_s = observed.engine_away_s
        return f"dockerd has not answered for {away_s:.0f} s" if away_s >= AWAY_S else ""
    mine = cluster.status_of(observed.me)
    if host.swarm.local != "inactive" or mine is None:
        return ""
    return next((each.reason for each in obstacles(mine) if each.attempts or observed.led_s >= BLOCKED_S), "")
