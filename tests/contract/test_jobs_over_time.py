"""What each `restart` means for a process that ends, for a stop, and for a removed container, on dockerd."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.contract.engines import DockerScene
from tests.contract.one_host import OneHost
from tests.support.docker_daemon import BARE, DockerDaemon
from tests.support.etcd_server import eventually
from tests.support.simulated_cluster import Crash

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
    before = 2 if old == "runs" else 1  # a run that the agent stopped is begun again
    assert runs(tmp_path) == before
    host.put(job(tmp_path, ENDS, "no", environment={"NEXT": "1"}))

    eventually(lambda: _has_run(host, tmp_path, before + 1), 20.0)
    until(host, "exited")
    assert (host.containers(), runs(tmp_path)) == ([JOB], before + 1)


def _is_refused(host: OneHost) -> bool:
    host.turn()
    return any("/bin/nothing" in each.error for each in host.status().replicas)


NET = "jobs"
TERMS = 'trap "exit 0" TERM; echo run >> /runs/log; while :; do sleep 0.1; done'
"""Ends with 0 when it is stopped, as many a program does."""


def on_overlay(tmp_path: Path, script: str, restart: str) -> dict[str, Any]:
    named = job(tmp_path, script, restart, stop_signal="TERM", networks=[NET])["job"]
    return {"job": {key: value for key, value in named.items() if key != "network_mode"}}


def overlay(subnet: str) -> dict[str, Any]:
    return {NET: {"driver": "overlay", "attachable": True, "ipam": {"config": [{"subnet": subnet}]}}}


def dies_in_the_next_stop(host: OneHost, *, docker_hears: bool) -> None:
    """Let the agent end in its next stop, before docker hears of it or before the agent hears that it is done."""
    engine = host.agent.host.engine
    stop = engine.stop

    def ends(container: str, grace_s: float) -> None:
        engine.stop = stop  # type: ignore[method-assign]
        if docker_hears:
            stop(container, grace_s)
        raise Crash

    engine.stop = ends  # type: ignore[method-assign]


@pytest.mark.parametrize("restart", ["no", "on-failure"])
@pytest.mark.parametrize("kill", ["never", "before docker hears", "before the agent hears", 1, 2, 3])
def test_a_job_runs_again_after_its_overlay_was_recreated(
    host: OneHost, tmp_path: Path, restart: str, kill: str | int
) -> None:
    host.put(on_overlay(tmp_path, TERMS, restart), networks=overlay("10.98.0.0/24"))
    until(host, "running", 60.0)

    if kill in ("before docker hears", "before the agent hears"):
        dies_in_the_next_stop(host, docker_hears=kill == "before the agent hears")
    host.put(on_overlay(tmp_path, TERMS, restart), networks=overlay("10.97.0.0/24"))
    host.settle(kill_after=kill if isinstance(kill, int) else None)
    until(host, "running", 60.0)

    assert (host.kills, runs(tmp_path)) == (kill != "never", 2)
    assert host.inspected(JOB)["NetworkSettings"]["Networks"]["prod_jobs"]["IPAddress"].startswith("10.97.")
    host.docker("stop", JOB)  # by hand, soon after the agent's own
    until(host, "exited")
    assert runs(tmp_path) == 2


@pytest.mark.parametrize("kill", ["before docker hears", "before the agent hears", 1, 2, 3, 4])
def test_a_job_runs_again_after_its_next_spec_was_refused(
    host: OneHost, tmp_path: Path, kill: str | int
) -> None:
    host.put(job(tmp_path, STAYS, "no"))
    until(host, "running")
    first = host.inspected(JOB)["Id"]

    if isinstance(kill, str):
        dies_in_the_next_stop(host, docker_hears=kill == "before the agent hears")
    host.put({"job": {**job(tmp_path, ENDS, "no")["job"], "command": ["/bin/nothing"]}})
    host.settle(kill_after=kill if isinstance(kill, int) else None)
    eventually(lambda: _is_refused(host), 20.0)
    host.settle()

    found = host.inspected(JOB)
    assert (host.kills, found["Id"], found["State"]["Status"], runs(tmp_path)) == (1, first, "running", 2)


def test_a_stop_that_never_came_makes_no_later_end_a_stop(host: OneHost, tmp_path: Path) -> None:
    host.put(job(tmp_path, f"{ENDS}; while [ ! -e /runs/end ]; do sleep 0.1; done", "no"))
    until(host, "running")
    host.agent._host.memory.note_stop(host.inspected(JOB)["Id"], 10.0)
    host.agent = host.restarted()
    for _ in range(80):  # seconds, of the agent: longer than a stop may take
        host.turn()
    (tmp_path / "runs" / "end").touch()

    until(host, "exited")
    assert runs(tmp_path) == 1
