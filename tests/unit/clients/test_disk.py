"""What is kept on disk: whole or not at all, for its owner alone, and never believed when it is damaged."""

import errno
import hashlib
import os
import socket
import stat
import tracemalloc
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from agent.clients.disk import FILE, UNUSED_S, ConfigFiles, StateDirectory
from agent.errors import Invalid, Refused
from agent.model.spec import ContainerSpec, Mount
from agent.model.store import KeyValue


def kv(key: str, value: bytes) -> KeyValue:
    return KeyValue(key=key, value=value, create_revision=3, mod_revision=7, lease=0)


OLD = (kv("/c/accepted", b"old"),)
NEW = (kv("/c/accepted", b"\x00\xff not text"), kv("/c/swarm", b'{"v":1}'))


@pytest.fixture
def state(tmp_path: Path) -> StateDirectory:
    return StateDirectory(tmp_path)


def test_what_was_kept_is_found_again_byte_for_byte(state: StateDirectory) -> None:
    state.save(NEW)
    assert state.load() == NEW


def test_where_nothing_was_kept_nothing_is_found(state: StateDirectory) -> None:
    assert state.load() == ()


def test_what_is_kept_takes_the_place_of_what_was(state: StateDirectory) -> None:
    state.save(OLD)
    state.save(())
    assert state.load() == ()


def test_only_the_owner_may_read_it_whatever_the_umask(state: StateDirectory, tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        state.save(NEW)
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / FILE).stat().st_mode) == 0o600


def test_the_new_file_is_on_the_disk_before_it_takes_the_place_of_the_old(
    state: StateDirectory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    state.save(OLD)
    happened = recorded(monkeypatch)
    state.save(NEW)
    assert happened == [f"sync {FILE.replace('.json', '.new')}", f"rename to {FILE}", f"sync {tmp_path.name}"]


def recorded(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What is done to files from now on, in order."""
    happened: list[str] = []
    fsync, replace = os.fsync, Path.replace

    def recording_fsync(descriptor: int) -> None:
        happened.append(f"sync {Path(f'/proc/self/fd/{descriptor}').readlink().name}")
        fsync(descriptor)

    def recording_replace(self: Path, target: Path) -> Path:
        happened.append(f"rename to {target.name}")
        return replace(self, target)

    monkeypatch.setattr(os, "fsync", recording_fsync)
    monkeypatch.setattr(Path, "replace", recording_replace)
    return happened


@pytest.mark.fault("power is lost while the state directory is written")
@pytest.mark.parametrize("dies_at", range(3))
def test_a_power_cut_at_any_moment_leaves_the_old_or_the_new(
    state: StateDirectory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, dies_at: int
) -> None:
    state.save(OLD)
    with monkeypatch.context() as patch:
        dying(patch, dies_at)
        with pytest.raises(PowerCut):
            state.save(NEW)
    found = StateDirectory(tmp_path).load()
    assert found == (NEW if dies_at == 2 else OLD)
    StateDirectory(tmp_path).save(NEW)
    assert state.load() == NEW


class PowerCut(BaseException):
    pass


def dying(monkeypatch: pytest.MonkeyPatch, dies_at: int) -> None:
    """Let the machine end at the sync of the file (0), the rename (1) or the sync of the directory (2)."""
    left: Iterator[int] = iter(range(10))

    def perhaps(whole: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any) -> Any:
            if next(left) == dies_at:
                raise PowerCut
            return whole(*arguments)

        return call

    monkeypatch.setattr(os, "fsync", perhaps(os.fsync))
    monkeypatch.setattr(Path, "replace", perhaps(Path.replace))


@pytest.mark.fault("the disk of the state directory is full, or fails")
@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EROFS, errno.EIO, errno.EDQUOT])
def test_a_disk_that_takes_nothing_is_reported_and_keeps_what_it_had(
    state: StateDirectory, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    state.save(OLD)

    def full(_descriptor: int) -> None:
        raise OSError(number, os.strerror(number))

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(Refused, match=os.strerror(number)):
            state.save(NEW)
    assert state.load() == OLD


def test_a_directory_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Refused, match="No such file or directory"):
        StateDirectory(tmp_path / "none").save(NEW)


def test_a_file_that_cannot_be_read_is_invalid_and_not_absent(state: StateDirectory, tmp_path: Path) -> None:
    (tmp_path / FILE).mkdir()
    with pytest.raises(Invalid, match="Is a directory"):
        state.load()


def test_another_format_is_refused_by_its_number(state: StateDirectory, tmp_path: Path) -> None:
    state.save(NEW)
    body = msgspec.json.decode((tmp_path / FILE).read_bytes())
    (tmp_path / FILE).write_bytes(msgspec.json.encode(body | {"v": 2}))
    with pytest.raises(Invalid, match="has format 2; this agent reads format 1"):
        state.load()


def test_a_newer_format_is_named_whatever_it_looks_like(state: StateDirectory, tmp_path: Path) -> None:
    (tmp_path / FILE).write_bytes(b'{"v":2,"keys":{"of":"another form"}}')
    with pytest.raises(Invalid, match="has format 2; this agent reads format 1"):
        state.load()


NEWER = b'{"v":9,"keys":{"of":"another form"}}'
ASIDE = f"{FILE}.v9"


def found_newer(directory: Path) -> StateDirectory:
    """A state directory that an agent begins with after one of a newer format."""
    (directory / FILE).write_bytes(NEWER)
    state = StateDirectory(directory)
    with pytest.raises(Invalid):
        state.load()
    return state


def test_a_newer_format_stays_in_its_place_until_something_is_kept_and_is_set_aside_then(
    tmp_path: Path,
) -> None:
    state = found_newer(tmp_path)
    assert [each.name for each in tmp_path.iterdir()] == [FILE]
    state.save(OLD)
    state.save(NEW)
    assert state.load() == NEW
    assert (tmp_path / ASIDE).read_bytes() == NEWER
    assert stat.S_IMODE((tmp_path / ASIDE).stat().st_mode) == 0o600


def test_what_was_set_aside_before_is_not_replaced(tmp_path: Path) -> None:
    (tmp_path / ASIDE).write_bytes(b"earlier")
    found_newer(tmp_path).save(NEW)
    assert (tmp_path / ASIDE).read_bytes() == b"earlier"
    assert StateDirectory(tmp_path).load() == NEW


def test_a_newer_format_that_somebody_took_away_himself_holds_nothing_up(tmp_path: Path) -> None:
    state = found_newer(tmp_path)
    (tmp_path / FILE).unlink()
    state.save(NEW)
    assert state.load() == NEW


def test_an_older_format_and_a_damaged_file_are_not_set_aside(tmp_path: Path) -> None:
    for content in (b'{"v":0}', b"{"):
        (tmp_path / FILE).write_bytes(content)
        state = StateDirectory(tmp_path)
        with pytest.raises(Invalid):
            state.load()
        state.save(NEW)
    assert [each.name for each in tmp_path.iterdir()] == [FILE]


@pytest.mark.parametrize("dies_at", range(4))
def test_a_power_cut_while_a_newer_format_is_set_aside_loses_neither(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, dies_at: int
) -> None:
    state = found_newer(tmp_path)
    with monkeypatch.context() as patch:
        dying(patch, dies_at)
        with pytest.raises(PowerCut):
            state.save(NEW)
    kept = (tmp_path / FILE).read_bytes()
    assert NEWER in (kept, (tmp_path / ASIDE).read_bytes() if (tmp_path / ASIDE).exists() else b"")
    assert kept == NEWER or StateDirectory(tmp_path).load() == NEW


def test_when_something_was_kept_is_known(state: StateDirectory, tmp_path: Path) -> None:
    assert state.saved_at == 0
    state.save(NEW)
    assert state.saved_at == (tmp_path / FILE).stat().st_mtime


@pytest.mark.parametrize(
    "content", [b"", b"null", b"[]", b"{}", b'{"v":1}', b"\xff\xfe", b"\x00" * 4096, b"[" * 100_000]
)
def test_a_file_of_something_else_is_damaged(state: StateDirectory, tmp_path: Path, content: bytes) -> None:
    (tmp_path / FILE).write_bytes(content)
    with pytest.raises(Invalid, match="is damaged"):
        state.load()


@pytest.mark.parametrize("kind", ["fifo", "zeros", "device", "socket"])
@pytest.mark.timeout(10)
def test_what_is_no_small_regular_file_neither_hangs_the_agent_nor_is_read_whole(
    state: StateDirectory, tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)  # the path of a socket is short
    with socket.socket(socket.AF_UNIX) as listener:
        make = {
            "fifo": lambda: os.mkfifo(FILE),
            "zeros": lambda: os.truncate(os.open(FILE, os.O_CREAT | os.O_WRONLY), 300_000_000),
            "device": lambda: Path(FILE).symlink_to("/dev/zero"),
            "socket": lambda: listener.bind(FILE),
        }
        make[kind]()
    tracemalloc.start()
    with pytest.raises(Invalid, match=FILE):
        state.load()
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()

    assert most < 1_000_000
    state.save(NEW)
    assert state.load() == NEW


def test_a_new_file_of_another_kind_does_not_hold_a_save_up(state: StateDirectory, tmp_path: Path) -> None:
    fresh = (tmp_path / FILE).with_suffix(".new")
    os.mkfifo(fresh)
    state.save(OLD)
    fresh.symlink_to("/dev/zero")
    state.save(NEW)
    assert state.load() == NEW
    assert [each.name for each in tmp_path.iterdir()] == [FILE]


def test_no_more_is_saved_than_can_be_read(state: StateDirectory, monkeypatch: pytest.MonkeyPatch) -> None:
    state.save(OLD)
    monkeypatch.setattr("agent.clients.disk.LARGEST_BYTES", 50)
    with pytest.raises(Refused, match="File too large"):
        state.save(NEW)


tampering = settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


@pytest.mark.fault("a bit of what was kept on disk flips")
@tampering
@given(place=st.floats(0, 1, exclude_max=True), bit=st.integers(0, 7))
@example(place=0.65625, bit=0)  # `dropped`, which the checksum covers only where it is not 0
def test_no_flipped_bit_is_believed(state: StateDirectory, tmp_path: Path, place: float, bit: int) -> None:
    state.save(NEW)
    raw = bytearray((tmp_path / FILE).read_bytes())
    raw[int(place * len(raw))] ^= 1 << bit
    (tmp_path / FILE).write_bytes(raw)
    assert_not_misread(state)


@tampering
@given(share=st.floats(0, 1, exclude_max=True))
def test_no_truncated_file_is_believed(state: StateDirectory, tmp_path: Path, share: float) -> None:
    state.save(NEW)
    raw = (tmp_path / FILE).read_bytes()
    (tmp_path / FILE).write_bytes(raw[: int(share * len(raw))])
    with pytest.raises(Invalid):
        state.load()


def assert_not_misread(state: StateDirectory) -> None:
    """It is refused, or it is what was kept: a flip in the name of an unknown field would change nothing."""
    try:
        found = state.load()
    except Invalid:
        return
    assert found == NEW


def test_the_state_of_an_agent_that_did_not_know_a_later_field_is_read(tmp_path: Path) -> None:
    """The checksum is of the fields that a value has always had, in their order."""
    saved = '[{"key":"k","value":"dg==","create_revision":1,"mod_revision":2,"lease":0}]'
    digest = hashlib.sha256(saved.encode()).hexdigest()
    (tmp_path / FILE).write_text(f'{{"v":1,"sha256":"{digest}","values":{saved}}}')
    assert StateDirectory(tmp_path).load() == (
        KeyValue(key="k", value=b"v", create_revision=1, mod_revision=2),
    )


# ---- contents of configs

SPEC = ContainerSpec(
    image="x",
    volumes=(
        Mount(type="bind", target="/a", source="/a"),
        Mount(type="bind", target="/c", read_only=True, content="text \u00fc"),
    ),
)


def config(directory: Path) -> Path:
    """Place the config; return its file."""
    other, mount = ConfigFiles(directory).placed(SPEC).volumes
    assert other == SPEC.volumes[0]
    assert mount.source is not None
    return Path(mount.source)


def test_a_config_is_a_file_that_every_account_can_read_in_a_directory_that_is_the_agents_own(
    tmp_path: Path,
) -> None:
    file = config(tmp_path)
    assert file.read_text() == "text \u00fc"
    assert stat.S_IMODE(file.stat().st_mode) == 0o444
    assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700
    assert [each.name for each in file.parent.iterdir()] == [hashlib.sha256(file.read_bytes()).hexdigest()]


def test_a_config_that_is_there_is_not_written_again(tmp_path: Path) -> None:
    first = config(tmp_path).stat()
    assert config(tmp_path).stat().st_ino == first.st_ino


def fifo_instead(file: Path) -> None:
    file.unlink()
    os.mkfifo(file)


@pytest.mark.parametrize(
    ("damage", "in_place"),
    [
        (lambda file: (file.chmod(0o600), file.write_text("other"), file.chmod(0o444)), True),
        (lambda file: file.chmod(0o400), True),
        (lambda file: (file.unlink(), file.symlink_to("/etc/hostname")), False),
        (fifo_instead, False),
    ],
)
def test_a_config_that_was_changed_is_told_and_put_right(
    tmp_path: Path, damage: Callable[[Path], object], in_place: bool
) -> None:
    file = config(tmp_path)
    assert ConfigFiles(tmp_path).differences(SPEC) == ()
    open_before = file.open()
    damage(file)

    (told,) = ConfigFiles(tmp_path).differences(SPEC)
    assert str(told) == f"volumes: the file of /c in {file.parent} was changed"
    assert config(tmp_path) == file
    assert ConfigFiles(tmp_path).differences(SPEC) == ()
    assert file.read_text() == "text \u00fc"
    # A container that mounts the file has it open, in a way.
    assert (os.fstat(open_before.fileno()).st_ino == file.stat().st_ino) == in_place
    open_before.close()


def test_a_config_that_was_removed_is_written_with_the_next_start_and_recreates_nothing(
    tmp_path: Path,
) -> None:
    """Its containers keep the content: a purged state directory must not recreate every one of them."""
    config(tmp_path).unlink()
    assert ConfigFiles(tmp_path).differences(SPEC) == ()
    assert config(tmp_path).read_text() == "text \u00fc"


def test_a_config_that_cannot_be_read_now_is_no_difference(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config(tmp_path).chmod(0o400)

    def broken(_: Path) -> os.stat_result:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(Path, "lstat", broken)
    assert ConfigFiles(tmp_path).differences(SPEC) == ()


def test_a_config_that_cannot_be_written_is_refused_with_the_remedy(tmp_path: Path) -> None:
    (tmp_path / "configs").write_text("in the way")
    with pytest.raises(Refused, match=r"cannot write the config .*/configs/[0-9a-f]{64}: .*; free space on"):
        config(tmp_path)


def test_the_file_of_a_config_is_removed_when_it_is_old_and_nothing_mounts_it(tmp_path: Path) -> None:
    file, files = config(tmp_path), ConfigFiles(tmp_path)
    files.collect(())
    assert file.exists()
    old = file.stat().st_mtime - UNUSED_S - 60
    os.utime(file, (old, old))
    files.collect({file.name})
    assert file.exists()
    files.placed(SPEC)
    files.collect(())
    assert file.exists()
    os.utime(file, (old, old))
    files.collect(())
    assert not file.exists()
