"""The document of a trial, and the edits that its operator makes at random, good ones and bad ones."""

import random
from dataclasses import dataclass, field
from typing import Any

from integration.cluster import EXAMPLE
from integration.states.state import IMAGE
from tests.support.document import document

SHELL = ["/bin/busybox", "sh", "-c"]
CHECKED = {"interval": "1s", "timeout": "1s", "retries": 2}
PLACES: tuple[dict[str, int], ...] = (
    {"node-231": 2, "node-232": 1},
    {"node-231": 1, "node-232": 1, "node-233": 1},
    {"node-232": 2},
    {"node-231": 1, "node-232": 2, "node-233": 2},
)
BRIDGES = ("172.21.0", "172.22.0")
EXTRAS: dict[str, dict[str, Any]] = {
    "none": {},
    "well": {"restart": "always"},
    "crash loop": {"restart": "always", "entrypoint": [*SHELL, "sleep 3; exit 1"]},
    "never healthy": {"restart": "always", "healthcheck": {"test": ["CMD", "false"], **CHECKED}},
    "a job that ends well": {"restart": "on-failure", "entrypoint": [*SHELL, "sleep 1; exit 0"]},
    "a job that fails": {"restart": "no", "entrypoint": [*SHELL, "sleep 2; exit 3"]},
    "missing image": {"restart": "always", "image": f"{IMAGE}/order:9.9.9"},
    "port taken": {"restart": "always", "ports": ["80:8080"]},
    "placed anywhere": {"restart": "always", "x-hosts": None, "deploy": {"replicas": 2}},
}
"""What the service `extra` is like; node-231 has the registry on port 80."""


@dataclass(slots=True)
class Draft:
    """The example, edited."""

    tag: str = "1.0.0"
    edition: int = 0
    place: int = 0
    extra: str = "none"
    bridge: str = BRIDGES[0]
    checked: bool = False
    corrected: int = 0
    """Number of times that all rollouts begin anew: a replica that was killed while it was watched pauses its own."""
    edits: list[str] = field(default_factory=list)

    def text(self) -> str:
        """What is put."""
        corrected = {"CORRECTED": str(self.corrected)}
        services: dict[str, Any] = {
            "order": {"environment": corrected},
            "billing": {"environment": {"EDITION": str(self.edition), **corrected}},
            "console": {"environment": corrected},
        }
        if self.checked:
            services["console"]["healthcheck"] = {"test": ["CMD", "true"], **CHECKED}
        if self.extra != "none":
            base = {
                "image": f"{IMAGE}/order:1.0.0",
                "x-hosts": ["node-231"],
                "networks": ["my-network-overlay"],
            }
            keys = {**base, **EXTRAS[self.extra]}
            services["extra"] = {key: value for key, value in keys.items() if value is not None}
        return document(
            EXAMPLE,
            cluster={"gwbridge": {"subnet": f"{self.bridge}.0/20", "gateway": f"{self.bridge}.1"}},
            services=services,
            tags={"order": self.tag},
            replicas={"order": PLACES[self.place]},
        )

    def change(self, chance: random.Random) -> str:
        """Edit something at random; returns what."""
        what = chance.choice(("tag", "edition", "place", "extra", "extra", "extra", "check", "bad tag"))
        if chance.random() < 0.04:
            what = "bridge"
        if what == "tag":
            self.tag = "1.0.1" if self.tag == "1.0.0" else "1.0.0"
        elif what == "bad tag":
            self.tag = chance.choice(("bad", "9.9.9"))
        elif what == "edition":
            self.edition += 1
        elif what == "place":
            self.place = (self.place + chance.randrange(1, len(PLACES))) % len(PLACES)
        elif what == "extra":
            self.extra = chance.choice([each for each in EXTRAS if each != self.extra])
            what = f"extra: {self.extra}"
        elif what == "check":
            self.checked = not self.checked
        else:
            self.bridge = BRIDGES[self.bridge == BRIDGES[0]]
        return what

    def mend(self) -> None:
        """Take back what cannot converge, and begin the rollouts anew."""
        self.corrected += 1
        self.tag = "1.0.0" if self.tag not in ("1.0.0", "1.0.1") else self.tag
        self.extra = "none"
