"""The pages that are made of the commands: nobody has to remember an option that was added."""

import shutil
import subprocess

import pytest
from typer.main import get_command

from agent.cli.app import app
from tests.support.cli_reference import MAN, PAGE, man, page


def test_the_page_and_the_man_page_are_those_of_the_commands() -> None:
    assert PAGE.read_text() == page(), "run script/reference"
    assert MAN.read_text() == man(), "run script/reference"


def test_they_have_every_command_and_option() -> None:
    commands = get_command(app).commands  # type: ignore[attr-defined]
    names = {
        name for each in commands.values() for option in each.params for name in option.opts if name[0] == "-"
    }
    lacking = {name for name in names if f"{name}" not in page() or name.replace("-", "\\-") not in man()}
    lacking |= {name for name in commands if f"\n## {name}\n" not in page() or f'.SS "{name}"' not in man()}
    assert "--wait" in names
    assert lacking == set()


@pytest.mark.skipif(shutil.which("groff") is None, reason="needs groff")
def test_troff_reads_the_man_page_without_a_warning_and_shows_options_that_can_be_copied() -> None:
    done = subprocess.run(
        ["groff", "-man", "-ww", "-Tutf8", "-P-cbou"],
        input=man(), capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert done.stderr == ""
    assert "--show-secrets" in done.stdout
