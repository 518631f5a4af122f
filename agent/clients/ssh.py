"""Another host by the system's own ssh: its docker socket forwarded to a socket of this one, or one command there.

One ssh process carries all requests to a socket. Keys, host keys and jump hosts come from the user's configuration of
ssh. The other host needs neither the docker command nor another port.
"""

import os
import shutil
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from subprocess import DEVNULL, PIPE, Popen, TimeoutExpired

from agent.errors import Unreachable
from agent.model.phrases import cut

_READY_S, _POLL_S, _END_S = 30.0, 0.02, 2.0
_LARGEST, _FAILED = 2_000_000, 255
"""Bytes of a command's output that are read; the exit code of ssh if it fails itself."""
_OPTIONS = (
    "-oBatchMode=yes",  # several hosts at once cannot ask for passwords
    "-oConnectTimeout=10",
    "-oServerAliveInterval=5",
    "-oServerAliveCountMax=3",
    "-oControlMaster=no",  # in a shared process the forwarding would outlive the command
    "-oControlPath=none",
    "-oLogLevel=ERROR",
)


def run(target: Sequence[str], command: str, timeout_s: float) -> tuple[bytes, str]:
    """Run a command of the other host's shell; return its output and its last message, whatever its exit code.

    Raises Unreachable if ssh fails, or the command does not end in time or writes more than _LARGEST bytes.
    """
    output, messages, end_s = b"", b"", time.monotonic() + timeout_s
    with _ssh(target, command) as process:
        pipes = [each for each in (process.stdout, process.stderr) if each]
        for each in pipes:
            os.set_blocking(each.fileno(), False)
        while True:  # until ssh ends: a process of its ProxyCommand may keep the pipes open for longer
            ended = process.poll() is not None
            more, text = (each.read(_LARGEST - len(output)) or b"" for each in pipes)
            output, messages = output + more, (messages + text)[-_LARGEST:]
            if len(output) == _LARGEST or time.monotonic() > end_s:
                process.kill()
                break
            if ended and not more and not text:
                break
            time.sleep(0.0 if more or text else _POLL_S)  # for either pipe, or the end of ssh
        code, message = process.wait(), _last(messages)
    if code == _FAILED or code < 0:
        bounds = f"the command there did not end within {timeout_s:g} s and {_LARGEST} bytes"
        raise Unreachable(
            f"ssh to {target[-1]}: {(message or 'no connection') if code == _FAILED else bounds}"
        )
    return output, message


def _ssh(target: Sequence[str], *command: str, options: Sequence[str] = (), to: int = PIPE) -> Popen[bytes]:
    """Start ssh without a shell. Raises Unreachable if this machine has none."""
    *more, host = target
    argv = ["ssh", *_OPTIONS, "-T", *options, *more, "--", host, *command]
    try:
        return Popen(argv, stdin=DEVNULL, stdout=to, stderr=to)  # noqa: S603 - no shell
    except FileNotFoundError as error:
        raise Unreachable("this machine has no ssh command: install openssh-client") from error


def _last(messages: bytes) -> str:
    """Return the last message that is not empty, shortened."""
    lines = messages[-4096:].decode(errors="replace").split("\n")
    return cut(next((each.strip() for each in reversed(lines) if each.strip()), ""))


class Tunnel:
    """A running ssh. `target` has its options `-l` and `-p`, then the host; `socket` is docker's on that host.

    Raises Unreachable without an ssh command. `wait` for the connection before the socket is used.
    """

    def __init__(self, target: Sequence[str], socket: str) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="swarmkeeper-"))  # no other user may enter it
        self.socket, self._messages = self._folder / "docker.sock", self._folder / "messages"
        self._host, self._process = target[-1], None
        try:
            with self._messages.open("wb") as messages:
                options = ("-N", "-L", f"{self.socket}:{socket}")
                self._process = _ssh(target, options=options, to=messages.fileno())
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
            message = _last(self._messages.read_bytes())
        except FileNotFoundError:
            message = ""
        return f"ssh to {self._host}: {message or 'no connection'}"

    def close(self) -> None:
        """End ssh and remove its socket."""
        if self._process and self.is_up:
            self._process.terminate()
            try:
                self._process.wait(_END_S)
            except TimeoutExpired:
                self._process.kill()
        shutil.rmtree(self._folder, ignore_errors=True)
