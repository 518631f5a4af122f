"""The only access to dockerd."""

from collections.abc import Callable

from agent.clients.docker import containers, networks, protocol, swarm, transport
from agent.clients.docker.images import ask_digests
from agent.clients.docker.protocol import Containers, Engine, EngineEvents, EngineInfo, OverlayPeers

__all__ = [
    "Containers",
    "DockerEngine",
    "Engine",
    "EngineEvents",
    "EngineInfo",
    "OverlayPeers",
    "ask_digests",
]


class DockerEngine(swarm.Swarm, networks.Networks, containers.Containers):
    """The dockerd at `url` (unix:///run/docker.sock, tcp://host:port). The labels of `cluster` mark managed objects.

    A read times out after `timeout_s` seconds; an act has a longer limit of its own. The constructor sends nothing.
    `credentials` returns the header X-Registry-Auth for an image, or None.
    """

    def __init__(
        self,
        url: str,
        timeout_s: float,
        cluster: str,
        observe_call: protocol.ObserveCall = lambda *_: None,
        credentials: Callable[[str], str | None] = lambda _: None,
    ) -> None:
        super().__init__(transport.Transport(url, timeout_s, observe_call), cluster)
        self._credentials = credentials

    def events(self) -> transport.DockerEvents:
        return transport.DockerEvents(self._transport)

    def close(self) -> None:
        self._transport.close()
