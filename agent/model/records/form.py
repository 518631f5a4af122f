"""The one form of the values in etcd: JSON with a version.

An unknown newer version is refused, never misread; a field this version does not know is refused for the same reason.
"""

import dataclasses
from typing import Any, TypeVar, cast
from zlib import crc32

import msgspec

from agent.errors import Invalid

VERSION = 1

R = TypeVar("R")


class NewerFormat(Invalid):
    """Written by an agent newer than this one: not damaged, and not ours to replace."""


def encode(record: Any) -> bytes:
    """Canonical JSON of a record, with its version and checksum; equal records have equal bytes."""
    body = {"v": VERSION, **msgspec.to_builtins(record, str_keys=True)}
    return msgspec.json.encode({**body, "sum": _sum(body)}, order="sorted")


def _sum(body: dict[str, Any]) -> str:
    """CRC-32 of the canonical JSON: whatever one bit may do to a value, it must not pass for another one."""
    return f"{crc32(msgspec.json.encode(body, order='sorted')):08x}"


def decode(kind: type[R], raw: bytes) -> R:
    """Read a record. Raises Invalid, with what was wrong, for anything `encode` of this version cannot have written."""
    try:
        body = msgspec.json.decode(raw)
        if not isinstance(body, dict):
            raise Invalid(f"not a {kind.__name__}: not a JSON object")
        # Who writes one by hand may leave the checksum out. It is a matter of every format, also of a newer one.
        if "sum" in body and body.pop("sum") != _sum(body):
            raise Invalid(f"not a {kind.__name__}: damaged, its checksum does not hold")
        version = body.pop("v", None)
        if isinstance(version, int) and version > VERSION:
            raise NewerFormat(f"a {kind.__name__} of format {version}; this agent reads format {VERSION}")
        if version != VERSION:
            raise Invalid(f"a {kind.__name__} of format {version!r}; this agent reads format {VERSION}")
        record = msgspec.convert(body, kind, strict=True)
    except (msgspec.ValidationError, msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Invalid(f"not a {kind.__name__}: {error}") from error
    if unknown := sorted(set(body) - {each.name for each in dataclasses.fields(cast(Any, kind))}):
        raise Invalid(f"a {kind.__name__} with fields this version does not know: {', '.join(unknown)}")
    return record
