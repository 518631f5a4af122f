"""The conditions of one host as its own agent sees them, for /readyz, systemd's line and the /status page.

They follow the rules of the whole cluster, on the report that the agent is about to write. Only the leader reads the
reports of the other hosts, so the listing of the managers counts only on a host that has one.
"""

from dataclasses import replace

from agent.conditions.condition import Condition
from agent.conditions.finding import READY, Blocked, Finding
from agent.conditions.hosts import engine_down, host_condition
from agent.conditions.replicas import Known, places_on, replica_condition, shown_in
from agent.conditions.reports import Reports
from agent.model import Frozen
from agent.model.observed import ClusterState, Observed
from agent.model.records import seconds_of
from agent.model.status import HostStatus


class OwnHost(Frozen):
    """The conditions of a host and of the replicas assigned to it."""

    host: Condition
    quorum: Condition
    """Ready, unless the host is a manager and its dockerd does not list the nodes."""
    replicas: tuple[Condition, ...] = ()

    @property
    def faults(self) -> tuple[Condition, ...]:
        """Return the conditions that need a repair, the host's first; progress is none."""
        return tuple(each for each in (self.host, self.quorum, *self.replicas) if each.is_fault)


def own_host(observed: Observed, status: HostStatus) -> OwnHost:
    """Return the conditions of the host of this agent. `status` is its report of this moment."""
    cluster = observed.cluster or ClusterState(revision=0)
    whole = with_own_report(cluster, observed.me, status)
    reports = Reports(whole, seconds_of(status.at) or 0.0, of_own=True)
    host = _host(observed.me, reports)
    known = Known(hosts={observed.me: host}, shown=shown_in([(observed.me, status)]))
    order = {each.name: at for at, each in enumerate(reports.intent.services if reports.intent else ())}
    declared = places_on(observed.me, reports) if reports.declared(observed.me) else ()
    mine = sorted(declared, key=lambda each: (order[each.service.name], each.slot))
    return OwnHost(
        host=host,
        quorum=Condition.of("quorum", "", _quorum(status)),
        replicas=tuple(replica_condition(each, reports, known).condition for each in mine),
    )


def _quorum(status: HostStatus) -> Finding:
    works = status.engine_up and status.state == "active" and status.is_manager
    if not works or status.nodes is not None:
        return READY
    reason = next((each.reason for each in status.blocked if each.resource == "nodes"), "")
    text = "this manager does not list the nodes: the swarm has no quorum, or this host is cut off from it"
    return Blocked("QuorumLost", reason or text)


def with_own_report(cluster: ClusterState, me: str, status: HostStatus) -> ClusterState:
    """Return the state as if etcd had the report already: the agent that writes it is present by definition."""
    mine = {me: cluster.assignment} if cluster.assignment else {}
    return replace(
        cluster,
        statuses={**cluster.statuses, me: replace(status, stopped=False)},
        present={**cluster.present, me: status.instance},
        assignments={**cluster.assignments, **mine},
    )


def _host(me: str, reports: Reports) -> Condition:
    status = reports.cluster.statuses[me]
    if not status.engine_up and not reports.declared(me):
        return Condition.of("host", me, engine_down(status))
    return host_condition(me, reports)
