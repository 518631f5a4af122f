"""Paths of binds: cleaned as the engine cleans them, with the links of the host followed."""

from pathlib import Path

import pytest

from agent.admission.paths import clean, judge
from agent.clients.kernel import LinuxKernel

LINKS = {
    "/data": "/mnt/disk",
    "/data/a": "/mnt/disk/a",
    "/srv/out": "/",
    "/srv/back": "/srv/kept",
    "/srv/sock": "/run/docker.sock",
    "/srv/hidden/x": None,
    "/proc/1/root": None,
    "/mnt/disk/etc": "/etc",
    "/var/run/docker.sock": "/run/docker.sock",
}
PROTECTED = ("/run/docker.sock", "/var/lib/docker", "/var/run/docker.sock")
CASES = [
    ("/srv/a", ["/srv"], ""),
    ("/srv/back", ["/srv"], ""),
    ("/data/a", ["/data"], ""),  # the entry itself is a link
    ("/data/etc", ["/data"], "it is a link to"),
    ("/srv/out", ["/srv"], "it is a link to /"),
    ("/srv/out", ["/srv/out"], "/run/docker.sock is protected"),
    ("/srv/sock", ["/srv"], "it is a link to /run/docker.sock"),
    ("/srv/sock", ["/srv/sock"], "/run/docker.sock is protected"),
    ("/srv/hidden/x", ["/srv"], "the agent cannot follow its symbolic links"),
    ("/srv/hidden/x", ["/srv/hidden/x"], ""),
    ("/proc/1/root", ["/"], "the agent cannot follow its symbolic links"),
    ("/srv/out", ["/"], "/run/docker.sock is protected"),
    ("/mnt/x", ["/"], ""),
    ("/run/docker.sock", ["/run"], "/run/docker.sock is protected"),
    ("/run", ["/run"], "/run/docker.sock is protected"),
    ("/run/docker.sock", ["/run/docker.sock"], ""),
    ("/run/docker.sock", ["/run", "/var/run/docker.sock"], "/run/docker.sock is protected"),
    ("/var/run/docker.sock", ["/var/run/docker.sock"], ""),
    ("/var/lib/docker/volumes/x", ["/var/lib/docker/volumes"], ""),
    ("/var/lib", ["/var/lib/docker", "/var/lib"], "/var/lib/docker is protected"),
]


@pytest.mark.parametrize(("source", "entries", "why"), CASES)
def test_a_bind_lies_below_an_entry_also_without_links(source: str, entries: list[str], why: str) -> None:
    links = {**LINKS, "/data/etc": "/etc"}
    judged, told = judge(
        source, tuple(entries), PROTECTED, lambda path: links.get(path, path), read_only=False
    )
    assert judged == (why == "")
    assert told.startswith(why)
    assert bool(told) == bool(why)


@pytest.mark.parametrize(
    ("path", "cleaned"),
    [
        ("/a/../../etc", "/etc"),
        ("//etc", "/etc"),
        ("///", "/"),
        ("/srv/./a//b/", "/srv/a/b"),
        ("", "/"),
        ("srv", "/srv"),
    ],
)
def test_a_path_is_cleaned_as_the_engine_does(path: str, cleaned: str) -> None:
    assert clean(path) == cleaned


def test_the_kernel_follows_links_also_to_what_does_not_exist(tmp_path: Path) -> None:
    kernel, top = LinuxKernel(), tmp_path.resolve()
    (top / "dir").mkdir()
    (top / "link").symlink_to(top / "dir")
    (top / "dangling").symlink_to("/nowhere/at/all")
    (top / "loop").symlink_to(top / "loop")
    assert kernel.real_path(f"{top}/dir") == f"{top}/dir"
    assert kernel.real_path(f"{top}/link/new/deep") == f"{top}/dir/new/deep"
    assert kernel.real_path(f"{top}/dangling/x") == "/nowhere/at/all/x"
    assert kernel.real_path(f"{top}/loop") is None


def test_the_kernel_cannot_tell_of_a_directory_that_it_may_not_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def denied(*_: object, **__: object) -> str:
        raise PermissionError

    monkeypatch.setattr("os.path.realpath", denied)
    assert LinuxKernel().real_path(f"{tmp_path}/x") is None
