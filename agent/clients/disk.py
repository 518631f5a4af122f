"""What the agent keeps on the host's disk: the keys it last carried out, for a start while etcd is away.

Written whole or not at all (a new file, fsync, rename, fsync of the directory), so that a power cut leaves the old or
the new one; a checksum tells a damaged file from a good one.
"""

import hashlib
import os
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import msgspec
import structlog

from agent.errors import Invalid, Refused
from agent.model.store import KeyValue

VERSION = 1
FILE = "kept.json"

log = structlog.get_logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class _Format:
    v: int


@dataclass(frozen=True, slots=True, kw_only=True)
class _Kept:
    v: int
    sha256: str
    values: tuple[KeyValue, ...]


class StateDirectory:
    """The agent's own directory; systemd makes it (StateDirectory=) and nobody else reads it."""

    def __init__(self, directory: Path) -> None:
        self._file = directory / FILE
        self._newer: int | None = None
        """The format of what a newer agent has kept here, until it is set aside."""

    @property
    def saved_at(self) -> float:
        """When something was kept last, in seconds since the epoch; 0: never."""
        with suppress(OSError):
            return self._file.stat().st_mtime
        return 0.0

    def save(self, values: Sequence[KeyValue]) -> None:
        """Keep `values` instead of what was kept before. Raises Refused (disk full, no such directory).

        What `load` found to be of a newer format is set aside before that.
        """
        kept = _Kept(v=VERSION, sha256=_digest(values), values=tuple(values))
        fresh = self._file.with_suffix(".new")
        try:
            _write_synced(fresh, msgspec.json.encode(kept))
            self._set_newer_aside()
            fresh.replace(self._file)
            _sync_directory(self._file.parent)
        except OSError as error:
            raise Refused(f"cannot keep state in {self._file}: {error.strerror}") from error

    def load(self) -> tuple[KeyValue, ...]:
        """What was kept; empty when nothing was. Raises Invalid for a file that is damaged or of another format."""
        try:
            raw = self._file.read_bytes()
        except FileNotFoundError:
            return ()
        except OSError as error:
            raise Invalid(f"cannot read {self._file}: {error.strerror}") from error
        try:
            # The format first: what a newer one looks like is not ours to judge.
            version = msgspec.json.decode(raw, type=_Format).v
            if version != VERSION:
                self._newer = version if version > VERSION else None
                raise Invalid(f"{self._file} has format {version}; this agent reads format {VERSION}")
            kept = msgspec.json.decode(raw, type=_Kept)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise Invalid(f"{self._file} is damaged: {error}") from error
        if kept.sha256 != _digest(kept.values):
            raise Invalid(f"{self._file} is damaged: its checksum does not hold")
        return kept.values

    def _set_newer_aside(self) -> None:
        """Give it another name, once: it may be the only one that knows what it holds."""
        if self._newer is None:
            return
        aside = self._file.with_name(f"{FILE}.v{self._newer}")
        try:
            # Unlike a rename, it leaves no moment without kept.json, and takes the place of nothing.
            os.link(self._file, aside)
        except FileExistsError:
            log.warning("what a newer agent kept is replaced: an earlier one is set aside", file=str(aside))
        except FileNotFoundError:
            pass  # somebody took it away himself
        else:
            aside.chmod(0o600)
            _sync_directory(self._file.parent)
            log.warning("what a newer agent kept is set aside", file=str(aside))
        self._newer = None


def _digest(values: Sequence[KeyValue]) -> str:
    return hashlib.sha256(msgspec.json.encode(tuple(values))).hexdigest()


def _write_synced(path: Path, content: bytes) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def _sync_directory(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
