"""Credentials for registries, from a file on this host in the format of Docker's `config.json`.

Credentials come from `auths` only. A file that names a credential helper is refused: a helper would run with the
agent's rights, and most helpers read the keychain of a user who is not logged in.
"""

import base64
import json
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from agent.errors import Invalid
from agent.model.spec import HUB, registry_of

_HELPERS = ("credsStore", "credHelpers")
_HUB_NAMES = (HUB, "index.docker.io", "registry-1.docker.io")
"""Names of Docker Hub in the file. Docker writes `https://index.docker.io/v1/`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Credentials:
    """The agent's credentials for one registry."""

    server: str
    """The key of the entry in `auths`, unchanged."""
    secret: Mapping[str, str] = field(repr=False)
    """`identitytoken`, or `username` and `password`."""

    def header(self) -> str:
        """Return the value of X-Registry-Auth (https://docs.docker.com/reference/api/engine/: Authentication)."""
        parts = {"serveraddress": self.server, **self.secret}
        return base64.urlsafe_b64encode(json.dumps(parts).encode()).decode()


class RegistryConfig:
    """Reads the file at `path`, and again after each change. Without a `path` there are no credentials."""

    def __init__(self, path: str | None = None) -> None:
        self._path = Path(path) if path else None
        self._lock = threading.Lock()
        self._seen: tuple[int, ...] = ()
        self._known: Mapping[str, Credentials] = {}

    def check(self) -> None:
        """Raise Invalid when the file is unusable; the message shows no secret."""
        self._read()

    def header(self, image: str) -> str | None:
        """Return X-Registry-Auth for the registry of `image`; None when the file has no entry for it.

        Raises Invalid when the file is unusable.
        """
        found = self._read().get(registry_of(image))
        return found.header() if found else None

    def _read(self) -> Mapping[str, Credentials]:
        if self._path is None:
            return {}
        with self._lock:
            try:
                status = self._path.stat()
                mark = (status.st_ino, status.st_mtime_ns, status.st_size)
                if mark != self._seen:
                    self._known = read_auths(self._path.read_bytes())
                    self._seen = mark
            except OSError as error:
                raise Invalid(f"{self._path}: cannot be read: {error.strerror or error}") from error
            except Invalid as error:
                raise Invalid(f"{self._path}: {error}") from error
            return self._known


def read_auths(raw: bytes) -> Mapping[str, Credentials]:
    """Return the credentials by registry: host and any port. Raises Invalid; the message shows no secret."""
    try:
        body = json.loads(raw)
    except (ValueError, RecursionError):
        # The parser's message could show a part of the file.
        raise Invalid('not JSON: expected what `docker login` writes, {"auths": {...}}') from None
    if not isinstance(body, dict):
        raise Invalid('not a JSON object: expected what `docker login` writes, {"auths": {...}}')
    for each in _HELPERS:
        if body.get(each):
            raise Invalid(f"{each}: credential helpers are not supported; write the credentials under auths")
    auths = body.get("auths", {})
    if not isinstance(auths, dict):
        raise Invalid("auths: not a JSON object")
    return {_registry(server): _credentials(server, entry) for server, entry in auths.items()}


def _registry(server: str) -> str:
    """Return the registry that the key `server` names: a host, or a URL such as `https://host/v1/`."""
    host = (server.partition("://")[2] or server).partition("/")[0]
    return HUB if host in _HUB_NAMES else host


def _credentials(server: str, entry: Any) -> Credentials:
    place = f"auths.{server}"
    if not isinstance(entry, dict) or not all(isinstance(each, str) for each in entry.values()):
        raise Invalid(f"{place}: expected an object of strings")
    if token := entry.get("identitytoken"):
        return Credentials(server=server, secret={"identitytoken": token})
    if auth := entry.get("auth"):
        user, password = _decoded(place, auth)
    else:
        user, password = entry.get("username", ""), entry.get("password", "")
    if not user or not password:
        raise Invalid(f"{place}: no credentials: expected auth (user:password in base64) or identitytoken")
    return Credentials(server=server, secret={"username": user, "password": password})


def _decoded(place: str, auth: str) -> tuple[str, str]:
    try:
        text = base64.b64decode(auth, validate=True).decode()
    except ValueError:
        raise Invalid(f"{place}.auth: not base64 of user:password") from None
    user, _, password = text.partition(":")
    return user, password.rstrip("\0")
