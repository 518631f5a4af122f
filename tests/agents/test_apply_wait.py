"""`apply --wait` against whole agents on hosts in memory: good and bad releases end as they should."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import pytest

from agent.cli.apply import Applying, Order
from agent.cli.connect import Connection
from agent.cli.wait import Outcome, await_goal
from agent.conditions import goal_of
from agent.model.observed import ClusterState
from tests.fakes.store import FakeStore
from tests.support.document import document
from tests.support.simulated_cluster import KEYS, SimulatedCluster, images

pytestmark = pytest.mark.usefixtures("unlogged")
T = TypeVar("T")

MONITOR_S = 10.0
CAREFUL = document(services={"order": {"deploy": {"update_config": {"monitor": f"{MONITOR_S:g}s"}}}})
NEWER = document(CAREFUL, tags={"order": "1.0.1"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Driven(Connection):
    """A connection whose waits let the agents take their turns, on the clock of their hosts."""

    cluster: SimulatedCluster
    happens: list[Callable[[], None]] = field(default_factory=list)
    """Called after every round."""

    def wait_for(self, found: Callable[[ClusterState], T | None], timeout_s: float) -> T | None:
        deadline = self.cluster.clock() + timeout_s
        while (result := found(self.read())) is None and self.cluster.clock() < deadline:
            self.cluster.round()
            for each in self.happens:
                each()
        return result


@pytest.fixture
def cluster(tmp_path: Path) -> SimulatedCluster:
    made = SimulatedCluster(tmp_path, CAREFUL)
    made.lan.registry |= images(NEWER)
    made.put_intent(CAREFUL)
    made.start()
    made.settle()
    made.rounds(30)
    return made


def released(
    cluster: SimulatedCluster,
    text: str,
    *happens: Callable[[], None],
    whole: bool = False,
    timeout_s: float = 200.0,
) -> Outcome:
    """`apply --wait` of the document, while things happen."""
    connection = Driven(store=FakeStore(cluster.etcd), keys=KEYS, cluster=cluster, happens=list(happens))
    applying = Applying(connection, quiet=True)
    written = applying.write(Order(name="new.yaml", raw=text.encode(), ask=False))
    applying.await_verdict(written.revision, 60.0)
    before = written.before if written.changed else None
    goal = goal_of(written.revision, written.intent, before, whole=whole)
    return await_goal(connection, goal, timeout_s, clock=cluster.clock, now=cluster.clock)


def orders(cluster: SimulatedCluster) -> list[str]:
    return [
        image.rpartition(":")[2]
        for running in cluster.running().values()
        for name, image in running.items()
        if "order" in name
    ]


def ends(cluster: SimulatedCluster, what: str) -> Callable[[], None]:
    """Everything that runs with an image or a name like that ends at once."""

    def end() -> None:
        for host in cluster.hosts.values():
            for name, image in host.running().items():
                if image.endswith(what) or what in name:
                    host.engine.by_hand.end(name, exit_code=1)

    return end


def ends_once(cluster: SimulatedCluster, image: str) -> Callable[[], None]:
    """The first replica with that image ends once, in the fifth second in which the leader can see it."""
    seen: list[str] = []

    def end() -> None:
        for host in cluster.hosts.values():
            for name in (each for each, used in host.running().items() if used.endswith(image)):
                seen.append(name)
                if len(seen) == 5:
                    host.engine.by_hand.end(name, exit_code=1)

    return end


def test_a_good_release_ends_when_the_last_replica_has_been_watched(
    cluster: SimulatedCluster, capsys: pytest.CaptureFixture[str]
) -> None:
    since: dict[str, float] = {}

    def note() -> None:
        for running in cluster.running().values():
            for name, image in running.items():
                if image.endswith("order:1.0.1"):
                    since.setdefault(name, cluster.clock())

    outcome = released(cluster, NEWER, note)

    assert (outcome.result, outcome.causes, outcome.others) == ("ready", (), ())
    assert orders(cluster) == ["1.0.1"] * 3
    assert cluster.clock() - max(since.values()) >= MONITOR_S
    lines = capsys.readouterr().out.splitlines()
    assert any("order: 2 of 3 ready; 1 of 3 replicas updated" in line for line in lines)
    assert lines[-1].endswith("order: ready")


def test_a_release_that_keeps_ending_fails_at_once(cluster: SimulatedCluster) -> None:
    outcome = released(cluster, NEWER, ends(cluster, "order:1.0.1"))

    assert outcome.result == "failed"
    assert outcome.seconds < 30
    assert (
        "it keeps exiting, 2 times so far, last with code 1; next: swarmkeeper logs order-1"
        in outcome.causes[0]
    )


def test_a_release_that_ends_once_fails_when_its_rollout_pauses(cluster: SimulatedCluster) -> None:
    outcome = released(cluster, NEWER, ends_once(cluster, "order:1.0.1"))

    assert outcome.result == "failed"
    assert any("paused, 1 of 3 replicas" in each for each in outcome.causes)


def test_a_release_that_is_rolled_back_fails(cluster: SimulatedCluster) -> None:
    back = document(NEWER, services={"order": {"deploy": {"update_config": {"failure_action": "rollback"}}}})
    outcome = released(cluster, back, ends_once(cluster, "order:1.0.1"))

    assert outcome.result == "failed"
    assert any("because order-1: it exited with 1" in each for each in outcome.causes)


def test_a_new_service_that_keeps_ending_fails_without_a_rollout(cluster: SimulatedCluster) -> None:
    added = document(
        CAREFUL, services={"extra": {"image": "somecom/order:1.0.1", "x-hosts": {"node-231": 1}}}
    )
    cluster.lan.registry |= images(added)
    outcome = released(cluster, added, ends(cluster, "prod-extra-1"))

    assert outcome.result == "failed"
    assert any("keeps exiting" in each for each in outcome.causes)


def test_an_image_that_does_not_exist_is_the_cause_when_time_runs_out(cluster: SimulatedCluster) -> None:
    missing = document(CAREFUL, tags={"order": "9.9.9"})
    outcome = released(cluster, missing, timeout_s=60)

    assert outcome.result == "timeout"
    assert any("9.9.9" in each for each in outcome.causes)
    assert orders(cluster) == ["1.0.0"] * 3


def test_what_was_down_before_and_is_not_touched_is_named_and_fails_nothing(
    cluster: SimulatedCluster,
) -> None:
    broken = ends(cluster, "prod-billing")
    for _ in range(20):
        broken()
        cluster.round()
    outcome = released(cluster, NEWER, broken)

    assert outcome.result == "ready"
    assert any(each.startswith("billing: ") for each in outcome.others)


def test_a_removed_service_is_waited_for(cluster: SimulatedCluster) -> None:
    outcome = released(cluster, document(CAREFUL, services={"billing": None}))

    assert outcome.result == "ready"
    assert not any("billing" in name for running in cluster.running().values() for name in running)


def test_an_unchanged_document_is_waited_for_and_can_fail(cluster: SimulatedCluster) -> None:
    assert released(cluster, CAREFUL).result == "ready"
    broken = ends(cluster, "prod-billing")
    for _ in range(20):
        broken()
        cluster.round()
    outcome = released(cluster, CAREFUL, broken)

    assert outcome.result == "failed"
    assert any(each.startswith("billing") for each in outcome.causes)


def test_the_whole_cluster_converges_after_a_change_of_the_bridge(cluster: SimulatedCluster) -> None:
    bridge = {"subnet": "172.30.0.0/20", "gateway": "172.30.0.1"}
    outcome = released(cluster, document(CAREFUL, cluster={"gwbridge": bridge}), whole=True)

    assert (outcome.result, outcome.causes) == ("converged", ())
    assert {str(each.engine.networks()[0].subnet) for each in cluster.hosts.values()} != {""}


def test_a_port_that_somebody_elses_container_has_is_the_cause(cluster: SimulatedCluster) -> None:
    added = document(
        CAREFUL,
        services={
            "extra": {"image": "somecom/order:1.0.1", "x-hosts": {"node-231": 1}, "ports": ["8081:80"]}
        },
    )
    cluster.lan.registry |= images(added)
    bindings = {"PortBindings": {"80/tcp": [{"HostIp": "", "HostPort": "8081"}]}}
    cluster.hosts["node-231"].engine.run_foreign("stranger", **bindings)
    outcome = released(cluster, added, timeout_s=60)

    assert outcome.result == "timeout"
    assert any("8081/tcp" in each for each in outcome.causes)
