"""The page of the session: that it is what the recorder writes, whole, and without what no page may have."""

import re

import pytest

from integration.guarded import PASSWORD
from integration.planted import FAULTS
from integration.recorder import Capture
from integration.session_page import PAGE, Told, page, read
from integration.session_steps import HEAD, STEPS

TOLD = [each.told for each in STEPS]


def test_the_page_is_what_the_recorder_writes_for_its_captures() -> None:
    text = PAGE.read_text()
    assert page(HEAD, TOLD, read(text, TOLD)) == text


def test_each_step_has_a_command_and_each_fault_its_finding_and_its_remedy() -> None:
    captures = read(PAGE.read_text(), TOLD)
    assert all(captures)
    outputs = [
        each.output for of_step in captures for each in of_step if "swarmkeeper doctor" in each.command
    ]
    for name in set(FAULTS) - {"flushed rules"}:
        _, check, text, remedy = FAULTS[name]
        assert any(
            re.search(rf"^(WARN|FAIL)  {check} ", each, re.MULTILINE) and text in each and remedy in each
            for each in outputs
        ), name
    assert any("FAIL  role " in each and "--may-lead | sh" in each for each in outputs)


@pytest.mark.parametrize("unwanted", ["\x1b", PASSWORD, "of-the-past", "SWMTKN", "SWMKEY", "/root", "/tmp"])
def test_the_page_has_no_codes_of_terminals_no_secrets_and_no_folders_of_a_machine(unwanted: str) -> None:
    assert unwanted not in PAGE.read_text()


def test_what_was_shown_is_read_again_from_the_page() -> None:
    told = [Told("One two.", "A part"), Told(" ".join(["word"] * 40))]
    captures = [
        [Capture(command="a | b", output="x\n\n  y\n", code=3), Capture(command="c", output="", code=0)],
        [Capture(command="d '$x'", output="(exit code 1) is no end\n", code=0)],
    ]
    text = page("# Head\n", told, captures)
    assert text.startswith("# Head\n\n## A part\n\nOne two.\n\n```\n$ a | b\nx\n\n  y\n(exit code 3)\n```\n")
    assert read(text, told) == captures
    with pytest.raises(ValueError, match="lacks the text of a step"):
        read(text.replace("One two", "One"), told)
