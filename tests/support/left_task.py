"""What a dockerd that is killed while containerd deletes a task leaves: a shim without a container, which is listed.

The call to delete is given up here as a killed dockerd gives it up, while the shim is stopped. It deletes the container
of the task afterwards and goes on; containerd never learns of it.
"""

import os
import signal
from collections.abc import Callable
from functools import partial
from pathlib import Path

import grpc
import pytest

from tests.support.etcd_server import eventually

WITHIN_S = 20.0
GIVEN_UP_S = 3.0
STOPPED = b"\x20\x03"
"""The field `status` in what containerd says of a stopped task."""
NAMESPACE = (("containerd-namespace", "moby"),)


def leave_task(container: str, containerd: Path, signal_dockerd: Callable[[int], object]) -> None:
    """End a running container so; `container` is its id, `containerd` the path of the socket."""
    shim = shim_of(container)
    options = (("grpc.default_authority", "localhost"),)
    with grpc.insecure_channel(f"unix://{containerd}", options=options) as channel:
        ask = partial(_ask, channel, container)
        signal_dockerd(signal.SIGSTOP)  # it would delete the task itself
        try:
            os.kill(_init_of(shim), signal.SIGKILL)
            eventually(lambda: STOPPED in ask("Get"), WITHIN_S, "the task is stopped")
            os.kill(shim, signal.SIGSTOP)
            try:
                with pytest.raises(grpc.RpcError):
                    ask("Delete", GIVEN_UP_S)
            finally:
                os.kill(shim, signal.SIGCONT)
            eventually(lambda: _is_unknown(ask), WITHIN_S, "the shim has no container")
        finally:
            signal_dockerd(signal.SIGCONT)


def shim_of(container: str) -> int:
    """Pid of the shim of a container, in the numbering of this process. LookupError: there is none."""
    found = [each for each in Path("/proc").glob("[0-9]*/cmdline") if _is_shim(each, container)]
    return int(found[0].parent.name)


def _is_shim(cmdline: Path, container: str) -> bool:
    try:
        return b"containerd-shim" in (said := cmdline.read_bytes()) and container.encode() in said
    except OSError:
        return False


def _init_of(shim: int) -> int:
    threads = Path(f"/proc/{shim}/task").glob("*/children")
    return min(int(pid) for each in threads for pid in each.read_text().split())


def _is_unknown(ask: Callable[[str], bytes]) -> bool:
    try:
        ask("Get")
    except grpc.RpcError as error:
        return bool(error.code() == grpc.StatusCode.NOT_FOUND)
    return False


def _ask(channel: grpc.Channel, container: str, call: str, within_s: float = WITHIN_S) -> bytes:
    """Call containerd's service of tasks, whose requests have the id as their first field."""
    request = b"\x0a" + bytes([len(container)]) + container.encode()
    ask: Callable[..., bytes] = channel.unary_unary(f"/containerd.services.tasks.v1.Tasks/{call}")
    return ask(request, timeout=within_s, metadata=NAMESPACE)
