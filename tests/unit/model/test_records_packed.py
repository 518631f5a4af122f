"""Fields of a record that are stored compressed."""

import base64
import json
import zlib
from dataclasses import replace
from typing import Any

import msgspec
import pytest

from agent.errors import Invalid, NewerFormat
from agent.model import records
from agent.model.records import LARGEST_VALUE, Presence, decode, encode, expanded
from agent.model.status import HostStatus, ReplicaReport

STATUS = HostStatus(
    instance="run-1",
    at="10:00",
    agent_version="1.0",
    images=("app:1",),
    replicas=(ReplicaReport(service="app", slot=1, spec="a", id="1", name="prod-app-1", status="running"),),
)


def body(**changes: Any) -> bytes:
    """Return the status as a record whose checksum is right, with changes."""
    content = {**json.loads(encode(STATUS, terse=True)), **changes}
    content.pop("sum")
    return msgspec.json.encode(content)


def packed(content: bytes) -> str:
    return base64.b64encode(zlib.compress(content)).decode()


def test_a_record_with_compressed_fields_is_read_as_without() -> None:
    raw = encode(STATUS, terse=True, packed=True)

    assert json.loads(raw).keys() == {"agent_version", "at", "instance", "packed", "sum", "v"}
    assert decode(HostStatus, raw) == STATUS


def test_a_record_that_a_tool_has_formatted_is_read() -> None:
    raw = encode(STATUS, terse=True, packed=True)

    assert decode(HostStatus, json.dumps(json.loads(raw), indent=2).encode()) == STATUS


def test_a_record_without_any_of_the_fields_has_no_compressed_part() -> None:
    bare = replace(STATUS, images=(), replicas=())

    assert encode(bare, terse=True, packed=True) == encode(bare, terse=True)


@pytest.mark.parametrize(
    "part",
    [
        "not base64!", 7, {"a": 1}, packed(b"[]"), packed(b"{"), packed(b'{"replicas": 7}'), packed(b'{"no": 1}'),
        packed(b"\xff"), base64.b64encode(b"no zlib").decode(),
        base64.b64encode(zlib.compress(b'{"images": ["app:1"]}')[:-4]).decode(),
    ],
)  # fmt: skip
def test_a_compressed_part_that_is_none_makes_the_record_unreadable(part: object) -> None:
    with pytest.raises(Invalid):
        decode(HostStatus, body(packed=part))


def test_a_damaged_compressed_part_is_found_by_the_checksum() -> None:
    found = json.loads(encode(STATUS, terse=True, packed=True))
    found["packed"] = packed(b'{"replicas": []}')

    with pytest.raises(Invalid, match="checksum"):
        decode(HostStatus, json.dumps(found).encode())


def test_the_compressed_part_of_a_newer_format_is_not_looked_at() -> None:
    with pytest.raises(NewerFormat):
        decode(HostStatus, body(v=records.VERSION + 1, packed=7))


def test_a_part_that_expands_to_more_than_a_value_may_have_is_refused() -> None:
    whole = b'{"images": ["' + b"x" * (LARGEST_VALUE - 16) + b'"]}'

    assert len(whole) == LARGEST_VALUE
    assert decode(HostStatus, body(packed=packed(whole))).images[0][:2] == "xx"
    with pytest.raises(Invalid, match=f"more than {LARGEST_VALUE} bytes"):
        decode(HostStatus, body(packed=packed(whole + b" ")))


def test_expansion_ends_at_the_limit() -> None:
    assert expanded(zlib.compress(b"xx"), 2) == b"xx"
    with pytest.raises(Invalid):
        expanded(zlib.compress(b"x" * 10_000_000), 2)


def test_only_a_status_has_a_compressed_part() -> None:
    presence = {"v": 1, "instance": "run-1", "boot_id": "b", "version": "1", "since": "10:00"}
    large = packed(b'{"host": "' + b"x" * 1_000_000 + b'"}')

    assert decode(Presence, json.dumps(presence).encode()).instance == "run-1"
    with pytest.raises(Invalid, match="packed"):
        decode(Presence, json.dumps(presence | {"packed": large}).encode())
