"""A host that cannot create the swarm at the first boot passes lock and claim on to a manager that can."""

from collections.abc import Callable
from contextlib import suppress
from ipaddress import IPv4Network
from pathlib import Path
from typing import Any

import pytest

from agent.errors import Refused
from agent.model.host_state import NetworkState
from agent.model.leader_steps import PublishSwarm
from agent.model.plan import Step
from agent.model.steps import InitSwarm
from tests.fakes.engine import FakeEngine
from tests.support.document import document
from tests.support.simulated_cluster import NAMES, Crash, SimulatedCluster

pytestmark = pytest.mark.usefixtures("unlogged")

TAKEN = Refused(
    "failed to listen on remote API address: listen tcp 0.0.0.0:2377: bind: address already in use"
)
TWO_MANAGERS = document(roles={"node-233": "worker"})


def cannot_init(engine: FakeEngine, error: Refused = TAKEN) -> None:
    """Every init fails as on a host with a local fault, and changes nothing."""

    def refuse(**_: Any) -> None:
        raise error

    engine.init_swarm = refuse  # type: ignore[method-assign]


def starts(directory: Path, text: str, *, first: str = NAMES[0]) -> SimulatedCluster:
    """A cluster before its first boot, whose first agent takes the lock."""
    cluster = SimulatedCluster(directory)
    cluster.put_intent(text)
    cluster.start(first)
    cluster.round()
    return cluster


def overlapping_bridge(engine: FakeEngine) -> None:
    """A network of somebody else has the subnet that docker_gwbridge shall have."""
    local = engine.nets.local
    local["theirs"] = NetworkState(
        id="theirs", name="theirs", driver="bridge", scope="local", subnet=IPv4Network("172.16.0.0/12"),
        gateway="172.16.0.1",
    )  # fmt: skip


@pytest.mark.parametrize("fault", [cannot_init, overlapping_bridge], ids=["init refused", "bridge overlaps"])
def test_another_manager_creates_the_swarm(tmp_path: Path, fault: Callable[[FakeEngine], None]) -> None:
    cluster = starts(tmp_path, TWO_MANAGERS)
    fault(cluster.hosts[NAMES[0]].engine)
    cluster.start(*NAMES[1:])

    cluster.rounds(60)

    record = cluster.record()
    assert record is not None
    assert record.swarm_id
    assert record.claimed_by == "node-232"
    assert cluster.leader().name == "node-232"
    assert cluster.hosts["node-233"].swarm_id == record.swarm_id


def test_a_fault_that_all_managers_have_is_passed_around_and_the_first_that_is_mended_creates_it(
    tmp_path: Path,
) -> None:
    cluster = starts(tmp_path, document())
    for host in cluster.hosts.values():
        cannot_init(host.engine)
    cluster.start(*NAMES[1:])
    claimants: list[str] = []
    for _ in range(120):
        cluster.round(seconds=10.0)
        if (record := cluster.record()) and claimants[-1:] != [record.claimed_by]:
            claimants.append(record.claimed_by)
    assert set(claimants) == set(NAMES)
    assert len(claimants) <= 9  # the lock does not wander with every pass
    assert all(host.swarm_id is None for host in cluster.hosts.values())

    del cluster.hosts["node-233"].engine.init_swarm
    cluster.rounds(150, seconds=10.0)

    found = cluster.record()
    assert found is not None
    assert (found.claimed_by, found.unable) == ("node-233", ())
    assert cluster.hosts["node-233"].swarm_id == found.swarm_id


def test_a_dockerd_that_dies_with_the_claim_passes_it_on_and_the_swarm_it_made_unseen_is_dissolved(
    tmp_path: Path,
) -> None:
    cluster = starts(tmp_path, TWO_MANAGERS)
    engine = cluster.hosts[NAMES[0]].engine
    init = engine.init_swarm

    def make_it_and_die(**given: Any) -> None:
        init(**given)
        engine.go_down()
        raise Refused("EOF")

    engine.init_swarm = make_it_and_die  # type: ignore[method-assign]
    cluster.start(*NAMES[1:])
    cluster.rounds(60, seconds=10.0)
    record = cluster.record()
    assert record is not None
    assert record.claimed_by == "node-232"
    assert record.swarm_id

    del engine.init_swarm
    engine.boot()
    cluster.settle()
    assert {host.swarm_id for host in cluster.hosts.values()} == {record.swarm_id}


def dies_after_init(cluster: SimulatedCluster, *names: str) -> list[str]:
    """Let the agents of these hosts end between their init and its publication; return the list of those that did."""
    ended: list[str] = []

    def ends(name: str) -> Callable[[Step], None]:
        def after(step: Step) -> None:
            if isinstance(step, InitSwarm):
                ended.append(name)
                raise Crash

        return after

    for name in names:
        cluster.agents[name].after = ends(name)
    return ended


def goes_on(cluster: SimulatedCluster, seconds: int) -> None:
    for _ in range(seconds):
        for name in tuple(cluster.agents):
            with suppress(Crash):
                cluster.agents[name].turn()
                continue
            cluster.lose_agent(name)
        cluster.clock.advance(1.0)


@pytest.mark.parametrize("mortal", [NAMES[:2], NAMES], ids=["two of three", "all"])
def test_leaders_that_die_one_after_the_other_with_a_swarm_that_nobody_knows_leave_one_swarm(
    tmp_path: Path, mortal: tuple[str, ...]
) -> None:
    cluster = SimulatedCluster(tmp_path)
    cluster.put_intent(document())
    cluster.start()
    ended = dies_after_init(cluster, *mortal)

    goes_on(cluster, 120)
    assert sorted(ended) == sorted(mortal)
    record = cluster.record()
    published = record.swarm_id if record else None
    assert bool(published) == (mortal != NAMES)
    cluster.start(*ended)
    cluster.settle()

    (swarm_id,) = {host.swarm_id for host in cluster.hosts.values()}
    assert swarm_id
    assert published in (None, swarm_id)


def test_a_leader_that_dies_twice_before_it_publishes_its_swarm_keeps_it(tmp_path: Path) -> None:
    cluster = starts(tmp_path, document())
    ended = dies_after_init(cluster, NAMES[0])
    goes_on(cluster, 10)
    made = cluster.hosts[NAMES[0]].swarm_id
    cluster.start(NAMES[0])

    def before(step: Step) -> None:
        if isinstance(step, PublishSwarm):
            raise Crash

    cluster.agents[NAMES[0]].before = before
    goes_on(cluster, 30)
    assert (ended, NAMES[0] in cluster.agents) == ([NAMES[0]], False)
    cluster.start()
    cluster.settle()

    assert {host.swarm_id for host in cluster.hosts.values()} == {made}


def test_a_claimant_whose_failures_pass_keeps_the_claim(tmp_path: Path) -> None:
    cluster = starts(tmp_path, TWO_MANAGERS)
    engine = cluster.hosts[NAMES[0]].engine
    left = [TAKEN, TAKEN]
    init = engine.init_swarm

    def fail_twice(**given: Any) -> None:
        if left:
            raise left.pop()
        init(**given)

    engine.init_swarm = fail_twice  # type: ignore[method-assign]
    cluster.start(*NAMES[1:])
    cluster.settle()

    record = cluster.record()
    assert record is not None
    assert record.claimed_by == NAMES[0]
