"""A host that does not come up, and a machine that cannot carry one: the lab says why."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from integration.conftest import session_name
from integration.lab.boot_failure import SWITCHED_ON, console_end, state_of_units
from integration.lab.cgroups import Cgroups
from integration.lab.errors import LabError
from integration.lab.eventually import eventually
from integration.lab.host import Host
from integration.lab.lab import Lab
from integration.lab.limits import Limit
from integration.lab.programs import REPOSITORY

INIT = "/usr/lib/systemd/systemd"
FEW_INSTANCES = """
import sys
from pathlib import Path
from integration.lab.cgroups import Cgroups
from integration.lab.limits import check_limits, free_inotify

Path("/proc/sys/user/max_inotify_instances").write_text("5")
Path("/proc/sys/user/max_inotify_watches").write_text("7")
print(free_inotify(30, 40), free_inotify(3, 4))
check_limits(3, Path("/var/tmp"), Cgroups("none"))
"""


@pytest.fixture
def host() -> Iterator[Host]:
    """A host of the test's own, switched off, whose disk may be broken."""
    lab = Lab(session_name("-broken"), hosts=("node-232",))
    try:
        lab.up()
        yield lab["node-232"]
    finally:
        lab.down()


def boot_failure(host: Host, within_s: float) -> str:
    """What is told of the host when it is power-cycled and given so much time."""
    host.off()
    host.switch_on()
    with pytest.raises(LabError) as failure:
        host.wait_up(within_s)
    return str(failure.value)


def sleepers(host: Host) -> list[int]:
    """Processes of the host that are the `sleep` it has for an init."""
    inside = Cgroups(host.spec.lab).processes(host.name)
    return [pid for pid in inside if Path(f"/proc/{pid}/comm").read_text() == "sleep\n"]


# -- a host


def test_an_init_that_ends_is_told_with_its_status_and_the_consoles_last_words(host: Host) -> None:
    host.write(INIT, "#!/bin/sh\necho I cannot go on\nexit 3\n", mode=0o755)
    said = boot_failure(host, 20)
    assert "node-232 did not come up: all its processes have ended" in said
    assert "I cannot go on" in said
    assert "its init ended with status 3" in said


def test_an_init_that_is_killed_is_told_with_the_signal(host: Host) -> None:
    host.write(INIT, "#!/bin/sh\nexec sleep infinity\n", mode=0o755)
    host.off()
    host.switch_on()
    payload = eventually(lambda: sleepers(host), 10, "its init runs")
    for pid in payload:
        os.kill(pid, signal.SIGKILL)
    with pytest.raises(LabError, match="its init was killed by SIGKILL"):
        host.wait_up(20)


def test_an_init_that_says_nothing_is_told_with_an_empty_console(host: Host) -> None:
    host.write(INIT, "#!/bin/sh\nexec sleep infinity\n", mode=0o755)
    said = boot_failure(host, 1)
    assert "dockerd does not answer after 1 s" in said
    assert "systemd was not started yet" in said
    assert "its console is empty since it was switched on" in said


def test_a_boot_that_does_not_end_is_told_with_what_systemd_waits_for(host: Host) -> None:
    host.write("/etc/systemd/system/docker.service.d/slow.conf", "[Service]\nExecStartPre=sleep infinity\n")
    said = boot_failure(host, 3)
    assert "its systemd is starting" in said
    assert "docker.service (activating)" in said
    assert "docker.service start running" in said


def test_a_unit_that_failed_is_named_with_the_end_of_its_journal() -> None:
    answers = {
        "is-system-running": "degraded\n",
        "is-active": "failed\nactive\n",
        "list-units": "etcd.service loaded failed failed etcd\n",
        "list-jobs": "",
    }

    def ask(*argv: str) -> str:
        return "address in use\n" if argv[0] == "journalctl" else answers[argv[1]]

    assert state_of_units(ask, ("etcd.service", "docker.service")) == (
        "its systemd is degraded; not active: etcd.service (failed); failed: etcd.service; jobs: none"
        "\n  etcd.service: address in use"
    )


def test_only_the_last_boot_of_a_console_is_shown(tmp_path: Path) -> None:
    console = tmp_path / "console.log"
    assert "does not exist" in console_end(console)
    console.write_text(f"{SWITCHED_ON} 1\nold\n{SWITCHED_ON} 2\nnew\n")
    assert "new" in console_end(console)
    assert "old" not in console_end(console)


# -- the machine


def test_a_limit_is_named_with_what_is_free_what_is_needed_and_the_remedy() -> None:
    limit = Limit("inodes", 2500, 1000, "remove files")
    assert limit.shortage(2) == ""
    assert limit.shortage(3) == "inodes: 2500 free, 3000 needed (remove files)"


def test_inotify_that_is_used_up_is_told_before_a_host_boots() -> None:
    # A user namespace has limits of its own, so nothing else on this machine goes short.
    command = ["unshare", "--user", "--map-root-user", sys.executable, "-c", FEW_INSTANCES]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=False)
    assert done.stdout == "(5, 7) (3, 4)\n"
    assert "LabError: this machine cannot carry 3 hosts more: inotify instances of this user" in done.stderr
    assert "5 free, 30 needed (sysctl fs.inotify.max_user_instances=" in done.stderr
    assert "7 free, 192 needed (sysctl fs.inotify.max_user_watches=" in done.stderr
