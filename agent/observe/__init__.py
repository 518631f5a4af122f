"""Gathers what a plan is made from: one snapshot of etcd, one look at the engine and the kernel."""

from agent.observe.cluster import ClusterReader, KeyOpener, TokenOpener
from agent.observe.crashes import CrashSettings
from agent.observe.host import DOUBT_S, HostReader
from agent.observe.observer import Identity, Observer

__all__ = [
    "DOUBT_S",
    "ClusterReader",
    "CrashSettings",
    "HostReader",
    "Identity",
    "KeyOpener",
    "Observer",
    "TokenOpener",
]
