"""Asking a dockerd whether it is there, without a client library."""

import http.client
import socket
from pathlib import Path


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: Path, timeout: float) -> None:
        super().__init__("localhost", timeout=timeout)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(str(self._path))


def get(path: Path, resource: str, timeout: float = 2) -> tuple[int, str]:
    """The HTTP status and body that a dockerd gives for a resource. Raises OSError when it gives none in time."""
    connection = _UnixConnection(path, timeout)
    try:
        connection.request("GET", resource)
        response = connection.getresponse()
        return response.status, response.read().decode(errors="replace")
    except http.client.HTTPException as error:
        raise OSError(f"{path}: {error!r}") from error
    finally:
        connection.close()


def answers(path: Path, timeout: float = 2) -> bool:
    """Whether a dockerd answers on this socket within `timeout` seconds."""
    try:
        return get(path, "/_ping", timeout)[0] == 200
    except OSError:
        return False
