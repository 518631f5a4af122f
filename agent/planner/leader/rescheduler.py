"""The scheduling of one service with `deploy.replicas`: the disposition and the host of each replica."""

from collections import Counter, defaultdict
from collections.abc import Iterator
from typing import Literal

from agent.intent.ports import clash
from agent.model.intent import HostIntent, Intent, ServiceIntent
from agent.model.phrases import first_of
from agent.model.plan import Plan, blocked_plan, waiting_plan
from agent.model.records import Replica, StartObstacle
from agent.model.spec import Key, Port
from agent.planner.leader.scheduler_state import SchedulerState, replicas_of, spec_of

# ---- The choice of a host for a replica
#
# The next replica goes to the host with the fewest replicas: first counted over the values of the spread labels, then
# for the service on the host, then for all services on the host. Among equals the first host of the document wins.


_MOST_NAMED = 8
"""Largest number of hosts that a reason names."""


class HostPicker:
    """The published ports and the replica counts of every host while replicas are placed."""

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
        self._count[service.name, host] += count
        self._load[host] += count
        self._ports[host] += [(service.name, port) for port in service.spec.ports if port.published]

    def release(self, service: ServiceIntent, host: str) -> None:
        self._count[service.name, host] -= 1
        self._load[host] -= 1
        for port in service.spec.ports:
            if port.published:
                self._ports[host].remove((service.name, port))

    def count(self, service: ServiceIntent, host: str) -> int:
        return self._count[service.name, host]

    def port_in_use(self, service: ServiceIntent, host: str) -> str:
        """Describe the first port of the service that another replica publishes on that host; empty: none."""
        for port in service.spec.ports:
            for holder, other in self._ports[host]:
                if clash(port, other):
                    return f"port {port.published}/{port.protocol} is published by {holder}"
        return ""

    def why_rejected(self, service: ServiceIntent, host: HostIntent) -> str:
        """Return why a host cannot take one more replica; empty if it can."""
        if not self._state.takes_new(host):
            states = {"drain": "it is drained", "pause": "it is paused", "active": "it is gone"}
            return states[host.availability]
        if unmet := service.where.unmet(host):
            return f"{unmet} is not met"
        most = service.where.most_per_host
        if most is not None and self.count(service, host.name) >= most:
            return f"max_replicas_per_node {most} is reached"
        return self.port_in_use(service, host.name)

    def best(self, service: ServiceIntent) -> str | None:
        """Return the best host for one more replica; None: no host can take it."""
        fitting = [each for each in self._intent.hosts if not self.why_rejected(service, each)]
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
        reasons = [f"{each.name}: {self.why_rejected(service, each)}" for each in self._intent.hosts]
        return "; ".join(first_of(reasons, _MOST_NAMED, "and {} more hosts"))


def _groups(service: ServiceIntent, host: HostIntent) -> list[tuple[str | None, ...]]:
    """Return the spread groups of a host, the widest first; hosts without the label form one group."""
    values = tuple(host.feature(of) for of in service.where.spread)
    return [values[: length + 1] for length in range(len(values))]


Disposition = Literal["homeless", "leaves", "stays"]
"""homeless: it gets another host immediately; leaves: after its next host has pulled the image."""
_DISPOSITIONS: tuple[Disposition, ...] = ("homeless", "leaves", "stays")


class ReplicaScheduler:
    """Schedules one service in two parts, so that all replicas that stay are counted before any other is placed."""

    def __init__(self, service: ServiceIntent, state: SchedulerState, picker: HostPicker) -> None:
        self.service, self.state, self.picker = service, state, picker
        self.at: dict[int, str] = {}
        """Slot -> the host that will run it."""
        self.prefetching: dict[int, str] = {}
        """Slot -> its prefetch target."""
        self.left = Plan()
        self.again: list[float] = []
        """Seconds until time alone may change the schedule."""
        self._has = replicas_of(service.name, state.current)
        self._from: dict[int, str] = {}
        """Slot -> its current host."""
        self._disposition: dict[int, Disposition] = {}
        self._why: dict[int, str] = {}

    @property
    def origins(self) -> frozenset[str]:
        return frozenset(self._from.values())

    @property
    def slots(self) -> dict[str, list[int]]:
        found: dict[str, list[int]] = {}
        for slot, host in sorted(self.at.items()):
            found.setdefault(host, []).append(slot)
        return found

    def held(self) -> Iterator[tuple[Key, StartObstacle]]:
        """Yield (service and slot, reason) for the replicas that must not start yet."""
        for slot, host in sorted(self.at.items()):
            if (held := self.state.held(host, self.service.name, slot)).why:
                yield (self.service.name, slot), held

    def keep(self) -> None:
        """Decide the disposition of each existing replica, and drop the surplus."""
        self._from = self._origins()
        surplus = len(self._from) - (self.service.replicas or 0)
        for slot, host in sorted(self._from.items()):
            self._disposition[slot], self._why[slot] = self._disposition_on(host)
            if self._disposition[slot] != "homeless":
                self.at[slot] = host
                self.picker.take(self.service, host)
        for _ in range(surplus):
            slot = max(self._from, key=self._dispensable)
            if slot in self.at:
                self.picker.release(self.service, self.at.pop(slot))
            del self._from[slot], self._disposition[slot], self._why[slot]

    def _origins(self) -> dict[int, str]:
        """Return the current host of each replica: of several assigned hosts the one that is no prefetch target."""
        slots = {slot for replicas in self._has.values() for slot in replicas}
        places = {slot: [host for host, replicas in self._has.items() if slot in replicas] for slot in slots}

        def likely(slot: int, host: str) -> tuple[bool, bool, bool, str]:
            held = bool(self._has[host][slot].held)
            runs = self.state.runs_on(host, self.service.name, slot)
            return held, self.state.is_gone(host), not runs, host

        return {slot: min(hosts, key=lambda host: likely(slot, host)) for slot, hosts in places.items()}

    def _disposition_on(self, name: str) -> tuple[Disposition, str]:
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
            return "leaves", f"{name}: max_replicas_per_node {where.most_per_host} is exceeded"
        return "stays", ""

    def _dispensable(self, slot: int) -> tuple[int, int, int]:
        crowd = self.picker.count(self.service, self._from[slot])
        return -_DISPOSITIONS.index(self._disposition[slot]), crowd, slot

    def complete(self) -> None:
        """Place the homeless replicas, then the new ones; then move those that leave."""
        homeless = self._with("homeless")
        used = {*self.at, *homeless}
        free = (slot for slot in range(1, 1_000_000) if slot not in used)
        new = [next(free) for _ in range((self.service.replicas or 0) - len(used))]
        left = [slot for slot in (*homeless, *new) if not self._place(slot)]
        self._move()
        left += [slot for slot in self._disposition if slot not in self.at and slot not in left]
        if left:
            names = ", ".join(self._name(slot) for slot in sorted(left))
            self._block(f"{names}: no host can run it: {self.picker.why_none(self.service)}")
        self._await_lost()

    def _with(self, disposition: Disposition) -> list[int]:
        return sorted(slot for slot, each in self._disposition.items() if each == disposition)

    def _place(self, slot: int) -> bool:
        """Choose a host for a homeless replica: its gone host if no other can run it. Return False without a host."""
        host = self.picker.best(self.service)
        if host is None and (host := self._where_it_waits(slot)):
            self._block(f"{self._name(slot)} waits for {host}: {self.picker.why_none(self.service)}")
        if host is None:
            return False
        self.at[slot] = host
        self.picker.take(self.service, host)
        return True

    def _where_it_waits(self, slot: int) -> str | None:
        name = self._from.get(slot, "")
        host = self.state.intent.host(name)
        if host is None or not self.state.is_gone(name) or host.availability == "drain":
            return None
        fits = not self.service.where.unmet(host) and not self.picker.port_in_use(self.service, name)
        return name if fits else None

    def _move(self) -> None:
        free = True
        # A replica that does no work loses nothing; a replica with a prefetch target continues first.
        for slot in sorted(
            self._with("leaves"), key=lambda slot: (self._is_up(slot), self._prepared(slot) is None, slot)
        ):
            self.picker.release(self.service, origin := self.at.pop(slot))
            target = self._prepared(slot) or self.picker.best(self.service)
            if target is None:
                continue
            waits = self._why_move_waits(slot, origin, target, free=free)
            working = self._is_up(slot)
            if waits:
                why, on = waits
                self._wait(f"{self._name(slot)} leaves {origin} ({self._why[slot]}): {why}", on)
            elif working and not self.state.has_image(target, self._image(slot)):
                self.prefetching[slot] = target
                self.picker.take(self.service, target)
            free = free and not working
            self.at[slot] = origin if waits or slot in self.prefetching else target
            self.picker.take(self.service, self.at[slot])

    def _prepared(self, slot: int) -> str | None:
        """Return the current prefetch target of a replica if it can still take it."""
        for name, replicas in self._has.items():
            host = self.state.intent.host(name)
            if host and name != self._from[slot] and slot in replicas:
                return None if self.picker.why_rejected(self.service, host) else name
        return None

    def _why_move_waits(self, slot: int, origin: str, target: str, *, free: bool) -> tuple[str, str] | None:
        """Return why a replica cannot move now, and the condition key of the cause; None: it can."""
        if not self.state.is_reachable(origin):
            return self.state.describe_absence(origin), f"host/{origin}"
        if why := self.state.why_no_move_to(target):
            return why, "quorum/" if self.state.ready is None else f"host/{target}"
        if not self._is_up(slot):
            return None
        return self._why_others_first() if free else ("another replica moves first", "")

    def _why_others_first(self) -> tuple[str, str] | None:
        """Return why another replica or the rollout of the service comes first, and its key; None: nothing does."""
        rollout = self.state.cluster.rollouts.get(self.service.name) if self.state.cluster else None
        if rollout and rollout.state in ("moving", "rolling-back"):
            return "its rollout comes first", f"rollout/{self.service.name}"
        for slot, host in sorted(self.at.items()):
            if self._disposition.get(slot) == "leaves" and self._from[slot] == host:
                continue
            replica = self._has.get(host, {}).get(slot)
            if why := self._unwell(replica, host) if replica else "is newly assigned":
                return f"{self._name(slot)} on {host} {why}", f"replica/{self._name(slot)}"
        return None

    def _unwell(self, replica: Replica, host: str) -> str:
        if replica.held:
            return f"waits: {replica.held}"
        found, watch_s = self.state.condition(replica, host), self.service.update.monitor_s
        if found.is_ == "unseen":
            return ""
        if found.is_ != "healthy":
            return f"is not healthy: {found.why or 'its host has not reported it yet'}"
        if found.for_s < watch_s:
            self.again.append(watch_s - found.for_s)
            return f"must stay healthy for {watch_s:g} s"
        return ""

    def _is_up(self, slot: int) -> bool:
        """Return True if a replica does its work on its current host, or may do so."""
        host = self._from[slot]
        return self.state.condition(self._has[host][slot], host).up

    def _image(self, slot: int) -> str:
        """Return the image of the replica's current spec, which during a rollout may be an older one."""
        replica, cluster = self._has[self._from[slot]][slot], self.state.cluster
        spec = spec_of(replica, self.service, cluster) if cluster else None
        return (spec or self.service.spec).image

    def _await_lost(self) -> None:
        """Block with the replicas that will be rescheduled because their host is lost."""
        after_s = self.state.intent.policy.reschedule_after_s
        for host, slots in self.slots.items():
            if in_s := self.state.gone_in_s(host):
                names = ", ".join(map(self._name, slots))
                self.again.append(in_s)
                why = self.state.why_absent(host)
                reason = f"{host} is lost ({why}): {names} will be rescheduled after {after_s:g} s of loss"
                self._wait(reason, f"host/{host}")

    def _name(self, slot: int) -> str:
        return f"{self.service.name}-{slot}"

    def _block(self, reason: str) -> None:
        self.left += blocked_plan(f"placement/{self.service.name}", "placement", reason)

    def _wait(self, reason: str, on: str) -> None:
        self.left += waiting_plan(f"placement/{self.service.name}", reason, on)
