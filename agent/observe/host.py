"""Observes the engine and the kernel of this host."""

import time
from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Mapping
from contextlib import suppress
from dataclasses import replace
from ipaddress import IPv4Network
from math import inf
from typing import Generic, TypeVar

from agent.admission import Gate, encode
from agent.clients.disk import ConfigFiles
from agent.clients.docker import Containers, Engine, EngineInfo
from agent.clients.docker.swarm import NodeCertificate, node_certificate
from agent.clients.kernel import Kernel
from agent.diff import bridge, replicas
from agent.diff.container import FillContext, by_slot
from agent.errors import Refused, Unreachable
from agent.model.host_state import Attached, ContainerState, HostState, NetworkState, Remembered, SwarmState
from agent.model.intent import GWBRIDGE, Intent
from agent.model.observed import ClusterState
from agent.model.records import Replica, seconds_of
from agent.model.spec import ContainerSpec
from agent.observe.crashes import CrashReader, CrashSettings
from agent.observe.overlays import OverlayReader
from agent.observe.replica_memory import Assigned, ReplicaMemory

CRASHES = CrashSettings()

INFO_S = 2.0
"""Maximum age in seconds of an active membership. To answer, dockerd starts two programs for their versions. That takes
12 ms, more than all other calls of a pass, and other calls or the next pass show any change."""

INSPECT_S = 600.0
"""Seconds between inspections of every managed container without an event, in case an event was lost."""

SETTLE_S = 0.6
"""Seconds until the peers of a new node know it: gossip takes rounds of 0.2 s. A node that attaches to an overlay
earlier asks a peer that does not know it, and waits 30 s for the answer (docs/engine-quirks.md)."""

PENDING_S = 2.0
"""Seconds between looks at a join, which dockerd continues in the background without an event at its end."""

DOUBT_S = 1.0
"""Seconds without a gateway before a container needs one: an ending container loses it 0.1 to 0.5 s before Docker
reports the end."""
START_S = 10.0
"""Seconds with a gateway before a stopped container must lose it. A starting container has its gateway up to two
seconds before Docker reports it running. If it lost the gateway then, dockerd would keep its published ports
reserved without a container."""


STUCK_S = 10.0
"""Seconds after which a container that docker removes, or reports as dead, is stuck: a removal takes less than one."""


K = TypeVar("K", bound=Hashable)


class Timers(Generic[K]):
    """Measures how long each condition has held, on this agent's clock: hosts need not agree about the time."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._since: dict[K, float] = {}

    def look(self, true: Iterable[K], began: float | None = None) -> Mapping[K, float]:
        """Record the conditions that are true now, and reset all others. Return for how many seconds each has held.

        `began` is the time at which the observation began: a call that hangs can take minutes.
        """
        now = self._clock()
        since = now if began is None else began
        self._since = {each: self._since.get(each, since) for each in true}
        return {each: now - since for each, since in self._since.items()}


class HostReader:
    """Observes one engine. It makes only the calls that the state of the cluster requires."""

    def __init__(
        self,
        engine: Engine,
        kernel: Kernel,
        me: str,
        clock: Callable[[], float] = time.monotonic,
        certificate: Callable[[str], NodeCertificate | None] = node_certificate,
        *,
        crashes: CrashSettings = CRASHES,
        wall: Callable[[], float] = time.time,
        memory: ReplicaMemory | None = None,
        gate: Gate | None = None,
    ) -> None:
        self._gate = gate or Gate()
        self._engine, self._kernel, self._me, self._clock, self._wall = engine, kernel, me, clock, wall
        self._crashes = CrashReader(engine, clock, crashes)
        self._overlays = OverlayReader(engine, me, clock)
        self._certificate = certificate
        self.memory = memory or ReplicaMemory()
        self._swarm_ids: dict[str, str] = {}
        """Swarm id by node id of this engine."""
        self._known: EngineInfo | None = None
        self._known_at = 0.0
        self._forgotten_at = -1.0
        self._active_since: float | None = None
        self._lacking: Timers[tuple[str, str]] = Timers(clock)
        """Containers without a gateway, by id and start: one that keeps exiting loses it at each end."""
        self._up: dict[tuple[str, str], float] = {}
        """Time of the first look at a running managed container, by id and start."""
        self._stopped: Timers[str] = Timers(clock)
        """Stopped containers with a gateway."""
        self._ending: Timers[str] = Timers(clock)
        """Managed containers that are being removed or dead, by id."""
        self._bridges: Timers[str] = Timers(clock)
        self._inspected_at = clock()
        self._pulled_at: dict[str, float] = {}
        """Time of the last pull of an image in this run of the agent."""
        self.files: ConfigFiles | None = None
        """The files of configs here; None: there are none."""
        self.data_root = ""
        """Data directory of dockerd; empty before the first look."""
        self.running_specs: frozenset[str] = frozenset()
        """Hashes of the specs of the managed containers at the last look."""

    def read(self, cluster: ClusterState | None, in_flight: frozenset[str] = frozenset()) -> HostState:
        """Observe the engine and the kernel. `in_flight` are the names of containers with steps in flight.

        Raises Unreachable if dockerd does not answer.
        """
        # A membership order can make the host leave its swarm, which requires the current membership.
        info = self._info(refresh=bool(cluster and cluster.membership_order))
        intent = cluster.accepted if cluster else None
        assignment = cluster.assignment if cluster else None
        assigned = frozenset(assignment.replicas) if assignment else frozenset()
        specs = cluster.specs if cluster else {}
        reserved = {key: each.addresses for key, each in by_slot(assigned).items()}

        def context(replica: Replica) -> FillContext:
            addresses = reserved.get(replica.key, ())
            replica = replica if replica.addresses == addresses else replace(replica, addresses=addresses)
            return replicas.fill_context(intent, self._me, info.swarm, replica)

        named = _assigned_specs(cluster)
        wanted = frozenset(each.image for each in named)
        # Also of the services that run elsewhere, so that a plan does not foresee a pull of what is here.
        images = self._engine.images(wanted.union(e.spec.image for e in (intent.services if intent else ())))
        found = self._engine.containers(specs, context, in_flight, assigned, inspect_all=self._is_due())
        found, stuck, stuck_in_s = self._without_stuck(found)
        ours, ask = self.memory.with_stops(found.ours, self._clock()), self._kernel.has_processes
        found = found._replace(ours=tuple(replicas.with_left_task(each, ask, self._wall()) for each in ours))
        found = self._with_files(found, specs, named)
        self.running_specs = frozenset(each.replica.spec for each in found.ours)
        networks = self._with_endpoints(self._engine.networks())
        bridges = self._bridges.look(each.id for each in networks if each.name == GWBRIDGE)
        uses_volumes = bool(intent and intent.volumes) or self.memory.has_volumes
        every_volume = self._engine.volumes() if uses_volumes else ()
        volumes = frozenset(each.name for each in every_volume)
        replicas_here = by_slot(assigned) if assignment else None
        remembered = self.memory.look(
            found.ours, volumes, Assigned(replicas=replicas_here, specs=specs, fill_for=context)
        )
        return self._with_settling(
            HostState(
                engine_version=info.version,
                live_restore=info.live_restore,
                machine=info.machine,
                no_swarm=info.no_swarm,
                swarm=self._with_secrets(_with_pool(self._with_nodes(info.swarm), cluster), cluster),
                settles_in_s=self._settles_in_s(info.swarm),
                networks=self._overlays.read(networks, found.ours, cluster),
                containers=self._crashes.look(self._with_times(found.ours, intent), specs),
                attached=_with_ids_of_shared_names(found.attached, networks),
                stuck=stuck,
                stuck_in_s=stuck_in_s,
                foreign_names=found.foreign_names,
                images=frozenset(images),
                pulled={
                    each: self._clock() - self._pulled_at[each] for each in wanted if each in self._pulled_at
                },
                image_ids=tuple(sorted((each, images[each]) for each in wanted if each in images)),
                volumes=volumes,
                declared_volumes=tuple(each for each in every_volume if intent and intent.volume(each.name)),
                image_volumes=self._image_volumes(remembered, cluster, images),
                remembered=remembered,
                bridge_link=self._kernel.link(GWBRIDGE),
                bridge_seen_s=min(bridges.values(), default=0.0),
                routes=self._kernel.routes(),
                listening=self._listening(info.swarm, found.ours, cluster),
                runtimes=info.runtimes,
                no_sysctls=frozenset(
                    name for each in named for name, _ in each.sysctls if self._kernel.lacks_sysctl(name)
                ),
                admission=encode(self._gate.policy),
                most_replicas=self._gate.policy.max_replicas,
                not_admitted=self._gate.specs(
                    specs, (*(intent.made_volumes if intent else ()), *every_volume)
                ),
                addresses=self._kernel.addresses(),
            )
        )

    def _with_files(
        self, found: Containers, specs: Mapping[str, ContainerSpec], named: Iterable[ContainerSpec]
    ) -> Containers:
        """Return the containers with the differences of the files that they mount, after removing those left over."""
        if self.files is None:
            return found
        self.files.collect(found.mounted | {mount.content_hash for each in named for mount in each.volumes})
        here = specs.keys() & {each.replica.spec for each in found.ours}
        more = {digest: self.files.differences(specs[digest]) for digest in here}
        every = ((each, more.get(each.replica.spec, ())) for each in found.ours)
        ours = (replace(each, differences=(*each.differences, *those)) for each, those in every)
        return found._replace(ours=tuple(ours))

    def _without_stuck(self, found: Containers) -> tuple[Containers, tuple[ContainerState, ...], float]:
        """Return the containers without the stuck ones, the stuck ones, and the seconds until the next one is stuck."""
        ending = [each for each in found.ours if each.status in ("removing", "dead")]
        left = {each: STUCK_S - held_s for each, held_s in self._ending.look(e.id for e in ending).items()}
        stuck = tuple(each for each in ending if left[each.id] <= 0)
        gone = {each.id for each in stuck}
        rest = found._replace(
            ours=tuple(each for each in found.ours if each.id not in gone),
            attached=tuple(each for each in found.attached if each.id not in gone),
        )
        return rest, stuck, min((each for each in left.values() if each > 0), default=0.0)

    def _image_volumes(
        self, remembered: tuple[Remembered, ...], cluster: ClusterState | None, images: Mapping[str, str]
    ) -> Mapping[str, tuple[str, ...]]:
        """Return what a new container of a replica with remembered volumes gets from its image."""
        if cluster is None or cluster.assignment is None:
            return {}
        keys = {each.key for each in remembered if each.volumes}
        specs = (cluster.specs.get(each.spec) for each in cluster.assignment.replicas if each.key in keys)
        here = {spec.image: images[spec.image] for spec in specs if spec and spec.image in images}
        return {image: self._engine.image_volumes(found) for image, found in here.items()}

    def _is_due(self) -> bool:
        """Return True if it is time to inspect every container without an event."""
        due = self._clock() - self._inspected_at >= INSPECT_S
        if due:
            self._inspected_at = self._clock()
        return due

    def _listening(
        self, swarm: SwarmState, ours: tuple[ContainerState, ...], cluster: ClusterState | None
    ) -> tuple[str, ...] | None:
        failed = any(replicas.IN_USE in each.error or "network" in each.error for each in ours)
        asked = failed or swarm.local == "inactive" or _starts_on_a_port(ours, cluster)
        return self._kernel.listening() if asked else None

    def _with_settling(self, seen: HostState) -> HostState:
        starts = {each.id: each.started_at for each in seen.containers}
        lacking = self._lacking.look((e.id, starts.get(e.id, "")) for e in bridge.without_gateway(seen))
        stopped = self._stopped.look(bridge.resting(seen))
        settling = {each for (each, _), held_s in lacking.items() if held_s < DOUBT_S}
        settling |= {each for each, held_s in stopped.items() if held_s < START_S}
        return replace(seen, settling=frozenset(settling))

    def _with_times(
        self, ours: tuple[ContainerState, ...], intent: Intent | None
    ) -> tuple[ContainerState, ...]:
        """Return the containers with their running times on the monotonic clock; Docker's time of day may be set."""
        now = self._clock()
        running = [
            (each.id, each.started_at) for each in ours if each.status == "running" and each.started_at
        ]
        listed = {each.id for each in ours if not each.started_at}  # they have steps in flight
        kept = {key: since for key, since in self._up.items() if key[0] in listed}
        self._up = kept | {key: self._up.get(key, now) for key in running}
        return tuple(
            self._timed(each, now - self._up.get((each.id, each.started_at), now), intent) for each in ours
        )

    def _timed(self, found: ContainerState, up_s: float, intent: Intent | None) -> ContainerState:
        """Return the container with its times. Docker's start counts too: `steady` outlives this agent's run."""
        service = intent.service(found.replica.service) if intent else None
        if service is None or found.status != "running" or not found.started_at:
            return replace(found, up_s=up_s)
        ran_s = max(up_s, self._wall() - (seconds_of(found.started_at) or inf))
        left_s = service.update.monitor_s - ran_s
        return replace(found, up_s=up_s, steady=left_s <= 0, steady_in_s=max(left_s, 0.0))

    def note_pull(self, image: str) -> None:
        """Record that `image` was just pulled. Any thread may call it, before the step counts as completed."""
        self._pulled_at[image] = self._clock()

    def forget(self) -> None:
        """Discard the membership after a step changed it. Any thread may call it."""
        self._forgotten_at = self._clock()

    def _info(self, *, refresh: bool) -> EngineInfo:
        fresh = self._known_at > self._forgotten_at and self._clock() - self._known_at < INFO_S
        if refresh or self._known is None or not fresh or self._known.swarm.local != "active":
            self._known_at, info = self._clock(), self._engine.info()
            self._known = replace(info, swarm=self._with_swarm_id(info))
            self.data_root = info.root or self.data_root
        return self._known

    def _with_swarm_id(self, info: EngineInfo) -> SwarmState:
        """Return the swarm with its id. A worker's engine omits the id; the node's certificate has it, if readable."""
        swarm = info.swarm
        if swarm.swarm_id or not swarm.node_id:
            return swarm
        if swarm.node_id not in self._swarm_ids:
            found = self._certificate(info.root) if info.root else None
            if found is None or found.node_id != swarm.node_id:
                return swarm
            self._swarm_ids = {found.node_id: found.swarm_id}
        return replace(swarm, swarm_id=self._swarm_ids[swarm.node_id])

    def _settles_in_s(self, swarm: SwarmState) -> float:
        if swarm.local != "active":
            self._active_since = None
            return PENDING_S if swarm.local == "pending" else 0.0
        if self._active_since is None:
            self._active_since = self._clock()
        return max(0.0, self._active_since + SETTLE_S - self._clock())

    def _with_nodes(self, swarm: SwarmState) -> SwarmState:
        if swarm.local != "active" or not swarm.is_manager:
            return swarm
        # Without a quorum the node list hangs or fails, and right after a demotion dockerd refuses it, while
        # containers and local networks continue to work.
        try:
            return replace(swarm, nodes=self._engine.nodes())
        except (Unreachable, Refused):
            self._known = None
            return replace(swarm, nodes=None)

    def _with_secrets(self, swarm: SwarmState, cluster: ClusterState | None) -> SwarmState:
        if swarm.nodes is None or cluster is None or cluster.leader != self._me:
            return swarm
        if cluster.tokens is not None:
            # The published tokens may be invalid: an operator or a previous leader may have rotated them.
            with suppress(Unreachable, Refused):
                swarm = replace(swarm, tokens=self._engine.swarm_tokens())
        if swarm.autolock and cluster.accepted and cluster.accepted.swarm.autolock:
            # An operator may have rotated it, which makes no event.
            with suppress(Unreachable, Refused):
                swarm = replace(swarm, unlock_key=self._engine.unlock_key())
        return swarm

    def _with_endpoints(self, networks: tuple[NetworkState, ...]) -> tuple[NetworkState, ...]:
        """Return docker_gwbridge with its endpoints. Read after the containers, each running one has its gateway."""
        return tuple(
            replace(each, endpoints=self._engine.bridge_endpoints(each.id)) if each.name == GWBRIDGE else each
            for each in networks
        )


def _with_ids_of_shared_names(
    attached: tuple[Attached, ...], networks: tuple[NetworkState, ...]
) -> tuple[Attached, ...]:
    """Return the containers with only those ids of networks that their names do not tell."""
    shared = {name for name, count in Counter(each.name for each in networks).items() if count > 1}
    return tuple(
        replace(each, network_ids=tuple(item for item in each.network_ids if item[0] in shared))
        if each.network_ids
        else each
        for each in attached
    )


def _with_pool(swarm: SwarmState, cluster: ClusterState | None) -> SwarmState:
    """Return the swarm with its address pool. A worker's engine omits the pool; the swarm record has it."""
    record = cluster.record if cluster else None
    if swarm.pool or swarm.local != "active" or record is None:
        return swarm
    try:
        return replace(swarm, pool=tuple(IPv4Network(each) for each in record.pool))
    except ValueError:
        return swarm


def _assigned_specs(cluster: ClusterState | None) -> tuple[ContainerSpec, ...]:
    if cluster is None or cluster.assignment is None:
        return ()
    named = {replica.spec for replica in cluster.assignment.replicas}
    return tuple(spec for digest, spec in cluster.specs.items() if digest in named)


def _starts_on_a_port(ours: tuple[ContainerState, ...], cluster: ClusterState | None) -> bool:
    """Return True if a replica that publishes a port is still to be started with its spec."""
    if cluster is None or cluster.assignment is None:
        return False
    specs_of = cluster.specs
    up = {
        (each.replica.key, each.replica.spec)
        for each in ours
        if each.status in replicas.STOPPABLE or replicas.finished(specs_of.get(each.replica.spec), each)
    }
    waiting = (each for each in cluster.assignment.replicas if (each.key, each.spec) not in up)
    specs = (specs_of.get(each.spec) for each in waiting)
    return any(port.published is not None for spec in specs if spec for port in spec.ports)
