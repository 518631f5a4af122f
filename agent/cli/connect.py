"""The connection to etcd, from configuration and options, and the cluster read from it."""

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

from agent.cli import CONFIG
from agent.cli.output import shown_if_slow
from agent.clients.etcd import EtcdStore, Store
from agent.config import Config, load_config
from agent.errors import Invalid, Refused, Unreachable
from agent.model.keys import ROOT, Keys, after
from agent.model.observed import ClusterState
from agent.model.store import KeyRange, StoreSettings
from agent.observe.look import read_cluster

T = TypeVar("T")

RECHECK_S = 5.0
"""Seconds after which a wait reads etcd again, even if the watch reports no change."""
MOST_CLUSTERS = 20
"""Clusters that are listed; each takes one request."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Connection:
    """One cluster in etcd."""

    store: Store
    keys: Keys

    def read(self) -> ClusterState:
        """Read the whole cluster as a leader does, with every stored spec. Raises Unreachable, Refused."""
        with shown_if_slow(f"reading cluster {self.keys.cluster} from etcd"):
            return self.read_quietly()

    def read_quietly(self) -> ClusterState:
        """Do the same where something else is shown meanwhile."""
        return read_cluster(self.store, self.keys)

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
                    if (result := found(self.read_quietly())) is not None:
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


@contextmanager
def connected(
    config: Path | None, endpoints: Sequence[str] | None, cluster: str | None
) -> Iterator[Connection]:
    """Connect to the cluster that the configuration and the options name, until the block ends.

    `config` is None if no option names it. Raises Invalid when the configuration has faults, or cannot be read and the
    options do not replace it.
    """
    if endpoints and cluster and config is None:
        settings, name = StoreSettings(endpoints=tuple(endpoints)), cluster
    else:
        loaded = _load(config or CONFIG)
        settings = replace(loaded.store, endpoints=tuple(endpoints)) if endpoints else loaded.store
        name = cluster or loaded.cluster
    store = EtcdStore(settings)
    try:
        yield Connection(store=store, keys=Keys(name))
    finally:
        store.close()


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


# ---- A cluster of which etcd has no key


def refuse_unknown(store: Store, keys: Keys, state: ClusterState) -> None:
    """Raise Invalid if etcd has no key of the cluster. `state` is what was read of it. Raises Unreachable, Refused."""
    seen = state.document, state.accepted, state.leader, state.record, state.verdict, state.tokens
    if any(seen) or state.statuses or state.present or state.assignments or state.unreadable:
        return
    if store.first_key(keys.root, after(keys.root)) is None:
        raise Invalid(f"etcd has no cluster {keys.cluster}: {_existing(store)}")


def _existing(store: Store) -> str:
    create = "apply a document, or start an agent, to create it"
    try:
        found = clusters(store)
    except Refused:
        return f"which others it has, you have no right to read; check the name, or {create}"
    if not found:
        return f"it has no other one either; {create}"
    more = ", ..." if len(found) == MOST_CLUSTERS else ""
    return f"it has {', '.join(found)}{more}; name one of them with --cluster, or {create}"


def clusters(store: Store) -> list[str]:
    """Return the names of the first MOST_CLUSTERS in etcd, without their content. Raises Unreachable, Refused."""
    found: list[str] = []
    start = ROOT
    while len(found) < MOST_CLUSTERS and (key := store.first_key(start, after(ROOT))) is not None:
        name = key.removeprefix(ROOT).partition("/")[0]
        root = Keys(name).root
        if key.startswith(root):
            found.append(name)
            start = after(root)
        else:  # a key beside the clusters
            start = f"{key}\0"
    return found
