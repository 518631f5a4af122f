"""`doctor` and `config check` as an operator runs them, on an etcd of the test and without any dockerd."""

import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import yaml

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


def config_with_user(tmp_path: Path, endpoint: str) -> Path:
    """The same for the user h1 of etcd."""
    file, password = config_in(tmp_path, endpoint), tmp_path / "password"
    password.write_text(PASSWORD)
    password.chmod(0o600)
    user = f"user: h1, password_file: {password}, allow_plaintext_password: true, timeout"
    file.write_text(file.read_text().replace("timeout", user))
    return file


def findings(ended: Ended) -> dict[str, list[Finding]]:
    shown = json.loads(ended.out)
    assert shown["version"] == doctor.VERSION
    assert ended.code == (1 if shown["result"] == "FAIL" else 0)
    found: dict[str, list[Finding]] = {}
    for each in shown["findings"]:
        each.pop("host", None)
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
        file = config_with_user(tmp_path, server.endpoint)

        (found,) = findings(swarmkeeper("doctor", "-c", str(file), "-o", "json"))["role"]
        server.make_roles("--host", "h1", "--may-lead")
        (after,) = findings(swarmkeeper("doctor", "-c", str(file), "-o", "json"))["role"]

    assert found.level == FAIL
    assert "too narrow, etcd denies: readwrite /swarmkeeper/prod/a to" in found.text
    assert (
        found.remedy
        == "swarmkeeper etcd-roles --host h1 --may-lead | sh; etcdctl user grant-role h1 swarmkeeper-prod-host-h1"
    )
    assert after.level == OK


@pytest.mark.parametrize(
    ("role", "option"), [("swarmkeeper-prod-host-h2", " --may-lead"), ("of-another-program", " [--may-lead]")]
)
def test_a_user_with_a_role_of_something_else_is_told_no_command_that_takes_rights_away(
    tmp_path: Path, role: str, option: str
) -> None:
    """Without --may-lead, etcd-roles revokes what only a manager needs, and the document tells who is one."""
    with running_guarded(tmp_path / "etcd") as server:
        server.make_roles("--host", "h2")
        for command in (("put", "/swarmkeeper/prod/intent", GOOD), ("role", "add", "of-another-program")):
            server.ctl("--user", ROOT, *command)
        server.ctl("--user", ROOT, "user", "add", f"h1:{PASSWORD}")
        server.ctl("--user", ROOT, "user", "grant-role", "h1", role)
        file = config_with_user(tmp_path, server.endpoint)

        (found,) = findings(swarmkeeper("doctor", "-c", str(file), "-o", "json"))["role"]

    assert found.level == FAIL
    assert found.remedy.startswith(
        f"swarmkeeper etcd-roles --host h1{option} | sh; etcdctl user grant-role h1 "
    )


def test_pings_that_have_no_target_are_skipped(etcd: EtcdServer, tmp_path: Path) -> None:
    config = config_in(tmp_path, etcd.endpoint)
    found = findings(swarmkeeper("doctor", "-c", str(config), "--probe", "busybox", "-o", "json"))

    (only,) = found["overlays"]
    assert (only.level, only.text) == (SKIP, "the document declares no overlay, or no other host is chosen")


@pytest.mark.parametrize("name", ["h3", "", "-oProxyCommand=reboot"])
def test_a_host_that_is_not_declared_is_refused(etcd: EtcdServer, tmp_path: Path, name: str) -> None:
    ended = swarmkeeper("doctor", "-c", str(config_in(tmp_path, etcd.endpoint)), f"--host={name}")

    assert (ended.code, ended.out) == (1, "")
    assert f"the document declares no host '{name}'" in ended.err


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


# ---- On other hosts

SHELL = '#!/bin/sh\nfor last; do :; done\nprintf "%s\\n" "$@" >{folder}/ssh.arguments\nexec sh -c "$last"\n'
"""An ssh whose other host is this one."""
THERE = '{"version": 1, "findings": [{"level": "WARN", "text": "of h2", "remedy": "do", "check": "disk", "more": 1}]}'


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Make programs the first on the path: name = script. A `swarmkeeper` writes its arguments to a file."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))

    def make(**scripts: str) -> None:
        for name, script in ({"ssh": SHELL.format(folder=tmp_path)} | scripts).items():
            (folder / name).write_text(script if script.startswith("#!") else f"#!/bin/sh\n{script}\n")
            (folder / name).chmod(0o755)

    return make


def printing(folder: Path, printed: str = THERE, code: int = 0) -> str:
    (folder / "printed").write_text(printed)
    return f'printf "%s\\n" "$@" >{folder}/doctor.arguments; cat {folder}/printed; exit {code}'


def test_the_findings_of_all_hosts_are_those_of_each_and_no_secret_is_in_an_argument(
    etcd: EtcdServer, tmp_path: Path, programs: Callable[..., None]
) -> None:
    programs(swarmkeeper=printing(tmp_path, code=1), id="echo 0")
    config = config_in(tmp_path, etcd.endpoint)
    ended = swarmkeeper("doctor", "-c", str(config), "--host", "all", "--probe", "a 'b';reboot", "-o", "json")

    shown = json.loads(ended.out)
    assert shown["result"] == "FAIL", "dockerd of this host is away"
    assert {each["host"] for each in shown["findings"]} == {"h1", "h2"}
    own = [each for each in shown["findings"] if each["host"] == "h1"]
    assert {each["check"] for each in own} >= {"etcd", "engine", "overlays"}
    (other,) = (each for each in shown["findings"] if each["host"] == "h2")
    assert other == {"level": "WARN", "text": "of h2", "remedy": "do", "check": "disk", "host": "h2"}
    said = (tmp_path / "doctor.arguments").read_text()
    assert said.splitlines() == ["doctor", "-o", "json", "--probe", "a 'b';reboot"]
    assert (tmp_path / "ssh.arguments").read_text().splitlines()[-3:-1] == ["--", "10.0.0.2"]


def test_one_who_is_not_root_there_asks_sudo_which_asks_nothing(
    etcd: EtcdServer, tmp_path: Path, programs: Callable[..., None]
) -> None:
    programs(swarmkeeper=printing(tmp_path), id="echo 1000", sudo='[ "$1" = -n ] && shift && exec "$@"')
    config = config_in(tmp_path, etcd.endpoint)
    ended = swarmkeeper("doctor", "-c", str(config), "--host", "h2")
    assert (ended.code, ended.out.splitlines()) == (
        0,
        ["h2:", "WARN  disk        of h2", f"{'':18}remedy: do", "1 WARN"],
    )

    programs(sudo="echo sudo: a password is required >&2; exit 1")
    (found,) = findings(swarmkeeper("doctor", "-c", str(config), "--host", "h2", "-o", "json"))["ssh"]
    assert found.text == "doctor does not run there: sudo: a password is required"
    assert "let sudo run it without a password" in found.remedy


@pytest.mark.parametrize("place", ["text", "remedy", "check"])
def test_what_another_host_tells_stays_text(
    etcd: EtcdServer, tmp_path: Path, programs: Callable[..., None], place: str
) -> None:
    printed = json.dumps(
        {"findings": [{"level": "OK", "text": "", "remedy": "", "check": ""} | {place: "\x1b[2J"}]}
    )
    programs(swarmkeeper=printing(tmp_path, printed), id="echo 0")
    config = config_in(tmp_path, etcd.endpoint)
    ended = swarmkeeper("doctor", "-c", str(config), "--host", "h2")

    assert ended.code == 0
    assert "\x1b" not in ended.out
    assert "\\x1b[2J" in ended.out


def test_findings_are_the_same_in_yaml(
    etcd: EtcdServer, tmp_path: Path, programs: Callable[..., None]
) -> None:
    programs(swarmkeeper=printing(tmp_path), id="echo 0")
    config = config_in(tmp_path, etcd.endpoint)
    shown = [
        swarmkeeper("doctor", "-c", str(config), "--host", "h2", "-o", each) for each in ("yaml", "json")
    ]
    assert yaml.safe_load(shown[0].out) == json.loads(shown[1].out)


NO_FINDINGS = (
    "", "[]", "{}", '{"findings": [1]}', "[" * 200_000,
    '{"findings": [{"level": "FINE", "text": "", "remedy": "", "check": ""}]}',
    '{"findings": [{"level": "OK", "remedy": "", "check": ""}]}',
)  # fmt: skip


@pytest.mark.parametrize("printed", NO_FINDINGS)
def test_what_is_no_list_of_findings_is_a_fault_of_the_host(
    etcd: EtcdServer, tmp_path: Path, programs: Callable[..., None], printed: str
) -> None:
    programs(swarmkeeper=printing(tmp_path, printed), id="echo 0")
    config = config_in(tmp_path, etcd.endpoint)
    (found,) = findings(swarmkeeper("doctor", "-c", str(config), "--host", "h2", "-o", "json"))["ssh"]

    assert found.level == FAIL
    assert found.text == "doctor does not run there: its findings cannot be read"


def test_a_host_that_ssh_does_not_reach_is_a_fault_with_cause_and_remedy(
    etcd: EtcdServer, tmp_path: Path, programs: Callable[..., None]
) -> None:
    programs(ssh="echo 'Permission denied (publickey).' >&2; exit 255")
    config = config_in(tmp_path, etcd.endpoint)
    found = findings(swarmkeeper("doctor", "-c", str(config), "--host", "all", "-o", "json"))

    (fault,) = found["ssh"]
    assert (fault.level, fault.text) == (FAIL, "ssh to 10.0.0.2: Permission denied (publickey).")
    assert fault.remedy == "run `ssh 10.0.0.2 true`, and see docs/operate/logs.md"
    assert found["etcd"][0].level == OK, "the rest goes on"


def test_while_etcd_is_away_cli_yaml_tells_the_way(tmp_path: Path, programs: Callable[..., None]) -> None:
    programs(swarmkeeper=printing(tmp_path), id="echo 0")
    config = config_in(tmp_path, "http://127.0.0.1:1")
    ended = swarmkeeper("doctor", "-c", str(config), "--host", "h2")
    assert (ended.code, ended.out) == (1, "")
    assert "127.0.0.1:1" in ended.err
    assert "cli.yaml names no host 'h2'" in ended.err

    (tmp_path / "swarmkeeper").mkdir()
    (tmp_path / "swarmkeeper/cli.yaml").write_text("ssh: {hosts: {h2: me@bastion:2222}}")
    ended = swarmkeeper("doctor", "-c", str(config), "--host", "all")
    assert (ended.code, ended.out) == (1, ""), "there may be more hosts than it names"
    found = findings(swarmkeeper("doctor", "-c", str(config), "--host", "h1", "--host", "h2", "-o", "json"))
    assert (found["etcd"][0].level, found["disk"][-1].text) == (FAIL, "of h2")
    arguments = (tmp_path / "ssh.arguments").read_text().splitlines()
    assert arguments[-7:-2] == ["-l", "me", "-p", "2222", "--"]


def test_where_nothing_names_a_host_nothing_is_checked(tmp_path: Path, programs: Callable[..., None]) -> None:
    programs()
    away = ("--endpoint", "http://127.0.0.1:1", "--cluster", "other")
    ended = swarmkeeper("doctor", *away, "--host", "all")
    assert (ended.code, ended.out) == (1, "")
    assert "cli.yaml names not all hosts: name each" in ended.err
    ended = swarmkeeper("doctor", *away)
    assert ended.code == 64
    assert "--host" in ended.err
