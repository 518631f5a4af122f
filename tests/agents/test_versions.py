"""Agents of two versions beside each other: the newer one writes a format that the older one cannot read.

The newer format is the present one under a higher number; what reads it reads the present one, too.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest import mock

import msgspec
import pytest

from agent.model import records
from agent.model.faults import Fault, InvalidDocument
from agent.model.intent import Intent
from agent.observe import accepted
from tests.support.document import document
from tests.support.simulated_cluster import KEYS, NAMES, TTL_S, SimulatedCluster, images

pytestmark = pytest.mark.usefixtures("unlogged")

NEWER_IMAGE = document(tags={"billing": "1.0.1"})


class _Newer(int):
    """The number of the newer format. Equal to the older one's, too: who writes this one reads both."""

    def __eq__(self, other: object) -> bool:
        return other in (2, 3)

    def __ne__(self, other: object) -> bool:
        return other not in (2, 3)

    __hash__ = int.__hash__


@contextmanager
def of_the_newer_version() -> Iterator[None]:
    encode = msgspec.json.encode

    def newer(value: Any, **how: Any) -> bytes:
        written = isinstance(value, dict) and isinstance(value.get("v"), _Newer)
        return encode({**value, "v": 3} if written else value, **how)

    with (
        mock.patch.object(records, "VERSION", _Newer(3)),
        mock.patch.object(msgspec.json, "encode", newer),
    ):
        yield


class MixedCluster(SimulatedCluster):
    """The example carried out by agents of the older version; `upgraded` names the hosts with the newer one."""

    def __init__(self, directory: Path) -> None:
        super().__init__(directory)
        self.lan.registry |= images(NEWER_IMAGE)
        self.upgraded: set[str] = set()
        self.put_intent()
        self.start()
        self.settle()

    def install(self, name: str, *, newer: bool) -> None:
        """The package is replaced: the agent is ended in order and started again."""
        self.agents[name].session.close()
        self.upgraded = self.upgraded | {name} if newer else self.upgraded - {name}
        self.start(name)

    def go_on(self, rounds: int) -> None:
        for _ in range(rounds):
            for name in NAMES:
                if name in self.upgraded:
                    with of_the_newer_version():
                        self.agents[name].turn()
                else:
                    self.agents[name].turn()
            self.clock.advance(1.0)

    def started(self) -> dict[str, str]:
        """When each replica was started last, by host and name."""
        return {
            f"{host.name} {name}": raw["State"]["StartedAt"]
            for host in self.hosts.values()
            for name, raw in host.replicas().items()
        }


@pytest.fixture
def cluster(tmp_path: Path) -> MixedCluster:
    return MixedCluster(tmp_path)


@pytest.mark.parametrize("order", [NAMES, NAMES[::-1]])
def test_an_upgrade_host_by_host_touches_no_replica_and_then_the_newer_ones_go_on(
    cluster: MixedCluster, order: tuple[str, ...]
) -> None:
    before = cluster.started()
    for name in order:
        cluster.install(name, newer=True)
        cluster.go_on(round(TTL_S) + 5)
        assert cluster.started() == before
    assert all(agent.at_rest for agent in cluster.agents.values()), cluster.told()

    cluster.put_intent(NEWER_IMAGE)
    cluster.go_on(20)
    assert cluster.running()["node-232"]["prod-billing-1"].endswith(":1.0.1")
    assert [key for key, at in before.items() if cluster.started().get(key) != at] == [
        "node-232 prod-billing-1"
    ]


def test_an_older_agent_beside_what_a_newer_one_wrote_holds_what_it_has_and_does_not_lead(
    cluster: MixedCluster,
) -> None:
    for name in NAMES:
        cluster.install(name, newer=True)
    cluster.go_on(round(TTL_S) + 5)
    cluster.put_intent(NEWER_IMAGE)
    cluster.go_on(20)
    before = cluster.started()

    for name in NAMES:
        cluster.install(name, newer=False)
    cluster.go_on(round(TTL_S) + 10)

    assert cluster.started() == before
    assert not any(agent.leads for agent in cluster.agents.values())
    accepted = cluster.read(KEYS.accepted)
    assert accepted is not None
    assert b'"v":3' in accepted.value
    said = cluster.told()
    assert "of format 3; this agent reads format 2" in said


def test_a_replica_that_ends_is_started_again_by_an_older_agent_that_holds(cluster: MixedCluster) -> None:
    for name in NAMES[:2]:
        cluster.install(name, newer=True)
    cluster.go_on(round(TTL_S) + 5)
    cluster.put_intent(NEWER_IMAGE)
    cluster.go_on(10)
    host = cluster.hosts["node-233"]
    running = host.running()
    host.engine.by_hand.end("prod-api-2", exit_code=1)
    cluster.go_on(3)
    assert host.running() == running


def test_an_upgraded_agent_that_refuses_the_accepted_document_leaves_the_lead_to_those_that_do_not(
    cluster: MixedCluster,
) -> None:
    def refuses(raw: bytes, revision: int) -> Intent:
        raise InvalidDocument(
            [
                Fault(
                    path="services",
                    value="",
                    problem="no more",
                    remedy="less",
                    kind="schema",
                    line=1,
                    column=1,
                )
            ]
        )

    def go_on(rounds: int) -> None:
        """The upgraded one first each time, so that it finds the lock free before the others do."""
        for _ in range(rounds):
            with mock.patch.object(accepted, "parse_intent", refuses):
                cluster.agents["node-233"].turn()
            for name in ("node-231", "node-232"):
                cluster.agents[name].turn()
            cluster.clock.advance(1.0)

    cluster.agents["node-233"].session.close()
    with mock.patch.object(accepted, "parse_intent", refuses):
        cluster.start("node-233")
    for name in ("node-231", "node-232"):
        cluster.agents[name].session.close()
        cluster.start(name)
    go_on(5)
    assert cluster.leader().name != "node-233"
    verdict = cluster.verdict()
    assert verdict is not None
    assert verdict.accepted
