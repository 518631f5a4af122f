"""A real dockerd for tests: in namespaces of its own, with its own disk, reached by a socket; all of it ends with it.

The process and mount namespaces see to the end: when the first process in them is killed, dockerd, its containerd and
every container go with it, and so does every mount. The network namespace has no way out.
"""

import contextlib
import io
import json
import os
import shutil
import signal
import socket
import subprocess
import tarfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import docker
import requests

from tests.support.etcd_server import eventually

READY_S = 30.0
ADDRESS = "10.99.0.1"
"""Of the only device besides lo."""

BARE = "bare:1"
"""busybox and nothing else: no command, no environment."""
RICH = "rich:1"
"""An image that says everything an image can say."""
RICH_SAYS = (
    "ENV GREETING=hello NAME=image", "LABEL maker=image", "USER 1000", "WORKDIR /srv", 'ENTRYPOINT ["/bin/sh", "-c"]',
    'CMD ["sleep 1000"]', "EXPOSE 8080/tcp", "VOLUME /data",
    "HEALTHCHECK --interval=7s --retries=5 CMD /bin/true",
)  # fmt: skip

# The parent's /run is hidden: a containerd there is another one's.
_INSIDE = """
mount -t tmpfs tmpfs /run
ip link set lo up
ip link add lan type bridge
ip address add {address}/24 dev lan
ip link set lan up
exec dockerd "$@"
"""


class DockerDaemon:
    """One engine. It may be killed, frozen and started again on the same disk. `settings` are its daemon.json."""

    def __init__(
        self,
        directory: Path,
        *,
        address: str = ADDRESS,
        arguments: Sequence[str] = (),
        settings: Mapping[str, Any] | None = None,
    ) -> None:
        self.directory = directory
        self.address = address
        self._arguments = tuple(arguments)
        self._settings = dict(settings or {})
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"unix://{self.directory / 'docker.sock'}"

    @property
    def cgroup(self) -> str:
        """The control group of its containers, below the root of each hierarchy."""
        return f"swarmkeeper-tests-{os.getpid()}-{id(self):x}"

    def client(self) -> docker.APIClient:
        """A client to set the scene with, and to do by hand what an operator would."""
        return docker.APIClient(base_url=self.url, version="1.41", timeout=30)

    def start(self) -> None:
        self.directory.mkdir(parents=True, exist_ok=True)
        (self.directory / "daemon.json").write_text(json.dumps(self._settings))
        with (self.directory / "log").open("ab") as log:
            self._process = subprocess.Popen(self._command(), stdout=log, stderr=log)
        eventually(self._serves, READY_S, f"dockerd; see {self.directory}/log")

    def kill(self) -> None:
        """End it without notice, and everything that runs in it."""
        if self._process is not None:
            dockerd = Path(f"/proc/{self.pid}") if self._process.poll() is None else None
            self._process.kill()
            self._process.wait()
            self._process = None
            eventually(lambda: dockerd is None or not dockerd.exists(), READY_S, "dockerd is gone, too")
            for name in ("docker.sock", "pid"):
                (self.directory / name).unlink(missing_ok=True)
            # As after a reboot: the number in containerd's pid file may be anybody's in the next namespace.
            shutil.rmtree(self.directory / "exec", ignore_errors=True)

    def link_to(self, other: "DockerDaemon") -> None:
        """A cable between the two. It goes with the network of either, when that daemon is killed."""
        here, there = (f"to{each.address.rpartition('.')[2]}" for each in (other, self))
        made = ["ip", "link", "add", here, "type", "veth", "peer", "name", there, "netns", str(other.pid)]
        self.inside(*made)
        for each, cable in ((self, here), (other, there)):
            each.inside("ip", "link", "set", cable, "master", "lan", "up")

    def inside(self, *command: str) -> None:
        """Run a command in its network; fails when the command does."""
        subprocess.run(["nsenter", f"--net=/proc/{self.pid}/ns/net", *command], check=True, timeout=20)

    def freeze(self) -> None:
        os.kill(self.pid, signal.SIGSTOP)

    def thaw(self) -> None:
        os.kill(self.pid, signal.SIGCONT)

    @property
    def pid(self) -> int:
        """Of dockerd itself: the only child of what we started."""
        assert self._process is not None
        children = Path(f"/proc/{self._process.pid}/task/{self._process.pid}/children").read_text()
        return int(children.split()[0])

    def _serves(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, f"dockerd ended: {self._last_words()}"
        # By hand, because the docker package leaves the socket of a refused connection to the garbage collector.
        with socket.socket(socket.AF_UNIX) as wire:
            try:
                wire.connect(str(self.directory / "docker.sock"))
            except OSError:
                return False
        with contextlib.closing(self.client()) as client:
            try:
                return bool(client.ping())
            except requests.ConnectionError:
                return False

    def _last_words(self) -> str:
        return (self.directory / "log").read_text(errors="replace")[-500:]

    def _command(self) -> list[str]:
        own = self.directory
        daemon = [
            f"--host={self.url}",
            f"--config-file={own / 'daemon.json'}",
            f"--data-root={own / 'data'}",
            f"--exec-root={own / 'exec'}",
            f"--pidfile={own / 'pid'}",
            f"--cgroup-parent=/{self.cgroup}",
            *self._arguments,
        ]
        namespaces = [
            "unshare",
            "--net",
            "--mount",
            "--pid",
            "--ipc",
            "--fork",
            "--kill-child",
            "--mount-proc",
        ]
        return [*namespaces, "sh", "-ec", _INSIDE.format(address=self.address), "sh", *daemon]


def load_images(daemon: DockerDaemon) -> None:
    """Put BARE and RICH there."""
    with contextlib.closing(daemon.client()) as client:
        client.import_image_from_data(_root(), repository="bare", tag="1")
        client.import_image_from_data(_root(), repository="rich", tag="1", changes=list(RICH_SAYS))


@contextlib.contextmanager
def running(daemon: DockerDaemon) -> Iterator[DockerDaemon]:
    """Start it, without images, and leave nothing behind."""
    try:
        daemon.start()
        yield daemon
    finally:
        daemon.kill()
        shutil.rmtree(daemon.directory, ignore_errors=True)
        _remove_cgroups(daemon.cgroup)


def _root() -> bytes:
    """A root file system: busybox as the few programs the tests run."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        for name in ("bin", "etc", "tmp", "srv", "data", "proc", "sys", "dev"):
            entry = tarfile.TarInfo(name)
            entry.type, entry.mode = tarfile.DIRTYPE, 0o755
            archive.addfile(entry)
        busybox = shutil.which("busybox")
        assert busybox is not None, "the containers of the tests are made of busybox-static: install it"
        archive.add(busybox, "bin/busybox")
        for name in ("sh", "sleep", "true", "false", "cat", "echo", "env"):
            link = tarfile.TarInfo(f"bin/{name}")
            link.type, link.linkname = tarfile.SYMTYPE, "busybox"
            archive.addfile(link)
    return packed.getvalue()


def _remove_cgroups(name: str) -> None:
    """Remove the control groups of a daemon that has ended, in every hierarchy there is.

    Only its own are walked: those of other workers' daemons come and go meanwhile.
    """
    root = Path("/sys/fs/cgroup")
    for top in (root / name, *root.glob(f"*/{name}")):
        for directory, _, _ in os.walk(top, topdown=False):
            with contextlib.suppress(OSError):
                Path(directory).rmdir()
