"""What must never be is seen: done here by hand, as histories in which all goes well cannot show it."""

from collections.abc import Iterator
from ipaddress import IPv4Network
from unittest import mock

import pytest

from agent.model.intent import GWBRIDGE, PARKING
from agent.model.leader_steps import DemoteNode
from agent.model.plan import blocked_plan
from agent.model.steps import Park, SwapBridge
from tests.fakes.swarm import ENDS_QUORUM, FakeSwarm, Member
from tests.properties.simulation.documents import document, read, wish
from tests.properties.simulation.guards import no_quorum_guard
from tests.properties.simulation.history import History, history

FIRST, OTHER, LAST = "node-231", "node-232", "node-233"
FIRST_A_WORKER = 1
"""The number of a document (documents.wish)."""


@pytest.fixture
def told() -> Iterator[History]:
    """Three managers at rest."""
    with history(3, begun=True) as made:
        yield made


def _member(told: History, name: str) -> Member:
    member = told.world.member(name)
    assert member is not None
    return member


def _seen(told: History) -> str:
    return "\n".join(told.witness.violations)


# ---- a quorum that a step of ours ends


def test_a_step_that_ends_a_quorum_is_seen(told: History) -> None:
    agent, gone = told.world.agents[FIRST], [_member(told, name) for name in (OTHER, LAST)]
    step = DemoteNode(node_id=gone[0].node_id, host=OTHER, version=0, reason="")

    agent.before(step)
    for each in gone:
        each.gone = True
    agent.after(step)

    assert "has no quorum any more after demote node/" in _seen(told)


def _a_role_changes_while_a_manager_is_away(told: History) -> None:
    """The guard of the product is broken."""
    told.dockerd_goes(LAST, 0)
    told.world.put_intent(document(wish(FIRST_A_WORKER, 3), told.world.names))
    with no_quorum_guard():
        for _ in range(10):
            told.round("", 0)


def test_a_quorum_that_the_change_of_a_role_ends_is_seen_when_it_is_taken_on(told: History) -> None:
    with mock.patch.object(FakeSwarm, "goes_on_without", return_value=True):
        _a_role_changes_while_a_manager_is_away(told)

    assert "has no quorum any more after the roles asked for were taken on" in _seen(told)


def test_the_engines_let_no_manager_go_without_whom_there_is_no_quorum(told: History) -> None:
    _a_role_changes_while_a_manager_is_away(told)

    assert _seen(told) == ""
    assert any(ENDS_QUORUM in each for name in (FIRST, OTHER) for each in told.world.agents[name].failed())


def test_a_quorum_that_somebody_else_has_ended_is_no_fault_of_a_step(told: History) -> None:
    for name in (OTHER, LAST):
        told.dockerd_goes(name, 0)
    step = DemoteNode(node_id=_member(told, OTHER).node_id, host=OTHER, version=0, reason="")

    told.world.agents[FIRST].before(step)
    told.world.agents[FIRST].after(step)
    told.witness.roles_are_taken_on()

    assert "no quorum" not in _seen(told)


# ---- a bridge that works, and a host without the disruption slot


def _swap(told: History, name: str) -> SwapBridge:
    bridge = told.world.hosts[name].engine.nets.local[GWBRIDGE]
    wanted = read(document(wish(0, 3), told.world.names)).gwbridge
    return SwapBridge(bridge=wanted, old=(bridge.id,), release=(), reason="")


def _park(whose: str) -> Park:
    return Park(container=whose, name="it", network=PARKING, reason="")


def test_a_bridge_that_works_is_not_taken_away_without_the_disruption_slot(told: History) -> None:
    users = dict(told.world.hosts[FIRST].engine.nets.endpoints(GWBRIDGE))

    for step in (_swap(told, FIRST), _park(next(iter(users)))):
        told.witness.violations.clear()
        told.world.agents[FIRST].before(step)
        assert "while the disruption slot was None" in _seen(told)


def test_two_bridges_that_work_are_not_taken_away_at_the_same_time(told: History) -> None:
    for name in (FIRST, OTHER):
        step = _swap(told, name)
        told.world.agents[name].before(step)
        del told.world.hosts[name].engine.nets.local[GWBRIDGE]
        told.world.agents[name].after(step)

    assert f"disturbed at the same time: {FIRST}, {OTHER}" in _seen(told)


def test_what_nobody_notices_needs_no_disruption_slot(told: History) -> None:
    host, agent = told.world.hosts[FIRST], told.world.agents[FIRST]
    agent.before(_park("of a container that has its gateway elsewhere"))

    host.kernel.set_down()
    agent.before(_swap(told, FIRST))

    assert _seen(told) == ""


# ---- a host that is in a swarm that is not ours


def test_a_host_outside_every_swarm_does_not_rest_by_saying_that_it_is_in_another_one(told: History) -> None:
    agent = told.world.agents[LAST]
    agent.plan = blocked_plan("swarm", "foreign", "in some other swarm")
    assert not told.is_well()  # it is in ours

    agent.host.engine.nets.leave()
    assert not told.is_well()

    other = FakeSwarm(told.world.lan, IPv4Network("10.99.0.0/16"))
    agent.host.engine.nets.become(other, other.add(agent.host.engine, "manager"))
    assert told.is_well()
