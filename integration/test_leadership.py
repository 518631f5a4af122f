"""The leader is killed, ended, frozen, cut off, or left without its dockerd: another leads, no container notices."""

import os
import re
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial

import pytest

from integration.cluster import EXAMPLE, UNIT, Cluster
from integration.conftest import LONG_ONLY
from integration.lab.eventually import eventually
from integration.lab.host import Host
from integration.soak.faults import SWARM, filtered
from integration.timings import SESSION
from tests.support.reliability import SECONDS, RecordProperty, recovering

pytestmark = pytest.mark.every_base

DEAD_S, ENDED_S = SESSION.ttl_s + 3, 2.0
"""How long the cluster may be without a leader that writes, after one that died and one that ended in order."""
PUBLISHES = re.compile(r"debug start: (publish \S+) ")
PUBLISHED = re.compile(r"info (publish \S+) .*seconds=([0-9.]+)$")
HUNG_S = 120.0
BACK_S = 120
KILLS = 10 if os.environ.get("SWARMKEEPER_LONG") else 1


def leader(cluster: Cluster) -> Host:
    """The host that holds the lock."""
    held = eventually(lambda: cluster.get("leader") or {}, 30, "somebody leads")
    return cluster.lab[held["host"]]


def edited(cluster: Cluster) -> int:
    """Put a document that differs in a comment alone: a verdict is due, and no change. Returns its revision."""
    return cluster.put(f"{EXAMPLE}# {time.time()}\n")


def judged(cluster: Cluster, revision: int) -> None:
    """AssertionError unless a leader has written its verdict on that revision."""
    verdict = cluster.get("verdict") or {}
    assert verdict["revision"] == revision, verdict


def led_by_another_than(cluster: Cluster, host: Host) -> Mapping[str, str]:
    found = cluster.get("leader") or {}
    assert found["host"] != host.name, found
    return found


@contextmanager
def nothing_stopped(cluster: Cluster) -> Iterator[None]:
    """When the block has ended, all converges, and no container was restarted."""
    before = cluster.started()
    yield
    cluster.wait_converged(int((cluster.get("accepted") or {})["revision"]), BACK_S)
    assert cluster.started() == before


def signal(host: Host, name: str, unit: str = UNIT) -> None:
    host.systemctl("kill", "--kill-who=main", f"--signal={name}", unit)


@pytest.mark.default_timings
@pytest.mark.fault("the leader's agent is killed")
@pytest.mark.parametrize("_kill", range(KILLS))
def test_the_next_leader_writes_before_ttl_and_three_seconds_have_passed(
    cluster: Cluster, _kill: int, record_property: RecordProperty
) -> None:
    with nothing_stopped(cluster):
        host, began = leader(cluster), time.monotonic()
        signal(host, "KILL")
        revision = edited(cluster)
        eventually(partial(judged, cluster, revision), DEAD_S + 10, "the next leader writes")
        took_s = time.monotonic() - began
    print(f"\n{host.name} led and was killed: {took_s:.2f} s to the first write of {leader(cluster).name}")
    record_property(SECONDS, took_s)
    assert took_s <= DEAD_S


@pytest.mark.fault("the leader's agent is stopped (SIGTERM)")
def test_a_leader_that_ends_hands_over_within_two_seconds(
    cluster: Cluster, record_property: RecordProperty
) -> None:
    with nothing_stopped(cluster):
        host, began = leader(cluster), time.monotonic()
        signal(host, "TERM")
        eventually(partial(led_by_another_than, cluster, host), 30, "another one leads")
        took_s = time.monotonic() - began
    print(f"\n{host.name} led and was ended: {took_s:.2f} s until {leader(cluster).name} led")
    record_property(SECONDS, took_s)
    assert took_s <= ENDED_S


def test_an_operator_makes_another_host_the_leader_and_then_any_other(cluster: Cluster) -> None:
    with nothing_stopped(cluster):
        for named in (True, False):
            host = leader(cluster)
            to = next(each for each in reversed(cluster.lab.hosts) if each is not host)
            ended = cluster.command("handover", *([to.name] if named else ()), "--yes", host=host)
            print(f"\n{host.name} was the leader: {ended.stdout.splitlines()[-1]}")
            found = led_by_another_than(cluster, host)["host"]
            assert found == to.name or not named
            assert ended.stdout.splitlines()[-1].startswith(f"{found} is the leader, ")


def freeze_agent(host: Host) -> None:
    signal(host, "STOP")


def thaw_agent(host: Host) -> None:
    signal(host, "CONT")


def freeze_host(host: Host) -> None:
    """The agent first: what it said before has to be in the journal, not on its way there until the host goes on."""
    freeze_agent(host)
    host.exec("journalctl", "--sync")
    host.freeze()


def thaw_host(host: Host) -> None:
    host.thaw()
    thaw_agent(host)


FROZEN = pytest.mark.fault("the leader is frozen for longer than its lease lasts, and resumed")
CUT_OFF = pytest.mark.fault("the leader is cut off from everything for longer than its lease lasts")


@pytest.mark.parametrize(
    ("stop", "resume"),
    [
        pytest.param(freeze_agent, thaw_agent, id="agent", marks=[LONG_ONLY, FROZEN]),
        pytest.param(freeze_host, thaw_host, id="host", marks=FROZEN),
        pytest.param(Host.cut, Host.heal, id="cut off", marks=[LONG_ONLY, CUT_OFF]),
    ],
)
def test_a_leader_that_was_frozen_or_cut_off_writes_nothing_when_it_is_back(
    cluster: Cluster,
    stop: Callable[[Host], None],
    resume: Callable[[Host], None],
    record_property: RecordProperty,
) -> None:
    """Documents come so fast that it is stopped in the middle of its work, with writes decided upon."""
    with nothing_stopped(cluster):
        host = leader(cluster)
        cluster.operator = next(each for each in cluster.lab.hosts if each is not host)
        for _ in range(5):
            edited(cluster)
        stop(host)
        began, stopped_at = time.monotonic(), now(host)
        try:
            follower = eventually(partial(led_by_another_than, cluster, host), 60, "another one leads")
            revision = edited(cluster)
            eventually(partial(judged, cluster, revision), 30, "it writes")
            record_property(SECONDS, time.monotonic() - began)
        finally:
            back_at = time.time()
            resume(host)
        said = partial(host.journal_text, UNIT)
        eventually(lambda: "leadership lost" in said(stopped_at), 60, "it sees that it leads no more")
        eventually(partial(cluster.check_converged, host, revision), BACK_S, "it follows")
        assert published_after(host, back_at) == []
        assert cluster.get("leader") == follower


def published_after(host: Host, moment: float) -> list[str]:
    """The steps by which the host's agent says that it published something and that were not over by that moment.

    When one was over is told by its beginning and by how long it took. The line of its end may be later: an agent that
    is stopped between the two writes it when it goes on.
    """
    begun: dict[str, float] = {}
    found = []
    for entry in host.journal(UNIT):
        at, line = int(entry["__REALTIME_TIMESTAMP"]) / 1e6, str(entry["MESSAGE"])
        if start := PUBLISHES.match(line):
            begun[start[1]] = at
        elif (done := PUBLISHED.match(line)) and begun.get(done[1], at) + float(done[2]) >= moment:
            found.append(line)
    return found


def now(host: Host) -> str:
    """The time of the host's clock, as journalctl takes it."""
    return host.exec("date", "+%F %T.%N").stdout.strip()


@LONG_ONLY
@pytest.mark.fault("the leader's dockerd hangs")
def test_a_leader_whose_dockerd_hangs_gives_the_lock_to_one_that_can_see_the_swarm(
    cluster: Cluster, record_property: RecordProperty
) -> None:
    with nothing_stopped(cluster):
        host = leader(cluster)
        signal(host, "STOP", "docker")
        began = time.monotonic()
        try:
            eventually(partial(led_by_another_than, cluster, host), HUNG_S, "another one leads")
            took_s = time.monotonic() - began
            eventually(partial(judged, cluster, edited(cluster)), 30, "it writes")
        finally:
            signal(host, "CONT", "docker")
    print(f"\n{host.name} led and its dockerd hung: {took_s:.2f} s until {leader(cluster).name} led")
    record_property(SECONDS, took_s)


@LONG_ONLY
@pytest.mark.fault("the leader is cut from the swarm alone")
def test_a_leader_that_is_cut_from_the_swarm_alone_hands_over_to_one_that_sees_its_nodes(
    cluster: Cluster, record_property: RecordProperty
) -> None:
    with nothing_stopped(cluster):
        host, other = leader(cluster), cluster.lab.hosts[0]
        filtered("-I", *SWARM)(host, other)
        try:
            with recovering(record_property):
                eventually(partial(led_by_another_than, cluster, host), HUNG_S, "another one leads")
            eventually(partial(judged, cluster, edited(cluster)), 30, "it writes")
        finally:
            filtered("-D", *SWARM)(host, other)
        eventually(partial(cluster.check_converged, host, edited(cluster)), BACK_S, "it follows")
