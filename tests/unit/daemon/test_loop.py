"""The loop with all its real parts, three hosts of it, from the example document to whatever can happen."""

import threading
import time
from collections.abc import Callable, Iterator, MutableMapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import structlog
from prometheus_client.parser import text_string_to_metric_families

from agent.daemon import loop as reconcile
from agent.daemon.loop import UNSETTLED_S, Reconciler
from agent.daemon.triggers import WakeUps
from agent.errors import Unreachable
from agent.model.observed import Observed
from agent.model.plan import Plan
from agent.model.records import decode
from agent.model.status import HostStatus
from agent.model.steps import BRIDGE
from agent.observe import Observer
from agent.report.status_key import CHECK_S
from tests.support.document import EXAMPLE, SERVICES, document
from tests.support.etcd_server import eventually
from tests.support.simulated_cluster import (
    KEYS,
    NAMES,
    TTL_S,
    SimulatedAgent,
    SimulatedCluster,
    bridges,
    images,
)

REGISTRY = "10.159.62.231/somecom"
EXPECTED = {
    "node-231": {
        "prod-order-1": f"{REGISTRY}/order:1.0.0",
        "prod-order-2": f"{REGISTRY}/order:1.0.0",
        "prod-console-1": f"{REGISTRY}/console:1.0.0",
    },
    "node-232": {
        "prod-order-3": f"{REGISTRY}/order:1.0.0",
        "prod-billing-1": f"{REGISTRY}/billing:1.0.0",
        "prod-api-1": f"{REGISTRY}/api:1.0.0",
    },
    "node-233": {
        "prod-terminal-1": f"{REGISTRY}/terminal:1.0.0",
        "prod-api-2": f"{REGISTRY}/api:1.0.0",
    },
}
NEWER = document(tags={"order": "1.0.1"})
WITHIN_S = 5.0


@pytest.fixture(autouse=True)
def logged() -> Iterator[list[MutableMapping[str, Any]]]:
    """What is logged meanwhile."""
    with structlog.testing.capture_logs() as lines:
        yield lines


@pytest.fixture
def cluster(tmp_path: Path) -> SimulatedCluster:
    """Three hosts with nothing on them, the example in etcd, every image to be had."""
    cluster = SimulatedCluster(tmp_path)
    cluster.lan.registry |= images(NEWER)
    cluster.put_intent()
    cluster.start()
    return cluster


@pytest.fixture
def settled(cluster: SimulatedCluster) -> SimulatedCluster:
    """The same, after its first boot."""
    cluster.settle()
    return cluster


def value(agent: SimulatedAgent, name: str, **labels: str) -> float | None:
    for family in text_string_to_metric_families(agent.metrics.exposition().decode()):
        for sample in family.samples:
            if sample.name == f"swarmkeeper_{name}" and sample.labels == labels:
                return sample.value
    return None


# ---- the first boot


def test_three_empty_hosts_become_the_cluster_of_the_example(cluster: SimulatedCluster) -> None:
    assert cluster.settle() <= 14

    assert cluster.running() == EXPECTED
    assert bridges(list(cluster.hosts.values())) == {"172.21.0.0/20 172.21.0.1"}
    record = cluster.record()
    assert record is not None
    assert {host.swarm_id for host in cluster.hosts.values()} == {record.swarm_id}
    assert len(record.managers) == 3
    assert record.networks == ("my-network-overlay",)


def test_the_bridge_is_there_before_the_host_enters_a_swarm(settled: SimulatedCluster) -> None:
    for agent in settled.agents.values():
        done = [each.step.resource for each in agent.outcomes]
        assert done.index(BRIDGE) < done.index("swarm")
        assert not agent.failed()


def test_a_claimant_that_starts_again_before_it_could_init_still_makes_the_swarm(
    cluster: SimulatedCluster,
) -> None:
    while cluster.record() is None:
        cluster.round()
    record = cluster.record()
    assert record is not None
    assert record.swarm_id is None
    cluster.start(record.claimed_by)  # its lock lingers on the lease of the run before
    others = [name for name in NAMES if name != record.claimed_by]
    for _ in range(int(TTL_S) + 1):
        cluster.round(*others, record.claimed_by)
    cluster.settle()
    assert cluster.running() == EXPECTED


def test_no_join_token_is_left_when_everybody_is_in(settled: SimulatedCluster) -> None:
    assert settled.read(KEYS.tokens) is None


def test_every_host_says_that_it_carried_the_document_out(settled: SimulatedCluster) -> None:
    verdict = settled.verdict()
    assert verdict is not None
    for name in NAMES:
        found = settled.read(KEYS.status(name))
        assert found is not None
        status = decode(HostStatus, found.value)
        assert (status.revision, status.steps, status.blocked) == (verdict.revision, (), ())


def test_a_cluster_at_rest_writes_nothing_and_changes_nothing(settled: SimulatedCluster) -> None:
    settled.rounds(12)  # who is on the overlays is looked at every 10 s
    revision, ids = settled.etcd.revision, settled.ids()
    steps = sum(len(agent.outcomes) for agent in settled.agents.values())
    settled.rounds(20)
    assert settled.etcd.revision == revision
    assert settled.ids() == ids
    assert sum(len(agent.outcomes) for agent in settled.agents.values()) == steps


def test_agents_started_again_find_nothing_to_do(settled: SimulatedCluster) -> None:
    ids = settled.ids()
    settled.start()
    settled.clock.advance(TTL_S)
    settled.settle()
    assert settled.ids() == ids
    done = {each.step.kind for agent in settled.agents.values() for each in agent.outcomes}
    assert done == {"leadership"}


# ---- replicas


def test_killed_and_removed_replicas_come_back(settled: SimulatedCluster) -> None:
    for host in settled.hosts.values():
        names = sorted(host.replicas())
        host.engine.by_hand.end(names[0], exit_code=137)
        host.engine.by_hand.remove(names[1], force=True)
    settled.settle()
    assert settled.running() == EXPECTED


def test_a_new_document_replaces_the_replicas_it_changes_and_no_others(settled: SimulatedCluster) -> None:
    before = settled.ids()
    settled.put_intent(NEWER)
    settled.settle()
    running = settled.running()
    assert running["node-231"]["prod-order-1"] == f"{REGISTRY}/order:1.0.1"
    assert running["node-232"]["prod-order-3"] == f"{REGISTRY}/order:1.0.1"
    assert len(settled.ids() & before) == 5


def test_a_service_taken_out_goes_away_and_a_foreign_container_stays(settled: SimulatedCluster) -> None:
    foreign = settled.hosts["node-233"].engine.run_foreign("prod-terminal-2")
    settled.put_intent(document(services={"terminal": None, "api": None}))
    settled.settle()
    assert settled.running()["node-233"] == {}
    assert settled.hosts["node-233"].engine.by_hand.get(foreign)["State"]["Status"] == "running"


# ---- a bad document


@pytest.mark.parametrize(
    "text",
    [
        "",
        "services: {order: {image: 1, image: 2}}",
        document(services={name: {"restart": "sometimes"} for name in SERVICES}),
        document(name="Prod Uction"),
        EXAMPLE[:400],
        "\x00",
    ],
)
def test_a_bad_document_is_refused_and_changes_nothing(settled: SimulatedCluster, text: str) -> None:
    before, accepted = settled.ids(), settled.read(KEYS.accepted)
    settled.put_intent(text)
    settled.rounds(5)
    verdict = settled.verdict()
    assert verdict is not None
    assert not verdict.accepted
    assert verdict.errors
    assert settled.read(KEYS.accepted) == accepted
    assert (settled.ids(), settled.running()) == (before, EXPECTED)
    assert [each.resource for each in settled.leader().plan.blocked] == ["intent"]


def test_a_deleted_intent_changes_nothing(settled: SimulatedCluster) -> None:
    before = settled.ids()
    settled.delete(KEYS.intent)
    settled.rounds(5)
    assert settled.ids() == before
    assert settled.running() == EXPECTED


# ---- keys that cannot be read


@pytest.mark.parametrize("key", [KEYS.assignment("node-232"), KEYS.verdict, KEYS.status("node-232")])
def test_what_agents_write_is_written_again_when_it_is_damaged(settled: SimulatedCluster, key: str) -> None:
    before = settled.ids()
    settled.put(key, b"\x00")
    settled.clock.advance(CHECK_S)
    settled.settle()
    settled.round()
    assert all(agent.at_rest for agent in settled.agents.values())
    found = settled.read(key)
    assert found is not None
    assert found.value != b"\x00"
    assert settled.ids() == before


def test_damaged_and_lost_specs_are_written_again(settled: SimulatedCluster) -> None:
    keys = sorted(each for each in settled.written() if each.startswith(KEYS.specs))
    settled.put(keys[0], b"{}")
    settled.delete(keys[1])
    settled.settle()
    settled.start()
    settled.clock.advance(TTL_S)
    settled.settle()
    assert sorted(each for each in settled.written() if each.startswith(KEYS.specs)) == keys


def test_a_damaged_accepted_document_stays_accepted_and_says_so(settled: SimulatedCluster) -> None:
    settled.put(KEYS.accepted, b"\x00")
    settled.hosts["node-231"].engine.by_hand.remove("prod-console-1", force=True)
    settled.rounds(5)
    assert settled.running() == EXPECTED
    for agent in settled.agents.values():
        assert KEYS.accepted in {each.resource for each in agent.plan.blocked}


def test_a_damaged_record_of_the_swarm_is_held_and_written_again_when_it_is_deleted(
    settled: SimulatedCluster,
) -> None:
    record = settled.record()
    settled.put(KEYS.swarm, b"\x00")
    settled.rounds(3)
    found = settled.read(KEYS.swarm)
    assert found is not None
    assert found.value == b"\x00"
    assert settled.running() == EXPECTED
    settled.delete(KEYS.swarm)
    settled.settle()
    after = settled.record()
    assert record is not None
    assert after is not None
    assert after.swarm_id == record.swarm_id


# ---- etcd is away


def test_without_etcd_replicas_are_still_repaired(settled: SimulatedCluster) -> None:
    for agent in settled.agents.values():
        agent.cut_etcd()
    settled.hosts["node-232"].engine.by_hand.remove("prod-api-1", force=True)
    settled.rounds(int(2 * TTL_S))
    assert settled.running() == EXPECTED
    assert all("store" in {each.resource for each in agent.plan.blocked} for agent in settled.agents.values())


def test_without_etcd_nobody_leads_and_nobody_writes(settled: SimulatedCluster) -> None:
    for agent in settled.agents.values():
        agent.cut_etcd()
    before = settled.written()
    settled.rounds(int(2 * TTL_S))
    assert not any(agent.leads for agent in settled.agents.values())
    assert settled.written() == before
    for agent in settled.agents.values():
        agent.heal_etcd()
    settled.settle()
    assert settled.leader().leads


def test_a_host_that_boots_while_etcd_is_away_runs_what_it_last_knew(settled: SimulatedCluster) -> None:
    host = settled.hosts["node-231"]
    for name in list(host.replicas()):
        host.engine.by_hand.end(name)
    settled.start("node-231")
    settled.agents["node-231"].cut_etcd()
    settled.round("node-231")
    settled.round("node-231")
    assert host.running() == EXPECTED["node-231"]


def test_one_host_cut_from_etcd_hinders_no_other(settled: SimulatedCluster) -> None:
    lost = settled.leader()
    lost.cut_etcd()
    settled.rounds(int(TTL_S) + 5)
    assert settled.leader() is not lost
    settled.put_intent(NEWER)
    settled.rounds(10)
    others = {name: running for name, running in settled.running().items() if name != lost.name}
    assert f"{REGISTRY}/order:1.0.1" in others["node-232"].values()
    assert settled.running()[lost.name] == EXPECTED[lost.name]


# ---- the leader is gone


def test_when_the_leader_is_gone_another_one_leads_and_publishes(settled: SimulatedCluster) -> None:
    lost = settled.leader().name
    settled.lose_agent(lost)
    settled.put_intent(NEWER)
    settled.round()
    verdict = settled.verdict()
    assert verdict is not None
    settled.rounds(int(TTL_S) + 5)
    assert settled.leader().name != lost
    after = settled.verdict()
    assert after is not None
    assert after.revision > verdict.revision
    assert settled.running()["node-232"]["prod-order-3"] == f"{REGISTRY}/order:1.0.1"
    assert settled.running()[lost] == EXPECTED[lost]


def test_a_leader_that_ends_in_order_is_followed_at_once(settled: SimulatedCluster) -> None:
    lost = settled.leader()
    lost.session.close()
    settled.lose_agent(lost.name)
    settled.rounds(2)
    assert settled.leader().name != lost.name


def test_a_leader_whose_dockerd_is_away_goes_on_leading(settled: SimulatedCluster) -> None:
    leader = settled.leader()
    leader.host.engine.answers = False
    settled.put_intent(NEWER)
    settled.rounds(5)
    assert settled.leader() is leader
    verdict = settled.verdict()
    assert verdict is not None
    assert verdict.accepted
    assert settled.running()["node-232"]["prod-order-3"] == f"{REGISTRY}/order:1.0.1"


def test_a_lock_that_an_operator_deletes_is_taken_again_and_never_by_two(settled: SimulatedCluster) -> None:
    settled.delete(KEYS.leader)
    settled.rounds(3)
    assert settled.leader().leads


# ---- failures


def pulls(agent: SimulatedAgent) -> int:
    return agent.host.engine.calls.count("pull")


def test_an_image_that_is_not_to_be_had_leaves_the_old_replica_running(settled: SimulatedCluster) -> None:
    settled.lan.registry -= images(NEWER) - images(EXAMPLE)
    settled.put_intent(NEWER)
    settled.rounds(10)
    assert settled.running() == EXPECTED


def test_a_failing_step_is_tried_ever_less_often(settled: SimulatedCluster) -> None:
    settled.lan.registry -= images(NEWER) - images(EXAMPLE)
    settled.put_intent(NEWER)
    settled.rounds(4)
    agent = settled.agents["node-231"]
    before = pulls(agent)
    settled.rounds(120)
    assert 4 <= pulls(agent) - before <= 8


def test_a_new_document_is_tried_at_once_whatever_failed_before(settled: SimulatedCluster) -> None:
    settled.lan.registry -= images(NEWER) - images(EXAMPLE)
    settled.put_intent(NEWER)
    settled.rounds(100)
    settled.put_intent(NEWER + "\n# the same again\n")
    agent = settled.agents["node-231"]
    before = pulls(agent)
    settled.rounds(4)
    assert pulls(agent) > before


def test_what_failed_is_put_right_by_itself_when_the_cause_is_gone(settled: SimulatedCluster) -> None:
    settled.lan.registry_answers = False
    settled.put_intent(NEWER)
    settled.rounds(20)
    settled.lan.registry_answers = True
    settled.settle(within=130)
    assert settled.running()["node-231"]["prod-order-1"] == f"{REGISTRY}/order:1.0.1"


def test_a_dockerd_that_was_away_finds_its_replicas_again(settled: SimulatedCluster) -> None:
    host = settled.hosts["node-233"]
    host.engine.answers = False
    for name in list(host.replicas()):
        host.engine.by_hand.end(name)
    settled.rounds(5)
    blocked = settled.agents["node-233"].plan.blocked
    assert [each.resource for each in blocked] == ["engine"]
    host.engine.answers = True
    settled.settle()
    assert settled.running() == EXPECTED


@pytest.mark.parametrize("published", [True, False])
def test_a_host_of_the_swarm_does_not_look_again_because_dockerd_has_its_own_port(
    settled: SimulatedCluster, published: bool
) -> None:
    """A replica that publishes a port is missing: the ports in use are looked at, and dockerd's own is among them."""
    agent, host = settled.agents["node-231"], settled.hosts["node-231"]
    name = "prod-console-1" if published else "prod-order-1"
    host.engine.by_hand.end(name)
    host.engine.start = lambda *_: None  # type: ignore[method-assign]
    settled.clock.advance(30.0)
    agent.turn()
    assert agent.loop.look_again_s == 0.0


def test_replicas_wait_for_a_leader_of_the_swarm_and_are_started_as_soon_as_there_is_one(
    settled: SimulatedCluster,
) -> None:
    agent, host = settled.agents["node-231"], settled.hosts["node-231"]
    others = [settled.hosts[name].engine for name in ("node-232", "node-233")]
    for each in others:
        each.answers = False
    host.engine.by_hand.end("prod-order-1")
    starts = host.engine.calls.count("start")
    for _ in range(10):
        agent.turn()
        settled.clock.advance(1.0)
    assert host.engine.calls.count("start") == starts
    assert [each.resource for each in agent.plan.waiting] == ["container/prod-order-1"]
    ((timeout_s, _),) = run_passes(agent, 1)
    assert timeout_s == UNSETTLED_S
    for each in others:
        each.answers = True
    settled.settle()
    assert settled.running() == EXPECTED


@pytest.mark.parametrize(
    "words", ["network xyz not found", "Could not attach to network xyz: context deadline exceeded"]
)
def test_a_replica_that_docker_gave_up_on_is_started_ever_less_often_until_it_runs(
    settled: SimulatedCluster, words: str
) -> None:
    agent, host = settled.agents["node-231"], settled.hosts["node-231"]
    host.engine.by_hand.end("prod-order-1")
    host.engine.by_hand.get("prod-order-1")["State"]["Error"] = words
    calls = len(host.engine.calls)
    for _ in range(60):
        host.engine.failures["start"] = Unreachable(words)
        agent.turn()
        settled.clock.advance(1.0)
    assert 5 <= host.engine.calls[calls:].count("start") <= 8
    host.engine.failures.clear()
    settled.rounds(70)
    assert settled.running() == EXPECTED


def test_what_failed_before_is_tried_at_once_when_dockerd_is_back(settled: SimulatedCluster) -> None:
    agent, host = settled.agents["node-231"], settled.hosts["node-231"]
    host.engine.by_hand.end("prod-order-1")
    for _ in range(40):
        host.engine.failures["start"] = Unreachable("context deadline exceeded")
        agent.turn()
        settled.clock.advance(1.0)
    host.engine.failures.clear()
    assert (agent.dispatcher.next_retry() or 0) > 4.0
    host.engine.answers = False
    agent.turn()
    host.engine.answers = True
    agent.turn()
    agent.turn()
    assert "prod-order-1" in settled.running()["node-231"]


def test_a_port_that_nobody_has_is_told_until_dockerd_has_forgotten_it(settled: SimulatedCluster) -> None:
    agent, host = settled.agents["node-233"], settled.hosts["node-233"]
    host.engine.by_hand.kept_ports.add(("tcp", "20880"))
    host.engine.by_hand.end("prod-terminal-1")
    for _ in range(3):
        agent.turn()
        settled.clock.advance(1.0)
    told = [each for each in agent.plan.blocked if each.kind == "port"]
    assert [each.resource for each in told] == ["container/prod-terminal-1"]
    assert "systemctl restart docker" in told[0].reason
    host.engine.by_hand.kept_ports.clear()
    settled.settle()
    assert settled.running() == EXPECTED


def test_a_port_that_another_container_has_is_told_with_its_name_and_not_tried(
    settled: SimulatedCluster,
) -> None:
    agent, host = settled.agents["node-233"], settled.hosts["node-233"]
    host.engine.by_hand.end("prod-terminal-1")
    host.engine.run_foreign("nginx", PortBindings={"80/tcp": [{"HostPort": "20880"}]})
    calls = len(host.engine.calls)
    for _ in range(20):
        agent.turn()
        settled.clock.advance(1.0)
    assert [each.reason for each in agent.plan.blocked] == ["port 20880/tcp is used by the container nginx"]
    assert "start" not in host.engine.calls[calls:]
    host.engine.by_hand.end("nginx")
    settled.settle()
    assert settled.running() == EXPECTED


# ---- the loop itself


class Sleeper(WakeUps):
    """Notes how long the loop would have slept, and ends it after a few passes."""

    def __init__(self, loop: Reconciler, passes: int) -> None:
        super().__init__()
        self.slept: list[tuple[float, float]] = []
        self._loop, self._passes = loop, passes

    def wait(self, timeout_s: float, settle_s: float = 0.0) -> frozenset[str]:
        self.slept.append((timeout_s, settle_s))
        if len(self.slept) >= self._passes:
            self._loop.stop()
        return frozenset()


def run_passes(agent: SimulatedAgent, count: int) -> list[tuple[float, float]]:
    """Run the loop's own thread function for so many passes; returns what it would have slept after each."""
    agent.loop._wake = sleeper = Sleeper(agent.loop, count)
    agent.loop.run()
    return sleeper.slept


def test_a_loop_with_nothing_to_retry_sleeps_until_the_resync_which_hosts_do_at_different_times(
    settled: SimulatedCluster,
) -> None:
    settled.rounds(10)  # until the leader has written its events
    slept = run_passes(settled.agents["node-231"], 20)
    assert all(27.0 <= timeout_s <= 33.0 for timeout_s, _ in slept)
    assert len({timeout_s for timeout_s, _ in slept}) > 1
    assert {settle_s for _, settle_s in slept} == {0.05}


@pytest.mark.parametrize(("took_s", "rests_s"), [(0.01, 0.05), (0.75, 0.75), (4.0, 2.0)])
def test_a_leader_gathers_reasons_for_as_long_as_its_last_pass_took(
    settled: SimulatedCluster, took_s: float, rests_s: float
) -> None:
    leader, follower = settled.leader(), settled.follower()
    for agent in (leader, follower):
        observe = agent.observer.observe

        def slowly(*names: Any, observe: Any = observe) -> Any:
            settled.clock.advance(took_s)
            return observe(*names)

        agent.observer.observe = slowly  # type: ignore[assignment]
    assert [settle_s for _, settle_s in run_passes(leader, 1)] == [pytest.approx(rests_s)]
    assert [settle_s for _, settle_s in run_passes(follower, 1)] == [0.05]


def test_a_waiting_retry_bounds_the_sleep_of_the_loop(settled: SimulatedCluster) -> None:
    settled.hosts["node-231"].engine.by_hand.end("prod-order-1")
    agent = settled.agents["node-231"]
    agent.host.engine.failures["start"] = Unreachable("dockerd is busy")
    agent.turn()
    assert agent.failed() == ["dockerd is busy"]
    settled.clock.advance(0.25)
    ((timeout_s, _),) = run_passes(agent, 1)
    assert timeout_s == 0.75


class Broken(Exception):
    """A fault of ours."""


@pytest.mark.parametrize("part", [(Observer, "observe"), (reconcile, "make_plan")])
def test_a_fault_of_ours_in_one_pass_is_counted_and_the_next_pass_is_made(
    settled: SimulatedCluster,
    part: tuple[object, str],
    monkeypatch: pytest.MonkeyPatch,
    logged: list[MutableMapping[str, Any]],
) -> None:
    agent = settled.agents["node-231"]
    before = value(agent, "reconcile_total", result="error")
    assert before is not None
    break_twice(part, monkeypatch)
    assert len(run_passes(agent, 3)) == 3
    assert value(agent, "reconcile_total", result="error") == before + 2
    assert [each["reasons"] for each in logged if each["event"] == "pass failed"] == ["start", "resync"]
    assert agent.at_rest


def break_twice(part: tuple[object, str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a function raise two times, and then do its work again."""
    owner, name = part
    whole, left = getattr(owner, name), [Broken("first"), Broken("second")]

    def perhaps(*arguments: object, **more: object) -> object:
        if left:
            raise left.pop(0)
        return whole(*arguments, **more)

    monkeypatch.setattr(owner, name, perhaps)


def test_a_pass_that_breaks_does_not_count_as_one_for_the_watchdog(
    settled: SimulatedCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    agent = settled.agents["node-231"]
    last = agent.loop.last_pass_at
    settled.clock.advance(100)
    break_twice((Observer, "observe"), monkeypatch)
    for _ in range(2):
        with pytest.raises(Broken):
            agent.look()
    assert agent.loop.last_pass_at == last
    agent.look()
    assert agent.loop.last_pass_at == settled.clock.now


# ---- with its threads


@contextmanager
def running(cluster: SimulatedCluster, name: str) -> Iterator[SimulatedAgent]:
    """An agent of that host with threads of its own: the loop, its workers, its triggers."""
    cluster.start(name, stepped=False)
    agent = cluster.agents[name]
    agent.session.run_once()
    agent.triggers.start(agent.observer.watched())
    thread = threading.Thread(target=agent.loop.run)
    thread.start()
    try:
        yield agent
    finally:
        agent.loop.stop()
        agent.triggers.close()
        thread.join(WITHIN_S)
        assert not thread.is_alive()
        assert agent.dispatcher.close(WITHIN_S)


def passes(agent: SimulatedAgent) -> int:
    return agent.host.engine.calls.count("networks")


def quiet(agent: SimulatedAgent) -> Callable[[], bool]:
    """A condition: it found nothing to do, and no pass was made for a while."""
    seen = [(-1, 0.0)]

    def is_quiet() -> bool:
        now = passes(agent)
        if now != seen[0][0]:
            seen[0] = (now, time.monotonic())
        return time.monotonic() - seen[0][1] > 0.15

    return is_quiet


def test_a_burst_of_wake_ups_is_one_pass(settled: SimulatedCluster) -> None:
    settled.lose_agent("node-233")
    with running(settled, "node-233") as agent:
        eventually(quiet(agent), WITHIN_S)
        before = passes(agent)
        for number in range(500):
            agent.wake.wake(f"event {number}")
        eventually(lambda: passes(agent) > before, WITHIN_S)
        eventually(quiet(agent), WITHIN_S)
        assert passes(agent) - before <= 2


def test_an_event_of_the_engine_brings_a_killed_replica_back(settled: SimulatedCluster) -> None:
    settled.lose_agent("node-233")
    with running(settled, "node-233") as agent:
        eventually(quiet(agent), WITHIN_S)
        agent.host.engine.by_hand.end("prod-api-2")
        agent.host.engine.happens("container die prod-api-2")
        eventually(lambda: agent.host.running() == EXPECTED["node-233"], WITHIN_S)


def test_a_step_that_hangs_delays_neither_other_replicas_nor_the_leaders_duties(
    settled: SimulatedCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    lost = settled.leader().name
    for name in NAMES:
        settled.lose_agent(name)
    settled.clock.advance(TTL_S)
    host, released = settled.hosts[lost], threading.Event()
    start = host.engine.start

    def hanging_start(container: str) -> None:
        if container == first:
            assert released.wait(WITHIN_S)
        start(container)

    first, second, *_ = sorted(host.replicas())
    monkeypatch.setattr(host.engine, "start", hanging_start)
    host.engine.by_hand.end(first)
    with running(settled, lost) as agent:
        try:
            eventually(lambda: agent.leads, WITHIN_S)
            eventually(lambda: in_flight(agent) == [f"container/{first}"], WITHIN_S)
            host.engine.by_hand.end(second)
            host.engine.happens("container die")
            settled.put_intent(NEWER)
            eventually(lambda: second in host.running(), WITHIN_S)
            eventually(lambda: accepted_revision(settled) == intent_revision(settled), WITHIN_S)
            assert first not in host.running()
        finally:
            released.set()
        eventually(lambda: first in host.running(), WITHIN_S)


def test_a_step_that_ends_while_the_host_is_looked_at_does_not_make_it_seem_done(
    settled: SimulatedCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    agent = settled.agents["node-233"]
    agent.host.engine.by_hand.end("prod-terminal-1", exit_code=1)
    agent.look()
    assert in_flight(agent) == ["container/prod-terminal-1"]
    looked = agent.observer.observe

    def ends_meanwhile(*arguments: Any, **more: Any) -> Observed:
        seen = looked(*arguments, **more)
        agent.pool.run()
        return seen

    monkeypatch.setattr(agent.observer, "observe", ends_meanwhile)
    agent.look()
    assert in_flight(agent) == []
    assert [each.text for each in status(settled, "node-233").steps] == [
        "start container/prod-terminal-1: exited with 1"
    ]
    monkeypatch.undo()
    agent.look()
    assert status(settled, "node-233").steps == ()


def status(cluster: SimulatedCluster, name: str) -> HostStatus:
    found = cluster.read(KEYS.status(name))
    assert found is not None
    return decode(HostStatus, found.value)


def in_flight(agent: SimulatedAgent) -> list[str]:
    return [step.resource for step in agent.dispatcher.in_flight if step.lane == "host"]


def accepted_revision(cluster: SimulatedCluster) -> int:
    verdict = cluster.verdict()
    return verdict.accepted_revision if verdict else 0


def intent_revision(cluster: SimulatedCluster) -> int:
    found = cluster.read(KEYS.intent)
    assert found is not None
    return found.mod_revision


def test_stop_ends_a_sleeping_loop_at_once(settled: SimulatedCluster) -> None:
    settled.lose_agent("node-233")
    with running(settled, "node-233") as agent:
        eventually(quiet(agent), WITHIN_S)
        began = time.monotonic()
        agent.loop.stop()
    assert time.monotonic() - began < 1.0
    assert agent.plan == Plan()
