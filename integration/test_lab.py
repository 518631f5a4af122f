"""What the lab promises, kept by the lab itself: scenarios can only be trusted on top of this."""

import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from integration.conftest import session_name
from integration.lab import registry
from integration.lab.cgroups import LAN, Cgroups
from integration.lab.errors import LabError
from integration.lab.eventually import eventually
from integration.lab.host import Host
from integration.lab.images import SERVICES, TAGS
from integration.lab.lab import Lab
from integration.lab.programs import REPOSITORY

ETCD = 2379


@pytest.fixture
def small_lab() -> Iterator[Lab]:
    """One host, of the test's own, with a disk image."""
    lab = Lab(session_name("-small"), hosts=("node-231",), disk="2G")
    try:
        lab.up()
        yield lab
    finally:
        lab.down()


def reaches(lab: Lab, host: Host) -> bool:
    """Whether a client on the LAN gets a connection to the host."""
    with lab.lan.inside():
        try:
            socket.create_connection((host.address, ETCD), timeout=1).close()
        except OSError:
            return False
    return True


def sees(host: Host, other: Host) -> bool:
    command = ("busybox", "nc", "-w", "1", other.address, str(ETCD))
    return host.exec(*command, check=False, input="").returncode == 0


def processes(lab: Lab) -> list[int]:
    return [host.pid1 for host in lab]


# -- coming and going


def test_up_leaves_what_is_up_as_it_is(lab: Lab) -> None:
    before = processes(lab)
    lab.up()
    assert processes(lab) == before


def test_hosts_come_up_with_systemd_running_and_an_etcd_of_three(lab: Lab) -> None:
    for host in lab:
        eventually(lambda: host.systemctl("is-system-running", check=False) == "running", 30, f"{host} runs")  # noqa: B023
        assert host.systemctl("--failed", "--no-legend") == ""
    members = lab["node-232"].exec("etcdctl", "member", "list").stdout
    assert [name for name in ("node-231", "node-232", "node-233") if f"started, {name}," in members] == [
        host.name for host in lab
    ]


def test_down_leaves_nothing_and_may_be_repeated() -> None:
    lab = Lab(session_name("-gone"), hosts=("node-231",), disk="1G")
    lab.up()
    assert lab.leaks()
    lab.down()
    eventually(lambda: not lab.leaks(), 5, "nothing is left")
    lab.down()


def has_lan(groups: Cgroups) -> bool:
    return bool(groups.processes("lan"))


def has_supervisor(groups: Cgroups) -> bool:
    return bool(groups.processes("node-231/supervisor"))


def has_payload(groups: Cgroups) -> bool:
    return bool(groups.processes("node-232/payload"))


def has_services(groups: Cgroups) -> bool:
    return bool(groups.processes("node-231/payload/system.slice"))


@pytest.mark.parametrize("moment", [has_lan, has_supervisor, has_payload, has_services])
def test_a_tool_killed_while_it_brings_the_lab_up_leaves_nothing_that_down_does_not_find(
    moment: Callable[[Cgroups], bool],
) -> None:
    name = session_name("-killed")
    command = [sys.executable, "-m", "integration.lab", "up", "--name", name, "--disk", "1G"]
    tool = subprocess.Popen(command, cwd=REPOSITORY, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        eventually(lambda: moment(Cgroups(name)), 20, moment.__name__)
    finally:
        tool.send_signal(signal.SIGKILL)
        tool.wait()
        Lab.existing(name).down()
    eventually(lambda: not Lab.existing(name).leaks(), 5, "nothing is left")


def has_one_image(groups: Cgroups) -> bool:
    return has_services(groups) and "api" in catalogue(Lab.existing(groups.lab))


def catalogue(lab: Lab) -> dict[str, list[str]]:
    """The tags of each service that the lab's registry has."""
    url = f"http://{registry.ADDRESS}/v2/somecom"
    tags = {service: lab.lan.http_get(f"{url}/{service}/tags/list") for service in SERVICES}
    return {service: sorted(found.json()["tags"]) for service, found in tags.items() if found.status == 200}


@pytest.mark.parametrize("moment", [has_lan, has_supervisor, has_services, has_one_image])
def test_a_second_up_does_all_that_the_first_one_was_killed_before(
    moment: Callable[[Cgroups], bool],
) -> None:
    name = session_name("-again")
    command = [sys.executable, "-m", "integration.lab", "up", "--name", name]
    command += [f"--host={host}" for host in ("node-231", "node-232")]
    tool = subprocess.Popen(command, cwd=REPOSITORY, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        eventually(lambda: moment(Cgroups(name)), 20, moment.__name__)
        tool.send_signal(signal.SIGKILL)
        assert tool.wait() == -signal.SIGKILL
        again = Lab.existing(name)
        assert [host.name for host in again] == ["node-231", "node-232"]
        again.up()
        assert catalogue(again) == {service: list(TAGS) for service in SERVICES}
        assert all(reaches(again, host) for host in again)
    finally:
        tool.kill()
        tool.wait()
        Lab.existing(name).down()


def test_a_second_up_mends_a_lan_that_is_gone_and_services_that_do_not_run(small_lab: Lab) -> None:
    host = small_lab["node-231"]
    host.systemctl("stop", "docker.socket", "docker", "etcd", "docker-registry")
    small_lab.up()
    assert host.systemctl("is-active", "docker", "etcd", "docker-registry").split() == ["active"] * 3
    small_lab.groups.kill(LAN)
    eventually(lambda: not small_lab.lan.is_up, 5, "the LAN is gone")
    small_lab.up()
    assert reaches(small_lab, host)


# -- what a host is


def test_a_host_shows_nothing_of_the_machines_owner(lab: Lab) -> None:
    host = lab["node-231"]
    known = {"bin", "boot", "dev", "etc", "home", "lib", "lib32", "lib64", "libx32", "media", "mnt"}
    known |= {"opt", "proc", "root", "run", "sbin", "srv", "sys", "tmp", "usr", "var"}
    assert set(host.exec("ls", "-A", "/").stdout.split()) <= known
    assert host.exec("find", "/home", "/mnt", "/srv", "/usr/local", "-type", "f").stdout == ""
    enabled = host.systemctl("list-unit-files", "--state=enabled", "--no-legend", "--full").splitlines()
    ours = {
        "containerd.service",
        "docker.service",
        "docker.socket",
        "etcd.service",
        "docker-registry.service",
    }
    assert {line.split()[0] for line in enabled} <= ours | {"swarmkeeper.service"}


def test_a_host_cannot_change_the_machines_kernel_settings(lab: Lab) -> None:
    host = lab["node-231"]
    assert host.exec("sh", "-c", "echo 1 >/proc/sys/kernel/panic", check=False).returncode != 0
    assert (
        host.exec("sh", "-c", "echo 0 >/proc/sys/net/ipv4/conf/lo/log_martians", check=False).returncode == 0
    )


def test_files_written_into_a_host_are_read_back_with_their_mode(lab: Lab) -> None:
    host = lab["node-231"]
    host.write("/etc/some/where/file.conf", "one\ntwo\n", mode=0o640)
    assert host.read("/etc/some/where/file.conf") == "one\ntwo\n"
    assert host.exec("stat", "-c", "%a", "/etc/some/where/file.conf").stdout == "640\n"


def test_a_failing_command_says_what_it_said(lab: Lab) -> None:
    with pytest.raises(LabError, match=r"node-232: ls /nowhere ended with 2: .*No such file"):
        lab["node-232"].exec("ls", "/nowhere")


def test_the_journal_is_read_by_unit(lab: Lab) -> None:
    entries = lab["node-231"].journal("docker.service")
    assert any("API listen on" in str(entry["MESSAGE"]) for entry in entries)


# -- the network


def test_no_packet_for_a_lab_address_can_leave_the_machine(lab: Lab) -> None:
    for host in lab:
        answer = subprocess.run(
            ["ip", "route", "get", host.address], capture_output=True, text=True, check=False
        )
        assert answer.returncode != 0, answer.stdout
    links = lab.lan.run("ip", "-brief", "link").stdout.splitlines()
    assert {line.split()[0].split("@")[0] for line in links} <= {"lo", "lan", *(host.name for host in lab)}
    assert lab.lan.run("cat", "/proc/sys/net/ipv4/ip_forward").stdout == "0\n"


def test_a_cut_host_is_out_of_reach_until_healed_even_over_a_reboot(lab: Lab) -> None:
    host, others = lab["node-233"], (lab["node-231"], lab["node-232"])
    host.cut()
    assert not reaches(lab, host)
    assert all(reaches(lab, other) for other in others)
    assert sees(*others)
    host.cycle()
    assert not reaches(lab, host)
    host.heal()
    eventually(lambda: reaches(lab, host), 10, "the host is reached again")
    lab.wait_etcd()


def test_a_cut_way_parts_two_hosts_only(lab: Lab) -> None:
    one, two, three = lab
    one.cut(three)
    assert not sees(one, three)
    assert not sees(three, one)
    assert sees(one, two)
    assert sees(two, three)
    assert reaches(lab, one)
    assert reaches(lab, three)
    three.heal()
    eventually(lambda: sees(one, three), 10, "the two see each other again")


def test_two_labs_with_the_same_addresses_do_not_see_each_other(lab: Lab, small_lab: Lab) -> None:
    lab["node-231"].exec("etcdctl", "put", "/who", "big")
    small_lab["node-231"].exec("etcdctl", "put", "/who", "small")
    assert lab["node-231"].exec("etcdctl", "get", "/who", "--print-value-only").stdout == "big\n"
    assert reaches(lab, lab["node-232"])
    with small_lab.lan.inside(), pytest.raises(OSError, match=r"No route to host|timed out"):
        socket.create_connection((lab["node-232"].address, ETCD), timeout=4).close()


def test_a_thread_that_was_on_the_lan_is_back_home_afterwards(lab: Lab) -> None:
    before = Path("/proc/thread-self/ns/net").readlink()
    with lab.lan.inside():
        assert Path("/proc/thread-self/ns/net").readlink() != before
    assert Path("/proc/thread-self/ns/net").readlink() == before


def test_a_client_left_on_the_lan_ends_with_the_lab(small_lab: Lab) -> None:
    client = small_lab.lan.popen("sleep", "infinity")
    small_lab.down()
    assert client.wait(timeout=5) == -signal.SIGKILL


# -- power


def boots(host: Host) -> int:
    return len(host.exec("journalctl", "--list-boots", "--quiet").stdout.splitlines())


def test_a_power_cycle_keeps_journal_and_disk_and_starts_the_clocks_again(lab: Lab) -> None:
    host = lab["node-232"]
    host.write("/var/lib/kept", "still here")
    identity, count, pid = host.read("/etc/machine-id"), boots(host), host.pid1
    host.cycle()
    assert host.read("/var/lib/kept") == "still here"
    assert host.read("/etc/machine-id") == identity
    assert boots(host) == count + 1
    assert host.pid1 != pid
    assert float(host.read("/proc/uptime").split()[0]) < 60
    lab.wait_etcd()


def test_a_host_that_reboots_itself_comes_back(lab: Lab) -> None:
    host = lab["node-233"]
    pid = host.pid1
    host.systemctl("reboot")
    eventually(lambda: host.is_up and host.pid1 != pid, 60, "the host booted again")
    host.wait_up()
    lab.wait_etcd()


def test_a_host_shut_down_cleanly_says_so_in_its_journal(lab: Lab) -> None:
    host = lab["node-232"]
    host.stop()
    with pytest.raises(LabError, match="node-232 is off"):
        host.exec("true")
    host.boot()
    assert "Reached target poweroff.target" in host.journal_text()
    lab.wait_etcd()


def test_losing_power_keeps_what_was_synced_and_only_that(small_lab: Lab) -> None:
    host = small_lab["node-231"]
    synced = ("dd", "if=/dev/zero", "of=/var/lib/synced", "bs=4k", "count=4", "conv=fsync", "status=none")
    host.exec(*synced)
    host.exec("sync", "/var/lib")
    host.exec("sh", "-c", "echo cached >/var/lib/cached")
    assert host.read("/var/lib/cached") == "cached\n"
    host.lose()
    assert host.exec("stat", "-c", "%s", "/var/lib/synced").stdout == "16384\n"
    assert "cached" not in host.exec("cat", "/var/lib/cached", check=False).stdout


def test_power_loss_is_refused_for_a_folder_which_cannot_lose_anything(lab: Lab) -> None:
    pid = lab["node-231"].pid1
    with pytest.raises(LabError, match="disk images"):
        lab["node-231"].lose()
    assert lab["node-231"].pid1 == pid


def test_a_frozen_host_stands_still_and_goes_on(lab: Lab) -> None:
    host = lab["node-233"]
    host.exec(
        "sh",
        "-c",
        "systemd-run --quiet --unit=writer sh -c 'while :; do date +%s%N >/run/tick; sleep 0.01; done'",
    )
    eventually(lambda: host.exec("cat", "/run/tick", check=False).stdout, 5, "the writer writes")
    host.freeze()
    stood = host.read("/run/tick")
    start = time.monotonic()
    eventually(lambda: time.monotonic() > start + 0.3, 2, "thirty writes could have happened")
    assert host.read("/run/tick") == stood
    host.thaw()
    eventually(lambda: host.read("/run/tick") != stood, 5, "the writer goes on")
    host.systemctl("stop", "writer")


# -- the registry and its images


def test_the_images_call_each_other_by_name(lab: Lab) -> None:
    host = lab["node-232"]
    docker = host.docker
    network = docker.networks.create("chain")
    names = ("billing", "order", "api")
    for name in names:
        published = {"8080/tcp": 8088} if name == "api" else {}
        docker.containers.run(
            f"10.159.62.231/somecom/{name}:1.0.1", name=name, network="chain", ports=published, detach=True
        )
    answer = eventually(lambda: lab.lan.http_get(f"http://{host.address}:8088/"), 10, "api answers")
    assert answer.status == 200
    chain = answer.json()
    for name in reversed(names):
        assert (chain["service"], chain["version"]) == (name, "1.0.1")
        assert chain["hostname"]
        assert chain["address"].startswith("172.")
        chain = chain["called"]
    assert chain is None
    start = time.monotonic()
    for name in names:
        docker.containers.get(name).stop(timeout=20)
        docker.containers.get(name).remove()
    assert time.monotonic() - start < 5
    network.remove()


def test_a_caller_whose_service_is_away_says_so(lab: Lab) -> None:
    host = lab["node-232"]
    alone = host.docker.containers.run(
        "10.159.62.231/somecom/order:1.0.0", ports={"8080/tcp": 8089}, detach=True
    )
    answer = eventually(lambda: lab.lan.http_get(f"http://{host.address}:8089/", 10), 10, "order answers")
    assert answer.status == 502
    assert answer.json()["called"] == {"error": "billing does not answer"}
    alone.remove(force=True)


def test_the_registry_is_back_after_its_host_was_power_cycled(lab: Lab) -> None:
    lab["node-231"].cycle()
    lab.wait_etcd()
    pushed = lab.push("terminal", "2.0.0", {"COLOUR": "green"})
    image = lab["node-233"].docker.images.pull(pushed)
    assert "COLOUR=green" in image.attrs["Config"]["Env"]


def test_a_renewed_lab_is_a_first_boot(fresh_lab: Lab) -> None:
    host = fresh_lab["node-231"]
    assert boots(host) == 1
    assert host.docker.info()["Images"] == 0
    assert host.exec("etcdctl", "get", "--prefix", "").stdout == ""


# -- waiting


def test_waiting_in_vain_names_what_was_awaited_and_seen_last() -> None:
    with pytest.raises(AssertionError, match=r"not within 0\.1 s: the sea is dry; last value 0"):
        eventually(lambda: 0, 0.1, "the sea is dry")


def test_a_check_that_is_itself_wrong_is_not_waited_for() -> None:
    with closing(socket.socket()) as unconnected, pytest.raises(TypeError):
        eventually(lambda: unconnected.send("text"), 5, "never")  # type: ignore[arg-type]
