"""One host, node-a, that is as its intent says; each test changes what it is about."""

from dataclasses import replace
from ipaddress import IPv4Address, IPv4Interface, IPv4Network
from typing import Any

from agent.model.host_state import ContainerState, HostState, LinkState, NetworkState, NodeState, SwarmState
from agent.model.intent import (
    GWBRIDGE,
    BridgeIntent,
    HostIntent,
    Intent,
    NetworkIntent,
    PolicyIntent,
    SwarmIntent,
)
from agent.model.observed import ClusterState, Document, Observed
from agent.model.records import Assignment, Replica, SwarmRecord
from agent.model.spec import Attachment, ContainerSpec, Restart, spec_hash
from agent.model.store import Fence

BRIDGE_NAME = (("com.docker.network.bridge.name", GWBRIDGE),)
OVERLAY = "my-network-overlay"
SPEC = ContainerSpec(
    image="somecom/order:1.0.0",
    environment=(("PASSWORD", "hunter2"),),
    networks=(Attachment(network=OVERLAY),),
    restart=Restart(name="no"),
)
DIGEST = spec_hash(SPEC)
SWARM_ID = "swarm1"
FENCE = Fence(key="/swarmkeeper/prod/leader", create_revision=5)

INTENT = Intent(
    project="prod",
    revision=7,
    hosts=(
        HostIntent(name="node-a", address=IPv4Address("10.159.62.231"), role="manager"),
        HostIntent(name="node-b", address=IPv4Address("10.159.62.232"), role="manager"),
        HostIntent(name="node-c", address=IPv4Address("10.159.62.233"), role="manager"),
    ),
    gwbridge=BridgeIntent(
        subnet=IPv4Network("172.21.0.0/20"), gateway=IPv4Address("172.21.0.1"), options=BRIDGE_NAME
    ),
    swarm=SwarmIntent(default_addr_pool=(IPv4Network("10.200.0.0/16"),)),
    networks=(
        NetworkIntent(
            key=OVERLAY,
            name=OVERLAY,
            driver="overlay",
            subnet=IPv4Network("10.10.0.0/16"),
            gateway=IPv4Address("10.10.0.254"),
        ),
    ),
)


def intent(mode: Any) -> Intent:
    """The intent in another mode."""
    return replace(INTENT, policy=PolicyIntent(mode=mode))


def replica(slot: int, spec: str = DIGEST) -> Replica:
    return Replica(service="order", slot=slot, spec=spec)


def container(slot: int, **changes: Any) -> ContainerState:
    """Replica `slot` of order, running as its spec says."""
    running = ContainerState(
        id=f"id-{slot}",
        name=f"prod-order-{slot}",
        replica=replica(slot),
        status="running",
        started_at="2026-01-01T10:00:00.123456789Z",
        finished_at="0001-01-01T00:00:00Z",
        addresses=((OVERLAY, f"10.10.0.{slot}"),),
    )
    return replace(running, **changes)


def node(slot: int, **changes: Any) -> NodeState:
    """A manager of the swarm that raft reaches."""
    found = NodeState(
        id=f"node{slot}",
        hostname=f"host-{slot}",
        role="manager",
        availability="active",
        state="ready",
        address=f"10.159.62.{230 + slot}",
        reachable=True,
        manager_address=f"10.159.62.{230 + slot}:2377",
    )
    return replace(found, **changes)


BRIDGE_FOUND = NetworkState(
    id="bridge-id",
    name=GWBRIDGE,
    driver="bridge",
    scope="local",
    subnet=IPv4Network("172.21.0.0/20"),
    gateway="172.21.0.1",
    options=BRIDGE_NAME,
)
OVERLAY_FOUND = NetworkState(
    id="overlay-id",
    name=OVERLAY,
    driver="overlay",
    scope="swarm",
    subnet=IPv4Network("10.10.0.0/16"),
    gateway="10.10.0.254",
    attachable=True,
)
SWARM = SwarmState(
    local="active",
    node_id="node1",
    swarm_id=SWARM_ID,
    is_manager=True,
    address="10.159.62.231",
    nodes=(node(1), node(2), node(3)),
)


def host(**changes: Any) -> HostState:
    """The host with its two replicas of order."""
    found = HostState(
        engine_version="26.1.5",
        live_restore=False,
        swarm=SWARM,
        networks=(BRIDGE_FOUND, OVERLAY_FOUND),
        containers=(container(1), container(2)),
        images=frozenset({SPEC.image}),
        bridge_link=LinkState(address=IPv4Interface("172.21.0.1/20"), up=True),
    )
    return replace(found, **changes)


def cluster(**changes: Any) -> ClusterState:
    """What a follower reads in etcd."""
    read = ClusterState(
        revision=20,
        document=Document(revision=7, intent=INTENT),
        accepted=INTENT,
        leader="node-b",
        record=SwarmRecord(
            claimed_by="node-b",
            swarm_id=SWARM_ID,
            networks=(OVERLAY,),
            overlay_ids=((OVERLAY, "overlay-id"),),
        ),
        assignment=Assignment(revision=7, project="prod", replicas=(replica(1), replica(2))),
        specs={DIGEST: SPEC},
    )
    return replace(read, **changes)


def observed(**changes: Any) -> Observed:
    """Everything as it should be, seen from node-a, which follows."""
    seen = Observed(me="node-a", host=host(), cluster=cluster(), lease=True, instance="run-1")
    return replace(seen, **changes)
