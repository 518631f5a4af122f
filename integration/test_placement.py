"""Where replicas run: a host is drained, loses its power and comes back, or is only cut off from etcd.

Meanwhile a watcher looks at the containers of all hosts twice a second: no address is given twice, and no name but
that of a replica whose host was dead, until the agent there has looked.
"""

import json
import threading
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http import HTTPStatus
from typing import Any

import pytest

from integration.cluster import EXAMPLE, PREFIX, Cluster
from integration.lab import docker_socket
from integration.lab.errors import LabError
from integration.lab.eventually import eventually
from integration.lab.host import Host
from integration.lab.lab import Lab
from tests.support.document import document

OVERLAY = "my-network-overlay"
EVERY_S = 0.5
MOVES_S = 120
BACK_S = 180
AFTER_S = 5
STAYS_S = 2 * AFTER_S
TWICE_AT_MOST_S = 20
PLACED = document(
    EXAMPLE,
    policy={"reschedule_after": f"{AFTER_S}s"},
    services={
        "free": {
            "image": "10.159.62.231/somecom/billing:1.0.0",
            "restart": "always",
            "networks": [OVERLAY],
            "deploy": {"replicas": 3, "update_config": {"monitor": "1s"}},
        }
    },
)
DRAINED = document(PLACED, hosts={"node-232": {"availability": "drain"}})
FREE = ("prod-free-1", "prod-free-2", "prod-free-3")
TOO_MANY = 7
"""Replicas of which each reserves two fifths of a host's processors: each of the three hosts has room for two."""

Sight = dict[str, set[tuple[str, str]]]
"""Name or address -> (host, id) of the containers that have it now."""


class Watcher:
    """Looks at all hosts again and again, and keeps what two containers had at a time."""

    def __init__(self, lab: Lab) -> None:
        self._lab, self._stop = lab, threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self.twice: defaultdict[str, list[float]] = defaultdict(list)
        """Name or address -> the moments at which two containers had it."""
        self.looks = 0

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stop.wait(EVERY_S):
            first = self._doubled()
            # The hosts are looked at one after the other: what two have at two looks, they have at once.
            for each in first & self._doubled() if first else ():
                self.twice[each].append(time.monotonic())
            self.looks += 1

    def _doubled(self) -> set[str]:
        seen: Sight = {}
        for host in self._lab.hosts:
            with suppress(OSError, LabError, ValueError):  # it is off, or comes and goes
                status, body = docker_socket.get(host.socket, "/containers/json", timeout=5)
                for each in json.loads(body) if status == HTTPStatus.OK else ():
                    who = (host.name, each["Id"])
                    networks = each["NetworkSettings"]["Networks"]
                    address = networks.get(OVERLAY, {}).get("IPAddress", "")
                    for what in (each["Names"][0].lstrip("/"), address):
                        if what:
                            seen.setdefault(what, set()).add(who)
        return {what for what, who in seen.items() if len(who) > 1}


@contextmanager
def watched(cluster: Cluster) -> Iterator[Watcher]:
    watcher = Watcher(cluster.lab)
    watcher.start()
    try:
        yield watcher
    finally:
        watcher.stop()
    print(f"{watcher.looks} looks; at two places: {dict(watcher.twice)}")


@pytest.fixture
def placed(running: Cluster) -> Cluster:
    """The example, and three replicas of a service on hosts that the leader chose."""
    running.wait_converged(running.put_unless_accepted(PLACED), MOVES_S)
    return running


def where(cluster: Cluster, *hosts: Host) -> dict[str, str]:
    """Host of every replica that runs on `hosts`, or on any."""
    names = {each.name for each in hosts}
    return {
        each.name: each.host
        for each in cluster.containers()
        if each.status == "running" and (not names or each.host in names)
    }


def free(cluster: Cluster) -> dict[str, str]:
    return {name: host for name, host in where(cluster).items() if name in FREE}


def pinned(cluster: Cluster) -> dict[str, str]:
    return {name: host for name, host in where(cluster).items() if name not in FREE}


def test_a_drained_host_gives_its_replicas_away_one_after_the_other_and_gets_its_pinned_ones_back(
    placed: Cluster,
) -> None:
    before, bound, host = free(placed), pinned(placed), placed.lab["node-232"]
    assert sorted(before) == sorted(FREE)
    assert len(set(before.values())) == len(FREE)

    with watched(placed) as watcher:
        placed.wait_converged(placed.put(DRAINED), MOVES_S)
        assert not list(host.docker.api.containers(all=True))
        after = free(placed)
        assert sorted(after) == sorted(FREE)
        assert {name: on for name, on in before.items() if on != host.name}.items() <= after.items()

        placed.wait_converged(placed.put(PLACED), MOVES_S)
        assert pinned(placed) == bound
        assert free(placed) == after
    assert not watcher.twice


def test_nothing_moves_away_from_a_host_that_is_only_cut_off_from_etcd(placed: Cluster) -> None:
    before, host = placed.started(), placed.lab["node-233"]
    rule = ("OUTPUT", "-p", "tcp", "--dport", "2379", "-j", "REJECT", "--reject-with", "tcp-reset")

    with watched(placed) as watcher:
        host.exec("iptables", "-I", *rule)
        try:
            eventually(lambda: not presence(placed, host), 60, "its presence is gone")
            gone_at = time.monotonic()
            eventually(lambda: time.monotonic() - gone_at > STAYS_S, 60, "it is away for long enough")
            assert placed.started() == before
        finally:
            host.exec("iptables", "-D", *rule)
        placed.wait_converged(int((placed.get("accepted") or {})["revision"]), MOVES_S)
    assert placed.started() == before
    assert not watcher.twice


def presence(cluster: Cluster, host: Host) -> str:
    return cluster.etcdctl("get", "--print-value-only", f"{PREFIX}hosts/{host.name}/presence")


def test_the_replicas_of_a_dead_host_move_and_do_not_go_back_and_the_pinned_ones_wait_for_it(
    placed: Cluster,
) -> None:
    before, bound, host = free(placed), pinned(placed), placed.lab["node-233"]
    mine = {name for name, on in before.items() if on == host.name}
    assert mine
    others = [each for each in placed.lab.hosts if each is not host]
    waiting = {name for name, on in bound.items() if on == host.name}
    assert waiting

    with watched(placed) as watcher:
        host.off()
        eventually(lambda: {*FREE} <= where_on(others).keys(), MOVES_S, "its replicas run elsewhere")
        moved = where_on(others)
        on_others = {name: on for name, on in bound.items() if name not in waiting}
        assert {name: on for name, on in moved.items() if name not in FREE} == on_others

        host.boot()

        def is_as_before() -> None:
            assert pinned(placed) == bound
            assert free(placed) == {name: on for name, on in moved.items() if name in FREE}

        # First of all: what the host said before it died may still be all that there is of it.
        eventually(is_as_before, BACK_S, "what is bound to the host runs there again, and nothing else does")
        placed.wait_converged(int((placed.get("accepted") or {})["revision"]), BACK_S)
        is_as_before()
    assert watcher.twice.keys() <= mine
    for times in watcher.twice.values():
        assert times[-1] - times[0] < TWICE_AT_MOST_S


def test_no_host_gets_more_than_it_has_for_reservations_and_the_replica_that_fits_nowhere_is_named(
    placed: Cluster,
) -> None:
    cpus = placed.lab.hosts[0].docker.api.info()["NCPU"]
    revision = placed.put(reserving(0.4 * cpus))

    def verdict() -> dict[str, Any]:
        found = placed.get("verdict") or {}
        assert found["revision"] == revision
        return found

    assert "service large: 1 replica too many for the hosts" in str(
        eventually(verdict, 20, "the document is judged")
    )

    def six_run() -> None:
        hosts = [on for name, on in where(placed).items() if name.startswith("prod-large-")]
        assert sorted(hosts) == sorted(2 * [each.name for each in placed.lab.hosts])

    eventually(six_run, MOVES_S, "each host runs as many as it has processors for")

    def told() -> dict[str, Any]:
        rows = json.loads(placed.command("status", "-o", "json").stdout)["replicas"]
        waits = [each["condition"] for each in rows if each["condition"]["reason"] == "NoHostFits"]
        assert len(waits) == 1
        return dict(waits[0])

    waiting = eventually(told, 30, "status names the replica that fits nowhere")
    assert waiting["name"].startswith("large-")
    assert f"of its {cpus} CPUs {0.8 * cpus:g} are reserved, and a replica reserves {0.4 * cpus:g}" in str(
        waiting
    )

    placed.wait_converged(placed.put(reserving(0.2 * cpus)), MOVES_S)
    assert sum(name.startswith("prod-large-") for name in where(placed)) == TOO_MANY


def reserving(cpus: float) -> str:
    """The example, and more replicas than the hosts have processors for, if each reserves many."""
    large = {
        "image": "10.159.62.231/somecom/billing:1.0.0",
        "restart": "always",
        "networks": [OVERLAY],
        "deploy": {
            "replicas": TOO_MANY,
            "update_config": {"monitor": "1s", "parallelism": 0},
            "resources": {"reservations": {"cpus": f"{cpus:g}"}},
        },
    }
    return document(EXAMPLE, services={"large": large})


def where_on(hosts: list[Host]) -> dict[str, str]:
    return {
        each["Names"][0].lstrip("/"): host.name for host in hosts for each in host.docker.api.containers()
    }
