"""`exec` and the restart of one replica choose its running container, and say why they do nothing."""

import os
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from agent.cli import on_replica
from agent.clients.docker.output import Listed
from agent.errors import Invalid, Unreachable
from agent.model.observed import ClusterState
from agent.model.store import Upkeep
from agent.observe.look import Look
from tests.support.cluster_states import CLUSTERS, HEALTHY, HOSTS, NOW_S, ORDER, A, B, C, absent, on, replica


class Fake:
    """A Reach of three engines with containers; those in `away` do not answer."""

    def __init__(self) -> None:
        self.state: ClusterState = HEALTHY
        self.listed: dict[str, list[Listed]] = {host: [] for host in HOSTS}
        self.away: set[str] = set()
        self.restarted: list[str] = []

    def add(self, host: str, name: str, container: str, *, running: bool = True) -> None:
        self.listed[host].append(Listed(container, name, name.rpartition("-")[0], running, "Up"))

    def engine(self, host: str, _: object) -> Any:
        if host in self.away:
            raise Unreachable("no route")
        return SimpleNamespace(
            url=f"unix:///{host}.sock", replicas=lambda: self.listed[host], restart=self.restarted.append
        )

    def fault(self, host: str) -> str:
        return ""

    def run(self, name: str, *command: str, options: tuple[str, ...] = (), host: str = "") -> int:
        return on_replica.run_in(cast(Any, None), cast(Any, self), name, command, options, host)

    def restart(self, name: str, host: str = "", *, ask: bool = False) -> None:
        on_replica.restart_one(cast(Any, None), cast(Any, self), name, host, ask=ask)


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Fake:
    """With a docker command that prints its arguments and variables, and ends with 7."""
    fake = Fake()
    monkeypatch.setattr(
        on_replica, "look", lambda _: Look(cluster="prod", state=fake.state, upkeep=Upkeep(), read_s=NOW_S)
    )
    monkeypatch.setattr("agent.cli.on_replica.signal.signal", lambda *_: None)
    docker = tmp_path / "docker"
    names = '[each for each in os.environ if each.startswith("DOCKER_")]'
    docker.write_text(f"#!{sys.executable}\nimport os, sys\nprint(sys.argv[1:], {names})\nsys.exit(7)\n")
    docker.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.setenv("DOCKER_TLS_VERIFY", "1")
    return fake


def test_a_command_runs_in_the_newest_running_container(
    fake: Fake, capfd: pytest.CaptureFixture[str]
) -> None:
    fake.add(B, "web-2", "ended", running=False)
    fake.add(B, "web-2", "new")
    fake.add(B, "web-2", "old")
    assert fake.run("web-2", "sh", "-c", "a; b", options=("-i", "-t")) == 7
    argv = ["-H", "unix:///node-232.sock", "exec", "-i", "-t", "--", "new", "sh", "-c", "a; b"]
    assert capfd.readouterr().out == f"{argv} []\n"


@pytest.mark.parametrize(
    ("name", "host", "why"),
    [
        ("web", "", "service/web is a service: name a replica"),
        ("node-231", "", "host/node-231 is a host: name a replica"),
        ("web-9", "", "'web-9' is no resource of this cluster"),
        ("billing-1", "", "replica/billing-1 has no running container on node-232"),
        ("web-2", C, "replica/web-2 is in no report of node-233"),
    ],
)
def test_what_cannot_be_chosen_is_named(fake: Fake, name: str, host: str, why: str) -> None:
    fake.add(B, "web-2", "new")
    with pytest.raises(Invalid, match=why):
        fake.run(name, "true", host=host)


def test_a_host_that_does_not_answer_is_named(fake: Fake) -> None:
    fake.away.add(B)
    with pytest.raises(Unreachable, match="host node-232: no route"):
        fake.run("web-2", "true")


def test_without_the_docker_command_the_remedy_is_named(fake: Fake, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(Invalid, match="install docker-cli"):
        fake.run("web-2", "true")


def test_a_restart_is_of_the_container_of_that_replica(
    fake: Fake, capsys: pytest.CaptureFixture[str]
) -> None:
    fake.add(A, "web-1", "one")
    fake.add(B, "web-2", "two")
    fake.restart("web-2")
    assert (fake.restarted, capsys.readouterr().out) == (["two"], "Restarted web-2 on node-232.\n")


def test_a_restart_asks_and_without_a_terminal_needs_yes(fake: Fake, monkeypatch: pytest.MonkeyPatch) -> None:
    fake.add(B, "web-2", "two")
    monkeypatch.setattr("agent.cli.on_replica.sys.stdin", SimpleNamespace(isatty=lambda: False))
    with pytest.raises(Invalid, match="add --yes"):
        fake.restart("web-2", ask=True)
    assert fake.restarted == []


def test_a_restart_waits_for_a_rollout(fake: Fake) -> None:
    fake.state = CLUSTERS["rollout paused"]
    fake.add(A, "order-1", "one")
    fake.add(B, "web-2", "two")
    with pytest.raises(Invalid, match=r"a rollout of its service would take .* describe rollout/order"):
        fake.restart("order-1")
    fake.restart("web-2")
    assert fake.restarted == ["two"]


def test_the_old_report_of_a_lost_host_does_not_matter_where_the_replica_runs(fake: Fake) -> None:
    both = on(HEALTHY, B, replicas=(*HEALTHY.statuses[B].replicas, replica(ORDER, 1)))
    fake.state, fake.away = absent(both, B), {B}
    fake.add(A, "order-1", "one")
    fake.restart("order-1")
    assert fake.restarted == ["one"]
