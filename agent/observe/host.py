"""What the engine and the kernel of this host say."""

import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from ipaddress import IPv4Network
from typing import Generic, TypeVar

from agent.clients.docker import Engine, EngineInfo
from agent.clients.docker.swarm import NodeCertificate, node_certificate
from agent.clients.kernel import Kernel
from agent.diff import bridge, replicas
from agent.diff.container import FillContext, by_slot
from agent.diff.networks import asks_for_addresses, is_ours, overlay_faults
from agent.errors import Refused, Unreachable
from agent.model.host_state import ContainerState, GivenOut, HostState, NetworkState, NodeState, SwarmState
from agent.model.intent import GWBRIDGE, NetworkIntent
from agent.model.observed import ClusterState
from agent.model.records import Replica
from agent.model.spec import Pairs
from agent.observe.crashes import CrashReader, CrashSettings

# ---- What only an inspect or the swarm's managers tell of an overlay. Asked seldom: it is not free, and changes seldom

LOOK_S = 10.0
"""How long an answer is believed while nothing depends on it."""

T = TypeVar("T")


class OverlayReader:
    """Adds peers, users and holders of addresses to the overlays of a host. `clock` gives monotonic seconds."""

    def __init__(self, engine: Engine, me: str, clock: Callable[[], float]) -> None:
        self._engine, self._me = engine, me
        self._peers: _Answers[tuple[str, ...]] = _Answers(engine.overlay_peers, clock)
        self._users: _Answers[Pairs] = _Answers(engine.overlay_users, clock)
        self._given_out: _Answers[GivenOut] = _Answers(engine.overlay_addresses, clock)

    def read(
        self,
        networks: tuple[NetworkState, ...],
        containers: tuple[ContainerState, ...],
        cluster: ClusterState | None,
    ) -> tuple[NetworkState, ...]:
        """The declared overlays among `networks`: with peers where our `containers` are, with users on the leader."""
        intent = cluster.accepted if cluster else None
        if cluster is None or intent is None:
            return networks
        wanted = {each.name: each for each in intent.networks if each.driver == "overlay"}
        used = {name for each in containers for name, address in each.addresses if address}
        # While hosts are disturbed one after the other, the next one waits for what is seen now.
        believed_s = 0.0 if cluster.disruption else LOOK_S
        for answers in (self._peers, self._users, self._given_out):
            answers.forget_all_but({each.id for each in networks})
        read = [
            replace(each, peers=self._peers.get(each.id, believed_s) or ())
            if each.name in used & wanted.keys()
            else each
            for each in networks
        ]
        if cluster.leader == self._me:
            asked = asks_for_addresses(intent)
            read = [self._with_users(each, wanted.get(each.name)) for each in read]
            read = [self._with_holders(each) if each.name in asked else each for each in read]
        return tuple(read)

    def _with_users(self, network: NetworkState, wanted: NetworkIntent | None) -> NetworkState:
        if wanted is None or network.driver != "overlay" or not is_ours(wanted, network):
            return network
        believed_s = 0.0 if overlay_faults(wanted, network) else LOOK_S
        return replace(network, users=self._users.get(network.id, believed_s) or ())

    def _with_holders(self, network: NetworkState) -> NetworkState:
        if network.driver != "overlay":
            return network
        return replace(network, address_users=self._given_out.get(network.id, LOOK_S))


class _Answers(Generic[T]):
    """The last answer about each network."""

    def __init__(self, ask: Callable[[str], T], clock: Callable[[], float]) -> None:
        self._ask, self._clock = ask, clock
        self._known: dict[str, tuple[float, T]] = {}

    def get(self, network_id: str, believed_s: float) -> T | None:
        """The answer, at most `believed_s` old; None where dockerd gives none, as without a quorum."""
        now = self._clock()
        if network_id not in self._known or now - self._known[network_id][0] >= believed_s:
            self._known.pop(network_id, None)
            try:
                self._known[network_id] = now, self._ask(network_id)
            except (Unreachable, Refused):
                return None
        return self._known[network_id][1]

    def forget_all_but(self, network_ids: set[str]) -> None:
        for each in self._known.keys() - network_ids:
            del self._known[each]


CRASHES = CrashSettings()

INFO_S = 2.0
"""How long an active membership is believed. Asking again makes dockerd start two programs, for their versions: 12 ms,
more than all else that a pass asks; and what it would tell is seen by the other calls, or by the next pass."""

INSPECT_S = 600.0
"""How often every container of ours is inspected although no event tells of any: in case one was lost."""

SETTLE_S = 0.6
"""After a host came into a swarm its peers learn of it by gossip, in rounds of 0.2 s. One that steps onto an overlay
before they have asks a peer that does not know it, and waits 30 s for the answer (docs/engine-quirks.md)."""

PENDING_S = 2.0
"""dockerd goes on with a join in the background, and tells nobody when that has come to an end."""

DOUBT_S = 1.0
"""A container that ends has lost its gateway 0.1 to 0.5 s before docker says that it has ended; only one that lacks it
for longer is in need of it."""
START_S = 10.0
"""A container that starts has its gateway before docker says that it runs, for a second or two on a busy machine. Taken
from it then, dockerd would keep its published ports for nobody."""


class HostReader:
    """Looks at one engine. Asks only for what the cluster's state gives a reason to ask for."""

    def __init__(
        self,
        engine: Engine,
        kernel: Kernel,
        me: str,
        clock: Callable[[], float] = time.monotonic,
        certificate: Callable[[str], NodeCertificate | None] = node_certificate,
        crashes: CrashSettings = CRASHES,
    ) -> None:
        self._engine, self._kernel, self._me, self._clock = engine, kernel, me, clock
        self._crashes = CrashReader(engine, clock, crashes)
        self._overlays = OverlayReader(engine, me, clock)
        self._certificate = certificate
        self._swarm_ids: dict[str, str] = {}
        """The swarm of the node that this engine is, by node id."""
        self._known: EngineInfo | None = None
        self._known_at = 0.0
        self._forgotten_at = -1.0
        self._active_since: float | None = None
        self._lacking: dict[str, float] = {}
        """Containers without a gateway, and since when they are seen so."""
        self._up: dict[tuple[str, str], float] = {}
        """Containers of ours that run, by id and start, and since when they are seen so."""
        self._resting: dict[str, float] = {}
        """Who has a gateway and does not run, and since when it is seen so."""
        self._inspected_at = clock()
        self._pulled_at: dict[str, float] = {}
        """When each image was last pulled here, in this run of the agent."""
        self.running_specs: frozenset[str] = frozenset()
        """Hashes of the specs that our containers were made from, when last seen."""

    def read(
        self, cluster: ClusterState | None, busy: frozenset[str] = frozenset(), *, settled: bool = False
    ) -> HostState:
        """One look at the engine and the kernel; `busy` are the names of containers that steps are working on.

        `settled`: no event came and no step was done since the last one, so what has not changed need not be asked.
        Raises Unreachable when dockerd does not answer.
        """
        # With a membership order a host may leave its swarm: upon what is so now, not upon what was a moment ago.
        info = self._info(afresh=bool(cluster and cluster.membership_order))
        intent = cluster.accepted if cluster else None
        assignment = cluster.assignment if cluster else None
        assigned = frozenset(assignment.replicas) if assignment else frozenset()
        pinned = {key: each.addresses for key, each in by_slot(assigned).items()}

        def context(replica: Replica) -> FillContext:
            addresses = pinned.get(replica.key, ())
            return replicas.fill_context(intent, self._me, info.swarm, replace(replica, addresses=addresses))

        wanted = _images(cluster)
        images = self._engine.images(wanted)
        found = self._engine.containers(
            cluster.specs if cluster else {}, context, busy, assigned, settled=settled and not self._is_due()
        )
        self.running_specs = frozenset(each.replica.spec for each in found.ours)
        return self._with_doubts(
            HostState(
                engine_version=info.version,
                live_restore=info.live_restore,
                swarm=self._with_secrets(_with_pool(self._with_nodes(info.swarm), cluster), cluster),
                settles_in_s=self._settles_in_s(info.swarm),
                networks=self._overlays.read(
                    self._with_endpoints(self._engine.networks()), found.ours, cluster
                ),
                containers=self._crashes.look(self._with_times(found.ours), cluster.specs if cluster else {}),
                attached=found.attached,
                foreign_names=found.foreign_names,
                images=frozenset(images),
                pulled=self._pulled(wanted),
                image_ids=tuple(sorted((each, images[each]) for each in wanted if each in images)),
                volumes=self._engine.volumes() if intent and intent.volumes else frozenset(),
                bridge_link=self._kernel.link(GWBRIDGE),
                routes=self._kernel.routes(),
                listening=self._listening(info.swarm, found.ours),
                addresses=self._kernel.addresses(),
            )
        )

    def _is_due(self) -> bool:
        """Whether it is time to inspect every container again, although no event asks for it."""
        due = self._clock() - self._inspected_at >= INSPECT_S
        if due:
            self._inspected_at = self._clock()
        return due

    def _listening(self, swarm: SwarmState, ours: tuple[ContainerState, ...]) -> tuple[str, ...] | None:
        failed = any(replicas.IN_USE in each.error or "network" in each.error for each in ours)
        return self._kernel.listening() if failed or swarm.local == "inactive" else None

    def _with_doubts(self, seen: HostState) -> HostState:
        now = self._clock()
        self._lacking = {each.id: self._lacking.get(each.id, now) for each in bridge.without_gateway(seen)}
        self._resting = {each: self._resting.get(each, now) for each in bridge.resting(seen)}
        lacking = {each for each, since in self._lacking.items() if now - since < DOUBT_S}
        starting = {each for each, since in self._resting.items() if now - since < START_S}
        return replace(seen, settling=frozenset(lacking | starting))

    def _with_times(self, ours: tuple[ContainerState, ...]) -> tuple[ContainerState, ...]:
        """How long each has run, on our own clock: docker tells the time of day, which may be set."""
        now = self._clock()
        running = [
            (each.id, each.started_at) for each in ours if each.status == "running" and each.started_at
        ]
        listed = {each.id for each in ours if not each.started_at}  # steps are working on them
        kept = {key: since for key, since in self._up.items() if key[0] in listed}
        self._up = kept | {key: self._up.get(key, now) for key in running}
        return tuple(replace(each, up_s=now - self._up.get((each.id, each.started_at), now)) for each in ours)

    def note_pull(self, image: str) -> None:
        """An image was just pulled. May be called from any thread, before the step is told to have ended."""
        self._pulled_at[image] = self._clock()

    def _pulled(self, wanted: frozenset[str]) -> Mapping[str, float]:
        now = self._clock()
        return {each: now - at for each in wanted if (at := self._pulled_at.get(each)) is not None}

    def forget(self) -> None:
        """Ask again for the membership: a step has changed it. May be called from any thread."""
        self._forgotten_at = self._clock()

    def _info(self, *, afresh: bool) -> EngineInfo:
        fresh = self._known_at > self._forgotten_at and self._clock() - self._known_at < INFO_S
        if afresh or self._known is None or not fresh or self._known.swarm.local != "active":
            self._known_at, info = self._clock(), self._engine.info()
            self._known = replace(info, swarm=self._with_swarm_id(info))
        return self._known

    def _with_swarm_id(self, info: EngineInfo) -> SwarmState:
        """A worker's engine does not say which swarm it is in; its node's certificate does, if it can be read."""
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
        return replace(swarm, nodes=self._nodes())

    def _with_secrets(self, swarm: SwarmState, cluster: ClusterState | None) -> SwarmState:
        if swarm.nodes is None or cluster is None or cluster.leader != self._me:
            return swarm
        if cluster.tokens is not None:
            # Published ones may have been made worthless by hand, or by a leader that then lost the lock.
            with suppress(Unreachable, Refused):
                swarm = replace(swarm, tokens=self._engine.swarm_tokens())
        if swarm.autolock and cluster.accepted and cluster.accepted.swarm.autolock:
            # It may be changed by hand, and nobody is told.
            with suppress(Unreachable, Refused):
                swarm = replace(swarm, unlock_key=self._engine.unlock_key())
        return swarm

    def _nodes(self) -> tuple[NodeState, ...] | None:
        # Without a quorum the node list hangs or fails, and right after a demotion it is refused, while containers
        # and local networks go on working.
        try:
            return self._engine.nodes()
        except (Unreachable, Refused):
            self._known = None
            return None

    def _with_endpoints(self, networks: tuple[NetworkState, ...]) -> tuple[NetworkState, ...]:
        """Who is on docker_gwbridge. Asked after the containers: one that runs by then has its gateway by now."""
        return tuple(
            replace(each, endpoints=self._engine.bridge_endpoints(each.id)) if each.name == GWBRIDGE else each
            for each in networks
        )


def _with_pool(swarm: SwarmState, cluster: ClusterState | None) -> SwarmState:
    """A worker's engine does not say what the swarm was made with; the swarm's record does."""
    record = cluster.record if cluster else None
    if swarm.pool or swarm.local != "active" or record is None:
        return swarm
    try:
        return replace(swarm, pool=tuple(IPv4Network(each) for each in record.pool))
    except ValueError:
        return swarm


def _images(cluster: ClusterState | None) -> frozenset[str]:
    if cluster is None or cluster.assignment is None:
        return frozenset()
    named = {replica.spec for replica in cluster.assignment.replicas}
    return frozenset(spec.image for digest, spec in cluster.specs.items() if digest in named)
