"""Whatever was assigned and reported before, no two replicas get one address, and none loses one without a reason."""

from collections.abc import Mapping
from dataclasses import replace
from ipaddress import IPv4Address, IPv4Network
from typing import NamedTuple

from hypothesis import given, settings
from hypothesis import strategies as st

from agent.model.host_state import Attached, HostState
from agent.model.intent import Intent, PolicyIntent
from agent.model.observed import ClusterState
from agent.model.records import Assignment, Replica
from agent.model.spec import Attachment, ContainerSpec, spec_hash
from agent.model.status import ReplicaReport
from agent.planner.leader.assignments import assign
from agent.planner.leader.ipam import reserve_addresses
from tests.support import builders
from tests.support.thoroughness import examples

SUBNET = IPv4Network("10.10.0.0/28")
GATEWAY = "10.10.0.1"
HOSTS = ("h1", "h2", "h3")
SERVICES = ("api", "order")
ADDRESSES = st.sampled_from([str(each) for each in SUBNET] + ["10.99.0.7", ""])
TOLD = builders.order(environment=(("IP", "{{.Overlay.IP}}"),))
FIXED = ContainerSpec(image="db:1", networks=(Attachment(network="net", ipv4_address="10.10.0.5"),))
OVERLAY = replace(builders.OVERLAY, subnet=SUBNET, gateway=IPv4Address(GATEWAY))
thorough = settings(max_examples=examples(200), deadline=None)


class Scene(NamedTuple):
    intent: Intent
    cluster: ClusterState
    host: HostState | None


@st.composite
def scenes(draw: st.DrawFn) -> Scene:
    services = [
        builders.service(
            name,
            {host: count for host in HOSTS if (count := draw(st.integers(0, 2)))},
            draw(st.sampled_from((TOLD, builders.order()))),
        )
        for name in SERVICES
    ]
    if draw(st.booleans()):
        services.append(builders.service("db", {draw(st.sampled_from(HOSTS)): 1}, FIXED))
    policy = PolicyIntent(reserve_addresses=draw(st.booleans()))
    wanted = builders.intent(*services, hosts=" ".join(HOSTS), networks=(OVERLAY,), policy=policy)
    current = draw(_assignments(wanted))
    statuses, given_out = {}, set()
    for name in HOSTS:
        replicas = draw(
            st.lists(_reports(name), unique_by=lambda each: (each.service, each.slot), max_size=3)
        )
        guests = [Attached(id=f"guest-{name}", name="guest", networks=("net",))]
        statuses[name] = builders.status(name, replicas=tuple(replicas), attached=tuple(guests))
        known = [each.id for each in replicas] + [f"guest-{name}", "nobody-knows-it"]
        given_out |= {
            (draw(ADDRESSES), draw(st.sampled_from(known)), f"node-{name}")
            for _ in range(draw(st.integers(0, 2)))
        }
    there = {name: f"run-{name}" for name in HOSTS if draw(st.integers(0, 3))}
    holders = draw(st.sampled_from((None, tuple(sorted(given_out)))))
    network = builders.overlay_network(subnet=SUBNET, gateway=GATEWAY, address_users=holders)
    host = draw(st.sampled_from((None, builders.empty_host(), builders.host(networks=(network,)))))
    cluster = builders.cluster(wanted, assignments=current, statuses=statuses, present=there)
    return Scene(wanted, cluster, host)


@st.composite
def _assignments(draw: st.DrawFn, wanted: Intent) -> dict[str, Assignment]:
    """As they could have become: of the same services, on any host, with any address, also one that others have."""
    keys = draw(st.sets(st.tuples(st.sampled_from(SERVICES), st.integers(1, 6))))
    found: dict[str, list[Replica]] = {name: [] for name in HOSTS}
    for service, slot in sorted(keys):
        address = draw(ADDRESSES)
        pins = (("net", address),) if address else ()
        replica = Replica(service=service, slot=slot, spec=spec_hash(TOLD), addresses=pins)
        found[draw(st.sampled_from(HOSTS))].append(replica)
    return {
        name: Assignment(revision=wanted.revision, project="prod", replicas=tuple(sorted(replicas)))
        for name, replicas in found.items()
    }


def _reports(host: str) -> st.SearchStrategy[ReplicaReport]:
    return st.builds(
        lambda service, slot, address, up: ReplicaReport(
            service=service,
            slot=slot,
            spec=spec_hash(TOLD),
            id=f"id-{host}-{service}-{slot}",
            name=f"prod-{service}-{slot}",
            status="running" if up else "exited",
            addresses=(("net", address),),
        ),
        st.sampled_from((*SERVICES, "removed")),
        st.integers(1, 6),
        ADDRESSES,
        st.booleans(),
    )


def pinned(scene: Scene, current: Mapping[str, Assignment] | None = None) -> dict[str, Assignment]:
    before = scene.cluster.assignments if current is None else current
    cluster = replace(scene.cluster, assignments=before)
    return reserve_addresses(
        scene.intent, assign(scene.intent, before), before, cluster, scene.host
    ).assignments


def sees(scene: Scene) -> bool:
    """Whether the leader sees the overlay: else it may not know better than what was assigned."""
    return scene.host is not None and scene.host.network("net") is not None


def pins(assignments: Mapping[str, Assignment]) -> dict[tuple[str, int], str]:
    replicas = [replica for each in assignments.values() for replica in each.replicas]
    return {
        (replica.service, replica.slot): address for replica in replicas for _, address in replica.addresses
    }


@thorough
@given(scenes())
def test_no_two_replicas_have_one_address_and_none_has_one_that_cannot_be(scene: Scene) -> None:
    found = pins(pinned(scene))

    assert len(set(found.values())) == len(found)
    assert not {GATEWAY, "10.10.0.0", "10.10.0.15", ""} & set(found.values()) or not sees(scene)
    if any(each.name == "db" for each in scene.intent.services):
        assert "10.10.0.5" not in found.values()


@thorough
@given(scenes())
def test_what_is_chosen_stays_for_as_long_as_nothing_changes(scene: Scene) -> None:
    first = pinned(scene)

    assert pinned(scene, first) == first


@thorough
@given(scenes(), st.integers(0, 2))
def test_who_comes_later_takes_nobodys_address_away(scene: Scene, more: int) -> None:
    first = pinned(scene)
    one, *others = scene.intent.services
    grown = replace(
        one, placement=tuple({**dict(one.placement), "h3": dict(one.placement).get("h3", 0) + more}.items())
    )
    later = pinned(scene._replace(intent=replace(scene.intent, services=(grown, *others))), first)

    assert pins(first).items() <= pins(later).items()


@thorough
@given(scenes())
def test_every_replica_that_asks_has_an_address_or_is_told_why_not(scene: Scene) -> None:
    for each in pinned(scene).values():
        for replica in each.replicas:
            asks = scene.intent.policy.reserve_addresses or replica.spec == spec_hash(TOLD)
            if asks and replica.spec != spec_hash(FIXED):
                assert replica.addresses or replica.held
