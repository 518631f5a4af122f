"""Images: which are here, and fetching those that are not."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from agent.clients.engine.door import Door
from agent.clients.engine.errors import pull_failure
from agent.clients.engine.transport import quoted
from agent.errors import Missing
from agent.fields import familiar, split

_STALL_S = 120.0
"""A pull may take an hour; one that shows no progress for so long has died."""


def unheard(_text: str) -> None:
    """The progress callback of nobody."""


class Images(Door):
    """The images of an engine."""

    def images(self, references: Iterable[str]) -> frozenset[str]:
        wanted = frozenset(references)
        if not wanted:
            return frozenset()
        here: set[str] = set()
        for each in self._ask("images", "GET", "/images/json"):
            here |= {each["Id"], *(each.get("RepoTags") or ()), *(each.get("RepoDigests") or ())}
        repositories = {split(familiar(each))[0] for each in wanted}
        others = {each for each in here if split(each)[0] in repositories}
        return frozenset(others | {each for each in wanted if _local(each) in here})

    def pull(self, image: str, progress: Callable[[str], None] = unheard) -> None:
        name, tag = split(image)
        params = {"fromImage": name, "tag": tag}
        with self._transport.open(
            "pull", "POST", "/images/create", params=params, stall_s=_STALL_S, as_error=pull_failure
        ) as response:
            for part in self._transport.parts(response):
                if error := part.get("error"):
                    raise pull_failure(int((part.get("errorDetail") or {}).get("code") or 500), str(error))
                progress(_told(part))

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


def _told(part: Mapping[str, Any]) -> str:
    return " ".join(str(part[each]) for each in ("id", "status", "progress") if part.get(each))
