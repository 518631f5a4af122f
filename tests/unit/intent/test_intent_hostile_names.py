"""Names that would be a path, an option, another line or somebody else's: refused, wherever the document has a name."""

import json
import re
from pathlib import Path

import pytest

import agent
from agent.intent import parse_intent
from agent.model.faults import InvalidDocument

DOCUMENT = """\
name: {project}
x-cluster:
  version: 1
  hosts:
    {host}: {{address: 10.0.0.1, role: manager}}
  gwbridge: {{subnet: 172.21.0.0/20}}
networks:
  {network}: {{name: {network_name}, driver: bridge}}
volumes:
  {volume}: {{name: {volume_name}}}
services:
  {service}:
    image: {image}
    x-hosts: [{host}]
    networks: {{{network}: {{aliases: [{alias}]}}}}
    volumes: [{{type: volume, source: {volume}, target: /data}}]
    hostname: {hostname}
"""
GOOD = {
    "project": "shop",
    "host": "one",
    "network": "inner",
    "network_name": "shop_inner",
    "volume": "data",
    "volume_name": "shop_data",
    "service": "web",
    "image": "shop/web:1.0",
    "alias": "www",
    "hostname": "web-1",
}
HOSTILE = {
    "a path": "a/../../etc",
    "an absolute path": "/etc/passwd",
    "a path up": "..",
    "a short option": "-v",
    "a long option": "--privileged",
    "a second line": "a\nb",
    "a carriage return": "a\rb",
    "a tab": "a\tb",
    "a space": "a b",
    "a zero": "a\0b",
    "an escape sequence": "a\x1b[31mb",
    "a letter that looks alike": "\u0430b",
    "a wide letter": "\uff41b",
    "a direction mark": "a\u202eb",
    "nothing that is seen": "a\u200bb",
    "a separator of lines": "a\u2028b",
    "a percent escape": "a%2fb",
    "a command": "$(reboot)",
    "another command": "`reboot`",
    "the end of a command": "a;reboot",
    "a quote": "a'b",
    "a backslash": "a\\b",
    "a wildcard": "*",
    "nothing": "",
    "a name without an end": "a" * 5000,
}


def document(**names: str) -> bytes:
    return DOCUMENT.format(**{place: json.dumps(name) for place, name in (GOOD | names).items()}).encode()


def test_the_document_is_good_but_for_the_name() -> None:
    parse_intent(document(), revision=1)


@pytest.mark.parametrize("what", HOSTILE)
@pytest.mark.parametrize("place", GOOD)
def test_a_name_that_is_more_than_a_name_is_refused(place: str, what: str) -> None:
    with pytest.raises(InvalidDocument) as refused:
        parse_intent(document(**{place: HOSTILE[what]}), revision=1)

    said = str(refused.value)
    assert said.replace("\n", "").isprintable(), "and cannot write into the terminal of who reads why"
    assert len(said) < 4000


def test_no_name_reaches_a_shell() -> None:
    """No agent starts a program. Commands start an editor, docker, ssh and tools of the system, without a shell."""
    starts = re.compile(
        r"\bsubprocess\b|\bpty\b|\bfrom os import\b|\bos\.(?:system|popen|exec|spawn|posix_spawn|fork)|shell=True"
    )
    assert all(starts.search(each) for each in ("from subprocess import run", "os.popen(name)"))
    folder = Path(agent.__file__).parent
    files = list(folder.rglob("*.py"))
    assert len(files) > 100
    found = sorted(str(each.relative_to(folder)) for each in files if starts.search(each.read_text()))
    assert found == ["cli/on_replica.py", "cli/verbs.py", "clients/ssh.py", "doctor/collect.py"]
    assert not any("shell=True" in (folder / each).read_text() for each in found)
