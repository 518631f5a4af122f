"""How etcd's failures become ours: each text below is one that etcd or gRPC really gave."""

from typing import Any

import grpc
import pytest

from agent.clients.etcd.channel import Failure, etcd3, failure_of
from agent.errors import Missing, Refused, SwarmkeeperError, Unreachable
from agent.model.store import Endpoint

ENDPOINT = Endpoint(host="10.0.0.1", port=2379, tls=True)


def failure(code: str, details: str) -> Failure:
    return Failure(code=code, details=details, endpoint=ENDPOINT)


@pytest.mark.parametrize(
    ("code", "details", "ours"),
    [
        ("UNAVAILABLE", "etcdserver: no leader", Unreachable),
        ("UNAVAILABLE", "etcdserver: request timed out", Unreachable),
        ("UNKNOWN", "context deadline exceeded", Unreachable),
        ("DEADLINE_EXCEEDED", "Deadline Exceeded", Unreachable),
        ("INTERNAL", "stream terminated by RST_STREAM", Unreachable),
        ("CANCELLED", "Channel closed!", Unreachable),
        ("RESOURCE_EXHAUSTED", "etcdserver: too many requests", Unreachable),
        ("RESOURCE_EXHAUSTED", "etcdserver: mvcc: database space exceeded", Refused),
        ("PERMISSION_DENIED", "etcdserver: permission denied", Refused),
        ("INVALID_ARGUMENT", "etcdserver: request is too large", Refused),
        ("UNAUTHENTICATED", "etcdserver: invalid auth token", Refused),
        ("NOT_FOUND", "etcdserver: requested lease not found", Missing),
    ],
)
def test_each_failure_is_answered_in_its_way(code: str, details: str, ours: type[SwarmkeeperError]) -> None:
    error = failure(code, details).as_error()
    assert isinstance(error, ours)
    assert isinstance(error, Missing) == (ours is Missing)
    assert str(error).startswith(f"etcd at https://10.0.0.1:2379: {code}: {details}")


def test_an_etcd_without_space_names_the_remedy() -> None:
    error = failure("RESOURCE_EXHAUSTED", "etcdserver: mvcc: database space exceeded").as_error()
    assert str(error).endswith(
        ": compact and defragment etcd, then run `etcdctl alarm disarm`: docs/operate/etcd.md"
    )


@pytest.mark.parametrize(
    ("code", "details", "cause"),
    [
        (
            "UNAVAILABLE",
            "last error: UNKNOWN: ipv4:10.0.0.1:2379: Failed to connect to remote host: Connection refused (111)",
            "connection refused",
        ),
        ("UNAVAILABLE", "ipv4:10.0.0.1:2379: connect: No route to host (113)", "no route to host"),
        ("DEADLINE_EXCEEDED", "Deadline Exceeded", "timed out"),
        (
            "UNAVAILABLE",
            "last error: UNKNOWN: connection attempt timed out before receiving SETTINGS",
            "timed out",
        ),
        ("UNAVAILABLE", "etcdserver: no leader", "etcdserver: no leader"),
        ("UNAVAILABLE", "Ssl handshake failed", "TLS failure: Ssl handshake failed"),
    ],
)
def test_the_cause_of_an_endpoint_is_short(code: str, details: str, cause: str) -> None:
    assert failure(code, details).cause == cause


def test_a_text_of_3_mb_is_cut() -> None:
    found = failure_of(_RpcError("x" * 3_000_000), ENDPOINT)
    assert found.details.endswith("... 2,999,000 more characters")


@pytest.mark.parametrize(
    ("code", "details"),
    [
        ("UNAUTHENTICATED", "etcdserver: invalid auth token"),
        ("INVALID_ARGUMENT", "etcdserver: revision of auth store is old"),
        ("INVALID_ARGUMENT", "etcdserver: user name is empty"),
    ],
)
def test_three_refusals_are_about_the_token_alone(code: str, details: str) -> None:
    assert failure(code, details).is_stale_token
    assert not failure(code, "etcdserver: request is too large").is_stale_token or code == "UNAUTHENTICATED"


@pytest.mark.parametrize(
    "details",
    [
        "Ssl handshake failed (TSI_PROTOCOL_FAILURE): CERTIFICATE_VERIFY_FAILED: unable to get local issuer",
        "Custom verification check failed with error: UNAUTHENTICATED: Hostname Verification Check failed.",
        "Unwrap failed (TSI_DATA_CORRUPTED)",
        "Handshake read failed (Socket closed)",
    ],
)
def test_a_tls_failure_is_named(details: str) -> None:
    error = failure("UNAVAILABLE", details).as_error()
    assert "TLS failure" in str(error)
    assert failure("UNAVAILABLE", details).kind == "tls"


def test_a_refused_connection_is_no_tls_failure() -> None:
    assert failure("UNAVAILABLE", "ipv4:10.0.0.1:2379: Connection refused").kind == "unavailable"


class _RpcError(grpc.RpcError):  # type: ignore[misc]
    def code(self) -> Any:
        return grpc.StatusCode.UNAVAILABLE

    def details(self) -> str:
        return self.args[0] if self.args else "etcdserver: no leader"


def test_the_text_that_etcd3_drops_is_found_again() -> None:
    try:
        try:
            raise _RpcError
        except grpc.RpcError:
            raise etcd3.exceptions.ConnectionFailedError  # noqa: B904 (as etcd3 does it)
    except etcd3.Etcd3Exception as error:
        found = failure_of(error, ENDPOINT)
    assert (found.code, found.details) == ("UNAVAILABLE", "etcdserver: no leader")


def test_a_channel_closed_under_the_call_leaves_the_outcome_unknown() -> None:
    assert failure_of(ValueError("Cannot invoke RPC on closed channel!"), ENDPOINT).is_ambiguous
