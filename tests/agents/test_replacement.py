"""One container in the place of another, by whole agents on hosts in memory, whatever happens on the way."""

from pathlib import Path

import pytest

from agent.model.plan import Step
from agent.model.records import Rollout, decode
from tests.support.document import EXAMPLE, document
from tests.support.simulated_cluster import KEYS, Crash, SimulatedCluster, images

pytestmark = pytest.mark.usefixtures("unlogged")

ORDERS = ("prod-order-1", "prod-order-2", "prod-order-3")
STEPS = {"stop-first": 5, "start-first": 7}
"""On the host, for one replica: create, stop, remove, rename, start; or create, start, stop, remove, and off its
overlay for the new name."""


def updated(order: str, tag: str = "1.0.0") -> str:
    update = {"order": order, "monitor": "3s", "failure_action": "rollback"}
    return document(tags={"order": tag}, services={"order": {"deploy": {"update_config": update}}})


def begun(directory: Path, order: str) -> SimulatedCluster:
    made = SimulatedCluster(directory, updated(order))
    made.lan.registry |= images(updated(order, "1.0.1"))
    made.put_intent(updated(order))
    made.start()
    made.settle()
    return made


def containers(cluster: SimulatedCluster) -> dict[str, str]:
    """Tag of every container of order, whatever it is called and does."""
    replicas = [item for host in cluster.hosts.values() for item in host.replicas().items()]
    return {
        name: raw["Config"]["Image"].rpartition(":")[2] for name, raw in replicas if name.startswith(ORDERS)
    }


class Victim:
    """The agent of node-232, which crashes once, after so many steps on replica 3 of order."""

    def __init__(self, cluster: SimulatedCluster, steps: int) -> None:
        self._cluster, self._left = cluster, steps
        self.crashed = False
        cluster.agents["node-232"].after = self._told

    def _told(self, step: Step) -> None:
        if step.resource.startswith("container/prod-order-3"):
            self._left -= 1
            if not self._left:
                raise Crash

    def round(self) -> None:
        try:
            self._cluster.round()
        except Crash:
            self.crashed = True
            self._cluster.lose_agent("node-232")
            self._cluster.start("node-232")


@pytest.mark.parametrize(
    ("order", "steps"), [(order, step) for order, count in STEPS.items() for step in range(1, count + 1)]
)
def test_an_agent_that_crashes_after_any_step_leaves_one_container_with_the_right_name(
    tmp_path: Path, order: str, steps: int
) -> None:
    cluster = begun(tmp_path, order)
    victim = Victim(cluster, steps)
    cluster.put_intent(updated(order, "1.0.1"))
    for _ in range(35):
        victim.round()
    cluster.settle()
    assert victim.crashed
    assert containers(cluster) == dict.fromkeys(ORDERS, "1.0.1")
    assert all(name in host.running() for host in cluster.hosts.values() for name in host.replicas())


def test_no_replacement_takes_more_steps_than_are_tried(tmp_path: Path) -> None:
    for order, count in STEPS.items():
        cluster = begun(tmp_path / order, order)
        cluster.put_intent(updated(order, "1.0.1"))
        cluster.rounds(60)
        told = [each.step.resource for each in cluster.agents["node-232"].outcomes]
        # Two of them made the first container.
        assert sum(each.startswith("container/prod-order-3") for each in told) == count + 2


def test_start_first_has_every_replica_running_at_any_time(tmp_path: Path) -> None:
    cluster = begun(tmp_path, "start-first")
    cluster.put_intent(updated("start-first", "1.0.1"))
    for _ in range(60):
        cluster.round()
        running = {name[: len(ORDERS[0])] for each in cluster.running().values() for name in each}
        assert running >= set(ORDERS)
    assert containers(cluster) == dict.fromkeys(ORDERS, "1.0.1")


def test_a_new_container_that_ends_beside_the_old_one_costs_nothing(tmp_path: Path) -> None:
    cluster = begun(tmp_path, "start-first")
    before = {
        name: raw["State"]["StartedAt"]
        for each in cluster.hosts.values()
        for name, raw in each.replicas().items()
    }
    cluster.put_intent(updated("start-first", "1.0.1"))
    states, ends = set(), 0
    for _ in range(60):
        cluster.round()
        for host in cluster.hosts.values():
            for name, image in host.running().items():
                if image.endswith("order:1.0.1"):
                    host.engine.by_hand.end(name, exit_code=1)
                    ends += 1
        found = cluster.read(KEYS.rollout("order"))
        states.add(decode(Rollout, found.value).state if found else "")
    after = {
        name: raw["State"]["StartedAt"]
        for each in cluster.hosts.values()
        for name, raw in each.replicas().items()
    }
    assert ends
    assert states >= {"moving", "rolled-back"}
    assert after == before


def test_a_replica_that_was_given_an_address_of_another_one_on_its_host_comes_up_as_another_container(
    tmp_path: Path,
) -> None:
    cluster = SimulatedCluster(tmp_path, EXAMPLE)
    cluster.hosts["node-232"].engine.by_hand.misgives = True
    cluster.put_intent()
    cluster.start()
    cluster.settle()
    made = [each.step for each in cluster.agents["node-232"].outcomes if not each.error]
    refused = [
        each.step for each in cluster.agents["node-232"].outcomes if each.error == "Address already in use"
    ]
    assert len(refused) == 1
    removed = [each.resource for each in made if each.verb == "remove"]
    assert removed == [refused[0].resource]
    assert all(name in host.running() for host in cluster.hosts.values() for name in host.replicas())


def test_while_the_swarm_gives_it_taken_addresses_the_new_container_is_tried_less_and_less_often(
    tmp_path: Path,
) -> None:
    cluster = begun(tmp_path, "start-first")
    cluster.put_intent(updated("start-first", "1.0.1"))
    for _ in range(60):
        for host in cluster.hosts.values():
            host.engine.by_hand.misgives = True
        cluster.round()
        assert containers(cluster).items() >= dict.fromkeys(ORDERS, "1.0.0").items()
    outcomes = [each for agent in cluster.agents.values() for each in agent.outcomes]
    assert 3 < len([each for each in outcomes if each.error == "Address already in use"]) < 10
    cluster.settle(within=120)
    assert containers(cluster) == dict.fromkeys(ORDERS, "1.0.1")
