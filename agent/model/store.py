"""Reads and writes of etcd, and the settings of its client and session with their validation."""

from collections.abc import Mapping
from dataclasses import field, replace
from urllib.parse import urlsplit

from agent.model import Frozen


class KeyValue(Frozen):
    key: str
    value: bytes = field(repr=False)
    create_revision: int
    mod_revision: int
    lease: int = 0
    dropped: int = 0
    """Bytes, expanded, of a value that was dropped as it or all of them are too large; 0: `value` is whole."""


class Snapshot(Frozen):
    """The content of the requested ranges of etcd at one revision."""

    revision: int
    values: Mapping[str, KeyValue]

    def get(self, key: str) -> KeyValue | None:
        return self.values.get(key)

    def under(self, prefix: str) -> tuple[KeyValue, ...]:
        """Return everything whose key starts with `prefix`, sorted by key."""
        return tuple(self.values[key] for key in sorted(self.values) if key.startswith(prefix))


class KeyRange(Frozen):
    key: str
    prefix: bool = False
    keys_only: bool = False
    """True to read empty values, with their revisions."""


class Put(Frozen):
    key: str
    value: bytes = field(repr=False)
    lease: int = 0


class Delete(Frozen):
    key: str
    prefix: bool = False


class Compare(Frozen):
    """True in etcd if the key has exactly this revision; 0 means that the key does not exist."""

    key: str
    create_revision: int | None = None
    mod_revision: int | None = None

    def __post_init__(self) -> None:
        if (self.create_revision is None) == (self.mod_revision is None):
            raise ValueError(f"compare {self.key}: give create_revision or mod_revision, not both or neither")


class TxnResult(Frozen):
    succeeded: bool
    revision: int


class Fence(Frozen):
    """The leader lock of this agent. A write that compares it fails once another agent has the lock."""

    key: str
    create_revision: int
    lease: int = field(default=0, compare=False)
    """Id of the lease of the lock. A call to the swarm, which cannot compare, is safe only while that lease is
    alive."""


class Lease(Frozen):
    id: int
    ttl_s: float


OLD_REVISIONS = 20_000
"""Weeks of an idle cluster. They take at most a fifth of DEFAULT_QUOTA."""
DEFAULT_QUOTA, NEARLY_FULL = 2 << 30, 0.8
"""etcd's own quota, in bytes, and the share of a quota from which status and an alert tell."""


class Upkeep(Frozen):
    """The alarm of etcd, and the database of the member that answered, in bytes; None: not known."""

    alarm: str = ""
    """NOSPACE or CORRUPT, which stops all writes; empty: none."""
    size: int | None = None
    """Size of the file, which the quota limits."""
    in_use: int | None = None
    quota: int | None = None
    keeps_history: bool | None = None
    """True if etcd still has the revision that is OLD_REVISIONS older than its newest."""
    fault: str = ""
    """Error of the look at the database; empty: none."""


class StoreSettings(Frozen):
    """Endpoints of etcd, with TLS, authentication and timeouts.

    An endpoint is `https://host:port`, `http://host:port`, or `host:port`, which is TLS when `ca_file` is set.
    `timeout_s` limits one attempt, `budget_s` all attempts of a call that may be repeated.
    """

    endpoints: tuple[str, ...]
    ca_file: str | None = None
    cert_file: str | None = None
    key_file: str | None = None
    user: str | None = None
    password_file: str | None = None
    allow_plaintext_password: bool = False
    timeout_s: float = 2.0
    budget_s: float = 6.0


class SessionSettings(Frozen):
    """Timings of the lease. `timeout_s` limits one renewal; after a missed one, two more must fit into the lease."""

    ttl_s: float = 15.0
    interval_s: float = 5.0
    timeout_s: float = 2.0
    margin_s: float = 2.0


def for_session(store: StoreSettings, session: SessionSettings) -> StoreSettings:
    """Return the settings of the session's own client: two attempts, as timing_faults() requires."""
    return replace(store, timeout_s=session.timeout_s, budget_s=2 * session.timeout_s)


def timing_faults(settings: SessionSettings) -> tuple[str, ...]:
    """Return the faults that make these timings unsafe; empty: none.

    The rule is Patroni's (`loop_wait + 2 * retry_timeout <= ttl`). A renewal that starts one interval after the last
    good one and fails once must succeed before the lease can expire.
    """
    named = {
        "ttl": settings.ttl_s,
        "interval": settings.interval_s,
        "timeout": settings.timeout_s,
        "margin": settings.margin_s,
    }
    faults = [f"{name} must be more than 0 s, not {value:g} s" for name, value in named.items() if value <= 0]
    if settings.ttl_s != int(settings.ttl_s):
        faults.append(f"ttl must be whole seconds, as etcd counts them, not {settings.ttl_s:g} s")
    need, have = settings.interval_s + 2 * settings.timeout_s, settings.ttl_s - settings.margin_s
    if need >= have:
        faults.append(f"interval + 2 * timeout ({need:g} s) must be less than ttl - margin ({have:g} s)")
    return tuple(faults)


DEFAULT_PORT = 2379


class Endpoint(Frozen):
    host: str
    """In gRPC's format: an IPv6 address has brackets."""
    port: int
    tls: bool

    def __str__(self) -> str:
        return f"{'https' if self.tls else 'http'}://{self.host}:{self.port}"


def parse_endpoint(text: str, *, tls_by_default: bool) -> Endpoint:
    """Return the endpoint written as `https://host:port`, `http://host:port`, `host:port` or `host`.

    Raises ValueError, with the text in its message, for anything else.
    """
    scheme, separator, rest = text.partition("://")
    if not separator:
        scheme, rest = ("https" if tls_by_default else "http"), text
    if "@" in rest:  # checked first: no other message may contain the password
        raise ValueError("an etcd endpoint cannot contain user and password: set user and password_file")
    parts = urlsplit(f"//{rest}")
    if scheme not in {"http", "https"} or not parts.hostname or parts.netloc != rest.rstrip("/"):
        raise ValueError(f"{text!r} is not an etcd endpoint; write it as https://host:{DEFAULT_PORT}")
    try:
        port = parts.port or DEFAULT_PORT
    except ValueError:
        raise ValueError(f"{text!r}: the port must be a number from 1 to 65535") from None
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    return Endpoint(host=host, port=port, tls=scheme == "https")


def endpoints_of(settings: StoreSettings) -> tuple[Endpoint, ...]:
    """Return the endpoints in the given order. Raises ValueError for the first invalid one."""
    by_default = settings.ca_file is not None
    return tuple(parse_endpoint(text, tls_by_default=by_default) for text in settings.endpoints)


def settings_faults(settings: StoreSettings) -> tuple[str, ...]:
    """Return every fault of the settings; empty: they are valid."""
    faults: list[str] = []
    tls = set[bool]()
    for text in settings.endpoints:
        try:
            tls.add(parse_endpoint(text, tls_by_default=settings.ca_file is not None).tls)
        except ValueError as error:
            faults.append(str(error))
    ca, cert, key = (each is not None for each in (settings.ca_file, settings.cert_file, settings.key_file))
    user, password = settings.user is not None, settings.password_file is not None
    in_the_clear = user and password and False in tls and not settings.allow_plaintext_password
    timeout, budget = settings.timeout_s, settings.budget_s
    wrong = {
        "at least one etcd endpoint is needed": not settings.endpoints,
        "endpoints mix http:// and https://; use one of them for all": len(tls) > 1,
        "a CA file needs https:// endpoints; http:// is not encrypted": tls == {False} and ca,
        "https:// endpoints need a CA file to verify the server": True in tls and not ca,
        "client certificate and key are valid only together: give both or neither": cert != key,
        "a client certificate has no effect without TLS: give the CA file too": cert and not ca,
        "user and password file are valid only together: give both or neither": user != password,
        "the password would be sent unencrypted: use https://, or set allow_plaintext_password": in_the_clear,
        f"timeout ({timeout:g} s) must be more than 0 s and at most budget ({budget:g} s)": not 0
        < timeout
        <= budget,
    }
    return (*faults, *(fault for fault, is_so in wrong.items() if is_so))
