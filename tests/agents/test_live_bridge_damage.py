"""What somebody does to docker_gwbridge by hand is put right; what holds one host holds no other; and a fault is seen.

Whole agents on engines in memory. What must never happen is watched by LiveCluster at every step.
"""

from collections.abc import Callable
from contextlib import suppress
from ipaddress import IPv4Network
from pathlib import Path

import pytest

from agent.errors import Refused, SwarmkeeperError
from agent.model.intent import GWBRIDGE, PARKING, BridgeIntent
from agent.model.leader_steps import GrantDisruption
from agent.model.observed import Observed
from agent.model.plan import Plan
from agent.model.spec import Pairs
from agent.planner.leader import leading
from tests.support.document import SERVICES, document
from tests.support.guests import PLACE
from tests.support.live_cluster import AGREED, GUESTS, MOVED, MOVED_TO, LiveCluster, crash
from tests.support.simulated_cluster import NAMES, Crash, SimulatedCluster, SimulatedHost, parsed

pytestmark = pytest.mark.usefixtures("unlogged")


@pytest.fixture
def cluster(tmp_path: Path) -> LiveCluster:
    return LiveCluster(tmp_path)


@pytest.fixture
def settled(cluster: LiveCluster) -> LiveCluster:
    """One in which all is done."""
    cluster.start()
    cluster.settle()
    cluster.disturbed.clear()
    cluster.swapped.clear()
    return cluster


# ---- damage


def prune(host: SimulatedHost) -> None:
    """`docker network prune` at the moment when nobody is on the bridge: it needs a quiet host."""
    for name in [*GUESTS, *host.running()]:
        host.engine.by_hand.end(name)
    host.engine.nets.gateways.leave_swarm()
    host.engine.nets.prune()
    assert GWBRIDGE not in host.engine.nets.local
    for name in GUESTS:
        host.engine.by_hand.start(name)


def lose_gateways(host: SimulatedHost) -> None:
    """`docker network disconnect --force docker_gwbridge gateway_...` of everybody."""
    nets = host.engine.nets
    for _, endpoint in nets.endpoints(GWBRIDGE):
        nets.release(GWBRIDGE, endpoint)


def leave_something_over(host: SimulatedHost) -> None:
    """The temporary network, with a container on it: an agent was stopped for good, and another one is here now."""
    host.engine.nets.local[PARKING] = PLACE
    host.engine.by_hand.connect(GUESTS[0], PARKING, {})


REPAIRED_AT_ONCE: tuple[Callable[[SimulatedHost], None], ...] = (
    lambda host: host.kernel.delete_address(),
    lambda host: host.kernel.change_address("172.21.0.77/20"),
    lambda host: host.kernel.set_down(),
    lambda host: host.kernel.delete_link(),
    lose_gateways,
    leave_something_over,
)
NAMED = ("address deleted", "address changed", "link down", "link deleted", "gateways lost", "left over")


@pytest.mark.parametrize("damage", REPAIRED_AT_ONCE, ids=NAMED)
def test_what_was_damaged_by_hand_is_put_right_without_the_disruption_slot(
    settled: LiveCluster, damage: Callable[[SimulatedHost], None]
) -> None:
    damage(settled.hosts["node-233"])

    settled.settle()

    settled.check_done()
    assert settled.disturbed == []


@pytest.mark.parametrize("damage", REPAIRED_AT_ONCE, ids=NAMED)
def test_the_same_damage_everywhere_is_put_right_everywhere(
    settled: LiveCluster, damage: Callable[[SimulatedHost], None]
) -> None:
    for host in settled.hosts.values():
        damage(host)

    settled.settle()

    settled.check_done()


def test_a_bridge_that_docker_made_in_place_of_ours_waits_for_the_disruption_slot(
    settled: LiveCluster,
) -> None:
    for host in settled.hosts.values():
        prune(host)
    assert settled.bridges() == {"172.18.0.0/16 172.18.0.1"}
    settled.started = settled.when_started()

    settled.settle()

    settled.check_done()
    assert sorted(settled.disturbed) == sorted(NAMES)


def test_a_missing_bridge_is_made_at_once(settled: LiveCluster) -> None:
    nets = settled.hosts["node-233"].engine.nets
    lose_gateways(settled.hosts["node-233"])
    nets.remove(GWBRIDGE)

    settled.settle()

    settled.check_done()
    assert (settled.disturbed, settled.swapped) == ([], ["node-233"])


# ---- a form that docker refuses, and an agent that ends on the way

AWAY = "node-233"


class Refusing:
    """The engine of a host, which refuses a subnet so many times."""

    def __init__(self, host: SimulatedHost, times: int, error: str) -> None:
        self._create, self._left, self._error = host.engine.create_bridge, times, error
        host.engine.create_bridge = self.create_bridge  # type: ignore[method-assign]

    def create_bridge(self, bridge: BridgeIntent, labels: Pairs = ()) -> None:
        if f"{bridge.subnet} {bridge.gateway}" == MOVED_TO and self._left:
            self._left -= 1
            raise Refused(self._error)
        self._create(bridge, labels)


PASSING = "failed to allocate gateway (172.29.0.1): Address already in use"


def test_a_refusal_that_passes_is_tried_again_and_not_before_ten_minutes(settled: LiveCluster) -> None:
    Refusing(settled.hosts[AWAY], 2, PASSING)
    settled.put_intent(MOVED)

    settled.rounds(100, seconds=5.0)
    assert settled.swapped.count(AWAY) == 1
    (held,) = settled.agents[AWAY].plan.blocked
    assert held.reason == (
        f"docker refuses it as declared: {PASSING}; the earlier one was created again. "
        "Remove the cause: the declared one "
        "is tried again after 10 minutes"
    )
    assert settled.out_of_reach() == []
    settled.rounds(300, seconds=5.0)
    settled.settle()

    settled.check_done(MOVED_TO)
    assert settled.swapped.count(AWAY) == 3


def crash_before(host: SimulatedHost) -> None:
    """The agent's process ends between the removal of the bridge and the creation of the next one."""
    real = host.engine.create_bridge

    def create_bridge(bridge: BridgeIntent, labels: Pairs = ()) -> None:
        host.engine.create_bridge = real  # type: ignore[method-assign]
        raise Crash

    host.engine.create_bridge = create_bridge  # type: ignore[method-assign]


QUIET = document(services=dict.fromkeys(SERVICES))
QUIET_MOVED = document(QUIET, cluster={"gwbridge": {"subnet": "172.29.0.0/20", "gateway": "172.29.0.1"}})


@pytest.mark.parametrize("in_swarm", [True, False])
def test_an_agent_that_ends_after_the_removal_leaves_a_note_of_the_old_form_also_on_a_quiet_host(
    tmp_path: Path, in_swarm: bool
) -> None:
    cluster = SimulatedCluster(tmp_path, QUIET)
    host = cluster.hosts[AWAY]
    if in_swarm:
        cluster.put_intent(QUIET)
        cluster.start()
        cluster.settle()
    else:
        host.engine.create_bridge(parsed(QUIET).gwbridge)
    Refusing(host, 1000, "failed to parse com.docker")
    crash_before(host)
    cluster.put_intent(QUIET_MOVED)
    if not in_swarm:
        cluster.start()
    with pytest.raises(Crash):
        cluster.rounds(60)
    assert GWBRIDGE not in host.engine.nets.local
    cluster.lose_agent(AWAY)
    cluster.start(AWAY)

    cluster.rounds(60)

    found = host.engine.nets.local[GWBRIDGE]
    assert f"{found.subnet} {found.gateway}" == AGREED
    assert PARKING not in host.engine.nets.local
    assert host.swarm_id


# ---- what holds one host


def test_a_foreign_route_holds_one_host_and_no_other_and_is_cured_by_its_end(cluster: LiveCluster) -> None:
    routes = cluster.hosts["node-232"].kernel.foreign_routes
    routes.append((IPv4Network("172.21.4.0/24"), "tun0"))
    cluster.start()

    cluster.rounds(30)

    assert cluster.disturbed == ["node-233", "node-231"]
    (held,) = cluster.agents["node-232"].plan.blocked
    assert (held.kind, held.reason) == ("overlap", "172.21.0.0/20 overlaps the route 172.21.4.0/24 dev tun0")
    routes.clear()
    cluster.settle()
    cluster.check_done()


def test_a_host_that_loses_its_dockerd_with_the_disruption_slot_keeps_all_others_waiting(
    cluster: LiveCluster,
) -> None:
    cluster.start()
    while cluster.disturbed != ["node-232"]:
        cluster.round()

    cluster.hosts["node-232"].engine.answers = False
    cluster.rounds(10)
    assert cluster.disturbed == ["node-232"]
    assert _disruptions_said(cluster) == ["its dockerd does not answer"]

    cluster.hosts["node-232"].engine.answers = True
    cluster.settle()
    cluster.check_done()


def test_the_next_host_waits_until_the_replicas_of_the_last_one_are_up(settled: LiveCluster) -> None:
    settled.put_intent(MOVED)
    while settled.disturbed != ["node-232"]:
        settled.round()
    engine = settled.hosts["node-232"].engine
    engine.by_hand.end("prod-api-1")
    squatter = engine.run_foreign("squatter", PortBindings={"80/tcp": [{"HostPort": "80"}]})

    settled.rounds(10)
    assert settled.disturbed == ["node-232"]
    assert _disruptions_said(settled) == ["port 80/tcp is used by the container squatter"]

    engine.by_hand.remove(squatter, force=True)
    settled.settle(seconds=10.0)
    settled.check_done(MOVED_TO)


def _disruptions_said(cluster: LiveCluster) -> list[str]:
    """What the leader says of the disruption slot: the last part of the sentence."""
    waiting = cluster.leader().plan.waiting
    return [each.reason.rpartition(": ")[2] for each in waiting if each.resource.startswith("disruption/")]


# ---- that a fault would be seen


def test_a_leader_that_always_offers_is_caught(cluster: LiveCluster, monkeypatch: pytest.MonkeyPatch) -> None:
    """The guard is taken out: then the watch over the hosts must cry out, or it proves nothing above."""

    def careless(_intent: object, observed: Observed) -> Plan:
        state = observed.cluster
        assert state is not None
        waiting = [name for name, each in sorted(state.statuses.items()) if each.bridge.phase == "waiting"]
        if not waiting or (state.disruption and state.disruption.host in waiting):
            return Plan()
        return Plan(
            (
                GrantDisruption(
                    host=waiting[0], quorum=True, over=state.disruption_revision, reason="careless"
                ),
            )
        )

    monkeypatch.setattr(leading, "plan_disruption", careless)
    cluster.start()
    assert crash(cluster, "node-232", 8)

    with pytest.raises(AssertionError, match="at the same time"):
        cluster.rounds(20)


def test_a_host_that_does_not_wait_for_the_disruption_slot_is_caught(
    cluster: LiveCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("agent.planner.host.bridge_swap.needs_disruption", lambda *_: False)
    cluster.start()

    with pytest.raises(AssertionError, match="was disturbed by park container/"):
        cluster.rounds(20)


def test_a_restart_and_an_outage_are_caught(settled: LiveCluster) -> None:
    by_hand = settled.hosts["node-231"].engine.by_hand
    by_hand.end(GUESTS[0])
    with suppress(SwarmkeeperError):
        by_hand.start(GUESTS[0])

    with pytest.raises(AssertionError, match="somebody was restarted"):
        settled.check()
    settled.started = settled.when_started()
    settled.check()

    lose_gateways(settled.hosts["node-231"])
    assert len(settled.out_of_reach()) == 2
    assert not settled.gateways_are_right()
