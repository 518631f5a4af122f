"""What is refused, and in which words. The documents are in bad.txt."""

import pytest

from agent.intent import parse_intent
from agent.model.faults import InvalidDocument
from tests.unit.intent.bad import BAD, GOOD, Bad


def refusal(document: str | bytes) -> InvalidDocument:
    with pytest.raises(InvalidDocument) as refused:
        parse_intent(document.encode() if isinstance(document, str) else document, revision=1)
    return refused.value


def test_the_document_they_are_made_from_is_good() -> None:
    assert parse_intent(GOOD.encode(), revision=1).project == "shop"


@pytest.mark.parametrize("bad", BAD, ids=lambda bad: bad.what)
def test_refused_with_place_and_remedy(bad: Bad) -> None:
    assert str(refusal(bad.document)).split("\n") == bad.says


@pytest.mark.parametrize(
    ("document", "says"),
    [
        (b"", "line 1, column 1: the document is empty; write its keys, each on a line"),
        (b"\xef\xbb\xbf", "line 1, column 1: the document is empty; write its keys, each on a line"),
        (b"name: a\nb: \xff", "line 2, column 4: byte 11 (0xff) is not UTF-8; save it as UTF-8"),
        ("name: é\xff".encode("latin-1"), "line 1, column 7: byte 6 (0xe9) is not UTF-8; save it as UTF-8"),
        (
            b"name: \x07",
            'line 1, column 7: U+0007 is a control character; remove it, or write it as "\\x07" in double quotes',
        ),
        (b"a" * 1_400_001, "line 1, column 1: the document has 1400001 bytes; the maximum is 1400000"),
    ],
    ids=["no byte", "a byte order mark", "not UTF-8", "Latin-1", "a control character", "too large"],
)
def test_bytes_that_are_no_text_are_refused(document: bytes, says: str) -> None:
    assert str(refusal(document)) == says


def test_no_refusal_repeats_a_secret() -> None:
    said = [fault for bad in BAD if "hunter2" in bad.document for fault in refusal(bad.document).faults]
    assert len(said) >= 5
    assert not any("hunter2" in f"{fault!r} {fault}" for fault in said)


def test_all_faults_are_told_at_once_in_the_order_of_the_document() -> None:
    document = (
        GOOD.replace("shop/db:1.0", "shop/DB")
        .replace("name: shop", "name: /")
        .replace("10.0.0.2", "10.0.0.x")
    )
    assert [fault.line for fault in refusal(document).faults] == [1, 6, 18]


def test_a_fault_has_the_path_the_value_and_a_remedy_for_programs_too() -> None:
    fault = refusal(GOOD.replace("shop/db:1.0", "shop/DB")).faults[0]
    assert (fault.path, fault.value, fault.line, fault.column) == ("services.db.image", "'shop/DB'", 18, 12)
    assert fault.remedy == "names are lower case: did you mean 'shop/db'?"


def test_a_document_with_very_many_faults_shows_the_first_hundred() -> None:
    document = GOOD + "".join(f"  s{number}: {{image: A, x-hosts: [one]}}\n" for number in range(300))
    shown = str(refusal(document)).split("\n")
    assert len(shown) == 101
    assert shown[0].startswith("line 21, column 15: services.s0.image: ")
    assert shown[-1] == "... and 200 more"


def test_the_same_document_is_refused_in_the_same_words_every_time() -> None:
    document = GOOD + "  three: {imge: a, x-hosts: [on], ports: [x, y], networks: [a, b], dns: [z]}\n"
    assert len({str(refusal(document)) for _ in range(5)}) == 1
