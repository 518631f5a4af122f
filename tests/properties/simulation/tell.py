"""Histories by the thousand, told from seeds: each seed is one history, the same every time.

python -m tests.properties.simulation.tell --examples 20000 --seed 1 --jobs 2
"""

import argparse
import random
import sys
import time
from collections.abc import Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from typing import NamedTuple

from tests.properties.simulation.history import LIKELY, RARE, Event, history

MOST_EVENTS = 30
CHUNK = 50
"""Histories that a process tells before it reports."""
_HOSTS = (3, 3, 3, 4, 5, 5, 6, 7)


class Tale(NamedTuple):
    """What a history is made of."""

    hosts: int
    begun: bool
    first: int
    happens: tuple[Event, ...]
    last: int


class Failure(NamedTuple):
    """A history in which something was that must not be."""

    seed: int
    tale: Tale
    what: str


def tale(seed: int, rare: Sequence[str] = RARE, likely: Sequence[str] = LIKELY) -> Tale:
    """The history of that seed; `rare` and `likely` are what happens in it."""
    draw = random.Random(seed)
    number = partial(draw.randrange, 10_000)
    return Tale(
        hosts=draw.choice(_HOSTS),
        begun=draw.random() < 0.5,
        first=number(),
        happens=tuple(
            (draw.choice(draw.choice((likely, rare))), draw.randrange(7), number())
            for _ in range(draw.randrange(MOST_EVENTS))
        ),
        last=number(),
    )


def tell(told: Tale, *, rests: bool = True) -> str:
    """Let it happen; what was wrong, in words, or nothing. `rests`: it has to come to rest in the end."""
    try:
        with history(told.hosts, begun=told.begun, first=told.first) as made:
            made.happens(told.happens)
            if rests:
                made.goes_on()
                made.rest(told.last)
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    return ""


def failures(seeds: Iterable[int]) -> list[Failure]:
    """Of the histories of these seeds, those that failed."""
    found = ((seed, tale(seed)) for seed in seeds)
    return [Failure(seed, told, what) for seed, told in found if (what := tell(told))]


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="script/simulate", description=__doc__.partition("\n")[0])
    parser.add_argument("--examples", type=int, default=20_000, help="how many histories")
    parser.add_argument("--seed", type=int, default=0, help="the seed of the first one; the others count on")
    parser.add_argument("--jobs", type=int, default=2, help="how many at a time")
    asked = parser.parse_args(arguments)
    seeds = range(asked.seed, asked.seed + asked.examples)
    chunks = [seeds[at : at + CHUNK] for at in range(0, len(seeds), CHUNK)]
    began, done, failed = time.monotonic(), 0, 0
    with ProcessPoolExecutor(asked.jobs) as pool:
        for chunk, found in zip(chunks, pool.map(failures, chunks), strict=True):
            done += len(chunk)
            for each in found:
                failed += 1
                print(f"seed {each.seed}: {each.what}\n  {each.tale}", flush=True)
            if done % (10 * CHUNK) < CHUNK:
                print(f"{done} histories, {failed} failed, {time.monotonic() - began:.0f} s", flush=True)
    print(f"{done} histories from seed {asked.seed} on: {failed} failed, {time.monotonic() - began:.0f} s")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
