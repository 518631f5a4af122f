"""Processor time of the planner's passes for a cluster of some size, as JSON: one tree and one round in a process.

It runs on whichever checkout PYTHONPATH names, also on one whose modules have other names: `_PLACES` alone knows them.
"""

import json
import sys
from collections.abc import Callable
from dataclasses import replace
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from time import process_time
from typing import Any

import agent
from agent.intent import parse_intent
from agent.model.observed import Document

_PLACES = ("agent.planner.dry_run", "agent.planner.whole_cluster")
"""Where the plan for the whole cluster is: here, and in checkouts from before the planner was put in order."""
SERVICES = 3
MANAGERS = 3
AT_LEAST_S = 0.3
"""For how long a pass is repeated: its time is the mean."""
OLD, NEW = "1.0.0", "1.0.1"

_DOCUMENT = """\
name: bench
x-cluster:
  version: 1
  gwbridge: {{subnet: 172.21.0.0/20}}
  hosts:
{hosts}
networks:
  net: {{name: net, attachable: true, ipam: {{config: [{{subnet: 10.64.0.0/14}}]}}}}
services:
{services}
"""


def main(hosts: int) -> None:
    """Print what each pass takes, in seconds, how many steps it plans, and of which tree that is told."""
    tree = Path(agent.__file__).parents[1]
    print(json.dumps({"tree": str(tree), "passes": passes(_planner(), hosts)}))


def _planner() -> Any:
    """The module with `settle`, `world_of`, and the `make_plan`, `predict` and `ClusterState` that they work with."""
    package, old = _PLACES
    return import_module(f"{package}.cluster" if find_spec(package) else old)


def passes(planner: Any, hosts: int) -> dict[str, tuple[float, int]]:
    """By pass, its seconds and its steps: of a cluster at rest, and of the same one when a service has a new image."""
    seen = planner.ClusterState(revision=10, document=_document(hosts, 5, OLD))
    names = tuple(host.name for host in seen.document.intent.hosts)
    rest, _, settled = planner.settle(planner.world_of(seen), names)
    assert settled, "a cluster at rest has steps left"
    leader = rest.cluster.leader
    other = next(name for name in reversed(names) if name != leader)

    edited = rest.with_cluster(replace(rest.cluster, revision=20, document=_document(hosts, 15, NEW)))
    begun = _after(planner, _after(planner, edited, leader), leader)
    pulled = _after(planner, _after(planner, begun, leader), other)
    found = {
        "leader, at rest": _measured(planner.make_plan, rest.observed(leader)),
        "host, at rest": _measured(planner.make_plan, rest.observed(other)),
        "leader, accepts an edit": _measured(planner.make_plan, edited.observed(leader)),
        "leader, moves the replicas": _measured(planner.make_plan, begun.observed(leader)),
        "host, replaces its replica": _measured(planner.make_plan, pulled.observed(other)),
    }
    wrong = [name for name, (_, steps) in found.items() if (steps == 0) != name.endswith("at rest")]
    assert not wrong, f"not what they are called: {wrong}"
    return found


def _after(planner: Any, world: Any, name: str) -> Any:
    """The world when the host of that name has carried out its plan."""
    for step in planner.make_plan(world.observed(name)).steps:
        world = planner.predict(world, name, step)
    return world


def _measured(plan: Callable[[Any], Any], observed: Any) -> tuple[float, int]:
    steps = len(plan(observed).steps)
    times, start = 0, process_time()
    while (used := process_time() - start) < AT_LEAST_S:
        plan(observed)
        times += 1
    return used / times, steps


def _document(hosts: int, revision: int, first: str) -> Document:
    """Three managers, and a replica of each service for every host; `first` is the tag of the first service."""
    text = _DOCUMENT.format(
        hosts="".join(_host(number) for number in range(hosts)),
        services="".join(_service(number, first if not number else OLD, hosts) for number in range(SERVICES)),
    )
    return Document(revision=revision, intent=parse_intent(text.encode(), revision), text=text)


def _host(number: int) -> str:
    role = "manager" if number < MANAGERS else "worker"
    return f"    h{number}: {{address: 10.1.{number // 200}.{number % 200 + 1}, role: {role}}}\n"


def _service(number: int, tag: str, replicas: int) -> str:
    return f"""\
  s{number}:
    image: registry.example/s{number}:{tag}
    networks: [net]
    environment: {{LOG_LEVEL: info}}
    deploy: {{replicas: {replicas}, update_config: {{parallelism: 0}}}}
"""


if __name__ == "__main__":
    main(int(sys.argv[1]))
