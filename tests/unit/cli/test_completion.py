"""What a shell completes: words of the command itself without etcd, names with it, and nothing where it is silent."""

import os
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from agent.cli import completion
from agent.cli.completion import LONGEST_S, Kind, names_of
from agent.model.records import Assignment, Replica, Rollout
from tests.unit.cli.conftest import Cluster, swarmkeeper

COMMAND = Path(sys.executable).with_name("swarmkeeper")
HEAVY = ("grpc", "etcd3", "docker", "rich", "msgspec", "yaml", "agent.planner")


@pytest.fixture
def filled(cluster: Cluster) -> Cluster:
    keys = cluster.keys
    for host, service in (("h1", "web"), ("h2", "order")):
        replicas = tuple(Replica(service=service, slot=slot, spec="0") for slot in (1, 2))
        cluster.put(keys.assignment(host), Assignment(revision=1, project="prod", replicas=replicas))
    cluster.put(keys.assignment("h3"), "damaged")
    cluster.put(keys.rollout("web"), Rollout(before="a", to="b"))
    for each in ("7", "12", "12/carried-out"):
        cluster.put(f"{keys.history}{each}", "x")
    return cluster


def completed(context: dict[str, Any], *kinds: Kind, begin: str = "", keyed: bool = False) -> list[str]:
    return names_of(*kinds, keyed=keyed)(SimpleNamespace(params=context), begin)  # type: ignore[arg-type]


def options(cluster: Cluster) -> dict[str, Any]:
    return {"config": None, "endpoint": [cluster.endpoint], "cluster": cluster.name}


@pytest.fixture
def _patient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(completion, "LONGEST_S", 60.0)


@pytest.mark.usefixtures("_patient")
@pytest.mark.parametrize(
    ("kind", "begin", "found"),
    [
        ("host", "", ["h1", "h2", "h3"]),
        ("service", "", ["order", "web"]),
        ("service", "w", ["web"]),
        ("replica", "order", ["order-1", "order-2"]),
        ("rollout", "", ["web"]),
        ("revision", "1", ["12"]),
    ],
)
def test_names_are_those_that_etcd_has(filled: Cluster, kind: Kind, begin: str, found: list[str]) -> None:
    assert completed(options(filled), kind, begin=begin) == found


@pytest.mark.usefixtures("_patient")
def test_a_resource_is_completed_with_its_kind(filled: Cluster) -> None:
    found = completed(options(filled), "service", "rollout", "host", begin="", keyed=True)
    assert found == ["service/order", "service/web", "rollout/web", "host/h1", "host/h2", "host/h3"]


@pytest.mark.usefixtures("_patient")
def test_a_name_that_a_shell_could_run_is_left_out(filled: Cluster) -> None:
    for name in (r"\`touch x #\`", r"\$(reboot)", ";reboot", "-x", "\x1b[2J", "h 4", "*", "h5\n"):
        filled.put(filled.keys.assignment(name), "x")
        filled.put(filled.keys.rollout(name), "x")
    assert completed(options(filled), "host", "rollout") == ["h1", "h2", "h3", "web"]


@pytest.mark.parametrize(
    "context",
    [
        {"config": None, "endpoint": ["http://127.0.0.1:1"], "cluster": "prod"},
        {"config": None, "endpoint": ["http://10.255.255.1:2379"], "cluster": "prod"},
        {"config": Path("/no/such/file")},
        {"config": Path(__file__)},
    ],
    ids=["no etcd", "no host", "no configuration", "a faulty configuration"],
)
def test_without_an_answer_nothing_is_completed_or_printed_and_the_shell_goes_on(
    context: dict[str, Any], capfd: pytest.CaptureFixture[str]
) -> None:
    begin = time.monotonic()
    assert completed(context, "host") == []
    assert time.monotonic() - begin < LONGEST_S + 2
    assert capfd.readouterr() == ("", "")


def test_bash_completes_by_the_script_that_the_command_prints(filled: Cluster) -> None:
    words = ["swarmkeeper", "drain", "--endpoint", filled.endpoint, "--cluster", filled.name, "h"]
    script = (
        f"source <('{COMMAND}' completion bash); COMP_WORDS=({' '.join(words)}); COMP_CWORD={len(words) - 1}\n"
        f"_swarmkeeper_completion '{COMMAND}'; printf '%s\\n' \"${{COMPREPLY[@]}}\""
    )
    # On a machine that is busy, etcd may take more than the second that it has.
    for _ in range(20):
        done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=True)
        assert done.stderr == ""
        if done.stdout.strip():
            break
    assert done.stdout.split() == ["h1", "h2", "h3"]


def test_a_word_of_the_command_itself_is_completed_without_loading_etcd() -> None:
    code = (
        "import sys, atexit; from agent.cli.app import main;"
        f" atexit.register(lambda: print(*(each for each in {HEAVY!r} if each in sys.modules), file=sys.stderr));"
        " main()"
    )
    words = {"COMP_WORDS": "swarmkeeper re", "COMP_CWORD": "1", "_SWARMKEEPER_COMPLETE": "complete_bash"}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env={**os.environ, **words}
    )
    assert done.stdout.split() == ["resume", "rebalance", "restart"]
    assert done.stderr.split() == []


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_each_shell_has_a_script(shell: str) -> None:
    ended = swarmkeeper("completion", shell)
    assert ended.code == 0
    assert f"_SWARMKEEPER_COMPLETE=complete_{shell}" in ended.out
    assert shell != "zsh" or ended.out.startswith("#compdef swarmkeeper\n")


def test_another_shell_is_wrong_usage() -> None:
    ended = swarmkeeper("completion", "tcsh")
    assert ended.code == 64
    assert "'bash', 'zsh', 'fish'" in ended.err
