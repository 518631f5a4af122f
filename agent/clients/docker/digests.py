"""Asking the registries of several images, each registry no more often than it answers."""

from collections.abc import Iterable, Mapping

from agent.clients.docker.protocol import Engine
from agent.errors import SwarmkeeperError, Unreachable
from agent.model.registry import registry_of


def ask_digests(engine: Engine, images: Iterable[str]) -> tuple[Mapping[str, str], SwarmkeeperError | None]:
    """(image -> digest of all that were told, the first thing that went wrong).

    Of a registry that does not answer nothing more is asked.
    """
    found: dict[str, str] = {}
    silent: set[str] = set()
    problem: SwarmkeeperError | None = None
    for image in images:
        if registry_of(image) in silent:
            continue
        try:
            found[image] = engine.digest_of(image)
        except SwarmkeeperError as error:
            problem = problem or type(error)(f"{image}: {error}")
            if isinstance(error, Unreachable):
                silent.add(registry_of(image))
    return found, problem
