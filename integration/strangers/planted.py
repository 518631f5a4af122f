"""A stranger on its host: creation by hand, what docker shows of it, the events that it had since, removal by hand."""

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from integration.lab.eventually import eventually
from integration.lab.host import Host
from integration.strangers.kinds import FOLDERS, OTHER, RUN, Kind

SETTLE_S = 30
GONE_S = 60
NETWORKS = ("overlay", "bridge")


@dataclass(slots=True, kw_only=True)
class Stranger:
    """What others have on a host, under the name `name` of the document."""

    kind: Kind
    host: Host
    name: str
    subnet: str = ""
    id: str = ""
    seen: Mapping[str, Any] = field(default_factory=dict)
    """What docker showed of it when it had come."""
    since: float = 0.0

    def __str__(self) -> str:
        return f"{self.kind.what} {self.name} on {self.host.name}"

    @property
    def told(self) -> tuple[str, ...]:
        """What one reason of its host has."""
        return tuple(self._filled(each) for each in self.kind.told)

    @property
    def guest(self) -> str:
        return f"guest-of-{self.name}"

    def plant(self) -> None:
        """Create it. If it is to have the name of a replica that runs, remove that replica first."""
        if self.kind.place == "image":
            self._docker("pull", "--quiet", OTHER)
        if self.kind.create == (*RUN, "COPY"):
            self._docker("commit", self.name, f"copy-of-{self.name}")
            self._docker("run", "--detach", f"--name=theirs-of-{self.name}", f"copy-of-{self.name}")
            self.name = f"theirs-of-{self.name}"
        elif self.kind.late and self.kind.place == "name":
            self._take_name()
        elif self.kind.late and self.kind.place == "overlay":
            # The command asks the engine to refuse a second network of the name; Compose and others do not.
            self.host.docker.api.create_network(self.name, driver="bridge", check_duplicate=False)
        else:
            self.host.exec("mkdir", "--parents", f"{FOLDERS}/{self.name}")
            self._docker(*(self._filled(each) for each in self.kind.create))
        self.id = self._find()
        if self.kind.guest:
            self._docker("run", "--detach", f"--name={self.guest}", f"--network={self.id}", OTHER)
        if self.kind.place == "volume":
            self.host.write(f"{self._content()}/theirs", "theirs\n")
        self.seen, self.since = self.look(), time.time()

    def look(self) -> dict[str, Any]:
        """Return what no agent may change. LookupError if docker has no such object."""
        api, place = self.host.docker.api, self.kind.place
        if place in NETWORKS:
            keys = ("Id", "Name", "Created", "Scope", "Driver", "IPAM", "Options", "Labels", "Internal")
            raw = api.inspect_network(self.id)
            # An overlay's own endpoint on a host is none of a container.
            inside = {key: end for key, end in raw["Containers"].items() if not key.startswith("lb-")}
            found = {**{key: raw[key] for key in keys}, "Containers": inside}
            return {**found, "guest": self._container(self.guest)} if self.kind.guest else found
        if place == "name":
            return self._container(self.id)
        if place == "image":
            raw = self.host.docker.images.get(self.name).attrs
            return {key: raw[key] for key in ("Id", "RepoTags", "Created")}
        # Docker shows the time of the volume's folder as that of its creation: a first mount changes it.
        raw = {**api.inspect_volume(self.name), **({} if self.kind.holds else {"CreatedAt": ""})}
        return {**raw, "theirs": self.host.read(f"{self._content()}/theirs")}

    def events(self) -> list[str]:
        """Return what has happened to it since it came, by docker's own log of events."""
        if self.kind.place == "image" or (self.kind.place == "volume" and not self.kind.holds):
            return []
        kind = {"name": "container", "volume": "volume"}.get(self.kind.place, "network")
        of_guest = self._events("container", self.guest) if self.kind.guest else []
        return [*self._events(kind, self.id), *of_guest]

    def check_untouched(self) -> None:
        """AssertionError if anything of it has changed, or was used."""
        assert self.look() == self.seen, (str(self), self.look(), self.seen)
        events = self.events()
        assert not events, (str(self), events)

    def remove(self) -> None:
        """Remove it by hand. Nothing happens if it is gone; a volume that a replica has stays."""
        if self.kind.guest:
            self._docker("rm", "--force", self.guest, check=False)
        if self.kind.place == "name":
            self._docker("rm", "--force", self.name, check=False)
        elif self.kind.place in NETWORKS and self.id:
            eventually(self._remove_network, GONE_S, f"{self} is removed")
        elif self.kind.place == "image":
            self._docker("rmi", "--no-prune", self.name, check=False)
        elif self.kind.place == "volume":
            self._docker("volume", "rm", self.name, check=False)
        if self.name.startswith("theirs-of-"):
            self._docker("rmi", f"copy-of-{self.name.removeprefix('theirs-of-')}", check=False)

    def _take_name(self) -> None:
        """Give a running container the name of a replica, sooner than its agent creates the replica again."""
        api, aside = self.host.docker.api, f"aside-{self.name}"
        self._docker(*(each.replace("NAME", aside) for each in self.kind.create))

        def take() -> None:
            # Docker's refusals are OSErrors: the agent may have created the replica again, or docker be busy with it.
            api.remove_container(self.name, force=True)
            api.rename(aside, self.name)

        eventually(take, SETTLE_S, f"a stranger is called {self.name}")

    def _find(self) -> str:
        api = self.host.docker.api
        if self.kind.place == "name":
            return str(api.inspect_container(self.name)["Id"])
        if self.kind.place == "image":
            return str(self.host.docker.images.get(self.name).id)
        if self.kind.place == "volume":
            return self.name
        driver = next(
            (each for each in ("overlay", "macvlan") if f"--driver={each}" in self.kind.create), "bridge"
        )

        def allocated() -> str:
            named = [each for each in api.networks(names=[self.name]) if each["Driver"] == driver]
            found = {each["Name"]: each["Id"] for each in named if each["IPAM"]["Config"]}
            return str(found[self.name])

        return eventually(allocated, SETTLE_S, f"{self} has its addresses")

    def _remove_network(self) -> bool:
        self._docker("network", "rm", self.id, check=False)
        return all(each["Id"] != self.id for each in self.host.docker.api.networks())

    def _container(self, name: str) -> dict[str, Any]:
        raw = self.host.docker.api.inspect_container(name)
        networks = {
            network: (end["NetworkID"], end["EndpointID"], end["IPAddress"])
            for network, end in raw["NetworkSettings"]["Networks"].items()
        }
        kept = {key: raw[key] for key in ("Id", "Name", "Created", "RestartCount", "Image")}
        state = {key: raw["State"][key] for key in ("Status", "StartedAt", "Pid")}
        return {**kept, **state, "Labels": raw["Config"]["Labels"], "Networks": networks}

    def _content(self) -> str:
        """The folder with the content of a volume."""
        raw = self.host.docker.api.inspect_volume(self.name)
        return str(raw["Options"]["device"] if raw["Options"] else raw["Mountpoint"])

    def _events(self, kind: str, what: str) -> list[str]:
        between = (f"--since={self.since:.6f}", f"--until={time.time():.6f}")
        shown = ("--filter", f"{kind}={what}", "--format", "{{.Type}} {{.Action}}")
        return self.host.exec("docker", "events", *between, *shown).stdout.splitlines()

    def _filled(self, text: str) -> str:
        short = self.id[:12]
        return text.replace("NAME", self.name).replace("SUBNET", self.subnet).replace("ID", short)

    def _docker(self, *argv: str, check: bool = True) -> None:
        self.host.exec("docker", *argv, check=check, timeout=120)
