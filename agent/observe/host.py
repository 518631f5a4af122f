"""What the engine and the kernel of this host say."""

from dataclasses import replace

from agent.clients.engine import Engine
from agent.clients.kernel import Kernel
from agent.errors import Unreachable
from agent.fields import FillContext
from agent.model.intent import GWBRIDGE
from agent.model.observed import ClusterState, HostState, NodeState, SwarmState
from agent.model.records import Copy


class HostReader:
    """Looks at one engine. Asks only for what the cluster's state gives a reason to ask for."""

    def __init__(self, engine: Engine, kernel: Kernel, me: str) -> None:
        self._engine, self._kernel, self._me = engine, kernel, me
        self.running_specs: frozenset[str] = frozenset()
        """Hashes of the specs that our containers were made from, when last seen."""

    def read(self, cluster: ClusterState | None) -> HostState:
        """One look at the engine and the kernel. Raises Unreachable when dockerd does not answer."""
        info = self._engine.info()
        specs = cluster.specs if cluster else {}
        found = self._engine.containers(specs, self._context(info.swarm.node_id))
        self.running_specs = frozenset(each.copy.spec for each in found.ours)
        return HostState(
            engine_version=info.version,
            live_restore=info.live_restore,
            swarm=self._with_nodes(info.swarm),
            networks=self._engine.networks(),
            containers=found.ours,
            foreign_names=found.foreign_names,
            images=self._engine.images(_images(cluster)),
            volumes=self._engine.volumes() if _names_volumes(cluster) else frozenset(),
            bridge_link=self._kernel.link(GWBRIDGE),
            routes=self._kernel.routes(),
        )

    def _context(self, node_id: str | None) -> "FillFor":
        return FillFor(self._me, node_id or "")

    def _with_nodes(self, swarm: SwarmState) -> SwarmState:
        if swarm.local != "active" or not swarm.is_manager:
            return swarm
        return replace(swarm, nodes=self._nodes())

    def _nodes(self) -> tuple[NodeState, ...] | None:
        # Without a quorum the node list is refused or hangs, while containers and local networks go on working.
        try:
            return self._engine.nodes()
        except Unreachable:
            return None
