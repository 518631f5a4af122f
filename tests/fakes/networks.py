"""The networks of a host in memory: its own, and those of the swarm it is in."""

from collections import Counter
from dataclasses import replace
from ipaddress import IPv4Interface, IPv4Network

from agent.errors import Conflict, Refused, Unreachable
from agent.model.host_state import GivenOut, LinkState, NetworkState
from agent.model.intent import GWBRIDGE, NetworkIntent
from agent.model.spec import Pairs
from tests.fakes.containers import FakeContainers, Raw, is_up
from tests.fakes.gateways import FakeGateways
from tests.fakes.swarm import (
    ALREADY,
    LOCKED,
    NO_LEADER,
    NOT_A_MANAGER,
    FakeLan,
    FakeSwarm,
    Host,
    Member,
    network_state,
)

AUTOMATIC_BRIDGE = IPv4Network("172.18.0.0/16")
"""What docker_gwbridge gets when dockerd has to make it itself, or the next one that is free."""
AUTOMATIC_OPTIONS = (
    ("com.docker.network.bridge.enable_icc", "false"),
    ("com.docker.network.bridge.enable_ip_masquerade", "true"),
    ("com.docker.network.bridge.name", GWBRIDGE),
)
NOBODY_LETS_ON = (
    "attaching to network failed, make sure your network options are correct and check manager logs: "
    "context deadline exceeded"
)
OVERLAPS = "Pool overlaps with other one on this address space"


def _predefined(name: str, driver: str, subnet: str = "") -> NetworkState:
    network = IPv4Network(subnet) if subnet else None
    gateway = str(network[1]) if network else None
    return NetworkState(
        id=f"net-{name}", name=name, driver=driver, scope="local", subnet=network, gateway=gateway
    )


_PREDEFINED = {
    each.name: each
    for each in (
        _predefined("bridge", "bridge", "172.17.0.0/16"),
        _predefined("host", "host"),
        _predefined("none", "null"),
    )
}
"""What every engine has, and nobody can remove."""


def _check_options(network: NetworkIntent) -> None:
    """dockerd refuses the values of a bridge's options that it cannot parse, and takes options it does not know."""
    for name, value in network.options:
        kind = name.rpartition(".")[2]
        wrong = (kind == "mtu" and not value.isdecimal()) or (
            kind.startswith(("enable_", "default_"))
            and value.lower() not in ("true", "false", "1", "0", "t", "f")
        )
        if wrong:
            raise Refused(f"failed to parse {name} value: {value}")


class FakeNetworks:
    """The networks of one host, with the endpoints that `containers` have on them."""

    def __init__(self, lan: FakeLan, host: Host, containers: FakeContainers) -> None:
        self.local: dict[str, NetworkState] = {}
        self.kept: dict[str, NetworkState] = {}
        """Overlays that dockerd does not remove from this host when the swarm removes them."""
        self.damaged: dict[str, LinkState | None] = {}
        """Network id -> its device as somebody left it, in place of the one dockerd made."""
        self.gateways = FakeGateways(
            self._by_id, self._bridge, lambda network: self.link(network) is not None
        )
        self._lan, self._host, self._containers = lan, host, containers

    # ---- the swarm

    @property
    def membership(self) -> tuple[FakeSwarm, Member] | None:
        return self._lan.members.get(self._host.address)

    def managed(self) -> FakeSwarm:
        """The swarm this host manages. Refused when it does not, Unreachable without a quorum."""
        if self.membership and self.membership[1].locked:
            raise Refused(LOCKED)
        if self.membership is None or not (self.membership[1].in_raft or self.membership[1].cut_out):
            raise Refused(NOT_A_MANAGER)
        if self.membership[1].cut_out:
            raise Unreachable(NO_LEADER)
        self.membership[0].check_quorum(self._host.address)
        return self.membership[0]

    def check_outside(self) -> None:
        if self.membership is not None:
            raise Conflict(ALREADY)

    def become(self, swarm: FakeSwarm, member: Member) -> None:
        """A member needs docker_gwbridge: dockerd makes it in its own way when there is none."""
        self._lan.members[self._host.address] = (swarm, member)
        self.gateways.enter_swarm()

    def leave(self) -> None:
        """`docker swarm leave --force`; docker_gwbridge stays, and among the nodes one that is down."""
        _, member = self._lan.members.pop(self._host.address)
        member.gone = True
        self.gateways.leave_swarm()

    def restart(self) -> None:
        """dockerd is restarted, while the containers ran on: it makes every gateway again, and its own `bridge`."""
        anew = self._lan.new_id("net")
        self.local["bridge"] = NetworkState(
            id=anew, name="bridge", driver="bridge", scope="local", subnet=None, gateway=None
        )
        self.gateways.forget()
        if self.membership:
            self.membership[1].joined_through = ""
            self.gateways.enter_swarm()
        self.kept.clear()
        for raw in self._containers.raws.values():
            self.plug(raw)

    # ---- the networks

    def listed(self) -> tuple[NetworkState, ...]:
        """What this host lists: a worker has an overlay only while a container of its own is on it."""
        here = tuple(({**_PREDEFINED, **self.local}).values())
        if self.membership is None or self.membership[1].locked:
            return here
        swarm, member = self.membership
        overlays = swarm.networks.values()
        if member.in_raft:
            # What only this host has cannot be of the swarm, which a manager lists in full.
            here = tuple(each if each.ours else replace(each, scope="local") for each in here)
        seen = (each for each in overlays if member.in_raft or self._containers.on(each.name, each.id))
        gone = (each for each in self.kept.values() if swarm.networks.get(each.name) != each)
        kept = (replace(each, left_behind=member.in_raft) for each in gone)
        return (*here, *seen, *kept)

    def keep(self, name: str) -> NetworkState:
        """As a dockerd that has not removed an overlay which the swarm then removes: this host alone still has it."""
        found = self.kept[name] = self._overlays()[name]
        return found

    def remove_kept(self, network_id: str) -> None:
        for name, each in list(self.kept.items()):
            if each.id == network_id:
                if self._containers.on(name, network_id):
                    raise Conflict(f"network {network_id} is in use")
                del self.kept[name]

    def known(self, name: str) -> NetworkState | None:
        """A network a container of this host can be attached to."""
        return self.local.get(name) or self._overlays().get(name) or _PREDEFINED.get(name)

    def _overlays(self) -> dict[str, NetworkState]:
        """Those of its swarm; a node that the swarm removed gets none, although its engine calls itself active."""
        if self.membership is None or self.membership[1] not in self.membership[0].members:
            return {}
        if self.membership[1].locked:
            return {}
        return self.membership[0].networks

    def attachable(self, name: str) -> bool:
        """Whether a container can step onto it now. Unreachable for an overlay while no manager can let it on."""
        if (kept := self.kept.get(name)) and kept != self._overlays().get(name):
            raise Unreachable(f"could not find network {name} after successful attachment")
        if name in self._overlays() and name not in self.local:
            assert self.membership is not None
            try:
                self.membership[0].check_quorum(self._host.address)
            except Unreachable as error:
                raise Unreachable(NOBODY_LETS_ON) from error
        return self.known(name) is not None

    def create(self, network: NetworkIntent) -> None:
        swarms = network.driver == "overlay"
        named = [each for each in self.listed() if each.name == network.name and not each.left_behind]
        # An overlay may have the name of a local network, but not the other way round (docs/engine-quirks.md).
        named = [each for each in named if not swarms or each.scope == "swarm"]
        for there in named:
            same = (network.driver, network.subnet or there.subnet) == (there.driver, there.subnet)
            taken = swarms or network.name == GWBRIDGE or there.ours
            if same and taken and set(network.options) <= set(there.options):
                return
            raise Conflict(f"network with name {network.name} already exists")
        if network.driver == "overlay":
            self.managed().add_network(network)
            return
        _check_options(network)
        subnet = network.subnet or self._free_subnet()
        if any(subnet.overlaps(each.subnet) for each in self.listed() if each.subnet):
            raise Refused(OVERLAPS)
        gateway = str(network.gateway or subnet[1])
        ours = network.name != GWBRIDGE
        self.local[network.name] = network_state(self._lan, network, subnet, gateway, ours=ours)

    def remove(self, network_id: str) -> None:
        for each in list(self.local.values()):
            if network_id in (each.id, each.name):
                if self.endpoints(network_id):
                    raise Conflict(
                        f"error while removing network: network {each.name} id {each.id} has active endpoints"
                    )
                del self.local[each.name]
        overlays = self.membership[0].networks if self.membership else {}
        for each in list(overlays.values()):
            if each.id == network_id:
                self.managed().remove_network(each.name)

    def peers(self, network_id: str) -> tuple[str, ...]:
        """Addresses of the members with a container on an overlay; none when this host has none there."""
        if self.membership is None:
            return ()
        swarm = self.membership[0]
        name = next((each.name for each in swarm.networks.values() if each.id == network_id), "")
        if not self._containers.on(name, network_id):
            return ()
        nodes = {node for _, node in swarm.users(name)}
        return tuple(sorted(each.host.address for each in swarm.members if each.node_id in nodes))

    def duplicates(self, network_id: str) -> tuple[str, ...]:
        """The addresses that two containers of the swarm have."""
        assert self.membership is not None
        swarm = self.membership[0]
        (name,) = (each.name for each in swarm.networks.values() if each.id == network_id)
        count = Counter(address for address, _, _ in swarm.given_out(name))
        return tuple(sorted(each for each, many in count.items() if many > 1))

    def users(self, network_id: str) -> tuple[tuple[str, str], ...]:
        swarm = self.managed()
        return next((swarm.users(each.name) for each in swarm.networks.values() if each.id == network_id), ())

    def given_out(self, network_id: str) -> GivenOut:
        """(address, container id, node id) on an overlay, wherever in the swarm."""
        swarm = self.managed()
        name = next((each.name for each in swarm.networks.values() if each.id == network_id), "")
        return swarm.given_out(name)

    def id_of(self, name: str, had: str = "") -> str:
        """The id of the network that this host knows by `name`; empty when it knows none.

        An endpoint that had the id of another network of that name keeps it, as long as there is one.
        """
        overlay = self._overlays().get(name)
        known = overlay if overlay and had == overlay.id else self.known(name)
        return known.id if known else ""

    def prune(self) -> None:
        """`docker network prune`: every local network on which nobody is."""
        for name, each in list(self.local.items()):
            if not self.endpoints(each.id):
                del self.local[name]

    def plug(self, raw: Raw) -> None:
        """A container has joined or left a network, or has ended."""
        self.gateways.look(raw["Id"], self._ids_of(raw) if is_up(raw) else ())

    def _ids_of(self, raw: Raw) -> list[str]:
        found = raw["NetworkSettings"]["Networks"].items()
        return [each.get("NetworkID") or self.id_of(name) for name, each in found]

    def _by_id(self, network_id: str) -> NetworkState | None:
        every = (*self.local.values(), *self._overlays().values(), *_PREDEFINED.values())
        return next((each for each in every if each.id == network_id), None)

    def leads_out(self, raw: Raw) -> bool:
        """Whether a container can be reached from outside: by its gateway, or on a bridge of its own."""
        own = any(name == "bridge" or name in self.local for name in raw["NetworkSettings"]["Networks"])
        return is_up(raw) and (own or self.gateways.has(raw["Id"]))

    def release(self, network: str, endpoint: str) -> None:
        """`docker network disconnect --force`, of an endpoint by its name."""
        if (named := self.named(network)) is None:
            return
        self.gateways.release(self.local[named].id, endpoint)
        if endpoint in self._containers.on(named, self.local[named].id):
            self._containers.disconnect(endpoint, named)

    def endpoints(self, network: str) -> Pairs:
        """(whose, name): of the running containers that are on it, and of the gateways that were made there."""
        named = self.named(network)
        if named is None:
            return ()
        on_it = {
            (self._containers.get(each)["Id"], each)
            for each in self._containers.on(named, self.local[named].id)
        }
        return tuple(sorted({*on_it, *self.gateways.of(self.local[named].id)}))

    def link(self, network: NetworkState) -> LinkState | None:
        """The device of a local network, as the kernel has it."""
        if network.id in self.damaged:
            return self.damaged[network.id]
        if network.subnet is None:
            return None
        return LinkState(address=IPv4Interface(f"{network.gateway}/{network.subnet.prefixlen}"), up=True)

    def named(self, network: str) -> str | None:
        """The name of a network of this host, named or by id."""
        return next((each.name for each in self.local.values() if network in (each.id, each.name)), None)

    def free_address(self, name: str) -> str:
        """An address nobody on that network has; empty where it has no subnet."""
        network = self.known(name)
        if network is None or network.subnet is None:
            return ""
        taken = {network.gateway, *self._lan.taken(name)}
        return next(text for text in map(str, network.subnet.hosts()) if text not in taken)

    def relabel(self, name: str, **changes: object) -> None:
        """Change a local network by hand, as removing and making it again would."""
        self.local[name] = replace(self.local[name], **changes)  # type: ignore[arg-type]

    def _bridge(self) -> NetworkState:
        """docker_gwbridge; without one dockerd makes it, in the first range that is free, and says so to nobody."""
        if GWBRIDGE not in self.local:
            made = NetworkIntent(
                key=GWBRIDGE, name=GWBRIDGE, driver="bridge", attachable=False, options=AUTOMATIC_OPTIONS
            )
            subnet = self._free_subnet()
            self.local[GWBRIDGE] = network_state(self._lan, made, subnet, str(subnet[1]))
        return self.local[GWBRIDGE]

    def _free_subnet(self) -> IPv4Network:
        taken = [each.subnet for each in self.listed() if each.subnet]
        pools = IPv4Network("172.16.0.0/12").subnets(new_prefix=AUTOMATIC_BRIDGE.prefixlen)
        return next(each for each in pools if each >= AUTOMATIC_BRIDGE and not any(map(each.overlaps, taken)))
