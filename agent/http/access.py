"""Access to the HTTP server: TLS and basic auth, from a file in the format of Prometheus's web configuration.

https://prometheus.io/docs/prometheus/latest/configuration/https/ describes the format. The agent reads
`tls_server_config` with `cert_file` and `key_file`, and `basic_auth_users`. Other keys also protect something, so they
are refused, not ignored.
"""

import base64
import hashlib
import os
import ssl
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import structlog

from agent.config import read_file
from agent.errors import Invalid
from agent.yamldoc import Cursor
from agent.yamldoc.readers import after, matching, text

log = structlog.get_logger()

MOST_ROUNDS = 14
"""A check of 2^14 rounds takes about 1 s, and one more doubles it; a request is cut after 5 s."""
LONGEST_PASSWORD = 72
"""In bytes. bcrypt ignores the rest, so longer passwords are refused."""
_HASH = r"\$2[aby]\$(\d\d)\$[./A-Za-z0-9]{53}"
_NOBODY = b"$2b$10$G91i9WZIASdhZ7GuVsU3fOFDI95oIjXAgalumv63TylfEgEFPo5cW"
"""Checked for an unknown user, so that the time of the answer does not depend on the name."""
_REFUSALS_S = 60.0
"""Seconds after which refusals no longer count against a client."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WebConfig:
    """The content of the file. Without a certificate the server speaks HTTP; without users it needs no password."""

    cert_file: str = ""
    key_file: str = ""
    users: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    """(name, bcrypt hash)."""

    def tls(self) -> ssl.SSLContext | None:
        """Return the TLS context; None without a certificate. Raises Invalid for an unusable certificate or key."""
        if not self.cert_file:
            return None
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        try:
            context.load_cert_chain(self.cert_file, self.key_file, password=_no_passphrase)
        except (OSError, ValueError) as error:  # ssl.SSLError is an OSError
            raise Invalid(f"{self.cert_file}, {self.key_file}: {error}") from None
        return context


def load_web_config(path: Path) -> WebConfig:
    """Read the file. Raises InvalidDocument with every fault, or Invalid; no message shows a hash."""
    # Hidden: the file may be one of htpasswd itself, or lack a blank after a colon.
    return read_file(path, lambda root: _read(root.hidden(), path.parent))


def _read(root: Cursor, base: Path) -> WebConfig:
    fields = root.fields(("tls_server_config", "basic_auth_users"))
    cert_file = key_file = ""
    if (place := fields.at("tls_server_config")) is not None:
        inner = place.fields(("cert_file", "key_file"))
        cert_file = inner.require("cert_file", text, "name the file with the certificate") or ""
        key_file = inner.require("key_file", text, "name the file with the certificate's key") or ""
    section = fields.at("basic_auth_users")
    pairs = [(_name(key), _hash(place.hidden())) for key, place in (section.entries() if section else ())]
    users = tuple((name, hashed) for name, hashed in pairs if name and hashed)
    root.faults.raise_if_any()
    cert_file, key_file = (str(base / each) if each else "" for each in (cert_file, key_file))
    return WebConfig(users=users, cert_file=cert_file, key_file=key_file)


_name = matching(r"[^:\x00-\x1f\x7f]+", "a name without a colon", "operator")


@after(matching(_HASH, "a bcrypt hash", "what `htpasswd -nBC 10 name` prints after the colon"))
def _hash(cursor: Cursor, found: str) -> str | None:
    if int(found[4:6]) <= MOST_ROUNDS:
        return found
    remedy = f"2^{MOST_ROUNDS} at most: each request takes that long"
    return cursor.fault(f"a bcrypt hash of 2^{found[4:6]} rounds", remedy)


def _no_passphrase() -> str:
    raise ValueError("the key is encrypted: provide a key without a passphrase")


class Access:
    """Checks TLS and passwords. Replaced files apply from the next connection on."""

    def __init__(self, path: str | None, count_refusal: Callable[[], object] = lambda: None) -> None:
        """Read the file; without a path access is open, over plain HTTP. Raises Invalid for an unusable file."""
        self._path = Path(path) if path else None
        self._count_refusal = count_refusal
        self.refusals, self._refusals_since = Counter[str](), time.monotonic()
        """Refused logins of the last minute, by client."""
        self._config, self._tls = WebConfig(), None
        self._mark: tuple[object, ...] = ()
        self._salt, self._known = os.urandom(32), set[bytes]()
        """Keyed digests of correct passwords, so that a scrape does not hash again."""
        if self._path:
            self._config = load_web_config(self._path)
            self._tls = self._config.tls()
            self._mark = self._fingerprint()

    def tls(self) -> ssl.SSLContext | None:
        """Return the TLS context of a new connection, None for plain HTTP."""
        self._refresh()
        return self._tls

    def known(self, authorization: str | None) -> bool | None:
        """Return True if a request with this header is authorized; None if only `check` can tell."""
        if not self._config.users:
            return True
        if authorization is None:
            return False
        return self._digest(authorization) in self._known or None

    def check(self, client: str, authorization: str | None) -> bool:
        """Return True if a request with this header is authorized; log and count a refusal."""
        known = self._known  # first: a correct password of an old file must not get into a new set
        name, password = _credentials(authorization)
        hashed = dict(self._config.users).get(name, "")
        if _fits(password, hashed.encode() or _NOBODY) and hashed:
            known.add(self._digest(authorization))
            return True
        log.warning("login to the HTTP server refused: wrong name or password", client=client)
        self._count_refusal()
        if time.monotonic() - self._refusals_since > _REFUSALS_S:
            self.refusals, self._refusals_since = Counter(), time.monotonic()
        self.refusals[client] += 1
        return False

    def _digest(self, authorization: str | None) -> bytes:
        return hashlib.blake2b((authorization or "").encode(), key=self._salt).digest()

    def _refresh(self) -> None:
        mark = self._fingerprint()
        if self._path is None or mark == self._mark:
            return
        self._mark = mark
        try:
            config = load_web_config(self._path)
            self._tls = config.tls()
        except Invalid as error:
            log.error("invalid web configuration ignored, the previous one remains active", error=str(error))
            return
        known = self._known if config.users == self._config.users else set[bytes]()
        self._config, self._known = config, known

    def _fingerprint(self) -> tuple[object, ...]:
        files = (self._path, self._config.cert_file, self._config.key_file)
        return tuple(_mark(Path(each)) for each in files if each)


def _mark(path: Path) -> object:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_ino, found.st_mtime_ns, found.st_size


def _credentials(header: str | None) -> tuple[str, bytes]:
    """Return name and password (RFC 7617); both empty without them."""
    scheme, _, encoded = (header or "").partition(" ")
    with suppress(ValueError):
        name, colon, password = base64.b64decode(encoded.strip(), validate=True).partition(b":")
        if scheme.lower() == "basic" and colon:
            return name.decode(), password
    return "", b""


def _fits(password: bytes, hashed: bytes) -> bool:
    if len(password) > LONGEST_PASSWORD or b"\0" in password:
        return False
    with suppress(ValueError):
        import bcrypt  # noqa: PLC0415 (half a megabyte, which an agent without users does not need)

        return bcrypt.checkpw(password, hashed)
    return False
