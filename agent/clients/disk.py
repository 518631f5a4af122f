"""The state files of the agent, and the files that it writes for its containers.

One has the etcd keys that the agent last carried out, for a start while etcd is unreachable; the other one has what the
host remembers of replicas beyond their containers. Each is replaced atomically (new file, fsync, rename, fsync of the
directory): after a power cut it is the old or the new one. A checksum detects damage.
"""

import errno
import fcntl
import hashlib
import os
import stat
import threading
import time
from collections.abc import Collection, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from operator import attrgetter
from pathlib import Path

import msgspec
import structlog

from agent.diff.container import CONFIGS
from agent.errors import Invalid, Refused
from agent.model.host_state import Difference
from agent.model.spec import ContainerSpec, Mount
from agent.model.store import KeyValue

VERSION = 1
FILE = "kept.json"
LARGEST_BYTES = 32 * 2**20
LOCK = "lock"
REPLICAS = "replicas.json"
REMEDY = "free space on the file system of the state directory, or make it writable"

log = structlog.get_logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class _Format:
    v: int


@dataclass(frozen=True, slots=True, kw_only=True)
class _SavedState:
    v: int
    sha256: str
    values: tuple[KeyValue, ...]


UNUSED_S = 3600.0
"""Seconds for which a config file that no container mounts stays: its container may be about to be created."""
_READABLE = 0o444


class ConfigFiles:
    """The contents of configs as files in the agent's own directory, named by their hashes. Containers mount them.

    Every account can read them in a container: the agent may change no owner. The directory is the agent's alone.
    """

    def __init__(self, directory: Path) -> None:
        self._directory, self._lock = directory / CONFIGS, threading.Lock()

    def placed(self, spec: ContainerSpec) -> ContainerSpec:
        """Write the contents of `spec` whose files are missing or changed; return it with the paths of the files.

        Raises Refused (disk full, no such directory).
        """
        with self._lock:
            return replace(spec, volumes=tuple(map(self._placed, spec.volumes)))

    def _placed(self, mount: Mount) -> Mount:
        if mount.content is None:
            return mount
        file, content = self._directory / mount.content_hash, mount.content.encode()
        try:
            if not self._is_sound(file) and file.is_file() and not file.is_symlink():
                with suppress(OSError):  # in place, so that other containers which mount the file see it, too
                    file.chmod(0o600)
                    file.write_bytes(content)
                    file.chmod(_READABLE)
            if not self._is_sound(file):
                self._directory.mkdir(mode=0o700, exist_ok=True)
                fresh = file.with_suffix(".new")
                _write_synced(fresh, content, _READABLE)
                fresh.replace(file)
                _sync_directory(self._directory)
            os.utime(file)
        except OSError as error:
            raise Refused(f"cannot write the config {file}: {error.strerror}; {REMEDY}") from error
        return replace(mount, source=str(file))

    def differences(self, spec: ContainerSpec) -> tuple[Difference, ...]:
        """Return one for each config of a container of `spec` whose file was changed.

        A container keeps the content of a removed file, and each start writes the file again.
        """
        found = []
        for mount in filter(attrgetter("content_hash"), spec.volumes):
            file = self._directory / mount.content_hash
            with suppress(OSError):  # not there, or not readable now
                file.lstat()
                if not self._is_sound(file):
                    text = f"volumes: the file of {mount.target} in {self._directory} was changed"
                    found.append(Difference.of("volumes", "as declared", "another", "replace", text))
        return tuple(found)

    def _is_sound(self, file: Path) -> bool:
        try:
            is_ours = file.lstat().st_mode == stat.S_IFREG | _READABLE
            return is_ours and hashlib.sha256(_read(file)).hexdigest() == file.name
        except (FileNotFoundError, Invalid):
            return False

    def collect(self, used: Collection[str]) -> None:
        """Remove the files that have no name in `used` and that no container was made with in the last UNUSED_S."""
        with suppress(OSError), self._lock:
            for file in self._directory.iterdir():
                if file.name not in used and time.time() - file.lstat().st_mtime > UNUSED_S:
                    file.unlink()


class StateDirectory:
    """One file in the agent's own directory, which systemd creates (StateDirectory=)."""

    def __init__(self, directory: Path, file: str = FILE) -> None:
        self._file = directory / file
        self._foreign_format: int | None = None
        """Format of a state file that a newer agent wrote and that is not renamed yet; None: there is none."""

    def lock(self) -> None:
        """Lock the directory until this process ends. Raises Refused if another agent has locked it.

        Two agents under one host name would act against each other. Without the file (disk full) there is no lock.
        """
        path = self._file.with_name(LOCK)
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            log.warning("state directory not locked", path=str(path), error=error.strerror or str(error))
            return
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(descriptor)
            raise Refused(f"another agent runs on this host: it has locked {path}") from error

    @property
    def saved_at(self) -> float:
        """Seconds since the Unix epoch at the last save; 0: never saved."""
        with suppress(OSError):
            return self._file.stat().st_mtime
        return 0.0

    def save(self, values: Sequence[KeyValue]) -> None:
        """Replace the saved keys with `values`. Raises Refused (disk full, no such directory, too much to read again).

        A file in which `load` found a newer format is first linked to a second name.
        """
        saved = _SavedState(v=VERSION, sha256=_digest(values), values=tuple(values))
        fresh = self._file.with_suffix(".new")
        try:
            content = msgspec.json.encode(saved)
            if len(content) > LARGEST_BYTES:
                raise OSError(errno.EFBIG, os.strerror(errno.EFBIG))
            _write_synced(fresh, content)
            self._preserve_foreign_file()
            fresh.replace(self._file)
            _sync_directory(self._file.parent)
        except OSError as error:
            raise Refused(f"cannot save state in {self._file}: {error.strerror}") from error

    def load(self) -> tuple[KeyValue, ...]:
        """Return the saved keys, none without a file. Raises Invalid for a damaged file or another format."""
        try:
            raw = _read(self._file)
        except FileNotFoundError:
            return ()
        except OSError as error:
            raise Invalid(f"cannot read {self._file}: {error.strerror}") from error
        try:
            # The format first: the other fields of a newer format are unknown here.
            version = msgspec.json.decode(raw, type=_Format).v
            if version != VERSION:
                self._foreign_format = version if version > VERSION else None
                raise Invalid(f"{self._file} has format {version}; this agent reads format {VERSION}")
            saved = msgspec.json.decode(raw, type=_SavedState)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise Invalid(f"{self._file} is damaged: {error}") from error
        if saved.sha256 != _digest(saved.values):
            raise Invalid(f"{self._file} is damaged: its checksum is wrong")
        return saved.values

    @property
    def unread(self) -> Path | None:
        """The unreadable file of an earlier start, which nobody has taken away yet; None: there is none."""
        aside = self._file.with_name(f"{self._file.name}.unread")
        return aside if os.path.lexists(aside) else None

    def set_aside(self) -> None:
        """Rename the file that `load` could not read. An earlier one stays, and the next save replaces this one."""
        if self.unread is None:
            with suppress(OSError):  # the next save reports the disk
                self._file.rename(self._file.with_name(f"{self._file.name}.unread"))

    def _preserve_foreign_file(self) -> None:
        """Link a newer agent's file to a second name, once: it may be the only record of its content."""
        if self._foreign_format is None:
            return
        preserved = self._file.with_name(f"{self._file.name}.v{self._foreign_format}")
        try:
            # Unlike a rename, a link leaves no moment without kept.json and overwrites nothing.
            os.link(self._file, preserved)
        except FileExistsError:
            log.warning("replacing a state file of a newer agent; an earlier one exists", file=str(preserved))
        except FileNotFoundError:
            pass  # the operator removed it
        else:
            preserved.chmod(0o600)
            _sync_directory(self._file.parent)
            log.warning("state file of a newer agent saved under another name", file=str(preserved))
        self._foreign_format = None


def _digest(values: Sequence[KeyValue]) -> str:
    # An agent that did not know `dropped` has saved the state with a checksum without it. A saved value has none.
    plain = map(msgspec.to_builtins, values)
    saved = [{key: each for key, each in value.items() if each or key != "dropped"} for value in plain]
    return hashlib.sha256(msgspec.json.encode(saved)).hexdigest()


def _read(path: Path) -> bytes:
    # Without O_NONBLOCK the open of a FIFO waits for a writer.
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    with os.fdopen(descriptor, "rb") as file:
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode) or found.st_size > LARGEST_BYTES:
            raise Invalid(f"{path} is no regular file of at most {LARGEST_BYTES:,} bytes")
        return file.read(LARGEST_BYTES)


def _write_synced(path: Path, content: bytes, mode: int = 0o600) -> None:
    path.unlink(missing_ok=True)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        os.fchmod(descriptor, mode)
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def _sync_directory(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
