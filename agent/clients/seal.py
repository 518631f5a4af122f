"""Join tokens in etcd, sealed with a key that only the hosts have: who reads etcd cannot join with what he finds.

Fernet of the package `cryptography` (AES-128-CBC and HMAC-SHA256): what opens is what a holder of the key has sealed.
"""

import base64
import binascii
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Protocol

import msgspec
import structlog
from cryptography.fernet import Fernet, InvalidToken, MultiFernet

from agent.errors import Invalid
from agent.model.records import Tokens

log = structlog.get_logger()

KEY_BYTES = 32


class Seal(Protocol):
    """What is done to join tokens on the way to etcd and back."""

    def close(self, tokens: Tokens) -> Tokens: ...

    def open(self, tokens: Tokens) -> Tokens:
        """Raises Invalid, in words that hold no secret, for tokens that cannot be opened here."""
        ...


class WithoutKey:
    """No key on this host: tokens are published as they are, which is said once."""

    def __init__(self) -> None:
        self._said = False

    def close(self, tokens: Tokens) -> Tokens:
        if not self._said:
            log.warning(
                "join tokens are published unsealed: who can read etcd can join", remedy="tokens.key_file"
            )
            self._said = True
        return tokens

    def open(self, tokens: Tokens) -> Tokens:
        if tokens.sealed:
            raise Invalid(
                "sealed, and this host has no key: set tokens.key_file in agent.yaml as on the other hosts"
            )
        return tokens


class WithKeys:
    """Seals with the first key, opens with any of them: so a key is replaced host by host."""

    def __init__(self, cluster: str, keys: Sequence[bytes], named: str) -> None:
        """`keys` are of 32 bytes each; `named` is where they are from, for messages."""
        self._cluster, self._named = cluster, named
        self._fernet = MultiFernet([Fernet(base64.urlsafe_b64encode(each)) for each in keys])

    def close(self, tokens: Tokens) -> Tokens:
        # The cluster and the swarm are sealed in: a value copied from elsewhere does not pass for this one.
        content = msgspec.json.encode([self._cluster, tokens.swarm_id, tokens.worker, tokens.manager])
        return replace(tokens, worker="", manager="", sealed=self._fernet.encrypt(content).decode())

    def open(self, tokens: Tokens) -> Tokens:
        if not tokens.sealed:
            return tokens
        try:
            content = self._fernet.decrypt(tokens.sealed.encode())
            cluster, swarm_id, worker, manager = msgspec.json.decode(content, type=tuple[str, str, str, str])
        except (InvalidToken, msgspec.MsgspecError):
            raise Invalid(f"sealed with a key that is not in {self._named}") from None
        if (cluster, swarm_id) != (self._cluster, tokens.swarm_id):
            raise Invalid("sealed for another cluster or swarm")
        return replace(tokens, worker=worker, manager=manager, sealed="")


def load_seal(cluster: str, key_file: str | None) -> Seal:
    """The seal with the keys of a file: one per line, 32 random bytes in base64 each; without a file none.

    Raises Invalid, without a word of the content, for a file that cannot be read or holds something else.
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
            f"tokens.key_file: {key_file} shall hold 32 random bytes in base64: openssl rand -base64 32"
        )
    return WithKeys(cluster, keys, key_file)
