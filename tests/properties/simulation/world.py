"""A simulated cluster of three to seven hosts, on each of which something runs that is not ours."""

import copy
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from agent.diff.container import identity
from agent.errors import SwarmkeeperError
from agent.model.intent import PARKING, NetworkIntent
from agent.model.records import Replica
from tests.fakes.containers import Raw
from tests.fakes.swarm import FakeSwarm, Member
from tests.properties.simulation.documents import REGISTRY, Wish, document
from tests.support.simulated_cluster import SimulatedCluster, SimulatedHost

GUEST = "their-database"
"""A container of others on every host, on no overlay."""
THEIR_NETWORK = "their-network"
THEIR_VOLUME = "their-volume"
Foreign = dict[tuple[str, str], Any]


class World(SimulatedCluster):
    """`names` are the hosts'; what is not ours on them is noted in `foreign` and changes only when people change it."""

    def __init__(self, directory: Path, names: Sequence[str]) -> None:
        self.names = tuple(names)
        super().__init__(directory, document(Wish(), self.names), self.names)
        self.lan.registry |= REGISTRY
        self.foreign: Foreign = {}
        """(host, what) -> how it was left by whoever has it."""
        self.stranger = SimulatedHost("stranger", "10.159.62.9", self.lan, directory / "stranger")
        """A host that is none of ours, and may join the swarm by hand."""
        for host in self.hosts.values():
            host.engine.by_hand.create(
                {"Image": "foreign", "HostConfig": {"Memory": 64}},
                {"Id": "sha256:foreign", "Config": {}},
                GUEST,
            )
            host.engine.by_hand.start(GUEST)
            host.engine.volume_names.add(THEIR_VOLUME)
            host.engine.nets.create(
                NetworkIntent(key=THEIR_NETWORK, name=THEIR_NETWORK, driver="bridge", attachable=False)
            )
            self.note_foreign(host.name)

    # ---- what is there

    @property
    def swarms(self) -> list[FakeSwarm]:
        """Every swarm that somebody is in."""
        return list(dict.fromkeys(swarm for swarm, _ in self.lan.members.values()))

    def member(self, name: str) -> Member | None:
        found = self.hosts[name].engine.nets.membership
        return found[1] if found else None

    def foreign_now(self, name: str) -> Foreign:
        """What is not ours on a host, in a form in which it can be compared."""
        engine = self.hosts[name].engine
        found: Foreign = {
            (name, raw["Id"]): left(raw) for raw in engine.by_hand.raws.values() if is_foreign(raw)
        }
        found |= {(name, f"volume {each}"): True for each in engine.volume_names if each == THEIR_VOLUME}
        found |= {
            (name, f"network {each}"): engine.nets.local[each]
            for each in engine.nets.local
            if each == THEIR_NETWORK
        }
        return found

    def stranger_now(self) -> Foreign:
        """The node of the host that is none of ours."""
        found = self.stranger.engine.nets.membership
        if found is None:
            return {}
        swarm, node = found
        said = (node in swarm.members, node.role, node.availability, dict(node.labels))
        return {(self.stranger.name, f"node {node.node_id}"): said}

    def note_foreign(self, name: str) -> None:
        """Somebody has done something on a host: that is how it is left."""
        self.foreign = {key: value for key, value in self.foreign.items() if key[0] != name}
        self.foreign |= copy.deepcopy(self.foreign_now(name))

    def by_hand(self, name: str, deed: Callable[[], object]) -> None:
        """Somebody does something on a host, and is told by docker when it cannot be done."""
        with suppress(SwarmkeeperError):
            deed()
        self.note_foreign(name)


def is_foreign(raw: Raw) -> bool:
    return str(raw["Image"]) == "sha256:foreign"


def left(raw: Raw) -> Raw:
    """Of a container what nobody but its owner may change: parked it may be, and is taken off again."""
    networks = raw["NetworkSettings"]["Networks"]
    kept = {name: each.get("IPAddress") for name, each in networks.items() if name != PARKING}
    state = {key: raw["State"].get(key) for key in ("Status", "StartedAt")}
    return {"Name": raw["Name"], "HostConfig": raw["HostConfig"], "State": state, "Networks": kept}


def replicas(host: SimulatedHost) -> dict[Replica, Raw]:
    """Our containers by what their labels say they are."""
    found = ((identity(raw["Config"]["Labels"] or {}), raw) for raw in host.replicas().values())
    return {each: raw for each, raw in found if each is not None}
