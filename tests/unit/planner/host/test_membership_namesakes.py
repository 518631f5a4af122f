"""Two agents under one host's name: the one whose machine has the declared address goes on, the other does nothing."""

from dataclasses import replace
from ipaddress import IPv4Interface
from typing import Any

from agent.diff.replicas import must_not_act
from agent.model.observed import Observed
from agent.model.records import Presence
from agent.planner import make_plan
from tests.support.builders import cluster, host, intent, observed, service, told

WANTED = intent(service(on={"h1": 1}), hosts="h1")
OTHER = Presence(instance="run-x", boot_id="boot-x", version="1", since="2026-01-01", machine_id="m-x")
HERE, ELSEWHERE = ((IPv4Interface("10.0.0.1/24"), "eth0"),), ((IPv4Interface("10.0.0.9/24"), "eth0"),)
SAID = "another agent runs as h1, on another machine, since 2026-01-01"


def seen(
    presence: Presence | None = OTHER,
    addresses: tuple[tuple[IPv4Interface, str], ...] = ELSEWHERE,
    **more: Any,
) -> Observed:
    state = cluster(WANTED, presence=presence)
    mine = {"boot_id": "boot-h1", "machine_id": "m-1", **more}
    return observed(state, host(addresses=addresses), **mine)


def test_without_the_declared_address_an_agent_leaves_the_name_to_the_other_and_does_nothing() -> None:
    assert told(make_plan(seen())) == [
        f"blocked host/h1: {SAID}: this agent changes nothing until the other one stops"
    ]
    assert must_not_act(seen())


def test_where_the_declared_address_is_the_agent_takes_its_name_and_goes_on() -> None:
    take, *others = told(make_plan(seen(addresses=HERE)))
    assert take == f"put presence: {SAID}; this machine has the declared address"
    assert any(each.startswith("create container/prod-order-1") for each in others)
    assert not must_not_act(seen(addresses=HERE))


def test_the_address_of_agent_yaml_counts_where_there_is_one() -> None:
    assert not must_not_act(seen(advertise="10.0.0.9"))
    assert must_not_act(seen(addresses=HERE, advertise="10.0.0.8"))


def test_a_copied_machine_is_named_so() -> None:
    copied = replace(OTHER, machine_id="m-1")
    assert "on a machine with the same machine id" in str(make_plan(seen(copied)))


def test_an_earlier_agent_of_this_boot_is_no_other_one() -> None:
    assert not must_not_act(seen(replace(OTHER, boot_id="boot-h1")))
    assert not must_not_act(seen(replace(OTHER, instance="run-h1")))
    assert not must_not_act(seen(None))


def test_while_etcd_is_away_nobody_can_be_told_to_do_nothing() -> None:
    assert not must_not_act(seen(stale=True))


def test_an_agent_that_led_under_a_name_that_is_not_its_own_resigns() -> None:
    steps = make_plan(seen(leads=True)).steps
    assert [str(each) for each in steps] == [f"resign as leader: {SAID}"]


def test_a_presence_that_was_deleted_is_put_again() -> None:
    lost = cluster(WANTED, presence=None, presence_lost=True)
    for stale, expected in ((False, ["put presence: the key was deleted"]), (True, [])):
        steps = make_plan(observed(lost, host(addresses=HERE), stale=stale)).steps
        assert [str(each) for each in steps if each.resource == "presence"] == expected
