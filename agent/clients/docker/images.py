"""Lists and pulls the images of an engine, and asks registries for digests."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any
from urllib.parse import quote

from agent.clients.docker.errors import pull_failure
from agent.clients.docker.transport import Part
from agent.diff.container import familiar, split
from agent.errors import Invalid, Refused, SwarmkeeperError, Unreachable
from agent.model.spec import registry_of

# ---- The progress of a pull, summed up from the messages of dockerd

_MIB = 1 << 20
_DONE = ("Pull complete", "Already exists")


class PullProgress:
    """Sums up the messages of one pull; `str` returns the progress as text."""

    def __init__(self) -> None:
        self._layers: dict[str, bool] = {}
        self._loaded: dict[str, tuple[int, int]] = {}
        """(bytes downloaded, bytes in total), by layer."""

    def note(self, part: Mapping[str, Any]) -> bool:
        """Add one message of the stream of POST /images/create; return True if it is about a layer."""
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
        layers = f"{sum(self._layers.values())} of {len(self._layers)} layers"
        loaded, total = (sum(each[part] for each in self._loaded.values()) for part in (0, 1))
        return f"{layers}, {loaded / _MIB:.0f} of {total / _MIB:.0f} MiB" if total else layers


_STALL_S = 120.0
"""Seconds without progress after which a pull has failed. With progress it may take an hour."""
_ASK_S = 30.0
"""Timeout of a request for a digest: dockerd waits 15 s for the registry, twice."""


class Images(Part):
    _credentials: Callable[[str], str | None] = staticmethod(lambda _: None)

    def images(self, references: Iterable[str]) -> Mapping[str, str]:
        """Return name -> image id for all local images in the repositories of `references`."""
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

    def pull(self, image: str, progress: Callable[[str], None] = lambda _: None, platform: str = "") -> None:
        """Pull an image. Refused, with the registry's message, when the image is missing or access is denied.

        `progress` is called with a text such as `3 of 9 layers, 12 of 40 MiB`. `platform` is `os/arch[/variant]`;
        empty: that of the engine.
        """
        name, tag = split(image)
        asked = {"platform": platform} if platform else {}
        with self._transport.open(
            "pull",
            "POST",
            "/images/create",
            params={"fromImage": name, "tag": tag, **asked},
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
        """Return the digest of a reference in the registry: `sha256:...`. Raises as `pull` does."""
        path, headers = f"/distribution/{quote(image, safe='/:@')}/json", self._authentication(image)
        answer = self._ask(
            "distribution", "GET", path, headers=headers, timeout_s=_ASK_S, as_error=pull_failure
        )
        return str(answer["Descriptor"]["digest"])

    def _authentication(self, image: str) -> Mapping[str, str]:
        try:
            header = self._credentials(image)
        except Invalid as error:
            raise Refused(str(error)) from error
        return {"X-Registry-Auth": header} if header else {}


# ---- Asking registries for the digests of several images


def ask_digests(engine: Images, images: Iterable[str]) -> tuple[Mapping[str, str], SwarmkeeperError | None]:
    """Return (image -> digest, first error).

    After a registry has failed to answer once, its other images are skipped.
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


def _local(reference: str) -> str:
    """Return the reference as GET /images/json writes it: in short form, and without its tag if it has a digest."""
    short = familiar(reference)
    name, sign, digest = short.partition("@")
    return f"{split(name)[0]}{sign}{digest}" if sign else short
