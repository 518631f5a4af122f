"""Whole agents make an overlay again, because its document says another subnet and lets them."""

from contextlib import suppress
from pathlib import Path

import pytest

from agent.model.leader_steps import RemoveOverlay
from tests.support.document import document
from tests.support.simulated_cluster import NAMES, Crash, SimulatedCluster, at_rest
from tests.support.thoroughness import thorough

pytestmark = pytest.mark.usefixtures("unlogged")

NET = "my-network-overlay"
MOVED = document(networks={NET: {"ipam": {"config": [{"subnet": "10.99.0.0/16", "gateway": "10.99.0.1"}]}}})
ALLOWED = document(MOVED, policy={"allow_network_recreate": True})


@pytest.fixture
def cluster(tmp_path: Path) -> SimulatedCluster:
    return at_rest(tmp_path)


def subnet(cluster: SimulatedCluster) -> str:
    return str(cluster.hosts[NAMES[0]].engine.nets.managed().networks[NET].subnet)


def addresses(cluster: SimulatedCluster) -> set[str]:
    replicas = [raw for host in cluster.hosts.values() for raw in host.replicas().values()]
    return {raw["NetworkSettings"]["Networks"][NET]["IPAddress"] for raw in replicas}


def started(cluster: SimulatedCluster) -> dict[str, str]:
    replicas = [item for host in cluster.hosts.values() for item in host.replicas().items()]
    return {name: raw["State"]["StartedAt"] for name, raw in replicas}


def blocked(cluster: SimulatedCluster) -> list[str]:
    return [f"{each.kind}: {each.reason}" for each in cluster.leader().plan.blocked]


def waiting(cluster: SimulatedCluster) -> str:
    return "\n".join(map(str, cluster.leader().plan.waiting))


def is_moved(
    cluster: SimulatedCluster, running: dict[str, dict[str, str]], ids: set[tuple[str, str]]
) -> None:
    """Every replica runs as before, the same container, on the new overlay."""
    assert subnet(cluster) == "10.99.0.0/16"
    assert cluster.running() == running
    assert cluster.ids() == ids
    assert all(each.startswith("10.99.") for each in addresses(cluster))
    assert len(addresses(cluster)) == 8
    record = cluster.record()
    assert record is not None
    assert (record.networks, record.recreating) == ((NET,), ())


def test_without_the_word_nothing_is_touched_and_what_would_be_is_told(cluster: SimulatedCluster) -> None:
    before = started(cluster)
    cluster.put_intent(MOVED)
    cluster.rounds(15)

    assert (started(cluster), subnet(cluster)) == (before, "10.10.0.0/16")
    (said,) = blocked(cluster)
    assert said.startswith("guard: subnet: 10.99.0.0/16 wanted, 10.10.0.0/16 found")
    assert "on node-233 prod-api-2 (publishes 80/tcp), prod-terminal-1 (publishes 20880/tcp)" in said


def test_meanwhile_a_replica_that_ends_is_started_again_on_the_overlay_as_it_is(
    cluster: SimulatedCluster,
) -> None:
    running = cluster.running()
    cluster.put_intent(MOVED)
    cluster.rounds(5)
    host = cluster.hosts["node-233"]
    host.engine.by_hand.end("prod-terminal-1", exit_code=1)
    host.engine.by_hand.remove("prod-api-2", force=True)
    cluster.rounds(10)

    assert cluster.running() == running
    assert subnet(cluster) == "10.10.0.0/16"


def test_with_the_word_every_replica_runs_on_the_new_overlay_and_is_the_same_container(
    cluster: SimulatedCluster,
) -> None:
    running, ids = cluster.running(), cluster.ids()
    theirs = cluster.hosts["node-231"].engine.run_foreign("database")
    before = dict(cluster.hosts["node-231"].engine.by_hand.raws[theirs])
    cluster.put_intent(ALLOWED)
    cluster.settle()

    is_moved(cluster, running, ids)
    assert cluster.hosts["node-231"].engine.by_hand.raws[theirs] == before


def test_a_container_of_others_on_it_holds_everything_until_it_is_gone(cluster: SimulatedCluster) -> None:
    running, ids, before = cluster.running(), cluster.ids(), started(cluster)
    engine = cluster.hosts["node-232"].engine
    engine.by_hand.disconnect(engine.run_foreign("their-web"), "bridge")
    engine.by_hand.connect("their-web", NET, {})
    cluster.put_intent(ALLOWED)
    cluster.rounds(15)

    assert (started(cluster), subnet(cluster)) == (before, "10.10.0.0/16")
    assert blocked(cluster)[0].endswith("use it: their-web on node-232")

    engine.by_hand.remove("their-web", force=True)
    cluster.settle()

    is_moved(cluster, running, ids)


def test_a_host_that_goes_away_meanwhile_brings_the_replicas_back_and_it_is_done_when_it_is_there_again(
    cluster: SimulatedCluster,
) -> None:
    running, ids = cluster.running(), cluster.ids()
    away = cluster.follower().name
    cluster.put_intent(ALLOWED)
    while not (record := cluster.record()) or not record.recreating:
        cluster.round(*(name for name in NAMES if name != away))
    cluster.lose_agent(away)
    cluster.rounds(40)

    assert subnet(cluster) == "10.10.0.0/16"
    assert cluster.running() == running
    assert f"the agent of {away}" in waiting(cluster)

    cluster.start(away)
    cluster.settle()

    is_moved(cluster, running, ids)


@pytest.mark.parametrize(
    ("which", "steps"),
    [
        (which, steps)
        for which in ("leader", "follower")
        for steps in range(1, 9)
        if thorough or steps % 2 == (which == "leader")
    ],
)
def test_an_agent_that_crashes_after_any_step_goes_on_where_it_was(
    cluster: SimulatedCluster, which: str, steps: int
) -> None:
    running, ids = cluster.running(), cluster.ids()
    victim = cluster.leader() if which == "leader" else cluster.follower()
    victim.crash_after(steps + 2)  # the verdict and the first record come before
    cluster.put_intent(ALLOWED)
    for _ in range(40):
        with suppress(Crash):
            cluster.round()
            continue
        cluster.lose_agent(victim.name)
        cluster.start(victim.name)
    cluster.settle()

    is_moved(cluster, running, ids)


def test_a_replica_that_was_stopped_by_hand_and_never_taken_off_finds_the_new_overlay(
    cluster: SimulatedCluster,
) -> None:
    """It asks for the old one by its id, as after a change that was made by hand while the agent was away."""
    running, ids = cluster.running(), cluster.ids()
    cluster.put_intent(MOVED)
    cluster.rounds(5)
    for host in cluster.hosts.values():
        for name in host.replicas():
            host.engine.by_hand.end(name, exit_code=143)
    swarm = cluster.hosts[NAMES[0]].engine.nets.managed()
    old = swarm.networks[NET]
    swarm.remove_network(NET)
    cluster.settle()

    assert swarm.networks[NET].id != old.id
    is_moved(cluster, running, ids)


def test_the_overlay_is_never_removed_while_anybody_is_on_it(cluster: SimulatedCluster) -> None:
    cluster.put_intent(ALLOWED)
    cluster.settle()

    removals = [
        outcome
        for agent in cluster.agents.values()
        for outcome in agent.outcomes
        if isinstance(outcome.step, RemoveOverlay)
    ]
    assert [each.error for each in removals] == [""]
