"""`compile` means by a Compose file what Compose itself means by it: its binary prints the same project.

Both are read as documents: a difference in spelling is none. What Compose takes and a document refuses is listed.
"""

import json
import os
import re
import subprocess
import sys
from dataclasses import fields, replace
from pathlib import Path
from random import Random

import pytest
import yaml

from agent.compose import compile_project, load
from agent.compose.variables import Variables
from agent.errors import Invalid
from agent.intent import parse_intent
from agent.model.faults import InvalidDocument
from agent.model.intent import Intent
from tests.support.compose_files import generate
from tests.support.examples import STACKS, files_of
from tests.support.thoroughness import examples

COMPOSE = Path(sys.executable).with_name("docker-compose")
ENVIRONMENT = {"PATH": os.environ["PATH"], "HOME": "/root", "FROM_SHELL": "shell"}
CLUSTER = """\
x-cluster:
  version: 1
  project_directory: {folder}
  hosts: {{n1: {{address: 10.9.0.1, role: manager}}, n2: {{address: 10.9.0.2, role: worker}}}}
  gwbridge: {{subnet: 172.21.0.0/20}}
"""
REFUSED = (
    r"deploy sets '\w+' too; keep one of them",
    r"contradicts x-hosts or deploy",
    r"publishes port \d+/\w+ of the host twice",
    r"mounts '[^']+' a second time",
    r"mode global runs one replica on every host: \w+ has no effect",
)
"""Compose takes these, and runs what its rules of precedence leave: a document says one thing once."""
REFUSED_BY_COMPOSE = r"can't set distinct values on 'cpus' and 'deploy\.resources\.limits\.cpus'"
"""Compose says so of `cpus` beside limits without cpus too: it reads the absent one as 0. A document may have that."""


def printed(files: list[Path], *more: str) -> subprocess.CompletedProcess[str]:
    """What `docker compose config` says of the files."""
    options = [each for file in files for each in ("--file", str(file))]
    command = [str(COMPOSE), *options, "config", *more]
    return subprocess.run(
        command, cwd=files[0].parent, env=ENVIRONMENT, capture_output=True, text=True, check=False
    )


def with_contents(text: str, folder: Path) -> str:
    """Return what Compose prints, with the one value of which `compile` makes another: a config's file of the project.

    Compose mounts that file from the machine that it runs on; a document has its text, with `$$` for `$`.
    """
    before, configs, after = text.partition("\nconfigs:\n")

    def content(file: re.Match[str]) -> str:
        text = Path(file[1]).read_text().replace("$", "$$")
        return "content: " + yaml.safe_dump(text, default_style='"', width=10**6)

    return before + configs + re.sub(rf"file: ({re.escape(str(folder))}/.*)", content, after)


def intent_of(*files: Path) -> Intent:
    compiled = compile_project(load(files, (), ENVIRONMENT))
    found = parse_intent(compiled.text.encode(), revision=1)
    return replace(
        found,
        digest="",
        networks=tuple(sorted(found.networks, key=lambda each: each.key)),
        volumes=tuple(sorted(found.volumes, key=lambda each: each.key)),
        services=tuple(sorted(found.services, key=lambda each: each.name)),
    )


def differences(ours: Intent, theirs: Intent) -> dict[str, tuple[object, object]]:
    """Every value that is not the same, by its name."""
    found: dict[str, tuple[object, object]] = {}
    for one, other in zip(ours.services, theirs.services, strict=True):
        for place, a, b in ((one.name, one, other), (f"{one.name}.spec", one.spec, other.spec)):
            found |= {
                f"{place}.{each.name}": (getattr(a, each.name), getattr(b, each.name))
                for each in fields(a)
                if each.name != "spec" and getattr(a, each.name) != getattr(b, each.name)
            }
    return found or ({} if ours == theirs else {"the rest": (ours, theirs)})


@pytest.mark.parametrize("seed", range(examples(300, 3000)))
def test_a_project_is_compiled_to_what_compose_prints(tmp_path: Path, seed: int) -> None:
    folder = tmp_path / "shop"
    folder.mkdir()
    project = generate(seed)
    for name, text in project.texts.items():
        (folder / name).write_text(text)
    cluster = folder / "cluster.yaml"
    cluster.write_text(CLUSTER.format(folder=folder))
    files = [folder / name for name in project.compose]
    theirs = printed(files)
    try:
        ours = intent_of(*files, cluster)
    except InvalidDocument as error:
        told = [f"{each.problem}; {each.remedy}" for each in error.faults]
        unlisted = [each for each in told if not any(re.match(pattern, each) for pattern in REFUSED)]
        assert unlisted == [] or theirs.returncode != 0
        return
    if re.search(REFUSED_BY_COMPOSE, theirs.stderr):
        return
    assert theirs.returncode == 0, theirs.stderr
    (folder / "printed.yaml").write_text(with_contents(theirs.stdout, folder))

    assert differences(ours, intent_of(folder / "printed.yaml", cluster)) == {}


@pytest.mark.parametrize("stack", STACKS)
def test_an_example_is_compiled_to_what_compose_prints(tmp_path: Path, stack: str) -> None:
    compose, hosts = files_of(stack)
    theirs = printed([compose])
    assert theirs.returncode == 0, theirs.stderr
    (tmp_path / "printed.yaml").write_text(theirs.stdout)
    assert differences(intent_of(compose, hosts), intent_of(tmp_path / "printed.yaml", hosts)) == {}


ATOMS = (
    "$", "$$", "{", "}", "${", "A", "B", "C", ":-", "-", ":?", "?", ":+", "+", "x y", "$A", "${B}", "${C:-", "${A:+",
    "1", "_", ":", "${A-",
)  # fmt: skip


def test_variables_are_replaced_as_compose_replaces_them(tmp_path: Path) -> None:
    """A text that Compose takes although its braces do not match is refused here, with the way to write it."""
    dice = Random(7)
    texts = [
        "q" + "".join(dice.choice(ATOMS) for _ in range(dice.randint(1, 7)))
        for _ in range(examples(200, 3000))
    ]
    values = {"A": "va", "B": ""}
    ours: dict[str, str] = {}
    for text in texts:
        try:
            ours[text] = Variables(values).substitute(text)
        except Invalid:
            continue
    assert len(ours) > len(texts) / 4
    file = tmp_path / "compose.yaml"
    file.write_text(json.dumps({"services": {"a": {"image": "x", "command": list(ours)}}}))
    command = [str(COMPOSE), "--env-file", "/dev/null", "--file", str(file), "config", "--format", "json"]
    done = subprocess.run(command, env={**ENVIRONMENT, **values}, capture_output=True, text=True, check=True)
    theirs = [each.replace("$$", "$") for each in json.loads(done.stdout)["services"]["a"]["command"]]
    assert dict(zip(ours, theirs, strict=True)) == ours
