"""`logs`, `exec` and `restart` reach the replicas of all hosts through ssh, also while a host dies and returns."""

import re
import subprocess
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from integration.cluster import EXAMPLE, Cluster
from integration.conftest import LONG_ONLY
from integration.lab.eventually import eventually
from integration.lab.host import Host
from integration.ssh_server import serve_ssh
from integration.states.state import IMAGE
from tests.support.document import document

pytestmark = pytest.mark.every_base

REPLICAS = 30
START_S = 120
SOON_S = 20
RETURN_S = 60
MOST_KIB = 150_000
"""Resident memory of the command: what python and its libraries take, and 64 KiB for each replica."""
COUNTS = """\
run=$(busybox cat /proc/sys/kernel/random/uuid); n=0
while :; do echo $run $n; n=$((n+1)); busybox usleep 100000; done"""
LINE = re.compile(r"(count-\d+) +\| ([0-9a-f-]{36}) (\d+)")


def service(script: str, replicas: int) -> dict[str, object]:
    return {
        "image": f"{IMAGE}/terminal:1.0.0",
        "entrypoint": ["/bin/busybox", "sh", "-c", script.replace("$", "$$")],
        "restart": "always",
        "stop_grace_period": "1s",
        "logging": {"driver": "json-file", "options": {"max-size": "10m"}},
        "deploy": {"replicas": replicas, "update_config": {"parallelism": 0, "monitor": "1s"}},
    }


def wanted() -> str:
    return document(EXAMPLE, services={"count": service(COUNTS, REPLICAS)})


@pytest.fixture
def counting(running: Cluster) -> Cluster:
    """Thirty replicas that count, on three hosts, and ssh from the first host to all."""
    serve_ssh(running.lab, running.lab.hosts[0])
    running.wait_converged(running.put_unless_accepted(wanted()), START_S)
    return running


@contextmanager
def logs(host: Host, folder: Path, *options: str) -> Iterator[tuple[Path, Path]]:
    """Run `swarmkeeper logs` on a host until the block ends; yield the files of its output."""
    out, err = folder / "out", folder / "err"
    with out.open("wb") as stdout, err.open("wb") as stderr:
        argv = [*host.enter_command(), "swarmkeeper", "logs", *options]
        with subprocess.Popen(argv, stdout=stdout, stderr=stderr) as process:
            try:
                yield out, err
            finally:
                host.exec(
                    "pkill", "-TERM", "-f", "swarmkeeper logs", check=False
                )  # a shell may have it ignore SIGINT
                process.wait(SOON_S)


def counted(out: Path) -> dict[str, dict[str, list[int]]]:
    """Replica -> run -> the numbers that were shown, in their order."""
    found: dict[str, dict[str, list[int]]] = defaultdict(lambda: defaultdict(list))
    for replica, run, number in LINE.findall(out.read_text()):
        found[replica][run].append(int(number))
    return found


def peak_kib(host: Host) -> int:
    """The largest resident memory of the command so far."""
    pid = host.exec("pgrep", "-o", "-f", "swarmkeeper logs").stdout.split()[0]
    return int(re.findall(r"VmHWM:\s+(\d+) kB", host.read(f"/proc/{pid}/status"))[0])


def test_logs_miss_and_double_no_line_while_a_host_dies_and_returns(
    counting: Cluster, tmp_path: Path
) -> None:
    station, dying = counting.lab["node-231"], counting.lab["node-233"]
    with logs(station, tmp_path, "-f", "count") as (out, err):
        eventually(lambda: len(counted(out)) == REPLICAS, SOON_S, f"all are shown: {err.read_text()}")
        before = counted(out)
        dying.off()
        eventually(
            lambda: "host node-233 cannot be read" in err.read_text(), RETURN_S, "the dead host is named"
        )
        dying.boot()
        dying.wait_up()
        eventually(lambda: "host node-233 is read again" in err.read_text(), RETURN_S, "it is read again")
        eventually(
            lambda: any(len(runs) > 1 and len([*runs.values()][-1]) > 20 for runs in counted(out).values()),
            RETURN_S,
            "replicas that started again are shown",
        )
        peak = peak_kib(station)
    shown = counted(out)
    print(f"{sum(len(each) for runs in shown.values() for each in runs.values())} lines, peak {peak} KiB")
    assert any(len(runs) > len(before[replica]) for replica, runs in shown.items())
    for replica, runs in shown.items():
        for run, numbers in runs.items():
            assert numbers == list(range(len(numbers))), f"{replica}, run {run}: {gaps(numbers)}"
    assert peak < MOST_KIB
    assert not station.exec("pgrep", "-x", "ssh", check=False).stdout, "no ssh stays behind"


def gaps(numbers: list[int]) -> list[tuple[int, int]]:
    """The pairs of neighbours that do not follow one another."""
    return [pair for pair in zip([-1, *numbers], numbers, strict=False) if pair[1] != pair[0] + 1][:5]


def test_exec_reaches_a_replica_wherever_it_runs(counting: Cluster) -> None:
    station, seen = (
        counting.lab["node-231"],
        {each.host: each for each in counting.containers() if "count" in each.name},
    )
    assert len(seen) == 3
    for container in seen.values():
        replica = container.name.removeprefix("prod-")
        done = counting.command(
            "exec", replica, "/bin/busybox", "sh", "-c", "busybox hostname; exit 7", check=False
        )
        assert (done.stdout.strip(), done.returncode) == (container.id[:12], 7), done.stderr
    assert station.exec("swarmkeeper", "exec", "count", "true", check=False).returncode == 1


@LONG_ONLY
def test_a_restart_of_one_replica_keeps_its_container(counting: Cluster) -> None:
    before = next(each for each in counting.containers() if "count" in each.name and each.host == "node-232")
    replica = before.name.removeprefix("prod-")
    assert f"Restarted {replica} on node-232." in counting.command("restart", "--yes", replica).stdout
    after = next(each for each in counting.containers() if each.name == before.name)
    assert (after.id, after.started_at > before.started_at) == (before.id, True)
    counting.wait_converged(counting.newest(), START_S)
    assert (
        next(each for each in counting.containers() if each.name == before.name).started_at
        == after.started_at
    )


@LONG_ONLY
def test_a_restart_of_a_service_is_a_rollout_and_a_document_without_it_restarts_nothing(
    counting: Cluster,
) -> None:
    before = {each.name: each.id for each in counting.containers()}
    counting.command("restart", "--yes", "api")
    counting.wait_converged(counting.newest(), START_S)
    after = {each.name: each.id for each in counting.containers()}
    assert {name for name, id_ in after.items() if before[name] != id_} == {"prod-api-1", "prod-api-2"}

    counting.wait_converged(counting.put(wanted()), START_S)
    assert {each.name: each.id for each in counting.containers()} == after
