"""The checks, from facts to findings. Pure: no I/O and no clock."""

import json
import re
from collections.abc import Iterable, Sequence
from enum import StrEnum
from ipaddress import IPv4Interface, IPv4Network
from typing import Literal, NamedTuple

from agent.errors import SwarmkeeperError
from agent.model.intent import GWBRIDGE, BridgeIntent
from agent.model.network_options import BRIDGE
from agent.model.phrases import counted, first_of
from agent.model.store import DEFAULT_QUOTA, NEARLY_FULL, Upkeep


class Level(StrEnum):
    """The levels of findings, the best one first. SKIP says nothing about the state."""

    OK = "OK"
    SKIP = "SKIP"
    WARN = "WARN"
    FAIL = "FAIL"


OK, SKIP, WARN, FAIL = Level


class Finding(NamedTuple):
    """The text has the resource, its state and the cause. A warning and a fault have a remedy."""

    level: Level
    text: str
    remedy: str = ""
    check: str = ""
    """Name of the check, as `etcd`."""


class NotSeen(SwarmkeeperError):
    """A fact that cannot be collected: the reason, and the remedy."""

    def __init__(self, why: str, remedy: str = "") -> None:
        super().__init__(why)
        self.remedy = remedy


def findings_of(*cases: tuple[object, Level, str, str], well: str) -> list[Finding]:
    """Return a finding for each case (is it so, level, text, remedy) that is so; OK with `well` if none is."""
    return [Finding(*case[1:]) for case in cases if case[0]] or [Finding(OK, well)]


def findings_in(output: bytes) -> list[Finding]:
    """Return the findings that `doctor -o json` has printed; none if this is something else."""
    try:
        return [
            Finding(Level(each["level"]), *(str(each[key]) for key in ("text", "remedy", "check")))
            for each in json.loads(output)["findings"]
        ]
    except (ValueError, LookupError, TypeError, RecursionError):
        return []


# ---- This host

_OLDEST = (20, 10)
_GIB = 1 << 30
_TIGHT, _FULL = (0.1, 2 * _GIB), (0.02, _GIB // 4)
"""(share, bytes) of free space: below both a file system is tight, or full."""
_DAEMON_JSON = "/etc/docker/daemon.json, then systemctl restart docker"
_START = "`systemctl restart docker` makes them again; it restarts the containers of this host"
_RULES = {
    "the chain DOCKER-USER": r":DOCKER-USER ",
    "the jump from FORWARD to it": r"-A FORWARD( .*)? -j DOCKER-(USER|FORWARD)",
    "the chain DOCKER": r":DOCKER ",
    "the jump from PREROUTING to DOCKER": r"-A PREROUTING .*-j DOCKER$",
}
"""Rules that dockerd makes at its start, as `iptables-save` prints them."""


def check_access(error: str, unwritable: Sequence[str]) -> list[Finding]:
    """Tell the error of `config check` under the agent's account, and the paths that it cannot write."""
    paths = " and ".join(unwritable)
    return findings_of(
        (error, FAIL, error, "let the account swarmkeeper read these files: chgrp swarmkeeper, chmod 0640"),
        (paths, FAIL, f"the account swarmkeeper cannot write {paths}", f"correct owner and mode of {paths}"),
        well="the account swarmkeeper has access to the files of agent.yaml, and to its folder and socket if any",
    )


def check_engine(version: str, live_restore: bool, no_swarm: str, storage: str, cgroup: str) -> list[Finding]:
    numbers = tuple(int(each) for each in re.findall(r"\d+", version)[:2])
    version = version or "of an unknown version"
    return findings_of(
        (numbers < _OLDEST, FAIL, f"dockerd {version} is older than 20.10", "install Docker Engine 20.10 or newer"),
        (live_restore, FAIL, "live-restore is on: dockerd refuses every swarm",
         f'remove "live-restore" from {_DAEMON_JSON}'),
        (no_swarm and not live_restore, FAIL, no_swarm, f"change that in {_DAEMON_JSON}"),
        (storage == "vfs", WARN, "the storage driver vfs duplicates all layers for every container",
         f"set storage-driver to overlay2 in {_DAEMON_JSON}"),
        well=f"dockerd {version}, {storage}, {cgroup}",
    )  # fmt: skip


def check_modules(
    unloaded: Sequence[str], absent: Sequence[str] | None, forwards: bool | None
) -> list[Finding]:
    """Tell which modules are not loaded, of these which the kernel does not have, and the sysctl. None: not known."""
    lacks = ", ".join(absent or ())
    return findings_of(
        (forwards is False, FAIL, "net.ipv4.ip_forward is 0: containers reach nothing outside of this host",
         "sysctl -w net.ipv4.ip_forward=1, and set it in /etc/sysctl.d"),
        (lacks, FAIL, f"the kernel has no {lacks}: no overlay works", "install the full kernel of the distribution"),
        (forwards is None, SKIP, "net.ipv4.ip_forward was not tried: dockerd, which sets it, does not answer",
         "see the check engine"),
        (unloaded and absent is None, SKIP,
         f"{', '.join(unloaded)}: not loaded, and this host has no list of its modules", ""),
        well="has what overlays need",
    )  # fmt: skip


class Space(NamedTuple):
    """A file system, in bytes."""

    path: str
    free: int
    size: int


def check_disks(disks: Iterable[Space]) -> list[Finding]:
    found = []
    for path, free, size in disks:
        full, tight = (free < share * size and free < least for share, least in (_FULL, _TIGHT))
        text = f"{path}: {free / _GIB:.1f} of {size / _GIB:.1f} GiB are free"
        remedy = "remove unused images (docker image prune --all), or enlarge the file system"
        found += findings_of((full or tight, FAIL if full else WARN, text, remedy), well=text)
    return found


def check_firewall(rules: Iterable[str], bridge: BridgeIntent | None) -> list[Finding]:
    """Compare the rules with those of dockerd, and of docker_gwbridge if it is not None."""
    rules = tuple(rules)
    lost = [what for what, pattern in _RULES.items() if not any(re.match(pattern, each) for each in rules)]
    lacks = []
    if bridge is not None:
        masks = dict(bridge.options).get(f"{BRIDGE}enable_ip_masquerade", "true") == "true"
        if masks and not any(f"-s {bridge.subnet} " in each and "-j MASQUERADE" in each for each in rules):
            lacks.append(f"the masquerading of {bridge.subnet}")
        if not any(re.match(rf"-A (FORWARD|DOCKER\S*) .*-[io] {GWBRIDGE}\b", each) for each in rules):
            lacks.append("the rules that forward its packets")
    return findings_of(
        (lost, FAIL, f"rules of docker are gone: {', '.join(lost)}", _START),
        (lacks and not lost, FAIL, f"{GWBRIDGE} lacks {' and '.join(lacks)}", _START),
        well=f"docker's rules{f' and those of {GWBRIDGE}' if bridge else ''} are in place",
    )


class RegistryFact(NamedTuple):
    registry: str
    error: str
    refused: bool
    credentials: bool
    """True if the agent has some for this registry."""


def check_registries(registries: Iterable[RegistryFact]) -> list[Finding]:
    found = []
    for name, error, refused, credentials in registries:
        login = f"docker login {name} on another machine, and copy its auths to docker.registry_config"
        remedy = login if credentials else "check the image, the route there, and docker.registry_config"
        level = FAIL if refused and credentials else WARN
        well = f"{name} answers, {'with' if credentials else 'without'} credentials"
        found += findings_of((error, level, f"{name}: {error}", remedy), well=well)
    return found or [Finding(OK, "the document has no service")]


# ---- etcd, and what lies between hosts

_SLOW_S = 0.5
"""Duration of a read from which a renewal of the lease, which may take 2 s, is at risk."""
_MIB = 1 << 20
_APART_S, _FAR_S = 5.0, 30.0
"""Differences of clocks from which doctor warns, and from which it is a fault: times in reports mislead then."""
POOL = "default_addr_pool"
_FREE_SPACE = "`etcdctl compact`, `etcdctl defrag --cluster`, `etcdctl alarm disarm` (docs/operate/etcd.md)"


class Member(NamedTuple):
    """One endpoint of etcd."""

    endpoint: str
    error: str = ""
    denied: bool = False
    """True if it refused the user, False if it did not answer."""
    latency_s: float = 0.0
    upkeep: Upkeep = Upkeep()


def check_members(members: Sequence[Member]) -> list[Finding]:
    found, level = [], FAIL if all(each.error for each in members) else WARN
    for name, error, denied, latency_s, upkeep in members:
        size, quota, took = upkeep.size or 0, upkeep.quota or DEFAULT_QUOTA, f"{1000 * latency_s:.0f} ms"
        used = f"{size / _MIB:.0f} of {quota / _MIB:.0f} MiB"
        space = "replace the member, or restore a backup" if upkeep.alarm == "CORRUPT" else _FREE_SPACE
        nearly = not upkeep.alarm and size > NEARLY_FULL * quota
        found += findings_of(
            (denied, FAIL, f"{name}: {error}", "correct etcd.user, etcd.password_file or the certificate"),
            (error and not denied, level, f"{name}: {error}", "start it, open its port, or correct etcd.endpoints"),
            (upkeep.alarm, FAIL, f"{name}: alarm {upkeep.alarm}, no write is possible: {used}", space),
            (nearly, FAIL, f"{name}: the database is nearly full: {used}", f"{space}; or set a larger quota"),
            (upkeep.keeps_history, WARN, f"{name}: old revisions are kept, and the database grows without limit",
             "set ETCD_AUTO_COMPACTION_RETENTION=1h on every member"),
            (latency_s > _SLOW_S, WARN, f"{name}: a read takes {took}", "give etcd a faster disk, or less load"),
            well=f"{name}: a read takes {took}, database {used}",
        )  # fmt: skip
    return found


class Rights(NamedTuple):
    """The rights of the user of agent.yaml in etcd."""

    named: bool
    """True if agent.yaml has a user or a client certificate."""
    lacking: Sequence[str]
    """Permissions of the agent's role that etcd denies."""
    writes_intent: bool
    command: str
    grant: str
    """The commands that print the role, and that grant it to the user."""


def check_rights(rights: Rights) -> list[Finding]:
    named, lacking, writes_intent, command, grant = rights
    denied = ", ".join(first_of(lacking, 3, "{} more"))
    return findings_of(
        (lacking, FAIL, f"the role is too narrow, etcd denies: {denied}", f"{command} | sh; {grant}"),
        (not named and not lacking, SKIP, "agent.yaml has no user of etcd: all who reach etcd can write the document",
         f"to limit that, enable authentication: {command}"),
        (named and writes_intent, WARN, "the role is too wide: the agent's user can write the document",
         f"enable authentication, and leave the user only the agent's role: {command}"),
        well="the user has the rights of this host's agent, and cannot write the document",
    )  # fmt: skip


class Clock(NamedTuple):
    """A clock against that of this host; None: nothing shows it. `within_s` is the precision."""

    of: str
    ahead_s: float | None
    within_s: float = 0.0


def check_clocks(clocks: Sequence[Clock]) -> list[Finding]:
    found, good = [], []
    for of, ahead_s, within_s in clocks:
        off = abs(ahead_s or 0.0) - within_s
        if ahead_s is None:
            found.append(Finding(SKIP, f"{of}: nothing tells the time there", "run doctor there, or as root"))
        elif off > _APART_S:
            text = f"the clock of {of} is {abs(ahead_s):.0f} s {'ahead of' if ahead_s > 0 else 'behind'} this host's"
            remedy = "synchronise both with chrony or systemd-timesyncd, then restart the agent"
            found.append(Finding(FAIL if off > _FAR_S else WARN, text, remedy))
        else:
            good.append(of)
    text = f"within {_APART_S:g} s of this host's: {', '.join(good)}"
    return [Finding(OK, text), *found] if good else found or [Finding(SKIP, "no other clock was seen")]


Answer = Literal["open", "refused", "silent", "unreachable"]
_ANSWERS = {
    "refused": "is closed, although the host is in the swarm",
    "silent": "does not answer",
    "unreachable": "is unreachable, or a firewall rejects it",
}


class PortFact(NamedTuple):
    """The answer of a TCP port of another host."""

    host: str
    port: str
    """As `10.0.0.2:7946`."""
    answer: Answer
    in_swarm: bool
    """True if the host has reported that it is in the swarm: then the port must be open."""


def check_ports(ports: Sequence[PortFact]) -> list[Finding]:
    opened = sum(each.answer == "open" for each in ports)
    found = [Finding(OK, f"{counted(opened, 'TCP port')} of other hosts answer")] if opened else []
    for host, port, answer, in_swarm in ports:
        if answer == "refused" and not in_swarm:
            found.append(Finding(SKIP, f"{host}: nothing listens on {port}/tcp, nor has it reported a swarm"))
        elif answer != "open":
            remedy = f"start {host} and its dockerd, or let its firewall accept that port from all hosts of the cluster"
            found.append(Finding(FAIL, f"{host}: {port}/tcp {_ANSWERS[answer]}", remedy))
    if ports:
        found.append(Finding(SKIP, "7946/udp and 4789/udp answer no stranger", "try them with --probe IMAGE"))
    return found or [Finding(SKIP, "no other host is declared or chosen")]


def check_addresses(
    subnets: Sequence[tuple[str, IPv4Network]],
    routes: Iterable[tuple[IPv4Network, str]],
    addresses: Iterable[tuple[IPv4Interface, str]],
) -> list[Finding]:
    """Compare the subnets of docker_gwbridge, of overlays and of POOL with the routes and addresses of this host."""
    seen = [(route, f"the route {route} dev {device}", device) for route, device in routes]
    seen += [(each.network, f"the address {each} dev {device}", device) for each, device in addresses]
    found = []
    for name, subnet in subnets:
        clash = next((text for each, text, dev in seen if dev != GWBRIDGE and each.overlaps(subnet)), "")
        remedy = f"remove that from this host, or declare another subnet of {name}"
        well = f"{name} ({subnet}) overlaps no route or address of this host"
        level = WARN if name == POOL else FAIL  # docker may choose other addresses of the pool
        found += findings_of((clash, level, f"{name} ({subnet}) overlaps {clash}", remedy), well=well)
    return found


def check_mtu(device: str, mtu: int, needs: Iterable[tuple[str, int]]) -> list[Finding]:
    """Compare the MTU of the LAN's device with (overlay, bytes of its largest packet on the LAN)."""
    return findings_of(
        *(
            (need > mtu, WARN, f"{device} has MTU {mtu}, and packets of {network} take up to {need} bytes",
             f"raise it, or declare the option com.docker.network.driver.mtu of {network} as {mtu}")
            for network, need in needs
        ),
        well=f"{device} has MTU {mtu}, and no overlay needs more",
    )  # fmt: skip


class Reach(NamedTuple):
    """The answers of a replica on another host to pings from an overlay of this host."""

    network: str
    host: str
    address: str
    round_trip_ms: float | None
    """None: no answer."""
    large: bool
    """True if the largest packet of the overlay arrived, too."""


def check_reach(reached: Iterable[Reach]) -> list[Finding]:
    found = []
    for network, host, address, round_trip_ms, large in reached:
        text = f"{network}: {address} on {host}"
        found += findings_of(
            (round_trip_ms is None, FAIL, f"{text} does not answer over the overlay",
             "let the firewalls of both hosts accept 4789/udp, 7946/udp and 7946/tcp from each other"),
            (round_trip_ms is not None and not large, FAIL, f"{text} answers, but not to the overlay's largest packets",
             "raise the MTU of the LAN, or declare a smaller com.docker.network.driver.mtu"),
            well=f"{text} answers in {round_trip_ms or 0:.1f} ms, also to the largest packets",
        )  # fmt: skip
    return found
