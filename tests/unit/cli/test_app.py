import os
import re
import resource
import subprocess
import sys
from pathlib import Path

import pytest
from typer.main import get_command
from typer.testing import CliRunner

from agent import __version__
from agent.cli.app import app
from tests.unit.cli.conftest import swarmkeeper

EXAMPLE = Path(__file__).parents[3] / "deploy/examples/cluster.yaml"
COMMANDS = tuple(get_command(app).commands)  # type: ignore[attr-defined]
PYTHONS = re.compile(
    r"\b(TEXT|INTEGER|FLOAT|PATH|FILENAME|FILE_PATH|BOOLEAN|UUID|RANGE|LIST)\b|x>=|<function|None\b"
)
"""Names of Python's and of its libraries' types, and signs of them, that no operator has to know."""


def test_the_version_is_told() -> None:
    assert swarmkeeper("--version").out == f"swarmkeeper {__version__}\n"


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_explains_itself(command: str) -> None:
    ended = swarmkeeper(command, "--help")

    assert ended.code == 0
    assert len(ended.out.splitlines()) > 7
    assert PYTHONS.findall(ended.out) == []


@pytest.mark.parametrize("text", ["foo", "-1", "1e9", "nan", "inf", "0x1", "\x1b[2J", "9" * 40])
def test_a_wrong_number_of_seconds_is_refused_without_names_of_types(text: str) -> None:
    ended = swarmkeeper("apply", f"--timeout={text}", str(EXAMPLE))

    assert (ended.code, ended.out) == (64, "")
    assert f"{text!r} is no number of seconds, as 90 or 0.5" in ended.err
    assert PYTHONS.findall(ended.err) == []


@pytest.mark.parametrize(
    "arguments", [("validate", str(Path(__file__))), ("status", "--config=/no/such/file")]
)
@pytest.mark.parametrize(("value", "coloured"), [("1", False), ("", True), (None, True)])
def test_no_color_is_obeyed_on_a_terminal(
    arguments: tuple[str, ...], value: str | None, coloured: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    if value is not None:
        monkeypatch.setenv("NO_COLOR", value)
    ended = CliRunner().invoke(app, arguments, color=True)

    assert ended.exit_code == 1
    assert ("\x1b[31m" in ended.output) is coloured
    assert coloured or "\x1b" not in ended.output


def test_the_help_names_every_command_and_exit_code() -> None:
    ended = swarmkeeper("--help")

    assert all(command in ended.out for command in COMMANDS)
    assert "...\n" not in ended.out.partition("Commands:")[2]
    assert "Exit codes: 0 success. 1 invalid" in ended.out


@pytest.mark.parametrize(
    "arguments", [("bogus",), ("--bogus",), (), ("plan", "--bogus"), ("validate", "no-such-file"), ("apply",)]
)
def test_wrong_usage_ends_with_64(arguments: tuple[str, ...]) -> None:
    assert swarmkeeper(*arguments).code == 64


@pytest.mark.parametrize(
    "arguments", [("plan",), ("apply", str(Path(__file__)), "--yes"), ("status",), ("etcd-roles",)]
)
@pytest.mark.parametrize("name", ["a\nb", "a/../b", "-"])
def test_a_cluster_whose_name_is_no_name_is_wrong_usage(arguments: tuple[str, ...], name: str) -> None:
    ended = swarmkeeper(*arguments, f"--cluster={name}")

    assert (ended.code, ended.out) == (64, "")
    assert f"{name!r} is not a name:" in ended.err


def test_a_missing_configuration_is_said_in_one_line_with_the_way_out(tmp_path: Path) -> None:
    ended = swarmkeeper("status", "--config", str(tmp_path / "agent.yaml"))

    assert ended.code == 1
    assert ended.err == (
        f"swarmkeeper: {tmp_path}/agent.yaml does not exist: name another file with --config,"
        " or give --endpoint and --cluster\n"
    )


def test_a_faulty_configuration_is_refused_with_line_and_column(tmp_path: Path) -> None:
    config = tmp_path / "agent.yaml"
    config.write_text("cluster: prod\nbogus: 1\n")
    ended = swarmkeeper("run", "--config", str(config))

    assert ended.code == 78
    assert "line 2, column 1: bogus" in ended.err


@pytest.mark.parametrize(("command", "lines"), [("plan", 1), ("status", 2)])
def test_an_etcd_that_does_not_answer_ends_with_3(tmp_path: Path, command: str, lines: int) -> None:
    config = tmp_path / "agent.yaml"
    config.write_text(
        "cluster: prod\netcd: {endpoints: ['http://127.0.0.1:1'], timeout: 200ms, budget: 300ms}\n"
        "http: {listen: '127.0.0.1:1'}\n"
    )

    ended = swarmkeeper(command, "--config", str(config))

    assert ended.code == 3
    assert ended.err.startswith("swarmkeeper: etcd does not answer: http://127.0.0.1:1")
    assert ended.err.count("\n") == lines


def test_a_traceback_is_only_for_who_asks() -> None:
    with pytest.raises(Exception, match="does not exist"):
        swarmkeeper("--debug", "status", "--config", "/no/such/file")


@pytest.mark.parametrize(
    ("module", "unwanted"),
    [
        ("agent.cli.app", ("grpc", "etcd3", "docker", "rich", "agent.planner")),
        ("agent.cli.validate", ("grpc", "etcd3", "docker", "rich")),
        (
            "agent.daemon.main",
            ("rich", "pygments", "cryptography", "agent.cli.status", "agent.planner.dry_run.cluster"),
        ),
    ],
)
def test_a_command_loads_only_what_it_needs(module: str, unwanted: tuple[str, ...]) -> None:
    code = f"import sys, {module}; print(*(name for name in {unwanted!r} if name in sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert done.stdout.split() == []


def test_what_the_agent_does_not_load_the_commands_still_find() -> None:
    code = "import agent.daemon.main, agent.cli.status, rich.live, sys; print('structlog' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert done.stdout.split() == ["True"]


_HEAVY = (
    "grpc", "google.protobuf", "etcd3", "docker", "requests", "urllib3", "prometheus_client", "cryptography", "bcrypt",
    "structlog", "tenacity", "pydantic", "rich", "importlib.metadata", "dotenv", "agent.config",
    "agent.admission.check", "agent.clients", "agent.planner", "agent.conditions",
)  # fmt: skip


@pytest.mark.parametrize(
    ("arguments", "unwanted"),
    [(("--help",), (*_HEAVY, "yaml", "msgspec")), (("validate", str(EXAMPLE)), _HEAVY)],
)
def test_a_command_that_runs_has_loaded_nothing_heavy(
    arguments: tuple[str, ...], unwanted: tuple[str, ...]
) -> None:
    code = (
        f"import sys, atexit; sys.argv[1:] = {arguments!r}; from agent.cli.app import main;"
        f" atexit.register(lambda: print(*(each for each in {unwanted!r} if each in sys.modules), file=sys.stderr));"
        " main()"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert done.stdout
    assert done.stderr.split() == []


def test_to_validate_a_small_document_takes_little_more_than_to_load_a_parser_of_yaml(tmp_path: Path) -> None:
    """Compared in one run, because the machine may be busy: 0.03 s and 0.2 s of processor time on two slow cores."""
    compiled = {"PATH": os.environ["PATH"], "PYTHONPYCACHEPREFIX": str(tmp_path)}

    def seconds(*command: str) -> float:
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run([sys.executable, *command], env=compiled, capture_output=True, check=True)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime

    commands = (
        ("-c", "import yaml"),
        ("-m", "agent.cli.app", "validate", str(EXAMPLE)),
        ("-m", "agent.cli.app", "--help"),
    )
    taken = [[seconds(*each) for each in commands] for _ in range(6)]
    floor, validate, explain = (min(each) for each in zip(*taken[1:], strict=True))  # the first run compiles

    assert validate < 10 * floor
    assert explain < 5 * floor


def test_the_command_line_is_also_a_module() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "agent.cli.app", "--version"], capture_output=True, text=True, check=True
    )

    assert done.stdout == f"swarmkeeper {__version__}\n"


def test_a_reader_that_has_seen_enough_is_no_error(tmp_path: Path) -> None:
    document = tmp_path / "many-faults.yaml"
    document.write_text("\n".join(f"bogus{number}: 1" for number in range(5000)))
    command = f"{sys.executable} -m agent.cli.app validate {document} | head -1"
    done = subprocess.run(["sh", "-c", command], capture_output=True, text=True, check=False)

    assert done.stderr == ""


@pytest.mark.parametrize(
    ("command", "code", "said"),
    [
        ("validate - <&-", 1, "is not valid: 1 fault"),
        ("plan --endpoint http://127.0.0.1:1 --cluster prod - <&-", 3, "connection refused"),
        (f"diff - {EXAMPLE} <&-", 1, "the document is empty"),
        (f"validate {EXAMPLE} >&-", 0, ""),
        (f"compile --file {EXAMPLE} >&-", 0, ""),
        ("validate missing.yaml <&- >&- 2>&-", 64, ""),
    ],
)
def test_a_closed_stream_is_an_empty_one(command: str, code: int, said: str) -> None:
    line = f"exec {sys.executable} -m agent.cli.app {command}"

    ended = subprocess.run(["sh", "-c", line], capture_output=True, text=True, check=False)

    assert (ended.returncode, "Traceback" in ended.stderr) == (code, False), ended.stderr
    assert said in ended.stderr
