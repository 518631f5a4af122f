"""agent.yaml: the shipped file, what may be said, and what is refused."""

import re
from dataclasses import fields, replace
from pathlib import Path

import pytest

from agent.admission.policy import Policy, level_policy
from agent.config import OPTIONS, TOP_OPTIONS, Config, load_config
from agent.errors import Invalid
from agent.model.faults import InvalidDocument
from agent.model.store import SessionSettings, StoreSettings
from agent.yamldoc.faultlist import quoted

SHIPPED = Path(__file__).parents[2] / "deploy/agent.yaml"
LEAST = "cluster: prod\nhost: node-1\netcd: {endpoints: ['10.0.0.1:2379']}\n"
EXPLAINED = "change one of them, as the comments in the packaged agent.yaml explain"
UNSAID_BY_DEFAULT = {
    "host",
    "ca_file",
    "cert_file",
    "key_file",
    "user",
    "password_file",
    "advertise_address",
    "registry_config",
    "web_config",
    "max_memory",
    "max_pids",
    "max_replicas",
}


def load(tmp_path: Path, text: str) -> Config:
    path = tmp_path / "agent.yaml"
    path.write_text(text)
    return load_config(path)


def refusal(tmp_path: Path, text: str) -> list[str]:
    with pytest.raises(InvalidDocument) as refused:
        load(tmp_path, text)
    return str(refused.value).replace(f"{tmp_path}/agent.yaml: ", "").split("\n")


def test_the_shipped_file_is_good_and_says_the_defaults(tmp_path: Path) -> None:
    shipped = load_config(SHIPPED)
    assert replace(shipped, host="node-1") == replace(
        load(tmp_path, LEAST), store=StoreSettings(endpoints=("http://127.0.0.1:2379",))
    )


def shown_options(text: str) -> set[tuple[str, str]]:
    """(section, option) of each option that the shipped file shows, commented out or not."""
    section, shown = "", set()
    for line in text.splitlines():
        if found := re.fullmatch(r"([a-z]+):", line):
            section = found[1]
        elif found := re.fullmatch(r"(  )?(?:# )?([a-z_]+): .*", line):
            shown.add((section if found[1] else "", found[2]))
    return shown


def test_the_shipped_file_shows_every_option() -> None:
    every = {(section, option) for section, options in OPTIONS.items() for option in options}
    every |= {("", option) for option in TOP_OPTIONS}
    assert every - shown_options(SHIPPED.read_text()) == set()


def test_each_default_in_the_shipped_file_is_the_real_one(tmp_path: Path) -> None:
    uncommented = re.sub(r"(?m)^( *)# ([a-z_]+: \S+)$", r"\1\2", SHIPPED.read_text())
    lines = [line for line in uncommented.splitlines() if line.strip().split(":")[0] not in UNSAID_BY_DEFAULT]
    assert len(lines) > 30
    assert replace(load(tmp_path, "\n".join(lines)), host="") == replace(load_config(SHIPPED), host="")


def test_every_field_of_the_settings_can_be_set_by_an_option() -> None:
    read = {section: {attribute for attribute, _ in options.values()} for section, options in OPTIONS.items()}
    assert read["etcd"] == {each.name for each in fields(StoreSettings)}
    assert read["session"] == {each.name for each in fields(SessionSettings)}
    assert read["admission"] == {each.name for each in fields(Policy)} - {"protected"}
    for section in ("docker", "swarm", "tokens", "reconcile", "http", "log"):
        settings = type(getattr(load_config(SHIPPED), section))
        assert read[section] == {each.name for each in fields(settings)}, section


def test_what_is_not_said_is_the_default(tmp_path: Path) -> None:
    config = load(tmp_path, LEAST)
    assert (config.cluster, config.host) == ("prod", "node-1")
    assert config.store.endpoints == ("10.0.0.1:2379",)
    assert (config.docker.url, config.http.listen) == ("unix:///run/docker.sock", "127.0.0.1:9477")
    assert config.session == SessionSettings(ttl_s=15.0, interval_s=5.0, timeout_s=2.0, margin_s=2.0)
    assert (config.reconcile.resync_s, config.reconcile.settle_s) == (30.0, 0.02)
    assert config.state_directory == "/var/lib/swarmkeeper"


def test_the_host_is_the_machine_s_own_name_unless_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("socket.gethostname", lambda: "node-7")
    assert load(tmp_path, LEAST.replace("host: node-1\n", "")).host == "node-7"


def test_a_machine_without_a_usable_name_is_told_to_say_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("socket.gethostname", lambda: "(none)")
    (said,) = refusal(tmp_path, LEAST.replace("host: node-1\n", ""))
    assert said == (
        "line 1, column 1: the hostname of this machine, '(none)', is not a valid host name; write a name with host:"
    )


def test_every_fault_is_told_at_once(tmp_path: Path) -> None:
    bad = """\
clustr: prod
host: "node 1"
etcd: {endpoints: [], ca_file: ca.crt, timeout: 5}
docker: {url: /run/docker.sock}
swarm: {advertise_address: 10.0.0}
session: {ttl: 5s}
reconcile: {workers: 0, resync: never}
http: {listen: 9477}
log: {level: loud, format: jsn}
state_directory: state
"""
    assert refusal(tmp_path, bad) == [
        "line 1, column 1: clustr: unknown key 'clustr'; did you mean 'cluster'?",
        (
            "line 2, column 7: host: 'node 1' is not a host name: letters, digits, . and -, 63 characters at most; "
            "write for example node-1"
        ),
        "line 3, column 19: etcd.endpoints: is an empty list; add a member, or remove the key",
        "line 3, column 32: etcd.ca_file: 'ca.crt' is a relative path; begin it with /",
        "line 3, column 49: etcd.timeout: '5' is not a time with a unit; write for example 100ms",
        (
            "line 4, column 15: docker.url: '/run/docker.sock' is not an engine's address; "
            "write for example unix:///run/docker.sock"
        ),
        "line 5, column 28: swarm.advertise_address: '10.0.0' is not an IPv4 address; write for example 10.0.0.1",
        f"line 6, column 10: session: interval + 2 * timeout (9 s) must be less than ttl - margin (3 s); {EXPLAINED}",
        f"line 6, column 10: session: {too_short_to_lead(10, 3)}; {EXPLAINED}",
        "line 7, column 22: reconcile.workers: '0' is too small; the minimum is 1",
        "line 7, column 33: reconcile.resync: 'never' is not a time with a unit; write for example 90s, 1m30s or 500ms",
        "line 8, column 16: http.listen: '9477' is not an address and port; write for example 127.0.0.1:9477",
        "line 9, column 14: log.level: 'loud' is not one of: debug, info, warning, error, critical; write one of them",
        "line 9, column 28: log.format: 'jsn' is not one of: auto, console, json, journal; did you mean 'json'?",
        "line 10, column 18: state_directory: 'state' is a relative path; begin it with /",
    ]


@pytest.mark.parametrize(
    ("ttl", "interval", "timeout", "margin", "safe"),
    [
        ("15s", "5s", "2s", "2s", True),
        ("11s", "5s", "2s", "2s", False),
        ("12s", "5s", "2s", "2s", True),
        ("11.5s", "5s", "2s", "2s", False),
    ],
)
def test_a_lease_that_one_failed_renewal_could_lose_is_refused(
    tmp_path: Path, ttl: str, interval: str, timeout: str, margin: str, safe: bool
) -> None:
    timings = f"session: {{ttl: {ttl}, interval: {interval}, timeout: {timeout}, margin: {margin}}}\n"
    if safe:
        assert load(tmp_path, LEAST + timings).session.margin_s == 2.0
    else:
        assert all("session: " in line for line in refusal(tmp_path, LEAST + timings))


@pytest.mark.parametrize(("ttl", "safe"), [("8s", True), ("7s", False)])
def test_a_lease_too_short_for_any_step_of_a_leader_is_refused(tmp_path: Path, ttl: str, safe: bool) -> None:
    """An agent with one of 7 s would take the lock and never write as the leader."""
    timings = f"session: {{ttl: {ttl}, interval: 2s, timeout: 1s, margin: 1s}}\n"
    if safe:
        assert load(tmp_path, LEAST + timings).session.ttl_s == 8.0
    else:
        (line,) = refusal(tmp_path, LEAST + timings)
        assert too_short_to_lead(7, 6) in line


def too_short_to_lead(need: int, have: int) -> str:
    return f"interval + the 5 s of a leader's step ({need} s) must not be more than ttl - margin ({have} s)"


@pytest.mark.parametrize(("mode", "good"), [(0o600, True), (0o640, True), (0o644, False), (0o604, False)])
@pytest.mark.parametrize(
    "said",
    [
        f"{LEAST}tokens: {{key_file: FILE}}\n",
        f"{LEAST[:-2]}, user: u, password_file: FILE, allow_plaintext_password: true}}\n",
        "cluster: prod\nhost: a\netcd: {endpoints: ['https://a'], ca_file: FILE, cert_file: FILE, key_file: FILE}\n",
    ],
    ids=["the sealing key", "the password", "the key of the certificate"],
)
def test_a_secret_that_every_account_can_read_is_refused(
    tmp_path: Path, said: str, mode: int, good: bool
) -> None:
    secret = tmp_path / "secret"
    secret.touch()
    secret.chmod(mode)
    document = said.replace("FILE", str(secret))
    if good:
        load(tmp_path, document)
    else:
        (fault,) = refusal(tmp_path, document)
        assert fault.endswith("; chmod it to 0640 or 0600")


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    (said,) = refusal(tmp_path, f"{LEAST[:-2]}, ca_file: {tmp_path}/ca.crt}}\n")
    assert said.endswith(
        f"etcd.ca_file: the file {quoted(f'{tmp_path}/ca.crt')} does not exist; write the path of one that does"
    )


def test_an_unreadable_file_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "ca").touch()
    monkeypatch.setattr("os.access", lambda path, mode: False)
    (said,) = refusal(tmp_path, f"{LEAST[:-2]}, ca_file: {tmp_path}/ca}}\n")
    assert said.endswith("cannot be read; let the agent's account read it")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ("endpoints: ['https://a', 'http://b']", "endpoints mix http:// and https://"),
        ("endpoints: ['https://a']", "https:// endpoints need a CA file"),
        ("endpoints: ['http://a'], user: u", "user and password file are valid only together"),
        (
            "endpoints: ['http://a'], timeout: 9s",
            "timeout (9 s) must be more than 0 s and at most budget (6 s)",
        ),
        ("endpoints: ['ftp://a']", "'ftp://a' is not an etcd endpoint"),
    ],
)
def test_options_that_cannot_go_together_are_refused(tmp_path: Path, options: str, said: str) -> None:
    lines = refusal(tmp_path, f"cluster: prod\nhost: a\netcd: {{{options}}}\n")
    assert lines[0].startswith(f"line 3, column 7: etcd: {said}")


def test_a_password_crosses_plain_http_only_when_that_is_allowed(tmp_path: Path) -> None:
    (tmp_path / "password").write_text("hunter2")
    (tmp_path / "password").chmod(0o600)
    etcd = f"etcd:\n  endpoints: ['http://a']\n  user: u\n  password_file: {tmp_path}/password\n"
    text = f"cluster: prod\nhost: a\n{etcd}"
    assert "the password would be sent unencrypted" in refusal(tmp_path, text)[0]
    assert load(tmp_path, f"{text}  allow_plaintext_password: true\n").store.user == "u"


def test_a_section_with_nothing_but_comments_is_fine(tmp_path: Path) -> None:
    assert load(tmp_path, f"{LEAST}log:\n  # level: debug\n").log.level == "info"


def test_a_file_that_is_not_there_is_said_to_be_missing(tmp_path: Path) -> None:
    with pytest.raises(Invalid, match=r"agent\.yaml: cannot be read: No such file or directory"):
        load_config(tmp_path / "agent.yaml")


def test_a_file_that_is_no_yaml_is_refused_with_its_name(tmp_path: Path) -> None:
    (tmp_path / "agent.yaml").write_text("cluster: [")
    with pytest.raises(InvalidDocument, match=r"^/.*/agent\.yaml: line 2, column 1: not YAML: "):
        load_config(tmp_path / "agent.yaml")


# ---- admission

ADMISSION = """\
admission:
  level: loose
  privileged: yes
  capabilities: [CAP_NET_ADMIN]
  binds: [srv, "/a:rw"]
  files: ["/a:ro"]
  host_namespaces: [net]
  host_ports: [80-]
  require: [digests]
  max_memory: 0
  max_pids: 0
  registry: [docker.io]
"""


def test_admission_is_read_strictly(tmp_path: Path) -> None:
    told = [each.partition(": ")[2] for each in refusal(tmp_path, f"{LEAST}{ADMISSION}")]
    namespaces = "cgroup, ipc, network, pid, userns, uts"
    needs = "digest, drop-all, no-new-privileges, non-root"
    bind = "is not an absolute path, or one with :ro; write for example /srv/data:ro"
    capability = "'CAP_NET_ADMIN' is not a capability without CAP_; write for example NET_ADMIN, or *"
    assert told == [
        "admission.level: 'loose' is not one of: baseline, restricted, unrestricted; write one of them",
        "admission.privileged: 'yes' is neither true nor false; write true or false",
        f"admission.capabilities[0]: {capability}",
        f"admission.binds[0]: 'srv' {bind}",
        f"admission.binds[1]: '/a:rw' {bind}",
        "admission.files[0]: '/a:ro' is not an absolute path; write for example /srv/data",
        f"admission.host_namespaces[0]: 'net' is not one of: {namespaces}; did you mean 'network'?",
        "admission.host_ports[0]: '80-' is not a port; write for example 8080, 8000-8099 or *",
        f"admission.require[0]: 'digests' is not one of: {needs}; did you mean 'digest'?",
        "admission.max_memory: '0' is too small; the minimum is 1 bytes",
        "admission.max_pids: '0' is too small; the minimum is 1",
        "admission.registry: unknown key 'registry'; did you mean 'registries'?",
    ]


def test_an_option_replaces_that_of_its_level_and_no_other(tmp_path: Path) -> None:
    said = "admission: {level: restricted, binds: [/mnt], require: [], max_memory: 1g}\n"
    found = load(tmp_path, f"{LEAST}{said}").admission
    assert found == replace(level_policy("restricted"), binds=("/mnt",), require=(), max_memory_bytes=2**30)


def test_the_files_of_the_agent_are_protected_wherever_they_are(tmp_path: Path) -> None:
    (tmp_path / "key").write_text("k")
    (tmp_path / "key").chmod(0o600)
    docker = "docker: {url: 'unix:///run/other.sock'}\n"
    said = f"{docker}state_directory: {tmp_path}/state\ntokens: {{key_file: {tmp_path}/key}}\n"
    found = load(tmp_path, f"{LEAST}{said}").admission.protected
    assert {f"{tmp_path}/state", f"{tmp_path}/key", "/run/other.sock", "/run/docker.sock"} <= {*found}
    assert load(tmp_path, f"{LEAST}{said}admission: {{level: unrestricted}}\n").admission.protected == ()
