"""The real engine."""

from collections.abc import Callable
from typing import Self

from agent.clients.docker.containers import Containers
from agent.clients.docker.images import anonymous
from agent.clients.docker.networks import Parking
from agent.clients.docker.protocol import ObserveCall, unobserved
from agent.clients.docker.swarm import Nodes, Swarm
from agent.clients.docker.transport import DockerEvents, Transport


class DockerEngine(Swarm, Nodes, Parking, Containers):
    """The dockerd at `url` (unix:///run/docker.sock, tcp://host:port); ours is what carries the labels of `cluster`.

    A call that observes has `timeout_s` seconds; acts take as long as dockerd is known to need for them. Nothing is
    sent before the first call. `credentials` gives the header X-Registry-Auth for an image, or None.
    """

    def __init__(
        self,
        url: str,
        timeout_s: float,
        cluster: str,
        observe_call: ObserveCall = unobserved,
        credentials: Callable[[str], str | None] = anonymous,
    ) -> None:
        super().__init__(Transport(url, timeout_s, observe_call), cluster)
        self._credentials = credentials

    def events(self) -> DockerEvents:
        return DockerEvents(self._transport)

    def close(self) -> None:
        self._transport.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
