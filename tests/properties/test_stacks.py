"""Compose files as people write them run on a cluster with what `init` prints beside them, and mean the same.

Each file of tests/data/stacks is of one stack; a folder of the same name has the files beside it. Comments say what
becomes of it: `# refused: TEXT` for each text of a refusal, and `# way out: OLD => NEW` for the edits that it asks for.
Where a refusal names a command of Docker Compose, that command makes the file that is compiled. `{folder}` is the
folder of the file: relative binds are there on the hosts, as Compose has them.
"""

import re
import shutil
from pathlib import Path

import pytest
from typer.testing import CliRunner

from agent.cli.app import app
from agent.errors import Invalid
from agent.model.faults import InvalidDocument
from tests.properties.test_compose import differences, intent_of, printed, with_contents

STACKS = Path(__file__).parents[1] / "data" / "stacks"
FILES = sorted(STACKS.glob("*.yaml"))
REFUSED = re.compile(r"^# refused: (.+)$", re.MULTILINE)
WAY_OUT = re.compile(r"^# way out: (.+?) => ?(.*)$", re.MULTILINE)
COMMAND = re.compile(r"`docker compose config ([^`]+)`")
HOSTS = ("node-1=10.9.0.1", "node-2=10.9.0.2", "node-3=10.9.0.3")


def cluster() -> str:
    done = CliRunner().invoke(app, ["init", *HOSTS])
    assert done.exit_code == 0, done.output
    return done.stdout


def line_breaks(text: str) -> str:
    return text.replace(r"\n", "\n")


def mended(text: str) -> str:
    """The file when somebody has done what its refusals ask for."""
    for old, new in WAY_OUT.findall(text):
        found = line_breaks(old)
        rest = "".join(line for line in text.splitlines(keepends=True) if not line.startswith("# way out:"))
        assert found in rest, f"{old!r} is not in the file"
        text = rest.replace(found, line_breaks(new)) + "".join(
            f"# way out: {a} => {b}\n" for a, b in WAY_OUT.findall(text) if (a, b) != (old, new)
        )
    return text


def test_there_are_sixty() -> None:
    assert len(FILES) >= 60


@pytest.mark.parametrize("file", FILES, ids=lambda each: each.stem)
def test_a_stack_runs_with_init_alone_or_when_its_refusal_is_heeded(tmp_path: Path, file: Path) -> None:
    folder = tmp_path / file.stem
    if (STACKS / file.stem).is_dir():
        shutil.copytree(STACKS / file.stem, folder)
    folder.mkdir(exist_ok=True)
    text = file.read_text().replace("{folder}", str(folder))
    compose, hosts, theirs = (folder / name for name in ("compose.yaml", "cluster.yaml", "printed.yaml"))
    compose.write_text(text)
    hosts.write_text(cluster())
    if refusals := REFUSED.findall(text):
        with pytest.raises(Invalid) as error:
            intent_of(compose, hosts)
        faults = error.value.faults if isinstance(error.value, InvalidDocument) else ()
        told = "\n".join([str(error.value), *(f"{each.problem}; {each.remedy}" for each in faults)])
        assert [each for each in refusals if each not in told] == [], told
        compose.write_text(mended(text))
        if command := COMMAND.search("\n".join(refusals)):
            flat = printed([compose], *command[1].split())
            assert flat.returncode == 0, flat.stderr
            compose.write_text(flat.stdout)
    done = printed([compose])
    assert done.returncode == 0, done.stderr
    theirs.write_text(with_contents(done.stdout, folder))

    assert differences(intent_of(compose, hosts), intent_of(theirs, hosts)) == {}
