"""What each `restart` means for a process that ends, for `docker stop` and for a removed container, on dockerd."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.contract.engines import DockerScene
from tests.contract.one_host import OneHost
from tests.support.docker_daemon import BARE, DockerDaemon
from tests.support.etcd_server import eventually

JOB = "prod-job-1"
ENDS = "echo run >> /runs/log"
STAYS = f"{ENDS}; exec sleep 1000"


@pytest.fixture
def host(dockerd: DockerDaemon, tmp_path: Path) -> Iterator[OneHost]:
    scene, made = DockerScene(dockerd), OneHost(dockerd, tmp_path)
    (tmp_path / "runs").mkdir()
    yield made
    scene.clean()
    scene.close()
    made.close()


def job(tmp_path: Path, script: str, restart: str | None, **more: Any) -> dict[str, Any]:
    given = {} if restart is None else {"restart": restart}
    base = {
        "image": BARE,
        "command": ["/bin/sh", "-c", script],
        "network_mode": "none",
        "stop_signal": "KILL",
    }
    return {"job": {**base, "volumes": [f"{tmp_path}/runs:/runs"], **given, **more}}


def runs(tmp_path: Path) -> int:
    log = tmp_path / "runs" / "log"
    return len(log.read_text().splitlines()) if log.exists() else 0


def _has_run(host: OneHost, tmp_path: Path, times: int) -> bool:
    host.turn()
    return runs(tmp_path) >= times


def until(host: OneHost, status: str, within_s: float = 20.0) -> None:
    """Let passes go by until the replica is so."""

    def reached() -> bool:
        host.turn()
        return [each.status for each in host.status().replicas] == [status]

    eventually(reached, within_s)
    for _ in range(3):
        host.turn()


@pytest.mark.parametrize(
    ("restart", "script"),
    [("no", ENDS), ("no", f"{ENDS}; exit 3"), ("on-failure", ENDS), ("on-failure:1", f"{ENDS}; exit 3")],
)
def test_a_finished_job_is_not_run_again_by_docker_system_prune(
    host: OneHost, tmp_path: Path, restart: str, script: str
) -> None:
    host.put(job(tmp_path, script, restart))
    until(host, "exited")
    done = runs(tmp_path)

    host.docker("container", "prune", "-f")
    host.agent = host.restarted()
    host.settle()

    assert (host.containers(), runs(tmp_path)) == ([], done)
    (report,) = host.status().replicas
    assert (report.status, report.removed, report.exit_code) == (
        "exited",
        True,
        3 if "exit 3" in script else 0,
    )
    host.put(job(tmp_path, script, restart, mem_limit="32m"))  # a change that needs no new container
    host.settle()
    assert runs(tmp_path) == done
    host.put(job(tmp_path, script, restart, environment={"AGAIN": "1"}))
    eventually(lambda: _has_run(host, tmp_path, 2 * done), 20.0)
    until(host, "exited")
    assert runs(tmp_path) == 2 * done


STOPPED = {None: True, "always": True, "unless-stopped": True, "on-failure": True, "no": False}
"""Restart -> True if the agent starts the replica again after `docker stop`."""


@pytest.mark.parametrize("restart", STOPPED)
def test_a_stop_by_hand(host: OneHost, tmp_path: Path, restart: str | None) -> None:
    host.put(job(tmp_path, STAYS, restart))
    until(host, "running")

    host.docker("stop", JOB)

    until(host, "running" if STOPPED[restart] else "exited")
    assert runs(tmp_path) == (2 if STOPPED[restart] else 1)


@pytest.mark.parametrize("old", ["runs", "has ended"])
def test_the_next_spec_of_a_job_runs_once_docker_starts_it(host: OneHost, tmp_path: Path, old: str) -> None:
    host.put(job(tmp_path, STAYS if old == "runs" else ENDS, "no"))
    until(host, "running" if old == "runs" else "exited")
    refused = {**job(tmp_path, ENDS, "no")["job"], "command": ["/bin/nothing"]}

    host.put({"job": refused})
    eventually(lambda: _is_refused(host), 20.0)
    for _ in range(5):
        host.turn()
    assert runs(tmp_path) == 1
    host.put(job(tmp_path, ENDS, "no", environment={"NEXT": "1"}))

    eventually(lambda: _has_run(host, tmp_path, 2), 20.0)
    until(host, "exited")
    assert (host.containers(), runs(tmp_path)) == ([JOB], 2)


def _is_refused(host: OneHost) -> bool:
    host.turn()
    return any("/bin/nothing" in each.error for each in host.status().replicas)
