"""One address of etcd, and what settings of the etcd client cannot mean."""

from dataclasses import dataclass
from urllib.parse import urlsplit

from agent.model.store import StoreSettings

DEFAULT_PORT = 2379


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    host: str
    """As gRPC wants it in an address: an IPv6 address stands in brackets."""
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
    if "@" in rest:  # first of all: no other word may repeat the password
        raise ValueError("an etcd endpoint cannot hold user and password; they have settings of their own")
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
    """Return the endpoints in the order given. Raises ValueError for the first that is none."""
    by_default = settings.ca_file is not None
    return tuple(parse_endpoint(text, tls_by_default=by_default) for text in settings.endpoints)


def store_faults(settings: StoreSettings) -> tuple[str, ...]:
    """Return what is wrong with the settings, in words: all of it; empty when they can be used."""
    faults: list[str] = []
    endpoints: list[Endpoint] = []
    for text in settings.endpoints:
        try:
            endpoints.append(parse_endpoint(text, tls_by_default=settings.ca_file is not None))
        except ValueError as error:
            faults.append(str(error))
    if not settings.endpoints:
        faults.append("at least one etcd endpoint is needed")
    faults += _tls_faults(settings, endpoints) + _password_faults(settings, endpoints)
    if not 0 < settings.timeout_s <= settings.budget_s:
        faults.append(
            f"timeout ({settings.timeout_s:g} s) must be more than 0 s and at most budget ({settings.budget_s:g} s)"
        )
    return tuple(faults)


def _tls_faults(settings: StoreSettings, endpoints: list[Endpoint]) -> list[str]:
    faults = []
    if len({endpoint.tls for endpoint in endpoints}) > 1:
        faults.append("endpoints mix http:// and https://; one of them would go unprotected")
    elif endpoints and not endpoints[0].tls and settings.ca_file is not None:
        faults.append("a CA file is given, but the endpoints are http://: nothing would be encrypted")
    if any(endpoint.tls for endpoint in endpoints) and settings.ca_file is None:
        faults.append("https:// endpoints need the CA file to check them with")
    if (settings.cert_file is None) != (settings.key_file is None):
        faults.append("client certificate and key belong together: give both or neither")
    if settings.cert_file is not None and settings.ca_file is None:
        faults.append("a client certificate is of no use without TLS: give the CA file too")
    return faults


def _password_faults(settings: StoreSettings, endpoints: list[Endpoint]) -> list[str]:
    if (settings.user is None) != (settings.password_file is None):
        return ["user and password file belong together: give both or neither"]
    plaintext = any(not endpoint.tls for endpoint in endpoints)
    if settings.user is not None and plaintext and not settings.allow_plaintext_password:
        return ["the password would cross the network in the clear: use https://, or allow it expressly"]
    return []
