"""Secrets and configs: files of the hosts, mounted read-only into the replicas that name them."""

import json
import re

import pytest

from agent.model.faults import InvalidDocument
from agent.model.spec import Mount, decode, encode
from tests.unit.intent.documents import faults, parse, service

FILES = """\
secrets: {db_password: {file: /srv/secrets/db}, token: {file: /srv/secrets/token}}
configs: {app.yaml: {file: /srv/app.yaml}}
"""
NOT_OF_THE_AGENT = (
    "secrets.token.environment: 'environment' is not supported: the agent's environment is not read"
)


def document(keys: str, files: str = FILES) -> str:
    return service(keys) + files


def mounts(keys: str) -> tuple[Mount, ...]:
    (only,) = parse(document(keys)).services
    return only.spec.volumes


def mounted(source: str, target: str) -> Mount:
    return Mount(type="bind", source=source, target=target, read_only=True)


@pytest.mark.parametrize(
    ("keys", "source", "target"),
    [
        ("secrets: [db_password]", "/srv/secrets/db", "/run/secrets/db_password"),
        ("secrets: [{source: db_password}]", "/srv/secrets/db", "/run/secrets/db_password"),
        ("secrets: [{source: db_password, target: pw}]", "/srv/secrets/db", "/run/secrets/pw"),
        ("secrets: [{source: db_password, target: /etc//pw}]", "/srv/secrets/db", "/etc/pw"),
        ("configs: [app.yaml]", "/srv/app.yaml", "/app.yaml"),
        ("configs: [{source: app.yaml, target: /etc/app.yaml}]", "/srv/app.yaml", "/etc/app.yaml"),
    ],
)
def test_a_file_is_mounted_read_only_where_compose_mounts_it(keys: str, source: str, target: str) -> None:
    assert mounts(keys) == (mounted(source, target),)


def test_files_stand_among_the_other_mounts_in_the_order_of_their_targets() -> None:
    found = mounts("volumes: ['data:/z', /b]\nsecrets: [token, db_password]\nconfigs: [app.yaml]")

    assert [each.target for each in found] == [
        "/app.yaml", "/b", "/run/secrets/db_password", "/run/secrets/token", "/z",
    ]  # fmt: skip


def test_the_host_is_never_made_to_have_an_empty_directory_for_a_missing_file() -> None:
    assert not any(each.create_host_path for each in mounts("secrets: [token]"))


@pytest.mark.parametrize(
    ("keys", "says"),
    [
        ("secrets: [tokn]", "secrets[0]: 'tokn' is not one of the declared secrets"),
        ("secrets: [app.yaml]", "secrets[0]: 'app.yaml' is not one of the declared secrets"),
        ("secrets: [token, token]", "secrets[1]: mounts '/run/secrets/token' a second time"),
        ("volumes: ['/x:/app.yaml']\nconfigs: [app.yaml]", "configs[0]: mounts '/app.yaml' a second time"),
        ("tmpfs: [/app.yaml]\nconfigs: [app.yaml]", "configs[0]: mounts '/app.yaml' a second time"),
        ("configs: [{source: app.yaml, target: here}]", "configs[0].target: 'here' is not an absolute path"),
        (
            "secrets: [{source: token, mode: 0o400}]",
            (
                "secrets[0].mode: 'mode' is not supported: a file keeps its owner and mode of the host, "
                "and every account can read a content"
            ),
        ),
        ("secrets: token", "secrets: must be a list, not 'token'"),
    ],
)
def test_what_is_wrong_with_the_use_of_a_file_is_said(keys: str, says: str) -> None:
    assert faults(document(keys)) == [f"services.web.{says}"]


@pytest.mark.parametrize(
    ("declared", "says"),
    [
        ("{file: ./token}", "secrets.token.file: './token' is not an absolute path"),
        ("{}", "secrets.token: 'file' is missing"),
        (
            "{external: true}",
            "secrets.token.external: 'external' is not supported",
        ),
        (
            "{file: /t, environment: TOKEN}",
            NOT_OF_THE_AGENT,
        ),
    ],
)
def test_only_files_of_the_hosts_are_offered(declared: str, says: str) -> None:
    assert faults(document("secrets: [token]", f"secrets: {{token: {declared}}}\n")) == [says]


def written(content: str) -> str:
    return document("configs: [app]", f"configs: {{app: {{content: {json.dumps(content)}}}}}\n")


@pytest.mark.parametrize(
    "content", ["", "a: 1\n", "x=$$HOME", "\u00fc\t\r\n\u2028", "{{.Node.Hostname}}", "5"]
)
def test_a_content_is_a_file_that_the_agent_writes_on_the_host(content: str) -> None:
    (only,) = parse(written(content)).services

    assert only.spec.volumes == (
        Mount(type="bind", target="/app", read_only=True, content=content.replace("$$", "$")),
    )


def test_a_content_has_no_name_of_its_own_and_is_in_no_text() -> None:
    (only,) = parse(written("5 of it").replace("content", "name: shop_app, content")).services

    assert "5 of it" not in repr(only)
    assert decode(encode(only.spec)) == only.spec


@pytest.mark.parametrize(
    ("declared", "says"),
    [
        ("{content: x, file: /x}", "configs.app.content: stands beside 'file'; keep one of them"),
        ("{}", "configs.app: 'file' is missing; write the absolute path of the file on the hosts"),
        (
            "{content: $X}",
            "configs.app.content: uses $ for a variable, and the agent's environment is not read; ",
        ),
        ("{content: {a: b}}", "configs.app.content: must be text, not a mapping"),
        ("{content: }", "configs.app.content: has no value; write one, or remove the key"),
        (
            f"{{content: {'x' * 65_537}}}",
            "configs.app.content: has 65537 bytes; the maximum is 65536: use file: with a file on the hosts",
        ),
    ],
)
def test_what_is_wrong_with_a_content_is_said_where_it_is(declared: str, says: str) -> None:
    (told,) = problems(document("configs: [app]", f"configs: {{app: {declared}}}\n"))

    assert told.partition(": ")[2].startswith(says)
    assert re.match(r"line \d+, column \d+: ", told)


def problems(text: str) -> list[str]:
    with pytest.raises(InvalidDocument) as raised:
        parse(text)
    return [str(each) for each in raised.value.faults]


def test_a_content_is_no_content_of_a_secret() -> None:
    found = faults(document("secrets: [token]", "secrets: {token: {content: x}}\n"))

    assert any("etcd stores the document in plain text" in each for each in found)
