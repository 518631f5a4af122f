"""What the kernel says of devices and routes."""

import os
import subprocess
import sys
from ipaddress import IPv4Interface, IPv4Network
from pathlib import Path

import pytest

from agent.clients.kernel import LinuxKernel
from agent.model.observed import LinkState

TABLE = """\
Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT
eth0\t00000000\t0100A8C0\t0003\t0\t0\t0\t00000000\t0\t0\t0
docker_gwbridge\t000015AC\t00000000\t0001\t0\t0\t0\t00F0FFFF\t0\t0\t0
eth0\t0000A8C0\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0
broken line
"""


def test_loopback_is_up_and_has_its_address() -> None:
    assert LinuxKernel().link("lo") == LinkState(address=IPv4Interface("127.0.0.1/8"), up=True)


@pytest.mark.parametrize("name", ["nowhere0", "", "a-name-longer-than-the-kernel-takes"])
def test_a_device_that_is_not_there_is_none(name: str) -> None:
    assert LinuxKernel().link(name) is None


def test_routes_are_read_with_their_devices_and_without_the_default(tmp_path: Path) -> None:
    table = tmp_path / "route"
    table.write_text(TABLE)

    assert LinuxKernel(table).routes() == (
        (IPv4Network("172.21.0.0/20"), "docker_gwbridge"),
        (IPv4Network("192.168.0.0/24"), "eth0"),
    )


def test_a_kernel_without_that_table_has_no_routes(tmp_path: Path) -> None:
    assert LinuxKernel(tmp_path / "none").routes() == ()


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
