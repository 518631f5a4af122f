"""Docker's error answers as the few kinds of error that the loop handles. The text remains Docker's.

The status alone is not enough: dockerd answers 500 both for a refusal and for a temporary failure. The texts were
observed on engines 20.10 and 26.1; those of the containerd image store are its own.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import wraps
from http import HTTPStatus

import requests
import urllib3

from agent.errors import Conflict, Missing, Refused, SwarmkeeperError, Unreachable
from agent.logs import masked
from agent.model.phrases import cut

_TEMPORARY = (
    "the swarm does not have a leader", "rpc error", "context deadline exceeded", "context canceled",
    "timeout was reached before node joined", "connection refused", "i/o timeout", "no route to host",
    "network is unreachable", "tls handshake timeout", "could not attach to network",
    "attaching to network failed", "invalid cluster node while attaching",
)  # fmt: skip
"""Temporary failures, with status 4xx or 5xx."""

_CONFLICTS = (
    "already part of a swarm", "name conflicts with an existing object", "update out of sequence",
    "networks have same bridge name", "has active endpoints", "already exists in network",
    "is already attached to network", "key not found in store", "is ambiguous",
)  # fmt: skip
"""The object exists already or was changed meanwhile: observe again."""

_REFUSALS = (
    "port is already allocated", "address already in use", "driver failed programming external connectivity",
    "pool overlaps with other one", "failed to allocate gateway", "failed to parse com.docker",
    "invalid mtu number", "requested address is out of range", "invalid join token",
    "remote ca does not match fingerprint", "invalid base pool", "subnet size is too small",
    "datapath port number", "live-restore", "is incompatible with swarm mode", "not a swarm manager",
    "swarm is encrypted", "participating as a manager", "oci runtime create failed",
    "failed to create shim task", "failed to create task", "error while creating mount source path",
    "could not select device driver", "unknown log opt", "does not support reading",
)  # fmt: skip
"""Refusals with status 5xx."""

_REGISTRY_DOWN = (
    "toomanyrequests", "too many requests", "request timeout", "server error", "bad gateway",
    "service unavailable", "gateway timeout", "unexpected eof", ": eof", "connection reset", "no such host",
    "server misbehaving", "timeout exceeded", "request canceled",
)  # fmt: skip

_KINDS: Mapping[int, type[SwarmkeeperError]] = {
    HTTPStatus.NOT_FOUND: Missing,
    HTTPStatus.CONFLICT: Conflict,
    HTTPStatus.REQUEST_TIMEOUT: Unreachable,
    HTTPStatus.TOO_MANY_REQUESTS: Unreachable,
}

Failure = Callable[[int, str], SwarmkeeperError]
"""Turns an HTTP status and Docker's message into an error."""


def _bounded(as_error: Failure) -> Failure:
    """Judge the whole message; pass it on cut, with secrets masked: Docker repeats the request and the registry."""

    @wraps(as_error)
    def judge(status: int, message: str) -> SwarmkeeperError:
        return type(as_error(status, message))(cut(masked(message)))

    return judge


@_bounded
def failure(status: int, message: str) -> SwarmkeeperError:
    """Return the error for an HTTP status (400 or higher) and its message."""
    text = message.lower()
    if _has(text, _CONFLICTS):
        return Conflict(message)
    if _has(text, _TEMPORARY) and status != HTTPStatus.BAD_REQUEST:
        return Unreachable(message)
    if status < HTTPStatus.INTERNAL_SERVER_ERROR:
        return _KINDS.get(status, Refused)(message)
    return Refused(message) if _has(text, _REFUSALS) else Unreachable(message)


@_bounded
def pull_failure(status: int, message: str) -> SwarmkeeperError:
    """Return the error of a pull: a missing image or denied access is Refused, an unavailable registry Unreachable."""
    if status == HTTPStatus.CONFLICT:
        return Conflict(message)
    return Unreachable(message) if _has(message.lower(), (*_TEMPORARY, *_REGISTRY_DOWN)) else Refused(message)


@_bounded
def network_failure(status: int, message: str) -> SwarmkeeperError:
    """Return the error of a call that needs a network: one that is not found may reach this host later."""
    error = failure(status, message)
    is_network = isinstance(error, Missing) and "no such container" not in message.lower()
    return Unreachable(message) if is_network else error


@_bounded
def creation_failure(status: int, message: str) -> SwarmkeeperError:
    """Return the error of a create call, in which "not found" means a missing driver."""
    error = failure(status, message)
    return Refused(message) if isinstance(error, Missing) else error


def _has(text: str, phrases: tuple[str, ...]) -> bool:
    return any(each in text for each in phrases)


@contextmanager
def unless(*already: str, of: type[SwarmkeeperError] = SwarmkeeperError) -> Iterator[None]:
    """Treat a refusal with one of these texts as success: the state is already as requested."""
    try:
        yield
    except of as error:
        if not any(text in str(error).lower() for text in already):
            raise


def timed_out(error: Exception) -> bool:
    """Return True if nothing was read for too long."""
    # requests raises its own Timeout, but not for an answer that stops half-way.
    stopped = (error, *error.args)
    return any(isinstance(each, requests.Timeout | urllib3.exceptions.TimeoutError) for each in stopped)


def cause(error: BaseException) -> str:
    """Return the innermost reason: requests and urllib3 wrap it several times."""
    inner = next((each for each in reversed(error.args) if isinstance(each, BaseException)), None)
    return cause(inner) if inner is not None else str(error)
