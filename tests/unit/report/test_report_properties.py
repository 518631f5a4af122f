"""What holds for every host of every cluster, in whatever state people and crashes may have left it."""

from dataclasses import replace

from hypothesis import HealthCheck, event, given, settings
from prometheus_client.parser import text_string_to_metric_families
from structlog.testing import capture_logs

from agent.diff.reported import host_of
from agent.model.observed import Observed
from agent.model.records import decode, encode
from agent.model.status import HostStatus
from agent.model.steps import GiveUpInit, LeaveSwarm, ReleaseDisruption
from agent.planner import make_plan
from agent.planner.dry_run.cluster import settle
from agent.planner.dry_run.world import World
from agent.planner.host.bridge import phase_of
from agent.report.drift import Drift, find_differences
from agent.report.status import carried_out, host_status
from tests.support.generators import sound_worlds, worlds
from tests.support.thoroughness import examples
from tests.unit.report.bench import Bench

NO_DIFFERENCE = (ReleaseDisruption, LeaveSwarm, GiveUpInit)
"""A slot that is released was needed for what is as declared now; only the leader sees why a host has to leave."""
HOST_KINDS = {"container", "gwbridge", "swarm", "network", "image", "volume"}

every_world = settings(max_examples=examples(50), deadline=None, suppress_health_check=[HealthCheck.too_slow])


def seen_by_each(world: World) -> list[Observed]:
    return [world.observed(name) for name in sorted(world.agents)]


def differences_of(seen: Observed) -> frozenset[Drift]:
    return find_differences(seen, make_plan(seen), ())


def ids_on(seen: Observed) -> set[str]:
    host = seen.host
    if host is None:
        return set()
    return {each.id for each in host.containers} | {each.id for each in host.networks}


def waits_for_the_leader(seen: Observed) -> bool:
    """Return True if this host has a replica whose new spec waits for the rollout; the leader reports it."""
    cluster = seen.cluster
    if cluster is None or cluster.assignment is None:
        return False
    return any(service in cluster.rollouts for service in cluster.assignment.pending)


@every_world
@given(worlds())
def test_every_pass_can_be_told_of(world: World) -> None:
    bench = Bench()

    with capture_logs() as lines:
        for seen in seen_by_each(world):
            bench.passed(seen)

    assert [line for line in lines if line["event"] == "report failed"] == []
    assert list(text_string_to_metric_families(bench.metrics.exposition().decode()))


@every_world
@given(sound_worlds())
def test_a_settled_host_that_holds_nothing_back_has_carried_its_intent_out_and_does_not_drift(
    world: World,
) -> None:
    settled, _, _ = settle(world, tuple(world.agents))

    for seen in seen_by_each(settled):
        plan = make_plan(seen)
        ending = seen.host is not None and any(each.status == "removing" for each in seen.host.containers)
        if seen.host is None or plan.left or ending or waits_for_the_leader(seen):
            continue
        event("settled")
        assert carried_out(seen, plan, ())
        assert differences_of(seen) == frozenset()


@every_world
@given(worlds())
def test_what_is_to_be_done_on_a_host_differs_in_something(world: World) -> None:
    for seen in seen_by_each(world):
        accepted = seen.cluster.accepted if seen.cluster else None
        steps = [
            step
            for step in make_plan(seen).steps
            if step.kind in HOST_KINDS and step.lane != "leader" and not isinstance(step, NO_DIFFERENCE)
        ]
        if accepted is not None and accepted.policy.mode == "enforce":
            assert bool(steps) <= bool(differences_of(seen)), [str(step) for step in steps]


@every_world
@given(worlds())
def test_no_id_is_a_label(world: World) -> None:
    for seen in seen_by_each(world):
        assert not ids_on(seen) & {each.object for each in differences_of(seen)}


@every_world
@given(worlds())
def test_the_status_tells_enough_to_plan_as_the_host_does(world: World) -> None:
    for seen in seen_by_each(world):
        plan = make_plan(seen)
        status = decode(
            HostStatus, encode(host_status(seen, plan, (), {}, None, "", "1.0", phase=phase_of(seen)))
        )

        told = host_of(status)
        if told and seen.host and told.swarm.nodes == ():  # the leader alone reports them
            told = replace(told, swarm=replace(told.swarm, nodes=seen.host.swarm.nodes))
        assert str(make_plan(replace(seen, host=told))) == str(plan)
