"""The page /status, the line of `systemctl status` and the reasons of /readyz, from the last pass of one agent.

`swarmkeeper status` reads the page when etcd does not answer. What comes from etcd is as old as its last read: `stale`
says so, and `store.read_at` since when. The page names no leader then: another agent may have become it.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from agent.conditions import Condition
from agent.model.observed import Observed
from agent.model.phrases import and_more
from agent.model.records import timestamp
from agent.model.status import HostStatus
from agent.report.gauges import View


def local_page(view: View, unready: Sequence[str]) -> Mapping[str, Any]:
    """Return the state of this host at its last pass; `as_of` is the time of that pass, RFC 3339."""
    observed, status = view.observed, view.status
    cluster = observed.cluster
    known_leader, own = cluster.leader if cluster else None, view.own
    return {
        "host": observed.me,
        "as_of": status.at,
        "stale": not view.etcd_answered,
        "ready": not unready,
        "unready": tuple(unready),
        "accepted_revision": observed.accepted.revision if observed.accepted else 0,
        "revision": status.revision,
        "leader": known_leader if view.etcd_answered else None,
        "last_known_leader": known_leader,
        "role": _role(status),
        "store": {
            "answers": view.etcd_answered,
            "error": observed.store_error,
            "alarm": observed.upkeep.alarm,
            "read_at": timestamp(observed.seen_at) if observed.seen_at else "",
        },
        "engine": {
            "answers": status.engine_up,
            "version": status.engine_version,
            "error": status.engine_error,
        },
        "swarm": {
            "state": status.state,
            "error": status.swarm_error,
            "address": status.swarm_address,
            "node_id": status.node_id,
        },
        "replicas": status.replicas,
        "conditions": (own.host, *own.replicas),
        "blocked": status.blocked,
        "waiting": status.waiting,
        "steps": status.steps,
        "assignment": {"source": observed.source, "seen_at": observed.seen_at},
        "drift": [each._asdict() for each in sorted(view.drift)],
        "plan": [str(step) for step in view.plan.steps],
        "in_flight": [str(step) for step in view.in_flight],
        "status": status,
    }


def _role(status: HostStatus) -> str:
    """Return manager or worker; empty while the host is not known to be in a swarm."""
    if not status.engine_up or status.state != "active":
        return ""
    return "manager" if status.is_manager else "worker"


# ---- The state of a host in one line, for `systemctl status` and /readyz


def summary(view: View) -> str:
    """Return one line: role, revision, the first fault, etcd if unreachable, and the counts of drift and steps."""
    status = view.status
    outside = f"swarm {status.state}" if status.engine_up else ""
    parts = [
        "leader" if view.observed.fence else _role(status) or outside,
        _revision(view.observed, status),
        _first(view.own.faults),
        "" if view.etcd_answered else "etcd unreachable",
        f"{len(view.drift)} not as declared" if view.drift else "",
        f"{len(status.steps)} steps to do" if status.steps else "",
    ]
    return ", ".join(part for part in parts if part)


def unready(view: View) -> tuple[str, ...]:
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


def _revision(observed: Observed, status: HostStatus) -> str:
    accepted = observed.accepted
    if accepted is None:
        return "no accepted intent"
    done = "carried out" if status.revision == accepted.revision else "not carried out yet"
    return f"revision {accepted.revision} {done}"
