"""The document of a soak, and what its operator edits in it once a minute."""

import random
from dataclasses import dataclass

from integration.cluster import DOCUMENT

TAGS = ("1.0.0", "1.0.1")
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
        text = DOCUMENT.read_text()
        for old, new in (
            ("x-hosts: {node-231: 2, node-232: 1}", "x-hosts: {node-231: 2, node-232: 1, node-233: 1}"),
            (
                "x-hosts: [node-232]\n",
                f"x-hosts: [node-231, node-232, node-233]\n    environment: {{EDITION: '{self.edition}'}}\n",
            ),
            ("order:1.0.0", f"order:{self.tag}"),
            (BRIDGES[0], self.bridge),
        ):
            assert old in text, old
            text = text.replace(old, new)
        return text

    def change(self, chance: random.Random) -> tuple[str, frozenset[str]]:
        """Edit something; returns what, and the services whose copies are made anew by it."""
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
