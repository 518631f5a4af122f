"""bench/bootstrap: from wiped hosts to every replica running, by a shell, by Ansible and by Swarmkeeper, in turns."""

import time
from dataclasses import dataclass
from enum import StrEnum, auto
from functools import partial
from pathlib import Path
from statistics import median
from typing import Annotated

import typer

from bench.contenders import Ansible, Contender, Floor, Swarmkeeper
from bench.engine_events import all_running, listening
from bench.lab_session import NAME, benchmark_lab
from bench.playbook import WORK
from bench.processor import UNITS, used_by_unit, used_s
from bench.scenario import REPLICAS
from bench.statistics import Series, Target, table, verdicts
from bench.upkeep import WATCHED_S, measure, report, wait_quiet
from integration.cluster import Cluster
from integration.lab.lab import Lab

WITHIN_S = 120
TARGETS = (
    Target(of=Swarmkeeper.name, against=Floor.name, at_most=1.1),
    Target(of=Swarmkeeper.name, against=Ansible.name, at_most=0.6),
)


class Kind(StrEnum):
    FLOOR = auto()
    ANSIBLE = auto()
    SWARMKEEPER = auto()


@dataclass(frozen=True, slots=True, kw_only=True)
class Round:
    """What one contender took once."""

    seconds: float
    processor_s: float
    units_s: dict[str, float]
    """Processor seconds of each unit, of all hosts. Containers, shims and systemd are in `processor_s` alone."""

    def __str__(self) -> str:
        units = ", ".join(f"{name} {used:.1f}" for name, used in self.units_s.items())
        return f"{self.seconds:6.2f} s, processors of the hosts {self.processor_s:5.1f} s ({units})"


app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command()
def main(
    rounds: Annotated[int, typer.Option(min=1, help="How often each contender starts from wiped hosts.")] = 5,
    only: Annotated[list[Kind], typer.Option(help="Measure only this one; repeat for more.")] = [],  # noqa: B006
    idle: Annotated[float, typer.Option(help="Seconds to watch the unchanged cluster; 0: not.")] = WATCHED_S,
    lab: Annotated[str, typer.Option(help="Name of the lab to make and to remove.")] = NAME,
    log_level: Annotated[str, typer.Option(help="Of the agents; journals go to build/bench/.")] = "info",
) -> None:
    """Measure how long a first boot takes, and what the agents of an unchanged cluster cost."""
    swarmkeeper = Swarmkeeper(log_level)
    all_kinds = {Kind.FLOOR: Floor(), Kind.ANSIBLE: Ansible(), Kind.SWARMKEEPER: swarmkeeper}
    contenders = [each for kind, each in all_kinds.items() if kind in (only or Kind)]
    taken: dict[str, list[Round]] = {each.name: [] for each in contenders}
    with benchmark_lab(lab) as hosts:
        for number in range(1, rounds + 1):
            for contender in contenders:
                if took := one_round(hosts, contender, number):
                    taken[contender.name].append(took)
        if swarmkeeper in contenders and idle:
            watch(swarmkeeper.cluster(hosts), swarmkeeper.revision, idle)
    print_results(taken)


def watch(cluster: Cluster, revision: int, seconds: float) -> None:
    """Print what the agents cost after the last round, when all is as declared and the last events are over."""
    cluster.wait_converged(revision)
    wait_quiet(cluster)
    print(f"\nan unchanged cluster, over {seconds:g} s\n{report(measure(cluster, seconds))}", flush=True)
    keep_journals(cluster.lab, WORK / "unchanged")


def one_round(lab: Lab, contender: Contender, number: int) -> Round | None:
    """Wipe the hosts and let one contender bring the cluster up, from its start to the start of the last replica.

    None: the round of another contender than Swarmkeeper failed, for example by an error of Docker.
    """
    lab.renew()
    contender.prepare(lab)
    try:
        took = one_start(lab, contender)
    except (RuntimeError, TimeoutError) as error:
        if isinstance(contender, Swarmkeeper):
            raise
        print(f"round {number}  {contender.name:14} is lost: {error}", flush=True)
        return None
    print(f"round {number}  {contender.name:14} {took}   (load of the machine: {load()})", flush=True)
    if isinstance(contender, Swarmkeeper):
        keep_journals(lab, WORK / f"round-{number}")
    return took


def one_start(lab: Lab, contender: Contender) -> Round:
    """Raises RuntimeError if the contender fails, TimeoutError if not every replica runs in time."""
    with listening(lab.hosts) as listener:
        units_before, used_before_s, began_ns = used_by_unit(lab), used_s(lab), time.time_ns()
        contender.go(lab)
        found = partial(all_running, wanted=REPLICAS)
        ended_ns = listener.wait_for(found, WITHIN_S, f"{contender.name}: every replica runs")
        used, units = used_s(lab) - used_before_s, used_by_unit(lab)
    of_units = {name: max(0.0, units[name] - units_before[name]) for name in UNITS}
    return Round(seconds=(ended_ns - began_ns) / 1e9, processor_s=used, units_s=of_units)


def load() -> str:
    """How many processes wanted a processor in the last minute: what others do here at the same time."""
    return Path("/proc/loadavg").read_text().split()[0]


def print_results(taken: dict[str, list[Round]]) -> None:
    taken = {name: rounds for name, rounds in taken.items() if rounds}
    seconds = [Series(name=name, values_s=tuple(e.seconds for e in rounds)) for name, rounds in taken.items()]
    used = [
        Series(name=name, values_s=tuple(e.processor_s for e in rounds)) for name, rounds in taken.items()
    ]
    print(f"\nprocessors, in the hosts only\n{table(used)}")
    for name, rounds in taken.items():
        medians = (f"{unit} {median(each.units_s[unit] for each in rounds):.2f}" for unit in UNITS)
        print(f"{name}, median of each unit: {', '.join(medians)}")
    print(f"\nfrom wiped hosts to every replica running\n{table(seconds)}\n{verdicts(seconds, TARGETS)}")


def keep_journals(lab: Lab, folder: Path) -> None:
    """Write what agents and engines said, a file each: where the time went."""
    folder.mkdir(parents=True, exist_ok=True)
    for host in lab.hosts:
        for unit in ("swarmkeeper", "docker"):
            (folder / f"{host.name}-{unit}.log").write_text(host.journal_text(unit))


if __name__ == "__main__":
    app()
