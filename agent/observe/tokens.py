"""Join tokens and unlock keys as published: opened, or what keeps this host from it."""

from collections.abc import Callable
from dataclasses import dataclass, replace

from agent.errors import Invalid
from agent.model.records import Tokens, UnlockKeys
from agent.observe.values import Values

UNOPENED = "sealed"


def unopened(tokens: Tokens) -> Tokens:
    """Tokens for whoever need not know them: that there are some is enough to plan with."""
    return replace(tokens, worker=UNOPENED, manager=UNOPENED) if tokens.sealed else tokens


def unopened_keys(keys: UnlockKeys) -> UnlockKeys:
    return keys


def as_now(_keys: UnlockKeys) -> bool:
    return True


@dataclass(frozen=True, slots=True, kw_only=True)
class PublishedTokens:
    opened: Tokens | None = None
    exposed: bool = False
    locked: bool = False


class TokenWatcher:
    """How long the published tokens have been the same, on the leader's own clock. A new leader counts anew."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._seen: tuple[str, float] | None = None
        """Of the last look: the token of workers, which every rotation changes, and since when it is that."""

    def look(self, tokens: Tokens | None) -> float:
        """Seconds since these were first seen; None: there are none, or this host does not lead."""
        if tokens is None:
            self._seen = None
            return 0.0
        if self._seen is None or self._seen[0] != tokens.worker:
            self._seen = (tokens.worker, self._clock())
        return self._clock() - self._seen[1]


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

    open: Callable[[UnlockKeys], UnlockKeys] = unopened_keys
    is_current: Callable[[UnlockKeys], bool] = as_now
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
