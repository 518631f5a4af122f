"""The documents that tests put: the example unless told otherwise, and never one that a change was not made in."""

import ast
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from agent.intent import parse_intent
from agent.model.intent import Intent
from tests.support.document import EXAMPLE, HEAD, SERVICES, document

ROOT = Path(__file__).resolve().parents[2]
TEXT_IS_MEANT = {
    "tests/agents/test_edits.py": "the column of a fault",
    "tests/unit/cli/test_plan_apply.py": "the text beside the word that confirms an edit",
    "tests/unit/cli/test_validate.py": "the lines of faults",
}


def intent(text: str) -> Intent:
    """What a document says; its digest is of more than that, of parts that only aliases refer to."""
    return replace(parse_intent(text.encode(), 1), digest="")


def test_without_changes_it_says_what_the_example_says() -> None:
    assert intent(document()) == intent(EXAMPLE)
    assert "&" not in document()


def test_the_services_named_are_those_of_the_example_and_the_head_has_none() -> None:
    assert {each.name for each in intent(EXAMPLE).services} == set(SERVICES)
    assert intent(HEAD) == replace(intent(EXAMPLE), services=())


def test_it_is_edited_as_an_operator_would() -> None:
    text = EXAMPLE.replace("order:1.0.0", "order:1.0.1").replace("{node-231: 2, node-232: 1}", "[node-233]")
    text = text.replace("10.159.62.232, role: manager", "10.159.62.232, role: worker")
    text = text.replace("networks:\n", "  policy: {reserve_addresses: true}\nnetworks:\n", 1)
    edited = document(
        roles={"node-232": "worker"},
        policy={"reserve_addresses": True},
        tags={"order": "1.0.1"},
        replicas={"order": ["node-233"]},
    )
    assert intent(edited) == intent(text) != intent(EXAMPLE)


def test_a_text_that_looks_like_something_else_stays_a_text() -> None:
    environment = {
        "A": "yes",
        "B": "010",
        "C": "8:30",
        "D": "1e3",
        "E": "0o7",
        "F": "2026-01-01",
        "G": "#",
        "H": "",
    }
    order = intent(document(services={"order": {"environment": environment}})).service("order")
    assert order is not None
    assert dict(order.spec.environment) == environment


@pytest.mark.parametrize(
    "edit",
    [
        lambda: document(hosts={"node-239": None}),
        lambda: document(roles={"node-239": "worker"}),
        lambda: document(cluster={"policy": None}),
        lambda: document(services={"shop": None}),
        lambda: document(services={"order": {"ports": None}}),
        lambda: document(tags={"shop": "1.0.1"}),
        lambda: document(replicas={"shop": ["node-231"]}),
        lambda: document(volumes=None),
    ],
)
def test_what_is_not_there_is_neither_changed_nor_taken_out(edit: Callable[[], str]) -> None:
    with pytest.raises(KeyError):
        edit()


def test_no_test_edits_a_document_by_its_text() -> None:
    """A replacement that matches nothing leaves a test with the document it began with."""
    found = {
        path.relative_to(ROOT).as_posix()
        for directory in (
            "tests/agents",
            "tests/properties",
            "tests/unit/cli",
            "tests/unit/observe",
            "integration",
        )
        for path in (ROOT / directory).rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Attribute) and node.attr == "replace"
        if isinstance(node.value, ast.Name) and node.value.id.isupper() and len(node.value.id) > 1
    }
    assert found == TEXT_IS_MEANT.keys()
