"""Gathers what a plan is made from: one snapshot of etcd, one look at the engine and the kernel."""

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import structlog

from agent.clients.disk import StateDirectory
from agent.clients.etcd import Store
from agent.diff import nodes, replicas
from agent.errors import Invalid, Refused, Unreachable
from agent.lease import held_fence
from agent.model import host_state, observed, records
from agent.model.observed import ClusterState, Observed
from agent.model.status import ReplicaReport
from agent.model.store import Fence, KeyRange, KeyValue
from agent.observe.cluster import ClusterReader
from agent.observe.host import HostReader

log = structlog.get_logger()

# ----
# For how long what is so has been so, on this agent's own clock: no two hosts need to agree about the time.


class ConditionTimers:
    """Remembers since when. What is not so for a moment, or cannot be told then, starts again."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._since: dict[str, float] = {}

    def look(self, lasting: frozenset[str], began: float | None = None) -> Mapping[str, float]:
        """Note by name what is so now; returns for how many seconds each has been.

        `began`: when the look was begun that showed it. One that hangs takes long, and between two looks there may be
        minutes of which nobody knows.
        """
        now = self._clock()
        since = now if began is None else began
        self._since = {name: self._since.get(name, since) for name in sorted(lasting)}
        return {name: now - since for name, since in self._since.items()}


_Told = tuple[tuple[str, ...], ...]
_SILENT: _Told = (("away",),)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Start:
    """When a replica was started that has the spec it is to have."""

    spec: str
    id: str
    at: str
    ran: bool
    """Whether that was since it is to have it: one that was just stopped for another may be down at first."""


class ReplicaWatcher:
    """Remembers what was said of every assigned replica.

    Whoever does not lead, or has just begun to lead, knows nothing.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._told: dict[observed.ReplicaKey, tuple[_Told, float]] = {}
        """What is said of a replica, and since when."""
        self._ran: dict[observed.ReplicaKey, _Start] = {}

    def look(self, cluster: ClusterState | None) -> Mapping[observed.ReplicaKey, observed.ReplicaTimers]:
        """Note what is said now; None: not leading."""
        if cluster is None:
            self._told, self._ran = {}, {}
            return {}
        assigned = {
            (host, *replica.key): replica
            for host, each in cluster.assignments.items()
            for replica in each.replicas
        }
        self._told = {key: each for key, each in self._told.items() if key in assigned}
        self._ran = {key: each for key, each in self._ran.items() if key in assigned}
        return {key: self._look(key, replica, cluster) for key, replica in assigned.items()}

    def _look(
        self, key: observed.ReplicaKey, replica: records.Replica, cluster: ClusterState
    ) -> observed.ReplicaTimers:
        reports, now = _reports(key[0], replica, cluster), self._clock()
        told = _SILENT if reports is None else (*map(_words, reports), *_waiting(key[0], reports, cluster))
        last, since = self._told.get(key, (None, now))
        since = since if last == told else now
        self._told[key] = (told, since)
        return observed.ReplicaTimers(steady_s=now - since, ended=self._has_ended(key, replica, reports))

    def _has_ended(
        self, key: observed.ReplicaKey, replica: records.Replica, reports: list[ReplicaReport] | None
    ) -> bool:
        if reports is None:
            self._ran.pop(key, None)  # what its host went through meanwhile is not the replica's doing
            return False
        mine = [each for each in reports if each.spec == replica.spec]
        if len(mine) != 1:
            self._ran.pop(key, None)
            return False
        (found,) = mine
        if found.status != "created" and not found.started_at:
            # Only listed by its host, as steps are working on it: when it was started last is not known.
            return False
        seen = self._ran.get(key)
        if seen is None or (seen.spec, seen.id) != (replica.spec, found.id):
            seen = _Start(spec=replica.spec, id=found.id, at=found.started_at, ran=False)
        if not seen.ran and (found.status == "running" or found.started_at != seen.at):
            seen = replace(seen, at=found.started_at, ran=True)
        self._ran[key] = seen
        return seen.ran and (found.status not in ("running", "paused") or found.started_at != seen.at)


def _reports(host: str, replica: records.Replica, cluster: ClusterState) -> list[ReplicaReport] | None:
    """What the host says of that replica now; None while it cannot say anything."""
    status = cluster.status_of(host)
    if status is None or not status.engine_up:
        return None
    return [each for each in status.replicas if each.key == replica.key]


def _waiting(host: str, reports: list[ReplicaReport], cluster: ClusterState) -> _Told:
    """A replica that its host could not start until now is about to be started.

    How long it is down counts from zero.
    """
    status, names = cluster.status_of(host), {f"container/{each.name}" for each in reports}
    blocked = status.blocked if status else ()
    waits = any(each.kind in replicas.HELD_BY_ITS_HOST and each.resource in names for each in blocked)
    return (("waits",),) if waits else ()


def _words(report: ReplicaReport) -> tuple[str, ...]:
    return (report.id, report.spec, report.status, report.health, report.started_at, str(report.restarts))


class TokenWatcher:
    """How long the published tokens have been the same, on the leader's own clock. A new leader counts from zero."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._seen: tuple[str, float] | None = None
        """Of the last look: the token of workers, which every rotation changes, and since when it is that."""

    def look(self, tokens: records.Tokens | None) -> float:
        """Seconds since these were first seen; None: there are none, or this host does not lead."""
        if tokens is None:
            self._seen = None
            return 0.0
        if self._seen is None or self._seen[0] != tokens.worker:
            self._seen = (tokens.worker, self._clock())
        return self._clock() - self._seen[1]


_OURS, _FREE, _UNREAD, _AWAY, _BLIND = "lock ours", "lock free", "etcd unread", "dockerd away", "nodes unseen"
"""What may be so for a time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """Who this agent is."""

    host: str
    """Its name in the intent."""
    instance: str
    """This run of it, as its presence names it."""
    boot_id: str = ""
    """This boot of the machine."""
    machine_id: str = ""
    """The machine, as long as nobody copies it."""
    advertise: str | None = None
    """The address of the host for the swarm, where agent.yaml says one."""


class Observer:
    """Looks at everything once per pass. Keeps what etcd said last, for the time that etcd is away."""

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
        """`now` gives seconds since the epoch, `clock` seconds that nobody sets.

        `renewed_s` says how long ago the lease was renewed last.
        """
        self._cluster, self._host, self._store, self._disk = cluster, host, store, disk
        self._identity, self._lease_id, self._now = identity, lease_id, now
        self._clock = clock
        self._blind = False
        """Whether the last look at the host showed nothing, or a manager that does not see the swarm's nodes."""
        self.watcher = ReplicaWatcher(clock)
        """What a leader remembers of the replicas."""
        self._token_watcher = TokenWatcher(clock)
        self._condition_timers = ConditionTimers(clock)
        self._lock: Fence | None = None
        """The leader lock, when etcd was last read and it was ours."""
        self._renewed_s = renewed_s
        self.absences = ConditionTimers(clock)
        """And of the hosts that are gone."""
        self._last: ClusterState | None = None
        self._kept: tuple[KeyValue, ...] = ()
        self._seen_at = 0.0
        self._state_fault = ""

    def recall(self) -> None:
        """Begin with what an earlier run kept on disk, for as long as etcd does not answer."""
        try:
            kept = self._disk.load()
            self._last = self._cluster.recall(kept) if kept else None
        except Invalid as error:
            log.warning("what was kept on disk is not used", error=str(error))
            return
        self._kept = kept
        if kept:
            self._seen_at = self._disk.saved_at
            revision = self._last.accepted.revision if self._last and self._last.accepted else 0
            log.info("kept on disk", revision=revision, age_s=round(self._now() - self._seen_at))

    def watched(self) -> tuple[KeyRange, ...]:
        """What a change of could change the next observation."""
        return self._cluster.watched()

    def observe(
        self,
        in_flight: frozenset[str] = frozenset(),
        failures: Mapping[str, str] | None = None,
        *,
        settled: bool = False,
    ) -> Observed:
        """One snapshot; `in_flight` are the resources that steps are working on, `failures` why their last try failed.

        `settled`: nothing has told of a change since the last one, in the engine or in etcd, and nothing was done.

        Never raises for an etcd or a dockerd that is away: that is what it says then.
        """
        began = self._clock()
        # The lease is looked at before the lock: a lock found under a lease that ends in between is no fence.
        lease_id = self._lease_id()
        cluster, fence, store_error = self._observe_cluster(lease_id)
        host, engine_error = self._observe_host(cluster, in_flight, settled=settled)
        self._blind = host is None or host.swarm.leaderless
        condition_timers = self._look_at_spells(began, cluster, fence, store_error, engine_error)
        seen = Observed(
            me=self._identity.host,
            host=host,
            engine_error=engine_error,
            engine_away_s=condition_timers.get(_AWAY, 0.0),
            nodes_unseen_s=condition_timers.get(_BLIND, 0.0) if host else 0.0,
            cluster=cluster,
            stale=bool(store_error),
            store_error=store_error,
            source="disk" if store_error or (cluster and cluster.assignment_held) else "etcd",
            seen_at=self._seen_at,
            state_fault=self._state_fault,
            fence=fence,
            lock_unread=self._lock_unread(lease_id) if store_error else None,
            # To the last renewal: an etcd that is away renews nothing.
            unread_s=max(0.0, condition_timers.get(_UNREAD, 0.0) - self._renewed_s()),
            led_s=condition_timers.get(_OURS, 0.0),
            unled_s=condition_timers.get(_FREE, 0.0),
            lease=lease_id is not None,
            in_flight=in_flight,
            failures=failures or {},
            instance=self._identity.instance,
            boot_id=self._identity.boot_id,
            machine_id=self._identity.machine_id,
            advertise=self._identity.advertise,
            watches=self.watcher.look(cluster if fence else None),
            tokens_age_s=self._token_watcher.look(cluster.tokens if fence and cluster else None),
        )
        return replace(seen, lost_s=self.absences.look(nodes.lost_hosts(seen)))

    def _look_at_spells(
        self,
        began: float,
        cluster: ClusterState | None,
        fence: Fence | None,
        store_error: str,
        engine_error: str,
    ) -> Mapping[str, float]:
        """For how many seconds what is so now has been so, by name."""
        lasting = {
            _OURS: fence is not None,
            _FREE: cluster is not None and not store_error and cluster.leader is None,
            _UNREAD: bool(store_error),
            _AWAY: bool(engine_error),
            _BLIND: self._blind,
        }
        return self._condition_timers.look(frozenset(name for name, so in lasting.items() if so), began)

    def _observe_cluster(self, lease_id: int | None) -> tuple[ClusterState | None, Fence | None, str]:
        try:
            reading = self._cluster.read(self._store, lease_id, self._host.running_specs, blind=self._blind)
        except (Unreachable, Refused) as error:
            return self._last, None, f"etcd cannot be read: {error}"
        self._last, self._seen_at = reading.state, self._now()
        self._keep(reading.kept)
        self._lock = held_fence(reading.lock, lease_id)
        return reading.state, self._lock, ""

    def abandon_lock(self) -> None:
        """The lock was given back unread. May be called from any thread."""
        self._lock = None

    def _lock_unread(self, lease_id: int | None) -> Fence | None:
        lock = self._lock
        return lock if lock and lock.lease == lease_id else None

    def _keep(self, values: tuple[KeyValue, ...]) -> None:
        if values == self._kept:
            return
        try:
            self._disk.save(values)
        except Refused as error:
            self._state_fault = str(error)
        else:
            self._kept, self._state_fault = values, ""

    def _observe_host(
        self, cluster: ClusterState | None, in_flight: frozenset[str], *, settled: bool
    ) -> tuple[host_state.HostState | None, str]:
        prefix = "container/"
        busy = frozenset(each.removeprefix(prefix) for each in in_flight if each.startswith(prefix))
        try:
            host = self._host.read(cluster, busy, settled=settled)
        except (Unreachable, Refused) as error:
            return None, f"dockerd cannot be read: {error}"
        return host, ""
