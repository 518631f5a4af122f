"""Sealing of join tokens and unlock keys: etcd holds them encrypted with a key that only the hosts have.

The seal is Fernet of the package `cryptography` (AES-128-CBC and HMAC-SHA256), which also authenticates the content.
"""

import base64
import binascii
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

import msgspec
import structlog
from cryptography.fernet import Fernet, InvalidToken, MultiFernet

from agent.errors import Invalid, Refused
from agent.model.records import Tokens, UnlockKeys

log = structlog.get_logger()

KEY_BYTES = 32
_NO_KEY = "sealed, but this host has no key: set tokens.key_file in agent.yaml as on the other hosts"


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


T = TypeVar("T", _SealedTokens, _SealedKeys)


class WithoutKey:
    """A host without a sealing key: tokens are published unsealed, with one warning."""

    def __init__(self) -> None:
        self._warned = False

    def close(self, tokens: Tokens) -> Tokens:
        if not self._warned:
            log.warning(
                "join tokens are not sealed: every reader of etcd can join the swarm",
                remedy="set tokens.key_file",
            )
            self._warned = True
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

    def is_current(self, _keys: UnlockKeys) -> bool:
        return False


class WithKeys:
    """Seals with the first key and unseals with any key, so that a key can be replaced host by host.

    `open` and `open_keys` raise Invalid, without a secret in the message, for a value that this host cannot unseal.
    """

    def __init__(self, cluster: str, keys: Sequence[bytes], named: str) -> None:
        """Take keys of 32 bytes; `named` is their file, for messages."""
        self._cluster, self._named = cluster, named
        every = [Fernet(base64.urlsafe_b64encode(each)) for each in keys]
        self._first, self._fernet = every[0], MultiFernet(every)

    def close(self, tokens: Tokens) -> Tokens:
        # The content names cluster and swarm, so that a value of another cluster or swarm is refused.
        content = _SealedTokens(self._cluster, tokens.swarm_id, tokens.worker, tokens.manager)
        return replace(tokens, worker="", manager="", sealed=self._sealed(content))

    def open(self, tokens: Tokens) -> Tokens:
        if not tokens.sealed:
            return tokens
        content = self._opened(tokens, _SealedTokens)
        return replace(tokens, worker=content.worker, manager=content.manager, sealed="")

    def close_keys(self, keys: UnlockKeys) -> UnlockKeys:
        content = _SealedKeys(cluster=self._cluster, swarm_id=keys.swarm_id, unlock=keys.keys)
        return replace(keys, keys=(), sealed=self._sealed(content))

    def open_keys(self, keys: UnlockKeys) -> UnlockKeys:
        if not keys.sealed:
            raise Invalid("not sealed: no agent of this cluster wrote it")
        content = self._opened(keys, _SealedKeys)
        return replace(keys, keys=content.unlock, sealed="")

    def is_current(self, keys: UnlockKeys) -> bool:
        """Return True if the keys are sealed with the first sealing key."""
        try:
            self._first.decrypt(keys.sealed.encode())
        except InvalidToken:
            return False
        return True

    def _sealed(self, content: msgspec.Struct) -> str:
        return self._fernet.encrypt(msgspec.json.encode(content)).decode()

    def _opened(self, value: Tokens | UnlockKeys, kind: type[T]) -> T:
        try:
            content = msgspec.json.decode(self._fernet.decrypt(value.sealed.encode()), type=kind)
        except (InvalidToken, msgspec.MsgspecError):
            raise Invalid(f"sealed with a key that is not in {self._named}") from None
        if (content.cluster, content.swarm_id) != (self._cluster, value.swarm_id):
            raise Invalid("sealed for another cluster or swarm")
        return content


Seal = WithoutKey | WithKeys


def load_seal(cluster: str, key_file: str | None) -> Seal:
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
        raise Invalid(
            f"tokens.key_file: {key_file} must hold 32 random bytes in base64: openssl rand -base64 32"
        )
    return WithKeys(cluster, keys, key_file)
