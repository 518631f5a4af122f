"""Clusters in any state: what people, crashes and half-done work may have left behind.

What one agent sees fits together (names are unique on a host, all managers of a swarm list the same nodes); what
etcd and the hosts say need not.
"""

from collections.abc import Mapping
from dataclasses import replace
from ipaddress import IPv4Network

from hypothesis import strategies as st

from agent.model.intent import Intent, ServiceIntent, VolumeIntent
from agent.model.observed import (
    ClusterState,
    ContainerState,
    Difference,
    Document,
    HostState,
    LinkState,
    NetworkState,
    NodeState,
    SwarmState,
)
from agent.model.records import Assignment, Copy, SwarmRecord, Tokens, Verdict
from agent.model.spec import Attachment, ContainerSpec, Mount, Pairs, Restart, spec_hash
from agent.planner.assignments import assign
from agent.planner.world import Agent, World
from tests.planner import builders

HOSTS = ("h1", "h2", "h3")
SERVICES = ("order", "billing")
SWARMS = (builders.SWARM, "swarm-of-somebody-else")
VOLUME = VolumeIntent(key="data", name="data")
NETWORKS = (builders.OVERLAY, builders.LOCAL)

SPECS: tuple[ContainerSpec, ...] = (
    builders.order("1.0.0"),
    builders.order("1.0.1"),
    ContainerSpec(image="billing:1.0.0", networks=(Attachment(network="local"),)),
    ContainerSpec(image="billing:1.0.0", volumes=(Mount(type="volume", target="/data", source="data"),)),
    ContainerSpec(
        image="job:1.0.0",
        restart=Restart(name="on-failure", max_retries=3),
        networks=(Attachment(network="net"),),
    ),
    ContainerSpec(image="job:1.0.0", restart=Restart(name="no")),
)
DIGESTS = {spec_hash(each): each for each in SPECS}
IMAGES = tuple(sorted({each.image for each in SPECS}))


@st.composite
def intents(draw: st.DrawFn, revision: int) -> Intent:
    """An intent for one to three hosts, the first of them a manager, with up to two services."""
    names = HOSTS[: draw(st.integers(1, 3))]
    roles = ("manager", *(draw(st.sampled_from(("manager", "worker"))) for _ in names[1:]))
    return builders.intent(
        *draw(_services(names)),
        revision=revision,
        hosts=" ".join(f"{name}:{role}" for name, role in zip(names, roles, strict=True)),
        networks=NETWORKS,
        volumes=(VOLUME,),
    )


@st.composite
def worlds(draw: st.DrawFn) -> World:
    """A cluster in which anything may be half done, wrong, or somebody else's."""
    older, newer = draw(intents(5)), draw(intents(9))
    accepted = draw(st.sampled_from((None, older, newer)))
    cluster = draw(_clusters(newer, accepted, draw(st.sampled_from((older, newer)))))
    memberships = draw(_memberships())
    agents = {name: Agent(host=draw(st.none() | _hosts(name, memberships[name]))) for name in HOSTS}
    return World(cluster=cluster, agents=agents)


# ---- what the operator wants


@st.composite
def _services(draw: st.DrawFn, hosts: tuple[str, ...]) -> tuple[ServiceIntent, ...]:
    names = draw(st.lists(st.sampled_from(SERVICES), unique=True))
    return tuple(
        ServiceIntent(
            name=name,
            spec=draw(st.sampled_from(SPECS)),
            placement=tuple((host, count) for host in hosts if (count := draw(st.integers(0, 2)))),
        )
        for name in names
    )


# ---- what etcd holds


@st.composite
def _clusters(draw: st.DrawFn, newest: Intent, accepted: Intent | None, assigned: Intent) -> ClusterState:
    assignments = draw(_assignments(assigned))
    stored = draw(st.sets(st.sampled_from(sorted(DIGESTS))))
    named = {copy.spec for each in assignments.values() for copy in each.copies}
    known = stored | (named if draw(st.booleans()) else set())
    record = draw(_records())
    return ClusterState(
        revision=100,
        document=draw(st.sampled_from((None, builders.document(newest), Document(revision=10, intent=None)))),
        accepted=accepted,
        verdict=draw(st.sampled_from((None, Verdict(revision=9, accepted=True, in_force=9)))),
        leader=draw(st.sampled_from((None, *HOSTS))),
        record=record,
        record_revision=50 if record else 0,
        tokens=draw(
            st.sampled_from((None, *(Tokens(swarm_id=each, worker="", manager="") for each in SWARMS)))
        ),
        specs={digest: DIGESTS[digest] for digest in sorted(known)},
        assignments=assignments,
        stored_specs=frozenset(known),
    )


@st.composite
def _assignments(draw: st.DrawFn, intent: Intent) -> Mapping[str, Assignment]:
    published = draw(st.sets(st.sampled_from(HOSTS)))
    return {host: each for host, each in assign(intent, {}).items() if host in published}


@st.composite
def _records(draw: st.DrawFn) -> SwarmRecord | None:
    claimed_by = draw(st.none() | st.sampled_from(HOSTS))
    if claimed_by is None:
        return None
    swarm_id = draw(st.sampled_from((None, builders.SWARM)))
    networks = draw(st.sampled_from(((), ("net",)))) if swarm_id else ()
    managers: Pairs = (("node-h1", "10.0.0.1:2377"),) if swarm_id else ()
    return SwarmRecord(claimed_by=claimed_by, swarm_id=swarm_id, managers=managers, networks=networks)


# ---- what the hosts are


@st.composite
def _memberships(draw: st.DrawFn) -> dict[str, tuple[SwarmState, tuple[NetworkState, ...]]]:
    """For each host its swarm and the overlays it sees; all managers of a swarm see the same."""
    places = {name: draw(st.sampled_from(("out", "out", "pending", "manager", "worker"))) for name in HOSTS}
    swarms = {name: draw(st.sampled_from((SWARMS[0], SWARMS[0], SWARMS[0], SWARMS[1]))) for name in HOSTS}
    told: dict[str, tuple[SwarmState, tuple[NetworkState, ...]]] = {}
    for swarm_id in SWARMS:
        inside = {
            name: role
            for name, role in places.items()
            if role in ("manager", "worker") and swarms[name] == swarm_id
        }
        nodes = tuple(builders.node(name, role) for name, role in inside.items())
        overlays = draw(st.sampled_from(((), (builders.overlay_network(),), (_unallocated(),))))
        for name, role in inside.items():
            told[name] = (_membership(name, role, swarm_id, nodes), overlays if role == "manager" else ())
    for name in HOSTS:
        state = builders.outside("pending" if places[name] == "pending" else "inactive")
        told.setdefault(name, (state, ()))
    return told


def _membership(name: str, role: str, swarm_id: str, nodes: tuple[NodeState, ...]) -> SwarmState:
    if role == "worker":
        return builders.worker(name, swarm_id)
    return builders.member(name, of=nodes, swarm_id=swarm_id)


def _unallocated() -> NetworkState:
    return builders.overlay_network(driver="", subnet=None, gateway=None)


@st.composite
def _hosts(draw: st.DrawFn, name: str, membership: tuple[SwarmState, tuple[NetworkState, ...]]) -> HostState:
    swarm, overlays = membership
    bridges, link = draw(_bridges())
    local = draw(st.sampled_from(((), (_local(),), (_local(IPv4Network("10.30.0.0/24")),))))
    containers = draw(_containers())
    taken = {each.name for each in containers}
    foreign = draw(st.sets(st.sampled_from(("prod-order-1", "prod-billing-1", "their-own"))))
    return builders.host(
        *containers,
        swarm=swarm,
        networks=(*bridges, *overlays, *local),
        foreign_names=tuple((each, f"foreign-{each}") for each in sorted(foreign - taken)),
        images=frozenset(draw(st.sets(st.sampled_from(IMAGES)))),
        volumes=frozenset(draw(st.sets(st.just("data")))),
        bridge_link=link,
    )


@st.composite
def _bridges(draw: st.DrawFn) -> tuple[tuple[NetworkState, ...], LinkState | None]:
    right = builders.bridge_network()
    wrong = builders.bridge_network(id="wrong-id", subnet=IPv4Network("172.18.0.0/16"), gateway="172.18.0.1")
    used = replace(wrong, endpoints=("their-own",))
    found = draw(st.sampled_from(((), (right,), (right,), (wrong,), (used,), (right, wrong))))
    there = bool(found) and draw(st.integers(0, 9)) > 0
    return found, builders.host().bridge_link if there else None


def _local(subnet: IPv4Network | None = builders.LOCAL.subnet) -> NetworkState:
    return NetworkState(
        id="local-id", name="local", driver="bridge", scope="local", subnet=subnet, gateway=None
    )


@st.composite
def _containers(draw: st.DrawFn) -> tuple[ContainerState, ...]:
    names = draw(st.lists(st.sampled_from(_names()), unique=True, max_size=4))
    found = [draw(_container(f"id-{index}", name)) for index, name in enumerate(names)]
    called = draw(st.permutations(names)) if draw(st.integers(0, 3)) == 0 else names
    return tuple(replace(each, name=name) for each, name in zip(found, called, strict=True))


def _names() -> tuple[str, ...]:
    right = tuple(f"prod-{service}-{number}" for service in SERVICES for number in (1, 2, 3))
    return (*right, "renamed-by-hand", "prod-removed-1")


@st.composite
def _container(draw: st.DrawFn, identity: str, name: str) -> ContainerState:
    """A container of ours called `name`, which mostly is the copy that the name says."""
    _, service, number = name.split("-") if name.startswith("prod-") else ("", "order", "1")
    if draw(st.integers(0, 4)) == 0:
        service, number = draw(st.sampled_from(SERVICES)), str(draw(st.integers(1, 3)))
    digest = draw(st.sampled_from((*sorted(DIGESTS), "0" * 64)))
    return ContainerState(
        id=identity,
        name=name,
        copy=Copy(service=service, number=int(number), spec=digest),
        status=draw(
            st.sampled_from(("running", "created", "paused", "restarting", "removing", "exited", "dead"))
        ),
        exit_code=draw(st.integers(0, 1)),
        error=draw(st.sampled_from(("", "port is already allocated"))),
        started_at=draw(st.sampled_from(("", "2024-05-01T00:00:00Z"))),
        restarts=draw(st.integers(0, 4)),
        addresses=draw(st.sampled_from(((), (("net", "10.10.0.5"),)))),
        differences=draw(_differences(digest)),
    )


@st.composite
def _differences(draw: st.DrawFn, digest: str) -> tuple[Difference, ...]:
    declared = [each.network for each in DIGESTS[digest].networks] if digest in DIGESTS else []
    possible = [
        builders.differs("image", "replace"),
        builders.differs("memory_limit_bytes", "update"),
        *(builders.differs("networks", "reconnect", network) for network in (*declared, "bridge")),
    ]
    return tuple(draw(st.lists(st.sampled_from(possible), unique=True, max_size=2)))
