"""What the engine and the kernel of this host say."""

import time
from collections.abc import Callable
from dataclasses import replace
from ipaddress import IPv4Network

from agent.clients.engine import Engine, EngineInfo
from agent.clients.kernel import Kernel
from agent.errors import Refused, Unreachable
from agent.fields import FillContext
from agent.model.intent import GWBRIDGE
from agent.model.observed import ClusterState, HostState, NetworkState, NodeState, SwarmState
from agent.model.records import Copy
from agent.observe.overlays import OverlayReader
from agent.planner.ports import IN_USE
from agent.planner.wanted import fill_context

INFO_S = 2.0
"""How long an active membership is believed. Asking anew makes dockerd start two programs, for their versions: 12 ms,
more than all else that a pass asks; and what it would tell is seen by the other calls, or by the next pass."""


SETTLE_S = 0.6
"""After a host came into a swarm its peers learn of it by gossip, in rounds of 0.2 s. One that steps onto an overlay
before they have asks a peer that does not know it, and waits 30 s for the answer (docs/engine-quirks.md)."""


class HostReader:
    """Looks at one engine. Asks only for what the cluster's state gives a reason to ask for."""

    def __init__(
        self, engine: Engine, kernel: Kernel, me: str, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._engine, self._kernel, self._me, self._clock = engine, kernel, me, clock
        self._overlays = OverlayReader(engine, me, clock)
        self._known: EngineInfo | None = None
        self._known_at = 0.0
        self._active_since: float | None = None
        self.running_specs: frozenset[str] = frozenset()
        """Hashes of the specs that our containers were made from, when last seen."""

    def read(self, cluster: ClusterState | None, busy: frozenset[str] = frozenset()) -> HostState:
        """One look at the engine and the kernel; `busy` are the names of containers that steps are working on.

        Raises Unreachable when dockerd does not answer.
        """
        info = self._info()
        intent = cluster.accepted if cluster else None

        def context(copy: Copy) -> FillContext:
            return fill_context(intent, self._me, info.swarm.node_id, copy)

        found = self._engine.containers(cluster.specs if cluster else {}, context, busy)
        self.running_specs = frozenset(each.copy.spec for each in found.ours)
        return HostState(
            engine_version=info.version,
            live_restore=info.live_restore,
            swarm=_with_pool(self._with_nodes(info.swarm), cluster),
            settles_in_s=self._settles_in_s(info.swarm),
            networks=self._overlays.read(self._with_endpoints(self._engine.networks()), found.ours, cluster),
            containers=found.ours,
            attached=found.attached,
            foreign_names=found.foreign_names,
            images=self._engine.images(_images(cluster)),
            volumes=self._engine.volumes() if intent and intent.volumes else frozenset(),
            bridge_link=self._kernel.link(GWBRIDGE),
            routes=self._kernel.routes(),
            listening=self._kernel.listening() if any(IN_USE in each.error for each in found.ours) else None,
            addresses=self._kernel.addresses(),
        )

    def _info(self) -> EngineInfo:
        fresh = self._clock() - self._known_at < INFO_S
        if self._known is None or not fresh or self._known.swarm.local != "active":
            self._known_at, self._known = self._clock(), self._engine.info()
        return self._known

    def _settles_in_s(self, swarm: SwarmState) -> float:
        if swarm.local != "active":
            self._active_since = None
            return 0.0
        if self._active_since is None:
            self._active_since = self._clock()
        return max(0.0, self._active_since + SETTLE_S - self._clock())

    def _with_nodes(self, swarm: SwarmState) -> SwarmState:
        if swarm.local != "active" or not swarm.is_manager:
            return swarm
        return replace(swarm, nodes=self._nodes())

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
    named = {copy.spec for copy in cluster.assignment.copies}
    return frozenset(spec.image for digest, spec in cluster.specs.items() if digest in named)
