"""The interface of a Docker engine. DockerEngine implements it on dockerd; the tests have an engine in memory.

Every method raises Unreachable when dockerd does not answer or fails temporarily, and Refused, Conflict or Missing,
with Docker's message, when dockerd refuses. A change succeeds if its result exists already, unless stated otherwise.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from ipaddress import IPv4Network
from typing import NamedTuple, Protocol

from agent.diff.container import CreateRequest, FillContext
from agent.model import host_state, intent, records
from agent.model.spec import Attachment, ContainerSpec, Pairs

ObserveCall = Callable[[str, float, str | None], None]
"""Called with (call, seconds, error) after every call to the engine; `call` is one of a small fixed set of names,
`error` the name of the error or None."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineInfo:
    """The engine and its membership in a swarm, without the list of nodes."""

    version: str
    name: str
    live_restore: bool
    swarm: host_state.SwarmState
    no_swarm: str = ""
    """The reason why the engine refuses every swarm; empty: it does not, or does not say."""
    root: str = ""
    """The engine's data directory on its host."""
    runtimes: frozenset[str] = frozenset()
    """Names of the runtimes that the engine was configured with; empty: not known."""


class Containers(NamedTuple):
    """All containers of the engine, running or not; `ours` are the managed ones."""

    ours: tuple[host_state.ContainerState, ...]
    foreign_names: Pairs
    """(name, id) of unmanaged containers, sorted."""
    attached: tuple[host_state.Attached, ...] = ()
    """All containers with their networks, by name."""


class OverlayPeers(NamedTuple):
    """An overlay as this host sees it; empty while none of its containers is there."""

    peers: tuple[str, ...] = ()
    """Addresses of the hosts on the overlay that gossip has reported, this host included, sorted."""
    own_address: str = ""
    """Address of this host's own endpoint on the overlay."""


class EngineEvents(Protocol):
    """The events of the engine, each as a short text such as `container die prod-order-1`."""

    def __iter__(self) -> Iterator[str]: ...

    def __next__(self) -> str:
        """Wait for the next event. Raises StopIteration after `close`, Unreachable when dockerd stops or hangs."""

    def close(self) -> None:
        """End the iteration, even while another thread waits in it."""


class Engine(Protocol):
    """One Docker engine. Its methods may be called from several threads at once."""

    def info(self) -> EngineInfo: ...

    def nodes(self) -> tuple[host_state.NodeState, ...]:
        """Return the swarm's nodes. Refused on a worker, Unreachable without a quorum."""

    def networks(self) -> tuple[host_state.NetworkState, ...]:
        """Return all networks, without their endpoints."""

    def bridge_endpoints(self, network: str) -> Pairs:
        """Return (owner, name) of each endpoint on a network of this host (its name or id); none if it is missing.

        The owner is the id of a container, or `ingress-sbox`.
        """

    def overlay_peers(self, network_id: str) -> OverlayPeers: ...

    def overlay_users(self, network_id: str) -> Pairs:
        """Return (user, node id) of each container (by id) or service (by name) that blocks the removal of an overlay.

        Refused on a worker, Unreachable without a quorum.
        """

    def containers(
        self,
        specs: Mapping[str, ContainerSpec],
        fill_for: Callable[[records.Replica], FillContext],
        in_flight: frozenset[str] = frozenset(),
        assigned: frozenset[records.Replica] = frozenset(),
        *,
        settled: bool = False,
    ) -> Containers:
        """Return all containers. A managed one is compared with the spec whose hash is on its label, if `specs` has it.

        If a container can become an `assigned` replica without a recreate, it is compared and returned as that replica.

        `in_flight` has the names of containers of steps in flight, which are not inspected. `settled` means that no
        event and no step occurred since the last call. A managed container whose entry in Docker's list is unchanged
        is then not inspected again: Docker sends an event for every manual change.
        """

    def images(self, references: Iterable[str]) -> Mapping[str, str]:
        """Return the id of each local image by name: those in `references`, and other tags of their repositories."""

    def image_volumes(self, image_id: str) -> tuple[str, ...]:
        """Return the paths of the volumes that the image declares, sorted; none if the image does not exist."""

    def overlay_addresses(self, network_id: str) -> host_state.GivenOut:
        """Return (address, user, node id) of the addresses that the swarm has allocated on an overlay; managers only.

        The users are those of `overlay_users`. The host's own address on the overlay is not included.
        """

    def volumes(self) -> tuple[host_state.VolumeState, ...]:
        """Return all volumes, sorted by name."""

    def output(self, container: str, lines: int) -> bytes:
        """Return the last lines of stdout and stderr, at most 64 KiB. Refused if the log driver cannot be read."""

    def events(self) -> EngineEvents:
        """Subscribe to events. Raises Unreachable."""

    def init_swarm(
        self, *, advertise: str, pool: tuple[IPv4Network, ...], mask_length: int, data_path_port: int | None
    ) -> None:
        """Create a swarm. Conflict when the engine is in a swarm already."""

    def join_swarm(self, *, advertise: str, remotes: Iterable[str], token: str) -> None:
        """Join through the first of `remotes` (address:port) that answers; the token decides the role.

        Conflict when the engine is in a swarm already. After Unreachable the join may continue: observe again.
        """

    def leave_swarm(self) -> None:
        """Leave the swarm, never by force: Refused on a manager or a locked engine.

        Running containers lose their overlays permanently; stopped containers keep them. Takes up to 20 s while a join
        is in progress.
        """

    def abandon_node(self, node_id: str) -> None:
        """Leave by force as a manager whose swarm has removed node `node_id`. An engine outside stays so.

        Refused if the engine is another node, or has a raft leader: it is then a member of a swarm that works.
        """

    def dissolve_swarm(self, swarm_id: str) -> None:
        """Leave an empty swarm by force; its only node cannot leave in any other way.

        Refused if the engine is in another swarm, if no agent of this cluster created the swarm, or if the swarm has
        another node, a network of its own, a service, a secret or a config. Takes 5 s.
        """

    def has_node(self, node_id: str) -> bool:
        """Return True if the swarm has a node of that id; managers only.

        Unreachable without a quorum: the call first makes a write that needs one. A manager without a quorum lists the
        nodes that it knew before, and could wrongly report a node as missing.
        """

    def swarm_tokens(self) -> records.Tokens:
        """Return the swarm's id and join tokens; managers only."""

    def rotate_tokens(self) -> None:
        """Replace the join tokens; the previous ones become invalid."""

    def set_autolock(self, wanted: bool) -> None:
        """Turn autolock on or off; managers only."""

    def unlock_key(self) -> str:
        """Return the unlock key; empty while autolock is off. Managers only."""

    def unlock_swarm(self, keys: Iterable[str]) -> None:
        """Unlock this engine with the first of `keys` that is accepted; succeeds if the engine is not locked.

        Refused when the engine accepts none. The other managers must answer: this may take as long as a join.
        """

    def update_node(
        self,
        node_id: str,
        *,
        version: int,
        role: intent.Role | None = None,
        availability: intent.Availability | None = None,
        labels: Pairs = (),
        without: tuple[str, ...] = (),
        still: Callable[[], object] = lambda: None,
    ) -> None:
        """Change the given fields of a node's spec: set `labels`, remove the labels `without`, keep all others.

        `version` is the node's version in the plan. Stale when the node has another version now and still differs from
        these fields. `still` is called right before the change; its exception cancels the change. Missing when the node
        does not exist, Refused for the demotion of the last manager. The swarm changes a role a moment later.
        """

    def remove_node(self, node_id: str) -> None:
        """Remove a node from the swarm's list. Refused while the node is a manager, or not down."""

    def create_bridge(self, bridge: intent.BridgeIntent, labels: Pairs = ()) -> None:
        """Create docker_gwbridge; Refused when the created bridge differs from the request."""

    def create_network(self, network: intent.NetworkIntent) -> None:
        """Create a managed network. Refused when the swarm cannot allocate an overlay, which is then removed again."""

    def remove_network(self, network_id: str) -> None:
        """Remove a network. Refused or Conflict while it has users; those of an overlay may be on any node."""

    def park(self, container: str, network: str) -> None:
        """Attach a container to a bridge network; the gateway of a running container moves from docker_gwbridge to it.

        Succeeds if the container does not exist.
        """

    def unpark(self, container: str, network: str) -> None:
        """Detach a container, given by id, from `network`; its gateway returns to docker_gwbridge, which must exist.

        Conflict when the gateway did not return.
        """

    def release_endpoint(self, network: str, endpoint: str) -> None:
        """Remove an endpoint without a container, such as the ingress sandbox, from a network, given by name or id."""

    def remove_leftover(self, network_id: str, name: str, creation: str) -> None:
        """Remove an overlay that only this engine still has, given by its id, name and label `creation`.

        Succeeds if it is missing. Conflict while a container of this host is on it.
        """

    def create_volume(self, volume: intent.VolumeIntent) -> None: ...

    def pull(self, image: str, progress: Callable[[str], None] = ...) -> None:
        """Pull an image. Refused, with the registry's message, when the image is missing or access is denied.

        `progress` is called with a text such as `3 of 9 layers, 12 of 40 MiB`.
        """

    def digest_of(self, image: str) -> str:
        """Return the digest of a reference in the registry: `sha256:...`. Raises as `pull` does."""

    def create_container(self, request: CreateRequest) -> str:
        """Create a replica on all of its networks and return its id. Conflict names the container that has the name."""

    def start(self, container: str) -> None: ...

    def stop(self, container: str, grace_s: float) -> None:
        """Send the stop signal, and SIGKILL after `grace_s` seconds."""

    def unpause(self, container: str) -> None: ...

    def remove_container(self, container: str) -> None:
        """Remove a stopped container and keep all its volumes. Conflict when it runs."""

    def rename(self, container: str, name: str) -> None: ...

    def update(self, container: str, spec: ContainerSpec) -> None:
        """Set limits and restart policy in place. Refused, with Docker's warning, if the kernel cannot apply one."""

    def connect(self, container: str, attachment: Attachment, aliases: tuple[str, ...]) -> None:
        """Connect to a network with the aliases and the attachment's address. Conflict when connected already."""

    def disconnect(self, container: str, network: str) -> None: ...

    def close(self) -> None:
        """Close all connections; no method may be called afterwards."""
