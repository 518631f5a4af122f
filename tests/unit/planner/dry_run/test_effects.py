"""Whatever state a cluster is in, its agents come to an end, and do nothing on the way that they must not."""

from collections.abc import Iterator
from dataclasses import replace

from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st

from agent.diff.bridge import is_begun
from agent.diff.replicas import finished
from agent.model import leader_steps, steps
from agent.model.host_state import ContainerState, HostState
from agent.model.intent import PARKING
from agent.model.plan import Step
from agent.planner import make_plan
from agent.planner.dry_run.cluster import most_rounds, settle
from agent.planner.dry_run.effects import predict
from agent.planner.dry_run.world import World
from agent.planner.host.bridge_swap import needs_disruption
from tests.support.generators import live_worlds, worlds
from tests.support.thoroughness import examples

thorough = settings(max_examples=examples(50), deadline=None, suppress_health_check=[HealthCheck.too_slow])

Interruptions = st.lists(st.tuples(st.integers(0, 2), st.integers(0, 6)), max_size=12)
"""Which host runs next, and after how many steps of its plan a crash or a failed call cuts its agent short."""


def journey(world: World) -> Iterator[tuple[World, str, Step]]:
    """Every step that is taken until nothing is left, with the world before it and the host it is taken on."""
    for _ in range(most_rounds(world)):
        moved = False
        for name in world.agents:
            for step in make_plan(world.observed(name)).steps:
                yield world, name, step
                world, moved = predict(world, name, step), True
        if not moved:
            return


def interrupted(world: World, turns: list[tuple[int, int]]) -> World:
    """The world after agents took their turns in this order, each cut short after so many steps."""
    names = tuple(world.agents)
    for whose, most in turns:
        name = names[whose % len(names)]
        for step in make_plan(world.observed(name)).steps[:most]:
            world = predict(world, name, step)
    return world


@thorough
@given(worlds())
def test_every_cluster_settles_and_an_empty_plan_stays_empty(world: World) -> None:
    settled, done, came_to_an_end = settle(world, tuple(world.agents))

    event(f"about {sum(len(each.steps) for each in done.values()) // 10 * 10} steps")
    assert came_to_an_end
    assert all(make_plan(settled.observed(name)).steps == () for name in world.agents)


@thorough
@given(worlds())
def test_where_nothing_is_blocked_exactly_the_assigned_replicas_run(world: World) -> None:
    settled, _, _ = settle(world, tuple(world.agents))

    for name in world.agents:
        seen, host = settled.observed(name), settled.agents[name].host
        if host is None or make_plan(seen).left or settled.cluster.leader is None:
            continue
        assert seen.cluster is not None
        # What Docker is still removing may have the name of another one, which waits for that without a word.
        if seen.cluster.assignment is None or any(each.status == "removing" for each in host.containers):
            continue
        staying = host.containers
        assert {replica.made_as for replica in seen.cluster.assignment.replicas} >= {
            each.replica for each in staying
        }
        assert all(_is_as_it_should_be(each, settled) for each in staying)
        event("a host with nothing blocked")


def _is_as_it_should_be(found: ContainerState, world: World) -> bool:
    """Up, or done for good; named by what it is; without a difference."""
    up = found.status in ("running", "restarting") or finished(world.cluster.specs[found.replica.spec], found)
    right_name = found.name == f"prod-{found.replica.service}-{found.replica.slot}"
    return up and right_name and not found.differences


@thorough
@given(worlds(), Interruptions)
def test_wherever_agents_are_interrupted_the_cluster_recovers(
    world: World, turns: list[tuple[int, int]]
) -> None:
    settled, _, came_to_an_end = settle(interrupted(world, turns), tuple(world.agents))

    assert came_to_an_end
    assert all(make_plan(settled.observed(name)).steps == () for name in world.agents)


@thorough
@given(worlds())
def test_no_step_touches_what_is_not_ours(world: World) -> None:
    for before, name, step in journey(world):
        host = before.agents[name].host
        if isinstance(step, steps.RemoveBridge):
            assert host is not None
            assert _is_free_bridge(host, step.id)
        elif isinstance(step, leader_steps.RemoveOverlay):
            assert _is_free_overlay(before, name, step)
        elif container_id := getattr(step, "id", None):
            assert host is not None
            # A container made by an earlier step of the same plan has no id yet that could be known.
            made = {each.name for each in host.containers if each.id.startswith("(")}
            assert container_id in {each.id for each in host.containers} | made


def _is_free_overlay(world: World, me: str, step: leader_steps.RemoveOverlay) -> bool:
    """Ours, allowed to go, and nobody's: no container, running or not, and no service is on it."""
    intent = world.cluster.accepted
    assert intent is not None
    hosts = [agent.host for agent in world.agents.values() if agent.host]
    (found,) = (each for each in world.host(me).networks if each.id == step.id)
    names = {name for host in hosts for each in host.containers for name, _ in each.addresses}
    names |= {
        name
        for host in hosts
        for each in host.attached
        if each.id.startswith("foreign-")
        for name in each.networks
    }
    never_used = not found.driver
    unused = found.name not in names and not found.users and intent.policy.allow_network_recreate
    return found.ours and (never_used or unused)


def _is_free_bridge(host: HostState, network_id: str) -> bool:
    found = [each for each in host.bridges if each.id == network_id]
    return bool(found) and not found[0].endpoints and host.swarm.local == "inactive"


@thorough
@given(worlds())
def test_no_step_asks_for_a_name_that_is_taken(world: World) -> None:
    for before, name, step in journey(world):
        if isinstance(step, steps.CreateContainer | steps.RenameContainer):
            host = before.host(name)
            taken = {each.name for each in host.containers} | {each for each, _ in host.foreign_names}
            assert step.becomes not in taken


@thorough
@given(worlds())
def test_no_plan_undoes_what_it_does(world: World) -> None:
    for name in world.agents:
        made: set[tuple[str, str]] = set()
        seen = world.observed(name).host
        names = {each.id: each.name for each in seen.containers} if seen else {}
        for step in make_plan(world.observed(name)).steps:
            if isinstance(step, steps.StopContainer | steps.RemoveContainer):
                assert ("up", names.get(step.id, step.name)) not in made
            elif isinstance(step, steps.RenameContainer):
                names[step.id] = step.becomes
            elif isinstance(step, steps.DisconnectNetwork):
                assert (step.network, step.id) not in made
            elif isinstance(step, steps.ConnectNetwork):
                made.add((step.attachment.network, step.id))
            elif isinstance(step, steps.CreateContainer):
                made.add(("up", step.becomes))
            elif isinstance(step, steps.StartContainer | steps.UnpauseContainer):
                made.add(("up", step.name))


@thorough
@given(worlds())
def test_no_step_is_planned_twice_in_one_plan(world: World) -> None:
    for name in world.agents:
        planned = make_plan(world.observed(name)).steps

        assert len(planned) == len(set(planned))


@thorough
@given(worlds(), Interruptions)
def test_a_swarm_is_made_only_where_none_is_recorded_and_only_once(
    world: World, turns: list[tuple[int, int]]
) -> None:
    made = 0
    for before, _, step in journey(interrupted(world, turns)):
        if isinstance(step, steps.InitSwarm):
            made += 1
            assert before.cluster.record is not None
            assert before.cluster.record.swarm_id is None

    assert made <= 1


@thorough
@given(worlds())
def test_nobody_leaves_the_declared_role_or_joins_past_a_wrong_bridge(world: World) -> None:
    for before, name, step in journey(world):
        if not isinstance(step, steps.JoinSwarm | steps.InitSwarm):
            continue
        host, intent = before.host(name), before.cluster.accepted
        assert intent is not None
        assert [each.subnet for each in host.bridges] == [intent.gwbridge.subnet]
        if isinstance(step, steps.JoinSwarm):
            assert (name, step.role) in [(each.name, each.role) for each in intent.hosts]


@thorough
@given(worlds())
def test_the_same_observation_gives_the_same_plan_in_whatever_order_it_was_read(world: World) -> None:
    cluster = world.cluster
    shuffled = replace(
        world,
        cluster=replace(
            cluster,
            specs=dict(reversed(list(cluster.specs.items()))),
            assignments=dict(reversed(list(cluster.assignments.items()))),
        ),
        agents=dict(reversed(list(world.agents.items()))),
    )

    for name in world.agents:
        assert str(make_plan(shuffled.observed(name))) == str(make_plan(world.observed(name)))


# ---- docker_gwbridge under running containers


@thorough
@given(live_worlds(), Interruptions)
def test_a_bridge_that_works_is_changed_by_nobody_but_the_host_that_holds_the_disruption_slot(
    world: World, turns: list[tuple[int, int]]
) -> None:
    for before, name, step in journey(interrupted(world, turns)):
        intent, disruption = before.cluster.accepted, before.cluster.disruption
        assert intent is not None
        if isinstance(step, steps.SwapBridge) and needs_disruption(intent, before.host(name)):
            assert disruption is not None
            assert (disruption.host, disruption.state) == (name, "acquired")
            event("a change while it holds the disruption slot")


@thorough
@given(live_worlds(), Interruptions)
def test_only_who_is_there_is_parked_and_only_ours_is_made_and_removed(
    world: World, turns: list[tuple[int, int]]
) -> None:
    for before, name, step in journey(interrupted(world, turns)):
        host = before.agents[name].host
        known = {each.id: each for each in host.attached} if host else {}
        if isinstance(step, steps.Park | steps.Unpark | steps.RemoveParking):
            assert host is not None
            assert is_begun(host)
        if isinstance(step, steps.Park):
            assert known[step.container].networks == ("net",)
            assert known[step.container].running
        elif isinstance(step, steps.Unpark):
            assert PARKING in known[step.container].networks
            # Whoever goes back without a bridge makes docker make one of its own choice.
            assert host is not None
            assert host.bridges
        elif isinstance(step, steps.CreateParking):
            assert host is not None
            assert host.network(PARKING) is None
        elif isinstance(step, steps.SwapBridge):
            assert host is not None
            having = {whose for each in host.bridges for whose, _ in each.endpoints}
            assert not having & {each.id for each in host.attached if each.running}
