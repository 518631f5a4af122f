"""The Debian package on a booted host: installing, configuring, upgrading, removing, as an operator does it."""

import re
import subprocess
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from integration.cluster import Cluster, package
from integration.conftest import session_name
from integration.journals import check_journals
from integration.lab.base import MACHINE
from integration.lab.eventually import eventually
from integration.lab.host import Host
from integration.lab.lab import Lab
from integration.lab.programs import REPOSITORY

pytestmark = pytest.mark.every_base

CONFIG = "/etc/swarmkeeper/agent.yaml"
UNIT = "swarmkeeper.service"
# Where a host is looked through for what a package leaves; the rest is other programs' own work.
SEARCHED = ("/etc", "/opt", "/usr", "/var/lib/swarmkeeper", "/var/lib/systemd", "/var/lib/dpkg/info")
PROBE = """
import fcntl, os, socket, struct
from pathlib import Path

assert len(Path("/proc/self/net/route").read_text().splitlines()) > 1, "routes"
assert Path("/proc/sys/kernel/random/boot_id").read_text().strip(), "boot id"
assert "btime" in Path("/proc/stat").read_text(), "process metrics"
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as inet:
    SIOCGIFADDR = 0x8915
    answer = fcntl.ioctl(inet, SIOCGIFADDR, struct.pack("256s", b"docker_gwbridge"))
    print("bridge", socket.inet_ntoa(answer[20:24]))
with socket.socket(socket.AF_UNIX) as engine:
    engine.connect("/run/docker.sock")
(Path(os.environ["STATE_DIRECTORY"]) / "probe").write_text("kept")
for forbidden in ("/etc/swarmkeeper/probe", "/usr/probe", "/run/probe"):
    try:
        Path(forbidden).write_text("")
    except OSError:
        continue
    raise SystemExit(f"could write {forbidden}")
try:
    socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
except OSError:
    print("confined")
"""


@pytest.fixture(scope="module")
def deb(base: str) -> Path:
    return package(base)


@pytest.fixture(scope="module")
def newer_deb(deb: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A later release, whose agent.yaml knows an option more."""
    tree = tmp_path_factory.mktemp("newer") / "tree"
    subprocess.run(["dpkg-deb", "--raw-extract", deb, tree], check=True)
    control = tree / "DEBIAN/control"
    control.write_text(re.sub(r"(?m)^Version: .*$", "Version: 99.0", control.read_text()))
    with (tree / CONFIG.lstrip("/")).open("a") as config:
        config.write("# an option that came later\n")
    newer = tree.with_name("swarmkeeper_99.0_amd64.deb")
    subprocess.run(["dpkg-deb", "--root-owner-group", "-Zgzip", "-z1", "--build", tree, newer], check=True)
    return newer


@pytest.fixture(scope="module")
def lab_of_one(base: str) -> Iterator[Lab]:
    lab = Lab(session_name("-package"), hosts=("node-241",), base=base)
    try:
        lab.up()
        host = lab["node-241"]
        host.docker.swarm.init(advertise_addr=host.address)  # brings docker_gwbridge along
        yield lab
        check_journals(lab)
    finally:
        lab.down()


@pytest.fixture
def clean_host(lab_of_one: Lab) -> Host:
    host = lab_of_one["node-241"]
    host.exec("dpkg", "--purge", "swarmkeeper")
    return host


@pytest.fixture
def installed(clean_host: Host, deb: Path) -> Host:
    clean_host.install(deb)
    return clean_host


@pytest.fixture
def running(installed: Host, lab_of_one: Lab) -> Host:
    installed.write(CONFIG, Cluster(lab_of_one).config(installed))
    installed.systemctl("start", UNIT)
    return installed


def upgrade(host: Host, deb: Path) -> None:
    """As `apt-get -o Dpkg::Options::=--force-confold` does, which asks nobody."""
    host.write("/var/tmp/newer.deb", deb.read_bytes())
    host.exec("dpkg", "--force-confold", "--install", "/var/tmp/newer.deb")


def state(host: Host, question: str) -> str:
    """What `systemctl is-active` or `is-enabled` says about the agent."""
    return host.systemctl(question, UNIT, check=False)


def main_pid(host: Host) -> str:
    return host.systemctl("show", "--property=MainPID", "--value", UNIT)


def files(host: Host) -> set[str]:
    listed = host.exec("find", *SEARCHED, "-xdev", "-not", "-name", "__pycache__", check=False)
    return set(listed.stdout.splitlines())


def accounts(host: Host) -> str:
    return host.read("/etc/passwd") + host.read("/etc/group")


def test_a_first_installation_waits_to_be_configured(installed: Host) -> None:
    assert state(installed, "is-enabled") == "enabled"
    assert state(installed, "is-active") == "inactive"
    assert installed.exec("stat", "--format=%a %U:%G", CONFIG).stdout.strip() == "640 root:swarmkeeper"
    assert installed.exec("dpkg", "--verify", "swarmkeeper").stdout == ""


def test_the_installed_unit_satisfies_systemd_and_confines_the_agent(running: Host) -> None:
    verified = running.exec("systemd-analyze", "verify", "--man=no", "--recursive-errors=no", UNIT)
    secured = running.exec("systemd-analyze", "security", "--threshold=20", UNIT)

    assert verified.stderr == ""
    assert "exposure level" in secured.stdout


def test_the_confined_agent_reads_what_it_needs_and_writes_only_its_state(installed: Host) -> None:
    unit = installed.read("/usr/lib/systemd/system/swarmkeeper.service")
    probe = re.sub(r"(?m)^(Restart|WatchdogSec|NotifyAccess)=.*\n", "", unit)
    probe = probe.replace("Type=notify", "Type=oneshot")
    probe = probe.replace("/usr/bin/swarmkeeper run", "/opt/swarmkeeper/bin/python -I /var/lib/probe.py")
    installed.write("/var/lib/probe.py", PROBE)
    installed.write("/run/systemd/system/probe.service", probe)
    installed.systemctl("daemon-reload")

    installed.systemctl("start", "probe.service", check=False)

    said = installed.journal_text("probe.service")
    assert "bridge 172." in said
    assert "confined" in said, said
    assert installed.read("/var/lib/swarmkeeper/probe") == "kept"


def test_the_agent_outlives_its_engine_and_its_own_death(running: Host) -> None:
    before = main_pid(running)
    running.restart_dockerd()
    assert main_pid(running) == before

    running.systemctl("kill", "--signal=KILL", UNIT)

    eventually(lambda: main_pid(running) not in {"0", before}, 10, "systemd starts the agent again")
    eventually(partial(is_active, running), 30, "the agent is ready again")


def is_active(host: Host) -> bool:
    return state(host, "is-active") == "active"


def test_an_upgrade_restarts_the_agent_and_keeps_the_edited_configuration(
    running: Host, newer_deb: Path
) -> None:
    edited = running.read(CONFIG) + "# edited here\n"
    running.write(CONFIG, edited, mode=0o600)
    running.exec("chown", "swarmkeeper", CONFIG)
    before = main_pid(running)

    upgrade(running, newer_deb)

    assert running.read(CONFIG) == edited
    assert running.exec("stat", "--format=%a %U", CONFIG).stdout.strip() == "600 swarmkeeper"
    assert main_pid(running) not in {"0", before}
    assert is_active(running)


def test_an_agent_the_operator_switched_off_stays_off_over_an_upgrade(running: Host, newer_deb: Path) -> None:
    running.systemctl("disable", "--now", UNIT)

    upgrade(running, newer_deb)

    assert (state(running, "is-enabled"), state(running, "is-active")) == ("disabled", "inactive")


def test_a_removed_package_keeps_configuration_and_state_for_its_return(running: Host, deb: Path) -> None:
    running.write(CONFIG, edited := running.read(CONFIG) + "# edited here\n")
    running.write("/var/lib/swarmkeeper/known", "the last intent")

    running.exec("dpkg", "--remove", "swarmkeeper")
    assert state(running, "is-active") == "inactive"
    running.install(deb)

    assert state(running, "is-enabled") == "enabled"
    assert running.read(CONFIG) == edited
    assert running.read("/var/lib/swarmkeeper/known") == "the last intent"


def test_a_purge_leaves_nothing(clean_host: Host, lab_of_one: Lab, deb: Path) -> None:
    files_before, accounts_before = files(clean_host), accounts(clean_host)
    clean_host.install(deb)
    clean_host.write(CONFIG, Cluster(lab_of_one).config(clean_host))
    clean_host.systemctl("start", UNIT)

    clean_host.exec("dpkg", "--purge", "swarmkeeper")

    assert files(clean_host) - files_before == set()
    assert accounts(clean_host) == accounts_before
    assert clean_host.systemctl("--failed", "--no-legend") == ""


def test_a_purge_leaves_the_operators_keys_and_their_owner(running: Host) -> None:
    running.write("/etc/swarmkeeper/etcd.key", "theirs", mode=0o640)

    running.exec("dpkg", "--purge", "swarmkeeper")

    assert running.read("/etc/swarmkeeper/etcd.key") == "theirs"
    assert "swarmkeeper" in accounts(running)
    running.exec("rm", "-r", "/etc/swarmkeeper")


def test_the_same_commit_gives_the_same_bytes_wherever_it_is_built(tmp_path: Path) -> None:
    listed = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    names = subprocess.run(listed, cwd=REPOSITORY, capture_output=True, text=True, check=True).stdout
    replica = [
        "cp",
        "--parents",
        "--archive",
        f"--target-directory={tmp_path}",
        ".git",
        *names.split("\0")[:-1],
    ]
    subprocess.run(replica, cwd=REPOSITORY, check=True)
    (tmp_path / ".venv").symlink_to(REPOSITORY / ".venv")

    built = package(MACHINE.name, tmp_path)

    assert built.is_relative_to(tmp_path)
    assert built.read_bytes() == package(MACHINE.name).read_bytes()
