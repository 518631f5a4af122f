"""The only access to dockerd."""

from collections.abc import Callable

from agent.clients.docker import containers, networks, swarm, transport
from agent.clients.docker.events import EngineEvents
from agent.clients.docker.images import ask_digests
from agent.clients.docker.reading import Containers, EngineInfo, OverlayPeers

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

    Any thread may call a method. Each raises Unreachable when dockerd does not answer or fails temporarily, and
    Refused, Conflict or Missing, with Docker's message, when dockerd refuses. A change succeeds if its result exists
    already, unless stated otherwise.
    """

    def __init__(
        self,
        url: str,
        timeout_s: float,
        cluster: str,
        observe_call: transport.ObserveCall = lambda *_: None,
        credentials: Callable[[str], str | None] = lambda _: None,
    ) -> None:
        super().__init__(transport.Transport(url, timeout_s, observe_call), cluster)
        self._credentials = credentials

    def events(self) -> EngineEvents:
        """Subscribe to events. Raises Unreachable."""
        return EngineEvents(self._transport)

    def close(self) -> None:
        """Close all connections; no method may be called afterwards."""
        self._transport.close()


Engine = DockerEngine
"""The type of every engine: the tests have one in memory, which overrides all methods."""
