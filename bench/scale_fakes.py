"""The fakes of tests/fakes for a thousand hosts in one process: counted, timed, and without their loops over all hosts.

What an agent sees of them is the same. The time that a fake takes is not the agent's: `OUTSIDE` gathers it.
"""

import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import wraps
from itertools import islice
from types import SimpleNamespace
from typing import Any

import tests.fakes.engine
from agent.daemon.triggers import WakeUps
from agent.model.store import Compare, Delete, KeyRange, Put, Snapshot, TxnResult
from tests.fakes.containers import Raw
from tests.fakes.engine import FakeEngine
from tests.fakes.etcd import FakeEtcd
from tests.fakes.store import FakeStore, FakeWatch
from tests.fakes.swarm import FakeLan, FakeSwarm, Member


class Stopwatch:
    """Processor seconds inside of fakes; a fake that another fake calls does not count twice."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self._depth = 0

    @contextmanager
    def running(self) -> Iterator[None]:
        began = time.process_time()
        self._depth += 1
        try:
            yield
        finally:
            self._depth -= 1
            if not self._depth:
                self.seconds += time.process_time() - began

    def around(self, method: Callable[..., Any]) -> Callable[..., Any]:
        """The method, timed."""

        @wraps(method)
        def timed(*args: Any, **kwargs: Any) -> Any:
            with self.running():
                return method(*args, **kwargs)

        return timed


OUTSIDE = Stopwatch()


class Timed:
    """An engine or a kernel whose calls are timed; all else is passed on."""

    def __init__(self, wrapped: Any) -> None:
        object.__setattr__(self, "_wrapped", wrapped)

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._wrapped, name)
        return OUTSIDE.around(found) if callable(found) and not isinstance(found, type) else found

    def __setattr__(self, name: str, value: Any) -> None:
        setattr(self._wrapped, name, value)


# ---- etcd


class LargeEtcd(FakeEtcd):
    """Counts puts by kind of key, and reads ranges without a look at every key."""

    def __init__(self, clock: Callable[[], float]) -> None:
        super().__init__(clock)
        self.puts: Counter[str] = Counter()
        """By the part of the key after the cluster: statuses are `hosts/status`."""
        self.put_bytes = 0
        self.pushed_bytes = 0
        """Bytes of the changes that watches were told."""
        self._next_expiry = 0.0

    def snapshot(self, ranges: Sequence[KeyRange]) -> Snapshot:
        with self.lock:
            self.expire()
            everything = self._values
            exact = {each.key for each in ranges if not each.prefix}
            prefixes = tuple(each.key for each in ranges if each.prefix)
            try:
                self._values = {key: everything[key] for key in exact if key in everything}
                if prefixes:
                    self._values |= {
                        key: value for key, value in everything.items() if key.startswith(prefixes)
                    }
                return super().snapshot(ranges)
            finally:
                self._values = everything

    def expire(self) -> None:
        if self.clock() < self._next_expiry:
            return
        super().expire()
        ends = (lease.expires_at for lease in self._leases.values())
        self._next_expiry = min(ends, default=self.clock())

    def grant(self, ttl_s: float) -> Any:
        self._next_expiry = 0.0
        return super().grant(ttl_s)

    def txn(self, compares: Sequence[Compare], operations: Sequence[Put | Delete]) -> TxnResult:
        result = super().txn(compares, operations)
        if result.succeeded:
            for each in operations:
                if isinstance(each, Put):
                    self.puts[kind_of(each.key)] += 1
                    self.put_bytes += len(each.key) + len(each.value)
        return result

    def total_bytes(self) -> int:
        return sum(len(key) + len(each.value) for key, each in self._values.items())


def kind_of(key: str) -> str:
    """`hosts/status` of /swarmkeeper/prod/hosts/node-1/status: the names of hosts and hashes left out."""
    parts = key.strip("/").split("/")[2:]
    return "/".join((parts[0], parts[-1])) if parts[0] == "hosts" else parts[0]


class LargeWatch(FakeWatch):
    """Compares the changed keys with all of its ranges at once."""

    def rearm(self, ranges: Sequence[KeyRange]) -> None:
        super().rearm(ranges)
        self._index()

    def changed(self, keys: Sequence[str]) -> None:
        told = [key for key in keys if key in self._exact or key.startswith(self._prefixes)]
        if told:
            etcd = self._store.etcd
            assert isinstance(etcd, LargeEtcd)
            etcd.pushed_bytes += sum(len(etcd._values[key].value) for key in told if key in etcd._values)
            super().changed(told)

    def _index(self) -> None:
        self._exact = {each.key for each in self._ranges if not each.prefix}
        self._prefixes = tuple(each.key for each in self._ranges if each.prefix)


class CountedStore(FakeStore):
    """Counts what it reads, and times itself."""

    reads = 0
    read_bytes = 0

    def read(self, ranges: Sequence[KeyRange]) -> Snapshot:
        with OUTSIDE.running():
            found = super().read(ranges)
            self.reads += 1
            self.read_bytes += sum(len(key) + len(each.value) for key, each in found.values.items())
            return found

    def watch(self, ranges: Sequence[KeyRange], on_wake: Callable[[str], None]) -> FakeWatch:
        with OUTSIDE.running():
            watch = LargeWatch(self, ranges, on_wake)
            watch._index()
            self._watching.append(watch)
            self.etcd.add_watch(watch)
            watch.wake("watch: open")
            return watch


for _name in ("txn", "write_fenced", "read_at", "first_key", "grant", "keepalive", "granted_s", "alarm"):
    if method := getattr(FakeStore, _name, None):
        setattr(CountedStore, _name, OUTSIDE.around(method))


# ---- the LAN


class _Reached(list[Member]):
    """Members, of which one is found without a search."""

    def __init__(self, members: list[Member]) -> None:
        super().__init__(members)
        self._ids = set(map(id, members))

    def __contains__(self, member: object) -> bool:
        return id(member) in self._ids


class LargeSwarm(FakeSwarm):
    _now: _Reached | None = None

    def reached(self) -> list[Member]:
        return self._now if self._now is not None else _Reached(super().reached())

    def nodes(self) -> Any:
        self._now = _Reached(super().reached())
        try:
            return super().nodes()
        finally:
            self._now = None


class LargeLan(FakeLan):
    """Gives addresses out in order, and knows who is on which network; no container asks for an address."""

    def __init__(self, registry: set[str]) -> None:
        super().__init__(registry=registry)
        self.first_address = 0
        """Addresses of each network that it leaves out."""
        self.alone = False
        """Only one host of it has containers: all members count as peers of that one."""
        self._free: dict[str, Iterator[Any]] = {}
        self._on: dict[str, set[str]] = {}
        self._sorted: dict[str, tuple[str, ...]] = {}

    def taken(self, network: str) -> set[str]:  # noqa: ARG002 - nobody asks for an address
        return set()

    def adopt(self, engine: FakeEngine) -> None:
        """Let an engine that was made on this LAN ask it instead of every other engine."""
        nets, plug = engine.nets, engine.nets.plug

        def free_address(name: str) -> str:
            known = nets.known(name)
            if known is None or known.subnet is None:
                return ""
            addresses = self._free.setdefault(
                known.id, islice(known.subnet.hosts(), self.first_address, None)
            )
            return next(text for text in map(str, addresses) if text != known.gateway)

        def plugged(raw: Raw) -> None:
            plug(raw)
            for name, network in list((nets.membership[0].networks if nets.membership else {}).items()):
                on = self._on.setdefault(network.id, set())
                (on.add if engine.by_hand.on(name, network.id) else on.discard)(engine.address)
                self._sorted.pop(network.id, None)

        def peers(network_id: str) -> tuple[str, ...]:
            on = self._on.get(network_id, set())
            if nets.membership is None or engine.address not in on:
                return ()
            if self.alone:
                return tuple(sorted(self.members))
            if network_id not in self._sorted:
                self._sorted[network_id] = tuple(sorted(on))
            hidden = {each for each in self.sides if self.side(each) != self.side(engine.address)}
            found = self._sorted[network_id]
            return tuple(each for each in found if each not in hidden) if hidden else found

        nets.free_address = free_address  # type: ignore[method-assign]
        nets.plug = plugged  # type: ignore[method-assign]
        nets.peers = peers  # type: ignore[method-assign]


def install(clock: Callable[[], float]) -> None:
    """Put these fakes where the agents' parts are made: once in a process, for one cluster."""
    vars(tests.fakes.engine)["FakeSwarm"] = LargeSwarm
    vars(sys.modules[WakeUps.__module__])["time"] = SimpleNamespace(monotonic=clock)
