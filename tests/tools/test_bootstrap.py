"""A round of bench/bootstrap that fails."""

from contextlib import nullcontext
from types import SimpleNamespace
from typing import cast

import pytest

from bench import run_bootstrap
from bench.contenders import Contender, Floor, Swarmkeeper
from bench.processor import UNITS
from bench.run_bootstrap import Round, one_round, print_results
from integration.lab.lab import Lab

LAB = cast(Lab, SimpleNamespace(hosts=[], renew=lambda: None))


class DockerErrs(Floor):
    def __init__(self, error: Exception | None = None) -> None:
        self._error = error

    def go(self, lab: Lab) -> None:
        if self._error:
            raise self._error


class AgentsFail(Swarmkeeper):
    def prepare(self, lab: Lab) -> None:
        pass

    def go(self, lab: Lab) -> None:
        raise RuntimeError("etcdctl put failed")


@pytest.fixture(autouse=True)
def no_engines(monkeypatch: pytest.MonkeyPatch) -> None:
    listener = SimpleNamespace(wait_for=lambda *_: 3_000_000_000)
    monkeypatch.setattr(run_bootstrap, "listening", lambda _: nullcontext(listener))
    monkeypatch.setattr(run_bootstrap, "used_s", lambda _: 0.0)


@pytest.mark.parametrize("error", [RuntimeError("docker: 500"), TimeoutError("not within 120 s")])
def test_an_error_of_docker_costs_the_floor_one_round(
    error: Exception, capsys: pytest.CaptureFixture[str]
) -> None:
    assert one_round(LAB, DockerErrs(error), 2) is None
    assert capsys.readouterr().out == f"round 2  floor (shell)  is lost: {error}\n"
    assert isinstance(one_round(LAB, DockerErrs(), 3), Round)


def test_a_fault_of_the_agents_ends_the_bench() -> None:
    with pytest.raises(RuntimeError, match="etcdctl put failed"):
        one_round(LAB, AgentsFail("info"), 1)


def test_a_contender_without_a_round_is_left_out_of_the_tables(capsys: pytest.CaptureFixture[str]) -> None:
    one = Round(seconds=6.0, processor_s=1.0, units_s=dict.fromkeys(UNITS, 0.2))
    names: list[type[Contender]] = [Swarmkeeper, Floor]
    print_results({each.name: [one] if each is Swarmkeeper else [] for each in names})
    said = capsys.readouterr().out
    assert "Swarmkeeper" in said
    assert Floor.name not in said
