"""bench/scale: its table, its smallest setting, and that nothing of it is left when it ends early."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from bench.environment import ROOT
from bench.scale_table import missed, slope, table, verdict
from tests.support.etcd_server import eventually
from tests.support.thoroughness import thorough

WITHIN_S = 120.0
SCHEDULED = "scheduling 20 replicas a host: seconds"


@pytest.mark.parametrize(
    ("values", "grows"),
    [
        ({}, None),
        ({100: 5.0}, None),
        ({100: 0.0, 1000: 5.0}, None),
        ({10: 1.0, 100: 10.0}, 1.0),
        ({1000: 400.0, 10: 1.0, 100: 4.0}, 2.0),
    ],
)
def test_the_slope_is_that_between_the_two_largest_sizes(
    values: dict[int, float], grows: float | None
) -> None:
    found = slope(values)

    assert found == (grows if grows is None else pytest.approx(grows))


@pytest.mark.parametrize(
    ("name", "values", "said"),
    [
        (SCHEDULED, {1000: 0.9}, "1 at 1,000: reached"),
        (SCHEDULED, {1000: 1.1}, "1 at 1,000: MISSED"),
        (SCHEDULED, {300: 9.0}, ""),
        ("boot: longest pass, seconds", {3: 1.0, 10: 6.0}, "5: MISSED"),
        ("boot: bytes read", {10: 10.0, 100: 200.0}, "slope 1.1: MISSED"),
        ("boot: bytes read", {10: 10.0, 100: 100.0}, "slope 1.1: reached"),
        ("boot: passes", {10: 1e9}, ""),
    ],
)
def test_a_figure_is_held_against_what_it_should_reach(
    name: str, values: dict[int, float], said: str
) -> None:
    assert verdict(name, values) == said
    assert missed({name: values}) == ([name] if "MISSED" in said else [])


def test_the_table_has_every_size_and_shows_what_was_not_measured() -> None:
    (head, line) = table({"x": {3: 1234.0}}, (3, 10)).splitlines()

    assert head.split()[:2] == ["3", "10"]
    assert line.split() == ["x", "1,234", "-", "-"]


def _command(*arguments: str) -> list[str]:
    return [sys.executable, "-P", "-m", "bench.run_scale", *arguments]


def test_the_smallest_setting_measures_everything_that_is_simulated(tmp_path: Path) -> None:
    file = tmp_path / "figures.json"
    parts = ("rest", "schedule", "boot")
    chosen = [each for part in parts for each in ("--part", part)]
    command = _command(*chosen, "--hosts", "3", "--most", "5", "--json", str(file))

    subprocess.run(command, cwd=ROOT, check=True, timeout=WITHIN_S, capture_output=True)

    found = json.loads(file.read_text())["parts"]
    rest, scheduled, boot = (found[each] for each in parts)
    assert rest["leader, a status changed: ms"]["3"] > 0
    assert rest["a host goes and comes: puts"]["3"] >= 1
    assert rest["a service on 3 hosts is edited: puts"]["3"] >= 3
    assert rest["idle: simulated seconds"]["3"] > 0
    assert scheduled[SCHEDULED]["3"] > 0
    assert (boot["boot: not converged"]["3"], boot["boot: replicas that run, percent"]["3"]) == (0, 100)


def test_a_part_that_was_killed_is_told() -> None:
    command = _command("--part", "boot", "--hosts", "100", "--within", "1")

    done = subprocess.run(command, cwd=ROOT, check=False, timeout=WITHIN_S, capture_output=True, text=True)

    assert done.returncode == 1
    assert "not measured to the end: boot of 100 ended with 124" in done.stdout


def test_a_folder_that_is_no_checkout_is_refused(tmp_path: Path) -> None:
    command = _command("--part", "schedule", "--hosts", "3", "--tree", str(tmp_path))

    done = subprocess.run(command, cwd=ROOT, check=False, timeout=WITHIN_S, capture_output=True, text=True)

    assert done.returncode == 1
    assert f"not {tmp_path}: is that a checkout of the repository?" in done.stderr


@pytest.mark.parametrize(
    ("part", "hosts", "processes"),
    [("boot", 300, 2), ("etcd", 3, 6)],
    ids=["timeout and what it runs", "besides an etcd and three agents"],
)
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_nothing_is_left_when_it_is_ended(
    number: signal.Signals, part: str, hosts: int, processes: int
) -> None:
    command = ["env", "--default-signal=INT", *_command("--part", part, "--hosts", str(hosts))]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        eventually(lambda: len(_descendants(process.pid)) >= processes, WITHIN_S, f"{processes} processes")
        children = _descendants(process.pid)
        process.send_signal(number)
        assert process.wait(WITHIN_S) != 0
        eventually(lambda: not any(map(_is_there, children)), WITHIN_S, "the end of its children")
    finally:
        process.kill()
        process.wait()


@pytest.mark.skipif(not thorough, reason="takes minutes: SWARMKEEPER_LONG")
def test_three_agents_on_a_real_etcd_are_measured(tmp_path: Path) -> None:
    file = tmp_path / "figures.json"
    command = _command("--part", "etcd", "--hosts", "3", "--json", str(file))

    subprocess.run(command, cwd=ROOT, check=True, timeout=10 * WITHIN_S, capture_output=True)

    found = json.loads(file.read_text())["parts"]["etcd"]
    assert found["first boot: replicas that run, percent"]["3"] == 100
    assert found["first boot: MB read"]["3"] > found["start: MB read"]["3"] > 0
    assert found["the leader ends: there is another one"]["3"] == 1


def _descendants(pid: int) -> list[int]:
    try:
        children = [int(each) for each in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except FileNotFoundError:
        return []
    return [*children, *(below for each in children for below in _descendants(each))]


def _is_there(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True
