"""Collects facts of this host, etcd and other hosts, and decides nothing. Raises NotSeen for what it cannot see."""

import os
import re
import shlex
import shutil
import socket
import ssl
import struct
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from email.utils import parsedate_to_datetime
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path
from typing import Any

from agent.clients.docker import DockerEngine
from agent.clients.docker.output import Output
from agent.clients.etcd import EtcdStore
from agent.clients.kernel import LinuxKernel
from agent.clients.registry_config import RegistryConfig
from agent.config import Config
from agent.doctor.checks import POOL, Answer, Clock, Member, NotSeen, Reach, RegistryFact, Rights, Space
from agent.errors import Denied, SwarmkeeperError, Unreachable
from agent.model.intent import GWBRIDGE, Intent, NetworkIntent
from agent.model.keys import Keys, host_role
from agent.model.observed import ClusterState
from agent.model.records import seconds_of
from agent.model.spec import registry_of
from agent.model.store import Compare, KeyRange, Put, StoreSettings, endpoints_of
from agent.observe.cluster import ClusterReader

ACCOUNT, SUDO = "swarmkeeper", "run doctor with sudo"
_NEVER = (1 << 62) + 1
"""A mod_revision that no key has: etcd checks the rights of such a transaction, and writes nothing."""
_MODULES, _FORWARDS = ("bridge", "vxlan"), Path("/proc/sys/net/ipv4/ip_forward")
_MTU, _DEFAULT_MTU = "com.docker.network.driver.mtu", "1500"
_OVERHEAD = 50 + 28
"""Bytes of a packet on the LAN for VXLAN, and for IP and ICMP in the overlay."""
_TOOL_S, _PINGS_S = 20.0, 60.0
_SBIN = "/usr/sbin:/sbin:/usr/bin:/bin"


def access(config: Config, path: Path) -> tuple[str, list[str]]:
    """Return the error of `config check` under the agent's account, and the paths that it cannot write.

    Raises NotSeen without root or the account.
    """
    if os.geteuid() != 0:
        raise NotSeen(f"only root can try the access of the account {ACCOUNT}", SUDO)
    checked = _as_agent(sys.executable, "-I", "-m", "agent.cli.app", "config", "check", str(path.absolute()))
    written = (config.state_directory, config.docker.url.removeprefix("unix://"))
    unwritable = []
    for each in filter(os.path.exists, written):
        tried = _as_agent("test", "-w", each).returncode
        if tried not in (0, 1):  # test(1): it has not found out
            raise NotSeen(f"`test -w {each}` as {ACCOUNT} ended with {tried}")
        unwritable += [each] * tried
    return checked.stderr.strip().removeprefix("swarmkeeper: ") if checked.returncode else "", unwritable


def _as_agent(*command: str) -> subprocess.CompletedProcess[str]:
    try:
        return _run(*command, user=ACCOUNT, group=ACCOUNT, extra_groups=("docker",))  # as the unit has it
    except (KeyError, ValueError) as error:
        why = f"this host lacks the account {ACCOUNT} or the group docker"
        raise NotSeen(why, "install both packages") from error


def _run(*command: str, **account: Any) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(  # noqa: S603 - no shell
            command, cwd="/", capture_output=True, text=True, timeout=_TOOL_S, check=False, **account
        )
    except subprocess.SubprocessError as error:
        raise NotSeen(f"{command[0]} does not end: {error}") from error


def cluster(store: EtcdStore, keys: Keys, host: str) -> ClusterState:
    """Read the cluster; as `host` if the role denies that, and the documents alone if it denies that, too.

    Raises Unreachable, Refused.
    """
    for me in ("", host):
        with suppress(Denied):
            return ClusterReader(keys, me).read(store, None, frozenset()).state
    documents = [KeyRange(key=each) for each in (keys.intent, keys.accepted)]
    return ClusterReader(keys, host).recall([*store.read(documents).values.values()])


def document(state: ClusterState) -> Intent | None:
    """Return the accepted document, or else the newest one."""
    return state.accepted or (state.document.intent if state.document else None)


def rights(store: EtcdStore, config: Config, *, may_lead: bool | None) -> Rights:
    """Try each right of the role of this host, which writes nothing. Raises Unreachable, Refused.

    `may_lead` is None if no document tells that: a worker's rights are tried then.
    """
    keys, role = Keys(config.cluster), host_role(Keys(config.cluster), config.host, may_lead=bool(may_lead))
    lacking = [
        f"{each.right} {each.key}{f' to {each.end}' if each.end else ''}"
        for each in role.permissions
        if not _may(store, each.key, each.end, write=each.right != "read")
    ]
    named = config.store.user is not None or config.store.cert_file is not None
    option = " [--may-lead]" if may_lead is None else " --may-lead" if may_lead else ""
    command = f"swarmkeeper etcd-roles --host {config.host}{option}"
    grant = f"etcdctl user grant-role {shlex.quote(config.store.user or 'USER')} {role.name}"
    return Rights(named, lacking, _may(store, keys.intent, "", write=True), command, grant)


def _may(store: EtcdStore, key: str, end: str, *, write: bool) -> bool:
    try:
        if write:
            store.txn([Compare(key=key, mod_revision=_NEVER)], [Put(key=key, value=b"")])
        elif end:
            store.first_key(key, end)
        else:
            store.read([KeyRange(key=key, keys_only=True)])
    except Denied:
        return False
    return True


def disks(*folders: str) -> list[Space]:
    """Collect the file systems of folders, or of the nearest folder above one that does not exist yet."""
    found: dict[int, Space] = {}
    for name in filter(None, folders):
        path = next(each for each in (Path(name), *Path(name).parents) if each.exists())
        seen = os.statvfs(path)
        space = Space(name, seen.f_bavail * seen.f_frsize, seen.f_blocks * seen.f_frsize)
        found.setdefault(path.stat().st_dev, space)
    return [*found.values()]


def modules(*, started: bool) -> tuple[tuple[str, ...], tuple[str, ...] | None, bool | None]:
    """Return the modules of overlays that are not loaded, of these the ones the kernel lacks, and if it forwards.

    None: not known. Before it is `started`, dockerd has not yet made the kernel forward packets.
    """
    unloaded, absent = tuple(each for each in _MODULES if not Path("/sys/module", each).exists()), None
    with suppress(OSError):
        lists = (Path("/lib/modules", os.uname().release, f"modules.{each}") for each in ("dep", "builtin"))
        listed = "".join(each.read_text() for each in lists)
        absent = tuple(each for each in unloaded if f"/{each}.ko" not in listed)
    return unloaded, absent, _FORWARDS.read_text().strip() != "0" if started else None


def firewall() -> list[str]:
    """Return the rules as iptables-save prints them. Raises NotSeen without root or iptables."""
    if os.geteuid() != 0:
        raise NotSeen("only root can read the rules of the firewall", SUDO)
    if (tool := shutil.which("iptables-save", path=_SBIN)) is None:
        raise NotSeen("this host has no iptables-save", "apt install iptables")
    done = _run(tool)
    if done.returncode:
        raise NotSeen(f"iptables-save failed: {done.stderr.strip()}")
    return done.stdout.splitlines()


def registries(engine: DockerEngine, credentials: RegistryConfig, intent: Intent) -> list[RegistryFact]:
    """Ask each registry of the document for the digest of one image, as a pull does."""
    images = {registry_of(each.spec.image): each.spec.image for each in intent.services}
    found = []
    for registry, image in images.items():
        error, refused, has = "", False, True
        try:
            has = credentials.header(image) is not None
            engine.digest_of(image)
        except SwarmkeeperError as problem:
            error, refused = str(problem), not isinstance(problem, Unreachable)
        found.append(RegistryFact(registry, error, refused, has))
    return found


# ---- The network


def lan(kernel: LinuxKernel, intent: Intent, config: Config) -> tuple[str, int, list[tuple[str, int]]]:
    """Return the device with the declared address, its MTU, and (overlay, bytes of its largest packet on the LAN).

    Raises NotSeen if no device has that address.
    """
    declared = intent.host(config.host)
    wanted = config.swarm.advertise_address or (str(declared.address) if declared else "that is declared")
    device = next((name for address, name in kernel.addresses() if str(address.ip) == wanted), None)
    if device is None:
        why = f"no device of this host has an address {wanted}"
        raise NotSeen(why, "correct host in agent.yaml, or the document")
    overlays = (each for each in intent.networks if each.driver == "overlay" and not each.external)
    needs = [(each.name, _mtu(each)) for each in overlays]
    return device, int(Path("/sys/class/net", device, "mtu").read_text()), needs


def _mtu(network: NetworkIntent) -> int:
    return int(dict(network.options).get(_MTU, _DEFAULT_MTU))


def subnets(intent: Intent, state: ClusterState) -> list[tuple[str, IPv4Network]]:
    """Return the subnets of docker_gwbridge, of the overlays, declared or as hosts report them, and of the pool."""
    made = {each.name: each.subnet for status in state.statuses.values() for each in status.networks}
    found = [(GWBRIDGE, intent.gwbridge.subnet)]
    for each in intent.networks:
        with suppress(ValueError):  # no host has made it yet
            if each.driver == "overlay":
                found.append((each.name, each.subnet or IPv4Network(made.get(each.name, ""))))
    return [*found, *((POOL, each) for each in intent.swarm.default_addr_pool)]


def future(state: ClusterState) -> list[Clock]:
    """Return a clock of each host whose last report has a time later than now."""
    now, at = time.time(), {host: seconds_of(each.at) or 0.0 for host, each in state.statuses.items()}
    return [Clock(f"{host} by its last report", each - now, 1.0) for host, each in at.items() if each > now]


# ---- Other hosts and etcd

_PORT_S, _PAGE_S, _LARGEST_PAGE = 2.0, 5.0, 4_000_000
"""Seconds for one answer, seconds for a page however slowly it comes, and bytes of it that are read."""
_READS = 3
_DAY_S = 86_400
_TIMESTAMP, _REPLY = 13, 14
"""Types of ICMP (RFC 792): the kernel there answers with its milliseconds since midnight UTC."""
_ICMP = struct.Struct("!BBHHHIII")
_DATE = re.compile(r"(?im)^date: *([^\r\n]*)")
_QUOTA = re.compile(r"^etcd_server_quota_backend_bytes ([0-9.e+]+)$", re.MULTILINE)
"""Before 3.6, etcd tells its quota on its page /metrics alone."""


def tcp_answer(address: str, port: int) -> Answer:
    """Connect once, and close again."""
    try:
        socket.create_connection((address, port), _PORT_S).close()
    except ConnectionRefusedError:
        return "refused"
    except TimeoutError:
        return "silent"
    except OSError:
        return "unreachable"
    return "open"


def page_clock(of: str, address: str, port: int, tls: ssl.SSLContext | None = None) -> tuple[Clock, str]:
    """Return the clock of a server of HTTP by its header Date, and its page /metrics; without an answer no clock."""
    page, took = b"", 0.0
    with (
        suppress(OSError, ValueError, OverflowError),
        socket.create_connection((address, port), _PORT_S) as plain,
        tls.wrap_socket(plain, server_hostname=address) if tls else plain as wire,
    ):
        asked = time.time()
        wire.sendall(b"GET /metrics HTTP/1.0\r\n\r\n")  # 1.0: the page comes in one piece, and then the end
        while len(page) < _LARGEST_PAGE and time.time() < asked + _PAGE_S and (more := wire.recv(1 << 16)):
            page, took = page + more, took or time.time() - asked
        header, _, body = page.decode(errors="replace").partition("\r\n\r\n")
        date = parsedate_to_datetime("".join(_DATE.findall(header)[:1]))
        there = date.timestamp() + 0.5  # of whole seconds
        return Clock(of, there - asked - took / 2, 0.5 + took / 2), body
    return Clock(of, None), ""


def kernel_clock(of: str, address: str) -> Clock:
    """Ask the kernel of another host for its time, which needs root; without an answer or the right no clock."""
    asked, mark = time.time(), os.getpid() & 0xFFFF
    sent = int(asked % _DAY_S * 1000)
    total = sum(struct.unpack("!10H", _ICMP.pack(_TIMESTAMP, 0, 0, mark, 0, sent, 0, 0)))
    packet = _ICMP.pack(_TIMESTAMP, 0, 0xFFFF - (total % 0xFFFF or 0xFFFF), mark, 0, sent, 0, 0)
    with (
        suppress(OSError, struct.error),
        socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP) as raw,
    ):
        raw.settimeout(_PORT_S)
        raw.sendto(packet, (address, 0))
        while (took := time.time() - asked) < _PORT_S:
            packet, (sender, _) = raw.recvfrom(256)
            kind, *_, found, _, original, received, _ = _ICMP.unpack_from(packet, 4 * (packet[0] & 15))
            if (kind, found, original, sender) == (_REPLY, mark, sent, address):
                ahead_s = (received / 1000 - asked - took / 2 + _DAY_S / 2) % _DAY_S - _DAY_S / 2
                return Clock(of, ahead_s, took)
    return Clock(of, None)


def ask_member(settings: StoreSettings, keys: Keys) -> tuple[Member, Clock]:
    """Ask the one endpoint of the settings for its state and its clock."""
    endpoint = endpoints_of(settings)[0]
    store, name, took = EtcdStore(settings), str(endpoint), list[float]()
    try:
        for _ in range(_READS):
            began = time.monotonic()
            with suppress(Denied):
                store.read([KeyRange(key=keys.accepted, keys_only=True)])
            took.append(time.monotonic() - began)
        try:
            upkeep = store.upkeep(keys.leader)
        except Denied:  # the role does not include that key
            upkeep = store.upkeep()
        tls = ssl.create_default_context(cafile=settings.ca_file) if endpoint.tls else None
        if tls and settings.cert_file:
            tls.load_cert_chain(settings.cert_file, settings.key_file)
    except (SwarmkeeperError, OSError) as error:
        return Member(name, str(error), not isinstance(error, Unreachable)), Clock(f"etcd at {name}", None)
    finally:
        store.close()
    clock, page = page_clock(f"etcd at {name}", endpoint.host.strip("[]"), endpoint.port, tls)
    if not upkeep.quota and (quota := _QUOTA.search(page)):
        upkeep = replace(upkeep, quota=int(float(quota[1])))
    return Member(name, latency_s=sorted(took)[_READS // 2], upkeep=upkeep), clock


# ---- Pings between overlays

_PING = """t() {
    o=$(ping -c 3 -W 2 "$1" 2>&1); s=$?; [ $s = 0 ] || o=
    ping -c 2 -W 2 -s "$size" "$1" >/dev/null 2>&1
    echo "$1 $s $? ${o##*= }"
}
size=$1; shift; n=0
for each; do t "$each" & n=$((n+1)); [ $((n % 64)) != 0 ] || wait; done; wait"""
"""Prints for each address: address, exit codes of small and large pings, min/avg/max in ms."""
_ANSWER = re.compile(r"(?m)^(\S+) ([01]) (\d+) (?:[0-9.]+/([0-9.]+)/)?")
"""ping ends with 1 if nothing answers, and otherwise if it cannot be run."""


def targets(state: ClusterState, network: str, hosts: Sequence[str]) -> dict[str, str]:
    """Return host -> address of a replica that runs on a network; hosts without one are left out."""
    found = {}
    for host in hosts:
        status = state.status_of(host)
        for name, address in status.running_at if status else ():
            with suppress(ValueError):
                if name == network:
                    found[host] = str(IPv4Address(address))  # another host wrote it
    return found


def reach(engine: Output, image: str, network: NetworkIntent, hosts: Mapping[str, str]) -> list[Reach]:
    """Ping the addresses of other hosts from a container on the network. Raises NotSeen if none can run."""
    name, size = network.name, str(_mtu(network) - _OVERHEAD)
    try:
        output = engine.run_once(image, name, _PING, size, *hosts.values(), timeout_s=_PINGS_S)
    except SwarmkeeperError as error:
        raise NotSeen(f"{name}: {image} does not run there: {error}", f"docker pull {image}") from error
    found, answers = [], {each[1]: each for each in _ANSWER.finditer(output)}
    for host, address in hosts.items():
        if (answer := answers.get(address)) is None:
            raise NotSeen(f"{name}: {image} could not ping {address}", "name an image that has sh and ping")
        found.append(Reach(name, host, address, float(answer[4]) if answer[4] else None, answer[3] == "0"))
    return found
