import json
from pathlib import Path

import pytest

from agent.errors import Invalid
from agent.intent import parse_intent
from agent.intent.guard import confirmed, document_hash
from agent.yamldoc import open_document
from tests.unit.intent.bad import GOOD

WORD = "0123456789abcdef"
NO_POLICY = GOOD
BLOCK = GOOD.replace("networks:\n", "  policy:\n    # boldly\n    mode: observe\nnetworks:\n", 1)
FLOW = GOOD.replace("networks:\n", "  policy: {mode: observe}  # boldly\nnetworks:\n", 1)
EMPTY = GOOD.replace("networks:\n", "  policy: {}\nnetworks:\n", 1)
OLD_WORD = GOOD.replace(
    "networks:\n", '  policy: {confirm: "fedcba9876543210", mode: observe}\nnetworks:\n', 1
)
ALIAS = "x-mine: &mine {mode: observe}\n" + GOOD.replace("networks:\n", "  policy: *mine\nnetworks:\n", 1)
IN_FLOW = (
    "name: shop\nservices: {}\nx-cluster: {version: 1, hosts: {one: {address: 10.0.0.1, role: manager}},"
    " gwbridge: {subnet: 172.21.0.0/20}}\n"
)
JSON = json.dumps(
    {
        "name": "shop",
        "services": {},
        "x-cluster": {
            "version": 1,
            "hosts": {"one": {"address": "10.0.0.1", "role": "manager"}},
            "gwbridge": {"subnet": "172.21.0.0/20"},
        },
    }
)


@pytest.mark.parametrize(
    "text",
    [NO_POLICY, BLOCK, FLOW, EMPTY, OLD_WORD, IN_FLOW, JSON, "\ufeff" + FLOW, GOOD.replace("\n", "\r\n")],
)
def test_the_word_is_written_and_the_document_means_the_same_otherwise(text: str) -> None:
    before, after = parse_intent(text.encode(), 1), parse_intent(confirmed(text.encode(), WORD), 1)
    assert after.policy.confirm == WORD
    assert after.digest == before.digest
    assert after.services == before.services


@pytest.mark.parametrize(
    ("text", "line"),
    [
        (BLOCK, f"    confirm: {WORD}"),
        (FLOW, f'  policy: {{"confirm": "{WORD}", mode: observe}}  # boldly'),
        (EMPTY, f'  policy: {{"confirm": "{WORD}"}}'),
        (NO_POLICY, f"  policy: {{confirm: {WORD}}}"),
        (OLD_WORD, f'  policy: {{confirm: "{WORD}", mode: observe}}'),
    ],
)
def test_one_line_is_another_and_the_rest_is_left_as_it_was_written(text: str, line: str) -> None:
    before, after = text.splitlines(), confirmed(text.encode(), WORD).decode().splitlines()
    assert [each for each in after if each not in before] == [line]
    assert len(after) - len(before) in (0, 1)


def test_a_section_that_stands_elsewhere_is_left_to_the_operator() -> None:
    with pytest.raises(
        Invalid,
        match=f"the token cannot be added to the document: write x-cluster.policy.confirm: {WORD} by hand",
    ):
        confirmed(ALIAS.encode(), WORD)


# ---- the hash


@pytest.mark.parametrize("name", ["customer", "production", "everything"])
def test_comments_quotes_and_the_word_itself_make_no_other_hash(name: str) -> None:
    raw = (Path(__file__).parent / "good" / f"{name}.yaml").read_bytes()
    digest = parse_intent(raw, 1).digest
    assert parse_intent(b"# another comment\n" + raw, 2).digest == digest
    assert parse_intent(confirmed(raw, WORD), 3).digest == digest


def test_the_hash_is_the_one_that_earlier_versions_made() -> None:
    raw = "name: é\nx-a: &a [~, 010, 'ü\"', {b: {}, c: []}]\nx-b: *a\nx-cluster: {policy: {confirm: abc}}\n"
    assert document_hash(open_document(raw.encode()).node) == "9f3eaa375b0e8f70"


def test_every_value_makes_another_hash() -> None:
    edits = [
        ("web:1.0", "web:1.1"),
        ("10.0.0.2", "10.0.0.3"),
        ("80:8080", "81:8080"),
        ("data:\n", "data: {}\n"),
        ("name: shop", "name: sho"),
    ]
    digests = {
        parse_intent(GOOD.replace(old or "name", new or "name").encode(), 1).digest
        for old, new in [("", ""), *edits]
    }
    assert len(digests) == len(edits) + 1
