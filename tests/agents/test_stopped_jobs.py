"""A job that its own agent stops is not finished by that: it runs again once what it was stopped for is over."""

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

from agent.model.plan import Step
from agent.model.steps import StopContainer
from tests.agents.test_recreation import NET, subnet
from tests.agents.test_rejoining import REJOIN
from tests.agents.test_strangers import BRIDGE
from tests.support.document import EXAMPLE, SERVICES, document
from tests.support.simulated_cluster import NAMES, Crash, SimulatedCluster, bridges, images
from tests.support.thoroughness import thorough

pytestmark = pytest.mark.usefixtures("unlogged")

VICTIM = "node-232"
MOVED = {NET: {"ipam": {"config": [{"subnet": "10.99.0.0/16", "gateway": "10.99.0.1"}]}}}


def jobs(restart: str, base: str = EXAMPLE) -> str:
    return document(base, services={name: {"restart": restart} for name in SERVICES})


def at_rest(directory: Path, restart: str) -> SimulatedCluster:
    cluster = SimulatedCluster(directory, jobs(restart))
    for host in cluster.hosts.values():
        # Their processes end with 0 when they are stopped, or as `docker stop` ends others.
        _ends_with(host.engine, 0 if restart == "on-failure" else 143)
    cluster.put_intent(jobs(restart))
    cluster.start()
    cluster.settle()
    return cluster


def _ends_with(engine: object, exit_code: int) -> None:
    engine.stop = lambda container, _: engine.by_hand.end(container, exit_code=exit_code)  # type: ignore[attr-defined]


def dies(cluster: SimulatedCluster, when: Callable[[Step], bool], count: int, *, before: bool) -> None:
    """Let the victim's agent end before or after its `count`-th step of that kind."""
    left = [count]

    def told(step: Step) -> None:
        left[0] -= when(step)
        if when(step) and left[0] == 0:
            raise Crash

    setattr(cluster.agents[VICTIM], "before" if before else "after", told)


def dies_in_the_stop(cluster: SimulatedCluster) -> None:
    """Let the victim's agent end in its first stop, before docker hears of it."""
    engine = cluster.hosts[VICTIM].engine
    stop = engine.stop

    def ends(*_: object) -> None:
        engine.stop = stop  # type: ignore[method-assign]
        raise Crash

    engine.stop = ends  # type: ignore[assignment, method-assign]


def rounds(cluster: SimulatedCluster, count: int) -> None:
    """Let time pass, with another agent on the victim's host when its agent ends."""
    for _ in range(count):
        with suppress(Crash):
            cluster.round()
            continue
        cluster.lose_agent(VICTIM)
        cluster.start(VICTIM)


def of_containers(step: Step) -> bool:
    return step.kind == "container"


KILLS = [0, 1, 2, 3, 4, "in the stop"]


def kill(cluster: SimulatedCluster, when: int | str) -> None:
    if when == "in the stop":
        dies_in_the_stop(cluster)
    elif isinstance(when, int) and when:
        dies(cluster, of_containers, when, before=False)


@pytest.mark.parametrize("when", KILLS)
@pytest.mark.parametrize("restart", ["no", "on-failure"])
def test_after_its_overlay_was_recreated(tmp_path: Path, restart: str, when: int | str) -> None:
    cluster = at_rest(tmp_path, restart)
    running, ids = cluster.running(), cluster.ids()
    kill(cluster, when)
    cluster.put_intent(
        document(jobs(restart), networks=MOVED, policy={"allow_network_recreate": True}),
    )
    rounds(cluster, 40)
    cluster.settle()

    assert subnet(cluster) == "10.99.0.0/16"
    assert (cluster.running(), cluster.ids()) == (running, ids)


@pytest.mark.parametrize("when", KILLS)
@pytest.mark.parametrize("restart", ["no", "on-failure"])
def test_after_it_left_the_network_of_a_stranger(tmp_path: Path, restart: str, when: int | str) -> None:
    cluster = at_rest(tmp_path, restart)
    host, running = cluster.hosts[VICTIM], cluster.running()
    kill(cluster, when)
    host.engine.nets.local[NET] = BRIDGE
    for raw in host.replicas().values():
        raw["NetworkSettings"]["Networks"][NET] |= {"NetworkID": BRIDGE.id, "IPAddress": "172.30.0.2"}
    rounds(cluster, 8)
    assert not host.running()

    del host.engine.nets.local[NET]
    cluster.settle()
    assert cluster.running() == running


@pytest.mark.parametrize(
    ("restart", "when"),
    [(each, when) for each in ("no", "on-failure") for when in (KILLS if thorough else (1, 3))],
)
def test_after_its_host_left_the_swarm_and_came_back(tmp_path: Path, restart: str, when: int | str) -> None:
    cluster = at_rest(tmp_path, restart)
    running = cluster.running()
    kill(cluster, when)
    cluster.put_intent(document(jobs(restart, REJOIN)))
    rounds(cluster, 150)
    cluster.settle()

    assert bridges([cluster.hosts[name] for name in NAMES]) == {"172.22.16.0/20 172.22.16.1"}
    assert cluster.running() == running


def edited(restart: str) -> str:
    return document(jobs(restart), tags={"order": "9.9"})


@pytest.mark.parametrize("when", [0, 1, 2, 3, 4, 5, "in the stop"])
@pytest.mark.parametrize("restart", ["no", "on-failure"])
def test_after_docker_refused_what_was_to_replace_it(tmp_path: Path, restart: str, when: int | str) -> None:
    cluster = at_rest(tmp_path, restart)
    running, ids = cluster.running(), cluster.ids()
    new = edited(restart)
    image = next(each for each in images(new) if each.endswith(":9.9"))
    for host in cluster.hosts.values():
        host.engine.by_hand.refused[image] = "exec: /bin/nothing: no such file or directory"
    cluster.lan.registry.add(image)
    kill(cluster, when)
    cluster.put_intent(new)
    rounds(cluster, 40)
    assert cluster.running() == running

    cluster.put_intent(jobs(restart))
    rounds(cluster, 20)
    cluster.settle()
    assert (cluster.running(), cluster.ids()) == (running, ids)


def test_an_edit_that_is_undone_while_the_job_is_stopped_for_it(tmp_path: Path) -> None:
    cluster = at_rest(tmp_path, "no")
    running = cluster.running()
    dies(cluster, lambda step: isinstance(step, StopContainer), 1, before=False)
    cluster.put_intent(document(jobs("no"), replicas={"order": {"node-231": 1}}))
    while VICTIM in cluster.agents:
        try:
            cluster.round()
        except Crash:
            cluster.lose_agent(VICTIM)
    assert cluster.hosts[VICTIM].running() != running[VICTIM]
    cluster.put_intent(jobs("no"))
    cluster.rounds(5)
    cluster.start(VICTIM)
    cluster.settle()

    assert cluster.running() == running


@pytest.mark.parametrize("restart", ["no", "on-failure"])
def test_a_stop_by_hand_and_an_end_by_itself_are_ends_also_later(tmp_path: Path, restart: str) -> None:
    cluster = at_rest(tmp_path, restart)
    cluster.put_intent(document(jobs(restart), networks=MOVED, policy={"allow_network_recreate": True}))
    rounds(cluster, 40)
    cluster.settle()
    host, running = cluster.hosts[VICTIM], cluster.running()
    (first, second, *_) = host.running()
    host.engine.by_hand.end(first, exit_code=0)
    host.engine.by_hand.end(second, exit_code=0)
    rounds(cluster, 20)

    assert host.running().keys() == running[VICTIM].keys() - {first, second}


@pytest.mark.parametrize("restart", ["no", "on-failure"])
def test_a_host_whose_jobs_have_finished_is_at_rest(tmp_path: Path, restart: str) -> None:
    cluster = at_rest(tmp_path, restart)
    for host in cluster.hosts.values():
        for container in tuple(host.engine.by_hand.raws):
            host.engine.by_hand.end(container, exit_code=0)

    cluster.settle()

    assert {agent.loop.look_again_s for agent in cluster.agents.values()} == {0.0}
