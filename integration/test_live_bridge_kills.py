"""Agents and dockerds are killed in the middle of changing docker_gwbridge: it converges, with nothing left behind."""

import os
import random
import time
from contextlib import ExitStack
from functools import partial

import pytest

from integration.by_hand import answers, blocked_plan
from integration.cluster import UNIT, Running
from integration.conftest import LONG_ONLY
from integration.lab.eventually import eventually
from integration.lab.lab import Lab
from integration.live_bridge import BRIDGE, FIRST, NO_SERVICES, SWAP, Agreed, Live, turns
from integration.moments import when
from tests.support.reliability import SECONDS, RecordProperty, recovering

pytestmark = pytest.mark.every_base

CONVERGE_S = 240
"""A dockerd that was killed may take 35 s until it answers again."""
STARTS = (
    *(f"start: {verb} network/{BRIDGE}" for verb in SWAP),
    "start: acquire disruption",
    "start: release disruption",
)
SWAP_S = 1.5
SEED = int(os.environ.get("SWARMKEEPER_SEED", "0")) or random.SystemRandom().randrange(1, 10**6)
PUBLISHED = (8091, 8092)
OURS = """{{
  web: {{image: "10.159.62.231/somecom/billing:1.0.0", restart: always, networks: [my-network-overlay],
         x-hosts: {hosts}, ports: ["8091:8080"]}},
  page: {{image: "10.159.62.231/somecom/console:1.0.0", restart: always, networks: [my-network-overlay],
          x-hosts: {hosts}, ports: ["8092:80"]}}}}"""


@pytest.fixture
def ours(request: pytest.FixtureRequest, session_lab: Lab, _live: dict[str, Live]) -> Live:
    """Replicas of ours on every host instead of containers started by hand: only these will we start again."""
    known = _live.get(session_lab.name)
    if known and known.services != NO_SERVICES and known.is_well():
        return known
    live: Live = request.getfixturevalue("live")
    for host in live.lab:
        host.exec("bash", "-c", "docker ps --all --quiet | xargs --no-run-if-empty docker rm --force")
    live.services = OURS.format(hosts=str([host.name for host in live.lab]))
    live.change(FIRST)
    return live


def all_there(live: Live) -> None:
    """AssertionError unless every replica runs and each published port has an answer."""
    replicas: list[Running] = live.cluster.containers(everything=True)
    assert [each.status for each in replicas] == ["running"] * len(PUBLISHED) * len(live.lab.hosts), replicas
    assert all(answers(live.lab, f"{host.address}:{port}") for host in live.lab for port in PUBLISHED)


@pytest.mark.fault("the agent is killed at each step of a change of docker_gwbridge")
@pytest.mark.parametrize("first", [pytest.param(0, marks=LONG_ONLY), 3, pytest.param(6, marks=LONG_ONLY)])
def test_an_agent_killed_at_any_step_of_the_change_goes_on_where_it_was(
    first: int, ours: Live, record_property: RecordProperty
) -> None:
    """Each of three hosts at another step, so that all steps are gone through in a few changes."""
    lab, before = ours.lab, blocked_plan(ours.lab)
    chosen = dict(zip(lab.hosts, STARTS[first:], strict=False))
    agreed = ours.other()
    with ExitStack() as moments:
        for host, line in chosen.items():
            moments.enter_context(when(lab, host, line, "kill -KILL $agent"))
        since = time.time()
        with recovering(record_property):
            ours.change(agreed, CONVERGE_S)
    print(f"killed at: {', '.join(chosen.values())}")
    assert sorted(set(turns_of(ours, since))) == sorted(host.name for host in lab)
    assert blocked_plan(lab) == before
    all_there(ours)


def turns_of(live: Live, since: float) -> list[str]:
    return turns(live.done(since))


@LONG_ONLY
@pytest.mark.fault("dockerd is killed in the middle of a change of docker_gwbridge")
@pytest.mark.timeout(900)
@pytest.mark.parametrize("turn", range(4))
def test_a_dockerd_killed_at_any_moment_of_the_change_ends_with_every_replica_running(
    turn: int, ours: Live, record_property: RecordProperty
) -> None:
    """Each of three hosts at a moment of its own."""
    chance = random.Random(f"{SEED} {turn}")
    print(f"\nseed {SEED} (SWARMKEEPER_SEED)")
    agreed = ours.other()
    with ExitStack() as moments:
        for host in ours.lab:
            wait_s = round(chance.uniform(0, SWAP_S), 2)
            print(f"{host.name}: dockerd killed {wait_s} s into the change")
            moments.enter_context(when(ours.lab, host, STARTS[0], f"sleep {wait_s}; kill -KILL $dockerd"))
        began, revision, cured = time.monotonic(), ours.put(agreed), Cured(ours)
        # Here already: the next host's disruption slot, and with it its moment, comes only when the last one is well.
        eventually(partial(cured.check, agreed, revision), CONVERGE_S, "every host is as agreed")
    # And again: a moment may have come after the change.
    eventually(partial(cured.check, agreed, revision), CONVERGE_S, "every host is as agreed again")
    eventually(partial(all_there, ours), CONVERGE_S, "every replica runs and answers")
    took_s = time.monotonic() - began
    print(f"as agreed after {took_s:.1f} s, dockerd restarted by hand on {cured.hosts or 'none'}")
    record_property(SECONDS, took_s)


class Cured:
    """What an operator does meanwhile: restart dockerd where the agent says that nothing else helps.

    A dockerd that is killed while it publishes a port may hold that port for nobody until its next start.
    """

    def __init__(self, live: Live) -> None:
        self._live, self.hosts = live, list[str]()

    def check(self, agreed: Agreed, revision: int) -> None:
        for host in self._live.lab:
            said = " ".join(each["reason"] for each in self._live.cluster.status(host)["blocked"])
            if "systemctl restart docker" in said and host.name not in self.hosts:
                self.hosts.append(host.name)
                host.restart_dockerd()
        for host in self._live.lab:
            self._live.check(host, agreed, revision)


@pytest.mark.fault("the leader is killed while another host has the disruption slot")
def test_the_leader_killed_while_another_host_has_the_disruption_slot_is_replaced_and_the_change_goes_on(
    ours: Live, record_property: RecordProperty
) -> None:
    lab, before = ours.lab, blocked_plan(ours.lab)
    leader = str((ours.cluster.get("leader") or {})["host"])
    other = next(host for host in lab if host.name != leader)
    agreed = ours.other()
    kill = f"start: swap network/{BRIDGE}"
    with when(lab, other, kill, "true") as moment:
        revision = ours.put(agreed)
        moment.happens()
        lab[leader].systemctl("kill", "--signal=KILL", UNIT)
    with recovering(record_property):
        ours.wait_right(agreed, revision, CONVERGE_S)
    assert blocked_plan(lab) == before
    all_there(ours)


def test_a_temporary_network_removed_while_it_is_in_use_is_no_matter(ours: Live) -> None:
    """The agent is stopped in the middle, so that what was done by hand is what it finds."""
    lab, host, before = ours.lab, ours.lab["node-232"], blocked_plan(ours.lab)
    by_hand = (
        "kill -STOP $agent; for each in $(docker ps --quiet); do docker network disconnect --force swarmkeeper_parking "
        "$each; done; docker network rm swarmkeeper_parking; kill -CONT $agent"
    )
    agreed = ours.other()
    for verb in ("swap", "unpark"):
        with when(lab, host, f"start: {verb} network/{BRIDGE}", by_hand) as moment:
            revision = ours.put(agreed)
            moment.happens()
            since = time.time()
        ours.wait_right(agreed, revision)
        print(f"removed at {verb}: everything as agreed {time.time() - since:.1f} s later")
        agreed = ours.other()
    assert blocked_plan(lab) == before
    all_there(ours)
