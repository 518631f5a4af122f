"""Traces: the same each time, other ones as soon as an agent decides otherwise."""

import os
import subprocess
import sys
from dataclasses import dataclass
from ipaddress import IPv4Network
from pathlib import Path
from typing import NamedTuple
from unittest import mock

import pytest

from agent.daemon import loop
from agent.model.plan import Plan
from agent.planner import make_plan
from tests.properties.simulation.traces import Digest, differing, main, read, text, trace

ROOT = Path(__file__).parents[3]
SEED = 7_000_001


def test_a_trace_is_the_same_in_every_process() -> None:
    # The hashes of strings, and with them the order of sets, are others with each of these.
    here, there = (_trace_in_a_process(hash_seed) for hash_seed in ("1", "2"))
    assert here == there == "".join(f"{line}\n" for line in trace(SEED))


def test_a_trace_has_every_kind_of_line() -> None:
    lines = trace(SEED)
    assert {line.split()[0] for line in lines} == {
        "blocked", "call", "etcd", "event", "outcome", "pass", "passed", "plan", "step", "waiting"
    }  # fmt: skip
    assert not [line for line in lines if " at 0x" in line or "/tmp/" in line]


def test_a_change_of_a_reason_is_another_trace(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    reference, found = tmp_path / "reference", tmp_path / "found"
    how = ["--examples", "1", "--seed", str(SEED), "--jobs", "1"]
    assert main(["--traces", str(reference), *how]) == 0
    assert main(["--traces", str(found), "--against", str(reference)]) == 0
    assert read(found) == read(reference)

    def without_blocked(observed: object) -> Plan:
        return make_plan(observed)._replace(blocked=())  # type: ignore[arg-type]

    with mock.patch.object(loop, "make_plan", without_blocked):
        assert main(["--traces", str(found), "--against", str(reference)]) == 1
    assert capsys.readouterr().out.endswith(f"seed {SEED} differs\n")


def test_a_seed_that_the_reference_has_not_differs() -> None:
    one, other = Digest(1, "a", 1), Digest(2, "b", 1)
    assert differing([one, other], {1: one}) == [2]
    assert differing([one], {1: one._replace(lines=2)}) == [1]


def test_text_is_by_class_and_fields_and_sorts_what_has_no_order() -> None:
    @dataclass
    class Thing:
        name: str
        found: frozenset[str]

    class Pair(NamedTuple):
        left: object
        right: object

    made = Thing("a\nb", frozenset({"y", "x", "z"}))
    assert text(made) == r"Thing(name='a\nb', found={'x', 'y', 'z'})"
    assert text(Pair(IPv4Network("10.0.0.0/8"), {"b": b"\x00", "a": None})) == (
        r"Pair(left=10.0.0.0/8, right={'a': None, 'b': b'\x00'})"
    )
    with pytest.raises(TypeError, match="no text for a object"):
        text(object())


def _trace_in_a_process(hash_seed: str) -> str:
    return subprocess.run(
        [sys.executable, "-m", "tests.properties.simulation.traces", "--trace", str(SEED)],
        cwd=ROOT,
        env={**os.environ, "PYTHONHASHSEED": hash_seed},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    ).stdout
