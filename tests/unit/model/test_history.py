"""Entries of documents: what is kept, how much of it, and what another writer makes of it."""

import json
import os
import zlib
from dataclasses import replace

import pytest

from agent.errors import Invalid
from agent.model.history import (
    LONGEST_MESSAGE,
    MOST_BYTES,
    MOST_DOCUMENTS,
    MOST_EXPANDED,
    Entry,
    Note,
    entry_of,
    outcomes_by_revision,
    surplus,
)
from agent.model.records import Verdict, decode, encode
from agent.yamldoc import MAX_BYTES

VERDICT = Verdict(revision=7, accepted=True, accepted_revision=7)
TEXT = "name: prod # älter\r\n"
AT = "2026-01-02T03:04:05Z"


def test_an_entry_gives_back_the_text_of_its_document_byte_for_byte() -> None:
    entry = entry_of(VERDICT, TEXT, Note(author="anna", message="more"), AT)
    back = decode(Entry, encode(entry))
    assert back == entry
    assert back.text() == TEXT
    assert (back.author, back.message, back.result, back.size) == (
        "anna",
        "more",
        "accepted",
        len(TEXT.encode()),
    )


@pytest.mark.parametrize(
    ("verdict", "result"),
    [
        (VERDICT, "accepted"),
        (replace(VERDICT, accepted=False, errors=("line 1", "line 2")), "refused"),
        (replace(VERDICT, accepted=False, errors=("line 1",), confirm="abc"), "waits"),
    ],
)
def test_the_result_is_that_of_the_verdict_with_its_first_error(verdict: Verdict, result: str) -> None:
    entry = entry_of(verdict, TEXT, None, AT)
    assert (entry.result, entry.why, entry.author) == (result, "line 1" if verdict.errors else "", "")


def test_what_is_said_of_a_document_is_bounded() -> None:
    verdict = replace(VERDICT, accepted=False, errors=("x" * 10_000,))
    entry = entry_of(verdict, TEXT, Note(author="a" * 10_000, message="m" * 10_000), AT)
    assert {len(each) for each in (entry.why, entry.author, entry.message)} == {LONGEST_MESSAGE}


def test_of_a_document_that_does_not_become_small_only_the_entry_is_kept() -> None:
    text = os.urandom(MOST_BYTES).hex() * 2
    entry = entry_of(VERDICT, text, None, AT)
    assert (entry.document, entry.size) == (b"", len(text))
    with pytest.raises(Invalid, match="revision 7 was too large"):
        entry.text()


def test_the_largest_document_is_kept_if_it_becomes_small() -> None:
    text = "x" * MAX_BYTES
    assert entry_of(VERDICT, text, None, AT).text() == text


def forged(raw: bytes) -> Entry:
    return replace(entry_of(VERDICT, TEXT, None, AT), document=raw)


@pytest.mark.parametrize(
    "packed",
    [b"no zlib", zlib.compress(b"name: other"), zlib.compress(b"\xff\xfe"), zlib.compress(b"x" * 50_000_000)],
    ids=["no zlib", "another text", "no text", "50 MB"],
)
def test_a_document_that_was_changed_is_not_given_back(packed: bytes) -> None:
    with pytest.raises(Invalid, match="the document of revision 7 is damaged"):
        forged(packed).text()


def test_what_is_expanded_is_bounded_before_it_is_expanded(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []

    class Expanding:
        eof = True

        def decompress(self, _: bytes, most: int) -> bytes:
            asked.append(most)
            return b""

    monkeypatch.setattr("agent.model.records.zlib.decompressobj", Expanding)
    with pytest.raises(Invalid):
        forged(b"bomb").text()
    assert asked == [MOST_EXPANDED + 1]
    assert MOST_EXPANDED == MAX_BYTES


def test_an_entry_shows_no_document_in_its_representation() -> None:
    assert "name" not in repr(entry_of(VERDICT, "name", None, AT)).partition("document")[2]
    assert "document" in json.loads(encode(entry_of(VERDICT, "name", None, AT)))


def test_names_tell_the_entries_and_their_outcomes() -> None:
    names = ("7", "7/paused", "7/carried-out", "12", "7/else", "x", "7x", "0", "-1", "9/paused", "1/2/3", "")
    assert outcomes_by_revision(names) == {7: {"paused", "carried-out"}, 12: set(), 9: {"paused"}}


def test_all_but_the_last_documents_are_surplus_and_names_of_another_form() -> None:
    kept = [str(each) for each in range(100, 100 + MOST_DOCUMENTS)]
    assert surplus([*kept, "149/paused"], 200) == ()
    odd = ["99", "99/paused", "x", "149/else", "201", "999999"]
    assert sorted(surplus([*kept, *odd], 200)) == sorted(odd)
