"""What a document stands for is bounded before anything is expanded."""

import random
import re
import subprocess
import sys
from ipaddress import IPv4Address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.intent import parse_intent
from agent.intent.deploy import MOST_ON_A_HOST
from agent.intent.extent import (
    _REPLICA,
    LONGEST_REASON,
    MOST_CONSIDERED,
    MOST_CONTENT,
    MOST_IN_ALL,
    fitting_hosts,
)
from agent.model.faults import InvalidDocument
from agent.model.intent import Constraint, HostIntent, Where
from agent.model.records import LARGEST_VALUE, Assignment, Replica, encode
from tests.support.thoroughness import examples

MEMORY = r"""
import re, sys, time
from pathlib import Path
from agent.intent import parse_intent
from agent.model.faults import InvalidDocument
raw, start = sys.stdin.buffer.read(), time.process_time()
try:
    parse_intent(raw, revision=1)
except InvalidDocument as error:
    str(error)
print(time.process_time() - start, re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())[1])
"""


def text(*services: str, hosts: int = 3, networks: int = 0) -> str:
    """A document with these services, of which each is the mapping of its keys without image and network."""
    declared = "".join(
        f"    h{n}: {{address: 10.1.{n // 200}.{n % 200 + 1}, role: manager, labels: {{zone: z{n % 2}}}}}\n"
        for n in range(hosts)
    )
    names = [f"{'n' * 50}{n}" for n in range(networks)]
    nets = "".join(f"  {name}: {{name: {name}}}\n" for name in names)
    mine = f"networks: [{', '.join(names)}]" if networks else ""
    head = f"name: a\nx-cluster:\n  version: 1\n  gwbridge: {{subnet: 172.21.0.0/20}}\n  hosts:\n{declared}"
    return f"{head}networks:\n{nets}services:\n" + "".join(
        f"  s{n}: {{image: a, {mine or 'network_mode: none'}, {each}}}\n" for n, each in enumerate(services)
    )


def faults(document: str) -> list[str]:
    try:
        parse_intent(document.encode(), revision=1)
    except InvalidDocument as error:
        return [str(each) for each in error.faults]
    return []


def scheduled(replicas: int, more: str = "") -> str:
    return f"deploy: {{replicas: {replicas}{more}}}"


def placed(**counts: int) -> str:
    return f"x-hosts: {{{', '.join(f'{host}: {count}' for host, count in counts.items())}}}"


EVERYWHERE = "deploy: {mode: global}"
IN_ZONE = ", placement: {constraints: [node.labels.zone == z1]}"
AT_MOST_ONE = ", placement: {max_replicas_per_node: 1}"


@pytest.mark.parametrize(
    ("services", "hosts", "problem"),
    [
        ([scheduled(10_000)] * 2, 20, ""),
        (
            [scheduled(10_000)] * 2 + [scheduled(1)],
            30,
            f"20001 replicas of all services; the maximum is {MOST_IN_ALL}",
        ),
        ([EVERYWHERE] * 200, 100, ""),
        ([EVERYWHERE] * 201, 100, f"20100 replicas of all services; the maximum is {MOST_IN_ALL}"),
        ([placed(h0=1000)], 1, ""),
        ([placed(h0=1000), placed(h0=1, h1=5)], 2, f"1001 replicas on h0; the maximum is {MOST_ON_A_HOST}"),
        ([placed(h0=1000, h1=1000), EVERYWHERE], 3, f"1001 replicas on h0; the maximum is {MOST_ON_A_HOST}"),
        ([scheduled(3000)], 3, ""),
        (
            [scheduled(3001)],
            3,
            f"1001 replicas on at least one of 3 hosts; the maximum is {MOST_ON_A_HOST}",
        ),
        ([scheduled(2000), placed(h0=1000)], 3, ""),
        (
            [scheduled(2001), placed(h0=1000)],
            3,
            f"1001 replicas on at least one of 3 hosts; the maximum is {MOST_ON_A_HOST}",
        ),
        ([scheduled(1000, IN_ZONE), scheduled(1000)], 3, ""),
        (
            [scheduled(600, IN_ZONE), scheduled(500), scheduled(401, IN_ZONE)],
            3,
            f"1001 replicas on at least one of 1 host with node.labels.zone == z1; the maximum is {MOST_ON_A_HOST}",
        ),
        ([scheduled(10_000, AT_MOST_ONE)], 3, ""),
    ],
)
def test_replicas_are_counted_in_all_and_on_every_host(services: list[str], hosts: int, problem: str) -> None:
    document = text(*services, hosts=hosts)
    (line,) = [n for n, each in enumerate(document.splitlines(), 1) if each.startswith("  s0:")]
    assert faults(document) == ([f"line {line}, column 3: services: {problem}"] if problem else [])


def test_the_documents_that_killed_every_leader_are_refused() -> None:
    assert faults(text(*[scheduled(10_000)] * 120)) != []
    assert faults(text(*[scheduled(10_000)] * 20)) != []
    assert faults(text(*[EVERYWHERE] * 1000, hosts=1000)) != []


def test_constraints_are_counted_before_any_is_evaluated() -> None:
    most = MOST_CONSIDERED // 100
    listed = ", ".join(f"node.labels.l{n} != x" for n in range(100))
    rules = f"deploy: {{replicas: 1, placement: {{constraints: [{listed}]}}}}"
    assert faults(text(*[rules] * (most // 100), hosts=100)) == []
    (fault,) = faults(text(*[rules] * (most // 100), hosts=101))
    assert fault.endswith("are 1010000 pairs; the maximum is 1000000")


def test_an_assignment_that_no_request_can_hold_is_refused() -> None:
    assert faults(text(placed(h0=900), networks=1)) == []
    (fault,) = faults(text(placed(h0=900), networks=10))
    assert re.search(r"services: \d+ bytes of assignment on h0; the maximum is 1500000$", fault)
    (fault,) = faults(text(scheduled(2700), networks=10))
    assert re.search(r"services: \d+ bytes of assignment on at least one of 3 hosts; the max", fault)


def test_a_replica_with_the_longest_reasons_is_not_larger_than_assumed() -> None:
    reason = "x" * LONGEST_REASON
    long = Replica(
        service="",
        slot=10_000,
        spec="0" * 64,
        held=reason,
        waits=f"{reason}... 100,000 more characters",
        waits_on="x" * 80,
        held_by_fault=False,
        recreate=(("0" * 64, reason),),
    )
    of = {n: len(encode(Assignment(revision=1, project="a", replicas=(long,) * n))) for n in (1, 2)}
    assert of[2] - of[1] <= _REPLICA
    assert _REPLICA * MOST_ON_A_HOST < LARGEST_VALUE


def document_around_a_limit(draw: random.Random) -> str:
    """A document with some number close to one limit or to several of them."""
    hosts = draw.choice([1, 3, 100, 1000])
    near = draw.choice([0.5, 0.99, 1, 1.01, 3])
    kinds = {
        "in all": lambda: [scheduled(10_000)] * max(1, round(2 * near)),
        "small": lambda: [scheduled(round(20 * near))] * 1000,
        "global": lambda: [EVERYWHERE] * min(1000, round(MOST_IN_ALL / hosts * near)),
        "on a host": lambda: [placed(h0=min(1000, round(500 * near)))] * 2,
        "listed": lambda: (
            [placed(**{f"h{n}": 1 for n in range(hosts)})] * round(min(40, 90_000 / hosts) * near)
        ),
        "share": lambda: [scheduled(min(10_000, round(hosts * 1000 / 2 * near)), IN_ZONE), scheduled(5)],
        "constraints": lambda: [
            f"deploy: {{replicas: 1, placement: {{constraints: [node.labels.l{n} != x, node.role == manager]}}}}"
            for n in range(min(1000, round(MOST_CONSIDERED / hosts / 2 * near)))
        ],
        "spread": lambda: (
            [scheduled(20, ", placement: {preferences: [{spread: node.labels.zone}]}")]
            * min(1000, round(MOST_CONSIDERED / hosts * near))
        ),
    }
    chosen = draw.sample(sorted(kinds), draw.choice([1, 1, 2]))
    services = [each for kind in chosen for each in kinds[kind]()]
    return text(*services[:1000], hosts=hosts, networks=draw.choice([0, 0, 8]))


@pytest.mark.parametrize("seed", range(examples(10, 100)))
def test_a_document_around_a_limit_is_answered_soon_and_in_little_memory(seed: int) -> None:
    raw = document_around_a_limit(random.Random(seed)).encode()
    done = subprocess.run([sys.executable, "-c", MEMORY], input=raw, capture_output=True, check=True)
    seconds, kilobytes = map(float, done.stdout.split())
    assert seconds < 2
    assert kilobytes < 150 * 1024


def test_the_contents_of_configs_are_counted_once_for_each_service_that_has_them() -> None:
    content = "x" * 50_000
    most = MOST_CONTENT // (len(content) + 2)

    def with_config(services: int) -> str:
        named = text(*["configs: [c]"] * services)
        return f"{named}configs: {{c: {{content: {content}}}}}\n"

    assert faults(with_config(most)) == []
    (told,) = faults(with_config(most + 1))
    assert re.search(rf"services: \d+ bytes of configs of all services; the maximum is {MOST_CONTENT}$", told)


CONSTRAINTS = st.builds(
    Constraint,
    of=st.sampled_from(
        ["hostname", "role", "platform.os", "labels.zone", "labels.rack", "id", "platform.arch"]
    ),
    equal=st.booleans(),
    value=st.sampled_from(["h1", "H2", "manager", "WORKER", "linux", "a", "B", ""]),
)
DECLARED = st.tuples(st.sampled_from(["h1", "H2", "h3", "a"]), st.sampled_from(["", "a", "b"]), st.booleans())


@given(
    st.lists(st.lists(CONSTRAINTS, max_size=3).map(tuple), max_size=4),
    st.lists(DECLARED, max_size=4, unique_by=lambda each: each[0]),
)
def test_the_hosts_that_meet_constraints_are_those_that_lack_none(
    rules: list[tuple[Constraint, ...]], declared: list[tuple[str, str, bool]]
) -> None:
    hosts = tuple(
        HostIntent(
            name=name,
            address=IPv4Address("10.1.0.1"),
            role="manager" if manages else "worker",
            labels=(("zone", zone),) if zone else (),
        )
        for name, zone, manages in declared
    )
    found = fitting_hosts({*rules}, hosts)
    for rule in rules:
        assert found[rule] == tuple(each for each in hosts if not Where(constraints=rule).unmet(each))
