"""docker_gwbridge is changed under running containers: one host after the other, and nobody notices."""

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from functools import partial

import pytest

from integration import by_hand
from integration.by_hand import ALL_MANAGERS, ONE_MANAGER, blocked_plan, leader_of
from integration.conftest import LONG_ONLY
from integration.lab.eventually import eventually
from integration.lab.lab import Lab
from integration.live_bridge import BRIDGE, FIRST, SWAP, Live, left_no_swarm, turns
from integration.watching.clients import Seen, knocking, line_between

pytestmark = pytest.mark.every_base

AWAY_S = 30.0
"""Longer is not a change but an outage. How long a port was away is printed: that is a figure of the machine, too, and
beside other labs every change of a network waits in the kernel (docs/gwbridge.md has what was measured)."""
LOST_S, FOUND_S = 60, 240
"""TCP doubles its pauses while nothing gets through: after a minute of it the managers may take one or two more."""


@contextmanager
def nobody_notices(lab: Lab, near: str = "node-231", far: str = "node-232") -> Iterator[None]:
    """Clients of every port, and an open connection over the overlay, while the block runs; prints what they saw."""
    before = blocked_plan(lab)
    one, other = (lab[near], "hand-billing"), (lab[far], "hand-billing")
    with (
        knocking(lab, by_hand.published(lab)) as ports,
        line_between(lab, one, other, by_hand.OVERLAY) as line,
    ):
        yield
    print(f"{ports}\n  {line}")
    assert blocked_plan(lab) == before
    check(ports, line)


def check(ports: Seen, line: Seen) -> None:
    assert {name: each.longest_s for name, each in ports.ports.items() if each.longest_s >= AWAY_S} == {}
    assert line.line is not None
    assert line.line.broken == ""
    assert line.line.longest_s < AWAY_S


@pytest.mark.parametrize(
    "roles",
    [
        pytest.param(ONE_MANAGER, id="one manager", marks=LONG_ONLY),
        pytest.param(ALL_MANAGERS, id="three managers"),
    ],
)
def test_hosts_joined_by_hand_are_changed_one_after_the_other_and_nobody_notices(
    roles: dict[str, str], fresh_lab: Lab, live_recreated: Live
) -> None:
    """The raft leader last, no node id changed, nobody left the swarm, no container was restarted."""
    lab = fresh_lab
    by_hand.make_everything(lab, roles, live_recreated.cluster.timings)
    live_recreated.roles = roles
    live_recreated.cluster.install()
    raft_leader = leader_of(lab).name
    with nobody_notices(lab):
        since = time.time()
        revision = live_recreated.put(FIRST)
        live_recreated.cluster.start()
        live_recreated.wait_right(FIRST, revision)
        print(f"\nthree hosts, agents started: as agreed after {time.time() - since:.1f} s")
        done = live_recreated.done(since)
    order = turns(done)
    assert sorted(order) == sorted(roles)
    assert order[-1] == raft_leader
    assert [roles[name] for name in order] == sorted((roles[name] for name in order), reverse=True)
    for host in lab:
        assert {each.verb for each in done if each.host == host.name} == set(SWAP)
    assert left_no_swarm(lab)


@LONG_ONLY
def test_the_bridge_is_changed_again_and_back(live: Live) -> None:
    before = live.agreed
    with nobody_notices(live.lab, "node-232", "node-233"):
        assert len(turns(live.change(live.other()))) == len(live.lab.hosts)
        assert len(turns(live.change(before))) == len(live.lab.hosts)
    assert left_no_swarm(live.lab)


def test_enable_icc_alone_is_changed_like_everything_else(live: Live) -> None:
    with nobody_notices(live.lab, "node-233", "node-231"):
        assert len(turns(live.change(replace(live.agreed, icc="true")))) == len(live.lab.hosts)


def test_the_plan_of_another_bridge_names_every_container_and_port_and_how_the_managers_stand(
    live: Live,
) -> None:
    host = live.lab.hosts[0]
    assert "nothing to do" in live.cluster.command("plan").stdout.lower()
    host.write("/tmp/other.yaml", live.document(live.other()))
    planned = live.cluster.command("plan", "/tmp/other.yaml").stdout
    for each in by_hand.CONTAINERS:
        park = f"park container/{each.name}: its gateway leaves {BRIDGE}"
        away = f"{park}; port {each.port}/tcp unreachable for about 0.1 s"
        assert planned.count(away) == len(live.lab.hosts), planned
    assert planned.count("3 of 3 managers reachable, before and after") == len(live.lab.hosts), planned


@LONG_ONLY
def test_the_bridge_is_changed_while_the_swarm_has_lost_its_quorum(live: Live) -> None:
    lab = live.lab
    raft(lab, "-A")
    try:
        eventually(lambda: no_leader(lab), LOST_S, "no manager knows a leader")
        with nobody_notices(lab):
            assert len(turns(live.change(live.other()))) == len(lab.hosts)
        assert no_leader(lab)
    finally:
        raft(lab, "-D")
    eventually(partial(leader_of, lab), FOUND_S, "the swarm has a leader again")


def raft(lab: Lab, word: str) -> None:
    """Drop (-A), or no more (-D), what the managers say to each other; etcd and the overlay go on."""
    for way in ("--ip-destination-port", "--ip-source-port"):
        rule = ("FORWARD", "-p", "IPv4", "--ip-protocol", "tcp", way, "2377", "-j", "DROP")
        lab.lan.run("ebtables-nft", word, *rule)


def no_leader(lab: Lab) -> bool:
    """Whether every manager says so; each may take 20 s for it."""
    with ThreadPoolExecutor(len(lab.hosts)) as pool:
        asked = pool.map(lambda host: host.exec("docker", "node", "ls", check=False, timeout=90), lab.hosts)
        return all("does not have a leader" in each.stderr for each in asked)


def test_a_bridge_that_is_right_is_left_alone(live: Live) -> None:
    before = [host.docker.api.inspect_network(BRIDGE)["Id"] for host in live.lab]
    since = time.time()
    live.cluster.stop()
    live.cluster.start()
    live.wait_right(live.agreed, live.put(live.agreed))
    assert live.done(since) == []
    assert [host.docker.api.inspect_network(BRIDGE)["Id"] for host in live.lab] == before
