"""Swarmkeeper: one daemon per Docker host that keeps the cluster as the intent in etcd declares."""

from importlib.metadata import PackageNotFoundError, version

try:
    __version__ = version("swarmkeeper")
except PackageNotFoundError:  # run from a source tree that was never installed
    __version__ = "0+source"
