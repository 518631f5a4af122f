"""Join tokens and unlock keys as published: opened, or what keeps this host from it."""

from collections.abc import Callable
from dataclasses import dataclass, replace

from agent.errors import Invalid
from agent.model.autolock import UnlockKeys
from agent.model.records import Tokens
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
