"""What the parts of the engine client share: the wire, and the cluster whose containers are ours."""

from typing import Any

from agent.clients.docker.transport import Method, Transport


class Door:
    """Base of the parts of DockerEngine."""

    def __init__(self, transport: Transport, cluster: str) -> None:
        self._transport = transport
        self._cluster = cluster

    def _ask(self, call: str, method: Method, path: str, **options: Any) -> Any:
        return self._transport.ask(call, method, path, **options)
