"""The agent as a process of its own, with an engine in memory that may hang.

Run as `python -m tests.support.agent_process`.
"""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NoReturn

import grpc

from agent.clients.etcd import EtcdStore
from agent.config import load_config
from agent.daemon import loop, wiring
from agent.daemon import main as daemon
from agent.daemon.loop import Reconciler
from agent.planner.leader import eligibility
from tests.fakes.engine import FakeEngine
from tests.fakes.kernel import FakeKernel
from tests.fakes.swarm import FakeLan
from tests.support.etcd_server import eventually, free_ports

WITHIN_S = 20.0
IMAGE = "registry.example/order:1.0.0"
"""The one that its registry has."""
STEPS_END_S = 0.6
"""What steps in flight get here when the agent ends, instead of the real 10 s."""


class AgentProcess:
    """One run. `how` says what its engine is: see MODES; none: there is no dockerd at all.

    `etcd_options` are added to the section on etcd of its configuration, `http` stands for the one of that name.
    """

    def __init__(
        self,
        directory: Path,
        etcd: str,
        *,
        how: str = "none",
        listen: str = "",
        etcd_options: str = "",
        http: str = "",
        ttl: str = "15s",
    ) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self.listen = listen or f"127.0.0.1:{free_ports(1)[0]}"
        http = http or f"http: {{listen: '{self.listen}'}}"
        self._config = directory / "agent.yaml"
        self._config.write_text(
            f"cluster: prod\nhost: h1\nstate_directory: {directory}\n"
            f"etcd: {{endpoints: ['{etcd}'], timeout: 500ms, budget: 1s{etcd_options}}}\n"
            f"session: {{ttl: {ttl}, interval: 1s, timeout: 500ms}}\n"
            f"docker: {{url: 'unix://{directory}/none.sock'}}\n"
            f"{http}\n"
            "log: {format: json}\n"
        )
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(f"{directory}/notify")
        self._socket.setblocking(False)
        self._heard: list[str] = []
        self._log = directory / "log"
        module = (
            ["agent.cli.app", "run", "--config"] if how == "none" else ["tests.support.agent_process", how]
        )
        with self._log.open("wb") as log:
            self.process = subprocess.Popen(
                # Where the tests themselves run behind `&` of a shell, SIGINT is ignored, and children inherit that.
                ["env", "--default-signal=INT", sys.executable, "-m", *module, str(self._config)],
                env=os.environ | {"NOTIFY_SOCKET": f"{directory}/notify"},
                stdout=log,
                stderr=log,
            )

    def says(self, what: str) -> bool:
        """Whether it has told systemd something that begins so."""
        with contextlib.suppress(BlockingIOError):
            while True:
                self._heard += self._socket.recv(4096).decode().splitlines()
        return any(each.startswith(what) for each in self._heard)

    def until_it_says(self, what: str) -> None:
        self.eventually(lambda: self.says(what) or self._fail_if_ended(), WITHIN_S, what)

    def get(self, page: str) -> tuple[int, str]:
        """Status and body of one of its pages."""
        try:
            with urllib.request.urlopen(f"http://{self.listen}{page}", timeout=5) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()

    def signal(self, number: int) -> None:
        self.process.send_signal(number)

    def eventually(self, check: Callable[[], object], within_s: float, what: str) -> None:
        """Wait until `check()` is true; fail after `within_s` with what the agent has logged by then."""
        try:
            eventually(check, within_s, what)
        except AssertionError as error:
            error.add_note(self.log())
            raise

    def ended(self, within_s: float) -> int:
        """Its exit code; fails when it does not end in time."""
        self.eventually(lambda: self.process.poll() is not None, within_s, "end of the agent")
        code = self.process.returncode
        assert isinstance(code, int)
        return code

    def log(self) -> str:
        return self._log.read_text()

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
        self._socket.close()

    def _fail_if_ended(self) -> bool:
        assert self.process.poll() is None, f"it ended with {self.process.returncode}:\n{self.log()}"
        return False


@contextlib.contextmanager
def running(directory: Path, etcd: str, **how: str) -> Iterator[AgentProcess]:
    agent = AgentProcess(directory, etcd, **how)
    try:
        yield agent
    finally:
        agent.close()


def _hang(*_arguments: object, **_more: object) -> Any:
    threading.Event().wait()


def _pull_hangs(engine: FakeEngine) -> None:
    engine.pull = _hang  # type: ignore[method-assign]


def _all_hangs(engine: FakeEngine) -> None:
    engine.info = _hang  # type: ignore[method-assign]
    daemon.STEPS_END_S = 60.0


def _freezes_in_its_write(_engine: FakeEngine) -> None:
    """The process stands still when its leader's first write is decided, allowed and just not yet sent."""
    write, one_at_a_time, first = EtcdStore.write_fenced, threading.Lock(), [True]

    def write_later(store: EtcdStore, *arguments: Any) -> None:
        with one_at_a_time:  # another write of the same pass is not to slip through meanwhile
            if first:
                first.clear()
                # To this thread, which so stands still before its next line; another thread must not take it.
                signal.pthread_kill(threading.get_ident(), signal.SIGSTOP)
        write(store, *arguments)

    EtcdStore.write_fenced = write_later  # type: ignore[method-assign, assignment]


def _wall_clock_is_set(_engine: FakeEngine) -> None:
    """SIGUSR1 sets the time of day an hour on, SIGUSR2 two hours back, as an operator or a time server may.

    Not for gRPC: its Python half tells its C half deadlines by the time of day, and the latter cannot be lied to here.
    """
    real, jumps = time.time, [0.0]
    grpc._channel.time = SimpleNamespace(**vars(time))
    time.time = lambda: real() + sum(jumps)
    signal.signal(signal.SIGUSR1, lambda *_: jumps.append(3600.0))
    signal.signal(signal.SIGUSR2, lambda *_: jumps.append(-7200.0))


def _lets_go_soon(_engine: FakeEngine) -> None:
    eligibility.LEADS_BLIND_S = 1.0
    loop.UNREAD_S = 0.2


def _loop_ends(_engine: FakeEngine) -> None:
    Reconciler.run = _return_at_once  # type: ignore[assignment, method-assign]
    daemon.STALLED_S = 0.4


def _return_at_once(_loop: Reconciler) -> None: ...


def _all_is_well(_engine: FakeEngine) -> None: ...


MODES: dict[str, Callable[[FakeEngine], None]] = {
    "all-is-well": _all_is_well,
    "pull-hangs": _pull_hangs,
    "all-hangs": _all_hangs,
    "freezes-in-its-write": _freezes_in_its_write,
    "wall-clock-is-set": _wall_clock_is_set,
    "loop-ends": _loop_ends,
    "lets-go-soon": _lets_go_soon,
}


def main(mode: str, config: str) -> NoReturn:
    """Run the agent on an engine in memory, with a kernel that shows what that has made."""
    engine = FakeEngine("h1", "10.0.0.1", FakeLan(registry={IMAGE}), cluster="prod")
    daemon.STEPS_END_S = STEPS_END_S
    MODES[mode](engine)
    wiring.DockerEngine = lambda *_: engine  # type: ignore[assignment, attr-defined]
    wiring.LinuxKernel = lambda: FakeKernel(engine)  # type: ignore[assignment, attr-defined, misc]
    daemon.run(load_config(Path(config)))


if __name__ == "__main__":
    signal.alarm(600)  # whatever becomes of the test, this process ends
    main(*sys.argv[1:])
