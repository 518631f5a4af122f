"""How far a pull is, out of the many small messages that dockerd sends of it."""

from collections.abc import Mapping
from typing import Any

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
