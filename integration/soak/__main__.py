"""`script/soak --minutes N --seed S`: a lab of its own; ends with 1 if anything was violated."""

import os
import random
from typing import Annotated

import typer

from integration.lab.lab import Lab
from integration.soak.run import Soak


def main(
    minutes: Annotated[float, typer.Option(help="How long faults are brought about.")] = 10.0,
    seed: Annotated[int, typer.Option(help="The same seed makes the same faults and edits.")] = 0,
    name: Annotated[str, typer.Option(help="The lab's name; it is removed at the end.")] = "soak",
) -> None:
    """Bring random faults about on three real hosts, and tell what a client and the invariants saw of it."""
    lab = Lab(name)
    lab.down()  # what an interrupted run has left
    try:
        lab.up()
        outcome = Soak(lab, minutes, seed or random.SystemRandom().randrange(1, 10**6)).run()
    finally:
        lab.down()
    print(f"\n{outcome}")
    raise typer.Exit(1 if outcome.violations else 0)


if __name__ == "__main__":
    os.umask(0o022)
    typer.run(main)
