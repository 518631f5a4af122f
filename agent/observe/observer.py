"""Observes once per pass: one snapshot of etcd, one look at the engine and the kernel, and condition timers."""

import math
import operator
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace

import structlog

from agent.clients.disk import REMEDY, StateDirectory
from agent.clients.etcd import Store
from agent.diff import networks, nodes, replicas
from agent.errors import Invalid, Refused, Unreachable
from agent.lease import held_fence
from agent.model import host_state, observed, records
from agent.model.observed import ClusterState, Observed
from agent.model.spec import Key
from agent.model.status import HostStatus, ReplicaReport
from agent.model.store import Compare, Fence, KeyRange, KeyValue, Put, SessionSettings, Upkeep
from agent.observe.cluster import ClusterReader
from agent.observe.host import HostReader, Timers
from agent.observe.lock import LockWatch

log = structlog.get_logger()

_Signature = tuple[tuple[str, ...], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Start:
    """The last start of a replica with its assigned spec."""

    spec: str
    id: str
    at: str
    ran: bool
    """True if it ran since the assignment: a replica that replaces a stopped one may be down at first."""


class _HostWatch:
    """Remembers the reports about the replicas that are assigned to one host."""

    def __init__(self) -> None:
        self._seen: tuple[object, ...] = ()
        """Assignment, report and `stops` of the last look: while they are the same, only the time changes."""
        self._ran: dict[Key, _Start] = {}
        self._signatures: dict[Key, _Signature] = {}
        self.since: dict[Key, float] = {}
        """Replica -> time since which its report has been the same."""
        self.ended: frozenset[Key] = frozenset()

    def look(
        self, assignment: records.Assignment, status: HostStatus | None, now: float, *, stops: bool
    ) -> None:
        """`status` None: the host or its dockerd is unreachable. `stops`: it stops its replicas itself."""
        seen = (assignment, status, stops)
        if len(self._seen) == len(seen) and all(map(operator.is_, self._seen, seen)):
            return
        self._seen = seen
        replicas, none = {each.key: each for each in assignment.replicas}, tuple[ReplicaReport, ...]()
        reports = {key: status.by_key.get(key, none) if status else None for key in replicas}
        signatures = {key: _signature(each, status) for key, each in reports.items()}
        same = {key for key, each in signatures.items() if self._signatures.get(key) == each}
        self.since = {key: self.since[key] if key in same else now for key in replicas}
        self._signatures = signatures
        self._ran = {key: each for key, each in self._ran.items() if key in replicas}
        found = {key: None if stops else each for key, each in reports.items()}
        self.ended = frozenset(key for key, each in replicas.items() if self._has_ended(each, found[key]))

    def _has_ended(self, replica: records.Replica, reports: tuple[ReplicaReport, ...] | None) -> bool:
        key, mine = replica.key, [each for each in reports or () if each.spec == replica.spec]
        if len(mine) != 1:
            # An unreachable host reports none: it may have restarted, which is no failure of the replica.
            self._ran.pop(key, None)
            return False
        (found,) = mine
        if found.status != "created" and not found.started_at:
            # Steps for it are in flight, so that its host only lists it, without the time of its last start.
            return False
        seen = self._ran.get(key)
        if seen is None or (seen.spec, seen.id) != (replica.spec, found.id):
            seen = _Start(spec=replica.spec, id=found.id, at=found.started_at, ran=False)
        if not seen.ran and (found.status == "running" or found.started_at != seen.at):
            seen = replace(seen, at=found.started_at, ran=True)
        self._ran[key] = seen
        return seen.ran and (found.status not in ("running", "paused") or found.started_at != seen.at)


class Watches(Mapping[observed.ReplicaKey, observed.ReplicaTimers]):
    """The timers of every assigned replica at one moment, made as they are asked for."""

    def __init__(self, hosts: Mapping[str, tuple[Mapping[Key, float], frozenset[Key]]], now: float) -> None:
        """`hosts`: host -> (replica -> time since which its report is the same, replicas that have ended)."""
        self._hosts, self._now = hosts, now

    def __getitem__(self, key: observed.ReplicaKey) -> observed.ReplicaTimers:
        host, service, slot = key
        since, ended = self._hosts[host]
        steady_s = self._now - since[service, slot]
        return observed.ReplicaTimers(steady_s=steady_s, ended=(service, slot) in ended)

    def __iter__(self) -> Iterator[observed.ReplicaKey]:
        return ((host, *key) for host, (since, _) in self._hosts.items() for key in since)

    def __len__(self) -> int:
        return sum(len(since) for since, _ in self._hosts.values())


class ReplicaWatcher:
    """Remembers the reports about every assigned replica, on the leader. A new leader begins with none."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._hosts: dict[str, _HostWatch] = {}

    def look(self, cluster: ClusterState | None) -> Mapping[observed.ReplicaKey, observed.ReplicaTimers]:
        """Return the timers of every assigned replica. `cluster` is None if this agent is not the leader."""
        assignments = cluster.assignments if cluster else {}
        self._hosts = {host: self._hosts.get(host) or _HostWatch() for host in assignments}
        if cluster is None:
            return {}
        now, slot = self._clock(), cluster.disruption
        # For method rejoin, a host with the slot stops its replicas itself: they have not failed.
        stops = slot.host if slot is not None and slot.state == "acquired" else ""
        for host, watch in self._hosts.items():
            status = cluster.status_of(host)
            reporting = status if status and status.engine_up else None
            watch.look(assignments[host], reporting, now, stops=host == stops)
        return Watches({host: (each.since, each.ended) for host, each in self._hosts.items()}, now)


def _signature(reports: tuple[ReplicaReport, ...] | None, status: HostStatus | None) -> _Signature:
    """Return the state whose change restarts a replica's timer, also whether its host can start it yet."""
    if reports is None:
        return (("unreachable",),)
    names = {f"container/{each.name}" for each in reports}
    waits = status is not None and replicas.is_held_by_its_host(status, names)
    states = ((r.id, r.spec, r.status, r.health, r.started_at, str(r.restarts)) for r in reports)
    return (*states, *((("waits",),) if waits else ()))


def tokens_age_s(timers: Timers[str], tokens: records.Tokens | None) -> float:
    """Return the seconds since the first look at `tokens`, which is None without tokens or on other hosts."""
    # Every rotation changes the workers' token.
    return max(timers.look([tokens.worker] if tokens else []).values(), default=0.0)


_NOT_SAVED = f"an agent that starts without etcd uses an older state: {REMEDY}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """The names of this agent, its host and its machine, and what agent.yaml sets."""

    host: str
    """Name of the host in the intent."""
    instance: str
    """Id of this run of the agent, as in its presence."""
    boot_id: str = ""
    """Id of this boot of the machine."""
    machine_id: str = ""
    """Id of the machine. A cloned machine has the same one."""
    advertise: str | None = None
    """Address of the host for the swarm from agent.yaml; None for the one that the intent declares."""
    ttl_s: float = SessionSettings().ttl_s
    """Time to live of its lease from agent.yaml."""


ALARM_S = 30.0
"""Maximum age in seconds of the alarm and the database of etcd, which cost a call, on the leader two."""


def _lacks_name(host: host_state.HostState | None, cluster: ClusterState | None) -> bool:
    """Return True if this engine would refuse to create an overlay of the accepted document."""
    refused = networks.refused_names(host) if host else frozenset()
    accepted = cluster.accepted if cluster else None
    wanted = accepted.networks if accepted else ()
    return any(each.driver == "overlay" and each.name in refused for each in wanted)


class Observer:
    """Observes everything once per pass. It keeps the last state of etcd for a time without etcd."""

    def __init__(
        self,
        cluster: ClusterReader,
        host: HostReader,
        store: Store,
        disk: StateDirectory,
        identity: Identity,
        lease_id: Callable[[], int | None],
        now: Callable[[], float] = time.time,
        *,
        clock: Callable[[], float] = time.monotonic,
        renewed_s: Callable[[], float] = lambda: math.inf,
    ) -> None:
        """`now` returns seconds since 1970, `clock` monotonic seconds, `renewed_s` the age of the lease's renewal."""
        self._cluster, self._host, self._store, self._disk = cluster, host, store, disk
        self._identity, self._lease_id, self._now = identity, lease_id, now
        self._clock = clock
        self._lock_watch, self._lock_fault = LockWatch(identity.ttl_s, clock), ""
        self._blind = False
        """True if the last look at the host failed, or its engine is a manager that does not see the nodes."""
        self._hindered = False
        """True if that is so, or the engine would refuse to create a declared overlay."""
        self._pending = False
        """True if dockerd reported the swarm as pending when it last answered."""
        self.watcher = ReplicaWatcher(clock)
        self._tokens: Timers[str] = Timers(clock)
        self._conditions: Timers[str] = Timers(clock)
        self._lock: Fence | None = None
        """The leader lock of this agent at the last read of etcd; None if it was not the leader."""
        self._renewed_s = renewed_s
        self._lost_hosts: Timers[str] = Timers(clock)
        self._unled_s = 0.0
        self._last: ClusterState | None = None
        self._kept: tuple[KeyValue, ...] = ()
        self._seen_at = 0.0
        self._state_fault = ""
        self.page_fault = ""
        """Error of the HTTP server; empty: it serves. Any thread may set it."""
        self._upkeep, self._upkeep_read_at = Upkeep(), -math.inf
        self._upkeep_fence: Fence | None = None

    def recall(self) -> None:
        """Load the state that an earlier run saved on disk, for the time until etcd answers."""
        try:
            kept = self._disk.load()
            self._last = self._cluster.recall(kept) if kept else None
        except Invalid as error:
            log.warning("saved state ignored", error=str(error))
            return
        self._kept = kept
        if kept:
            self._seen_at = self._disk.saved_at
            revision = self._last.accepted.revision if self._last and self._last.accepted else 0
            log.info("saved state loaded", revision=revision, age_s=round(self._now() - self._seen_at))

    def watched(self) -> tuple[KeyRange, ...]:
        """Return the keys whose change can change the next observation."""
        return self._cluster.watched()

    def observe(
        self, in_flight: frozenset[str] = frozenset(), failures: Mapping[str, str] | None = None
    ) -> Observed:
        """Observe etcd, engine and kernel. An unreachable etcd or dockerd is part of the result.

        `in_flight` are resources with steps in flight, `failures` their last errors.
        """
        began = self._clock()
        # Read the lease before the lock: a lock under a lease that ends in between is no fence.
        lease_id = self._lease_id()
        cluster, fence, store_error = self._observe_cluster(lease_id)
        host, engine_error = self._observe_host(cluster, in_flight)
        if host and cluster:
            if self._cluster.learn(host, cluster) and not store_error:
                cluster, fence, store_error = self._observe_cluster(lease_id)
            cluster = cluster and networks.with_confirmed_overlays(cluster, host)
        self._blind = host is None or host.swarm.leaderless
        self._hindered = self._blind or _lacks_name(host, cluster)
        self._pending = host.swarm.local == "pending" if host else self._pending
        conditions = {
            "leader": fence is not None,
            "lock free": cluster is not None and not store_error and cluster.leader is None,
            "etcd down": bool(store_error),
            "dockerd down": bool(engine_error),
            "nodes unseen": self._blind,
            # A dockerd that restarts in between does not answer for a moment.
            "pending": self._pending,
        }
        held = self._conditions.look((each for each, holds in conditions.items() if holds), began)
        held_s = {**dict.fromkeys(conditions, 0.0), **held}
        self._unled_s = self._unled_s if fence else held_s["lock free"]
        lock = self._lock  # another thread may forget it
        seen = Observed(
            me=self._identity.host,
            host=host,
            engine_error=engine_error,
            engine_away_s=held_s["dockerd down"],
            nodes_unseen_s=held_s["nodes unseen"] if host else 0.0,
            pending_s=held_s["pending"] if host else 0.0,
            cluster=cluster,
            stale=bool(store_error),
            store_error=store_error,
            upkeep=Upkeep() if store_error else self._look_at_store(fence),
            source="disk" if store_error or (cluster and cluster.assignment_held) else "etcd",
            seen_at=self._seen_at,
            state_fault="; ".join(filter(None, (self._state_fault, self._host.memory.fault))),
            page_fault=self.page_fault,
            fence=fence,
            # An alarm stops all verdicts.
            lock_fault="" if store_error or self._upkeep.alarm else self._lock_fault,
            lock_unread=lock if store_error and lock and lock.lease == lease_id else None,
            # Up to the last renewal: an unreachable etcd renews no lease.
            unread_s=max(0.0, held_s["etcd down"] - self._renewed_s()),
            led_s=held_s["leader"],
            unled_s=self._unled_s,
            lease=lease_id is not None,
            in_flight=in_flight,
            failures=failures or {},
            instance=self._identity.instance,
            boot_id=self._identity.boot_id,
            machine_id=self._identity.machine_id,
            advertise=self._identity.advertise,
            watches=self.watcher.look(cluster if fence else None),
            tokens_age_s=tokens_age_s(self._tokens, cluster.tokens if fence and cluster else None),
        )
        return replace(seen, lost_s=self._lost_hosts.look(sorted(nodes.lost_hosts(seen))))

    def _observe_cluster(self, lease_id: int | None) -> tuple[ClusterState | None, Fence | None, str]:
        try:
            reading = self._cluster.read(
                self._store, lease_id, self._host.running_specs, hindered=self._hindered
            )
        except (Unreachable, Refused) as error:
            return self._last, None, f"etcd cannot be read: {error}"
        self._last, self._seen_at = reading.state, self._now()
        self._keep(reading.kept)
        self._lock = held_fence(reading.lock, lease_id)
        if reading.earlier_verdict:
            self._supersede(reading.earlier_verdict)
        with suppress(Unreachable, Refused):  # the next pass asks again
            self._lock_fault = self._lock_watch.fault(reading.lock, reading.state, self._store)
        return reading.state, self._lock, ""

    def _supersede(self, verdict: KeyValue) -> None:
        """Write the verdict again in this format, so that an older leader resigns.

        It cannot read the status of this host, and would give the addresses of its replicas away.
        """
        value = records.encode(records.decode(records.Verdict, verdict.value))
        unchanged = Compare(key=verdict.key, mod_revision=verdict.mod_revision)
        try:
            self._store.txn([unchanged], [Put(key=verdict.key, value=value)])
        except (Unreachable, Refused) as error:
            log.warning("an older agent may be the leader", error=str(error), remedy="upgrade every host")

    def _look_at_store(self, fence: Fence | None) -> Upkeep:
        """Return the alarm of etcd, the last known one if etcd does not tell, and what is known of its database."""
        now = self._clock()
        if now - self._upkeep_read_at >= ALARM_S or fence != self._upkeep_fence:
            self._upkeep_read_at, self._upkeep_fence = now, fence
            self._upkeep = Upkeep(alarm=self._upkeep.alarm)
            with suppress(Unreachable, Refused):
                self._upkeep = self._store.upkeep(fence.key if fence else "")
        return self._upkeep

    def forget_lock(self) -> None:
        """Forget the lock, which was released without a read of etcd. Any thread may call it."""
        self._lock = None

    def _keep(self, values: tuple[KeyValue, ...]) -> None:
        if values == self._kept:
            return
        try:
            self._disk.save(values)
        except Refused as error:
            self._state_fault = f"{error}; {_NOT_SAVED}"
        else:
            self._kept, self._state_fault = values, ""

    def _observe_host(
        self, cluster: ClusterState | None, in_flight: frozenset[str]
    ) -> tuple[host_state.HostState | None, str]:
        prefix = "container/"
        containers = frozenset(each.removeprefix(prefix) for each in in_flight if each.startswith(prefix))
        try:
            host = self._host.read(cluster, containers)
        except (Unreachable, Refused) as error:
            return None, f"dockerd cannot be read: {error}"
        return host, ""
