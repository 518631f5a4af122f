"""bench/planner: processor time of the planner on this tree and on another checkout of it, in turns."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Annotated

import typer

from bench.environment import ROOT
from bench.statistics import Series, ratio

PASSES = ROOT / "bench/planner_passes.py"
SIZES = (3, 30, 300)
HERE, THERE = "this tree", "against"

Results = dict[tuple[int, str], dict[str, list[float]]]
"""Seconds of every round, by number of hosts and pass, and then by tree."""

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command()
def main(
    against: Annotated[Path, typer.Option(help="Another checkout of the repository.", exists=True)],
    rounds: Annotated[int, typer.Option(min=1, help="How often each tree is measured, in turns.")] = 5,
    hosts: Annotated[list[int] | None, typer.Option(min=2, help="Sizes of the cluster.")] = None,
) -> None:
    """Compare what a pass of the planner takes, at rest and after an edit."""
    results: Results = {}
    steps: dict[tuple[int, str], set[int]] = {}
    for number in range(rounds):
        for size in hosts or SIZES:
            trees = [(HERE, ROOT), (THERE, against.resolve())]
            for name, tree in trees if number % 2 == 0 else reversed(trees):
                for each, (seconds, planned) in measure(tree, size).items():
                    results.setdefault((size, each), {}).setdefault(name, []).append(seconds)
                    steps.setdefault((size, each), set()).add(planned)
        print(f"round {number + 1} of {rounds} done", flush=True)
    print(report(results))
    for (size, each), counts in steps.items():
        if len(counts) > 1:
            print(f"{size} hosts, {each}: the trees plan different numbers of steps: {sorted(counts)}")


def measure(tree: Path, hosts: int) -> dict[str, tuple[float, int]]:
    """What one process of its own says of `tree`: by pass, its seconds and its steps."""
    command = [sys.executable, "-P", str(PASSES), str(hosts)]
    done = subprocess.run(
        command, cwd=tree, env={**os.environ, "PYTHONPATH": str(tree)}, check=True, stdout=subprocess.PIPE
    )
    said = json.loads(done.stdout)
    if Path(said["tree"]) != tree:
        raise RuntimeError(f"measured {said['tree']}, not {tree}: is that a checkout of the repository?")
    return {each: (seconds, planned) for each, (seconds, planned) in said["passes"].items()}


def report(results: Results) -> str:
    """One line for each size and pass: both trees in milliseconds, and the ratio of their medians."""
    spread = "min    median       max"
    lines = [f"{'milliseconds':32}{f'{HERE}: {spread}':>36}{f'{THERE}: {spread}':>36}   ratio of medians"]
    for (size, each), found in results.items():
        here, there = (Series(name=name, values_s=tuple(found[name])) for name in (HERE, THERE))
        lines.append(
            f"{size:4} hosts: {each:25}{_spread(here)}{_spread(there)}   {ratio(of=here, against=there):.2f}"
        )
    return "\n".join(lines)


def _spread(series: Series) -> str:
    three = (min(series.values_s), series.median_s, max(series.values_s))
    return "".join(f"{value * 1000:10.3f}" for value in three).rjust(34)


if __name__ == "__main__":
    app()
