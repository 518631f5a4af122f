"""Docker's socket of another host, forwarded to a socket of this one by the system's own ssh.

One ssh process carries all requests to a host. Keys, host keys and jump hosts come from the user's configuration of
ssh. The other host needs neither the docker command nor another port.
"""

import shutil
import subprocess
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from agent.errors import Unreachable
from agent.model.phrases import cut

_READY_S, _POLL_S, _END_S = 30.0, 0.02, 2.0
_OPTIONS = (
    "-oBatchMode=yes",  # several hosts at once cannot ask for passwords
    "-oConnectTimeout=10",
    "-oServerAliveInterval=5",
    "-oServerAliveCountMax=3",
    "-oControlMaster=no",  # in a shared process the forwarding would outlive the command
    "-oControlPath=none",
    "-oLogLevel=ERROR",
)


class Tunnel:
    """A running ssh. `target` has its options `-l` and `-p`, then the host; `socket` is docker's on that host.

    Raises Unreachable without an ssh command. `wait` for the connection before the socket is used.
    """

    def __init__(self, target: Sequence[str], socket: str) -> None:
        *options, host = target
        self._folder = Path(tempfile.mkdtemp(prefix="swarmkeeper-"))  # no other user may enter it
        self.socket, self._messages, self._host = (
            self._folder / "docker.sock",
            self._folder / "messages",
            host,
        )
        argv = ["ssh", *_OPTIONS, "-N", "-T", "-L", f"{self.socket}:{socket}", *options, "--", host]
        self._process: subprocess.Popen[bytes] | None = None
        try:
            with self._messages.open("wb") as messages:
                self._process = subprocess.Popen(  # noqa: S603 - no shell
                    argv, stdin=subprocess.DEVNULL, stdout=messages, stderr=messages
                )
        except FileNotFoundError as error:
            self.close()
            raise Unreachable("this machine has no ssh command: install openssh-client") from error
        except BaseException:
            self.close()
            raise

    def wait(self) -> None:
        """Wait for the connection. Raises Unreachable, with the message of ssh, if there is none."""
        deadline = time.monotonic() + _READY_S
        while not self.socket.exists():
            if not self.is_up or time.monotonic() > deadline:
                raise Unreachable(self.why())
            time.sleep(_POLL_S)  # ssh tells nobody that its socket is there

    @property
    def is_up(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def why(self) -> str:
        """Return the reason why there is no connection: the last message of ssh."""
        try:
            messages = self._messages.read_bytes()[-4096:].decode(errors="replace").split("\n")
        except FileNotFoundError:
            messages = []
        last = next((each.strip() for each in reversed(messages) if each.strip()), "")
        return f"ssh to {self._host}: {cut(last) or 'no connection'}"

    def close(self) -> None:
        """End ssh and remove its socket."""
        if self._process and self.is_up:
            self._process.terminate()
            try:
                self._process.wait(_END_S)
            except subprocess.TimeoutExpired:
                self._process.kill()
        shutil.rmtree(self._folder, ignore_errors=True)
