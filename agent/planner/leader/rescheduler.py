"""One service whose hosts the leader chooses: which copies stay, which get another host, which one, and when."""

from collections import Counter, defaultdict
from collections.abc import Iterator
from typing import Literal

from agent.intent.ports import clash
from agent.model.intent import HostIntent, Intent, ServiceIntent
from agent.model.phrases import first_of
from agent.model.plan import Blocked, BlockedKind
from agent.model.records import Copy
from agent.model.spec import Key, Port
from agent.planner.leader.scheduler_state import SchedulerState, copies_of

# ---- The choice of a host for a copy: who may run it, and who of those has the fewest
#
# The host with the fewest copies of the service takes the next one; fewest first within the values of what the
# service is spread over, then on the host, then of all services. Of equals the first of the document.


_MOST_TOLD = 8
"""Hosts that are named in a reason."""


class HostPicker:
    """Who has which ports of which host, and how many copies are where, while copies are placed."""

    def __init__(self, intent: Intent, state: SchedulerState) -> None:
        self._intent, self._state = intent, state
        self._count: Counter[tuple[str, str]] = Counter()
        self._load: Counter[str] = Counter()
        self._ports: defaultdict[str, list[tuple[str, Port]]] = defaultdict(list)
        for service in intent.services:
            for host, count in service.placement:
                if count:
                    self.take(service, host, count)

    def take(self, service: ServiceIntent, host: str, count: int = 1) -> None:
        """Note copies of the service on a host."""
        self._count[service.name, host] += count
        self._load[host] += count
        self._ports[host] += [(service.name, port) for port in service.spec.ports if port.published]

    def release(self, service: ServiceIntent, host: str) -> None:
        """Note that a copy is not there any more."""
        self._count[service.name, host] -= 1
        self._load[host] -= 1
        for port in service.spec.ports:
            if port.published:
                self._ports[host].remove((service.name, port))

    def count(self, service: ServiceIntent, host: str) -> int:
        return self._count[service.name, host]

    def port_in_use(self, service: ServiceIntent, host: str) -> str:
        """Which port that a copy would publish is another copy's on that host, in words; empty: none."""
        for port in service.spec.ports:
            for holder, other in self._ports[host]:
                if clash(port, other):
                    return f"port {port.published}/{port.protocol} is published by {holder}"
        return ""

    def why_not(self, service: ServiceIntent, host: HostIntent) -> str:
        """Why one more copy cannot be given to a host, in words; empty when it can."""
        if not self._state.takes_new(host):
            words = {"drain": "it is drained", "pause": "it is paused", "active": "it is gone"}
            return words[host.availability]
        if unmet := service.where.unmet(host):
            return f"{unmet} is not met"
        most = service.where.most_per_host
        if most is not None and self.count(service, host.name) >= most:
            return f"it has {most} of them"
        return self.port_in_use(service, host.name)

    def best(self, service: ServiceIntent) -> str | None:
        """The host that one more copy should go to; None: there is none."""
        fitting = [each for each in self._intent.hosts if not self.why_not(service, each)]
        if not fitting:
            return None
        groups: Counter[tuple[str | None, ...]] = Counter()
        for host in self._intent.hosts:
            for group in _groups(service, host):
                groups[group] += self.count(service, host.name)
        return min(
            fitting,
            key=lambda host: (
                host.name in self._state.lost_s,
                [groups[group] for group in _groups(service, host)],
                self.count(service, host.name),
                self._load[host.name],
            ),
        ).name

    def why_none(self, service: ServiceIntent) -> str:
        """Why no host can take one more copy, in words."""
        told = [f"{each.name}: {self.why_not(service, each)}" for each in self._intent.hosts]
        return "; ".join(first_of(told, _MOST_TOLD, "and {} more hosts"))


def _groups(service: ServiceIntent, host: HostIntent) -> list[tuple[str | None, ...]]:
    """The groups a host is in, the widest first; hosts without a label are a group of their own."""
    values = tuple(host.feature(of) for of in service.where.spread)
    return [values[: length + 1] for length in range(len(values))]


Disposition = Literal["homeless", "leaves", "stays"]
"""homeless: it gets another host at once; leaves: when that host is ready for it."""
_FATES: tuple[Disposition, ...] = ("homeless", "leaves", "stays")


class ReplicaScheduler:
    """Decides in two parts, so that the copies of all services that stay come before any that is placed again."""

    def __init__(self, service: ServiceIntent, state: SchedulerState, picker: HostPicker) -> None:
        self.service, self.state, self.picker = service, state, picker
        self.at: dict[int, str] = {}
        """Number -> the host where it is to run."""
        self.prefetching: dict[int, str] = {}
        """Number -> the host that prefetches the image of it."""
        self.blocked: list[Blocked] = []
        self.again: list[float] = []
        """In how many seconds something may be different."""
        self._has = copies_of(service.name, state.current)
        self._from: dict[int, str] = {}
        """Number -> the host where it is now."""
        self._disposition: dict[int, Disposition] = {}
        self._why: dict[int, str] = {}

    @property
    def origins(self) -> frozenset[str]:
        """The hosts where copies are now."""
        return frozenset(self._from.values())

    @property
    def numbers(self) -> dict[str, list[int]]:
        found: dict[str, list[int]] = {}
        for number, host in sorted(self.at.items()):
            found.setdefault(host, []).append(number)
        return found

    def held(self) -> Iterator[tuple[Key, str]]:
        """(service and number, why) of the copies that must not be started yet."""
        for number, host in sorted(self.at.items()):
            if why := self.state.why_held(host, self.service.name, number):
                yield (self.service.name, number), why

    def keep(self) -> None:
        """Note the copies that are there, what becomes of each, and drop those that are too many."""
        self._from = self._origins()
        surplus = len(self._from) - (self.service.replicas or 0)
        for number, host in sorted(self._from.items()):
            self._judge(number, host)
        for _ in range(surplus):
            self._drop(max(self._from, key=self._dispensable))

    def _origins(self) -> dict[int, str]:
        """Where each copy is: of several hosts that have it assigned the one that is not made ready for it."""
        places: dict[int, list[str]] = {}
        for host, copies in self._has.items():
            for number in copies:
                places.setdefault(number, []).append(host)

        def likely(number: int, host: str) -> tuple[bool, bool, bool, str]:
            held = bool(self._has[host][number].held)
            runs = self.state.runs_on(host, self.service.name, number)
            return held, self.state.is_gone(host), not runs, host

        return {number: min(hosts, key=lambda host: likely(number, host)) for number, hosts in places.items()}

    def _judge(self, number: int, host: str) -> None:
        disposition, why = self._what_of(host)
        self._disposition[number], self._why[number] = disposition, why
        if disposition != "homeless":
            self.at[number] = host
            self.picker.take(self.service, host)

    def _what_of(self, name: str) -> tuple[Disposition, str]:
        host, where = self.state.intent.host(name), self.service.where
        if host is None:
            return "homeless", f"{name} is no longer in the intent"
        if self.state.is_gone(name):
            return "homeless", f"{name} is gone"
        if used := self.picker.port_in_use(self.service, name):
            return "homeless", used
        if host.availability == "drain":
            return "leaves", f"{name} is drained"
        if unmet := where.unmet(host):
            return "leaves", f"{name}: {unmet} is not met"
        if where.most_per_host is not None and self.picker.count(self.service, name) >= where.most_per_host:
            return "leaves", f"{name} has {where.most_per_host} besides it"
        return "stays", ""

    def _dispensable(self, number: int) -> tuple[int, int, int]:
        crowd = self.picker.count(self.service, self._from[number])
        return -_FATES.index(self._disposition[number]), crowd, number

    def _drop(self, number: int) -> None:
        if host := self.at.pop(number, None):
            self.picker.release(self.service, host)
        del self._from[number], self._disposition[number], self._why[number]

    def complete(self) -> None:
        """Place the copies without a host, then the new ones; then go on with those that leave."""
        homeless = [
            number for number, disposition in sorted(self._disposition.items()) if disposition == "homeless"
        ]
        used = {*self.at, *homeless}
        free = (number for number in range(1, 1_000_000) if number not in used)
        new = [next(free) for _ in range((self.service.replicas or 0) - len(used))]
        left = [number for number in (*homeless, *new) if not self._place(number)]
        self._move()
        left += [number for number in self._disposition if number not in self.at and number not in left]
        if left:
            names = ", ".join(self._name(number) for number in sorted(left))
            self._block("placement", f"{names}: no host can run it: {self.picker.why_none(self.service)}")
        self._await_lost()

    def _place(self, number: int) -> bool:
        """Give a copy without a host one; that which is gone, where no other can run it."""
        host = self.picker.best(self.service)
        if host is None and (host := self._where_it_waits(number)):
            reason = f"{self._name(number)} waits for {host}: {self.picker.why_none(self.service)}"
            self._block("placement", reason)
        if host is None:
            return False
        self.at[number] = host
        self.picker.take(self.service, host)
        return True

    def _where_it_waits(self, number: int) -> str | None:
        name = self._from.get(number, "")
        host = self.state.intent.host(name)
        if host is None or not self.state.is_gone(name) or host.availability == "drain":
            return None
        fits = not self.service.where.unmet(host) and not self.picker.port_in_use(self.service, name)
        return name if fits else None

    def _move(self) -> None:
        leaving = [
            number for number, disposition in sorted(self._disposition.items()) if disposition == "leaves"
        ]
        # One that does no work where it is loses nothing, and one that is under way goes on first.
        leaving.sort(key=lambda number: (self._is_up(number), self._prepared(number) is None, number))
        free = True
        for number in leaving:
            self.picker.release(self.service, origin := self.at.pop(number))
            target = self._prepared(number) or self.picker.best(self.service)
            if target is None:
                continue
            waits = self._why_not_now(number, origin, target, free=free)
            busy = self._is_up(number)
            if waits:
                self._block("waiting", f"{self._name(number)} leaves {origin} ({self._why[number]}): {waits}")
            elif busy and not self.state.has_image(target, self._image(number)):
                self.prefetching[number] = target
                self.picker.take(self.service, target)
            free = free and not busy
            self.at[number] = origin if waits or number in self.prefetching else target
            self.picker.take(self.service, self.at[number])

    def _prepared(self, number: int) -> str | None:
        """The host that prefetches the image of a copy already, if it still can take it."""
        for name, copies in self._has.items():
            host = self.state.intent.host(name)
            if host and name != self._from[number] and number in copies:
                return None if self.picker.why_not(self.service, host) else name
        return None

    def _why_not_now(self, number: int, origin: str, target: str, *, free: bool) -> str:
        if not self.state.is_there(origin):
            return f"{origin} does not report"
        if why := self.state.why_not_onto(target):
            return why
        if not self._is_up(number):
            return ""
        return self._why_others_come_first() if free else "another copy moves first"

    def _why_others_come_first(self) -> str:
        """What of the service is not well, so that no copy of it is stopped now, in words."""
        rollout = self.state.cluster.rollouts.get(self.service.name) if self.state.cluster else None
        if rollout and rollout.state in ("moving", "rolling-back"):
            return "its rollout comes first"
        for number, host in sorted(self.at.items()):
            if self._disposition.get(number) == "leaves" and self._from[number] == host:
                continue
            copy = self._has.get(host, {}).get(number)
            if why := self._unwell(copy, host) if copy else "has only just been given to it":
                return f"{self._name(number)} on {host} {why}"
        return ""

    def _unwell(self, copy: Copy, host: str) -> str:
        if copy.held:
            return f"waits: {copy.held}"
        found, watch_s = self.state.condition(copy, host), self.service.update.monitor_s
        if found.is_ == "unseen":
            return ""
        if found.is_ != "well":
            return f"is not well: {found.why or 'its host has not reported it yet'}"
        if found.for_s < watch_s:
            self.again.append(watch_s - found.for_s)
            return f"has to be well for {watch_s:g} s"
        return ""

    def _is_up(self, number: int) -> bool:
        """Whether a copy does its work where it is, or may do so."""
        host = self._from[number]
        return self.state.condition(self._has[host][number], host).up

    def _image(self, number: int) -> str:
        """Of the spec that a copy has, which in a rollout need not be the newest."""
        spec = self.state.spec(self._has[self._from[number]][number])
        return (spec or self.service.spec).image

    def _await_lost(self) -> None:
        """Say which copies may move soon as their host is lost."""
        after_s = self.state.intent.policy.reschedule_after_s
        for host, numbers in self.numbers.items():
            if in_s := self.state.gone_in_s(host):
                names = ", ".join(map(self._name, numbers))
                self.again.append(in_s)
                self._block("waiting", f"{host} is lost: {names} move when it has been so for {after_s:g} s")

    def _name(self, number: int) -> str:
        return f"{self.service.name}-{number}"

    def _block(self, kind: BlockedKind, reason: str) -> None:
        self.blocked.append(Blocked(resource=f"placement/{self.service.name}", reason=reason, kind=kind))
