"""A real etcd for tests: on loopback, on free ports, in a directory of its own, ended by its process id."""

import contextlib
import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from shutil import rmtree

READY_S = 20.0


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerTls:
    ca_file: str
    cert_file: str
    key_file: str
    ask_for_client_certificate: bool = False


def free_ports(count: int) -> tuple[int, ...]:
    """Return ports that nobody listens on now; all are held while they are chosen, so they differ."""
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return tuple(int(each.getsockname()[1]) for each in sockets)


def eventually(check: Callable[[], object], within_s: float, what: str = "") -> float:
    """Wait until `check()` is true and return the seconds it took; fail after `within_s`."""
    start = time.monotonic()
    while not check():
        waited = time.monotonic() - start
        assert waited < within_s, f"not within {within_s:g} s: {what or check}"
        time.sleep(0.02)
    return time.monotonic() - start


class EtcdServer:
    """One member. It may be killed, frozen, wiped and started again on the same port."""

    def __init__(
        self, directory: Path, *, arguments: Sequence[str] = (), tls: ServerTls | None = None
    ) -> None:
        self._directory = directory
        self._arguments = tuple(arguments)
        self._tls = tls
        self.port, self.peer_port = free_ports(2)
        self.name = f"member-{self.port}"
        self._cluster: tuple[EtcdServer, ...] = (self,)
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def endpoint(self) -> str:
        return f"{'https' if self._tls else 'http'}://127.0.0.1:{self.port}"

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def start(self) -> None:
        """Start it and wait until it serves."""
        self.launch()
        self.wait_ready()

    def launch(self) -> None:
        self._directory.mkdir(parents=True, exist_ok=True)
        with (self._directory / "log").open("ab") as log:
            self._process = subprocess.Popen(self._command(), stdout=log, stderr=log)

    def wait_ready(self) -> None:
        eventually(self._serves, READY_S, f"etcd on port {self.port}; see {self._directory}/log")

    def kill(self) -> None:
        """End it without notice."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def freeze(self) -> None:
        """Return when every thread of it has stopped: until then one may still answer."""
        os.kill(self.pid, signal.SIGSTOP)
        eventually(self._stands_still, 5)

    def _stands_still(self) -> bool:
        states = (
            stat.read_text().rpartition(")")[2] for stat in Path(f"/proc/{self.pid}/task").glob("*/stat")
        )
        return all(state.split()[0] in "Tt" for state in states)

    def thaw(self) -> None:
        os.kill(self.pid, signal.SIGCONT)

    def wipe(self) -> None:
        """Kill it and lose its data; it is then started as new, with the cluster id it had."""
        self.kill()
        rmtree(self._directory / "data")

    def ctl(self, *arguments: str, user: str | None = None) -> str:
        """Run etcdctl against it and return what it prints; fails when etcdctl does."""
        command = ["etcdctl", "--endpoints", self.endpoint, *self._ctl_tls(), *arguments]
        if user is not None:
            command += ["--user", user]
        done = subprocess.run(
            command,
            capture_output=True,
            text=True,
            check=False,
            timeout=20,
            env=os.environ | {"ETCDCTL_API": "3"},
        )
        assert done.returncode == 0, f"{arguments}: {done.stderr}"
        return done.stdout

    def form_cluster_with(self, members: "Sequence[EtcdServer]") -> None:
        self._cluster = tuple(members)

    def _serves(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, f"etcd ended; see {self._directory}/log"
        try:
            self.ctl("endpoint", "health", "--dial-timeout=1s", "--command-timeout=1s")
        except AssertionError:
            return False
        return True

    def _ctl_tls(self) -> list[str]:
        if self._tls is None:
            return []
        tls = self._tls
        return ["--cacert", tls.ca_file, "--cert", tls.cert_file, "--key", tls.key_file]

    def _command(self) -> list[str]:
        peers = ",".join(f"{each.name}=http://127.0.0.1:{each.peer_port}" for each in self._cluster)
        # A lone member waits out one election time-out before it serves; several need time to hear of each other.
        heartbeat_ms = 50 if len(self._cluster) > 1 else 10
        peer_url = f"http://127.0.0.1:{self.peer_port}"
        command = [
            "etcd",
            f"--name={self.name}",
            f"--data-dir={self._directory / 'data'}",
            f"--listen-client-urls={self.endpoint}",
            f"--advertise-client-urls={self.endpoint}",
            f"--listen-peer-urls={peer_url}",
            f"--initial-advertise-peer-urls={peer_url}",
            f"--initial-cluster={peers}",
            f"--heartbeat-interval={heartbeat_ms}",
            f"--election-timeout={10 * heartbeat_ms}",
            "--logger=zap",
        ]
        if self._tls is not None:
            command += [f"--cert-file={self._tls.cert_file}", f"--key-file={self._tls.key_file}"]
            command += [f"--trusted-ca-file={self._tls.ca_file}"]
            command += [f"--client-cert-auth={str(self._tls.ask_for_client_certificate).lower()}"]
        return [*command, *self._arguments]


@contextlib.contextmanager
def running(server: EtcdServer) -> Iterator[EtcdServer]:
    try:
        server.start()
        yield server
    finally:
        server.kill()


@contextlib.contextmanager
def running_cluster(directory: Path, count: int = 3) -> Iterator[tuple[EtcdServer, ...]]:
    """Start `count` members of one cluster."""
    members = tuple(EtcdServer(directory / str(number)) for number in range(count))
    try:
        for member in members:
            member.form_cluster_with(members)
            member.launch()
        for member in members:
            member.wait_ready()
        yield members
    finally:
        for member in members:
            member.kill()
