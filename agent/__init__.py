"""Swarmkeeper: one daemon per Docker host that keeps the cluster as the intent in etcd declares."""

# ruff: noqa: PLC0415 - a command that prints no version need not wait for importlib.metadata


def __getattr__(name: str) -> str:
    """Return `__version__`, the version of the installed package."""
    if name != "__version__":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version("swarmkeeper")
    except PackageNotFoundError:  # run from a source tree that was never installed
        return "0+source"
