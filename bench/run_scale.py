"""bench/scale: what agents, etcd and the command take as a cluster grows, beside what they should reach."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from bench.environment import ROOT
from bench.scale_table import missed, table

SIMULATED = (3, 10, 30, 100, 300, 1000)
REAL = (3, 10, 20, 40)
PARTS = ("rest", "schedule", "boot", "etcd", "command")
MODULES = {"schedule": "bench.scale_schedule", "etcd": "bench.scale_etcd", "command": "bench.scale_commands"}
"""Modules that measure; the other parts are groups of bench.scale_simulated."""
ENDS_WITHIN_S = 20.0
ENDING = (signal.SIGINT, signal.SIGTERM)
_RUN = """\
import agent, bench, runpy, sys
if not agent.__file__.startswith(sys.argv[1] + "/"):
    sys.exit(f"measured would be {agent.__file__}, not {sys.argv[1]}: is that a checkout of the repository?")
bench.__path__[:] = [sys.argv[2]]
del sys.argv[1:3]
runpy.run_module(sys.argv.pop(1), alter_sys=True, run_name="__main__")
"""
"""Runs a module of this bench on the `agent` and `tests` of whichever tree is measured."""

Found = dict[str, dict[int, float]]

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command()
def main(
    part: Annotated[list[str] | None, typer.Option(help=f"What to measure: {', '.join(PARTS)}.")] = None,
    hosts: Annotated[list[int] | None, typer.Option(min=2, help="Sizes of the cluster.")] = None,
    most: Annotated[float, typer.Option(help="Processor seconds after which a measure ends early.")] = 600,
    within: Annotated[float, typer.Option(help="Seconds after which a process is killed.")] = 3600,
    tree: Annotated[Path, typer.Option(help="Measure this checkout.", exists=True)] = ROOT,
    output: Annotated[Path | None, typer.Option("--json", help="Also write every figure here.")] = None,
) -> None:
    """Measure processor time, bytes and writes of agents in clusters of 3 to 1,000 hosts."""
    unknown = sorted(set(part or ()) - set(PARTS))
    if unknown:
        raise typer.BadParameter(f"no such part: {', '.join(unknown)}; there are {', '.join(PARTS)}")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    every: dict[str, Found] = {}
    failed: list[str] = []
    for each in part or PARTS:
        sizes = sizes_of(each, hosts)
        found = every[each] = {}
        for size in sizes:
            with measuring(tree.resolve(), each, size, most, within) as process:
                for name, value in figures(process):
                    found.setdefault(name, {})[size] = value
            if process.returncode:
                failed.append(f"{each} of {size} ended with {process.returncode}")
            print(f"{each}: {size} done", file=sys.stderr, flush=True)
            derive(found)
        print(f"\n{each}\n{table(found, sizes)}", flush=True)
        if output:
            output.write_text(json.dumps({"tree": str(tree.resolve()), "parts": every}, indent=1) + "\n")
    left = {name for found in every.values() for name in missed(found)}
    print(f"\nmissed: {', '.join(sorted(left)) or 'nothing'}")
    if failed:
        print(f"not measured to the end: {', '.join(failed)}")
        raise typer.Exit(1)


def sizes_of(part: str, hosts: Sequence[int] | None) -> Sequence[int]:
    if part == "command":
        return (1,)
    return sorted(hosts) if hosts else REAL if part == "etcd" else SIMULATED


def derive(found: Found) -> None:
    """Add what follows from two figures."""
    goes, comes = (found.get(f"a host {each}: puts", {}) for each in ("goes", "comes back"))
    both = {size: goes[size] + comes[size] for size in goes if size in comes}
    if both:
        found["a host goes and comes: puts"] = both


def figures(process: subprocess.Popen[str]) -> Iterator[tuple[str, float]]:
    """What it prints, line by line."""
    assert process.stdout is not None
    for line in process.stdout:
        name, value = json.loads(line)
        yield name, value


@contextmanager
def measuring(
    tree: Path, part: str, size: int, most_s: float, within_s: float
) -> Iterator[subprocess.Popen[str]]:
    """Measure `tree` in a process group of its own, all of which has ended afterwards, also after Ctrl-C."""
    arguments = [MODULES.get(part, "bench.scale_simulated"), part, str(size), str(most_s)]
    command = [sys.executable, "-P", "-c", _RUN, str(tree), str(ROOT / "bench"), *arguments]
    environment = {**os.environ, "PYTHONPATH": str(tree)}
    # `timeout` takes the signals of the group's children as well: a child that is stuck does not outlive it.
    limited = ["timeout", "--kill-after", str(ENDS_WITHIN_S), str(within_s), *command]
    signal.pthread_sigmask(signal.SIG_BLOCK, ENDING)  # a signal inside of Popen would leave the child behind
    process = subprocess.Popen(
        limited,
        cwd=tree,
        env=environment,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
        preexec_fn=_unblock,  # noqa: PLW1509 - there is one thread
    )
    try:
        _unblock()
        yield process
        process.wait()
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGTERM)
            try:
                process.wait(ENDS_WITHIN_S)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()


def _unblock() -> None:
    signal.pthread_sigmask(signal.SIG_UNBLOCK, ENDING)


if __name__ == "__main__":
    app()
