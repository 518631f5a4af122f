"""What the rest of the agent asks of a Docker engine. DockerEngine is the real one; the tests have one in memory.

Every method raises Unreachable when dockerd does not answer (or answers that it cannot now), and Refused, Conflict or
Missing, with Docker's own words, when it says no. Acts tolerate having happened already: that is success.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from ipaddress import IPv4Network
from typing import NamedTuple, Protocol, Self

from agent.diff.container import CreateRequest, FillContext
from agent.model import host_state, intent, records
from agent.model.spec import Attachment, ContainerSpec, Pairs

ObserveCall = Callable[[str, float, str | None], None]
"""(call, seconds, error): told of every call to the engine; `call` is one of a small fixed set of names, `error` the
name of the error or None."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineInfo:
    """The engine and its membership; `swarm` has no nodes."""

    version: str
    name: str
    live_restore: bool
    swarm: host_state.SwarmState
    root: str = ""
    """Where the engine keeps its data, on its own machine."""


class Containers(NamedTuple):
    """Every container of the engine, running or not."""

    ours: tuple[host_state.ContainerState, ...]
    foreign_names: Pairs
    """(name, id) of those that do not carry our labels for this cluster, sorted."""
    attached: tuple[host_state.Attached, ...] = ()
    """Every one with its networks, by name."""


class EngineEvents(Protocol):
    """What happens in the engine, as hints: `container die prod-order-1`."""

    def __iter__(self) -> Iterator[str]: ...

    def __next__(self) -> str:
        """Wait for the next event. StopIteration after `close`; Unreachable when dockerd is gone, or hangs for long."""

    def close(self) -> None:
        """End the iteration, also from another thread and while it waits."""


class Engine(Protocol):
    """One Docker engine. Its methods may be called from several threads at once."""

    def info(self) -> EngineInfo: ...

    def nodes(self) -> tuple[host_state.NodeState, ...]:
        """The swarm's nodes. Only a manager knows them: Refused elsewhere, Unreachable without a quorum."""

    def networks(self) -> tuple[host_state.NetworkState, ...]:
        """Every network, without endpoints."""

    def bridge_endpoints(self, network: str) -> Pairs:
        """(whose, name) of the endpoints on one network of this host, by name or id, sorted; none when it is missing.

        Whose is the id of a container, or `ingress-sbox`.
        """

    def overlay_peers(self, network_id: str) -> tuple[str, ...]:
        """Addresses of the hosts on an overlay that this host has heard of, sorted; none when it is not on it."""

    def overlay_users(self, network_id: str) -> Pairs:
        """(what, node id) of all that keeps the swarm from removing an overlay: containers by id, services by name.

        Only a manager knows them: Refused elsewhere, Unreachable without a quorum.
        """

    def containers(
        self,
        specs: Mapping[str, ContainerSpec],
        fill_for: Callable[[records.Replica], FillContext],
        busy: frozenset[str] = frozenset(),
        assigned: frozenset[records.Replica] = frozenset(),
        *,
        settled: bool = False,
    ) -> Containers:
        """Every container; ours compared with the spec their label names, where `specs` (by hash) has it.

        One that can become what is `assigned` here without being recreated is compared with that, and told as that.

        Those named in `busy` are being worked on and are not asked for more than the list of containers tells.
        `settled`: since the last look no event came and nothing was done. Then a container of ours that is listed as
        before is taken for what it was: docker tells by an event of whatever is changed by hand.
        """

    def images(self, references: Iterable[str]) -> Mapping[str, str]:
        """Ids of those of `references` that are here, and of the other tags of the same repositories."""

    def overlay_addresses(self, network_id: str) -> host_state.GivenOut:
        """(address, what, node id) of the addresses the swarm has given out on an overlay; only a manager can tell.

        `what` as for `overlay_users`. What a host itself has on an overlay is not among them.
        """

    def volumes(self) -> frozenset[str]: ...

    def output(self, container: str, lines: int) -> bytes:
        """The last lines it wrote, to stdout and stderr alike; 64 KiB at most. Refused where its log cannot be read."""

    def events(self) -> EngineEvents:
        """Begin to listen. Raises Unreachable when that is not possible."""

    def init_swarm(
        self, *, advertise: str, pool: tuple[IPv4Network, ...], mask_length: int, data_path_port: int | None
    ) -> None:
        """Make a swarm. Conflict when the engine is in one already."""

    def join_swarm(self, *, advertise: str, remotes: Iterable[str], token: str) -> None:
        """Join through the first of `remotes` (address:port) that answers; the token decides the role.

        Conflict when the engine is in a swarm already. After Unreachable the join may go on by itself: look again.
        """

    def leave_swarm(self) -> None:
        """Leave the swarm the engine is in, never by force: Refused while it is a manager, or locked.

        Containers that run on an overlay lose their networks for good; those that are stopped keep them. May take 20 s
        while a join goes on in the background.
        """

    def dissolve_swarm(self, swarm_id: str) -> None:
        """Leave, by force, a swarm that nobody will miss: docker knows no other way out for its only node.

        Refused for any other than that one, for one that no agent of this cluster made, and for one that has another
        node, a network of its own, a service, a secret or a config. Takes 5 s.
        """

    def has_node(self, node_id: str) -> bool:
        """Whether the swarm has a node of that id. Only a manager knows.

        Asked after a write that a majority agreed on: a manager that is cut off from the others, and lists what it knew
        before, cannot say no. Unreachable when there is no majority.
        """

    def swarm_tokens(self) -> records.Tokens:
        """The swarm's id and join tokens. Only a manager knows them."""

    def rotate_tokens(self) -> None:
        """Make the join tokens given out so far worthless."""

    def set_autolock(self, wanted: bool) -> None:
        """Have managers locked, or not, when their dockerd starts. Only a manager can."""

    def unlock_key(self) -> str:
        """What unlocks a manager of this swarm; empty while autolock is off. Only a manager knows."""

    def unlock_swarm(self, keys: Iterable[str]) -> None:
        """Unlock this engine with the first of `keys` that fits; done already when it is not locked.

        Refused when none fits. The others must answer for this one to come back: it may take as long as a join.
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
        """Change what is asked of a node: only what is given, and of its labels only those named.

        `version` is the node's when this was decided; Stale when it is another one now, and the node not yet as it
        shall be. `still` is called right before the change: what it raises is raised, and nothing is changed. Missing
        when there is no node of that id, Refused when the last manager shall be a worker. A role is taken on a moment
        later, by the swarm itself.
        """

    def remove_node(self, node_id: str) -> None:
        """Take the record of a node away. Refused while it is a manager, or not down."""

    def create_bridge(self, bridge: intent.BridgeIntent) -> None:
        """Make docker_gwbridge; Refused when what came out is not what was asked for."""

    def create_network(self, network: intent.NetworkIntent) -> None:
        """Make a network of ours; Refused, and the network removed again, when an overlay could not be allocated."""

    def remove_network(self, network_id: str) -> None:
        """Remove a network. Refused or Conflict while anybody is on it: for an overlay, anywhere in the swarm."""

    def park(self, container: str, network: str) -> None:
        """Attach a container to a bridge network: if it runs its gateway on docker_gwbridge moves there.

        For one that is gone there is nothing to be done.
        """

    def unpark(self, container: str, network: str) -> None:
        """Take it off again, if it is there: its gateway comes back onto docker_gwbridge, which must be there.

        Conflict when it did not come back. `container` is an id.
        """

    def release_endpoint(self, network: str, endpoint: str) -> None:
        """Take an endpoint that is no container's, like that of the ingress sandbox, off a network, named or by id."""

    def create_volume(self, volume: intent.VolumeIntent) -> None: ...

    def pull(self, image: str, progress: Callable[[str], None] = ...) -> None:
        """Fetch an image. Refused, in the registry's own words, when it is not to be had.

        `progress` is told how far it is, in words, at every step of the way.
        """

    def digest_of(self, image: str) -> str:
        """What the registry has under that reference now: `sha256:...`. Nothing is fetched. Raises as `pull` does."""

    def create_container(self, request: CreateRequest) -> str:
        """Create a replica, connected to all of its networks, and say its id. Conflict says who holds the name."""

    def start(self, container: str) -> None:
        """Start a container, named or by id."""

    def stop(self, container: str, grace_s: float) -> None:
        """Ask it to end, and kill it after `grace_s` seconds."""

    def unpause(self, container: str) -> None: ...

    def remove_container(self, container: str) -> None:
        """Remove a stopped container; its volumes stay. Conflict when it runs."""

    def rename(self, container: str, name: str) -> None: ...

    def update(self, container: str, spec: ContainerSpec) -> None:
        """Put limits and restart policy right in place. Refused, in its words, when the kernel cannot do one."""

    def connect(self, container: str, attachment: Attachment, aliases: tuple[str, ...]) -> None:
        """Attach to a network under `aliases`, with the attachment's address. Conflict when it is attached already."""

    def disconnect(self, container: str, network: str) -> None: ...

    def close(self) -> None:
        """Give back what is held. Nothing may be called afterwards."""

    def __enter__(self) -> Self: ...

    def __exit__(self, *_: object) -> None: ...
