"""`init` and `compile`, as somebody with a Compose file uses them."""

from pathlib import Path

import pytest
import yaml

from tests.support import examples
from tests.unit.cli.conftest import Cluster, swarmkeeper

COMPOSE = """\
services:
  web:
    image: registry.example/web:${TAG:-1}
    networks: [front]
    deploy: {replicas: 2}
networks: {front: {}}
"""
HOSTS = ("node-1=10.0.0.1", "node-2=10.0.0.2", "node-3=10.0.0.3", "node-4=10.0.0.4")


@pytest.fixture
def compose(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "compose.yaml").write_text(COMPOSE)
    (tmp_path / "cluster.yaml").write_text(swarmkeeper("init", *HOSTS).out)
    return tmp_path


def test_a_compose_file_and_what_init_prints_make_a_valid_document(compose: Path) -> None:
    ended = swarmkeeper("compile", "-f", "compose.yaml", "-f", "cluster.yaml", "-o", "document.yaml")
    assert (ended.code, ended.out, ended.err) == (0, "", "")
    document = yaml.safe_load((compose / "document.yaml").read_text())
    assert document["services"]["web"]["image"] == "registry.example/web:1"
    assert [each["role"] for each in document["x-cluster"]["hosts"].values()] == ["manager"] * 3 + ["worker"]

    assert (
        swarmkeeper("validate", "document.yaml").out
        == "document.yaml: valid: 4 hosts, 1 service, 2 replicas\n"
    )


def test_the_document_is_printed_and_a_file_may_come_from_standard_input(compose: Path) -> None:
    (compose / ".env").write_text("TAG=7\n")
    ended = swarmkeeper("compile", "-f", "-", "-f", "cluster.yaml", stdin=COMPOSE)
    assert "registry.example/web:7" in ended.out


def test_a_fault_is_told_in_the_file_that_has_it_and_nothing_is_written(compose: Path) -> None:
    (compose / "more.yaml").write_text("services:\n  web:\n    imaeg: x\n")
    command = (
        "compile",
        "-f",
        "compose.yaml",
        "-f",
        "more.yaml",
        "-f",
        "cluster.yaml",
        "-o",
        "document.yaml",
    )
    ended = swarmkeeper(*command)
    assert (ended.code, ended.out) == (1, "")
    assert ended.err.splitlines() == [
        "more.yaml, line 3, column 5: services.web.imaeg: unknown key 'imaeg'; did you mean 'image'?",
        "swarmkeeper: compose.yaml, more.yaml, cluster.yaml is not valid: 1 fault",
    ]
    assert not (compose / "document.yaml").exists()


def test_a_file_that_is_not_there_is_named(compose: Path) -> None:
    assert swarmkeeper("compile", "-f", "no.yaml").err == (
        "swarmkeeper: no.yaml cannot be read: No such file or directory\n"
    )


@pytest.mark.parametrize(("hosts", "managers"), [(1, 1), (2, 1), (3, 3), (6, 3), (7, 5), (9, 5)])
def test_init_declares_an_odd_number_of_managers(hosts: int, managers: int) -> None:
    ended = swarmkeeper("init", *(f"h{number}=10.0.0.{number}" for number in range(1, hosts + 1)))
    assert ended.out.count("role: manager") == managers


def test_the_examples_have_the_hosts_that_init_prints() -> None:
    hosts = yaml.safe_load(examples.HOSTS.read_text())["x-cluster"]["hosts"]
    ended = swarmkeeper("init", *(f"{name}={host['address']}" for name, host in hosts.items()))
    assert ended.out == examples.HOSTS.read_text()


def test_init_keeps_docker_gwbridge_away_from_the_hosts() -> None:
    assert "subnet: 172.22.0.0/20" in swarmkeeper("init", "a=172.21.3.4").out


@pytest.mark.parametrize(
    "wrong", ["node-1", "node-1=", "node-1=ten", "=10.0.0.1", "a b=10.0.0.1", "a}: {x=10.0.0.1"]
)
def test_init_refuses_what_is_no_host(wrong: str) -> None:
    ended = swarmkeeper("init", wrong)
    assert (ended.code, ended.out) == (1, "")
    assert "name each host as node-1=10.0.0.1" in ended.err


def test_validate_takes_the_files_themselves(compose: Path) -> None:
    ended = swarmkeeper("validate", "-f", "compose.yaml", "-f", "cluster.yaml")
    assert ended.out == "compose.yaml, cluster.yaml: valid: 4 hosts, 1 service, 2 replicas\n"


@pytest.mark.parametrize("command", ["validate", "apply"])
def test_a_command_wants_a_document_or_compose_files_and_not_both(compose: Path, command: str) -> None:
    assert "name a document" in swarmkeeper(command).err
    assert "give one of them" in swarmkeeper(command, "cluster.yaml", "-f", "compose.yaml").err
    assert "name Compose files with --file" in swarmkeeper("compile").err


def test_plan_and_apply_take_the_files_themselves(compose: Path, cluster: Cluster) -> None:
    files = ("-f", "compose.yaml", "-f", "cluster.yaml")
    assert "web" in cluster.run("plan", *files).out
    ended = cluster.run("apply", *files, "--yes", "--no-wait")
    assert ended.code == 0, ended.err
    stored = cluster.content().get(cluster.keys.intent)
    assert stored is not None
    assert stored.value.decode() == swarmkeeper("compile", *files).out


def test_files_of_standard_input_cannot_be_asked_about(compose: Path, cluster: Cluster) -> None:
    assert "needs --yes" in cluster.run("apply", "-f", "-", "-f", "cluster.yaml", stdin=COMPOSE).err
