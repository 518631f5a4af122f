"""Swarm's autolock: when it is switched, when the key is published, and who unlocks himself."""

from dataclasses import replace
from typing import Any

import pytest

from agent.model.host_state import SwarmState
from agent.model.intent import Intent
from agent.model.leader_steps import TurnAutolockOn
from agent.model.observed import Observed
from agent.model.records import UnlockKeys
from agent.model.steps import UnlockHost
from agent.planner import make_plan
from agent.planner.dry_run.effects import predict
from agent.planner.dry_run.world import World
from agent.planner.leader.swarm import plan_autolock
from tests.support.builders import SWARM, cluster, host, intent, member, observed, record, told

KEY, OLD = "SWMKEY-1-now", "SWMKEY-1-before"
PUBLISHED = UnlockKeys(swarm_id=SWARM, on=True, keys=(KEY, OLD))
ON: dict[str, Any] = {"autolock": True, "unlock_key": KEY}
OFF: dict[str, Any] = {"autolock": False}
ELSEWHERE = replace(PUBLISHED, swarm_id="another")
WAS_ON = replace(PUBLISHED, on=False)


def wanted(autolock: bool | None) -> Intent:
    plain = intent(hosts="h1")
    return replace(plain, swarm=replace(plain.swarm, autolock=autolock))


@pytest.mark.parametrize(
    ("declared", "swarm", "etcd", "expected"),
    [
        (True, OFF, {}, ["turn on autolock: autolock is declared"]),
        (True, OFF, {"unlock": WAS_ON}, ["turn on autolock: autolock is declared"]),
        (True, ON, {"unlock": PUBLISHED}, []),
        (
            True,
            ON,
            {},
            ["publish autolock: autolock is on, and its unlock key is not published"],
        ),
        (
            True,
            ON,
            {"unlock": ELSEWHERE},
            ["publish autolock: autolock is on, and its unlock key is not published"],
        ),
        (
            True,
            ON | {"unlock_key": "SWMKEY-1-by-hand"},
            {"unlock": PUBLISHED},
            ["publish autolock: the published unlock key is outdated"],
        ),
        (
            True,
            ON,
            {"unlock": PUBLISHED, "unlock_aged": True},
            ["publish autolock: the published unlock key is not sealed with the first key of the hosts"],
        ),
        # What the engine does not say is asked for again, and nothing is thrown away meanwhile.
        (True, ON | {"unlock_key": ""}, {"unlock": PUBLISHED}, []),
        (True, ON, {"unlock_locked": True}, []),
        (True, OFF, {"unlock_locked": True}, []),
        (True, {}, {}, []),
        (False, ON, {}, ["turn off autolock: autolock is declared false"]),
        (False, ON, {"unlock": PUBLISHED}, ["turn off autolock: autolock is declared false"]),
        (False, OFF, {"unlock": WAS_ON}, []),
        (False, OFF, {}, []),
        (None, ON, {"unlock": PUBLISHED}, ["turn off autolock: autolock is no longer declared"]),
        # The swarm was told, and the leader died before it said so in etcd.
        (None, OFF, {"unlock": PUBLISHED}, ["turn off autolock: autolock is no longer declared"]),
        # Somebody's own doing, of which the document never spoke.
        (None, ON, {}, []),
        (None, ON, {"unlock": WAS_ON}, []),
        (None, OFF, {}, []),
    ],
)
def test_the_leader_switches_and_publishes(
    declared: bool | None, swarm: dict[str, Any], etcd: dict[str, Any], expected: list[str]
) -> None:
    state, seen = cluster(wanted(declared), record=record(), **etcd), replace(member("h1"), **swarm)
    assert told(plan_autolock(wanted(declared), state, host(swarm=seen))) == expected


def test_without_a_key_to_seal_with_it_is_not_turned_on_and_the_reason_is_told() -> None:
    state = cluster(wanted(True), record=record(), can_seal=False)
    (line,) = told(plan_autolock(wanted(True), state, host(swarm=replace(member("h1"), **OFF))))
    assert line.startswith("blocked autolock: x-cluster.swarm.autolock needs tokens.key_file in agent.yaml")


def test_a_swarm_without_a_leader_is_not_asked_for_anything() -> None:
    state = cluster(wanted(True), record=record())
    silent = replace(member("h1"), nodes=None, **OFF)
    assert told(plan_autolock(wanted(True), state, host(swarm=silent))) == []


# ---- the host


def locked(**etcd: Any) -> Observed:
    state = cluster(wanted(etcd.pop("declared", True)), record=record(), **etcd)
    return observed(state, host(swarm=SwarmState(local="locked", error="Swarm is encrypted")))


def of_swarm(seen: Observed) -> list[str]:
    return [each for each in told(make_plan(seen)) if " swarm:" in each]


def test_a_locked_host_unlocks_itself_with_the_published_keys() -> None:
    assert of_swarm(locked(unlock=PUBLISHED)) == [
        "unlock swarm: the swarm is locked, and its unlock key is published"
    ]
    (step,) = [each for each in make_plan(locked(unlock=PUBLISHED)).steps if isinstance(each, UnlockHost)]
    assert step.keys == (KEY, OLD)
    assert "SWMKEY" not in f"{step!r} {step}"


def test_a_host_that_was_down_when_it_was_turned_off_unlocks_itself_too() -> None:
    assert of_swarm(locked(declared=None, unlock=WAS_ON)) == [
        "unlock swarm: the swarm is locked, and its unlock key is published"
    ]


def test_where_no_key_is_published_a_locked_host_is_for_the_operator() -> None:
    (line,) = of_swarm(locked(declared=None))
    assert line.startswith("blocked swarm: the swarm is locked; `docker swarm unlock` needs the unlock key")


# ---- what comes of it


def test_after_it_is_turned_on_nothing_is_left_to_do() -> None:
    state, seen = cluster(wanted(True), record=record()), host(swarm=replace(member("h1"), **OFF))
    (step,) = plan_autolock(wanted(True), state, seen).steps
    assert isinstance(step, TurnAutolockOn)
    world = predict(
        World(cluster=state, agents={"h1": Observed(me="h1", host=seen, cluster=None)}), "h1", step
    )
    assert told(plan_autolock(wanted(True), world.cluster, world.host("h1"))) == []
    (step,) = plan_autolock(wanted(None), world.cluster, world.host("h1")).steps
    world = predict(world, "h1", step)
    assert told(plan_autolock(wanted(None), world.cluster, world.host("h1"))) == []
