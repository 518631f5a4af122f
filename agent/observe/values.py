"""The values of one snapshot, decoded. One that cannot be read is named and held; it is never guessed at."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TypeVar

from agent.errors import Invalid, NewerFormat
from agent.model import records, store
from agent.model.records import Tokens, UnlockKeys
from agent.yamldoc.faultlist import printable

R = TypeVar("R")

LONGEST_PROBLEM = 200
"""Of what is said about a value that cannot be read: it goes into logs and statuses, the value may be of any size."""
UNREADABLE = "?"
"""Who holds the lock, or is there, by a record that cannot be read: somebody, and not us."""


class Values:
    """Decodes the values of one snapshot and notes those that cannot be."""

    def __init__(self, snapshot: store.Snapshot) -> None:
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

    def _decode(self, found: store.KeyValue, kind: type[R]) -> R | None:
        try:
            return records.decode(kind, found.value)
        except Invalid as error:
            self.hold(found.key, str(error))
            if isinstance(error, NewerFormat):
                self.newer.add(found.key)
            return None


# ---- Join tokens and unlock keys as published: opened, or what keeps this host from it

UNOPENED = "sealed"


def unopened(tokens: Tokens) -> Tokens:
    """Tokens for whoever need not know them: that there are some is enough to plan with."""
    return replace(tokens, worker=UNOPENED, manager=UNOPENED) if tokens.sealed else tokens


@dataclass(frozen=True, slots=True, kw_only=True)
class PublishedTokens:
    opened: Tokens | None = None
    exposed: bool = False
    locked: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenOpener:
    """How this host opens tokens. `open` raises Invalid for those it cannot open."""

    open: Callable[[Tokens], Tokens] = unopened
    seals: bool = False
    """Whether this host seals those that it publishes."""

    def look(self, values: Values, key: str) -> PublishedTokens:
        found = values.one(key, Tokens)
        if found is None:
            return PublishedTokens()
        try:
            return PublishedTokens(opened=self.open(found), exposed=self.seals and not found.sealed)
        except Invalid as error:
            values.hold(key, str(error))
            return PublishedTokens(locked=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class PublishedKeys:
    opened: UnlockKeys | None = None
    aged: bool = False
    locked: bool = False
    """Whether this host cannot open them. What is damaged is of no use to anybody, and as if it were not there."""


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyOpener:
    """How this host opens unlock keys. `open` raises Invalid for those it cannot open."""

    open: Callable[[UnlockKeys], UnlockKeys] = lambda keys: keys
    is_current: Callable[[UnlockKeys], bool] = lambda _: True
    seals: bool = True
    """Whether this host can seal them. Who only looks takes it that the agents can."""

    def look(self, values: Values, key: str) -> PublishedKeys:
        found = values.one(key, UnlockKeys)
        if found is None:
            return PublishedKeys()
        try:
            return PublishedKeys(opened=self.open(found), aged=not self.is_current(found))
        except Invalid as error:
            values.hold(key, str(error))
            return PublishedKeys(locked=True)
