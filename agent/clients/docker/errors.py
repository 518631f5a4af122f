"""Docker's answers, as the few kinds of error the loop knows what to do about. The words stay Docker's.

The status alone is not enough: dockerd says 500 both for "no" and for "not now". The texts are those of engines 20.10
and 26.1, seen on real ones.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import wraps
from http import HTTPStatus

from agent.errors import Conflict, Missing, Refused, SwarmkeeperError, Unreachable
from agent.logs import masked

_NOT_NOW = (
    "the swarm does not have a leader",
    "rpc error",
    "context deadline exceeded",
    "context canceled",
    "timeout was reached before node joined",
    "connection refused",
    "i/o timeout",
    "no route to host",
    "network is unreachable",
    "tls handshake timeout",
    "could not attach to network",
    "attaching to network failed",
    "invalid cluster node while attaching",
)
"""Said with 4xx or 5xx, of things that may be otherwise in a moment."""

_CHANGED = (
    "already part of a swarm",
    "name conflicts with an existing object",
    "update out of sequence",
    "networks have same bridge name",
    "has active endpoints",
    "already exists in network",
    "is already attached to network",
    "key not found in store",
    "is ambiguous",
)
"""The thing is there already, or was changed by somebody else: look again."""

_NO = (
    "port is already allocated",
    "address already in use",
    "driver failed programming external connectivity",
    "pool overlaps with other one",
    "failed to allocate gateway",
    "requested address is out of range",
    "invalid join token",
    "remote ca does not match fingerprint",
    "invalid base pool",
    "subnet size is too small",
    "datapath port number",
    "live-restore",
    "not a swarm manager",
    "swarm is encrypted",
    "participating as a manager",
    "oci runtime create failed",
    "failed to create shim task",
    "failed to create task",
    "error while creating mount source path",
    "could not select device driver",
    "unknown log opt",
)
"""Said with 5xx, and meant as a plain no."""

_REGISTRY_BUSY = (
    "toomanyrequests",
    "server error",
    "bad gateway",
    "service unavailable",
    "gateway timeout",
    "unexpected eof",
    ": eof",
    "connection reset",
    "no such host",
    "server misbehaving",
    "timeout exceeded",
    "request canceled",
)

_KINDS: Mapping[int, type[SwarmkeeperError]] = {
    HTTPStatus.NOT_FOUND: Missing,
    HTTPStatus.CONFLICT: Conflict,
    HTTPStatus.REQUEST_TIMEOUT: Unreachable,
    HTTPStatus.TOO_MANY_REQUESTS: Unreachable,
}

Failure = Callable[[int, str], SwarmkeeperError]
"""What makes an error of an HTTP status and Docker's words."""


def _masking(as_error: Failure) -> Failure:
    """Docker repeats what it was given, tokens and keys among it."""

    @wraps(as_error)
    def masking(status: int, message: str) -> SwarmkeeperError:
        return as_error(status, masked(message))

    return masking


@_masking
def failure(status: int, message: str) -> SwarmkeeperError:
    """The error that an answer of this HTTP status (400 and up) and these words is."""
    text = message.lower()
    if _has(text, _CHANGED):
        return Conflict(message)
    if _has(text, _NOT_NOW) and status != HTTPStatus.BAD_REQUEST:
        return Unreachable(message)
    if status < HTTPStatus.INTERNAL_SERVER_ERROR:
        return _KINDS.get(status, Refused)(message)
    return Refused(message) if _has(text, _NO) else Unreachable(message)


@_masking
def pull_failure(status: int, message: str) -> SwarmkeeperError:
    """As `failure`, for a pull: what the registry has not, or gives not, is a no; a registry that is away is not."""
    if status == HTTPStatus.CONFLICT:
        return Conflict(message)
    return Unreachable(message) if _has(message.lower(), (*_NOT_NOW, *_REGISTRY_BUSY)) else Refused(message)


@_masking
def network_failure(status: int, message: str) -> SwarmkeeperError:
    """As `failure`, for what needs a network: one that is not found may not be on this host yet."""
    error = failure(status, message)
    awaited = isinstance(error, Missing) and "no such container" not in message.lower()
    return Unreachable(message) if awaited else error


@_masking
def creation_failure(status: int, message: str) -> SwarmkeeperError:
    """As `failure`, for making something new: what is not found is not that, but the driver it needs."""
    error = failure(status, message)
    return Refused(message) if isinstance(error, Missing) else error


def _has(text: str, words: tuple[str, ...]) -> bool:
    return any(each in text for each in words)


@contextmanager
def unless(*already: str, of: type[SwarmkeeperError] = SwarmkeeperError) -> Iterator[None]:
    """Take a refusal whose words say that it is so already for success."""
    try:
        yield
    except of as error:
        if not any(words in str(error).lower() for words in already):
            raise
