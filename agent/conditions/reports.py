"""The reports of the hosts: which of them are current, and what the managers and the leader say of the others."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property

from agent.conditions.finding import Blocked, Finding, Reason, State, Unknown
from agent.diff.nodes import HOST_LABEL
from agent.model.host_state import NodeState
from agent.model.intent import HostIntent, Intent
from agent.model.keys import ROOT
from agent.model.observed import ClusterState
from agent.model.records import Rollout, seconds_of, timestamp
from agent.model.spec import ContainerSpec, spec_hash, with_digest
from agent.model.status import BlockedReport, HostStatus, Waiting

MOST_AGE_S = 600.0
"""Seconds. An agent of format 1 writes its status every 300 s at least, so an older one is a sign that it cannot."""
NO_SPACE = "NOSPACE"
"""Alarm of an etcd that refuses writes because its database is full."""

_OF_LEADER = ("node", "placement", "membership-order", "disruption")
"""Kinds of resources that the leader reports for another host."""
LEADERS = frozenset({
    "autolock", "assignments", "digests", "swarm-record", "verdict", "tokens", "unlock", "nodes", "disruption",
})  # fmt: skip
"""Kinds of resources that are the leader's work and belong to no host, service or network."""


def seconds_since(at: str, now_s: float) -> float | None:
    """Return the seconds from `at`, RFC 3339, to `now_s`, at least 0; None if `at` is no time."""
    begin = seconds_of(at)
    return None if begin is None else max(0.0, now_s - begin)


def duration(seconds: float) -> str:
    """Return a duration as people say it, in its largest unit: `40 s`, `6 m`, `3 h`, `2 d`."""
    for unit, size in (("d", 86_400), ("h", 3_600), ("m", 60)):
        if seconds >= 2 * size or (unit == "m" and seconds >= size):
            return f"{int(seconds // size)} {unit}"
    return f"{int(seconds)} s"


@dataclass(frozen=True)  # no slots: cached_property needs a __dict__
class Reports:
    """The content of etcd, and the reader's clock."""

    cluster: ClusterState
    now_s: float
    store_error: str = ""
    of_own: bool = False
    """True for a host that judges itself: it need not read what the managers list."""

    @property
    def intent(self) -> Intent | None:
        """Return the accepted intent, or the newest one while none is accepted."""
        document = self.cluster.document
        return self.cluster.accepted or (document.intent if document else None)

    @property
    def accepted_revision(self) -> int:
        return self.cluster.accepted.revision if self.cluster.accepted else 0

    @property
    def swarm_exists(self) -> bool:
        return self.cluster.record is not None and self.cluster.record.swarm_id is not None

    def declared(self, host: str) -> HostIntent | None:
        return self.intent.host(host) if self.intent else None

    # ---- Which report is current

    def current(self, host: str) -> HostStatus | None:
        """Return the report of a host if it shows the present state; None: it is missing or out of date."""
        return None if self.why_unknown(host) else self.cluster.statuses[host]

    @cached_property
    def reporting(self) -> tuple[tuple[str, HostStatus], ...]:
        """The hosts with a current report, by name, each with the report."""
        found = ((host, self.current(host)) for host in sorted(self.cluster.present))
        return tuple((host, status) for host, status in found if status)

    @cached_property
    def blocked(self) -> tuple[tuple[str, BlockedReport], ...]:
        """The blocked resources of the current reports, each with its host."""
        return tuple((host, each) for host, status in self.reporting for each in status.blocked)

    def why_unknown(self, host: str) -> Finding | None:
        """Return why the state of a host is not known; None: its report is current."""
        status, instance = self.cluster.statuses.get(host), self.cluster.present.get(host)
        if self.store_error:
            return Unknown("StoreUnreachable", "etcd does not take reports", cause="store/")
        if instance is None:
            return self._absent(host, status)
        if status is None or status.instance != instance:
            text = "its agent starts and has not reported yet"
            if status:
                text = f"its agent starts; the last report is {self.ago(status.at)} old, of an earlier run"
            return Unknown("NotReported", text, cause=self._damaged(host))
        if status.stopped:
            return self._absent(host, status)
        age_s = seconds_since(status.at, self.now_s) if status.refreshed else 0.0
        since = self.cluster.unreported.get(host, status.at if age_s is None or age_s > MOST_AGE_S else "")
        if not since:
            return None
        text = f"its agent runs and has not reported for {self.ago(since)}: see `journalctl -u swarmkeeper` there"
        return Unknown("ReportOld", text, since=since)

    def reported_at(self, host: str) -> str:
        """Return the time until which the host could report, RFC 3339, as far as known; empty: it never reported.

        The report itself is older if nothing has changed since.
        """
        status, unknown = self.cluster.statuses.get(host), self.why_unknown(host)
        if status is None:
            return ""
        return (unknown.since or status.at) if unknown else timestamp(self.now_s)

    def _absent(self, host: str, status: HostStatus | None) -> Finding:
        start = "systemctl start swarmkeeper"
        if status is None:
            text = "no agent of it has ever reported: install Swarmkeeper there and start it"
            return Unknown("NeverSeen", text, start)
        if status.stopped:
            text = f"its agent was stopped {self.ago(status.at)} ago: start it on that host"
            return Unknown("AgentStopped", text, start, since=status.at)
        leader = self.cluster.statuses.get(self.cluster.leader or "")
        since = dict(leader.unreachable).get(host, "") if leader else ""
        far = f" for {self.ago(since)}" if since else f"; its last report changed {self.ago(status.at)} ago"
        return Unknown("Unreachable", f"unreachable{far}: {self._why_absent(host)}", since=since)

    def _why_absent(self, host: str) -> str:
        node = self.node_of(host)
        if node is None:
            return "it is off or cut off, or its agent has ended; no manager lists its node"
        if node.state == "ready":
            return "its node is ready in the swarm, so its agent has ended or does not reach etcd"
        return f"its node is {node.state} in the swarm, too, so it is off or cut off from the network"

    def _damaged(self, host: str) -> str:
        key = next((key for key, _ in self.cluster.unreadable if key.endswith(f"/hosts/{host}/status")), "")
        return key and f"key/{short_key(key)}"

    def ago(self, at: str) -> str:
        seconds = seconds_since(at, self.now_s)
        return "an unknown time" if seconds is None else duration(seconds)

    def carried_out(self, status: HostStatus) -> int:
        """Return the accepted revision that a host has carried out; 0: none since etcd was last rolled back."""
        return status.revision if status.epoch in (None, self.cluster.epoch) else 0

    def unassigned(self, host: str) -> tuple[str, ...]:
        """Return the names of the containers that a host reports and that are not assigned to it."""
        status, assignment = self.cluster.statuses.get(host), self.cluster.assignments.get(host)
        if status is None or assignment is None:
            return ()
        keys = {each.key for each in assignment.replicas}
        return tuple(sorted(each.name for each in status.replicas if each.key not in keys))

    def is_assigned(self, host: str, container: str) -> bool:
        """Return True if the container, by its name, is a replica that is assigned to the host."""
        status, assignment = self.cluster.statuses.get(host), self.cluster.assignments.get(host)
        replicas = assignment.replicas if assignment else ()
        keys, project = {each.key for each in replicas}, assignment.project if assignment else ""
        named = {each.name for each in status.replicas if each.key in keys} if status else set()
        return container in named or container in {f"{project}-{service}-{slot}" for service, slot in keys}

    # ---- What the managers list

    @cached_property
    def lister(self) -> HostStatus | None:
        """The report of a manager that lists the nodes now, the leader's first; None: none does."""
        for name in (self.cluster.leader or "", *sorted(self.cluster.present)):
            status = self.cluster.statuses.get(name)
            # First what is cheap. Why a host is absent depends on the lister, so it must not be asked here.
            if status and status.nodes and self._sees_raft_leader(name, status):
                return status
        return None

    @cached_property
    def has_quorum(self) -> bool:
        """True if a manager sees the swarm's raft leader. Managers that do not lead list no nodes, and see it too."""
        return any(
            self._sees_raft_leader(name, self.cluster.statuses.get(name)) for name in self.cluster.present
        )

    def _sees_raft_leader(self, name: str, status: HostStatus | None) -> bool:
        lists = status and status.engine_up and status.nodes is not None and self.is_ours(status)
        absent = name not in self.cluster.present or (status and status.stopped)
        return bool(lists and not absent and self.current(name))

    def is_ours(self, status: HostStatus) -> bool:
        """Return True if the host is not known to be in another swarm than the recorded one."""
        if status.other_cluster:
            return False
        recorded = self.cluster.record.swarm_id if self.cluster.record else None
        return recorded is None or status.swarm_id in (None, recorded)

    def node_of(self, host: str) -> NodeState | None:
        """Return the node of a host as a manager lists it now; None: none does."""
        lister, status = self.lister, self.cluster.statuses.get(host)
        nodes = (lister.nodes or ()) if lister else ()
        if status and status.node_id:
            return next((each for each in nodes if each.id == status.node_id), None)
        return next((each for each in nodes if dict(each.labels).get(HOST_LABEL) == host), None)

    # ---- What a host reports as blocked and as waiting

    @property
    def leader_status(self) -> HostStatus | None:
        """Return the current report of the leader; None: there is no leader, or its report is out of date."""
        return self.current(self.cluster.leader) if self.cluster.leader else None

    def leader_blocked(self) -> Iterator[BlockedReport]:
        """Yield what the leader reports as blocked for the whole cluster and for its own host."""
        yield from blocked_of(self.leader_status) if self.leader_status else ()

    def leader_waiting(self) -> Iterator[Waiting]:
        """Yield what the leader reports as waiting for the whole cluster and for its own host."""
        yield from self.leader_status.waiting if self.leader_status else ()

    def waits(self, status: HostStatus, *resources: str) -> tuple[str, str]:
        """Return (reason, condition key of the cause) of the first of the resources that waits; empty: none does."""
        of_leader = (each for each in self.leader_waiting() if each.resource.partition("/")[0] in _OF_LEADER)
        found = [each for each in (*status.waiting, *of_leader) if each.resource in resources]
        # The leader may know the cause of what the host only sees as a wait.
        for each in sorted(found, key=lambda each: not each.on):
            return each.reason, self.swarm_work if each.on == "leader/" else each.on
        return "", ""

    def finding(self, blocked: BlockedReport, *, error: Reason = "Error") -> Finding:
        """Return the finding for a blocked resource; `error` is the reason if a step on it failed."""
        if blocked.kind == "mode":
            observes = self.mode == "observe"
            reason: Reason = "ObserveMode" if observes else "Paused"
            return Blocked(reason, blocked.reason, cause="document/")
        reason = error if blocked.kind == "error" else REASONS.get(blocked.kind, "Error")
        state: State = "Degraded" if blocked.kind in _RETRIED else "Blocked"
        return Finding(state, reason, blocked.reason, attempts=blocked.attempts)

    @property
    def mode(self) -> str:
        """Return paused or observe if the accepted document says so, else an empty text."""
        mode = self.cluster.accepted.policy.mode if self.cluster.accepted else "enforce"
        return "" if mode == "enforce" else mode

    @property
    def assigner(self) -> str:
        """Return the key of what a missing assignment waits for: the leader, or the document that pauses it."""
        return "document/" if self.mode or not self.accepted_revision else "leader/"

    @property
    def swarm_work(self) -> str:
        """Return the key of what work in the swarm waits for: a quorum, the leader that does it, or its engine."""
        if self.swarm_exists:
            return "leader/" if self.has_quorum else "quorum/"
        leader = self.cluster.leader or ""
        status = self.current(leader) if leader in self.cluster.statuses else None
        return f"host/{leader}" if status and not status.engine_up else "leader/"

    # ---- The spec that every replica of a service is to have

    @cached_property
    def _targets(self) -> Mapping[str, tuple[str, ContainerSpec]]:
        """Service -> (hash, spec): every replica asks, and the hash costs more than all else that one needs."""
        intent, digests = self.intent, self.cluster.digests
        known = dict(digests.images) if digests and intent and intent.policy.resolve_digests else {}
        specs = (
            (each.name, with_digest(each.spec, known if each.pull != "never" else {}))
            for each in (intent.services if intent else ())
        )
        return {name: (spec_hash(spec), spec) for name, spec in specs}

    def target(self, service: str) -> tuple[str, ContainerSpec]:
        """Return the (hash, spec) that the document asks for, with the resolved digest of its image."""
        return self._targets[service]

    @cached_property
    def rollouts(self) -> Mapping[str, Rollout]:
        """The rollouts of declared services to the spec that the document asks for."""
        rollouts = self.cluster.rollouts
        of_declared = {name: rollouts[name] for name in self._targets if name in rollouts}
        return {name: each for name, each in of_declared.items() if each.to == self._targets[name][0]}

    def spec(self, service: str, digest: str) -> ContainerSpec | None:
        """Return the spec of that hash; None: it is not known."""
        target, wanted = self._targets[service]
        return wanted if target == digest else self.cluster.specs.get(digest)


def short_key(etcd_key: str) -> str:
    """Return a key in etcd without `/swarmkeeper/<cluster>/`."""
    return etcd_key.removeprefix(ROOT).partition("/")[2] if etcd_key.startswith(ROOT) else etcd_key


def blocked_of(status: HostStatus) -> tuple[BlockedReport, ...]:
    """Return what the host reports as blocked, without the keys in etcd: those are conditions of their own."""
    return tuple(each for each in status.blocked if each.kind not in OF_KEYS)


REASONS: dict[str, Reason] = {
    "quorum": "ChangingRole",
    "overlap": "Duplicate",
    "guard": "WaitsForConfirmation",
    "dependency": "DependencyMissing",
    "locked": "Locked",
    "port": "PortInUse",
    "name": "NameInUse",
    "foreign": "Foreign",
    "role": "ChangingRole",
    "removal": "NotRemoved",
    "engine": "EngineDown",
    "store": "StoreUnreachable",
    "disk": "StateNotSaved",
    "confirm": "WaitsForConfirmation",
    "unreadable": "Unreadable",
    "untrusted": "Unreadable",
    "mode": "Paused",
    "unsupported": "Unsupported",
    "rollout": "RolloutPaused",
    "placement": "NoHostFits",
    "crash": "CrashLoop",
    "unhealthy": "Unhealthy",
    "refused": "StartFailed",
    "admission": "NotAdmitted",
    "lock": "LockStuck",
    "error": "Error",
}
"""Kind of a blocked resource -> reason of its condition."""
OF_KEYS = ("unreadable", "untrusted")
"""Kinds of blocked keys in etcd."""
_RETRIED = ("error", "crash", "unhealthy", "engine", "disk")
"""Kinds that the agent repairs or retries by itself."""


def because(reason: str) -> str:
    """Return the reason as the end of a sentence; empty if there is none."""
    return f": {reason}" if reason else ""
