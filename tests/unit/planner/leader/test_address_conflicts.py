"""Two replicas with one address: the leader sees it, and has one of them recreated."""

from dataclasses import replace
from typing import Any

import pytest

from agent.model.observed import ClusterState
from agent.model.plan import Blocked
from agent.model.records import Assignment, Replica
from agent.model.spec import Attachment, spec_hash
from agent.model.status import ReplicaReport
from agent.planner.leader.address_conflicts import plan_address_conflicts, with_recreations
from tests.support.builders import cluster, intent, order, record, service, status, told

ADDRESS = ("my-overlay", "10.10.0.1")
ONE = ReplicaReport(
    service="order", slot=1, spec="s", id="1", name="prod-order-1", status="running", addresses=(ADDRESS,)
)
TWO = replace(ONE, slot=2, id="2", name="prod-order-2")

FREE = replace(order(), networks=(Attachment(network="my-overlay"),))
FIXED = replace(order(), networks=(Attachment(network="my-overlay", ipv4_address=ADDRESS[1]),))
FIXED_HASH = spec_hash(FIXED)


def said(**of_h2: Any) -> ClusterState:
    """What the leader sees of a replica on h1 and another one on h2."""
    one, two, more = of_h2.pop("one", ONE), replace(TWO, **of_h2.pop("replica", {})), of_h2
    return cluster(
        intent(service()),
        specs={"s": FREE, FIXED_HASH: FIXED},
        record=record(networks=("my-overlay",)),
        statuses={"h1": status("h1", replicas=(one,)), "h2": status("h2", replicas=(two,), **more)},
        present={"h1": "run-h1", "h2": "run-h2"},
    )


def anew(seen: ClusterState) -> dict[str, tuple[tuple[str, str], ...]]:
    """Host -> what its one replica is told of a container of it."""
    replicas = {
        "h1": Replica(service="order", slot=1, spec="s"),
        "h2": Replica(service="order", slot=2, spec="s"),
    }
    wanted = {
        name: Assignment(revision=1, project="prod", replicas=(replica,))
        for name, replica in replicas.items()
    }
    return {
        name: each.recreate
        for name, found in with_recreations(wanted, seen).items()
        for each in found.replicas
    }


def test_the_second_of_two_replicas_with_one_address_is_told_and_recreated() -> None:
    why = "it has 10.10.0.1 of my-overlay, as prod-order-1 on h1 has: duplicate address assigned by Swarm"

    assert told(plan_address_conflicts(said())) == [
        f"blocked container/prod-order-2: on h2 {why}; this container is recreated with another address"
    ]
    assert anew(said()) == {"h1": (), "h2": (("2", why),)}


def test_the_one_that_had_the_address_first_keeps_it() -> None:
    one, two = replace(ONE, started_at="2026-11-25T22:09:20Z"), {"started_at": "2026-11-25T22:09:19Z"}

    assert anew(said(one=one, replica=two)).keys() == {"h1", "h2"}
    assert [host for host, what in anew(said(one=one, replica=two)).items() if what] == ["h1"]


def test_the_one_that_asks_for_the_address_keeps_it() -> None:
    assert [host for host, what in anew(said(replica={"reserved": (ADDRESS,)})).items() if what] == ["h1"]
    assert [host for host, what in anew(said(replica={"spec": FIXED_HASH})).items() if what] == ["h1"]


@pytest.mark.parametrize("spec", [FIXED_HASH, "not known here"])
def test_of_two_that_ask_for_the_address_none_is_touched(spec: str) -> None:
    seen = said(one=replace(ONE, reserved=(ADDRESS,)), replica={"spec": spec})

    assert not any(anew(seen).values())
    (line,) = told(plan_address_conflicts(seen))
    assert line.endswith("both ask for it; `docker rm --force` the one that may be recreated")


@pytest.mark.parametrize(
    "more",
    [
        {"replica": {"addresses": (("my-overlay", "10.10.0.2"),)}},
        {"replica": {"addresses": (("a bridge", "10.10.0.1"),)}},
        {"replica": {"status": "exited"}},
        {"engine_up": False},
        {"instance": "an earlier run"},
    ],
    ids=["another", "a network of its host", "it does not run", "its dockerd is away", "its agent is away"],
)
def test_nothing_is_told_of_what_is_not_the_same_or_not_known_to_be_now(more: dict[str, Any]) -> None:
    assert plan_address_conflicts(said(**more)).blocked == tuple[Blocked, ...]()
    assert not any(anew(said(**more)).values())
