"""Small pieces of a cluster, each as it should be, to be made wrong by the test that names what is wrong."""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from ipaddress import IPv4Address, IPv4Interface, IPv4Network
from typing import Any

from agent.diff.nodes import HOST_LABEL, LeaderView
from agent.model.host_state import (
    ContainerState,
    Difference,
    HostState,
    LinkState,
    LocalState,
    NetworkState,
    NodeState,
    SwarmState,
)
from agent.model.intent import (
    GWBRIDGE,
    BridgeIntent,
    HostIntent,
    Intent,
    NetworkIntent,
    ServiceIntent,
    SwarmIntent,
)
from agent.model.observed import ClusterState, Document, HostView
from agent.model.plan import Plan
from agent.model.records import Assignment, Replica, SwarmRecord, Tokens, Verdict
from agent.model.spec import Attachment, ContainerSpec, spec_hash
from agent.model.status import HostStatus
from agent.model.store import Fence
from agent.planner.leader.assignments import assign

SWARM = "swarm-1"
REVISION = 7
ADDRESSES = {f"h{slot}": f"10.0.0.{slot}" for slot in range(1, 6)}

BRIDGE = BridgeIntent(
    subnet=IPv4Network("172.21.0.0/20"),
    gateway=IPv4Address("172.21.0.1"),
    options=(
        ("com.docker.network.bridge.enable_icc", "false"),
        ("com.docker.network.bridge.name", GWBRIDGE),
    ),
)
OVERLAY = NetworkIntent(
    key="net",
    name="net",
    driver="overlay",
    subnet=IPv4Network("10.10.0.0/16"),
    gateway=IPv4Address("10.10.0.254"),
)
LOCAL = NetworkIntent(key="local", name="local", driver="bridge", subnet=IPv4Network("10.20.0.0/24"))
FENCE = Fence(key="leader", create_revision=3)


# ---- the intent


def order(tag: str = "1.0.0", **more: Any) -> ContainerSpec:
    """The spec of the service `order`, on the overlay."""
    return ContainerSpec(image=f"order:{tag}", networks=(Attachment(network="net"),), **more)


def service(
    name: str = "order", on: Mapping[str, int] | None = None, spec: ContainerSpec | None = None
) -> ServiceIntent:
    """A service with so many replicas `on` each host."""
    return ServiceIntent(
        name=name, spec=spec or order(), placement=tuple((on if on is not None else {"h1": 1}).items())
    )


def host_intent(name: str, role: str = "manager") -> HostIntent:
    assert role in ("manager", "worker")
    return HostIntent(
        name=name,
        address=IPv4Address(ADDRESSES[name]),
        role="manager" if role == "manager" else "worker",
    )


def intent(*services: ServiceIntent, hosts: str = "h1", **more: Any) -> Intent:
    """An intent for the hosts named, a worker as `h2:worker`; more of it by keyword."""
    defaults: dict[str, Any] = {
        "project": "prod",
        "revision": REVISION,
        "hosts": tuple(host_intent(*each.split(":")) for each in hosts.split()),
        "gwbridge": BRIDGE,
        "swarm": SwarmIntent(default_addr_pool=(IPv4Network("10.200.0.0/16"),)),
        "networks": (OVERLAY,),
        "services": services,
    }
    return Intent(**{**defaults, **more})


# ---- the host


def bridge_network(**more: Any) -> NetworkState:
    """docker_gwbridge as agreed, as docker tells it."""
    agreed = NetworkState(
        id="bridge-id",
        name=GWBRIDGE,
        driver="bridge",
        scope="local",
        subnet=BRIDGE.subnet,
        gateway=str(BRIDGE.gateway),
        options=BRIDGE.options,
    )
    return replace(agreed, **more)


def overlay_network(**more: Any) -> NetworkState:
    """The overlay as declared."""
    made = NetworkState(
        id="overlay-id",
        name="net",
        driver="overlay",
        scope="swarm",
        subnet=OVERLAY.subnet,
        gateway=str(OVERLAY.gateway),
        attachable=True,
    )
    return replace(made, **more)


def node(name: str, role: str = "manager", **more: Any) -> NodeState:
    """The host of that name as a node of the swarm, with the leader's note on it."""
    manager = role == "manager"
    made = NodeState(
        id=f"node-{name}",
        hostname=name,
        role="manager" if manager else "worker",
        availability="active",
        state="ready",
        address=ADDRESSES[name],
        reachable=True if manager else None,
        manager_address=f"{ADDRESSES[name]}:2377" if manager else "",
        labels=((HOST_LABEL, name),),
    )
    return replace(made, **more)


def member(name: str = "h1", *, of: Iterable[NodeState] | None = None, swarm_id: str = SWARM) -> SwarmState:
    """Membership of a manager that sees the nodes `of` the swarm; only itself when nothing is said."""
    nodes = tuple(of) if of is not None else (node(name),)
    return SwarmState(
        local="active",
        node_id=f"node-{name}",
        swarm_id=swarm_id,
        is_manager=True,
        address=ADDRESSES[name],
        managers=tuple((each.id, each.manager_address) for each in nodes if each.manager_address),
        nodes=nodes,
    )


def worker(name: str = "h1", swarm_id: str | None = SWARM) -> SwarmState:
    """Membership of a worker."""
    return SwarmState(local="active", node_id=f"node-{name}", swarm_id=swarm_id, address=ADDRESSES[name])


def outside(local: LocalState = "inactive", error: str = "") -> SwarmState:
    """No membership (yet)."""
    return SwarmState(local=local, error=error)


def host(*containers: ContainerState, swarm: SwarmState | None = None, **more: Any) -> HostState:
    """A manager of the swarm with its bridge, the overlay and the images; more of it by keyword."""
    defaults: dict[str, Any] = {
        "engine_version": "20.10.24",
        "live_restore": False,
        "swarm": swarm or member(),
        "networks": (bridge_network(), overlay_network()),
        "containers": containers,
        "images": frozenset({"order:1.0.0", "order:1.0.1", "billing:1.0.0"}),
        "bridge_link": LinkState(address=IPv4Interface("172.21.0.1/20"), up=True),
    }
    return HostState(**{**defaults, **more})


def empty_host(**more: Any) -> HostState:
    """A host with nothing on it."""
    return HostState(engine_version="20.10.24", live_restore=False, swarm=outside(), **more)


def container(
    slot: int = 1, *, of: ContainerSpec | None = None, service: str = "order", **more: Any
) -> ContainerState:
    """A running replica with the right name."""
    replica = Replica(service=service, slot=slot, spec=spec_hash(of or order()))
    name = f"prod-{service}-{slot}"
    return ContainerState(
        **{"id": f"id-{name}", "name": name, "replica": replica, "status": "running", **more}
    )


def differs(field: str, repair: str, subject: str = "") -> Difference:
    """A field that was changed by hand."""
    return Difference(field=field, wanted="this", found="that", repair=repair, subject=subject)  # type: ignore[arg-type]


# ---- etcd


def record(**more: Any) -> SwarmRecord:
    """The swarm, made by h1, with its overlay."""
    made = SwarmRecord(
        claimed_by="h1", swarm_id=SWARM, managers=(("node-h1", "10.0.0.1:2377"),), networks=("net",)
    )
    changed = replace(made, **more)
    ids = tuple((each, "overlay-id") for each in changed.networks)
    return changed if "overlay_ids" in more else replace(changed, overlay_ids=ids)


def tokens(swarm_id: str = SWARM) -> Tokens:
    return Tokens(swarm_id=swarm_id, worker="worker-token", manager="manager-token")


def status(name: str, **more: Any) -> HostStatus:
    """What a manager of the swarm reports."""
    said = HostStatus(
        instance=f"run-{name}",
        at="2024-05-01T00:00:00Z",
        agent_version="0.1.0",
        engine_up=True,
        state="active",
        node_id=f"node-{name}",
        swarm_id=SWARM,
        is_manager=True,
    )
    return replace(said, **more)


def document(wanted: Intent | None, **more: Any) -> Document:
    """The document that says `wanted`; None: one with faults."""
    made = Document(revision=wanted.revision if wanted else REVISION + 1, intent=wanted, text="text")
    return replace(made, **more)


def assignment(wanted: Intent, me: str = "h1") -> Assignment:
    """The replicas of one host, numbered as on a first boot."""
    none = Assignment(revision=wanted.revision, project=wanted.project)
    return assign(wanted, {}).get(me, none)


def cluster(wanted: Intent | None, me: str = "h1", **more: Any) -> ClusterState:
    """etcd's content when `wanted` is accepted, assigned and the swarm is made; more of it by keyword."""
    defaults: dict[str, Any] = {"revision": 100, "leader": "h1", "record": record(), "record_revision": 50}
    if wanted is not None:
        specs = {spec_hash(each.spec): each.spec for each in wanted.services}
        defaults |= {
            "document": document(wanted),
            "verdict": Verdict(revision=wanted.revision, accepted=True, accepted_revision=wanted.revision),
            "accepted": wanted,
            "assignment": assignment(wanted, me),
            "specs": specs,
            "stored_specs": frozenset(specs),
        }
    return ClusterState(**{**defaults, **more})


class Seen(LeaderView, HostView):
    """What an agent sees, in the form that every part of the planner takes: a test gives each what that part needs."""

    host: HostState
    cluster: ClusterState
    fence: Fence


def observed(
    state: ClusterState | None, seen: HostState | None, *, me: str = "h1", leads: bool = False, **more: Any
) -> Seen:
    """What the agent of `me` sees."""
    return Seen(
        **{
            "me": me,
            "host": seen,
            "cluster": state,
            "fence": FENCE if leads else None,
            "lease": True,
            "instance": f"run-{me}",
            **more,
        }
    )


def told(plan: Plan) -> list[str]:
    """The plan as people read it, line by line."""
    return str(plan).splitlines()
