"""What the kernel says of devices and routes."""

import os
import socket
import subprocess
import sys
from ipaddress import IPv4Interface, IPv4Network
from pathlib import Path
from unittest import mock

import pytest

from agent.clients.kernel import LinuxKernel
from agent.model.host_state import LinkState

TABLE = """\
Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT
eth0\t00000000\t0100A8C0\t0003\t0\t0\t0\t00000000\t0\t0\t0
docker_gwbridge\t000015AC\t00000000\t0001\t0\t0\t0\t00F0FFFF\t0\t0\t0
eth0\t0000A8C0\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0
broken line
"""
SOCKETS = """\
  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 0100007F:094B 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 20551 1
   1: 0100007F:094C 0100007F:C001 01 00000000:00000000 00:00000000 00000000     0        0 20552 1
broken line
"""


def test_loopback_is_up_and_has_its_address() -> None:
    assert LinuxKernel().link("lo") == LinkState(address=IPv4Interface("127.0.0.1/8"), up=True)


@pytest.mark.parametrize("name", ["nowhere0", "", "a-name-longer-than-the-kernel-takes"])
def test_a_device_that_is_not_there_is_none(name: str) -> None:
    assert LinuxKernel().link(name) is None


def test_routes_are_read_with_their_devices_and_without_the_default(tmp_path: Path) -> None:
    (tmp_path / "route").write_text(TABLE)

    assert LinuxKernel(tmp_path).routes() == (
        (IPv4Network("172.21.0.0/20"), "docker_gwbridge"),
        (IPv4Network("192.168.0.0/24"), "eth0"),
    )


def test_a_kernel_without_that_table_has_no_routes(tmp_path: Path) -> None:
    assert LinuxKernel(tmp_path / "none").routes() == ()


def test_a_device_may_have_a_name_of_any_letters(tmp_path: Path) -> None:
    (tmp_path / "route").write_bytes(TABLE.replace("eth0\t0000A8C0", "büro\t0000A8C0").encode())
    assert LinuxKernel(tmp_path).routes()[1] == (IPv4Network("192.168.0.0/24"), "büro")
    (tmp_path / "route").write_bytes(TABLE.encode().replace(b"eth0\t0000A8C0", b"\xff\t0000A8C0"))
    assert LinuxKernel(tmp_path).routes()[1] == (IPv4Network("192.168.0.0/24"), "\N{REPLACEMENT CHARACTER}")


def test_this_machine_has_the_address_of_loopback() -> None:
    assert (IPv4Interface("127.0.0.1/8"), "lo") in LinuxKernel().addresses()


NETWORK = """
ip link add one type bridge
ip address add 172.30.5.1/24 dev one
ip address add 172.30.6.1/28 dev one label one:x
ip address add 172.30.5.9/24 dev one
ip link add two type bridge
ip address add 10.0.0.1/32 dev two
ip link set two up
ip link add three type bridge
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="makes a network namespace of its own")
def test_every_address_is_told_with_its_own_mask_also_of_a_device_that_is_down() -> None:
    ask = "from agent.clients.kernel import LinuxKernel; print(*LinuxKernel().addresses(), sep='\\n')"
    said = subprocess.run(
        ["unshare", "--net", "sh", "-ec", f'{NETWORK}\nexec "$0" -c "{ask}"', sys.executable],
        capture_output=True, text=True, check=True, timeout=30,
    )  # fmt: skip

    assert said.stdout.splitlines() == [
        "(IPv4Interface('172.30.5.1/24'), 'one')",
        "(IPv4Interface('172.30.6.1/28'), 'one')",
        "(IPv4Interface('172.30.5.9/24'), 'one')",
        "(IPv4Interface('10.0.0.1/32'), 'two')",
    ]


def test_the_routes_of_this_machine_can_be_read() -> None:
    assert all(network.prefixlen > 0 and device for network, device in LinuxKernel().routes())


def test_sockets_that_wait_for_peers_are_told_with_their_address_unless_that_is_every_one(
    tmp_path: Path,
) -> None:
    (tmp_path / "tcp").write_text(SOCKETS)
    (tmp_path / "tcp6").write_text(
        "header\n 0: 00000000000000000000000000000000:1F90 00000000000000000000000000000000:0000 0A\n"
        " 1: 00000000000000000000000001000000:0277 00000000000000000000000000000000:0000 0A\n"
    )

    assert LinuxKernel(tmp_path).listening() == ("127.0.0.1:2379/tcp", "8080/tcp", "::1:631/tcp")


def test_a_port_this_process_listens_on_is_told() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server, socket.socket(type=socket.SOCK_DGRAM) as datagrams:
        datagrams.bind(("127.0.0.1", 0))
        told = {f"127.0.0.1:{server.getsockname()[1]}/tcp", f"127.0.0.1:{datagrams.getsockname()[1]}/udp"}

        assert told <= set(LinuxKernel().listening())


def test_a_sysctl_that_the_kernel_does_not_have_is_told_from_those_of_a_device(tmp_path: Path) -> None:
    (tmp_path / "net/ipv4").mkdir(parents=True)
    (tmp_path / "net/ipv4/ip_forward").touch()
    kernel = LinuxKernel(sysctls=tmp_path)

    assert [kernel.lacks_sysctl(f"net.ipv4.{each}") for each in ("ip_forward", "nonsense")] == [False, True]
    assert kernel.lacks_sysctl("net/ipv4/nonsense")
    unknown = ("net.ipv4.conf.eth0.rp_filter", "net.ipv4..x", "../net", "kernel.msgmax", "")
    assert not any(map(kernel.lacks_sysctl, unknown))
    assert not LinuxKernel(sysctls=tmp_path / "hidden").lacks_sysctl("net.ipv4.nonsense")


def test_the_kernel_of_this_machine_has_the_sysctls_that_it_has() -> None:
    kernel = LinuxKernel()

    assert not kernel.lacks_sysctl("net.ipv4.ip_unprivileged_port_start")
    assert kernel.lacks_sysctl("net.ipv4.no_such_thing")


# ---- processes of a container, by its control group

CONTAINER = "fd655ec9d6f2"
SCOPE = f"system.slice/docker-{CONTAINER}.scope"


def with_groups(tmp_path: Path, own: str, *groups: str) -> LinuxKernel:
    """A kernel whose control groups are these, with processes in those that end with `!`."""
    (tmp_path / "cgroup").write_text(own)
    for each in groups:
        folder = tmp_path / "groups" / each.rstrip("!")
        folder.mkdir(parents=True)
        (folder / "cgroup.procs").write_text("7\n" if each.endswith("!") else "")
    kernel = LinuxKernel(tmp_path / "net")
    kernel._groups = tmp_path / "groups"
    return kernel


AGENT = "system.slice/swarmkeeper.service!"
UNIFIED, HYBRID = (
    "0::/system.slice/swarmkeeper.service\n",
    "7:blkio:/\n1:name=systemd:/system.slice/swarmkeeper.service\n",
)


@pytest.mark.parametrize(
    ("own", "groups", "found"),
    [
        (UNIFIED, (AGENT, "docker/other!"), False),
        (UNIFIED, (AGENT, f"docker/{CONTAINER}"), False),
        (UNIFIED, (AGENT, f"docker/{CONTAINER}!"), True),
        (UNIFIED, (AGENT, SCOPE, f"{SCOPE}/init!"), True),
        (HYBRID, (f"systemd/{AGENT}", f"pids/docker/{CONTAINER}!"), True),
        (HYBRID, (f"systemd/{AGENT}", "pids/docker/other!"), False),
        # The agent sees only a part of the groups, or none.
        ("0::/\n", ("docker/other!",), None),
        ("0::/../../agent\n", ("docker/other!",), None),
        (UNIFIED, ("docker/other!",), None),
        (UNIFIED, (f"docker/{CONTAINER}!",), True),
    ],
)  # fmt: skip
def test_a_container_has_processes_if_its_control_group_has(
    tmp_path: Path, own: str, groups: tuple[str, ...], found: bool | None
) -> None:
    assert with_groups(tmp_path, own, *groups).has_processes(CONTAINER) is found


def test_groups_that_cannot_be_read_leave_it_open(tmp_path: Path) -> None:
    kernel = with_groups(tmp_path, UNIFIED, AGENT, f"docker/{CONTAINER}")
    procs = tmp_path / "groups/docker" / CONTAINER / "cgroup.procs"
    procs.unlink()
    assert kernel.has_processes(CONTAINER) is False, "it has been removed meanwhile"
    procs.mkdir()
    assert kernel.has_processes(CONTAINER) is None
    (tmp_path / "cgroup").unlink()
    assert kernel.has_processes(CONTAINER) is None


def test_without_control_groups_it_is_not_known(tmp_path: Path) -> None:
    assert with_groups(tmp_path, UNIFIED).has_processes(CONTAINER) is None


def test_a_group_that_may_not_be_listed_leaves_it_open(tmp_path: Path) -> None:
    kernel = with_groups(tmp_path, UNIFIED, AGENT, "docker/other!")
    with mock.patch("os.scandir", side_effect=PermissionError):
        assert kernel.has_processes(CONTAINER) is None
