"""The table of docs/reliability.md: which faults are brought about, what is checked, and how long recovery took.

A test marked `fault("the leader's agent is killed")` that has passed leaves a line in build/reliability.jsonl, with the
seconds it gave by `recovering` or `record_property(SECONDS, ...)`, if any. `script/reliability` puts what is there into
the table.
"""

import json
import re
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
RECORDS = ROOT / "build" / "reliability.jsonl"
DOCUMENT = ROOT / "docs" / "reliability.md"
BEGIN, END = "<!-- table: script/reliability -->", "<!-- end of table -->"
HEAD = "| fault | what was checked | recovery |\n|---|---|---|\n"
ROW = re.compile(r"\| (?P<fault>[^|]+) \| (?P<said>[^|]+) \(`(?P<file>[^`|]+)`\) \| (?P<took>[^|]*) \|")
MARKED = re.compile(r'^@pytest\.mark\.fault\(\s*"([^"]+)"\s*\)\n(?:(?!def )[^\n]*\n)*def (\w+)', re.MULTILINE)
RecordProperty = Callable[[str, object], None]
"""What pytest's fixture `record_property` is."""
SECONDS = "seconds"
"""Name of the property by which a test gives the seconds of one recovery; as often as there were any."""
NOT_AS_SHIPPED = "not as shipped"
"""Name of the property of a test whose agents or swarm had other timings than the defaults: its figures go nowhere."""


@contextmanager
def recovering(record_property: RecordProperty) -> Iterator[None]:
    """Record how long the block took as the seconds of one recovery, unless it fails."""
    began = time.monotonic()
    yield
    record_property(SECONDS, time.monotonic() - began)


@dataclass(frozen=True, slots=True, order=True)
class Row:
    """A line of the table; `test` is its file and its function, without parameters."""

    test: str
    fault: str
    took: str

    def __str__(self) -> str:
        return f"| {self.fault} | {sentence(self.test)} (`{self.test.partition('::')[0]}`) | {self.took} |"


def sentence(test: str) -> str:
    """What a test's name says."""
    words = test.partition("::")[2].removeprefix("test_").replace("_", " ")
    return words[:1].upper() + words[1:]


def function(said: str) -> str:
    """The name of the test that says so."""
    return f"test_{said[:1].lower()}{said[1:]}".replace(" ", "_")


def note(item: pytest.Item, report: pytest.TestReport) -> None:
    """Leave a line of a test that has passed with the timings as shipped, if it is marked as one of a fault."""
    marker = item.get_closest_marker("fault")
    if marker is None or report.when != "call" or not report.passed:
        return
    if any(name == NOT_AS_SHIPPED for name, _ in report.user_properties):
        return
    seconds = [value for name, value in report.user_properties if name == SECONDS]
    line = {"test": item.nodeid.partition("[")[0], "fault": marker.args[0], "seconds": seconds}
    RECORDS.parent.mkdir(exist_ok=True)
    with RECORDS.open("a") as file:  # whole lines, appended: two workers do not mix
        file.write(json.dumps(line) + "\n")


def took(seconds: Iterable[float]) -> str:
    """How long it took, over all runs."""
    known = sorted(seconds)
    if not known:
        return ""
    if len(known) == 1:
        return f"{known[0]:.1f} s"
    return f"{known[0]:.1f} to {known[-1]:.1f} s ({len(known)} times)"


def recorded(lines: Iterable[str]) -> list[Row]:
    """The rows of what tests have left."""
    seconds: dict[tuple[str, str], list[float]] = {}
    for each in map(json.loads, lines):
        seconds.setdefault((each["test"], each["fault"]), []).extend(each["seconds"])
    return [Row(test, fault, took(found)) for (test, fault), found in seconds.items()]


def marked() -> Iterator[tuple[str, str]]:
    """Test and fault of every function that is marked as one of a fault, whether it has been run or not."""
    for path in sorted((*ROOT.glob("tests/**/test_*.py"), *ROOT.glob("integration/test_*.py"))):
        for fault, name in MARKED.findall(path.read_text()):
            yield f"{path.relative_to(ROOT)}::{name}", fault


def rows_of(text: str) -> list[Row]:
    """The rows that the document has."""
    table = text.partition(BEGIN)[2].partition(END)[0]
    return [
        Row(f"{found['file']}::{function(found['said'])}", found["fault"], found["took"])
        for found in ROW.finditer(table)
    ]


def with_rows(text: str, rows: Iterable[Row]) -> str:
    """The document with these rows instead of those it has of the same tests and faults."""
    known: Mapping[tuple[str, str], Row] = {(each.test, each.fault): each for each in (*rows_of(text), *rows)}
    table = HEAD + "".join(f"{each}\n" for each in sorted(known.values()))
    return f"{text.partition(BEGIN)[0]}{BEGIN}\n{table}{END}{text.partition(END)[2]}"


def main() -> int:
    """Put what the last runs have left into the document. Returns the exit code."""
    if not RECORDS.exists():
        print(f"no {RECORDS}: run the tests first", file=sys.stderr)
        return 1
    rows = recorded(RECORDS.read_text().splitlines())
    text = DOCUMENT.read_text()
    known = {(each.test, each.fault) for each in (*rows_of(text), *rows)}
    new = [Row(*each, "") for each in marked() if each not in known]
    DOCUMENT.write_text(with_rows(text, [*rows, *new]))
    print(f"{len(rows)} rows written to {DOCUMENT.relative_to(ROOT)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
