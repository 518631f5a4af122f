"""The scheduling of one service with `deploy.replicas`: the disposition and the host of each replica."""

from collections import defaultdict
from collections.abc import Iterator
from functools import cached_property
from typing import Literal

from agent.diff.capacity import NOT_REPORTED
from agent.intent.deploy import MOST_ON_A_HOST
from agent.model.intent import ServiceIntent
from agent.model.phrases import first_of
from agent.model.plan import Plan, blocked_plan, waiting_plan
from agent.model.records import Replica, StartObstacle
from agent.model.spec import Key
from agent.planner.leader.host_picker import HostPicker
from agent.planner.leader.scheduler_state import SchedulerState, spec_of

_MOST_NAMED = 8
"""Largest number of replicas that a reason names."""

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
        self._awaiting: set[int] = set()
        """Slots whose best host has not reported its engine yet."""
        self.rebalanced = state.rebalanced.get(service.name, "")
        """The last order to rebalance that is carried out; empty: there was none."""
        self.again: list[float] = []
        """Seconds until time alone may change the schedule."""
        self._has = state.has.get(service.name, {})
        self._from: dict[int, str] = {}
        """Slot -> its current host."""
        self._disposition: dict[int, Disposition] = {}
        self._why: dict[int, str] = {}
        self._assigned = sum(map(len, self._has.values()))
        """Larger than the number of replicas if one of them is assigned to several hosts."""

    @property
    def is_as_assigned(self) -> bool:
        """Return True if every replica stays on the only host that has it, and none is new or dropped."""
        return len(self._from) == self._assigned and self.at == self._from

    @property
    def origins(self) -> frozenset[str]:
        return frozenset(self._from.values())

    @cached_property
    def slots(self) -> dict[str, list[int]]:
        """Return host -> slots of the replicas that it will run, once `complete` has placed all."""
        found: dict[str, list[int]] = {}
        for slot, host in sorted(self.at.items()):
            found.setdefault(host, []).append(slot)
        return found

    def held(self) -> Iterator[tuple[Key, StartObstacle]]:
        """Yield (service and slot, reason) for the replicas that must not start yet."""
        name, settled = self.service.name, self.state.settled if self.is_as_assigned else ()
        for host, slots in self.slots.items():
            for slot in () if host in settled else self.state.may_be_held(host, name, slots):
                if (held := self.state.held(host, name, slot)).why:
                    yield (name, slot), held

    def keep(self) -> None:
        """Decide the disposition of each existing replica, and drop the surplus."""
        self._from = self._origins()
        self.at, self._disposition = dict(self._from), dict.fromkeys(self._from, "stays")
        where, limited = self.service.where, self.picker.is_limited(self.service)
        keeping = {} if limited or len(self._from) < self._assigned else self.state.keeping
        for host, replicas in self._has.items():
            here, count = keeping.get(host), len(replicas)
            if here and self.picker.can_add(host, count) and not (where.constraints and where.unmet(here)):
                self.picker.take(self.service, host, count)  # most of a large cluster
                continue
            for slot in sorted(slot for slot in replicas if self._from[slot] == host):
                self._disposition[slot], self._why[slot] = self._disposition_on(host)
                if self._disposition[slot] == "homeless":
                    del self.at[slot]
                else:
                    self.picker.take(self.service, host)
        surplus = max(0, len(self._from) - (self.service.replicas or 0))
        for slot in self._dispensable()[:surplus] if surplus else ():
            if slot in self.at:
                self.picker.release(self.service, self.at.pop(slot))
            del self._from[slot], self._disposition[slot]

    def _origins(self) -> dict[int, str]:
        """Return the current host of each replica: of several assigned hosts the one that is no prefetch target."""
        only = {slot: host for host, slots in self._has.items() for slot in slots}
        if len(only) == self._assigned:
            return only
        places: defaultdict[int, list[str]] = defaultdict(list)
        for at, replicas in self._has.items():
            for slot in replicas:
                places[slot].append(at)

        def likely(slot: int, host: str) -> tuple[bool, bool, bool, str]:
            held = bool(self._has[host][slot].held)
            runs = slot in self.state.up_on(host, self.service.name)
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
        if why := self.picker.why_unmet(self.service, name):
            return "leaves", f"{name}: {why}"
        if where.most_per_host is not None and self.picker.count(self.service, name) >= where.most_per_host:
            return "leaves", f"{name}: max_replicas_per_node {where.most_per_host} is exceeded"
        if not self.picker.can_add(name):
            return "leaves", f"{name}: {MOST_ON_A_HOST} replicas on one host is exceeded"
        return "stays", ""

    def _dispensable(self) -> list[int]:
        """Return the slots, first those of the first disposition, then the last slot on the host with most of them."""
        crowd = {host: self.picker.count(self.service, host) for host in self.origins}
        ranks = []
        for order, disposition in enumerate(_DISPOSITIONS):
            for slot in reversed(self._with(disposition)):
                host = self._from[slot]
                ranks.append((-order, crowd[host], slot))
                crowd[host] -= slot in self.at
        return [slot for _, _, slot in sorted(ranks, reverse=True)]

    def complete(self) -> None:
        """Place the homeless replicas, then the new ones; then move those that leave."""
        homeless = self._with("homeless")
        used = {*self.at, *homeless}
        free = (slot for slot in range(1, 1_000_000) if slot not in used)
        new = [next(free) for _ in range((self.service.replicas or 0) - len(used))]
        left = [slot for slot in (*homeless, *new) if not self._place(slot)]
        if self.service.rebalanced_at > self.rebalanced and not left and not self._awaiting:
            self._rebalance()
        self._move()
        left += sorted(self._disposition.keys() - self.at.keys() - {*left} - self._awaiting)
        if left:
            names = first_of([self._name(slot) for slot in sorted(left)], _MOST_NAMED, "and {} more")
            self._block(f"{', '.join(names)}: no host can run it: {self.picker.why_none(self.service)}")
        self._await_lost()

    def _with(self, disposition: Disposition) -> list[int]:
        return sorted(slot for slot, each in self._disposition.items() if each == disposition)

    def _place(self, slot: int) -> bool:
        """Choose a host for a homeless replica: its gone host if no other can run it. Return False without a host."""
        host = self.picker.best(self.service)
        if host is not None and self.picker.why_lacking(self.service, host) == NOT_REPORTED:
            if not self._awaiting:
                self._wait(f"replicas wait until {host} has reported its engine", f"host/{host}")
            self._awaiting.add(slot)
            if (host := self._where_it_waits(slot)) is None:
                return True
        elif host is None and (host := self._where_it_waits(slot)):
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

    def _rebalance(self) -> None:
        """Let the one replica leave whose move makes the spread more even; without one, the order is carried out.

        Each move makes the spread more even by the counts of the picker alone, so that the moves come to an end.
        A host that is lost may return, and take some, until it is gone.
        """
        if self.at != self._from or "leaves" in self._disposition.values():
            return
        crowding = {host: self.picker.crowding(self.service, host) for host in self.origins}
        for origin in sorted(self.origins, key=lambda host: (crowding[host], host), reverse=True):
            host = self.state.intent.host(origin)
            if host is None or host.availability != "active":
                continue
            slot = max(
                (each for each in self._has[origin] if self.at.get(each) == origin),
                key=lambda slot: (self._prepared(slot) is not None, slot),
            )
            self.picker.release(self.service, origin)
            target = self._prepared(slot) or self.picker.best(self.service)
            rest = self.picker.crowding(self.service, origin)
            evens = target is not None and self.picker.crowding(self.service, target) < rest
            self.picker.take(self.service, origin)
            if evens:
                self._disposition[slot], self._why[slot] = "leaves", "its service is rebalanced"
                return
        if not any(map(self.state.gone_in_s, self.state.lost_s)):
            self.rebalanced = self.service.rebalanced_at

    def _prepared(self, slot: int) -> str | None:
        """Return the current prefetch target of a replica if it can still take it."""
        for name, replicas in self._has.items() if len(self._from) < self._assigned else ():
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
        return self._why_others_first(origin) if free else ("another replica moves first", "")

    def _why_others_first(self, origin: str) -> tuple[str, str] | None:
        """Return why another replica or the rollout of the service comes first, and its key; None: nothing does."""
        rollout = self.state.cluster.rollouts.get(self.service.name) if self.state.cluster else None
        # A host whose engine must not run the service cannot run its new spec either.
        unmet = self.picker.why_unmet(self.service, origin)
        if rollout and rollout.state in ("moving", "rolling-back") and not unmet:
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
        for host, slots in self.slots.items() if self.state.lost_s else ():
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
