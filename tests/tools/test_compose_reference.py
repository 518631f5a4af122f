"""docs/reference/compose.md: no key of the Compose specification is unknown to the readers, and each line is so."""

from pathlib import Path

import pytest

from agent.compose import compile_project, load
from agent.intent import parse_intent
from agent.yamldoc.edit import child
from tests.support.compose_reference import (
    COMPILED,
    NOTED,
    PAGE,
    RESPELLED,
    SPECIFICATION,
    becomes,
    held,
    keys_of,
    page,
)
from tests.unit.intent.documents import CLUSTER, NETWORKS

THEIRS = frozenset(path for path, _ in keys_of(SPECIFICATION))
EARLIER = {
    "secrets.*.content": "configs have it",
    "configs.*.driver": "secrets have it",
    "configs.*.driver_opts": "secrets have it",
    "services.*.deploy.resources.limits.devices": "reservations have it",
    "services.*.deploy.resources.reservations.pids": "limits have it",
}
"""Keys of ours that the specification does not have, and why they are known."""


def document(sample: str) -> str:
    """A document with the sample at its top, or in a service."""
    top, keys = (f"{sample}\n", "") if sample.startswith("version") else ("", f"    {sample}\n")
    other = "  other: {image: x, x-hosts: [one], networks: [inner]}\n"
    where = "" if "container_name" in sample else "    x-hosts: [one]\n"
    return f"{top}{CLUSTER}{NETWORKS}services:\n{other}  web:\n    image: x\n    networks: [inner]\n{where}{keys}"


def test_no_key_of_the_specification_is_unknown() -> None:
    ours = held()
    refused = [key for key, why in ours.items() if why]
    known = {*ours, *COMPILED, *NOTED, *RESPELLED}
    unknown = {key for key in THEIRS - known if not key.startswith(tuple(f"{each}." for each in refused))}
    assert sorted(unknown) == []
    assert {*COMPILED, *NOTED} <= THEIRS


def test_every_key_that_only_we_have_is_an_extension_or_has_a_reason() -> None:
    ours = {key for key in held() if not any(part.startswith("x-") for part in key.split("."))}
    assert sorted(ours - THEIRS) == sorted(EARLIER)


@pytest.mark.parametrize("key", NOTED)
def test_what_is_warned_about_is_valid_and_noted_by_its_name(key: str) -> None:
    notes = parse_intent(document(NOTED[key]).encode(), revision=1).notes
    assert any(key.rpartition(".")[2] in each for each in notes)


@pytest.mark.parametrize("key", COMPILED)
def test_what_is_compiled_away_is_refused_in_a_document_and_gone_after_compile(
    key: str, tmp_path: Path
) -> None:
    (tmp_path / "vars").write_text("A=1\n")
    (tmp_path / "compose.yaml").write_text(document(COMPILED[key][0]))
    made = compile_project(load((tmp_path / "compose.yaml",), (), {}))
    assert child(made.root.node, "services", "web", key.rpartition(".")[2]) is None
    assert held()[key]


def test_an_unknown_key_is_an_error_and_not_a_line() -> None:
    with pytest.raises(KeyError):
        becomes("services.*.bogus", held())


def test_the_page_is_not_older_than_the_readers() -> None:
    assert page() == PAGE.read_text(), "run script/reference"
