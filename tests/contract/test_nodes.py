"""What is asked of a node, and what becomes of it: in memory, and with two dockerds. One story, told in order."""

from collections.abc import Iterator

import pytest

from agent.clients.docker import Engine
from agent.errors import LeadershipLost, Missing, Refused, Stale, Unreachable
from agent.model.host_state import NodeState
from tests.contract.pairs import KINDS, OTHER, Pair, ask, swarm_and_outsider
from tests.support.docker_daemon import ADDRESS
from tests.support.etcd_server import eventually

ROLE_S = 60.0
"""A worker that has just been a manager may take 30 s to be one again: dockerd waits for a certificate."""
DOWN_S = 60.0
"""Docker's own: three heartbeats missed, some 14 s; longer after a change of the raft leader."""


@pytest.fixture(scope="module", params=KINDS)
def pair(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    """A manager and a worker."""
    with swarm_and_outsider(request.param, tmp_path_factory.mktemp("nodes")) as pair:
        token = pair.first.swarm_tokens().worker
        pair.second.join_swarm(advertise=OTHER, remotes=[f"{ADDRESS}:2377"], token=token)
        eventually(lambda: len(pair.first.nodes()) == 2, 10.0)
        yield pair


def _id(engine: Engine) -> str:
    node_id = engine.info().swarm.node_id
    assert node_id is not None
    return node_id


def _node(by: Engine, node_id: str) -> NodeState:
    """A node as an engine lists it."""
    return next(each for each in by.nodes() if each.id == node_id)


def test_availability_and_labels_are_set_and_what_is_not_named_stays(pair: Pair) -> None:
    manager, worker = pair.first, _id(pair.second)
    ask(manager, worker, labels=(("rack", "a"), ("theirs", "1")))

    ask(manager, worker, availability="drain", labels=(("rack", "b"),), without=("zone",))
    found = _node(manager, worker)
    assert (found.availability, found.labels) == ("drain", (("rack", "b"), ("theirs", "1")))

    ask(manager, worker, availability="active", without=("rack",))
    found = _node(manager, worker)
    assert (found.availability, found.role, found.labels) == ("active", "worker", (("theirs", "1"),))


def test_what_is_asked_for_twice_is_done_already(pair: Pair) -> None:
    worker = _id(pair.second)
    before = _node(pair.first, worker)

    for _ in range(2):
        ask(pair.first, worker, role="worker", availability="active", labels=before.labels)

    after = _node(pair.first, worker)
    assert (after, after.version) == (before, before.version)


def test_a_node_that_was_changed_since_it_was_looked_at_is_left_alone(pair: Pair) -> None:
    manager, worker = pair.first, _id(pair.second)
    seen = _node(manager, worker)
    ask(manager, worker, labels=(("theirs", "2"),))

    with pytest.raises(Stale, match=f"changed since the plan .version {seen.version} then"):
        manager.update_node(worker, version=seen.version, availability="drain")
    assert _node(manager, worker).availability == "active"

    manager.update_node(worker, version=seen.version, labels=(("theirs", "2"),))  # it is so already


def test_a_node_that_is_changed_in_the_very_moment_is_left_alone(pair: Pair) -> None:
    manager, worker = pair.first, _id(pair.second)
    version = _node(manager, worker).version

    with pytest.raises(Stale, match="update out of sequence"):
        manager.update_node(
            worker,
            version=version,
            availability="drain",
            still=lambda: ask(manager, worker, labels=(("theirs", "3"),)),
        )
    found = _node(manager, worker)
    assert (found.availability, found.labels) == ("active", (("theirs", "3"),))


def test_what_is_said_right_before_a_change_ends_it(pair: Pair) -> None:
    manager, worker = pair.first, _id(pair.second)
    before = _node(manager, worker)

    def no() -> None:
        raise LeadershipLost("not any more")

    with pytest.raises(LeadershipLost):
        manager.update_node(worker, version=before.version, availability="drain", still=no)
    assert _node(manager, worker) == before


def test_a_node_that_is_not_there_is_missing_and_gone_already(pair: Pair) -> None:
    with pytest.raises(Missing):
        pair.first.update_node("0123456789abcdefghijklmno", version=1, availability="drain")
    pair.first.remove_node("0123456789abcdefghijklmno")


def test_only_a_manager_changes_nodes(pair: Pair) -> None:
    with pytest.raises(Refused, match="not a swarm manager"):
        pair.second.update_node(_id(pair.second), version=1, role="manager")
    with pytest.raises(Refused, match="not a swarm manager"):
        pair.second.remove_node(_id(pair.first))


def test_the_last_manager_stays_one(pair: Pair) -> None:
    only = _id(pair.first)
    with pytest.raises(Refused, match="last manager"):
        ask(pair.first, only, role="worker")
    assert _node(pair.first, only).role == "manager"


def test_a_worker_is_promoted_and_demoted_again(pair: Pair) -> None:
    first, second, node_id = pair.first, pair.second, _id(pair.second)
    ask(first, node_id, role="manager")
    eventually(lambda: _node(first, node_id).reachable and second.info().swarm.is_manager, ROLE_S)
    assert {each.id for each in second.nodes()} == {_id(first), node_id}

    with pytest.raises(Refused, match="must be demoted"):
        first.remove_node(node_id)
    ask(first, node_id, role="worker")
    eventually(lambda: _node(first, node_id).reachable is None, ROLE_S)
    eventually(lambda: not second.info().swarm.is_manager, ROLE_S)
    assert _node(first, node_id).role == "worker"


def test_the_raft_leader_hands_over_before_it_is_a_worker(pair: Pair) -> None:
    first, second = pair.first, pair.second
    old, new = _id(first), _id(second)
    ask(first, new, role="manager")
    eventually(lambda: _node(first, new).reachable and second.info().swarm.is_manager, ROLE_S)

    ask(second, old, role="worker")
    eventually(lambda: not first.info().swarm.is_manager, ROLE_S)

    assert {each.id: each.leader for each in second.nodes()} == {old: False, new: True}


def test_only_the_record_of_a_node_that_is_down_is_removed(pair: Pair) -> None:
    old, manager = _id(pair.first), pair.second
    # A new raft leader knows no node's state, its own included, until each has registered with it again.
    both = (old, _id(manager))
    eventually(lambda: all(_node(manager, each).state == "ready" for each in both), DOWN_S)
    with pytest.raises(Refused, match="not down"):
        manager.remove_node(old)

    seen, itself = _node(manager, old).version, _node(manager, _id(manager)).version
    pair.kill_first()
    eventually(lambda: _node(manager, old).state == "down", DOWN_S)
    assert _node(manager, old).version > seen
    assert _node(manager, _id(manager)).version == itself, "a heartbeat changes nothing, and there were some"
    assert _node(manager, old).address == ADDRESS
    ask(manager, old, role="manager")
    with pytest.raises(Unreachable, match="can't find manager in raft memberlist"):
        ask(manager, old, role="worker")
    manager.remove_node(old)
    assert [each.id for each in manager.nodes()] == [_id(manager)]
