"""The way to the engine of a host: its own socket, or ssh to where the document or cli.yaml says."""

import os
import signal
import socket
import stat
import sys
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from agent.cli import reach
from agent.cli.reach import Reach, load_settings, reaching
from agent.errors import Invalid, Unreachable
from tests.support.cluster_states import HEALTHY, A, B
from tests.support.etcd_server import eventually

LISTENS = """
import signal, socket
wire = socket.socket(socket.AF_UNIX)
wire.bind(sys.argv[sys.argv.index("-L") + 1].partition(":")[0])
wire.listen()
"""
SERVES = f"{LISTENS}signal.pause()\n"
FAILS = """
print('debug: more', file=sys.stderr)
print('Permission denied (publickey).\\r', file=sys.stderr)
sys.exit(255)
"""

Programs = Callable[[str, str], Path]


@pytest.fixture
def program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Programs:
    """Make a program of that name the first on the path; it writes its arguments to the returned file."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")

    def make(name: str, code: str) -> Path:
        path, said = folder / name, tmp_path / f"{name}.arguments"
        path.write_text(
            f"#!{sys.executable}\nimport os, sys\nopen({str(said)!r}, 'w').write('\\n'.join(sys.argv[1:]))\n{code}"
        )
        path.chmod(0o755)
        return said

    return make


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file of settings of this user, not there yet."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    monkeypatch.setattr(reach, "CONFIG", tmp_path / "etc" / "agent.yaml")
    (tmp_path / "swarmkeeper").mkdir()
    return tmp_path / "swarmkeeper" / "cli.yaml"


@pytest.fixture
def way(home: Path) -> Iterator[Reach]:
    way = Reach("prod", None)
    yield way
    way.close()


def test_ssh_goes_to_the_address_in_the_document_and_is_shared(program: Programs, way: Reach) -> None:
    said = program("ssh", SERVES)
    engine = way.engine(B, HEALTHY)
    assert way.engine(B, HEALTHY) is engine
    arguments = said.read_text().split("\n")
    assert arguments[-2:] == ["--", "10.0.0.232"]
    assert {"-oBatchMode=yes", "-oControlMaster=no", "-N"} <= set(arguments)
    path = Path(engine.url.removeprefix("unix://"))
    assert arguments[arguments.index("-L") + 1] == f"{path}:/run/docker.sock"
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700, "the socket is root's right on the host"
    way.close()
    assert not path.parent.exists()
    with pytest.raises(Unreachable, match="has ended"):
        way.engine(A, HEALTHY)


def test_settings_say_how_ssh_goes(program: Programs, home: Path) -> None:
    home.write_text(
        "ssh:\n  user: admin\n  docker_socket: /srv/d.sock\n  hosts: {node-232: bastion:2222, node-231: me@10.0.0.9}\n"
    )
    said, way = program("ssh", SERVES), Reach("prod", None)
    way.engine(B, HEALTHY)
    assert said.read_text().split("\n")[-6:] == ["-l", "admin", "-p", "2222", "--", "bastion"]
    assert ":/srv/d.sock\n" in said.read_text()
    way.engine(A, HEALTHY)
    assert said.read_text().split("\n")[-4:] == ["-l", "me", "--", "10.0.0.9"]
    way.close()


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        ("ssh: {hosts: {node-1: -oProxyCommand=reboot}}", "'-oProxyCommand=reboot' is no target of ssh"),
        ("ssh: {hosts: {node-1: 'a b'}}", "write for example admin@10.0.0.1:22"),
        ("ssh: {hosts: {node-1: 'a:70000'}}", "'a:70000' is no target of ssh"),
        ("ssh: {hosts: {-n: a}}", "'-n' is not a host name"),
        ("ssh: {user: -l}", "'-l' is not the name of a user"),
        ("ssh: {docker_socket: 'run/x'}", "'run/x' is not an absolute path"),
        ("ssh: {usr: a}", "line 1, column 7: ssh.usr: unknown key 'usr'; did you mean 'user'?"),
        ("shh: {}", "unknown key 'shh'"),
    ],
)
def test_bad_settings_are_refused_with_their_place(home: Path, content: str, fault: str) -> None:
    home.write_text(content)
    with pytest.raises(Invalid) as refused:
        load_settings()
    assert fault in str(refused.value)
    assert str(home) in str(refused.value)


def test_settings_of_the_machine_count_without_those_of_the_user(home: Path, tmp_path: Path) -> None:
    assert load_settings().user is None
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc" / "cli.yaml").write_text("ssh: {user: all}")
    assert load_settings().user == "all"
    home.write_text("ssh: {user: mine}")
    assert load_settings().user == "mine"


def test_what_ssh_said_is_the_reason(program: Programs, way: Reach) -> None:
    program("ssh", FAILS)
    with pytest.raises(Unreachable, match=r"ssh to 10\.0\.0\.232: Permission denied \(publickey\)\.$"):
        way.engine(B, HEALTHY)


def test_a_host_without_an_address_is_named_with_the_remedy(way: Reach) -> None:
    with pytest.raises(Invalid, match=r"name it in cli\.yaml under ssh\.hosts"):
        way.engine("elsewhere", HEALTHY)


def test_a_lost_connection_is_made_again(program: Programs, way: Reach, tmp_path: Path) -> None:
    program("ssh", f"{LISTENS}wire.accept()\n")
    first = way.engine(B, HEALTHY)
    assert way.fault(B) == ""
    with socket.socket(socket.AF_UNIX) as wire:
        wire.connect(first.url.removeprefix("unix://"))
    eventually(lambda: way.fault(B) != "", 10)
    assert way.fault(B) == "ssh to 10.0.0.232: no connection"
    assert way.engine(B, HEALTHY) is not first


def test_an_ssh_that_still_connects_ends_with_the_command(
    program: Programs, way: Reach, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folders = tmp_path / "folders"
    folders.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folders))
    said = program("ssh", "import signal\nprint(os.getpid(), flush=True)\nsignal.pause()\n")
    with ThreadPoolExecutor() as pool:
        asked = pool.submit(way.engine, B, HEALTHY)
        eventually(lambda: said.exists() and any(each.read_text() for each in folders.glob("*/messages")), 20)
        (messages,) = folders.glob("*/messages")
        process = int(messages.read_text())
        way.close()
        with pytest.raises(Unreachable):
            asked.result(10)
    assert not Path(f"/proc/{process}").exists()
    assert list(folders.iterdir()) == []


def test_a_signal_that_ends_the_command_ends_the_connections_first(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    set_to: dict[int, Any] = {}
    monkeypatch.setattr(
        signal, "getsignal", {signal.SIGTERM: signal.SIG_DFL, signal.SIGHUP: signal.SIG_IGN}.get
    )
    monkeypatch.setattr(signal, "signal", set_to.__setitem__)
    with reaching(cast(Any, SimpleNamespace(keys=SimpleNamespace(cluster="prod"))), None):
        pass
    assert set_to == {signal.SIGTERM: signal.default_int_handler}, "nohup goes on to count"


def test_the_own_host_needs_no_ssh(way: Reach, tmp_path: Path) -> None:
    config = tmp_path / "agent.yaml"
    config.write_text(
        "cluster: prod\nhost: node-232\netcd: {endpoints: ['http://127.0.0.1:2379']}\ndocker: {url: 'unix:///srv/docker.sock'}\n"
    )
    assert Reach("prod", config).engine(B, HEALTHY).url == "unix:///srv/docker.sock"
