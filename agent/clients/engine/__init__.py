"""The only door to dockerd."""

from agent.clients.engine.digests import ask_digests
from agent.clients.engine.docker_engine import DockerEngine
from agent.clients.engine.protocol import (
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
