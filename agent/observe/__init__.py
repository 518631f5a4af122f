"""Observes the input of a plan: one snapshot of etcd, and the state of the engine and the kernel."""

from agent.observe.cluster import ClusterReader
from agent.observe.crashes import CrashSettings
from agent.observe.host import DOUBT_S, HostReader
from agent.observe.observer import Identity, Observer

__all__ = ["DOUBT_S", "ClusterReader", "CrashSettings", "HostReader", "Identity", "Observer"]
