"""What went wrong in a call to etcd, told apart by what the caller can do about it."""

from dataclasses import dataclass

import grpc

from agent.clients.etcd.channel import etcd3
from agent.errors import Missing, Refused, SwarmkeeperError, Unreachable
from agent.model.endpoint import Endpoint

FAILURES = (grpc.RpcError, etcd3.Etcd3Exception, ValueError)
"""All that a call can raise: etcd3 wraps four codes and lets the others through, and gRPC says ValueError when the
channel was closed under the call."""

# UNKNOWN is what etcd answers to a write that found no quorum in time: it may yet be carried out.
_AMBIGUOUS = frozenset({"UNAVAILABLE", "DEADLINE_EXCEEDED", "INTERNAL", "UNKNOWN", "CANCELLED", "ABORTED"})
_TOKEN_TEXTS = ("invalid auth token", "revision of auth store is old", "user name is empty")
_TLS_TEXTS = ("ssl", "tls", "certificate", "tsi_", "handshake", "verification check")


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """A failed call: gRPC's status code and text, from whom."""

    code: str
    details: str
    endpoint: Endpoint

    @property
    def is_ambiguous(self) -> bool:
        """Whether the member may be at fault, and the call may have been carried out."""
        return self.code in _AMBIGUOUS or "too many requests" in self.details

    @property
    def is_stale_token(self) -> bool:
        """Whether etcd refused for the token alone: nothing was carried out, a new token may help."""
        return self.code == "UNAUTHENTICATED" or any(text in self.details for text in _TOKEN_TEXTS)

    @property
    def is_tls(self) -> bool:
        lowered = self.details.lower()
        return (
            self.endpoint.tls and self.code == "UNAVAILABLE" and any(each in lowered for each in _TLS_TEXTS)
        )

    @property
    def kind(self) -> str:
        """A word for metrics, out of a small set."""
        return "tls" if self.is_tls else self.code.lower()

    def __str__(self) -> str:
        what = "TLS failure" if self.is_tls else self.code
        return f"etcd at {self.endpoint}: {what}: {self.details}"

    def as_error(self) -> SwarmkeeperError:
        """Return the error of ours that says what to do about it."""
        if self.is_ambiguous:
            return Unreachable(str(self))
        if self.code == "NOT_FOUND":
            return Missing(str(self))
        return Refused(str(self))


def failure_of(error: BaseException, endpoint: Endpoint) -> Failure:
    """Return what a call to `endpoint` failed with. etcd3 keeps the gRPC error, with the text, in `__context__`."""
    if isinstance(error, etcd3.Etcd3Exception) and error.__context__ is not None:
        error = error.__context__
    if isinstance(error, grpc.RpcError) and hasattr(error, "code"):
        return Failure(code=error.code().name, details=error.details() or "", endpoint=endpoint)
    return Failure(code="CANCELLED", details=str(error), endpoint=endpoint)
