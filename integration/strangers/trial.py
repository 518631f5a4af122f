"""Rounds of random documents with strangers: what waits, what runs, what is told; nothing of theirs may be touched."""

import base64
import json
import random
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import suppress
from functools import partial
from typing import Any

import docker.errors

from integration import shown
from integration.cluster import EXAMPLE, NAME, PREFIX, Cluster, counts_for
from integration.lab.errors import LabError
from integration.lab.eventually import eventually
from integration.lab.host import Host
from integration.lab.images import SERVICES, build
from integration.strangers.draft import HOSTS, SERVICE, Deck, Draft, Names, draw, slots
from integration.strangers.kinds import LABEL, Kind
from integration.strangers.planted import Stranger

HELD_S = 90
CONVERGE_S = 120
OUTDATED = "swarmkeeper_replica_image_outdated"
STOPPED = ("created", "exited")
EXAMPLES = frozenset(f"{NAME}-{each}-{slot}" for each in SERVICES for slot in (1, 2, 3))
"""Replicas of the example, which run on beside every stranger."""

Raw = Mapping[str, Any]


class Trial:
    """Rounds on a cluster that is converged by the example; it is again after a `run` without a failure."""

    def __init__(self, cluster: Cluster, seed: int) -> None:
        self._cluster, self._chance = cluster, random.Random(seed)
        self._deck = Deck(self._chance)
        self._left: list[Names] = []
        self.planted: Counter[str] = Counter()
        self.held = 0
        """Replicas that waited for a stranger to go."""

    def run(self, rounds: int) -> None:
        """Carry out so many rounds; in the second half one of the hosts is a worker."""
        for number in range(1, rounds + 1):
            self._round(number, worker=2 * number > rounds)
        self._cluster.wait_converged(self._cluster.put(EXAMPLE), CONVERGE_S)
        for names in self._left:
            self._clear(names)

    def _round(self, number: int, *, worker: bool) -> None:
        image = build(SERVICE, f"r{number}")
        draft = draw(number, self._chance, self._deck, image.manifest().digest, worker=worker)
        self._cluster.lab.push(SERVICE, f"r{number}")
        self._left.append(draft.names)
        print(draft, flush=True)
        one = Round(self._cluster, draft, image.config.digest, self._chance)
        try:
            one.carry_out()
        finally:
            for stranger in one.strangers:
                with suppress(LabError, AssertionError):
                    stranger.remove()
        self.planted.update(one.planted)
        self.held += one.held

    def _clear(self, names: Names) -> None:
        """Remove by hand what no agent ever removes: networks and volumes of earlier documents."""
        for host in self._cluster.lab.hosts:
            host.exec("docker", "network", "rm", names.overlay, names.bridge, check=False)
            host.exec("docker", "volume", "rm", names.volume, f"{names.volume}-b", check=False)


class Round:
    """One document, its strangers, and what comes of them."""

    def __init__(self, cluster: Cluster, draft: Draft, image: str, chance: random.Random) -> None:
        self._cluster, self._draft, self._image, self._chance = cluster, draft, image, chance
        self._revision = 0
        self._volume = draft.names.volume
        self._other_images: dict[str, tuple[str, bool]] = {}
        """Id of the image of others under the tag, and whether the tag came to it late, by host."""
        self.strangers: list[Stranger] = []
        """Those that are there."""
        self.planted: list[str] = []
        self._passes: dict[str, float] = {}
        """How often the agent of a host had looked when the last stranger had come there."""
        self.held = 0

    def carry_out(self) -> None:
        before = {key: value for key, value in self._running().items() if key[1] in EXAMPLES}
        self._plant_early()
        self._revision = self._cluster.put(self._draft.text())
        eventually(self._check, HELD_S, f"{self._draft.names.tag}: only what needs a stranger's place waits")
        self._check_strangers()
        ran = self._running()
        assert _kept(before, ran) == before

        if late := self._plant_late():
            removed = {(each.host.name, each.name) for each in late if each.kind.holds}
            eventually(
                self._check, HELD_S, f"{self._draft.names.tag}: what ran goes on beside later strangers"
            )
            self._check_strangers()
            ran = {key: value for key, value in ran.items() if key not in removed}
            assert _kept(ran, self._running()) == ran

        self._check()
        self._mend()
        self._cluster.wait_converged(self._revision, CONVERGE_S)
        self._check()
        if self._volume == self._draft.names.volume:
            assert _kept(ran, self._running()) == ran

    # -- by hand

    def _plant_early(self) -> None:
        early = [each for each in self._draft.hand if not each.kind.late]
        for card in early:
            self._plant(card.kind, self._cluster.lab[card.host], self._draft.name_of(card))

    def _plant_late(self) -> list[Stranger]:
        """Plant what comes when the replicas run, where one of them does."""
        planted = []
        for card in (each for each in self._draft.hand if each.kind.late):
            place = card.kind.place
            if place == "overlay":
                found = [(card.host, self._draft.names.overlay)]
            else:
                # Of each host whose replica runs: that one's name, or the tag that it has.
                mine = [key for key in self._running() if f"-{self._draft.names.tag}-" in key[1]]
                found = [(host, self._draft.names.image if place == "image" else name) for host, name in mine]
            if found:
                host, name = self._chance.choice(sorted(found))
                planted.append(self._plant(card.kind, self._cluster.lab[host], name))
        return planted

    def _plant(self, kind: Kind, host: Host, name: str) -> Stranger:
        stranger = Stranger(kind=kind, host=host, name=name, subnet=self._draft.names.subnet)
        self.strangers.append(stranger)
        stranger.plant()
        self.planted.append(kind.what)
        self._passes[host.name] = self._cluster.passes(host)
        if kind.place == "image" and not kind.digest:
            self._other_images[host.name] = (stranger.id, kind.late)
        return stranger

    def _mend(self) -> None:
        """Do what the reasons ask for: remove the strangers, or declare another name for a volume with data."""
        used = [each for each in self.strangers if each.kind.place == "volume" and not each.kind.holds]
        for stranger in (each for each in self.strangers if each not in used):
            stranger.remove()
        self.strangers = []
        if any(each.told for each in used):
            self._volume = f"{self._draft.names.volume}-b"
            self._revision = self._cluster.put(self._draft.text(self._volume))

    # -- what has to be true

    def _check(self) -> None:
        """AssertionError unless all runs that needs no stranger's place, and each stranger is told."""
        stored = self._stored()
        assert {f"assignments/{each}" for each in HOSTS} <= stored.keys(), sorted(stored)
        held = 0
        for host in self._cluster.lab.hosts:
            assigned, status = stored[f"assignments/{host.name}"], stored[f"hosts/{host.name}/status"]
            revision = counts_for(host.name, assigned, stored["accepted"])
            assert revision == self._revision, (host.name, revision, self._revision)
            assert not status.get("steps"), (host.name, status["steps"])
            held += self._check_replicas(host, assigned)
        for stranger in self.strangers:
            self._check_told(stranger, stored)
        self.held = max(self.held, held)

    def _check_replicas(self, host: Host, assigned: Raw) -> int:
        """Check the replicas of a host; return the number of those that wait for a stranger."""
        found = {raw["Name"].lstrip("/"): raw for raw in self._inspected(host)}
        ours, held = self._network_ids(host), 0
        for service, _, name in slots(assigned):
            raw = found.get(name)
            holding = list(self._holding(host, service, name))
            if holding:
                held += 1
                theirs = raw if raw and raw["Id"] not in {each.id for each in holding} else None
                assert theirs is None or theirs["State"]["Status"] in STOPPED, (name, str(holding[0]))
                continue
            assert raw is not None, f"{name} is not on {host.name}"
            assert raw["State"]["Status"] == "running", (host.name, name, raw["State"])
            self._check_one(host, service, raw, ours)
        return held

    def _check_one(self, host: Host, service: str, raw: Raw, ours: Mapping[str, str]) -> None:
        """Check what a running replica uses: networks by their ids, the volume, the image."""
        ends = raw["NetworkSettings"]["Networks"].values()
        wanted = {ours[each] for each in self._draft.networks(service)}
        assert {end["NetworkID"] for end in ends} == wanted, (raw["Name"], ends, ours)
        if service not in self._draft.services:
            return
        mounted = {each.get("Name") for each in raw["Mounts"]}
        assert mounted == ({self._volume} if self._draft.uses_volume(service) else set()), raw["Mounts"]
        images = self._images(host)
        assert raw["Image"] in images, (raw["Name"], raw["Image"], images)

    def _images(self, host: Host) -> set[str]:
        """Ids of the images of which a replica on the host may be: that of the tag there when it was created."""
        other, late = self._other_images.get(host.name, (self._image, False))
        return {other} if self.strangers and not late else {other, self._image}

    def _holding(self, host: Host, service: str, name: str) -> Iterator[Stranger]:
        """Yield the strangers for which a replica has to wait."""
        for each in self.strangers:
            if each.kind.holds and (each.host is host or each.kind.everywhere):
                if each.kind.place == "name":
                    if each.name == name:
                        yield each
                elif each.kind.place == "volume":
                    if self._draft.uses_volume(service):
                        yield each
                elif each.name in self._draft.networks(service):
                    yield each

    def _check_told(self, stranger: Stranger, stored: Mapping[str, Raw]) -> None:
        """AssertionError unless the host of the stranger names it with its remedy."""
        kind, host = stranger.kind, stranger.host
        assert self._cluster.passes(host) > self._passes[host.name], f"{host.name} has not looked yet"
        if kind.place == "image" and kind.late:
            metrics = self._cluster.metrics(host)
            outdated = [name for name, value in metrics.items() if name.startswith(OUTDATED) and value]
            # A container of others may have the name of the last replica here by now.
            left = [name for where, name in self._running() if where == host.name]
            told = any(f'"{self._draft.names.tag}-' in name for name in outdated)
            assert told == any(f"-{self._draft.names.tag}-" in name for name in left), (
                str(stranger),
                outdated,
            )
        if not stranger.told or not self._is_needed(stranger, stored):
            return
        teller = stored["leader"]["host"] if kind.everywhere else host.name
        reasons = [each["reason"] for each in stored[f"hosts/{teller}/status"].get("blocked", ())]
        assert any(all(word in reason for word in stranger.told) for reason in reasons), (
            str(stranger),
            stranger.told,
            reasons,
        )

    def _is_needed(self, stranger: Stranger, stored: Mapping[str, Raw]) -> bool:
        """Return True if a replica of its host needs its place, and does not wait for its own name first."""
        if stranger.kind.place == "overlay":
            return True
        host, needs = stranger.host, False
        for service, _, name in slots(stored[f"assignments/{host.name}"]):
            holding = list(self._holding(host, service, name))
            if stranger.kind.place == "name":
                needs |= stranger in holding
            elif not any(each.kind.place == "name" for each in holding):
                of_volume = stranger.kind.place == "volume" and self._draft.uses_volume(service)
                needs |= of_volume or stranger.name in self._draft.networks(service)
        return needs

    def _check_strangers(self) -> None:
        """AssertionError if anything of others was used or touched, or the operator's command leaves one out."""
        for each in self.strangers:
            each.check_untouched()
        stored = self._stored()
        told = [each for each in self.strangers if each.told and self._is_needed(each, stored)]
        eventually(partial(self._check_command, told), HELD_S, "the command names every stranger")

    def _check_command(self, told: list[Stranger]) -> None:
        """AssertionError unless `swarmkeeper status` names each of these, beside all else that it says."""
        data = json.loads(shown.capture(self._cluster.lab.hosts[0], *shown.JSON).output)
        texts = list(_texts(data["problems"]))
        for stranger in told:
            assert any(all(word in text for word in stranger.told) for text in texts), (str(stranger), texts)

    # -- reading

    def _stored(self) -> dict[str, Raw]:
        """The values of the cluster's keys, by name."""
        listed = json.loads(self._cluster.etcdctl("get", "--prefix", PREFIX, "-w", "json"))["kvs"]
        named = {
            base64.b64decode(each["key"]).decode().removeprefix(PREFIX): each["value"] for each in listed
        }
        wanted = {
            key: value
            for key, value in named.items()
            if key.startswith(("assignments/", "hosts/")) or key in ("leader", "accepted")
        }
        return {key: json.loads(base64.b64decode(value)) for key, value in wanted.items()}

    def _network_ids(self, host: Host) -> dict[str, str]:
        """Ids of the networks of this cluster that a host lists, and of the swarm's, by name."""
        managers = [self._cluster.lab.hosts[0]] if self._draft.worker else []
        listed = [each for one in (*managers, host) for each in one.docker.api.networks()]
        mine = (each for each in listed if (each["Labels"] or {}).get(f"{LABEL}cluster") == NAME)
        local = {each["Id"] for each in host.docker.api.networks()}
        return {each["Name"]: each["Id"] for each in mine if each["Scope"] == "swarm" or each["Id"] in local}

    def _inspected(self, host: Host) -> Iterator[Raw]:
        """Yield each container of the host that docker still has when it is asked."""
        api = host.docker.api
        for each in api.containers(all=True):
            with suppress(docker.errors.NotFound):
                yield api.inspect_container(each["Id"])

    def _running(self) -> dict[tuple[str, str], tuple[str, str]]:
        """Id and start of each replica that runs, by host and name."""
        return {
            (host.name, raw["Name"].lstrip("/")): (raw["Id"], raw["State"]["StartedAt"])
            for host in self._cluster.lab.hosts
            for raw in self._inspected(host)
            if raw["State"]["Running"] and raw["Config"]["Labels"].get(f"{LABEL}cluster") == NAME
            if raw["Config"]["Labels"].get(f"{LABEL}slot") and not raw["Name"].startswith("/theirs-of-")
        }


def _kept(of: Mapping[Any, Any], now: Mapping[Any, Any]) -> dict[Any, Any]:
    """Return what `now` has under the keys of `of`."""
    return {key: value for key, value in now.items() if key in of}


def _texts(problems: list[Raw]) -> Iterator[str]:
    for each in problems:
        yield each["condition"]["text"]
        yield from (follows["text"] for follows in each["consequences"])
