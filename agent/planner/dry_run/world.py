"""The cluster as data: the state of etcd and of every host, and the observation of each agent."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from math import inf

from agent.admission import Gate, decode
from agent.diff.nodes import note_join, other_cluster
from agent.diff.replicas import finished
from agent.diff.reported import finished_reports
from agent.model.host_state import ContainerState, HostState
from agent.model.observed import ClusterState, Observed, ReplicaKey, ReplicaTimers
from agent.model.status import BridgeReport, HostStatus, NetworkReport, ReplicaReport
from agent.model.store import Fence
from agent.planner.dry_run.engine import NOW
from agent.planner.host.bridge import bridge_phase

_INSTANCE = "planned"
"""Instance of every agent: in a dry run all agents run and have reported."""
_Source = tuple[Observed, ClusterState, tuple[str, ...]]
"""The agent of a host, the state in etcd, and the addresses of all nodes."""
_FOR_LONG = ReplicaTimers(steady_s=inf)
"""Timers of a running replica: between two rounds of a dry run every wait ends."""


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """The cluster at one moment. It is immutable: the effect of a step is a new world (effects.py)."""

    cluster: ClusterState
    """The state in etcd as a leader reads it; statuses and presence are derived from `agents`."""
    agents: Mapping[str, Observed]
    """The observation of each agent of its own host. `observed` adds the cluster."""
    lost: frozenset[str] = frozenset()
    """Names of the lost hosts, for which nothing is planned."""
    reported: dict[str, tuple[_Source, HostStatus]] = field(default_factory=dict, repr=False, compare=False)
    """Host -> its last status, and what it was made from. The worlds that follow from this one use it, too."""

    def observed(self, me: str) -> Observed:
        """The observation of the agent on host `me`."""
        is_leader = self.cluster.leader == me
        cluster = replace(
            self.cluster,
            last_leader=None,  # every leader plans the same: none hands over
            assignment=self.cluster.assignments.get(me),
            membership_order=self.cluster.membership_orders.get(me),
            statuses=self._statuses(),
            present=dict.fromkeys(self.agents.keys() - self.lost, _INSTANCE),
        )
        return replace(
            self.agents[me],
            host=self._with_admission(me, self.agents[me].host),
            cluster=cluster,
            fence=Fence(key="leader", create_revision=0) if is_leader else None,
            lease=True,
            instance=_INSTANCE,
            watches=self._watches() if is_leader else {},
            lost_s=dict.fromkeys(self.lost, inf) if is_leader else {},
        )

    def _with_admission(self, me: str, host: HostState | None) -> HostState | None:
        """Return the host with what its reported policy refuses of the specs that it has or is to have."""
        policy = decode(host.admission) if host else None
        if host is None or policy is None:
            return host
        cluster, assignment = self.cluster, self.cluster.assignments.get(me)
        digests = {each.spec for each in (assignment.replicas if assignment else ())}
        digests |= {each.replica.spec for each in host.containers}
        specs = {each: cluster.specs[each] for each in digests if each in cluster.specs}
        volumes = cluster.accepted.made_volumes if cluster.accepted else ()
        refused = Gate(policy=policy).specs(specs, volumes)
        return replace(host, not_admitted=refused, most_replicas=policy.max_replicas)

    def _watches(self) -> dict[ReplicaKey, ReplicaTimers]:
        """Timers of all replicas; one that is down counts as just stopped, since its host will start it."""
        specs = self.cluster.specs
        down = {
            (name, *each.replica.key)
            for name, agent in self.agents.items()
            for each in (agent.host.containers if agent.host else ())
            if each.status in ("created", "exited") and not finished(specs.get(each.replica.spec), each)
        }
        return {
            (host, *replica.key): ReplicaTimers() if (host, *replica.key) in down else _FOR_LONG
            for host, assignment in self.cluster.assignments.items()
            for replica in assignment.replicas
        }

    def host(self, name: str) -> HostState:
        """The host of that name. Its engine must answer: no step is planned for a host whose engine does not."""
        found = self.agents[name].host
        assert found is not None
        return found

    def with_host(self, name: str, host: HostState) -> "World":
        return replace(self, agents={**self.agents, name: replace(self.agents[name], host=host)})

    def with_managers(self, swarm_id: str | None, change: Callable[[HostState], HostState]) -> "World":
        world = self
        for name in self.managers_of(swarm_id):
            world = world.with_host(name, change(self.host(name)))
        return world

    def managers_of(self, swarm_id: str | None) -> tuple[str, ...]:
        """Sorted names of the managers of that swarm."""
        swarms = {name: each.host.swarm for name, each in self.agents.items() if each.host}
        return tuple(
            sorted(name for name, each in swarms.items() if each.is_manager and each.swarm_id == swarm_id)
        )

    def _statuses(self) -> dict[str, HostStatus]:
        addresses = (each.host.swarm.address for each in self.agents.values() if each.host)
        peers = tuple(sorted(filter(None, addresses)))
        for name, agent in self.agents.items():
            made_from, known = (agent, self.cluster, peers), self.reported.get(name)
            last = known[0] if known else None
            if not last or last[0] is not agent or last[1] is not self.cluster or last[2] != peers:
                replicas = self._replicas(name, agent)
                self.reported[name] = made_from, self._status(name, agent.host, peers, replicas)
        return {name: self.reported[name][1] for name in self.agents}

    def _replicas(self, name: str, agent: Observed) -> tuple[ReplicaReport, ...]:
        """The reports of the replicas on that host: the last ones while its engine and the document are the same."""
        host, intent = agent.host, self.cluster.accepted
        if host is None:
            return ()
        known = self.reported.get(name)
        if known and known[0][0].host is host and known[0][1].accepted is intent:
            return known[1].replicas
        jobs = intent.jobs if intent else frozenset[str]()
        return (*(_replica(each, jobs) for each in host.containers), *finished_reports(host))

    def _status(
        self, name: str, host: HostState | None, peers: tuple[str, ...], replicas: tuple[ReplicaReport, ...]
    ) -> HostStatus:
        if host is None:
            return HostStatus(instance=_INSTANCE, at="", agent_version="")
        intent = self.cluster.accepted
        phase = bridge_phase(intent, name, host, self.cluster) if intent else ""
        return HostStatus(
            instance=_INSTANCE,
            at="",
            agent_version="",
            engine_up=True,
            state=host.swarm.local,
            node_id=host.swarm.node_id,
            swarm_id=host.swarm.swarm_id,
            is_manager=host.swarm.is_manager,
            other_cluster=other_cluster(host, self.cluster.record),
            swarm_address=host.swarm.address,
            joined=note_join(None, host),
            admission=host.admission,
            advertise=self.agents[name].advertise,
            managers=host.swarm.managers,
            bridge=BridgeReport(phase=phase, revision=intent.revision if intent else 0),
            networks=self._overlays(host, peers),
            attached=host.attached,
            images=tuple(sorted(host.images)),
            replicas=replicas,
        )

    def _overlays(self, host: HostState, peers: tuple[str, ...]) -> tuple[NetworkReport, ...]:
        """The overlays with containers of the host: some time later every host is a peer there."""
        intent = self.cluster.accepted
        overlays = {each.name for each in (intent.networks if intent else ()) if each.driver == "overlay"}
        return tuple(
            NetworkReport(id=f"({each})", name=each, driver="overlay", scope="swarm", peers=peers)
            for each in sorted(networks_in_use(host) & overlays)
        )


def networks_in_use(host: HostState) -> set[str]:
    """Names of the networks on which a container of the host has an address."""
    return {network for each in host.containers for network, address in each.addresses if address}


def _replica(found: ContainerState, jobs: frozenset[str]) -> ReplicaReport:
    """The report of the replica some time later: a job has completed, and a new container is healthy."""
    done = found.replica.service in jobs and found.status == "running"
    is_new = found.started_at == NOW and found.status == "running"
    return ReplicaReport(
        service=found.replica.service,
        slot=found.replica.slot,
        spec=found.replica.spec,
        id=found.id,
        name=found.name,
        status="exited" if done else found.status,
        health="healthy" if is_new or found.health == "starting" else found.health,
        exit_code=0 if done else found.exit_code,
        error=found.error,
        interrupted=found.interrupted,
        started_at=found.started_at,
        restarts=found.restarts,
        addresses=found.addresses,
        differences=found.differences,
    )
