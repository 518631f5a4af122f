"""Sealing of join tokens and unlock keys: etcd holds them encrypted with a key that only the hosts have.

The seal is Fernet of the package `cryptography` (AES-128-CBC and HMAC-SHA256), which also authenticates the content and
the time of sealing. By that time a host recognises an earlier value that comes back.
"""

import base64
import binascii
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

import msgspec
import structlog

from agent.errors import Invalid, NotUsed, Refused
from agent.model.records import SEAL_LASTS_S, Opened, Tokens, UnlockKeys, timestamp

log = structlog.get_logger()

KEY_BYTES = 32
_NO_KEY = "sealed, but this host has no key: set tokens.key_file in agent.yaml as on the other hosts"
_NOT_SEALED = "not sealed: set tokens.key_file on every host; until then, tokens.accept_unsealed: true here"


class _SealedTokens(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """The sealed content for join tokens; it does not decode as unlock keys."""

    cluster: str
    swarm_id: str
    worker: str
    manager: str


class _SealedKeys(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    cluster: str
    swarm_id: str
    unlock: tuple[str, ...]
    on: bool = False


T = TypeVar("T", _SealedTokens, _SealedKeys)


class WithoutKey:
    """A host without a sealing key: tokens are published unsealed, with a warning."""

    seals = False
    opened = Opened()

    def close(self, tokens: Tokens) -> Tokens:
        log.warning("join tokens are not sealed: readers of etcd can join", remedy="set tokens.key_file")
        return tokens

    def open(self, tokens: Tokens) -> Tokens:
        if tokens.sealed:
            raise Invalid(_NO_KEY)
        return tokens

    def close_keys(self, _keys: UnlockKeys) -> UnlockKeys:
        """Raise Refused: unlock keys are never published unsealed."""
        raise Refused("the unlock key cannot be published: this host has no tokens.key_file to seal it with")

    def open_keys(self, _keys: UnlockKeys) -> UnlockKeys:
        raise Invalid(_NO_KEY)

    def is_current(self, _value: Tokens | UnlockKeys) -> bool:
        return True


class Unopened(WithoutKey):
    """A command that only reads. It plans with the existence of the secrets, and assumes that the agents can seal."""

    seals = True

    def open(self, tokens: Tokens) -> Tokens:
        return replace(tokens, worker="sealed", manager="sealed") if tokens.sealed else tokens

    def open_keys(self, keys: UnlockKeys) -> UnlockKeys:
        return keys


class WithKeys:
    """Seals with the first key and unseals with any key, so that a key can be replaced host by host.

    `open` and `open_keys` raise Invalid, without a secret in the message, for a value that this host cannot unseal, and
    NotUsed for one that the leader may replace: it is not sealed, or this host has opened one that was sealed later.
    """

    seals = True

    def __init__(self, cluster: str, keys: Sequence[bytes], named: str, *, accepts: bool = False) -> None:
        """Take keys of 32 bytes; `named` is their file, for messages. `accepts`: also tokens that are not sealed."""
        from cryptography import fernet  # noqa: PLC0415 - 7 MB, which a host without a key does not need

        self._cluster, self._named, self._accepts_unsealed = cluster, named, accepts
        self.now, self.opened = time.time, Opened()
        every = [fernet.Fernet(base64.urlsafe_b64encode(each)) for each in keys]
        self._first, self._fernet, self._refused = every[0], fernet.MultiFernet(every), fernet.InvalidToken

    def close(self, tokens: Tokens) -> Tokens:
        # The content names cluster and swarm, so that a value of another cluster or swarm is refused.
        content = _SealedTokens(self._cluster, tokens.swarm_id, tokens.worker, tokens.manager)
        return replace(tokens, worker="", manager="", sealed=self._sealed(content, "tokens"))

    def open(self, tokens: Tokens) -> Tokens:
        if not tokens.sealed and self._accepts_unsealed:
            return tokens
        content = self._opened(tokens, _SealedTokens, "tokens")
        return replace(tokens, worker=content.worker, manager=content.manager, sealed="")

    def close_keys(self, keys: UnlockKeys) -> UnlockKeys:
        content = _SealedKeys(cluster=self._cluster, swarm_id=keys.swarm_id, unlock=keys.keys, on=keys.on)
        return replace(keys, keys=(), sealed=self._sealed(content, "unlock"))

    def open_keys(self, keys: UnlockKeys) -> UnlockKeys:
        content = self._opened(keys, _SealedKeys, "unlock")
        return replace(keys, on=content.on, keys=content.unlock, sealed="")

    def is_current(self, value: Tokens | UnlockKeys) -> bool:
        """Return True for a value that is sealed with the first sealing key."""
        try:
            self._first.decrypt(value.sealed.encode())
        except self._refused:
            return False
        return True

    def _sealed(self, content: msgspec.Struct, secret: str) -> str:
        # Later than every earlier value, although another leader's clock may have been ahead of this one.
        at = max(int(self.now()), self._newest(secret) + 1)
        return self._fernet.encrypt_at_time(msgspec.json.encode(content), at).decode()

    def _newest(self, secret: str) -> int:
        """Return the time of the newest secret opened here; 0 if it is from a clock that was wrong."""
        newest: int = getattr(self.opened, secret)
        return newest if newest <= self.now() + SEAL_LASTS_S else 0

    def _opened(self, value: Tokens | UnlockKeys, kind: type[T], secret: str) -> T:
        if not value.sealed:
            raise NotUsed(_NOT_SEALED)
        try:
            content = msgspec.json.decode(self._fernet.decrypt(value.sealed.encode()), type=kind)
        except (self._refused, msgspec.MsgspecError):
            raise Invalid(f"sealed with a key that is not in {self._named}") from None
        if (content.cluster, content.swarm_id) != (self._cluster, value.swarm_id):
            raise NotUsed("sealed for another cluster or swarm, and written here")
        # The bytes after the version are the time; the key has authenticated it.
        at, newest = int.from_bytes(base64.urlsafe_b64decode(value.sealed)[1:9]), self._newest(secret)
        if not newest <= at <= self.now() + SEAL_LASTS_S:
            of_now = "that is in the future here"
            known = f"this host knows a value of {timestamp(newest)}" if at < newest else of_now
            why = "an earlier value came back, or a clock is wrong"
            raise NotUsed(f"sealed at {timestamp(at)}, and {known}: {why}")
        self.opened = replace(self.opened, **{secret: at})
        return content


Seal = WithoutKey | WithKeys


def load_seal(cluster: str, key_file: str | None, *, accept_unsealed: bool = False) -> Seal:
    """Return the seal with the keys of a file: one per line, 32 random bytes in base64 each.

    Raises Invalid for a file that is unreadable or malformed; the message shows nothing of its content.
    """
    if key_file is None:
        return WithoutKey()
    try:
        lines = Path(key_file).read_text(encoding="ascii").split()
    except (OSError, UnicodeDecodeError):
        raise Invalid(f"tokens.key_file: {key_file} cannot be read as text") from None
    try:
        keys = [base64.b64decode(line.replace("-", "+").replace("_", "/"), validate=True) for line in lines]
    except binascii.Error:
        keys = []
    if not keys or any(len(key) != KEY_BYTES for key in keys):
        why = "must hold 32 random bytes in base64: openssl rand -base64 32"
        raise Invalid(f"tokens.key_file: {key_file} {why}")
    return WithKeys(cluster, keys, key_file, accepts=accept_unsealed)
