"""The page /status: what one agent knows, also without etcd. `swarmkeeper status` reads it when etcd does not answer.

What comes from etcd is as old as its last read: `stale` says so, and `store.read_at` since when. Nobody is shown as the
leader then: another agent may have become it.
"""

from collections.abc import Mapping, Sequence
from typing import Any

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
        "accepted_revision": cluster.accepted.revision if cluster and cluster.accepted else 0,
        "revision": status.revision,
        "leader": known_leader if view.etcd_answered else None,
        "last_known_leader": known_leader,
        "role": _role(status),
        "store": {
            "answers": view.etcd_answered,
            "error": observed.store_error,
            "alarm": observed.store_alarm,
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
