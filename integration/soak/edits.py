"""The document of a soak, and what its operator edits in it once a minute."""

import random
from dataclasses import dataclass

from integration.cluster import DOCUMENT
from tests.support.document import document

TAGS = ("1.0.0", "1.0.1")
HOSTS = ("node-231", "node-232", "node-233")
API = ("node-232", "node-233")
"""Hosts that publish api; the third one has the lab's registry on that port."""
BRIDGES = ("172.21.0", "172.22.0")


@dataclass(slots=True)
class Document:
    """The example with order and billing on every host and api on two, so that any host may be away."""

    tag: str = TAGS[0]
    edition: int = 0
    bridge: str = BRIDGES[0]

    def text(self) -> str:
        """What is put."""
        return document(
            DOCUMENT.read_text(),
            cluster={"gwbridge": {"subnet": f"{self.bridge}.0/20", "gateway": f"{self.bridge}.1"}},
            services={"billing": {"environment": {"EDITION": str(self.edition)}}},
            tags={"order": self.tag},
            replicas={"order": {"node-231": 2, "node-232": 1, "node-233": 1}, "billing": list(HOSTS)},
        )

    def change(self, chance: random.Random) -> tuple[str, frozenset[str]]:
        """Edit something; returns what, and the services whose replicas are recreated by it."""
        what = chance.choice(("order", "billing", "docker_gwbridge"))
        if what == "order":
            self.tag = other(self.tag, TAGS)
        elif what == "billing":
            self.edition += 1
        else:
            self.bridge = other(self.bridge, BRIDGES)
        return what, frozenset({what} - {"docker_gwbridge"})


def other(one: str, of: tuple[str, str]) -> str:
    return of[1] if one == of[0] else of[0]
