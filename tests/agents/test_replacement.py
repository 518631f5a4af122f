"""One container in the place of another, by whole agents on hosts in memory, whatever happens on the way."""

from pathlib import Path
from typing import Any

import pytest

from agent.errors import Unreachable
from agent.model.plan import Step
from agent.model.records import Rollout, decode
from tests.fakes.containers import is_up, published
from tests.support.document import EXAMPLE, HEAD, document
from tests.support.simulated_cluster import KEYS, Crash, SimulatedCluster, images

pytestmark = pytest.mark.usefixtures("unlogged")

ORDERS = ("prod-order-1", "prod-order-2", "prod-order-3")
STEPS = {"stop-first": 6, "start-first": 7}
"""On the host, for one replica: create, stop, rename both, start, remove; or create, start, stop, remove, and off its
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


# ---- docker refuses to start the new one

REFUSED = "OCI runtime create failed: wrong rlimit value: RLIMIT_NOFILES"
REFUSED_STEPS = 8
"""create, stop, rename both, the start that fails; then rename both back, and start the old one."""


def refusing(directory: Path, action: str = "pause") -> SimulatedCluster:
    """One whose engines start no container of order:1.0.1; its document names it."""
    cluster = begun(directory, "stop-first")
    for host in cluster.hosts.values():
        image = next(each for each in images(updated("stop-first", "1.0.1")) if each.endswith("order:1.0.1"))
        host.engine.by_hand.refused[image] = REFUSED
    cluster.put_intent(
        updated("stop-first", "1.0.1").replace("failure_action: rollback", f"failure_action: {action}")
    )
    return cluster


def old_ones(cluster: SimulatedCluster) -> dict[str, str]:
    """Tag of order by the name of the replica, where it runs."""
    running = [item for each in cluster.running().values() for item in each.items()]
    return {name: image.rpartition(":")[2] for name, image in running if name in ORDERS}


@pytest.mark.parametrize("steps", range(1, REFUSED_STEPS + 1))
def test_when_docker_refuses_the_new_one_the_old_one_runs_again_whenever_the_agent_crashes(
    tmp_path: Path, steps: int
) -> None:
    cluster = refusing(tmp_path)
    victim = Victim(cluster, steps)
    for _ in range(40):
        victim.round()

    assert old_ones(cluster) == dict.fromkeys(ORDERS, "1.0.0")


def test_a_refused_rollout_stops_at_the_first_replica_and_says_what_docker_said(tmp_path: Path) -> None:
    cluster = refusing(tmp_path)
    cluster.rounds(40)
    found = cluster.read(KEYS.rollout("order"))
    rollout = decode(Rollout, found.value) if found else None

    assert rollout is not None
    assert (rollout.state, len(rollout.failed)) == ("paused", 1)
    assert REFUSED in rollout.why
    stops = [each for agent in cluster.agents.values() for each in agent.outcomes if each.step.verb == "stop"]
    assert len(stops) == 1
    assert old_ones(cluster) == dict.fromkeys(ORDERS, "1.0.0")


def test_once_docker_takes_it_the_removed_container_is_made_and_started_again(tmp_path: Path) -> None:
    cluster = refusing(tmp_path)
    cluster.rounds(40)
    for host in cluster.hosts.values():
        host.engine.by_hand.refused.clear()
    (refused,) = [name for name, tag in containers(cluster).items() if tag == "1.0.1"]
    (host,) = [each for each in cluster.hosts.values() if refused in each.replicas()]
    host.engine.by_hand.remove(refused)
    cluster.rounds(20)

    assert sorted(old_ones(cluster).values()) == ["1.0.0", "1.0.0", "1.0.1"]


def test_a_refused_rollout_with_rollback_ends_with_the_old_containers_and_nothing_else(
    tmp_path: Path,
) -> None:
    cluster = refusing(tmp_path, "rollback")
    before = {raw["Id"] for host in cluster.hosts.values() for raw in host.replicas().values()}
    cluster.rounds(60)

    assert containers(cluster) == dict.fromkeys(ORDERS, "1.0.0")
    assert {raw["Id"] for host in cluster.hosts.values() for raw in host.replicas().values()} == before


@pytest.mark.parametrize(
    ("added", "stops", "state"),
    [
        ({"my-network-overlay": {"aliases": ["x"]}}, 1, "moving"),
        ({"my-network-overlay": {}, "more": {}}, 2, "paused"),
    ],
)
def test_a_running_replica_is_stopped_at_most_twice_for_a_network_that_its_new_container_does_not_get(
    tmp_path: Path, added: dict[str, Any], stops: int, state: str
) -> None:
    overlays = {"more": {"driver": "overlay", "attachable": True}}
    base = document(networks=overlays)
    wanted = document(base, tags={"order": "1.0.1"}, services={"order": {"networks": None}})
    wanted = document(wanted, services={"order": {"networks": added}})
    cluster = SimulatedCluster(tmp_path, base)
    cluster.lan.registry |= images(wanted)
    cluster.put_intent(base)
    cluster.start()
    cluster.settle()
    for host in cluster.hosts.values():
        host.engine.by_hand.refused |= {
            each: "network 0123 not found" for each in images(wanted) if "order" in each
        }
    cluster.put_intent(wanted)
    cluster.rounds(300, seconds=5.0)

    outcomes = [each for agent in cluster.agents.values() for each in agent.outcomes]
    assert len([each for each in outcomes if each.step.verb == "stop"]) == stops
    found = cluster.read(KEYS.rollout("order"))
    rollout = decode(Rollout, found.value) if found else None
    assert rollout is not None
    assert rollout.state == state


# ---- a port that moves between two services in one edit

API, CONSOLE = "prod-api-1", "prod-console-1"
HERE = "node-232"


def with_ports(api: list[str], console: list[str]) -> str:
    """Two services on one host, rolled out with a rollback after a failure."""
    common = {"x-hosts": [HERE], "deploy": {"update_config": {"failure_action": "rollback", "monitor": "3s"}}}
    names = {"api": api, "console": console}
    return document(
        HEAD, services={name: {"image": f"{name}:1", "ports": p, **common} for name, p in names.items()}
    )


def slow(cluster: SimulatedCluster, name: str, passes: int) -> list[str]:
    """A container that ignores its signal for so many passes; returns the names of all that are asked to stop."""
    engine, stops, asked = cluster.hosts[HERE].engine, cluster.hosts[HERE].engine.stop, []
    left = [passes]

    def stop(container: str, grace_s: float) -> None:
        called = engine.by_hand.get(container)["Name"][1:]
        asked.append(called)
        if called == name and left[0]:
            left[0] -= 1
            raise Unreachable("it has not ended yet")
        stops(container, grace_s)

    engine.stop = stop  # type: ignore[method-assign]
    return asked


def published_by(cluster: SimulatedCluster) -> dict[str, list[str]]:
    """The ports of what runs, by name."""
    found = cluster.hosts[HERE].replicas()
    return {name: sorted(port for _, port in published(raw)) for name, raw in found.items() if is_up(raw)}


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (([], ["8081:80"]), (["8081:80"], [])),
        ((["8080:80"], ["8081:80"]), (["8081:80"], ["9090:80"])),
        ((["8080:80"], ["8081:80"]), (["8081:80"], ["8080:80"])),
    ],
)
def test_a_port_that_moves_is_waited_for_and_both_edits_are_carried_out(
    tmp_path: Path, before: tuple[list[str], list[str]], after: tuple[list[str], list[str]]
) -> None:
    cluster = SimulatedCluster(tmp_path, with_ports(*before))
    cluster.put_intent(with_ports(*before))
    cluster.start()
    cluster.settle()
    asked = slow(cluster, CONSOLE, passes=4)
    swaps = sorted(before) == sorted(after)
    cluster.put_intent(with_ports(*after))
    states, seen = set(), []
    for _ in range(60):
        cluster.round(seconds=5.0)
        seen.append(published_by(cluster))
        found = [cluster.read(KEYS.rollout(each)) for each in ("api", "console")]
        states |= {decode(Rollout, each.value).state for each in found if each}

    numbers = [[each.partition(":")[0] for each in side] for side in after]
    assert seen[-1] == dict(zip((API, CONSOLE), numbers, strict=True))
    assert states <= {"moving"}
    assert all(CONSOLE in each for each in seen)
    # Nobody waits for api but where they swap: it is stopped when its port is free, and not before.
    assert swaps or all(API in each for each in seen)
    assert asked.count(API) == 1
