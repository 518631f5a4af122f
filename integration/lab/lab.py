"""The lab: hosts on a LAN, brought up and taken down as a whole."""

import json
import os
import re
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from http.client import HTTPException
from pathlib import Path
from types import TracebackType
from typing import Self

from integration.lab import registry, route, stock
from integration.lab.base import find
from integration.lab.cgroups import CLIENTS, LAN, Cgroups
from integration.lab.debootstrap import make
from integration.lab.disk import needs_image
from integration.lab.errors import LabError
from integration.lab.eventually import eventually
from integration.lab.host import Host
from integration.lab.images import SERVICES, TAGS, build
from integration.lab.lan import Lan
from integration.lab.leaks import Leaks, count
from integration.lab.limits import check_limits
from integration.lab.machine import check_machine
from integration.lab.network import RANGE
from integration.lab.spec import HostSpec

HOSTS = ("node-231", "node-232", "node-233")
ETCD_S = 60
DISK = "8G"  # sparse; used where the machine's own file system cannot be written through an overlay


class Lab:
    """Some hosts, each with docker and a member of one etcd cluster. `name` tells labs on one machine apart.

    `disk` (for instance "2G") gives each host a disk image of that size, which `Host.lose` needs; `base` is the
    distribution of the hosts (SWARMKEEPER_BASE, else this machine's own). Hosts that are there already keep the disk
    and the base they have. State lies in SWARMKEEPER_LAB_STATE or /var/tmp/swarmkeeper-lab.
    """

    def __init__(self, name: str = "", hosts: Iterable[str] = HOSTS, disk: str = "", base: str = "") -> None:
        self.name = name or os.environ.get("SWARMKEEPER_LAB", "lab")
        if not re.fullmatch(r"[a-z0-9][a-z0-9-]{0,29}", self.name):
            raise LabError(f"a lab's name is lower-case letters, digits and dashes, not {self.name!r}")
        self.state = state_root() / self.name
        self.groups = Cgroups(self.name)
        self.lan = Lan(self.groups)
        disk = disk or (DISK if needs_image(self.state.parent) else "")
        self.hosts = self._describe(tuple(hosts), disk, find(base).name)

    @classmethod
    def existing(cls, name: str = "") -> Self:
        """The lab of that name with the hosts it was made with; with none if there is no such lab."""
        lab = cls(name, hosts=())
        return cls(name, hosts=lab.known())

    def _describe(self, names: tuple[str, ...], disk: str, base: str) -> tuple[Host, ...]:
        addresses = {name: address_of(name) for name in names}
        return tuple(Host(self._spec(n, addresses, disk, base), self.lan, self.groups, names) for n in names)

    def _spec(self, name: str, addresses: dict[str, str], disk: str, base: str) -> HostSpec:
        saved = self.state / name / "spec.json"
        if saved.exists():
            known = HostSpec.load(saved)
            disk, base = known.image_size, known.base
        return HostSpec(
            lab=self.name,
            name=name,
            address=addresses[name],
            disk=str(self.state / name),
            base=base,
            image_size=disk,
            files=stock.files(self.name, name, addresses),
            units=stock.units(addresses[name]),
        )

    def known(self) -> list[str]:
        """Hosts of this lab that run, have a disk or were asked for, whoever made them."""
        running = set(self.groups.groups()) - {LAN, CLIENTS}
        stored = {p.parent.name for p in self.state.glob("*/spec.json")}
        return sorted(running | stored | self._asked_for())

    def _asked_for(self) -> set[str]:
        """Hosts that an `up` was to bring up, however far it came."""
        return set(json.loads(self._members.read_text())) if self._members.exists() else set()

    def _note_members(self) -> None:
        """Write down which hosts the lab has before the first of them boots."""
        self.state.mkdir(parents=True, exist_ok=True)
        fresh = self._members.with_suffix(".new")
        fresh.write_text(json.dumps(sorted(self._asked_for() | {host.name for host in self.hosts})))
        fresh.rename(self._members)

    @property
    def _members(self) -> Path:
        return self.state / "hosts.json"

    def __getitem__(self, name: str) -> Host:
        for host in self.hosts:
            if name in {host.name, host.address, host.name.removeprefix("node-")}:
                return host
        there = ", ".join(h.name for h in self.hosts) or "none: it is not up"
        raise LabError(f"lab {self.name} has no host {name!r}; hosts: {there}")

    def __iter__(self) -> Iterator[Host]:
        return iter(self.hosts)

    def __enter__(self) -> Self:
        self.up()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.down()

    def up(self, parallel: int = 0) -> None:
        """Bring every host up, `parallel` at a time (0: all), and return when docker and etcd are healthy.

        What is up already stays as it is; what an earlier `up` left undone is done. Raises LabError, saying why, if
        the machine cannot carry the lab, or a host, the registry or etcd does not come up.
        """
        with route.locked(self.name):
            for base in {host.spec.base for host in self.hosts}:
                make(find(base))
                check_machine(find(base))
            if not self.lan.is_up:  # the cables of hosts that outlived it have gone with it
                self._side_by_side(Host.off)
            with route.locked("machine"):
                check_limits(sum(not host.is_up for host in self.hosts), self.state, self.groups)
                route.close_range()
                self._note_members()
                self.lan.up(self.state / "lan.log")
            self._side_by_side(Host.boot, parallel)
            try:
                self._fill_registry()
                self.wait_etcd()
            except (AssertionError, OSError, HTTPException) as error:
                raise LabError(f"lab {self.name} did not come up: {error}{self._states()}") from error

    def _states(self) -> str:
        """What the hosts' systemds say, a paragraph each."""
        return "".join(f"\n{host.name}: {said}" for host in self.hosts if (said := host.state()))

    def wait_etcd(self, within_s: float = ETCD_S) -> None:
        """Return when every member says that the etcd cluster is healthy."""
        for host in self.hosts:
            url = f"http://{host.address}:2379/health"
            eventually(
                partial(self._is_healthy, url),
                within_s,
                f"etcd on {host.name} is healthy",
            )

    def _is_healthy(self, url: str) -> bool:
        return self.lan.http_get(url, 2).json()["health"] in {"true", True}

    def _fill_registry(self) -> None:
        if any(host.address == registry.ADDRESS for host in self.hosts):
            registry.wait_ready(self.lan)
            registry.push(self.lan, (build(service, tag) for tag in TAGS for service in SERVICES))

    def push(self, service: str, tag: str, environment: Mapping[str, str] | None = None) -> str:
        """Build one of the lab's images under any tag, push it and return its name for `docker pull`."""
        image = build(service, tag, environment)
        registry.push(self.lan, [image])
        return f"{registry.ADDRESS}/{image.repository}:{image.tag}"

    def renew(self) -> None:
        """Give every host an empty disk and boot it again: a fresh cluster in the time of one boot."""
        with route.locked(self.name):
            self._side_by_side(self._wipe)
        for host in self.hosts if self.lan.is_up else ():
            host.heal()  # cuts outlast a boot
        self.up()

    def black_out(self, *, synced_only: bool = False) -> None:
        """Cut the power of all hosts at once, and restore it to all at once, without waiting for anything.

        With `synced_only` the disks, which must be images, have only what was synced to them.
        """
        if synced_only:
            self._side_by_side(Host.freeze)
        self._side_by_side(Host.lose_power if synced_only else Host.off)
        self._side_by_side(Host.switch_on)

    def _end_lan(self) -> bool:
        for group in (CLIENTS, LAN):
            self.groups.kill(group)
        return not self.groups.processes()

    def _wipe(self, host: Host) -> None:
        host.off()
        shutil.rmtree(host.spec.root, ignore_errors=True)

    def down(self) -> None:
        """Remove the lab: every process, cgroup, link and disk of it. Nothing happens if there is none."""
        with route.locked(self.name):
            self.hosts = type(self)(self.name, {*self.known(), *(h.name for h in self.hosts)}).hosts
            self._side_by_side(self._wipe)
            eventually(self._end_lan, 10, f"every process of lab {self.name} ended")
            self.groups.remove()
            shutil.rmtree(self.state, ignore_errors=True)
            with route.locked("machine"):
                if not self.groups.other_labs_run():
                    route.open_range()

    def leaks(self) -> Leaks:
        """What this lab holds on the machine; false when that is nothing."""
        return count(self.groups, self.state)

    def _side_by_side(self, action: Callable[[Host], None], parallel: int = 0) -> None:
        """Do something to all hosts at once; every host is tried, then the first failure is raised."""
        if not self.hosts:
            return
        with ThreadPoolExecutor(parallel or len(self.hosts)) as pool:
            running = [pool.submit(action, host) for host in self.hosts]
        for each in running:
            each.result()


def state_root() -> Path:
    """Where the disks of all labs lie."""
    return Path(os.environ.get("SWARMKEEPER_LAB_STATE", "/var/tmp/swarmkeeper-lab"))


def address_of(name: str) -> str:
    """The LAN address of a host: its number is the last part of its name (node-231 has .231)."""
    number = name.rpartition("-")[2]
    if not number.isdecimal() or not 2 <= int(number) <= 254:
        raise LabError(f"a host's name ends with its number on the LAN (2 to 254), as node-231, not {name!r}")
    return str(RANGE.network_address + int(number))
