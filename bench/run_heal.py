"""bench/heal: from the kill of something until it runs again, under Swarmkeeper, docker and Swarm, in turns."""

from functools import partial
from typing import Annotated

import typer

from bench.engine_events import Listener, listening
from bench.killed_leader import first_verdict_s
from bench.lab_session import NAME, benchmark_lab
from bench.patients import (
    CrashedReplica,
    KilledReplica,
    Patient,
    RestartedContainer,
    SwarmService,
    started_after,
)
from bench.statistics import Series, Target, table, verdicts
from integration.cluster import DOCUMENT, Cluster
from integration.lab.eventually import eventually
from integration.lab.host import Host
from integration.timings import SESSION

WITHIN_S = 60
SETTLED_S = 11
"""docker's restart delay starts again after 10 s of running (restartmanager.go), and Swarm's after 5 s."""
OURS, SERVICE = "Swarmkeeper, docker kill", "Swarm service"
CRASHED, RESTARTED = "Swarmkeeper, process killed", "--restart=always, process killed"
LEADER, LEASE = "Swarmkeeper, leader killed", "its lease"
TARGETS = (
    Target(of=OURS, against=SERVICE, at_most=1 / 3),
    Target(of=CRASHED, against=RESTARTED, at_most=1.1),
    Target(of=LEADER, against=LEASE, at_most=1 + 1 / SESSION.ttl_s),
)

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command()
def main(
    rounds: Annotated[int, typer.Option(min=1, help="How often each is killed.")] = 5,
    lab: Annotated[str, typer.Option(help="Name of the lab to make and to remove.")] = NAME,
) -> None:
    """Measure how long something killed stays away."""
    with benchmark_lab(lab) as hosts:
        cluster = Cluster(hosts, log_level="info")
        cluster.install_and_start()
        cluster.wait_converged(cluster.put(DOCUMENT.read_text()), 120)
        patients = all_on(hosts.hosts[0])
        for patient in patients:
            patient.prepare()
        taken: dict[str, list[float]] = {each.name: [] for each in patients}
        with listening(hosts.hosts[:1]) as listener:
            for number in range(1, rounds + 1):
                for patient in patients:
                    taken[patient.name].append(one_kill(listener, patient, number))
        taken[LEADER] = [one_leader(cluster, number) for number in range(1, rounds + 1)]
    taken[LEASE] = [SESSION.ttl_s]
    series = [Series(name=name, values_s=tuple(values)) for name, values in taken.items()]
    print(
        f"\nfrom the kill until it runs again, or another agent leads\n{table(series)}\n{verdicts(series, TARGETS)}"
    )


def all_on(host: Host) -> list[Patient]:
    return [
        KilledReplica(OURS, host),
        CrashedReplica(CRASHED, host),
        RestartedContainer(RESTARTED, host),
        SwarmService(SERVICE, host, "bench-service", None),
        SwarmService("Swarm service, delay 0", host, "bench-service-0", 0),
    ]


def one_kill(listener: Listener, patient: Patient, number: int) -> float:
    """Kill it when it has run for long enough; returns the seconds until it ran again."""
    eventually(lambda: patient.runs_since_s() > SETTLED_S, WITHIN_S, f"{patient.name} runs and has settled")
    killed_ns = patient.kill()
    again = partial(started_after, patient=patient, moment_ns=killed_ns)
    seconds = (listener.wait_for(again, WITHIN_S, f"{patient.name} runs again") - killed_ns) / 1e9
    print(f"round {number}  {patient.name:32} {seconds:6.2f} s", flush=True)
    return seconds


def one_leader(cluster: Cluster, number: int) -> float:
    """Kill the leader's agent; return the seconds until another leader has judged a document that was put since."""
    seconds = first_verdict_s(cluster, WITHIN_S)
    print(f"round {number}  {LEADER:32} {seconds:6.2f} s", flush=True)
    return seconds


if __name__ == "__main__":
    app()
