"""Processor seconds of the planner's functions that place replicas, as lines of JSON: one size in a process."""

import sys
import time
from collections.abc import Callable
from typing import Any

from agent.intent import parse_intent
from agent.planner.leader.assignments import assign
from agent.planner.leader.scheduler import schedule
from bench.scale_document import document, head, name_of
from bench.scale_table import said


def main(_part: str, size: str, _most_s: str) -> None:
    """The first placement of all replicas, and the assignments of as many services as hosts."""
    hosts = int(size)
    intent = parse_intent(document(hosts).encode(), 1)
    said("scheduling 20 replicas a host: seconds", used_s(lambda: schedule(intent, {})))
    services = (f"\n  s{n}: {{image: 'example/s:1', x-hosts: {{{name_of(n)}: 20}}}}" for n in range(hosts))
    many = head(hosts, "".join(services))
    parsed = parse_intent(many.encode(), 1)
    said("assign, as many services as hosts: seconds", used_s(lambda: assign(parsed, {})))
    current = assign(parsed, {})
    said("assign again, nothing changed: seconds", used_s(lambda: assign(parsed, current)))
    said("parsing as many services as hosts: seconds", used_s(lambda: parse_intent(many.encode(), 1)))


def used_s(job: Callable[[], Any]) -> float:
    began = time.process_time()
    job()
    return time.process_time() - began


if __name__ == "__main__":
    main(*sys.argv[1:])
