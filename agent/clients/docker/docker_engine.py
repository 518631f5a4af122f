"""The real engine."""

from collections.abc import Callable
from typing import Self

from agent.clients.docker import containers, images, networks, protocol, swarm, transport


class DockerEngine(swarm.Swarm, swarm.Nodes, networks.Parking, containers.Containers):
    """The dockerd at `url` (unix:///run/docker.sock, tcp://host:port); ours is what carries the labels of `cluster`.

    A call that observes has `timeout_s` seconds; acts take as long as dockerd is known to need for them. Nothing is
    sent before the first call. `credentials` gives the header X-Registry-Auth for an image, or None.
    """

    def __init__(
        self,
        url: str,
        timeout_s: float,
        cluster: str,
        observe_call: protocol.ObserveCall = protocol.unobserved,
        credentials: Callable[[str], str | None] = images.anonymous,
    ) -> None:
        super().__init__(transport.Transport(url, timeout_s, observe_call), cluster)
        self._credentials = credentials

    def events(self) -> transport.DockerEvents:
        return transport.DockerEvents(self._transport)

    def close(self) -> None:
        self._transport.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
