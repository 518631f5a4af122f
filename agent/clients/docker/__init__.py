"""The only door to dockerd."""

from agent.clients.docker.docker_engine import DockerEngine
from agent.clients.docker.images import ask_digests
from agent.clients.docker.protocol import (
    Containers,
    Engine,
    EngineEvents,
    EngineInfo,
    ObserveCall,
    unobserved,
)

__all__ = [
    "Containers",
    "DockerEngine",
    "Engine",
    "EngineEvents",
    "EngineInfo",
    "ObserveCall",
    "ask_digests",
    "unobserved",
]
