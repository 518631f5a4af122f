"""The random document of a round: the example and some services, with names that no other round has."""

import random
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from integration.cluster import EXAMPLE, NAME
from integration.lab.registry import ADDRESS
from integration.strangers.kinds import KINDS, Kind, Place
from integration.timings import TIMINGS
from tests.support.document import document

HOSTS = ("node-231", "node-232", "node-233")
WORKER = HOSTS[2]
"""It may be a worker: a manager, which lists every overlay, refuses a later network of that name."""
EXAMPLES_NETWORK = "my-network-overlay"
SERVICE = "order"
"""The image of every service of a round, under a tag of its own."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Card:
    """A kind of stranger, and the host that it is to come to."""

    kind: Kind
    host: str


class Deck:
    """All kinds in random order; when they have come once, they come in another order."""

    def __init__(self, chance: random.Random) -> None:
        self._chance = chance
        self._left: list[Kind] = []

    def hand(self, number: int, *, worker: bool) -> tuple[Card, ...]:
        """Take so many kinds, with hosts, of which none is in the way of another."""
        hand: list[Card] = []
        while len(hand) < number:
            fitting = [each for each in self._left if self._hosts(each, hand, worker=worker)]
            if not fitting:
                self._left += self._chance.sample(KINDS, len(KINDS))
                continue
            kind = fitting[0]
            self._left.remove(kind)
            host = self._chance.choice(self._hosts(kind, hand, worker=worker))
            hand.append(Card(kind=kind, host=host))
        return tuple(hand)

    def _hosts(self, kind: Kind, hand: Iterable[Card], *, worker: bool) -> Sequence[str]:
        """Hosts on which the kind may be planted beside the hand."""
        there = [each for each in hand if each.kind.place == kind.place]
        if there and (
            kind.everywhere or kind.place == "image" or any(each.kind.everywhere for each in there)
        ):
            return ()
        able: Sequence[str] = HOSTS
        if kind.place == "overlay" and kind.late:
            able = (WORKER,) if worker else ()
        elif kind.everywhere:
            able = HOSTS[:2]
        # Two containers on one host would be in the way of each other only under one name.
        taken = () if kind.place == "name" and kind.late else {each.host for each in there}
        return [each for each in able if each not in taken]


@dataclass(frozen=True, slots=True, kw_only=True)
class Names:
    """What a round has names for."""

    tag: str
    subnet: str
    """Of the bridge."""

    @property
    def overlay(self) -> str:
        return f"{self.tag}-overlay"

    @property
    def bridge(self) -> str:
        return f"{self.tag}-bridge"

    @property
    def volume(self) -> str:
        return f"{self.tag}-data"

    @property
    def image(self) -> str:
        return f"{ADDRESS}/somecom/{SERVICE}:{self.tag}"

    @property
    def pinned(self) -> str:
        """The service whose replicas have hosts of their own."""
        return f"{self.tag}-pinned"


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """The services of a round, and what is planted beside them."""

    names: Names
    services: Mapping[str, Mapping[str, Any]]
    hand: tuple[Card, ...]
    worker: bool

    def text(self, volume: str = "") -> str:
        """Return the document; `volume` is another name for the volume."""
        names = self.names
        common = {"restart": "always", "deploy": {"update_config": {"monitor": f"{TIMINGS.monitor_s:g}s"}}}
        return document(
            EXAMPLE,
            roles={WORKER: "worker"} if self.worker else {},
            services={name: _with(common, keys) for name, keys in self.services.items()},
            networks={
                names.overlay: {"name": names.overlay, "driver": "overlay"},
                names.bridge: {
                    "name": names.bridge,
                    "driver": "bridge",
                    "ipam": {"config": [{"subnet": names.subnet}]},
                },
            },
            volumes={names.volume: {"name": volume or names.volume}},
        )

    def networks(self, service: str) -> Sequence[str]:
        return self.services[service]["networks"] if service in self.services else (EXAMPLES_NETWORK,)

    def uses_volume(self, service: str) -> bool:
        return "volumes" in self.services.get(service, {})

    def name_of(self, card: Card) -> str:
        """Return the name that an early stranger takes."""
        names = self.names
        if card.kind.place == "name":
            slot = list(self.services[names.pinned]["x-hosts"]).index(card.host) + 1
            return f"{NAME}-{names.pinned}-{slot}"
        places = {
            "overlay": names.overlay, "bridge": names.bridge, "volume": names.volume, "image": names.image
        }  # fmt: skip
        return places[card.kind.place]

    def __str__(self) -> str:
        planted = ", ".join(f"{each.kind.what} on {each.host}" for each in self.hand)
        return f"{self.names.tag}: {planted}; {_placed(self.services)}"


def draw(number: int, chance: random.Random, deck: Deck, digest: str, *, worker: bool) -> Draft:
    """Draw the document of a round and what is planted; `digest` is that of the image under the round's tag."""
    names = Names(tag=f"r{number}", subnet=f"10.77.{number}.0/24")
    hand = deck.hand(chance.choice((3, 4, 5)), worker=worker)
    image = names.image + (f"@{digest}" if any(each.kind.digest for each in hand) else "")
    # The service that is everywhere needs every place that a stranger takes: each card then means something.
    places = {each.kind.place for each in hand}
    services = {f"{names.tag}-everywhere": _everywhere(chance, names, places)}
    takes_names = [each.host for each in hand if each.kind.place == "name" and not each.kind.late]
    if takes_names or chance.random() < 0.5:
        hosts = takes_names or chance.sample(HOSTS, chance.choice((1, 2)))
        services[names.pinned] = {"x-hosts": dict.fromkeys(hosts, 1), **_needs(chance, names)}
    if chance.random() < 0.6:
        replicas = {"deploy": {"replicas": chance.choice((1, 2, 3, 4))}}
        services[f"{names.tag}-anywhere"] = {**replicas, **_needs(chance, names)}
    return Draft(
        names=names,
        services={name: {"image": image, **keys} for name, keys in services.items()},
        hand=hand,
        worker=worker,
    )


def _everywhere(chance: random.Random, names: Names, places: set[Place]) -> dict[str, Any]:
    networks = [
        each for each, place in ((names.overlay, "overlay"), (names.bridge, "bridge")) if place in places
    ]
    placed: dict[str, Any] = {"deploy": {"mode": "global"}}
    if chance.random() < 0.5:
        placed = {"x-hosts": dict.fromkeys(HOSTS, 1)}
    needs = {**_needs(chance, names), **({"networks": networks} if networks else {})}
    return {**placed, **needs, **({"volumes": [f"{names.volume}:/data"]} if "volume" in places else {})}


def _needs(chance: random.Random, names: Names) -> dict[str, Any]:
    networks = chance.choice(
        ([names.overlay], [names.overlay, EXAMPLES_NETWORK], [EXAMPLES_NETWORK], [names.bridge])
    )
    volumes = {"volumes": [f"{names.volume}:/data"]} if chance.random() < 0.4 else {}
    return {"networks": networks, **volumes}


def _with(common: Mapping[str, Any], keys: Mapping[str, Any]) -> dict[str, Any]:
    return {**common, **keys, "deploy": {**common["deploy"], **keys.get("deploy", {})}}


def _placed(services: Mapping[str, Mapping[str, Any]]) -> str:
    return "; ".join(_line(name, keys) for name, keys in services.items())


def _line(name: str, keys: Mapping[str, Any]) -> str:
    where = keys.get("x-hosts") or keys["deploy"]
    return f"{name} {where} on {keys['networks']}{' with the volume' if 'volumes' in keys else ''}"


def slots(assigned: Mapping[str, Any]) -> Iterator[tuple[str, int, str]]:
    """Yield (service, slot, name of the container) of what a host is assigned."""
    for each in assigned["replicas"]:
        yield each["service"], int(each["slot"]), f"{NAME}-{each['service']}-{each['slot']}"
