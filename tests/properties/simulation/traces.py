"""Traces: all that the agents of a history decide and do, as text of which every byte is the same each time.

python -m tests.properties.simulation.traces --traces FILE --examples 2000 --seed 7000000 --jobs 2

A change that is to leave the behaviour as it is leaves the traces as they are (docs/simulation.md).
"""

import argparse
import gzip
import hashlib
import inspect
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Set
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import fields, is_dataclass
from enum import Enum
from functools import partial, wraps
from ipaddress import IPv4Address, IPv4Interface, IPv4Network
from pathlib import Path
from typing import Any, NamedTuple
from unittest import mock

from tests.fakes.engine import FakeEngine
from tests.fakes.etcd import FakeEtcd
from tests.properties.simulation.history import history
from tests.properties.simulation.tell import tale
from tests.support.simulated_cluster import SimulatedAgent, SimulatedHost

CHUNK = 20
"""Traces that a process records before it reports."""
READS = frozenset(
    {
        "bridge_endpoints", "containers", "digest_of", "has_node", "images", "info", "networks", "nodes", "output",
        "overlay_addresses", "overlay_peers", "overlay_users", "swarm_tokens", "unlock_key", "volumes",
    }
)  # fmt: skip
"""Calls to an engine that change nothing. Any other one is in the traces, also one that comes later."""
WRITES = ("grant", "keepalive", "revoke", "txn")
"""What changes something in etcd. A lease that runs out shows as the revoke that it is in memory."""

_PLAIN = (bool, bytes, float, int, str)
_PRINTED = (IPv4Address, IPv4Interface, IPv4Network)


class Digest(NamedTuple):
    """What is kept of a trace: equal digests, equal traces."""

    seed: int
    sha256: str
    lines: int

    def __str__(self) -> str:
        return f"{self.seed} {self.sha256} {self.lines}"


def text(value: object) -> str:
    """The value by its class and its fields, however it was imported. Raises TypeError for what has no such form.

    Sets and mappings are sorted: the hashes of strings differ from process to process.
    """
    if value is None or type(value) in _PLAIN:
        return repr(value)
    if isinstance(value, Enum):
        return f"{type(value).__name__}.{value.name}"
    if isinstance(value, _PRINTED):
        return str(value)
    if callable(value):
        return "<callable>"
    return _compound(value)


def _compound(value: object) -> str:
    name = type(value).__name__
    if is_dataclass(value):
        return _named(name, {each.name: getattr(value, each.name) for each in fields(value)})
    if isinstance(value, tuple) and hasattr(value, "_asdict"):
        return _named(name, value._asdict())
    if isinstance(value, tuple | list):
        return f"[{', '.join(map(text, value))}]"
    if isinstance(value, Set):
        return f"{{{', '.join(sorted(map(text, value)))}}}"
    if isinstance(value, Mapping):
        return f"{{{', '.join(sorted(f'{text(key)}: {text(each)}' for key, each in value.items()))}}}"
    raise TypeError(f"no text for a {name} in a trace: {value!r}")


def _named(name: str, values: Mapping[str, object]) -> str:
    return f"{name}({', '.join(f'{key}={text(each)}' for key, each in values.items())})"


class Recorder:
    """Takes down what agents do, a line each: what it is, of whom, and what more there is to say."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def note(self, what: str, *more: str) -> None:
        # What others say may have more than one line.
        self.lines.append(" ".join((what, *more)).replace("\n", "\\n"))

    @contextmanager
    def records(self) -> Iterator[None]:
        """Take down what all agents, engines and etcds in memory do in the meantime."""
        with ExitStack() as stack:
            change = partial(self._change, stack)
            change(SimulatedHost, "__init__", self._host)
            change(SimulatedAgent, "look", self._pass)
            change(SimulatedAgent, "_apply", self._step)
            change(SimulatedAgent, "_done", self._outcome)
            for name in WRITES:
                change(FakeEtcd, name, self._write)
            for name, method in inspect.getmembers(FakeEngine, inspect.isfunction):
                # What is called over the wire is a method in a wrapper, and no other is.
                if hasattr(method, "__wrapped__") and name not in READS:
                    change(FakeEngine, name, self._call)
            yield

    def _change(self, stack: ExitStack, owner: type, name: str, by: Callable[..., Any]) -> None:
        method = getattr(owner, name)

        @wraps(method)
        def changed(self: Any, *args: Any, **kwargs: Any) -> Any:
            return by(method, self, *args, **kwargs)

        stack.enter_context(mock.patch.object(owner, name, changed))

    def _host(self, method: Callable[..., None], host: Any, name: str, *more: Any) -> None:
        """The boot of a host is named after its directory, which has another name every time."""
        method(host, name, *more)
        host.boot_id = f"boot of {name}"

    def _pass(self, method: Callable[..., Any], agent: Any) -> Any:
        self.note("pass", agent.name)
        plan = method(agent)
        for each in plan.steps:
            self.note("plan", agent.name, text(each))
        for each in plan.blocked:
            self.note("blocked", agent.name, text(each))
        for each in plan.waiting:
            self.note("waiting", agent.name, text(each))
        self.note("passed", agent.name, f"fence={text(agent.loop.fence)} again={agent.loop.look_again_s!r}")
        return plan

    def _step(self, method: Callable[..., None], agent: Any, step: object) -> None:
        self.note("step", agent.name, text(step))
        self._told(("step", agent.name), lambda: method(agent, step))

    def _outcome(self, method: Callable[..., None], agent: Any, outcome: Any) -> None:
        said = {"error": outcome.error, "stale": outcome.stale, "failure": outcome.failure}
        self.note("outcome", agent.name, type(outcome.step).__name__, text(said))
        method(agent, outcome)

    def _call(self, method: Callable[..., Any], engine: Any, *args: Any, **kwargs: Any) -> Any:
        arguments = _bound(method, engine, *args, **kwargs)
        self.note("call", engine.name, method.__name__, text(dict(arguments)))
        return self._told(("call", engine.name), lambda: method(engine, **arguments))

    def _write(self, method: Callable[..., Any], etcd: Any, *args: Any, **kwargs: Any) -> Any:
        arguments = _bound(method, etcd, *args, **kwargs)
        self.note("etcd", method.__name__, text(dict(arguments)))
        return self._told(("etcd",), lambda: method(etcd, **arguments))

    def _told(self, whose: Sequence[str], does: Callable[[], Any]) -> Any:
        """Do it, and take down what came of it. A crash is no answer, and is taken down all the same."""
        try:
            answer = does()
        except BaseException as error:
            self.note(*whose, "raised", type(error).__name__, repr(str(error)))
            raise
        self.note(*whose, "ended", text(answer))
        return answer


def _bound(method: Callable[..., Any], *args: Any, **kwargs: Any) -> dict[str, Any]:
    """The arguments by name, less `self`, however they were given; what can be read only once is read."""
    found = inspect.signature(method).bind(*args, **kwargs)
    found.apply_defaults()
    given = list(found.arguments.items())[1:]
    return {name: tuple(each) if isinstance(each, Iterator) else each for name, each in given}


def trace(seed: int) -> list[str]:
    """The trace of the history of that seed, and the bad end it came to, if it did."""
    told, recorder = tale(seed), Recorder()
    with recorder.records():
        try:
            with history(told.hosts, begun=told.begun, first=told.first) as made:
                for each in told.happens:
                    recorder.note("event", *map(str, each))
                    made.happens([each])
                recorder.note("event", "rest")
                made.rest(told.last)
        except Exception as error:
            recorder.note("failed", type(error).__name__, repr(str(error)))
    return recorder.lines


def digests(full: Path | None, seeds: Iterable[int]) -> list[Digest]:
    """The digests of the traces of these seeds; the traces themselves are left in `full`."""
    return [_digest(full, seed) for seed in seeds]


def _digest(full: Path | None, seed: int) -> Digest:
    lines = trace(seed)
    whole = "".join(f"{each}\n" for each in lines).encode()
    if full:
        (full / f"{seed}.txt.gz").write_bytes(gzip.compress(whole, mtime=0))
    return Digest(seed, hashlib.sha256(whole).hexdigest(), len(lines))


def read(file: Path) -> dict[int, Digest]:
    """The digests of a file, by seed."""
    found = (line.split() for line in file.read_text().splitlines())
    return {int(seed): Digest(int(seed), sha256, int(lines)) for seed, sha256, lines in found}


def differing(found: Iterable[Digest], reference: Mapping[int, Digest]) -> list[int]:
    """The seeds whose traces are not those of the reference, or are not in it."""
    return [each.seed for each in found if reference.get(each.seed) != each]


def _record(seeds: Sequence[int], file: Path, full: Path | None, jobs: int) -> list[Digest]:
    chunks = [seeds[at : at + CHUNK] for at in range(0, len(seeds), CHUNK)]
    began, found = time.monotonic(), list[Digest]()
    with ProcessPoolExecutor(jobs) as pool, file.open("w") as out:
        for each in pool.map(partial(digests, full), chunks):
            found += each
            out.writelines(f"{line}\n" for line in each)
            out.flush()
            if len(found) % (10 * CHUNK) < CHUNK:
                _say(f"{len(found)} traces, {time.monotonic() - began:.0f} s")
    return found


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="script/simulate", description=__doc__.partition("\n")[0])
    parser.add_argument(
        "--traces", type=Path, metavar="FILE", help="where the digest of each trace is written"
    )
    parser.add_argument("--trace", type=int, metavar="SEED", help="print the whole trace of one seed")
    parser.add_argument(
        "--against", type=Path, metavar="REFERENCE", help="a file of digests that must be equal"
    )
    parser.add_argument("--full", type=Path, metavar="DIRECTORY", help="where the traces themselves are left")
    parser.add_argument("--examples", type=int, help="how many (20000, or all of the reference)")
    parser.add_argument(
        "--seed", type=int, help="the seed of the first one (0, or the first of the reference)"
    )
    parser.add_argument("--jobs", type=int, default=2, help="how many at a time")
    asked = parser.parse_args(arguments)
    if asked.trace is not None:
        for line in trace(asked.trace):
            _say(line)
        return 0
    if asked.traces is None:
        parser.error("--traces FILE or --trace SEED")
    reference = read(asked.against) if asked.against else {}
    first = asked.seed if asked.seed is not None else min(reference, default=0)
    examples = asked.examples or (sum(seed >= first for seed in reference) if reference else 20_000)
    if asked.full:
        asked.full.mkdir(parents=True, exist_ok=True)
    found = _record(range(first, first + examples), asked.traces, asked.full, asked.jobs)
    if not asked.against:
        return 0
    others = differing(found, reference)
    _say(f"{len(found) - len(others)} of {len(found)} traces are equal to those of {asked.against}")
    for seed in others:
        _say(f"seed {seed} differs")
    return 1 if others or not found else 0


if __name__ == "__main__":
    sys.exit(main())
