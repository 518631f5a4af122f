"""Images: which are here, and fetching those that are not."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any
from urllib.parse import quote

from agent.clients.docker.errors import pull_failure
from agent.clients.docker.protocol import Engine
from agent.clients.docker.transport import Door, quoted
from agent.diff.container import familiar, split
from agent.errors import Invalid, Missing, Refused, SwarmkeeperError, Unreachable
from agent.model.spec import registry_of

# ---- How far a pull is, out of the many small messages that dockerd sends of it

_MIB = 1 << 20
_DONE = ("Pull complete", "Already exists")


class PullProgress:
    """Adds up the messages of one pull: `str` of it says how far it is."""

    def __init__(self) -> None:
        self._layers: dict[str, bool] = {}
        self._loaded: dict[str, tuple[int, int]] = {}
        """Of each layer that is being downloaded: bytes, and of how many."""

    def note(self, part: Mapping[str, Any]) -> bool:
        """Take in one message of the stream of POST /images/create; whether it is about a layer."""
        layer, status = str(part.get("id") or ""), str(part.get("status") or "")
        if not layer or status.startswith("Pulling from"):
            return False
        self._layers[layer] = status in _DONE
        detail = part.get("progressDetail") or {}
        if status == "Downloading" and detail.get("total"):
            self._loaded[layer] = (int(detail.get("current") or 0), int(detail["total"]))
        elif status in ("Download complete", "Extracting", *_DONE) and layer in self._loaded:
            total = self._loaded[layer][1]
            self._loaded[layer] = (total, total)
        return True

    def __str__(self) -> str:
        told = f"{sum(self._layers.values())} of {len(self._layers)} layers"
        loaded, total = (sum(each[part] for each in self._loaded.values()) for part in (0, 1))
        return f"{told}, {loaded / _MIB:.0f} of {total / _MIB:.0f} MiB" if total else told


# ---- Asking the registries of several images, each registry no more often than it answers


def ask_digests(engine: Engine, images: Iterable[str]) -> tuple[Mapping[str, str], SwarmkeeperError | None]:
    """(image -> digest of all that were told, the first thing that went wrong).

    Of a registry that does not answer nothing more is asked.
    """
    found: dict[str, str] = {}
    silent: set[str] = set()
    problem: SwarmkeeperError | None = None
    for image in images:
        if registry_of(image) in silent:
            continue
        try:
            found[image] = engine.digest_of(image)
        except SwarmkeeperError as error:
            problem = problem or type(error)(f"{image}: {error}")
            if isinstance(error, Unreachable):
                silent.add(registry_of(image))
    return found, problem


_STALL_S = 120.0
"""A pull may take an hour; one that shows no progress for so long has died."""
_ASK_S = 30.0
"""dockerd gives a registry that does not answer 15 s, twice."""


class Images(Door):
    """The images of an engine."""

    _credentials: Callable[[str], str | None] = staticmethod(lambda _: None)

    def images(self, references: Iterable[str]) -> Mapping[str, str]:
        wanted = frozenset(references)
        if not wanted:
            return {}
        here: dict[str, str] = {}
        for each in self._ask("images", "GET", "/images/json"):
            names = (each["Id"], *(each.get("RepoTags") or ()), *(each.get("RepoDigests") or ()))
            here |= dict.fromkeys(names, each["Id"])
        repositories = {split(familiar(each))[0] for each in wanted}
        others = {name: found for name, found in here.items() if split(name)[0] in repositories}
        return others | {each: here[_local(each)] for each in wanted if _local(each) in here}

    def pull(self, image: str, progress: Callable[[str], None] = lambda _: None) -> None:
        name, tag = split(image)
        with self._transport.open(
            "pull",
            "POST",
            "/images/create",
            params={"fromImage": name, "tag": tag},
            stall_s=_STALL_S,
            headers=self._authentication(image),
            as_error=pull_failure,
        ) as response:
            layers = PullProgress()
            for part in self._transport.parts(response):
                if error := part.get("error"):
                    raise pull_failure(int((part.get("errorDetail") or {}).get("code") or 500), str(error))
                if layers.note(part):
                    progress(str(layers))

    def digest_of(self, image: str) -> str:
        path, headers = f"/distribution/{quote(image, safe='/:@')}/json", self._authentication(image)
        answer = self._ask(
            "distribution", "GET", path, headers=headers, timeout_s=_ASK_S, as_error=pull_failure
        )
        return str(answer["Descriptor"]["digest"])

    def _authentication(self, image: str) -> Mapping[str, str]:
        try:
            said = self._credentials(image)
        except Invalid as error:
            raise Refused(str(error)) from error
        return {"X-Registry-Auth": said} if said else {}

    def _image(self, image_id: str) -> Mapping[str, Any] | None:
        """GET /images/{id}/json; None when it is gone."""
        try:
            raw: Mapping[str, Any] = self._ask("image_inspect", "GET", f"/images/{quoted(image_id)}/json")
        except Missing:
            return None
        return raw


def _local(reference: str) -> str:
    """As a list of images has it: a tag beside a digest is not kept there."""
    short = familiar(reference)
    name, sign, digest = short.partition("@")
    return f"{split(name)[0]}{sign}{digest}" if sign else short
