"""Whatever the document asks for, and whatever was there before: what a placing never does."""

from collections.abc import Mapping
from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from agent.intent.ports import clash
from agent.model.intent import Constraint, Intent, ServiceIntent, Where
from agent.model.records import Assignment, Replica
from agent.model.spec import Port, spec_hash
from agent.planner.leader.assignments import assign
from tests.support.builders import intent, order, service

HOSTS = ("h1", "h2", "h3", "h4")
PORTS = (
    Port(target=80, published=80),
    Port(target=80, published=80, host_ip="10.0.0.9"),
    Port(target=1, published=81),
)
CONSTRAINTS = st.builds(
    Constraint, of=st.sampled_from(["labels.zone", "role", "hostname"]), equal=st.booleans(),
    value=st.sampled_from(["a", "b", "manager", "h2"]),
)  # fmt: skip
WHERE = st.builds(
    Where,
    constraints=st.lists(CONSTRAINTS, max_size=1).map(tuple),
    spread=st.sampled_from([(), ("labels.zone",), ("role", "labels.zone")]),
    most_per_host=st.sampled_from([None, 1, 2]),
)


@st.composite
def services(draw: st.DrawFn, name: str) -> ServiceIntent:
    ports = tuple(draw(st.lists(st.sampled_from(PORTS), max_size=1)))
    made = service(name, on={}, spec=order(ports=ports))
    return replace(made, replicas=draw(st.integers(0, 6)), where=draw(WHERE))


@st.composite
def intents(draw: st.DrawFn) -> Intent:
    wanted = intent(*(draw(services(name)) for name in ("a", "b")), hosts="h1 h2 h3:worker h4:worker")
    hosts = tuple(
        replace(
            each,
            labels=draw(st.sampled_from([(), (("zone", "a"),), (("zone", "b"),)])),
            availability=draw(st.sampled_from(["active", "active", "active", "drain", "pause"])),
        )
        for each in wanted.hosts
    )
    return replace(wanted, hosts=hosts)


@st.composite
def assignments(draw: st.DrawFn) -> dict[str, Assignment]:
    slots = {
        host: draw(st.lists(st.tuples(st.sampled_from("ab"), st.integers(1, 5)), max_size=3, unique=True))
        for host in HOSTS
    }
    spec = spec_hash(order())
    return {
        host: Assignment(
            revision=1,
            project="prod",
            replicas=tuple(Replica(service=name, slot=n, spec=spec) for name, n in sorted(each)),
        )
        for host, each in slots.items()
    }


def at_rest(wanted: Intent, before: Mapping[str, Assignment]) -> dict[str, Assignment]:
    """What comes of it when all hosts are there and well; fails when it never comes to rest."""
    for _ in range(20):
        after = assign(wanted, before)
        if after == before:
            return after
        before = after
    raise AssertionError("it goes on and on")


def where(found: Mapping[str, Assignment], name: str) -> dict[int, list[str]]:
    places: dict[int, list[str]] = {}
    for host, each in found.items():
        for replica in each.replicas:
            if replica.service == name:
                places.setdefault(replica.slot, []).append(host)
    return places


@settings(max_examples=200, deadline=None)
@given(intents(), assignments())
def test_no_rule_is_ever_broken_once_it_has_come_to_rest(
    wanted: Intent, before: dict[str, Assignment]
) -> None:
    found = at_rest(wanted, before)

    for each in wanted.services:
        places = where(found, each.name)
        assert all(len(hosts) == 1 for hosts in places.values())
        assert len(places) <= (each.replicas or 0)
        for host in wanted.hosts:
            mine = [n for n, (on,) in places.items() if on == host.name]
            assert not mine or each.where.unmet(host) is None
            assert not mine or host.availability != "drain"
            assert each.where.most_per_host is None or len(mine) <= each.where.most_per_host
    for name, assignment in found.items():
        specs = [wanted.service(replica.service) for replica in assignment.replicas]
        ports = [port for each in specs if each for port in each.spec.ports]
        assert not any(clash(one, two) for n, one in enumerate(ports) for two in ports[:n]), name


@settings(max_examples=200, deadline=None)
@given(intents(), assignments())
def test_the_same_gives_the_same_and_what_is_at_rest_stays(
    wanted: Intent, before: dict[str, Assignment]
) -> None:
    assert assign(wanted, before) == assign(wanted, dict(reversed(before.items())))
    rest = at_rest(wanted, before)
    fewer = replace(wanted, hosts=tuple(replace(each) for each in wanted.hosts), revision=wanted.revision + 1)
    again = assign(fewer, rest)
    assert {host: each.replicas for host, each in again.items()} == {
        host: each.replicas for host, each in rest.items()
    }


@settings(max_examples=200, deadline=None)
@given(intents(), st.integers(0, 3))
def test_a_replica_more_moves_no_other(wanted: Intent, more: int) -> None:
    before = at_rest(wanted, {})
    grown = replace(
        wanted,
        services=(
            replace(wanted.services[0], replicas=(wanted.services[0].replicas or 0) + more),
            wanted.services[1],
        ),
    )
    after = at_rest(grown, before)

    for each in wanted.services:
        was, now = where(before, each.name), where(after, each.name)
        assert {n: now.get(n) for n in was} == was
