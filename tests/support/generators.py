"""Clusters in any state: what people, crashes and half-done work may have left behind.

What one agent sees fits together (names are unique on a host, all managers of a swarm list the same nodes); what
etcd and the hosts say need not.
"""

from collections.abc import Mapping
from dataclasses import replace
from ipaddress import IPv4Network
from typing import Literal, get_args

from hypothesis import strategies as st

from agent.model.host_state import (
    Attached,
    ContainerState,
    Difference,
    HostState,
    LinkState,
    NetworkState,
    NodeState,
    SwarmState,
)
from agent.model.intent import PARKING, Intent, PolicyIntent, ServiceIntent, VolumeIntent
from agent.model.observed import ClusterState, Document, Observed
from agent.model.records import Assignment, Replica, SwarmRecord, Tokens, Verdict
from agent.model.spec import Attachment, ContainerSpec, Mount, Pairs, Restart, spec_hash
from agent.planner.dry_run.world import World
from agent.planner.leader.assignments import assign
from tests.support import builders, guests

HOSTS = ("h1", "h2", "h3")
SERVICES = ("order", "billing")
SWARMS = (builders.SWARM, "swarm-of-somebody-else")
VOLUME = VolumeIntent(key="data", name="data")
NETWORKS = (builders.OVERLAY, builders.LOCAL)

SPECS: tuple[ContainerSpec, ...] = (
    builders.order("1.0.0"),
    builders.order("1.0.1"),
    builders.order("1.0.1", environment=(("IP", "{{.Overlay.IP}}"),)),
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
Status = Literal["created", "running", "paused", "restarting", "removing", "exited", "dead"]
STATUSES: tuple[Status, ...] = get_args(Status)
IMAGES = tuple(sorted({each.image for each in SPECS}))


def worlds() -> st.SearchStrategy[World]:
    """Clusters in any state: most of each sort, so that neither hides what only the other would show."""
    return st.one_of(torn_worlds(), sound_worlds(), live_worlds())


@st.composite
def torn_worlds(draw: st.DrawFn) -> World:
    """A cluster in which anything may be half done, wrong, or somebody else's."""
    older, newer = draw(_intents(5, draw(_declarations()))), draw(_intents(9, draw(_declarations())))
    accepted, assigned = draw(st.sampled_from((None, older, newer))), draw(st.sampled_from((older, newer)))
    memberships = draw(_memberships())
    agents = {
        name: Observed(
            me=name, cluster=None, host=draw(st.none() | _hosts(memberships[name], _any_bridges(), _THEIRS))
        )
        for name in HOSTS
    }
    return World(cluster=draw(_clusters(newer, accepted, assigned)), agents=agents)


@st.composite
def sound_worlds(draw: st.DrawFn) -> World:
    """A cluster on its way: nothing foreign, one swarm of those that have joined so far; replicas in any state."""
    declared = draw(_declarations())
    older, newer = draw(_intents(5, declared)), draw(_intents(9, declared))
    roles = {each.name: each.role for each in newer.hosts}
    others = draw(st.sets(st.sampled_from(sorted(roles))))
    joined = {name: roles[name] for name in sorted({"h1"} | others)} if draw(st.integers(0, 3)) else {}
    nodes = tuple(builders.node(name, role) for name, role in joined.items())
    overlays = draw(st.sampled_from(((), (builders.overlay_network(),), (_ours(),), (_moved(),))))
    agents = {}
    for name, role in roles.items():
        swarm = _membership(name, role, builders.SWARM, nodes) if name in joined else builders.outside()
        seen = overlays if swarm.is_manager else ()
        agents[name] = Observed(
            me=name,
            cluster=None,
            host=draw(_hosts((swarm, seen), _right_bridges(in_swarm=name in joined), st.just(set()))),
        )
    cluster = draw(_clusters(newer, draw(st.sampled_from((older, newer))), older))
    record = draw(st.sampled_from((None, builders.record()))) if joined else None
    tokens = draw(st.sampled_from((None, builders.tokens()))) if record else None
    leader = draw(st.sampled_from((None, "h1")))
    cluster = replace(cluster, record=record, record_revision=50, tokens=tokens, leader=leader)
    return World(cluster=cluster, agents=agents)


@st.composite
def live_worlds(draw: st.DrawFn) -> World:
    """A swarm of all hosts. docker_gwbridge, its containers and the disruption slot may be in any state."""
    declared = draw(_declarations())
    wanted = draw(_intents(9, declared))
    roles = {each.name: each.role for each in wanted.hosts} | draw(st.sampled_from(({}, {"h3": "worker"})))
    nodes = tuple(builders.node(name, role, leader=name == "h1") for name, role in roles.items())
    quorum = draw(st.integers(0, 3)) > 0
    agents = {}
    for name, role in roles.items():
        swarm = _membership(name, role, builders.SWARM, nodes)
        agents[name] = Observed(
            me=name, cluster=None, host=draw(live_hosts(swarm if quorum else replace(swarm, nodes=None)))
        )
    disruption = draw(
        st.none() | st.builds(guests.disruption, st.sampled_from(HOSTS), _TURNS, quorum=st.booleans())
    )
    cluster = replace(
        draw(_clusters(wanted, wanted, wanted)),
        record=builders.record(),
        record_revision=50,
        tokens=None,
        leader=draw(st.sampled_from((None, "h1"))),
        disruption=disruption,
        disruption_revision=60 if disruption else 0,
    )
    return World(cluster=cluster, agents=agents)


_TURNS = st.sampled_from(("granted", "acquired", "released"))


# ---- what the operator wants


@st.composite
def _declarations(draw: st.DrawFn) -> str:
    """One to three hosts with their roles, the first of them a manager."""
    others = HOSTS[1 : draw(st.integers(1, 3))]
    roles = [draw(st.sampled_from(("manager", "worker"))) for _ in others]
    return " ".join(("h1", *(f"{name}:{role}" for name, role in zip(others, roles, strict=True))))


@st.composite
def _intents(draw: st.DrawFn, revision: int, declared: str) -> Intent:
    names = tuple(each.partition(":")[0] for each in declared.split())
    return builders.intent(
        *draw(_services(names)),
        revision=revision,
        hosts=declared,
        networks=NETWORKS,
        volumes=(VOLUME,),
        policy=PolicyIntent(
            allow_network_recreate=draw(st.booleans()), reserve_addresses=draw(st.booleans())
        ),
    )


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
    named = {replica.spec for each in assignments.values() for replica in each.replicas}
    known = stored | (named if draw(st.booleans()) else set())
    record = draw(_records())
    return ClusterState(
        revision=100,
        document=draw(st.sampled_from((None, builders.document(newest), Document(revision=10, intent=None)))),
        accepted=accepted,
        verdict=draw(st.sampled_from((None, Verdict(revision=9, accepted=True, accepted_revision=9)))),
        leader=draw(st.sampled_from((None, *HOSTS))),
        record=record,
        record_revision=50 if record else 0,
        tokens=draw(
            st.sampled_from((None, *(Tokens(swarm_id=each, worker="w", manager="m") for each in SWARMS)))
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
    recreating = draw(st.sampled_from(((), (), ("net",)))) if swarm_id else ()
    managers: Pairs = (("node-h1", "10.0.0.1:2377"),) if swarm_id else ()
    unable: Pairs = () if swarm_id else draw(st.sampled_from(((), (("h2", "port 2377 is in use"),))))
    return SwarmRecord(
        unable=unable,
        claimed_by=claimed_by,
        swarm_id=swarm_id,
        managers=managers,
        networks=networks,
        recreating=recreating,
    )


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
        overlays = draw(st.sampled_from(_OVERLAYS))
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


def _ours() -> NetworkState:
    return builders.overlay_network(ours=True)


def _moved() -> NetworkState:
    """An overlay of ours that is declared otherwise by now."""
    return builders.overlay_network(ours=True, subnet=IPv4Network("10.99.0.0/16"), gateway="10.99.0.1")


_OVERLAYS: tuple[tuple[NetworkState, ...], ...] = (
    (),
    (builders.overlay_network(),),
    (_ours(),),
    (_moved(),),
    (replace(_moved(), ours=False),),
    (replace(_moved(), users=(("service web", ""),)),),
    (_unallocated(),),
    (replace(_unallocated(), ours=True),),
)
_THEIRS = st.sets(st.sampled_from(("prod-order-1", "prod-billing-1", "their-own")))

Bridges = tuple[tuple[NetworkState, ...], LinkState | None]


@st.composite
def _hosts(
    draw: st.DrawFn,
    membership: tuple[SwarmState, tuple[NetworkState, ...]],
    bridges: st.SearchStrategy[Bridges],
    foreign: st.SearchStrategy[set[str]],
) -> HostState:
    swarm, overlays = membership
    found, link = draw(bridges)
    local = draw(st.sampled_from(((), (_local(),), (_local(IPv4Network("10.30.0.0/24")),))))
    containers = draw(_containers())
    theirs = draw(foreign) - {each.name for each in containers}
    return builders.host(
        *containers,
        swarm=swarm,
        networks=(*found, *overlays, *local),
        foreign_names=tuple((each, f"foreign-{each}") for each in sorted(theirs)),
        attached=draw(_foreign(theirs)),
        images=frozenset(draw(st.sets(st.sampled_from(IMAGES)))),
        volumes=frozenset(draw(st.sets(st.just("data")))),
        bridge_link=link,
    )


@st.composite
def live_hosts(draw: st.DrawFn, swarm: SwarmState) -> HostState:
    """A member of a swarm with containers of others, some of which lost their gateway or are parked."""
    right, wrong, none = (builders.bridge_network(),), (guests.WRONG,), ()
    bridges = draw(st.sampled_from((right, right, wrong, wrong, wrong, none, (*right, *wrong))))
    beside = draw(st.sampled_from(((), (), (guests.PLACE,), (guests.PLACE,), (_THEIR_PLACE,))))
    names = draw(st.sets(st.sampled_from(("web", "db", "job"))))
    here = tuple(draw(_guest(name, parked=bool(beside))) for name in sorted(names))
    having = tuple(each for each in here if each.networks == ("net",) and each.running and draw(_MOSTLY))
    ingress = draw(_MOSTLY)
    found = tuple(
        replace(each, endpoints=guests.endpoints(*(having if each == bridges[0] else ()), ingress=ingress))
        for each in bridges
    )
    there = bool(found) and draw(_MOSTLY)
    return builders.host(
        swarm=swarm,
        networks=(*found, builders.overlay_network(), guests.LOCAL, *beside),
        attached=here,
        foreign_names=tuple((each.name, each.id) for each in here),
        live_restore=draw(st.integers(0, 9)) == 0,
        bridge_link=builders.host().bridge_link if there else None,
    )


_THEIR_PLACE = replace(guests.PLACE, labels=())
_MOSTLY = st.integers(0, 3).map(bool)


@st.composite
def _guest(draw: st.DrawFn, name: str, *, parked: bool) -> Attached:
    places: tuple[tuple[str, ...], ...] = (("net",), ("net",), ("net",), ("local", "net"), ("local",))
    if parked:
        places = (*places, ("net", PARKING), ("net", PARKING), (PARKING,))
    return guests.guest(name, *draw(st.sampled_from(places)), running=draw(_MOSTLY))


@st.composite
def _foreign(draw: st.DrawFn, names: set[str]) -> tuple[Attached, ...]:
    """Containers of others, stopped ones, some of them on the overlay."""
    return tuple(
        Attached(
            id=f"foreign-{name}",
            name=name,
            running=False,
            networks=draw(st.sampled_from((("bridge",), ("net",)))),
        )
        for name in sorted(names)
    )


@st.composite
def _any_bridges(draw: st.DrawFn) -> Bridges:
    right = builders.bridge_network()
    wrong = builders.bridge_network(id="wrong-id", subnet=IPv4Network("172.18.0.0/16"), gateway="172.18.0.1")
    used = replace(wrong, endpoints=(("their-id", "their-own"),))
    found = draw(st.sampled_from(((), (right,), (right,), (wrong,), (used,), (right, wrong))))
    there = bool(found) and draw(st.integers(0, 9)) > 0
    return found, builders.host().bridge_link if there else None


def _right_bridges(*, in_swarm: bool) -> st.SearchStrategy[Bridges]:
    right: Bridges = ((builders.bridge_network(),), builders.host().bridge_link)
    return st.just(right) if in_swarm else st.sampled_from((right, ((), None)))


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
    right = tuple(f"prod-{service}-{slot}" for service in SERVICES for slot in (1, 2, 3))
    return (*right, "renamed-by-hand", "prod-removed-1")


@st.composite
def _container(draw: st.DrawFn, identity: str, name: str) -> ContainerState:
    """A container of ours called `name`, which mostly is the replica that the name says."""
    _, service, slot = name.split("-") if name.startswith("prod-") else ("", "order", "1")
    if draw(st.integers(0, 4)) == 0:
        service, slot = draw(st.sampled_from(SERVICES)), str(draw(st.integers(1, 3)))
    digest = draw(st.sampled_from((*sorted(DIGESTS), "0" * 64)))
    status = draw(st.sampled_from(STATUSES))
    differences = draw(_differences(digest))
    address = "10.10.0.5" if status in ("running", "paused", "restarting") else ""
    return ContainerState(
        id=identity,
        name=name,
        replica=Replica(service=service, slot=int(slot), spec=digest),
        status=status,
        exit_code=draw(st.integers(0, 1)),
        error=draw(st.sampled_from(("", "port is already allocated"))),
        started_at=draw(st.sampled_from(("", "2024-05-01T00:00:00Z"))),
        restarts=draw(st.integers(0, 4)),
        addresses=tuple((network, address) for network in draw(_attached(digest, differences))),
        differences=differences,
    )


@st.composite
def _differences(draw: st.DrawFn, digest: str) -> tuple[Difference, ...]:
    declared = _declared(digest)
    possible = [
        builders.differs("image", "replace"),
        builders.differs("memory_limit_bytes", "update"),
        *(builders.differs("networks", "reconnect", network) for network in (*declared, "bridge")),
    ]
    return tuple(draw(st.lists(st.sampled_from(possible), unique=True, max_size=2)))


@st.composite
def _attached(draw: st.DrawFn, digest: str, differences: tuple[Difference, ...]) -> list[str]:
    """The networks it is on: those declared, except some that differ; and those that only differ."""
    differing = [each.subject for each in differences if each.repair == "reconnect"]
    declared = _declared(digest)
    kept = [network for network in declared if network not in differing or draw(st.booleans())]
    return kept + [network for network in differing if network not in declared]


def _declared(digest: str) -> list[str]:
    return [each.network for each in DIGESTS[digest].networks] if digest in DIGESTS else []
