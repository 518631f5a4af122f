"""Whatever the numbers, whoever leads, whenever agents stop: a rollout disturbs no more than it may, and ends."""

from collections.abc import Iterator
from dataclasses import replace

from hypothesis import event, given, settings
from hypothesis import strategies as st

from agent.model.host_state import ContainerState
from agent.model.intent import FailureAction, Update
from agent.model.observed import Observed, ReplicaTimers
from agent.model.records import Verdict
from agent.model.spec import spec_hash
from agent.planner import make_plan
from agent.planner.dry_run.effects import predict
from agent.planner.dry_run.world import World
from agent.planner.leader.assignments import assign
from tests.support.builders import (
    cluster,
    container,
    document,
    host,
    intent,
    member,
    node,
    order,
    record,
    service,
)
from tests.support.thoroughness import examples

HOSTS = ("h1", "h2", "h3")
NODES = tuple(map(node, HOSTS))
OLD, NEW = order("1.0.0"), order("1.0.1")
MOST_TURNS = 400

thorough = settings(max_examples=examples(60), deadline=None)
Chances = st.lists(st.tuples(st.integers(0, 2), st.integers(0, 9), st.booleans()), max_size=40)
"""Which host runs next, after how many steps it is cut short, and whether the leader is lost then."""


def begun(counts: tuple[int, int, int], update: Update) -> World:
    """Replicas of the old spec run everywhere, and the document that asks for the new one is accepted."""
    placed = dict(zip(HOSTS, counts, strict=True))
    before = intent(service(on=placed, spec=OLD), hosts=" ".join(HOSTS))
    asked = intent(replace(service(on=placed, spec=NEW), update=update), hosts=" ".join(HOSTS), revision=9)
    assignments = assign(before, {})
    agents = {
        name: Observed(
            me=name,
            cluster=None,
            host=host(
                *(container(replica.slot, of=OLD) for replica in assignments[name].replicas),
                swarm=member(name, of=NODES),
            ),
        )
        for name in HOSTS
    }
    managers = tuple((each.id, each.manager_address) for each in NODES)
    state = cluster(
        asked,
        document=document(asked),
        verdict=Verdict(revision=9, accepted=True, accepted_revision=9),
        assignments=assignments,
        stored_specs=frozenset({spec_hash(OLD)}),
        specs={spec_hash(OLD): OLD},
        record=record(managers=managers),
    )
    return World(cluster=state, agents=agents)


def spoilt(world: World, bad: frozenset[int]) -> World:
    """The new image does not work for these numbers."""
    for name in HOSTS:
        found = world.host(name)
        containers = tuple(
            replace(each, status="restarting", exit_code=1)
            if each.replica.slot in bad and each.replica.spec == spec_hash(NEW) and each.status == "running"
            else each
            for each in found.containers
        )
        world = world.with_host(name, replace(found, containers=containers))
    return world


def passing(seen: Observed, steady_s: float) -> Observed:
    """The same with so much time passed since the leader last saw something new."""
    told = {key: min(each.steady_s, steady_s) for key, each in seen.watches.items()}
    return replace(seen, watches={key: ReplicaTimers(steady_s=each) for key, each in told.items()})


def history(
    world: World, bad: frozenset[int], chances: list[tuple[int, int, bool]], pace: int = 1
) -> Iterator[World]:
    """Every world on the way: by chance at first, then in turn, each host so many steps, until nothing happens."""
    yield world
    for whose, most, lost in chances:
        name = HOSTS[whose]
        if lost:
            world = replace(world, cluster=replace(world.cluster, leader=name))
        for step in make_plan(passing(world.observed(name), 0.0 if lost else 1000.0)).steps[:most]:
            world = spoilt(predict(world, name, step), bad)
            yield world
    for _ in range(MOST_TURNS):
        moved = False
        for name in HOSTS:
            for step in make_plan(world.observed(name)).steps[:pace]:
                world, moved = spoilt(predict(world, name, step), bad), True
                yield world
        if not moved:
            return
    raise AssertionError("it does not come to an end")


def well(world: World) -> dict[int, str]:
    """The specs of the replicas that run, by number."""
    found: list[ContainerState] = [each for name in HOSTS for each in world.host(name).containers]
    return {each.replica.slot: each.replica.spec for each in found if each.status == "running"}


def assigned(world: World) -> dict[int, str]:
    return {
        replica.slot: replica.spec for each in world.cluster.assignments.values() for replica in each.replicas
    }


counts_of = st.tuples(st.integers(0, 3), st.integers(0, 3), st.integers(1, 3))


@thorough
@given(counts_of, st.integers(1, 4), Chances, st.integers(1, 9))
def test_never_more_replicas_than_parallelism_are_down_and_all_end_with_the_new_spec(
    counts: tuple[int, int, int], parallelism: int, chances: list[tuple[int, int, bool]], pace: int
) -> None:
    worlds = list(history(begun(counts, Update(parallelism=parallelism)), frozenset(), chances, pace))

    assert max(sum(counts) - len(well(each)) for each in worlds) <= parallelism
    world = worlds[-1]
    assert well(world) == dict.fromkeys(range(1, sum(counts) + 1), spec_hash(NEW))
    assert not world.cluster.rollouts
    assert {each.pending for each in world.cluster.assignments.values()} == {()}


@thorough
@given(
    counts_of,
    st.integers(1, 3),
    st.sampled_from(("pause", "rollback")),
    st.sets(st.integers(1, 9), min_size=1),
    Chances,
)
def test_a_bad_image_is_never_tried_on_more_replicas_than_parallelism_beyond_those_it_works_on(
    counts: tuple[int, int, int],
    parallelism: int,
    action: FailureAction,
    bad: set[int],
    chances: list[tuple[int, int, bool]],
) -> None:
    asked, everyone = Update(parallelism=parallelism, failure_action=action), sum(counts)
    worlds = list(history(begun(counts, asked), frozenset(bad), chances))

    moved = {slot for each in worlds for slot, spec in assigned(each).items() if spec == spec_hash(NEW)}
    assert len(moved & bad) <= parallelism
    assert max(everyone - len(well(each)) for each in worlds) <= parallelism
    world = worlds[-1]
    specs = set(assigned(world).values())
    if not bad & set(range(1, everyone + 1)):
        assert specs == {spec_hash(NEW)}
        return
    state = world.cluster.rollouts["order"].state
    event(state)
    if action == "rollback":
        assert state == "rolled-back"
        assert specs == {spec_hash(OLD)}
        assert well(world) == dict.fromkeys(range(1, everyone + 1), spec_hash(OLD))
    else:
        assert state == "paused"


@thorough
@given(counts_of, Chances)
def test_whoever_leads_and_whenever_it_changes_the_end_is_the_same(
    counts: tuple[int, int, int], chances: list[tuple[int, int, bool]]
) -> None:
    bad, update = frozenset({1}), Update(failure_action="rollback")
    *_, undisturbed = history(begun(counts, update), bad, [])
    *_, disturbed = history(begun(counts, update), bad, chances)
    assert well(disturbed) == well(undisturbed)
    assert assigned(disturbed) == assigned(undisturbed)
