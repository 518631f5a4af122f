"""bench/bootstrap: from wiped hosts to every copy running, by a shell, by Ansible and by Swarmkeeper, in turns."""

import time
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from bench.contenders import Ansible, Contender, Floor, Swarmkeeper
from bench.engine_events import all_running, listening
from bench.lab_session import NAME, benchmark_lab
from bench.playbook import WORK
from bench.scenario import COPIES
from bench.statistics import Series, Target, table, verdicts
from bench.upkeep import WATCHED_S, measure, report, wait_quiet
from integration.cluster import Cluster
from integration.lab.lab import Lab

WITHIN_S = 120
TARGETS = (
    Target(of=Swarmkeeper.name, against=Floor.name, at_most=1.3),
    Target(of=Swarmkeeper.name, against=Ansible.name, at_most=0.5),
)
KINDS = {"floor": Floor.name, "ansible": Ansible.name, "swarmkeeper": Swarmkeeper.name}

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command()
def main(
    rounds: Annotated[int, typer.Option(min=1, help="How often each contender starts from wiped hosts.")] = 5,
    only: Annotated[str, typer.Option(help="Measure only these of them.")] = ",".join(KINDS),
    idle: Annotated[float, typer.Option(help="Seconds to watch the unchanged cluster; 0: not.")] = WATCHED_S,
    lab: Annotated[str, typer.Option(help="Name of the lab to make and to remove.")] = NAME,
    log_level: Annotated[str, typer.Option(help="Of the agents; journals go to build/bench/.")] = "info",
) -> None:
    """Measure how long a first boot takes, and what the agents of an unchanged cluster cost."""
    swarmkeeper = Swarmkeeper(log_level)
    contenders = [
        e for e in (Floor(), Ansible(), swarmkeeper) if e.name in {KINDS[k] for k in only.split(",")}
    ]
    taken: dict[str, list[float]] = {each.name: [] for each in contenders}
    with benchmark_lab(lab) as hosts:
        for number in range(1, rounds + 1):
            for contender in contenders:
                taken[contender.name].append(one_round(hosts, contender, number))
        if swarmkeeper in contenders and idle:
            watch(swarmkeeper.cluster(hosts), swarmkeeper.revision, idle)
    series = [Series(name=name, values_s=tuple(values)) for name, values in taken.items()]
    print(f"\nfrom wiped hosts to every copy running\n{table(series)}\n{verdicts(series, TARGETS)}")


def watch(cluster: Cluster, revision: int, seconds: float) -> None:
    """Print what the agents cost after the last round, when all is as declared and the last events are over."""
    cluster.wait_converged(revision)
    wait_quiet(cluster)
    print(f"\nan unchanged cluster, over {seconds:g} s\n{report(measure(cluster, seconds))}", flush=True)


def one_round(lab: Lab, contender: Contender, number: int) -> float:
    """Wipe the hosts, let one contender bring the cluster up, return the seconds from its start to the last copy's."""
    lab.renew()
    contender.prepare(lab)
    with listening(lab.hosts) as listener:
        began_ns = time.time_ns()
        contender.go(lab)
        ended_ns = listener.wait_for(
            partial(all_running, wanted=COPIES), WITHIN_S, f"{contender.name}: every copy runs"
        )
    taken_s = (ended_ns - began_ns) / 1e9
    load = Path("/proc/loadavg").read_text().split()[0]
    print(f"round {number}  {contender.name:14} {taken_s:6.2f} s   (load {load})", flush=True)
    if isinstance(contender, Swarmkeeper):
        keep_journals(lab, WORK / f"round-{number}")
    return taken_s


def keep_journals(lab: Lab, folder: Path) -> None:
    """Write what agents and engines said, a file each: where the time went."""
    folder.mkdir(parents=True, exist_ok=True)
    for host in lab.hosts:
        for unit in ("swarmkeeper", "docker"):
            (folder / f"{host.name}-{unit}.log").write_text(host.journal_text(unit))


if __name__ == "__main__":
    app()
