"""The connection to etcd, from configuration and options, and the cluster read from it."""

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

from agent.cli import CONFIG
from agent.clients.etcd import EtcdStore, Store
from agent.config import Config, load_config
from agent.errors import Invalid, Unreachable
from agent.model.keys import Keys
from agent.model.observed import ClusterState
from agent.model.store import KeyRange, StoreSettings
from agent.observe.cluster import ClusterReader

T = TypeVar("T")

RECHECK_S = 5.0
"""Seconds after which a wait reads etcd again, even if the watch reports no change."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Connection:
    """One cluster in etcd."""

    store: Store
    keys: Keys

    def read(self) -> ClusterState:
        """Read the whole cluster as a leader does, with every stored spec. Raises Unreachable, Refused."""
        stored = self._reader().read(self.store, None, frozenset()).state.stored_specs
        # The first snapshot lists the specs, the second reads them. A spec written in between is shown by its hash.
        return self._reader().read(self.store, None, stored).state

    def wait_for(self, found: Callable[[ClusterState], T | None], timeout_s: float) -> T | None:
        """Read again at every change until `found` returns something, and return that; None after `timeout_s`.

        Raises Unreachable when etcd does not answer at the end of that time.
        """
        deadline, changed = time.monotonic() + timeout_s, threading.Event()
        watch = self.store.watch(self.everything, lambda _: changed.set())
        try:
            while True:
                changed.clear()
                try:
                    if (result := found(self.read())) is not None:
                        return result
                except Unreachable:
                    if time.monotonic() >= deadline:
                        raise
                left = deadline - time.monotonic()
                if left <= 0:
                    return None
                changed.wait(min(left, RECHECK_S))
        finally:
            watch.close()

    @property
    def everything(self) -> tuple[KeyRange, ...]:
        """The keys of the cluster."""
        return (KeyRange(key=self.keys.root, prefix=True),)

    def _reader(self) -> ClusterReader:
        return ClusterReader(self.keys, "")  # no host has the empty name


@contextmanager
def connected(
    config: Path | None, endpoints: Sequence[str] | None, cluster: str | None
) -> Iterator[Connection]:
    """Connect to the cluster that the configuration and the options name, until the block ends.

    `config` is None if no option names it. Raises Invalid when the configuration has faults, or cannot be read and the
    options do not replace it.
    """
    settings, name = _target(config, endpoints, cluster)
    store = EtcdStore(settings)
    try:
        yield Connection(store=store, keys=Keys(name))
    finally:
        store.close()


def _target(
    config: Path | None, endpoints: Sequence[str] | None, cluster: str | None
) -> tuple[StoreSettings, str]:
    if endpoints and cluster and config is None:
        return StoreSettings(endpoints=tuple(endpoints)), cluster
    loaded = _load(config or CONFIG)
    settings = replace(loaded.store, endpoints=tuple(endpoints)) if endpoints else loaded.store
    return settings, cluster or loaded.cluster


def _load(config: Path) -> Config:
    """Return the settings in the file. Raises Invalid; if there is no readable file, with the remedy."""
    remedy = "name another file with --config, or give --endpoint and --cluster"
    try:
        config.open().close()
    except FileNotFoundError as error:
        raise Invalid(f"{config} does not exist: {remedy}") from error
    except PermissionError as error:
        raise Invalid(f"{config}: you have no permission to read it: use sudo, {remedy}") from error
    except OSError:
        pass  # load_config describes it
    return load_config(config)
