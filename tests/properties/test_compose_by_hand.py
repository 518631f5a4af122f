"""Inputs written by hand where `compile` and Compose could easily mean different things.

Each means the same to both, or is refused here in a line that says the way out: no value is silently another one.
"""

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from agent.compose import compile_project, load
from agent.errors import Invalid
from agent.intent import parse_intent, warnings
from agent.model.faults import InvalidDocument
from tests.properties.test_compose import (
    CLUSTER,
    ENVIRONMENT,
    differences,
    intent_of,
    printed,
    with_contents,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Input:
    """Compose files in order, other files by name, and variables of the shell."""

    compose: tuple[str, ...]
    others: dict[str, str] = field(default_factory=dict)
    shell: dict[str, str] = field(default_factory=dict)


def of(service: dict[str, Any], *overrides: dict[str, Any], **others: Any) -> Input:
    """A project with one service, other services that it may need, and later files that override it."""
    rest = {"b": {"image": "y"}, "c": {"image": "z"}}
    top = {"networks": {"n": {"ipam": {"config": [{"subnet": "10.20.0.0/16"}]}}}}
    base = {"services": {"a": {"image": "x", **service}, **rest}, **top}
    later = [
        each if "services" in each or "networks" in each else {"services": {"a": each}} for each in overrides
    ]
    return Input(compose=tuple(json.dumps(each) for each in (base, *later)), **others)


def env(line: str) -> Input:
    return of({"env_file": "app.env"}, others={"app.env": line}, shell={"X": "xv"})


def plain(value: str, key: str = "environment: {A: %s}") -> Input:
    return Input(compose=(f"services:\n  a:\n    image: x\n    {key % value}\n",))


NAMED = "services: {a: {image: 'x:$COMPOSE_PROJECT_NAME', networks: [n]}}\nnetworks: {n: }\n"
TWO = {"1.env": "X=1\nY=$X\n", "2.env": "X=2\nZ=$X\nW=$Y\nE=$IN\n"}

CONFIG = "services: {a: {image: x, configs: [c, {source: c, target: /etc/c}]}}\nconfigs: {c: {%s}}\n"

SAME: dict[str, Input] = {
    # configs: files of the project, and contents
    **{
        f"config {name}": Input(compose=(CONFIG % "file: ./sub/../c.conf",), others={"c.conf": text})
        for name, text in {
            "with variables": "a: $X ${X} ${Y:?z} $$\n",
            "that is empty": "",
            "with lines": "\n a: 1\n\n  # b\n\n\n",
            "with tabs": "a\tb \n",
            "that looks like a number": "1.10",
            "beyond ASCII": "\u00fc \u2028 \U0001f40b\n",
        }.items()
    },
    "config in a later file": Input(
        compose=(CONFIG % "file: ./1.conf", "configs: {c: {file: 2.conf}}\n"), others={"2.conf": "two"}
    ),
    "config of a variable": Input(
        compose=(CONFIG % "file: '${X}.conf'",), others={"v.conf": "v"}, shell={"X": "v"}
    ),
    "config of the hosts": Input(compose=(CONFIG % "file: /etc/hostname",)),
    "content with variables": Input(
        compose=(CONFIG % "content: 'a=$X b=$$X c=${Y:-d}'",), shell={"X": "v"}
    ),
    "content of lines": Input(
        compose=((CONFIG % "").replace("{c: {}}", "\n  c:\n    content: |\n      a: 1\n\n      b: $$2"),)
    ),
    # the project's name
    "folder": Input(compose=(NAMED,)),
    "name": Input(compose=(f"name: top\n{NAMED}",)),
    "name of variables": Input(compose=(f"name: n-${{X:-d}}\n{NAMED}",)),
    "name with other characters": Input(compose=(f"name: My.Shop\n{NAMED}",)),
    "name that is empty": Input(compose=(f"name: ''\n{NAMED}",)),
    "shell over name": Input(compose=(f"name: top\n{NAMED}",), shell={"COMPOSE_PROJECT_NAME": "shell"}),
    "empty in the shell": Input(compose=(f"name: top\n{NAMED}",), shell={"COMPOSE_PROJECT_NAME": ""}),
    ".env over name": Input(compose=(f"name: top\n{NAMED}",), others={".env": "COMPOSE_PROJECT_NAME=dot\n"}),
    "the last name": Input(compose=(f"name: one\n{NAMED}", "name: two\nservices: {}\n")),
    # commands that are lines
    **{
        f"command {line}": of({"command": line, "entrypoint": ["e"]})
        for line in (
            "run 'a b' \"c d\"", r"a\ b c", r'a "b\"c\\d"', r"'a\b' \&\& c", "a 'b && c' \"d | e\"",
            "a $$HOME \"$$(b c)\"",
            "a # b", "a '' \"\"", "a\nb\tc", "a\\\nb", "a'b'\"c\"d", "ä {b,c} *.d ~", "x -c 'echo $$A > b; c'",
        )
    },
    "command null": of({"command": ["a"], "entrypoint": ["e"]}, {"command": None, "entrypoint": None}),
    "command []": of({"command": ["a"]}, {"command": []}),
    # no value in a later file
    "variable null": of({"environment": {"A": "1", "B": "2"}}, {"environment": {"A": None}}),
    "variable without =": of({"environment": ["A=1", "B=2"]}, {"environment": ["A"]}),
    "label null": of({"labels": {"l": "1", "m": "2"}}, {"labels": {"l": None}}),
    "annotation null": of({"annotations": {"l": "1"}}, {"annotations": {"l": None}}),
    "ports null": of({"ports": ["80:80"]}, {"ports": None}),
    "networks null": of({"networks": ["n"]}, {"networks": {"n": None}}, {"networks": None}),
    "service null": of({"hostname": "h"}, {"services": {"a": None}}),
    "retries null": of({"healthcheck": {"test": ["CMD", "a"], "retries": 3}}, {"healthcheck": {"retries": None}}),
    "networks []": of({"networks": []}),
    # the same thing twice
    "mount, other slashes": of({"volumes": ["/a:/in/"]}, {"volumes": ["/b:/in", "/c:/in/./"]}),
    "port, two forms": of({"ports": ["80:80"]}, {"ports": [{"target": 80, "published": "80"}, "80:80/tcp"]}),
    "port, every address": of({"ports": ["0.0.0.0:80:80"]}, {"ports": ["80:80"]}),
    "port, tcp and udp": of({"ports": ["53:53"]}, {"ports": ["53:53/udp"]}),
    "subnet": of({"networks": ["n"]}, {"networks": {"n": {"ipam": {"config": [{"subnet": "10.30.0.0/16"}]}}}}),
    "gateway": of(
        {"networks": ["n"]},
        {"networks": {"n": {"ipam": {"config": [{"subnet": "10.20.0.0/16", "gateway": "10.20.0.9"}]}}}},
    ),
    # links wait, and name
    "links": of({"links": ["b", "c:db"]}),
    "links and depends_on": of({"links": ["b"], "depends_on": {"b": {"condition": "service_started"}}}),
    "gpus": of({"gpus": "all"}),
    # files of variables
    **{
        f"env_file {line!r}": env(line)
        for line in (
            "A=b # c", "A=#c", "A=b#c", " A = b ", "export\tA=b", "A='b # c' # d", 'A="b\\n\\t\\"\\\\c"', "A='b\\nc'",
            "A=b\\nc",
            "A='$X'", 'A="$X ${Y:-d e}"', "A=$$X", "A==' $X'", "A=\"x='$X'\"", "A=it's 5\"", "A=b\r\nB='c'\r\n",
            'A="b\r\nc"',
            "A='b\n# c\n'\nB=$A\n", "\ufeffA=b\n", "# c\n\n  A=b", "A=1\nA=2", "X=file\nB=$X\n", 'A={"a": "b"}',
            "A=''\nB=\nX\n",
        )
    },
    "env_file, several": of(
        {"env_file": ["1.env", "2.env"], "environment": {"IN": "i$$n"}}, others=TWO
    ),
    "env_file, .env": of({"env_file": ["1.env", "2.env"]}, others={**TWO, ".env": "X=dot\n"}),
    "env_file, raw": of(
        {"env_file": [{"path": "r.env", "format": "raw"}]},
        others={"r.env": "\ufeffA='$X' # c\r\n#d\n X=1\x0bB=2\nHOME\nNOBODY\n"},
    ),
    "env_file, required: False": Input(
        compose=("services: {a: {image: x, env_file: [{path: no.env, required: False}]}}",)
    ),
    ".env not wanted": of(
        {"environment": {"A": "${X-none}"}}, others={".env": "X=1\n"}, shell={"COMPOSE_DISABLE_ENV_FILE": "true"}
    ),
    # numbers
    **{
        f"plain {value}": plain(value)
        for value in ("1.10", "1.0", ".5", "5.", "-.5", "+1", "1e3", "1.5E2", "True", "yes", "12:30:45", "0", "1.10.0")
    },
    "plain driver option": plain("{driver: json-file, options: {max-file: 2.0}}", "logging: %s"),
    "plain processors": plain(".5", "cpus: %s"),
}  # fmt: skip

REFUSED: dict[str, tuple[Input, str]] = {
    **{
        f"command {line}": (of({"command": line}), r"services\.a\.command: has .*; write a list; \[sh, -c, ")
        for line in ("a && b", "a | b", "a; b", "a 2>out", "a < b", "a $$(b c)", "a `b c`", r'a "b\nc"', r'a "b\$$c"')
    },
    **{
        f"env_file {line!r}": (env(line), rf"app\.env, line {number}: .*differently: {way}")
        for line, number, way in (
            ("A= # c", 1, "put the value in single quotes"),
            ("B=1\n\nA=b\t# c", 3, "put the value in single quotes"),
            ("A=b\xa0# c", 1, "put the value in single quotes"),
            ("A=b\rB=c", 1, "put the value in single quotes"),
            (r"A='a\\b'", 1, "in single quotes Compose keeps both"),
            (r'A="a\$X"', 1, r"in double quotes write \$\$"),
            (r'A="a\0101"', 1, "in double quotes"),
            (r'''A="a\'b"''', 1, "in double quotes"),
        )
    },
    **{
        f"env_file {line!r}": (env(line), r"app\.env, line 1: not a variable: write NAME=value")
        for line in ("A: b", "1A=b", "A[0]=b")
    },
    **{
        f"plain {value}": (plain(value), r"\.A: is a number or a time for Compose.*put it in quotes")
        for value in ("010", "0o14", "0x1F", "0b11", "1_000", "08", "2001-12-14", "2024-01-02 03:04:05", "1e7")
    },
    "one alias for two": (of({"links": ["b:db", "c:db"]}), "'db' is a name of service b too; choose another alias"),
    "an alias that is a service": (of({"links": ["b:c"]}), "'c' is a name of service c too; choose another alias"),
    "a tag": (
        Input(compose=("services: {a: {image: x, ports: !reset []}}",)),
        "compile what `docker compose config` prints",
    ),
}  # fmt: skip


def written(given: Input, folder: Path) -> tuple[list[Path], Path]:
    folder.mkdir()
    for name, text in given.others.items():
        (folder / name).write_bytes(text.encode())
    files = [folder / f"{number}.yaml" for number in range(len(given.compose))]
    for file, text in zip(files, given.compose, strict=True):
        file.write_text(text)
    cluster = folder / "cluster.yaml"
    cluster.write_text(CLUSTER.format(folder=folder))
    return files, cluster


@pytest.fixture
def shell(monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    found = dict(ENVIRONMENT)
    monkeypatch.setattr("tests.properties.test_compose.ENVIRONMENT", found)
    return found


@pytest.mark.parametrize("given", SAME.values(), ids=SAME.keys())
def test_it_means_what_compose_means(given: Input, tmp_path: Path, shell: dict[str, str]) -> None:
    files, cluster = written(given, tmp_path / "Shop")
    shell |= given.shell
    theirs = printed(files)
    assert theirs.returncode == 0, theirs.stderr
    ours = intent_of(*files, cluster)
    shell.clear()  # what is printed has all values, and its own name
    (tmp_path / "Shop" / ".env").unlink(missing_ok=True)
    found = with_contents(theirs.stdout, tmp_path / "Shop")
    (tmp_path / "Shop" / "printed.yaml").write_text(found)
    assert differences(ours, intent_of(tmp_path / "Shop" / "printed.yaml", cluster)) == {}


@pytest.mark.parametrize(("given", "told"), REFUSED.values(), ids=REFUSED.keys())
def test_what_compose_reads_otherwise_is_refused_with_the_way_out(
    given: Input, told: str, tmp_path: Path, shell: dict[str, str]
) -> None:
    files, cluster = written(given, tmp_path / "Shop")
    shell |= given.shell
    with pytest.raises((InvalidDocument, Invalid), match=told):
        intent_of(*files, cluster)


def test_two_containers_of_one_name_are_refused_by_both(tmp_path: Path) -> None:
    both = {"services": {name: {"image": "x", "container_name": "same"} for name in ("a", "b")}}
    files, cluster = written(Input(compose=(json.dumps(both),)), tmp_path / "Shop")
    assert printed(files).returncode != 0
    with pytest.raises(
        InvalidDocument, match="is the container_name of service a too; give each its own name"
    ):
        intent_of(*files, cluster)


def test_a_name_of_a_container_without_a_network_has_no_effect(tmp_path: Path) -> None:
    service = {"image": "x", "container_name": "exporter", "network_mode": "host"}
    files, cluster = written(Input(compose=(json.dumps({"services": {"a": service}}),)), tmp_path / "Shop")
    compiled = compile_project(load((*files, cluster), (), ENVIRONMENT))
    (told,) = [
        each
        for each in warnings(parse_intent(compiled.text.encode(), revision=1))
        if "container_name" in each
    ]
    assert "has no effect" in told
