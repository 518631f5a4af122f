"""The outside judge: it loads nothing of the product, and each way to be broken is found and compared."""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from integration.judge.reading import Container, Engine, Reading
from integration.judge.session import AFTER_S, Session, Statement
from integration.judge.verdict import contradictions, read_document, services_without_replica
from integration.judging.draft import EXTRAS, Draft

ROOT = Path(__file__).parents[2]
DOCUMENT = """\
name: prod
x-cluster:
  hosts: {a: {address: 10.0.0.1, role: manager}, b: {address: 10.0.0.2, role: worker}}
  gwbridge: {subnet: 172.21.0.0/20}
services:
  order: {image: "order:1", x-hosts: {a: 1, b: 1}, restart: always, environment: {E: 1}}
  job: {image: "job:1", x-hosts: [b], restart: on-failure}
  free: {image: "free:1", restart: always}
"""
WANTED = read_document(DOCUMENT)


def container(name: str, **more: Any) -> Container:
    service = name.split("-")[1]
    well = Container(
        name=name,
        image=f"{service}:1",
        running=True,
        exit_code=0,
        health="",
        environment=frozenset({"E=1"}),
        labels={"io.swarmkeeper.cluster": "prod"},
    )
    return replace(well, **more)


def engine(*containers: Container, manager: bool = False, **more: Any) -> Engine:
    nodes = {"1": ("manager", "ready", "reachable"), "2": ("worker", "ready", "")}
    well = Engine(
        swarm="active",
        is_manager=manager,
        node="1",
        subnets=("172.21.0.0/20",),
        containers={each.name: each for each in containers},
        nodes=nodes if manager else None,
    )
    return replace(well, **more)


A = engine(container("prod-order-1"), container("prod-free-1"), manager=True)
B = engine(container("prod-order-2", health="healthy"), container("prod-job-1", running=False))
FOREIGN = container("other-thing-1", labels={}, image="x")


def reading(a: Engine | None = A, b: Engine | None = B, at: float = 0.0) -> Reading:
    return Reading(began=at, ended=at + 0.1, engines={"a": a, "b": b})


def more(base: Engine, *containers: Container) -> Engine:
    return replace(base, containers={**base.containers, **{each.name: each for each in containers}})


def test_nothing_of_the_product_is_loaded_by_the_judge() -> None:
    code = "import sys, integration.judge.session; print(*(m for m in sys.modules if m.split('.')[0] == 'agent'))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.split() == []


def test_a_cluster_as_declared_has_no_contradiction_whatever_else_runs_there() -> None:
    assert contradictions(WANTED, reading()) == frozenset()
    assert contradictions(WANTED, reading(b=more(B, FOREIGN))) == frozenset()


@pytest.mark.parametrize(
    ("broken", "found"),
    [
        (reading(b=None), "b: no dockerd answers"),
        (reading(b=replace(B, swarm="pending")), "b: its dockerd is not in the swarm"),
        (reading(b=replace(B, is_manager=True, nodes=A.nodes)), "b: it is not a worker"),
        (reading(b=replace(B, subnets=())), "b: docker_gwbridge has not the subnet 172.21.0.0/20"),
        (reading(a=replace(A, nodes=None)), "swarm: the manager a knows no leader"),
        (
            reading(a=replace(A, nodes={"2": ("worker", "down", "")})),
            "swarm: a lists a worker that is not ready",
        ),
        (
            reading(a=replace(A, nodes={"1": ("manager", "ready", "unreachable")})),
            "swarm: a lists a manager that is not reachable",
        ),
        (reading(b=more(B, container("prod-order-2", running=False))), "prod-order-2: not running"),
        (reading(b=more(B, container("prod-order-2", health="starting"))), "prod-order-2: not healthy"),
        (
            reading(b=more(B, container("prod-order-2", image="order:2"))),
            "prod-order-2: not of the image order:1",
        ),
        (
            reading(b=more(B, container("prod-order-2", environment=frozenset({"E=2"})))),
            "prod-order-2: its variable E is not 1",
        ),
        (
            reading(b=more(B, container("prod-job-1", running=False, exit_code=1))),
            "prod-job-1: not running",
        ),
        (reading(b=more(B, container("prod-order-3"))), "order: 2 containers on b, 1 declared"),
        (reading(a=more(A, container("prod-free-2"))), "free: 2 containers, 1 declared"),
        (reading(b=more(B, container("prod-old-1"))), "b: prod-old-1 is managed and not declared"),
    ],
)
def test_what_is_not_as_declared_is_found(broken: Reading, found: str) -> None:
    assert contradictions(WANTED, broken) >= {found}


def test_a_service_is_down_without_a_replica_that_runs() -> None:
    assert services_without_replica(WANTED, reading()) == {"job"}
    assert services_without_replica(WANTED, reading(a=None)) == {"job", "free"}


def statement(at: float, *, converged: bool = True, **calls_well: str) -> Statement:
    return Statement(began=at, ended=at + 0.5, says_converged=converged, calls_well=calls_well)


def session(*readings: Reading, said: Statement, notice_s: float = 0.0) -> Session:
    return Session(wanted=WANTED, hosts=[], readings=list(readings), statements=[said], notice_s=notice_s)


def test_converged_is_a_violation_only_if_both_readings_contradict_it_in_the_same() -> None:
    down, absent = reading(b=None), replace(reading(b=None, at=1.5 + AFTER_S))
    well = reading(at=1.5 + AFTER_S)
    violated = session(down, absent, said=statement(1.0)).violations()
    assert [(each.witness, each.contradictions[0]) for each in violated] == [
        ("status", "b: no dockerd answers")
    ]
    assert session(down, well, said=statement(1.0)).violations() == []
    assert session(reading(), absent, said=statement(1.0)).violations() == []
    assert session(down, absent, said=statement(1.0, converged=False)).violations() == []
    assert session(down, absent, said=statement(1.0), notice_s=2.0).judged() == []
    assert session(down, absent, said=statement(1.0), notice_s=2.0).noticed_s() == pytest.approx(1.4)
    assert session(down, said=statement(1.0)).judged() == []


def test_a_page_of_a_host_is_held_to_what_is_broken_on_that_host_and_a_metric_to_all() -> None:
    both = (reading(b=None), reading(b=None, at=3.5 + AFTER_S))
    said = statement(3.0, converged=False, page_a="a", page_b="b", metric="")
    assert {each.witness for each in session(*both, said=said).violations()} == {"page_b", "metric"}


def test_a_page_shows_an_edit_two_seconds_later_and_status_at_once() -> None:
    both = (reading(b=None), reading(b=None, at=1.5 + AFTER_S))
    said = statement(1.0, metric="")
    assert [each.witness for each in session(*both, said=said).violations()] == ["status"]


def test_every_draft_is_a_document_that_the_judge_reads() -> None:
    for extra in EXTRAS:
        wanted = read_document(Draft(extra=extra, checked=True).text())
        assert ("extra" in wanted.services) == (extra != "none")
        assert set(wanted.roles) == {"node-231", "node-232", "node-233"}
