"""The values of one snapshot, decoded. One that cannot be read is named and held; it is never guessed at."""

from typing import TypeVar

from agent.errors import Invalid, NewerFormat
from agent.model import records
from agent.model.store import KeyValue, Snapshot
from agent.yamldoc.faultlist import printable

R = TypeVar("R")

LONGEST_PROBLEM = 200
"""Of what is said about a value that cannot be read: it goes into logs and statuses, the value may be of any size."""
UNREADABLE = "?"
"""Who holds the lock, or is there, by a record that cannot be read: somebody, and not us."""


class Values:
    """Decodes the values of one snapshot and notes those that cannot be."""

    def __init__(self, snapshot: Snapshot) -> None:
        self.snapshot = snapshot
        self.garbage: dict[str, str] = {}
        self.newer: set[str] = set()
        """Of those, the keys that a newer agent has written."""

    def one(self, key: str, kind: type[R]) -> R | None:
        found = self.snapshot.get(key)
        return self._decode(found, kind) if found else None

    def hold(self, key: str, problem: str) -> None:
        """Note that the value of `key` cannot be read. Logs and statuses tell both; the key may be anybody's, too."""
        shortened = len(problem) > LONGEST_PROBLEM
        said = printable(problem[:LONGEST_PROBLEM])[:LONGEST_PROBLEM]
        self.garbage[printable(key)] = f"{said}..." if shortened else said

    def present(self, prefix: str) -> dict[str, str]:
        """Host -> the agent that is there; an agent whose presence cannot be read is there all the same."""
        suffix = "/presence"
        present = {
            host: each.instance for host, each in self.of_hosts(prefix, suffix, records.Presence).items()
        }
        unreadable = (key for key in self.garbage if key.startswith(prefix) and key.endswith(suffix))
        return present | {key.removeprefix(prefix).removesuffix(suffix): UNREADABLE for key in unreadable}

    def of_hosts(self, prefix: str, suffix: str, kind: type[R]) -> dict[str, R]:
        """Host name -> what lies at `<prefix><host><suffix>`."""
        decoded = {}
        for each in self.snapshot.under(prefix):
            host = each.key.removeprefix(prefix)
            if host.endswith(suffix) and "/" not in host.removesuffix(suffix):
                value = self._decode(each, kind)
                if value is not None:
                    decoded[host.removesuffix(suffix)] = value
        return decoded

    def _decode(self, found: KeyValue, kind: type[R]) -> R | None:
        try:
            return records.decode(kind, found.value)
        except Invalid as error:
            self.hold(found.key, str(error))
            if isinstance(error, NewerFormat):
                self.newer.add(found.key)
            return None
