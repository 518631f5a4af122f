"""The table of faults: made from what tests leave, and every line of it is a test that there is."""

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tests.support import reliability
from tests.support.reliability import (
    BEGIN,
    DOCUMENT,
    END,
    HEAD,
    NOT_AS_SHIPPED,
    ROOT,
    SECONDS,
    Row,
    marked,
    note,
    recorded,
    rows_of,
    sentence,
    took,
    with_rows,
)

EMPTY = f"# Title\n\n{BEGIN}\n{HEAD}{END}\nthe rest\n"


def test_every_line_of_the_table_is_a_test_and_every_test_of_a_fault_has_its_line() -> None:
    listed = [(each.test, each.fault) for each in rows_of(DOCUMENT.read_text())]

    assert set(marked()) <= set(listed), "run script/reliability"
    assert len(set(listed)) == len(listed)
    for test, _ in listed:
        file, _, name = test.partition("::")
        assert f"\ndef {name}(" in (ROOT / file).read_text(), test


def test_a_run_replaces_its_own_lines_and_keeps_the_others() -> None:
    first, other = (
        Row("tests/a.py::test_it_runs", "a fault", "1.0 s"),
        Row("tests/b.py::test_b", "another", ""),
    )
    again = Row("tests/a.py::test_it_runs", "a fault", "2.0 s")

    text = with_rows(with_rows(EMPTY, [first, other]), [again])

    assert rows_of(text) == [again, other]
    assert text.startswith("# Title\n")
    assert text.endswith("\nthe rest\n")


def test_what_tests_have_left_is_put_together_by_test() -> None:
    lines = [
        json.dumps({"test": "tests/a.py::test_a", "fault": "f", "seconds": [each]}) for each in (3.04, 1.0)
    ]

    assert recorded(lines) == [Row("tests/a.py::test_a", "f", "1.0 to 3.0 s (2 times)")]


def test_only_what_ran_with_the_timings_as_shipped_leaves_its_figures(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reliability, "RECORDS", tmp_path / "build" / "records")
    fault = SimpleNamespace(args=("f",))
    item: Any = SimpleNamespace(nodeid="tests/a.py::test_a[1]", get_closest_marker=lambda _: fault)
    for properties in ([(SECONDS, 5.0)], [(NOT_AS_SHIPPED, True), (SECONDS, 2.0)]):
        report: Any = SimpleNamespace(when="call", passed=True, user_properties=properties)
        note(item, report)

    assert recorded(reliability.RECORDS.read_text().splitlines()) == [Row("tests/a.py::test_a", "f", "5.0 s")]


@pytest.mark.parametrize(
    ("seconds", "text"), [([], ""), ([2.26], "2.3 s"), ([4, 2], "2.0 to 4.0 s (2 times)")]
)
def test_how_long_it_took_is_said_over_all_runs(seconds: list[float], text: str) -> None:
    assert took(seconds) == text


def test_what_was_checked_is_the_name_of_the_test() -> None:
    assert sentence("tests/a.py::test_all_is_well") == "All is well"
