"""An engine in memory, with the refusals of the real one that matter. It keeps the same contract as DockerEngine."""

import hashlib
from collections.abc import Callable, Iterable, Mapping
from ipaddress import IPv4Network
from typing import Any, Literal

from agent.clients.docker import Containers, DockerEngine, EngineInfo, OverlayPeers
from agent.clients.docker.reading import attached, container_state, locked_state
from agent.diff.container import (
    CLUSTER,
    CreateRequest,
    FillContext,
    by_slot,
    differences,
    endpoint,
    familiar,
    fill,
    identity,
    regarded,
    split,
    update_request,
)
from agent.errors import Conflict, Invalid, Missing, Refused, Unreachable
from agent.model.host_state import ContainerState, GivenOut, NetworkState, NodeState, SwarmState, VolumeState
from agent.model.intent import (
    GWBRIDGE,
    Availability,
    BridgeIntent,
    Machine,
    NetworkIntent,
    Role,
    VolumeIntent,
)
from agent.model.records import Replica, Tokens
from agent.model.spec import Attachment, ContainerSpec, Pairs
from tests.fakes.containers import FakeContainers, Raw, is_up, published
from tests.fakes.networks import FakeNetworks
from tests.fakes.swarm import (
    A_MANAGER,
    ALREADY,
    EXPIRED,
    LOCKED,
    NO_LEADER,
    NOBODY_LETS_IN,
    NOT_A_MANAGER,
    WRONG_KEY,
    FakeLan,
    FakeSwarm,
    NodeUpdate,
)
from tests.fakes.wire import FakeWire, call

SWARM_POOL = IPv4Network("10.0.0.0/8")
FillFor = Callable[[Replica], FillContext]


def unheard(_text: str) -> None:
    """The progress callback of nobody."""


class FakeEngine(FakeWire, DockerEngine):
    """One host's engine.

    What an operator does by hand is done to `by_hand` (containers) and `nets`: it is no call, and makes no event unless
    the test says so with `happens`.
    """

    def __init__(self, name: str, address: str, lan: FakeLan, cluster: str = "test") -> None:
        super().__init__()
        self.name, self.address = name, address
        self.machine = Machine(platform="linux/amd64", cpus=4, memory_bytes=8 << 30)
        self.volume_names: set[str] = set()
        self.made_volumes: dict[str, VolumeState] = {}
        """Those of which more than the name is known, by name."""
        self.image_configs: dict[str, Raw] = {}
        """Reference, as `familiar`, -> GET /images/{id}/json."""
        self.believed: list[bool] = []
        """Of each look at the containers, whether it might take them for what they were."""
        self.by_hand = FakeContainers(
            self._attachable, self._free_address, self._network_id, self._plugged, lan.taken
        )
        self.nets = FakeNetworks(lan, self, self.by_hand)
        self.advertised = address
        """The address of its node, as last said at an init or a join."""
        self.joined_through: str | None = None
        """As SwarmState tells it."""
        self.stuck: SwarmState | None = None
        """What the engine says of its membership after a join that came to nothing, or a leave that took too long."""
        self.leave_takes_long = False
        """The next leave is not answered in time."""
        self.before_node_update: Callable[[], object] = lambda: None
        """Happens when a node is about to be changed, before it is read for that."""
        self.between_read_and_update: Callable[[], object] = lambda: None
        """Happens when it was read for that, and nothing but the change itself is left to do."""
        self._lan, self._cluster = lan, cluster
        lan.address_books.append(self.by_hand.addresses)
        lan.containers_on[address] = self.by_hand.ids_on
        lan.addresses_on[address] = self.by_hand.addresses_by_id

    def load_image(self, reference: str, **config: Any) -> None:
        """Put an image there: `docker load`."""
        self.image_configs[familiar(reference)] = {"Id": f"sha256:{familiar(reference)}", "Config": config}

    def run_foreign(self, name: str, **host_config: Any) -> str:
        """Run a container that is not ours."""
        image = {"Id": "sha256:foreign", "Config": {"Cmd": ["serve"]}}
        made = self.by_hand.create({"Image": "foreign", "HostConfig": host_config}, image, name)
        return str(self.by_hand.start(made["Id"])["Id"])

    # ---- observation

    @call()
    def info(self) -> EngineInfo:
        return EngineInfo(
            version="20.10.24",
            name=self.name,
            live_restore=False,
            swarm=self._swarm_state(),
            root="/nowhere",
            machine=self.machine,
        )

    @call()
    def nodes(self) -> tuple[NodeState, ...]:
        return self.nets.managed().nodes()

    @call()
    def networks(self) -> tuple[NetworkState, ...]:
        return self.nets.listed()

    @call()
    def bridge_endpoints(self, network: str) -> Pairs:
        return self.nets.endpoints(network)

    @call()
    def overlay_peers(self, network_id: str, *, verbose: bool = False) -> OverlayPeers:
        peers = self.nets.peers(network_id)
        duplicates = self.nets.duplicates(network_id) if peers and verbose else ()
        return OverlayPeers(peers, f"{self.address}-on-it" if peers else "", duplicates)

    @call()
    def overlay_users(self, network_id: str) -> Pairs:
        return self.nets.users(network_id)

    @call()
    def overlay_addresses(self, network_id: str) -> GivenOut:
        return self.nets.given_out(network_id)

    @call()
    def containers(
        self,
        specs: Mapping[str, ContainerSpec],
        fill_for: FillFor,
        in_flight: frozenset[str] = frozenset(),
        assigned: frozenset[Replica] = frozenset(),
        *,
        inspect_all: bool = False,
    ) -> Containers:
        self.believed.append(not inspect_all)
        ours, foreign, becomes = [], [], by_slot(assigned)
        for raw in self.by_hand.raws.values():
            replica = self._replica_of(raw)
            if replica is not None:
                replica = regarded(replica, raw["Config"]["Labels"], becomes, specs, fill_for)
            if replica is None:
                foreign.append((raw["Name"][1:], raw["Id"]))
            elif raw["Name"][1:] in in_flight:
                ours.append(locked_state(self._listed(raw), replica))
            else:
                ours.append(self._state_of(raw, replica, specs.get(replica.spec), fill_for))
        everyone = [attached(self._listed(raw)) for raw in self.by_hand.raws.values()]
        return Containers(
            tuple(sorted(ours, key=lambda each: each.name)),
            tuple(sorted(foreign)),
            tuple(sorted(everyone, key=lambda each: each.name)),
        )

    @call()
    def images(self, references: Iterable[str]) -> Mapping[str, str]:
        wanted = frozenset(references)
        repositories = {split(familiar(each))[0] for each in wanted}
        others = {each for each in self.image_configs if split(each)[0] in repositories}
        here = others | {each for each in wanted if familiar(each) in self.image_configs}
        return {each: self.image_configs[familiar(each)]["Id"] for each in here}

    @call()
    def image_volumes(self, image_id: str) -> tuple[str, ...]:
        configs = [each["Config"] for each in self.image_configs.values() if each["Id"] == image_id]
        return tuple(sorted(path for each in configs[:1] for path in each.get("Volumes") or ()))

    @call()
    def volumes(self) -> tuple[VolumeState, ...]:
        bare = (VolumeState(name=each) for each in self.volume_names)
        return tuple(
            self.made_volumes.get(each.name, each) for each in sorted(bare, key=lambda each: each.name)
        )

    @call()
    def output(self, container: str, lines: int) -> bytes:
        return b"\n".join(self.by_hand.get(container).get("Output", b"").splitlines()[-lines:])

    # ---- swarm

    @call("swarm init")
    def init_swarm(
        self, *, advertise: str, pool: tuple[IPv4Network, ...], mask_length: int, data_path_port: int | None
    ) -> None:
        self.nets.check_outside()
        swarm = FakeSwarm(self._lan, pool[0] if pool else SWARM_POOL, self._cluster)
        self.nets.become(swarm, swarm.add(self, "manager"))
        self.joined_through = ""
        self.advertised = advertise

    @call("swarm join")
    def join_swarm(self, *, advertise: str, remotes: Iterable[str], token: str) -> None:
        self.nets.check_outside()
        if self.stuck is not None:
            raise Conflict(ALREADY)
        swarm, through = self._lan.swarm_at(list(remotes), self.address)
        self.nets.become(swarm, swarm.join(self, token, through.rpartition(":")[0]))
        self.joined_through = through
        self.advertised = advertise

    @call("swarm leave")
    def leave_swarm(self) -> None:
        if self.stuck is not None:
            self.stuck = None
        elif self.nets.membership is not None:
            swarm, member = self.nets.membership
            if (member.in_raft or member.cut_out) and not member.expired:
                raise Refused(A_MANAGER)
            self.by_hand.cut_off(swarm.networks)
            self.nets.leave()
            if self.leave_takes_long:
                self.leave_takes_long, self.stuck = False, SwarmState(local="active")
                raise Unreachable("context deadline exceeded")

    @call("swarm leave")
    def abandon_node(self, node_id: str) -> None:
        if self.nets.membership is None:
            return
        swarm, member = self.nets.membership
        if member.node_id != node_id or not member.cut_out:
            raise Refused(f"manager {node_id} has a raft leader again")
        self.by_hand.cut_off(swarm.networks)
        self.nets.leave()

    @call("swarm leave")
    def dissolve_swarm(self, swarm_id: str) -> None:
        swarm = self.nets.managed()
        if (swarm.id, swarm.made_for) != (swarm_id, self._cluster):
            raise Refused(f"swarm {swarm.id} is not the one to dissolve")
        if len(swarm.members) != 1 or swarm.networks:
            raise Refused(f"swarm {swarm_id} is not empty")
        self.nets.leave()

    @call()
    def has_node(self, node_id: str) -> bool:
        return node_id in {each.id for each in self.nets.managed().nodes()}

    @call()
    def swarm_tokens(self) -> Tokens:
        return self.nets.managed().tokens

    @call()
    def rotate_tokens(self) -> None:
        self.nets.managed().rotate()

    @call()
    def set_autolock(self, wanted: bool) -> None:
        self.nets.managed().autolock(wanted)

    @call()
    def unlock_key(self) -> str:
        return self.nets.managed().unlock_key

    @call()
    def unlock_swarm(self, keys: Iterable[str]) -> None:
        if self.nets.membership is None:
            raise Refused(NOT_A_MANAGER)
        swarm, member = self.nets.membership
        if member.locked and member.lock not in tuple(keys):
            raise Refused(WRONG_KEY)
        member.locked, member.lock = False, swarm.unlock_key

    def boot(self) -> None:
        """dockerd is started after it was down: a manager may be locked then."""
        self.answers = True
        if self.nets.membership:
            _, member = self.nets.membership
            member.locked, member.restarted = member.in_raft and bool(member.lock), True

    @call("node update")
    def update_node(
        self,
        node_id: str,
        *,
        version: int,
        role: Role | None = None,
        availability: Availability | None = None,
        labels: Pairs = (),
        without: tuple[str, ...] = (),
        still: Callable[[], object] = lambda: None,
    ) -> None:
        self.before_node_update()
        wanted = NodeUpdate(role, availability, labels, without)
        swarm = self.nets.managed()
        if not swarm.is_so(node_id, wanted):
            swarm.check_version(node_id, version)
            still()
            self.between_read_and_update()
            self.nets.managed().update_node(node_id, version, wanted)

    @call("node remove")
    def remove_node(self, node_id: str) -> None:
        self.nets.managed().remove_node(node_id)

    # ---- networks and volumes

    def create_bridge(self, bridge: BridgeIntent, labels: Pairs = ()) -> None:
        self.create_network(
            NetworkIntent(
                key=GWBRIDGE,
                name=GWBRIDGE,
                driver="bridge",
                attachable=False,
                subnet=bridge.subnet,
                gateway=bridge.gateway,
                options=bridge.options,
                labels=labels,
            )
        )

    @call("network create")
    def create_network(self, network: NetworkIntent) -> None:
        self.nets.create(network)

    @call("network destroy")
    def remove_network(self, network_id: str) -> None:
        self.nets.remove(network_id)

    @call()
    def park(self, container: str, network: str) -> None:
        if self.nets.named(network) is None:
            raise Unreachable(f"network {network} not found")
        raw = self.by_hand.raws.get(container)
        if raw and network not in raw["NetworkSettings"]["Networks"]:
            self.by_hand.connect(container, network, {})

    @call()
    def unpark(self, container: str, network: str) -> None:
        if (raw := self.by_hand.raws.get(container)) is None:
            return
        self.by_hand.disconnect(container, network)
        up = is_up(raw) and raw["NetworkSettings"]["Networks"]
        if up and container not in dict(self.nets.endpoints(GWBRIDGE)):
            raise Conflict(f"the gateway of {container[:12]} did not return to {GWBRIDGE}")

    @call()
    def release_endpoint(self, network: str, endpoint: str) -> None:
        self.nets.release(network, endpoint)

    @call("network destroy")
    def remove_leftover(self, network_id: str, name: str, creation: str) -> None:
        self.nets.remove_kept(network_id)

    @call("volume create")
    def create_volume(self, volume: VolumeIntent) -> None:
        self.volume_names.add(volume.name)
        labels = tuple(sorted((*volume.labels, (CLUSTER, self._cluster))))
        made = VolumeState(name=volume.name, driver=volume.driver, options=volume.options, labels=labels)
        self.made_volumes.setdefault(volume.name, made)

    # ---- images

    @call("image pull")
    def pull(self, image: str, progress: Callable[[str], None] = unheard, platform: str = "") -> None:
        if not self._lan.registry_answers:
            raise Unreachable("dial tcp 10.159.62.231:80: connect: connection refused")
        if image not in self._lan.registry:
            raise Refused(f"manifest for {image} not found: manifest unknown: manifest unknown")
        progress("0 of 1 layers")
        self.load_image(image, Cmd=["serve"])

    @call()
    def digest_of(self, image: str) -> str:
        if not self._lan.registry_answers:
            raise Unreachable("dial tcp 10.159.62.231:80: connect: connection refused")
        if image not in self._lan.registry:
            raise Refused(f"manifest for {image} not found: manifest unknown: manifest unknown")
        return f"sha256:{hashlib.sha256(image.encode()).hexdigest()}"

    # ---- containers

    @call("container create")
    def create_container(self, request: CreateRequest) -> str:
        image = self.image_configs.get(familiar(request.body["Image"]))
        if image is None:
            raise Missing(f"No such image: {request.body['Image']}")
        try:
            raw = self.by_hand.create(request.body, image, request.name)
        except Conflict as conflict:
            return self._taken_over(request, conflict)
        self.volume_names |= {each["Name"] for each in raw["Mounts"]}
        for each in request.more:
            self.by_hand.connect(raw["Id"], each.network, endpoint(each, each.aliases))
        return str(raw["Id"])

    @call("container start")
    def start(self, container: str) -> None:
        self.by_hand.start(container)

    @call("container die")
    def stop(self, container: str, grace_s: float) -> None:
        self.by_hand.end(container, exit_code=143)

    @call("container unpause")
    def unpause(self, container: str) -> None:
        self.by_hand.unpause(container)

    @call("container destroy")
    def remove_container(self, container: str) -> None:
        try:
            self.by_hand.remove(container)
        except Missing:
            return

    @call("container rename")
    def rename(self, container: str, name: str) -> None:
        raw = self.by_hand.get(container)
        overlays = self.nets.membership[0].networks if self.nets.membership else {}
        if is_up(raw) and raw["NetworkSettings"]["Networks"].keys() & overlays.keys():
            raise Refused("could not add service state for endpoint to cluster on rename: already exists")
        self.by_hand.rename(container, name)

    @call("container update")
    def update(self, container: str, spec: ContainerSpec) -> None:
        self.by_hand.update(container, update_request(spec))

    @call("network connect")
    def connect(self, container: str, attachment: Attachment, aliases: tuple[str, ...]) -> None:
        self.by_hand.connect(container, attachment.network, endpoint(attachment, aliases))

    @call("network disconnect")
    def disconnect(self, container: str, network: str) -> None:
        try:
            self.by_hand.disconnect(container, network)
        except Missing:
            return

    # ---- inside

    def _listed(self, raw: Raw) -> Raw:
        """A container as the list of all shows it: its ports only while there is a way to them."""
        reached = published(raw) if self.nets.leads_out(raw) else ()
        ports = [{"PublicPort": int(port), "Type": protocol} for protocol, port in reached]
        return {**raw, "Names": [raw["Name"]], "State": raw["State"]["Status"], "Ports": ports}

    def _attachable(self, network: str) -> bool:
        return self.nets.attachable(network)

    def _free_address(self, network: str) -> str:
        return self.nets.free_address(network)

    def _plugged(self, raw: Raw) -> None:
        self.nets.plug(raw)

    def _network_id(self, network: str, had: str) -> str:
        return self.nets.id_of(network, had)

    def _swarm_state(self) -> SwarmState:
        if self.nets.membership is None:
            return self.stuck or SwarmState(local="inactive")
        swarm, member = self.nets.membership
        if member.locked:
            return SwarmState(local="locked", error=LOCKED)
        if member.expired:
            return SwarmState(local="error", error=EXPIRED)
        swarm.tell(member)
        if member.failed:
            return SwarmState(local="error", error=NOBODY_LETS_IN)
        managers = [each for each in swarm.members if each.in_raft]
        if member.cut_out:
            managers.append(member)
            local: Literal["pending", "active"] = "pending" if member.restarted else "active"
            return SwarmState(
                local=local,
                error=NO_LEADER,
                node_id=member.node_id,
                is_manager=True,
                address=self.advertised,
                managers=tuple(sorted((each.node_id, f"{each.host.address}:2377") for each in managers)),
            )
        return SwarmState(
            local="active",
            node_id=member.node_id,
            swarm_id=swarm.id if member.in_raft else None,
            is_manager=member.in_raft,
            address=self.advertised,
            managers=tuple(sorted((each.node_id, f"{each.host.address}:2377") for each in managers)),
            pool=(swarm.pool,) if member.in_raft else (),
            made_here=member.in_raft and swarm.made_for == self._cluster,
            cluster=swarm.made_for if member.in_raft else "",
            autolock=bool(swarm.unlock_key) if member.in_raft else None,
            joined_through=self.joined_through,
        )

    def _replica_of(self, raw: Raw) -> Replica | None:
        labels = raw["Config"]["Labels"] or {}
        return identity(labels) if labels.get(CLUSTER) == self._cluster else None

    def _state_of(
        self, raw: Raw, replica: Replica, spec: ContainerSpec | None, fill_for: FillFor
    ) -> ContainerState:
        image = next((each for each in self.image_configs.values() if each["Id"] == raw["Image"]), None)
        try:
            found = differences(fill(spec, fill_for(replica)), raw, image) if spec else ()
        except Invalid:
            found = ()
        return container_state(raw, replica, found)

    def _taken_over(self, request: CreateRequest, conflict: Conflict) -> str:
        holder = self.by_hand.get(request.name)
        replica = self._replica_of(holder)
        if replica == request.replica:
            return str(holder["Id"])
        who = f"replica {replica.slot} of {replica.service}" if replica else "an unmanaged container"
        raise Conflict(f"the name {request.name} is used by {who} ({holder['Id'][:12]})") from conflict
