"""Hosts of another distribution than this machine's: where their tree comes from, and what is theirs in it."""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from integration.conftest import session_name
from integration.lab import base as bases
from integration.lab import debootstrap
from integration.lab.base import DEBIAN_13, Base
from integration.lab.errors import LabError
from integration.lab.eventually import eventually
from integration.lab.lab import Lab
from integration.lab.programs import REPOSITORY

pytestmark = pytest.mark.skipif(
    not os.environ.get("SWARMKEEPER_LONG"), reason="makes a tree of Debian 13: script/test --long"
)


@pytest.fixture
def newer_lab() -> Iterator[Lab]:
    lab = Lab(session_name("-newer"), hosts=("node-231",), base=DEBIAN_13.name)
    try:
        lab.up()
        yield lab
    finally:
        lab.down()


@pytest.fixture
def empty_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv(bases.STORE, str(tmp_path))
    return tmp_path


def test_a_host_of_the_base_runs_what_the_base_has(newer_lab: Lab) -> None:
    host = newer_lab["node-231"]
    assert host.read("/etc/debian_version").startswith("13.")
    assert host.docker.version()["Version"].startswith("26.1.")
    assert host.exec("python3", "--version").stdout.startswith("Python 3.13.")
    assert host.exec("etcd", "--version").stdout.startswith("etcd Version: 3.5.")
    eventually(
        lambda: host.systemctl("is-system-running", check=False) == "running", 30, "systemd is content"
    )


def test_a_lab_keeps_its_base_when_it_is_brought_up_again_without_a_word(newer_lab: Lab) -> None:
    newer_lab["node-231"].off()
    again = Lab.existing(newer_lab.name)
    again.up()
    assert again["node-231"].read("/etc/debian_version").startswith("13.")


def test_what_a_host_writes_is_not_in_the_base_and_down_leaves_nothing_but_the_base(newer_lab: Lab) -> None:
    newer_lab["node-231"].exec("dpkg", "--purge", "busybox-static")
    assert DEBIAN_13.path("/usr/bin/busybox").exists()
    newer_lab.down()
    eventually(lambda: not newer_lab.leaks(), 5, "nothing is left")
    assert debootstrap.is_made(DEBIAN_13)


def test_a_base_that_hosts_run_on_is_not_removed(newer_lab: Lab) -> None:
    with pytest.raises(LabError, match="take their labs down"):
        debootstrap.remove(DEBIAN_13)
    assert debootstrap.is_made(DEBIAN_13)


def test_commands_run_in_the_base_on_this_repository_with_a_build_of_its_own(newer_lab: Lab) -> None:
    seen = "cat /etc/debian_version; pwd; ls -d build/venv; touch build/probe /etc/probe"
    command = [str(REPOSITORY / "script/lab"), "inside", DEBIAN_13.name, "sh", "-ec", seen]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
    assert said[0].startswith("13.")
    assert said[1:] == [str(REPOSITORY), "build/venv"]
    (REPOSITORY / "build" / DEBIAN_13.name / "probe").unlink()
    assert not DEBIAN_13.path("/etc/probe").exists()


def test_a_tree_that_was_not_finished_is_no_base(empty_store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SWARMKEEPER_MIRROR", "http://127.0.0.1:9/nothing")
    with pytest.raises(LabError, match=r"debootstrap of debian-13 failed, see .*debian-13\.log"):
        debootstrap.make(DEBIAN_13)
    assert not debootstrap.is_made(DEBIAN_13)
    debootstrap.remove(DEBIAN_13)
    assert list(empty_store.iterdir()) == []


def test_a_base_nobody_knows_is_named_with_those_there_are() -> None:
    with pytest.raises(LabError, match=r"no base 'debian-14'; bases: machine, debian-13"):
        bases.find("debian-14")


def test_this_machines_own_distribution_is_never_removed() -> None:
    with pytest.raises(LabError, match="stays"):
        debootstrap.remove(Base("machine"))
