"""A whole cluster as data: what etcd holds, and every host; what each agent of it would observe."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from agent.model.observed import Attached, ClusterState, ContainerState, HostState, NodeState, Observed
from agent.model.records import AttachedReport, BridgeReport, CopyReport, HostStatus
from agent.model.store import Fence
from agent.planner.live_bridge import bridge_phase
from agent.planner.promotable import note_join

_INSTANCE = "planned"
"""Every agent of a planned cluster is there and has reported: what it does is what is asked."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Agent:
    """One host of the cluster. `host` is None while its dockerd does not answer."""

    host: HostState | None
    advertise: str | None = None
    """The address its agent.yaml asks for."""
    engine_fault: str = ""
    """Why its dockerd does not answer, in words."""


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """The cluster at one moment. Nobody changes it: a step makes another one (predict.py)."""

    cluster: ClusterState
    """What etcd holds, as a leader reads it; statuses and presence are told by `agents`."""
    agents: Mapping[str, Agent]

    def observed(self, me: str) -> Observed:
        """What the agent on host `me` would see."""
        agent = self.agents[me]
        leads = self.cluster.leader == me
        cluster = replace(
            self.cluster,
            assignment=self.cluster.assignments.get(me),
            ruling=self.cluster.rulings.get(me),
            statuses={name: self._status(name, each.host) for name, each in self.agents.items()},
            present=dict.fromkeys(self.agents, _INSTANCE),
        )
        return Observed(
            me=me,
            host=agent.host,
            engine_fault=agent.engine_fault,
            cluster=cluster,
            fence=Fence(key="leader", create_revision=1) if leads else None,
            lease=True,
            instance=_INSTANCE,
            advertise=agent.advertise,
        )

    def host(self, name: str) -> HostState:
        """The host of that name, whose engine must answer: no step is ever planned for one that does not."""
        found = self.agents[name].host
        assert found is not None
        return found

    def with_host(self, name: str, host: HostState) -> "World":
        return replace(self, agents={**self.agents, name: replace(self.agents[name], host=host)})

    def with_cluster(self, cluster: ClusterState) -> "World":
        return replace(self, cluster=cluster)

    def managers_of(self, swarm_id: str | None) -> tuple[str, ...]:
        """Names of the hosts that manage that swarm, sorted."""
        return tuple(sorted(name for name, each in self.agents.items() if _manages(each.host, swarm_id)))

    def nodes_of(self, swarm_id: str | None) -> tuple[NodeState, ...] | None:
        """The node list of that swarm; None while none of its managers gets an answer."""
        lists = (self.host(name).swarm.nodes for name in self.managers_of(swarm_id))
        return next((nodes for nodes in lists if nodes is not None), None)

    def _status(self, name: str, host: HostState | None) -> HostStatus:
        if host is None:
            return HostStatus(instance=_INSTANCE, at="", agent_version="")
        return HostStatus(
            instance=_INSTANCE,
            at="",
            agent_version="",
            engine_up=True,
            state=host.swarm.local,
            node_id=host.swarm.node_id,
            swarm_id=host.swarm.swarm_id,
            is_manager=host.swarm.is_manager,
            swarm_address=host.swarm.address,
            joined=note_join(None, host),
            advertise=self.agents[name].advertise,
            managers=host.swarm.managers,
            bridge=self._bridge(name, host),
            attached=tuple(_attached(each) for each in host.attached),
            copies=tuple(_copy(each) for each in host.containers),
        )

    def _bridge(self, name: str, host: HostState) -> BridgeReport:
        intent = self.cluster.accepted
        if intent is None:
            return BridgeReport()
        phase = bridge_phase(intent, name, host, self.cluster)
        return BridgeReport(phase=phase, revision=intent.revision)


def _manages(host: HostState | None, swarm_id: str | None) -> bool:
    return host is not None and host.swarm.is_manager and host.swarm.swarm_id == swarm_id


def _attached(found: Attached) -> AttachedReport:
    return AttachedReport(
        id=found.id, name=found.name, running=found.running, networks=found.networks, ports=found.ports
    )


def _copy(found: ContainerState) -> CopyReport:
    return CopyReport(
        service=found.copy.service,
        number=found.copy.number,
        spec=found.copy.spec,
        id=found.id,
        name=found.name,
        status=found.status,
        addresses=found.addresses,
    )
