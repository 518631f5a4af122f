"""bench/power: from a power cut of all hosts, or a crash of dockerd, until all runs again: docker alone and agents."""

from typing import Annotated

import typer

from bench.lab_session import NAME, benchmark_lab
from bench.outages import ALONE, Agents, DockerAlone, Survivor, make
from bench.playbook import WORK
from bench.run_bootstrap import keep_journals, load
from bench.scenario import REPLICAS
from bench.statistics import Series, ratio, table
from integration.lab.lab import Lab
from integration.lab.outage import Recovery, black_out, crash

WITHIN_S = 120.0
CUT, CRASH = "power cut of all hosts", "dockerd of one host killed"

Results = dict[str, list[Recovery]]
"""What came of one kind of outage, by contender."""

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command()
def main(
    rounds: Annotated[int, typer.Option(min=1, help="How often each contender starts from wiped hosts.")] = 5,
    within: Annotated[
        float, typer.Option(min=10, help="Seconds after which a container never runs.")
    ] = WITHIN_S,
    lab: Annotated[str, typer.Option(help="Name of the lab to make and to remove.")] = NAME,
    log_level: Annotated[str, typer.Option(help="Of the agents; journals go to build/bench/.")] = "info",
) -> None:
    """Measure what runs again by itself after an outage, and when."""
    results: dict[str, Results] = {CRASH: {}, CUT: {}}
    with benchmark_lab(lab) as hosts:
        for number in range(1, rounds + 1):
            for contender in (DockerAlone(), Agents(log_level)):
                one_round(hosts, contender, number, within, results)
    for outage, found in results.items():
        print(f"\n{outage}: until all containers run\n{report(found, within)}")


def one_round(
    lab: Lab, contender: Survivor, number: int, within_s: float, results: dict[str, Results]
) -> None:
    """One crash, on another host each round, and one power cut, on hosts that were wiped before."""
    make(lab, contender)
    host = lab.hosts[number % len(lab.hosts)]
    tell(number, contender.name, CRASH, crash(host, REPLICAS[host.name], within_s), results)
    contender.mend(lab)
    tell(number, contender.name, CUT, black_out(lab, REPLICAS, within_s), results)
    keep_journals(lab, WORK / f"power-{number}-{'alone' if contender.name == ALONE else 'agents'}")


def tell(number: int, contender: str, outage: str, recovery: Recovery, results: dict[str, Results]) -> None:
    results[outage].setdefault(contender, []).append(recovery)
    print(
        f"round {number}  {contender:30} {outage}: {recovery}   (load of the machine: {load()})", flush=True
    )


def report(results: Results, within_s: float) -> str:
    """Median and every round; one in which something never ran counts as the whole time it was watched for."""
    series = [
        Series(name=name, values_s=tuple(each.seconds or within_s for each in found))
        for name, found in results.items()
    ]
    alone, ours = series
    lines = [table(series)]
    lines += [f"{name}: {whole(found)}" for name, found in results.items()]
    at_most = "at most " if any(each.down for each in results[alone.name]) else ""
    lines.append(f"{ours.name} / {alone.name} = {at_most}{ratio(ours, alone):.2f}")
    return "\n".join(lines)


def whole(found: list[Recovery]) -> str:
    """How often all ran again, and how many containers never did."""
    never = sum(len(each.down) for each in found)
    every = sum(len(each.down) + len(each.running_s) for each in found)
    back = sum(not each.down for each in found)
    return f"all back in {back} of {len(found)} rounds; {never} of {every} containers never ran again"


if __name__ == "__main__":
    app()
