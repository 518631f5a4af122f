"""`doctor` and `config check` as an operator runs them, on an etcd of the test and without any dockerd."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.cli import doctor
from agent.doctor.checks import FAIL, OK, SKIP, WARN, Clock, Finding
from tests.support.etcd_server import EtcdServer, running
from tests.unit.cli.conftest import GOOD, Ended, swarmkeeper
from tests.unit.cli.guarded_etcd import PASSWORD, ROOT, running_guarded

CONFIG = """\
cluster: {cluster}
host: h1
etcd: {{endpoints: ['{endpoint}'], timeout: 500ms, budget: 1s}}
docker: {{url: 'unix://{folder}/docker.sock', registry_config: '{folder}/registry.json'}}
state_directory: {folder}/state
http: {{listen: '127.0.0.1:1'}}
"""


@pytest.fixture(autouse=True)
def _no_lan(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing listens on the other hosts of the document, whatever network this machine is in."""
    monkeypatch.setattr("agent.doctor.collect.tcp_answer", lambda *_: "refused")
    monkeypatch.setattr("agent.doctor.collect.kernel_clock", lambda of, _: Clock(of, None))


@pytest.fixture(scope="module")
def etcd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EtcdServer]:
    with running(EtcdServer(tmp_path_factory.mktemp("etcd"))) as server:
        server.ctl("put", "/swarmkeeper/prod/intent", GOOD)
        yield server


def config_in(folder: Path, endpoint: str, cluster: str = "prod") -> Path:
    secrets = folder / "registry.json"
    secrets.write_text('{"auths": {"registry.example": {"auth": "aHVudGVyOmh1bnRlcjI="}}}')
    secrets.chmod(0o600)
    file = folder / "agent.yaml"
    file.write_text(CONFIG.format(cluster=cluster, endpoint=endpoint, folder=folder))
    return file


def findings(ended: Ended) -> dict[str, list[Finding]]:
    shown = json.loads(ended.out)
    assert shown["version"] == doctor.VERSION
    assert ended.code == (1 if shown["result"] == "FAIL" else 0)
    found: dict[str, list[Finding]] = {}
    for each in shown["findings"]:
        found.setdefault(each["check"], []).append(Finding(**each))
    return found


def test_a_host_before_its_first_start_is_checked_and_no_check_that_was_not_made_is_well(
    etcd: EtcdServer, tmp_path: Path
) -> None:
    ended = swarmkeeper("doctor", "--config", str(config_in(tmp_path, etcd.endpoint)), "-o", "json")
    found = findings(ended)
    levels = {check: [each.level for each in several] for check, several in found.items()}

    assert levels["etcd"] == [OK]
    assert levels["role"] == [SKIP]
    assert levels["engine"] == [FAIL]
    assert levels["kernel"] == [SKIP], "only dockerd's start sets what it needs"
    assert levels["firewall"] == levels["registries"] == [SKIP]
    assert levels["ports"] == [SKIP, SKIP]  # h2 listens nowhere, and has not reported a swarm
    assert "10.0.0.2:7946/tcp" in found["ports"][0].text
    assert levels["mtu"] == [SKIP]
    assert "no device of this host has an address 10.0.0.1" in found["mtu"][0].text
    assert levels["overlays"] == [SKIP]
    assert levels["clocks"] == [OK, SKIP]
    assert "hunter" not in ended.out
    assert "aHVud" not in ended.out
    assert etcd.ctl("get", "--prefix", "--keys-only", "/").split() == ["/swarmkeeper/prod/intent"]


def test_without_a_document_what_needs_one_is_skipped(etcd: EtcdServer, tmp_path: Path) -> None:
    config = config_in(tmp_path, etcd.endpoint, "other")
    found = findings(swarmkeeper("doctor", "-c", str(config), "-o", "json"))

    for check in ("mtu", "addresses", "ports"):
        (only,) = found[check]
        assert (only.level, only.text) == (SKIP, "etcd has no valid document yet")


def test_an_etcd_that_is_away_is_a_fault_and_what_needs_it_is_skipped(tmp_path: Path) -> None:
    found = findings(
        swarmkeeper("doctor", "-c", str(config_in(tmp_path, "http://127.0.0.1:1")), "-o", "json")
    )

    assert [each.level for each in found["etcd"]] == [FAIL]
    assert "http://127.0.0.1:1" in found["etcd"][0].text
    for check in ("role", "mtu", "addresses", "ports", "clocks"):
        assert [each.level for each in found[check]] == [SKIP]
        assert found[check][0].text


def test_a_declared_manager_with_the_role_of_a_worker_is_told_the_command_that_grants_the_other_one(
    tmp_path: Path,
) -> None:
    with running_guarded(tmp_path / "etcd") as server:
        server.add_host("h1", may_lead=False)
        server.ctl("--user", ROOT, "put", "/swarmkeeper/prod/intent", GOOD)
        file, password = config_in(tmp_path, server.endpoint), tmp_path / "password"
        password.write_text(PASSWORD)
        password.chmod(0o600)
        user = f"user: h1, password_file: {password}, allow_plaintext_password: true, timeout"
        file.write_text(file.read_text().replace("timeout", user))

        (found,) = findings(swarmkeeper("doctor", "-c", str(file), "-o", "json"))["role"]
        server.make_roles("--host", "h1", "--may-lead")
        (after,) = findings(swarmkeeper("doctor", "-c", str(file), "-o", "json"))["role"]

    assert found.level == FAIL
    assert "too narrow, etcd denies: readwrite /swarmkeeper/prod/a to" in found.text
    assert found.remedy == "swarmkeeper etcd-roles --host h1 --may-lead | sh"
    assert after.level == OK


def test_pings_that_have_no_target_are_skipped(etcd: EtcdServer, tmp_path: Path) -> None:
    config = config_in(tmp_path, etcd.endpoint)
    found = findings(swarmkeeper("doctor", "-c", str(config), "--probe", "busybox", "-o", "json"))

    (only,) = found["overlays"]
    assert (only.level, only.text) == (SKIP, "the document declares no overlay, or no other host is chosen")


def test_a_host_that_is_not_declared_is_refused(etcd: EtcdServer, tmp_path: Path) -> None:
    ended = swarmkeeper("doctor", "-c", str(config_in(tmp_path, etcd.endpoint)), "--host", "h3")

    assert (ended.code, ended.out) == (1, "")
    assert "the document declares no host 'h3'" in ended.err


def test_a_faulty_agent_yaml_is_told_with_line_and_column(tmp_path: Path) -> None:
    file = tmp_path / "agent.yaml"
    file.write_text("cluster: prod\nbogus: 1\n")

    ended = swarmkeeper("doctor", "--config", str(file))
    assert ended.code == 1
    assert "FAIL  agent.yaml" in ended.out
    assert "line 2, column 1: bogus" in ended.out
    ended = swarmkeeper("config", "check", str(file))
    assert ended.code == 1
    assert "line 2, column 1: bogus" in ended.err

    ended = swarmkeeper("config", "check", str(config_in(tmp_path, "http://127.0.0.1:1")))
    assert (ended.code, ended.out) == (0, f"{file}: valid: host h1 of cluster prod\n")


@pytest.mark.parametrize(("level", "code"), [(OK, 0), (SKIP, 0), (WARN, 0), (FAIL, 1)])
def test_only_a_fault_changes_the_exit_code_and_hostile_text_stays_text(
    level: str, code: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    hostile = Finding(level, "\x1b[2J of a host\nsecond line", "a remedy", "etcd")  # type: ignore[arg-type]
    monkeypatch.setattr("agent.doctor.examine.examine", lambda *_: [Finding(OK, "fine", "", "disk"), hostile])

    ended = swarmkeeper("doctor")
    assert ended.code == code
    assert "\x1b" not in ended.out
    assert ended.out.splitlines()[1:4] == [
        f"{level:<5} etcd        \\x1b[2J of a host",
        f"{'':18}second line",
        f"{'':18}remedy: a remedy",
    ]
