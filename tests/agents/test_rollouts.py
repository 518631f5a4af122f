"""A rollout by whole agents on hosts in memory: order runs twice on node-231 and once on node-232."""

from pathlib import Path
from typing import Any

import pytest

from agent.admission.policy import Policy
from agent.model.records import Rollout, RolloutState, decode
from tests.support.document import document
from tests.support.simulated_cluster import KEYS, TTL_S, SimulatedCluster, images

pytestmark = pytest.mark.usefixtures("unlogged")

CAREFUL = document(
    services={"order": {"deploy": {"update_config": {"monitor": "10s", "failure_action": "rollback"}}}}
)
NEWER = document(CAREFUL, tags={"order": "1.0.1"})
ORDERS = ("prod-order-1", "prod-order-2", "prod-order-3")


@pytest.fixture
def cluster(tmp_path: Path) -> SimulatedCluster:
    made = SimulatedCluster(tmp_path, CAREFUL)
    made.lan.registry |= images(NEWER)
    made.put_intent(CAREFUL)
    made.start()
    made.settle()
    return made


def tags(cluster: SimulatedCluster) -> dict[str, str]:
    """Tag of every replica of order that runs."""
    return {
        name: image.rpartition(":")[2]
        for running in cluster.running().values()
        for name, image in running.items()
        if name in ORDERS
    }


def record(cluster: SimulatedCluster) -> Rollout | None:
    found = cluster.read(KEYS.rollout("order"))
    return decode(Rollout, found.value) if found else None


def state(cluster: SimulatedCluster) -> RolloutState | None:
    found = record(cluster)
    return found.state if found else None


def rounds_until(cluster: SimulatedCluster, wanted: RolloutState, within: int = 60) -> None:
    for _ in range(within):
        cluster.round()
        if state(cluster) == wanted:
            return
    raise AssertionError(f"not {wanted}: {record(cluster)}\n{cluster.told()}")


def spoil(cluster: SimulatedCluster, *names: str) -> None:
    """What runs of the new image ends; of `names`, or all."""
    for host in cluster.hosts.values():
        for name, image in host.running().items():
            if image.endswith("order:1.0.1") and name in (names or ORDERS):
                host.engine.by_hand.end(name, exit_code=1)


def spoil_until(cluster: SimulatedCluster, wanted: RolloutState, *names: str, within: int = 120) -> None:
    for _ in range(within):
        cluster.round()
        spoil(cluster, *names)
        if state(cluster) == wanted:
            return
    raise AssertionError(f"not {wanted}: {record(cluster)}\n{cluster.told()}")


def test_one_replica_after_the_other_gets_the_new_image_each_well_for_the_time_of_monitor(
    cluster: SimulatedCluster,
) -> None:
    cluster.put_intent(NEWER)
    seen = []
    for _ in range(60):
        cluster.round()
        running = tags(cluster)
        assert len(running) >= 2
        seen.append(sum(tag == "1.0.1" for tag in running.values()))
    assert {count: seen.count(count) >= 10 for count in (1, 2)} == {1: True, 2: True}
    assert tags(cluster) == dict.fromkeys(ORDERS, "1.0.1")
    assert record(cluster) is None
    assert all(agent.at_rest for agent in cluster.agents.values())


def test_a_document_is_carried_out_only_when_its_rollout_is_through(cluster: SimulatedCluster) -> None:
    cluster.put_intent(NEWER)
    rounds_until(cluster, "moving")
    cluster.rounds(5)
    assert not any(agent.at_rest for agent in cluster.agents.values() if agent.leads)
    seen = cluster.leader().observer.observe().cluster
    assert seen is not None
    assert seen.assignments["node-232"].pending == ("order",)


def test_a_replica_that_ends_takes_the_others_back_and_only_it_was_touched(cluster: SimulatedCluster) -> None:
    before = cluster.ids()
    cluster.put_intent(NEWER)
    spoil_until(cluster, "rolled-back")
    cluster.rounds(3)
    assert tags(cluster) == dict.fromkeys(ORDERS, "1.0.0")
    assert len(cluster.ids() - before) == 1
    (held,) = (each for agent in cluster.agents.values() for each in agent.plan.blocked)
    assert (held.resource, held.kind) == ("rollout/order", "rollout")
    assert "rolled back: order-1: it exited with 1" in held.reason


@pytest.mark.parametrize("rollback", ["own_failures", "cluster"])
def test_a_replica_that_works_keeps_the_newer_spec_in_a_rollback_until_it_fails(
    cluster: SimulatedCluster, rollback: Any
) -> None:
    for name in cluster.hosts:
        cluster.lose_agent(name)
        cluster.hosts[name].admission = Policy(rollback=rollback)
    cluster.start()
    cluster.put_intent(NEWER)
    for _ in range(90):
        cluster.round()
        spoil(cluster, "prod-order-2")
        if state(cluster) == "rolled-back":
            break
    cluster.rounds(3)
    kept = {"prod-order-1": "1.0.1"} if rollback == "own_failures" else {}
    assert tags(cluster) == dict.fromkeys(ORDERS, "1.0.0") | kept
    before, written = cluster.ids(), record(cluster)
    for name in tuple(cluster.agents):
        cluster.lose_agent(name)
        cluster.start(name)
        cluster.clock.advance(TTL_S + 1)
        for _ in range(10):
            cluster.round()
            assert (cluster.ids(), record(cluster)) == (before, written)
    (held,) = (each for agent in cluster.agents.values() for each in agent.plan.blocked)
    assert (held.resource, held.kind) == ("rollout/order", "rollout")

    spoil(cluster)
    cluster.rounds(40)
    assert tags(cluster) == dict.fromkeys(ORDERS, "1.0.0")
    cluster.put_intent(CAREFUL)
    cluster.settle(within=90)
    assert tags(cluster) == dict.fromkeys(ORDERS, "1.0.0")


def test_the_earlier_document_takes_those_back_that_kept_the_newer_spec_one_after_the_other(
    cluster: SimulatedCluster,
) -> None:
    cluster.put_intent(NEWER)
    spoil_until(cluster, "rolled-back", "prod-order-3")
    newer = {"prod-order-1": "1.0.1", "prod-order-2": "1.0.1"}
    assert tags(cluster) == {**newer, "prod-order-3": "1.0.0"}
    cluster.put_intent(CAREFUL)
    for _ in range(60):
        cluster.round()
        assert len(tags(cluster)) >= 2
    assert tags(cluster) == dict.fromkeys(ORDERS, "1.0.0")
    assert all(agent.at_rest for agent in cluster.agents.values())


def test_a_rollback_ends_beside_those_that_work_with_the_spec_of_an_unfinished_rollout(
    cluster: SimulatedCluster,
) -> None:
    newest = document(CAREFUL, tags={"order": "1.0.2"})
    cluster.lan.registry |= images(newest)
    cluster.put_intent(NEWER)
    for _ in range(60):
        cluster.round()
        if [*tags(cluster).values()].count("1.0.1") == 2:
            break
    cluster.put_intent(newest)
    for _ in range(90):
        cluster.round()
        for host in cluster.hosts.values():
            for name, image in host.running().items():
                if image.endswith("order:1.0.2"):
                    host.engine.by_hand.end(name, exit_code=1)
        if state(cluster) == "rolled-back":
            break
    assert state(cluster) == "rolled-back"
    assert "1.0.1" in tags(cluster).values()
    before, written = cluster.ids(), record(cluster)
    cluster.rounds(20)
    assert (cluster.ids(), record(cluster)) == (before, written)
    cluster.put_intent(CAREFUL)
    cluster.settle(within=90)
    assert tags(cluster) == dict.fromkeys(ORDERS, "1.0.0")


def test_another_leader_carries_the_rollout_on(cluster: SimulatedCluster) -> None:
    cluster.put_intent(NEWER)
    rounds_until(cluster, "moving")
    first = cluster.leader().name
    cluster.lose_agent(first)
    cluster.clock.advance(TTL_S + 1)
    cluster.rounds(5)
    assert cluster.leader().name != first
    cluster.start(first)
    for _ in range(90):
        cluster.round()
        assert len(tags(cluster)) >= 2
    assert tags(cluster) == dict.fromkeys(ORDERS, "1.0.1")
    assert record(cluster) is None


def test_a_rollback_goes_on_under_another_leader_to_the_same_end(cluster: SimulatedCluster) -> None:
    cluster.put_intent(NEWER)
    spoil_until(cluster, "rolling-back")
    first = cluster.leader().name
    cluster.lose_agent(first)
    cluster.clock.advance(TTL_S + 1)
    cluster.rounds(3)
    cluster.start(first)
    rounds_until(cluster, "rolled-back")
    assert tags(cluster) == dict.fromkeys(ORDERS, "1.0.0")


def test_a_rollout_that_was_rolled_back_is_tried_again_when_its_key_is_deleted_and_the_document_put_again(
    cluster: SimulatedCluster,
) -> None:
    cluster.put_intent(NEWER)
    spoil_until(cluster, "rolled-back")
    cluster.rounds(3)
    cluster.delete(KEYS.rollout("order"))
    cluster.rounds(60)
    assert tags(cluster) == dict.fromkeys(ORDERS, "1.0.0")
    (kept,) = (each for agent in cluster.agents.values() for each in agent.plan.blocked)
    assert (kept.resource, kept.kind) == ("container/prod-order-1", "foreign")
    assert "it failed with that spec under this document" in kept.reason
    # An agent can delete the record as well: what failed under this document needs the operator's word.
    cluster.put_intent(f"{NEWER}# again\n")
    cluster.settle(within=90)
    assert tags(cluster) == dict.fromkeys(ORDERS, "1.0.1")


def test_a_host_that_is_away_holds_nobody_up_and_follows_when_it_is_back(cluster: SimulatedCluster) -> None:
    leader = cluster.leader().name
    away = "node-231" if leader != "node-231" else "node-232"
    cluster.lose_agent(away)
    cluster.clock.advance(TTL_S + 1)
    cluster.put_intent(NEWER)
    cluster.rounds(60)
    moved = {name for name, tag in tags(cluster).items() if tag == "1.0.1"}
    assert moved == set(ORDERS) - set(cluster.hosts[away].running())

    cluster.start(away)
    cluster.settle(within=90)
    assert tags(cluster) == dict.fromkeys(ORDERS, "1.0.1")
