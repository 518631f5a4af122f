"""Who may look: TLS and basic auth, from a file in the form that Prometheus's own servers call a web configuration.

https://prometheus.io/docs/prometheus/latest/configuration/https/: of it `tls_server_config` with `cert_file` and
`key_file`, and `basic_auth_users`. Any other key is refused, not skipped: it was to protect something.
"""

import base64
import hashlib
import os
import socket
import ssl
import threading
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import bcrypt
import structlog

from agent.errors import Invalid
from agent.model.faults import InvalidDocument
from agent.yamldoc import Cursor, open_document
from agent.yamldoc.readers import matching, text

log = structlog.get_logger()

MOST_ROUNDS = 14
"""A hash of 2^14 rounds takes about a second to check; each more doubles that, and a request ends after five."""
LONGEST_PASSWORD = 72
"""In bytes: bcrypt goes no further, and must not be taken to have looked at the rest."""
_HASH = r"\$2[aby]\$(\d\d)\$[./A-Za-z0-9]{53}"
_NOBODY = b"$2b$10$G91i9WZIASdhZ7GuVsU3fOFDI95oIjXAgalumv63TylfEgEFPo5cW"
"""Checked for a name that nobody has: the answer takes as long as for one that somebody has."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WebConfig:
    """What the file says. Without certificate plain HTTP, without users anybody may look."""

    cert_file: str = ""
    key_file: str = ""
    users: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    """(name, bcrypt hash)."""

    def tls(self) -> ssl.SSLContext | None:
        """Raises Invalid when certificate and key cannot be used."""
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
    """Read the file. Raises InvalidDocument with every fault, or Invalid; neither repeats a hash."""
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise Invalid(f"{path}: cannot be read: {error.strerror or error}") from error
    try:
        # Hidden: it may be the file of htpasswd itself, or one of which a blank is missing.
        return _read(open_document(raw).hidden(), path.parent)
    except InvalidDocument as error:
        raise InvalidDocument(error.faults, source=str(path)) from None


def _read(root: Cursor, base: Path) -> WebConfig:
    fields = root.fields(("tls_server_config", "basic_auth_users"))
    cert_file = key_file = ""
    if (place := fields.at("tls_server_config")) is not None:
        inner = place.fields(("cert_file", "key_file"))
        cert_file = inner.require("cert_file", text, "name the file with the certificate") or ""
        key_file = inner.require("key_file", text, "name the file with the certificate's key") or ""
    section = fields.at("basic_auth_users")
    said = [(_name(key), _hash(place.hidden())) for key, place in (section.entries() if section else ())]
    users = tuple((name, hashed) for name, hashed in said if name and hashed)
    root.faults.raise_if_any()
    cert_file, key_file = (str(base / each) if each else "" for each in (cert_file, key_file))
    return WebConfig(users=users, cert_file=cert_file, key_file=key_file)


_name = matching(r"[^:\x00-\x1f\x7f]+", "a name without a colon")
_hashed = matching(_HASH, "a bcrypt hash, as `htpasswd -nBC 10 name` prints it behind the colon")


def _hash(cursor: Cursor) -> str | None:
    found = _hashed(cursor)
    if found is not None and int(found[4:6]) > MOST_ROUNDS:
        cursor.fault(
            f"a bcrypt hash of 2^{found[4:6]} rounds", f"2^{MOST_ROUNDS} at most: each request waits for it"
        )
        return None
    return found


def _no_passphrase() -> str:
    raise ValueError("the key is encrypted: give one without a passphrase")


class Access:
    """Lets in who may look. Files that are replaced count from the next connection on. Thread-safe."""

    def __init__(self, path: str | None) -> None:
        """Raises Invalid for a file that cannot be used; without a path everybody may look, over plain HTTP."""
        self._path = Path(path) if path else None
        self._lock, self._checking = threading.Lock(), threading.Lock()
        self._config, self._tls = WebConfig(), None
        self._mark: tuple[object, ...] = ()
        self._salt, self._known = os.urandom(32), set[bytes]()
        """What was right is not hashed again at every scrape; only a keyed digest of it is kept."""
        if self._path:
            self._config = load_web_config(self._path)
            self._tls = self._config.tls()
            self._mark = self._fingerprint()

    def wrap(self, connection: socket.socket) -> socket.socket:
        """The connection as it is spoken over; the handshake is made by whoever reads first."""
        self._refresh()
        if self._tls is None:
            return connection
        try:
            return self._tls.wrap_socket(connection, server_side=True, do_handshake_on_connect=False)
        except OSError:  # it went away by itself
            connection.close()
            raise

    @property
    def is_encrypted(self) -> bool:
        return self._tls is not None

    def allows(self, authorization: str | None) -> bool:
        """Whether a request with this header may look."""
        users = dict(self._config.users)
        if not users:
            return True
        name, password = _credentials(authorization)
        hashed = users.get(name)
        said = hashlib.blake2b(
            b"\0".join((name.encode(), password, (hashed or "").encode())), key=self._salt
        ).digest()
        if hashed and said in self._known:
            return True
        with self._checking:  # one at a time: whoever guesses gets no more than one processor
            right = _fits(password, hashed.encode() if hashed else _NOBODY) and hashed is not None
        if right:
            self._known.add(said)
        return right

    def _refresh(self) -> None:
        with self._lock:
            mark = self._fingerprint()
            if self._path is None or mark == self._mark:
                return
            self._mark = mark
            try:
                config = load_web_config(self._path)
                self._tls = config.tls()
            except Invalid as error:
                log.error("the web configuration is used as it was before", error=str(error))
                return
            self._config = config
            self._known.clear()

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
    """Name and password as RFC 7617 has them; both empty when there are none."""
    scheme, _, said = (header or "").partition(" ")
    with suppress(ValueError):
        name, colon, password = base64.b64decode(said.strip(), validate=True).partition(b":")
        if scheme.lower() == "basic" and colon:
            return name.decode(), password
    return "", b""


def _fits(password: bytes, hashed: bytes) -> bool:
    if len(password) > LONGEST_PASSWORD or b"\0" in password:
        return False
    with suppress(ValueError):
        return bcrypt.checkpw(password, hashed)
    return False
