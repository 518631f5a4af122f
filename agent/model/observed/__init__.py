"""What was seen: one snapshot of the host and of etcd, which the planner decides upon and nobody changes."""

from agent.model.observed.cluster import ClusterState, Document
from agent.model.observed.container import Attached, ContainerState, Difference
from agent.model.observed.host import GOSSIP, HostState
from agent.model.observed.network import GivenOut, LinkState, NetworkState
from agent.model.observed.snapshot import Observed
from agent.model.observed.swarm import LocalState, NodeState, SwarmState, other_swarm

__all__ = [
    "GOSSIP",
    "Attached",
    "ClusterState",
    "ContainerState",
    "Difference",
    "Document",
    "GivenOut",
    "HostState",
    "LinkState",
    "LocalState",
    "NetworkState",
    "NodeState",
    "Observed",
    "SwarmState",
    "other_swarm",
]
