"""Captures of what commands print in a named state, kept as docs/states/<name>.txt with an index.

`script/test --record` writes the files anew. Without it nothing is written and nothing is compared: a scenario asserts
the words that matter itself. What is another one in each run (ids, times, ages, ephemeral ports, revisions) is replaced
by fixed values, so that a file changes only when the command prints something else.
"""

import os
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from integration.lab.programs import REPOSITORY

RECORD = "SWARMKEEPER_RECORD"
FOLDER = REPOSITORY / "docs" / "states"
INDEX = "index.md"
COLUMNS = 80
PLAIN = (f"COLUMNS={COLUMNS}", "NO_COLOR=1", "TERM=dumb")
"""Environment of a command whose output is captured."""
_HEAD = re.compile(r"^State: (?P<name>.+)\nGroup: (?P<group>.+)\nDone: (?P<done>.+)\n", re.MULTILINE)
_COMMAND = re.compile(r"^\$ (?P<line>.+)$", re.MULTILINE)
_ENDED = re.compile(r"^\(exit code (?P<code>\d+)\)$", re.MULTILINE)
_HEX, _WORD = "0123456789abcdef", "0a1b2c3d4e5f6g7h8i9j0k1l2"

PAGE = """\
# States as the commands show them

Each file has the output of real commands in a state that a test of the lab brought about.
`script/test --record integration/test_states.py` writes the files and this page
([the lab](../lab.md)). Ids, times, ages, revisions, ephemeral ports and addresses on the overlay are replaced.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Capture:
    """One command line, as an operator types it, with its output and exit code."""

    command: str
    output: str
    code: int


def is_recording() -> bool:
    return bool(os.environ.get(RECORD))


def record(
    name: str,
    done: str,
    captures: Iterable[Capture],
    *,
    group: str = "Cluster",
    instead: Mapping[str, str] | None = None,
    folder: Path = FOLDER,
) -> None:
    """Write the captures of a state and the index, if that is asked for.

    `done` is one sentence on how the state was brought about; `group` its heading in the index. `instead` has words
    that are other ones in each run, with their fixed replacements.
    """
    if not is_recording():
        return
    shown = [
        f"$ {each.command}\n{fixed(each.output, instead).rstrip()}\n(exit code {each.code})\n"
        for each in captures
    ]
    folder.mkdir(exist_ok=True)
    (folder / f"{name}.txt").write_text(f"State: {name}\nGroup: {group}\nDone: {done}\n\n" + "\n".join(shown))
    (folder / INDEX).write_text(index(folder))


def index(folder: Path = FOLDER) -> str:
    """The page that lists the captures of a folder, by group and name."""
    groups: dict[str, list[str]] = {}
    for path in sorted(folder.glob("*.txt")):
        text = path.read_text()
        head = _HEAD.match(text)
        if not head:
            raise ValueError(f"{path}: not written by the recorder: no State, Group and Done at the top")
        ran = zip(_COMMAND.findall(text), _ENDED.findall(text), strict=True)
        commands = ", ".join(f"`{line}` ({code})" for line, code in ran)
        row = f"| [{head['name']}]({path.name}) | {head['done']} | {commands} |"
        groups.setdefault(head["group"], []).append(row)
    table = "| state | what was done | commands (exit code) |\n|---|---|---|\n"
    parts = (f"\n## {group}\n\n{table}" + "\n".join(rows) + "\n" for group, rows in sorted(groups.items()))
    return PAGE + "".join(parts)


def fixed(text: str, instead: Mapping[str, str] | None = None) -> str:
    """The text without what differs from run to run. Columns after a replaced value keep their place where they can."""
    text = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", text)
    for old, new in (instead or {}).items():
        text = _replace(rf"(?<![\w.]){re.escape(old)}(?![\w.])", lambda _, new=new: new, text)  # type: ignore[misc]
    for pattern, make in _VARYING:
        text = _replace(pattern, make, text)
    return "".join(f"{line.rstrip()}\n" for line in text.splitlines())


def _replace(pattern: str, make: Callable[[re.Match[str]], str], text: str) -> str:
    def change(found: re.Match[str]) -> str:
        new, gap = make(found), found["gap"] or ""
        if len(gap) < 2:
            return new + gap
        return new + " " * max(2, len(found[0]) - len(new))

    return re.sub(rf"(?:{pattern})(?P<gap> *)", change, text)


def _id(found: re.Match[str]) -> str:
    length = len(found[0].rstrip(" "))
    return (_WORD if length == len(_WORD) else _HEX * 4)[:length]


def _age(found: re.Match[str]) -> str:
    return "6 m" if found["unit"] in "mhd" else "30 s"


_VARYING: tuple[tuple[str, Callable[[re.Match[str]], str]], ...] = (
    (r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(?:\.\d+)?(?:Z|[+-]\d\d:\d\d)?", lambda _: "2026-01-01T12:00:00Z"),
    (r"\b\d\d:\d\d:\d\d(?:\.\d+)?\b", lambda _: "12:00:00"),
    (r"\b[0-9a-f]{12,64}\b", _id),
    (r"\b(?=[a-z]*\d)(?=\d*[a-z])(?:[a-z0-9]{25}|[a-z0-9]{12})\b", _id),
    (r"(?<=[\d\]]:)[0-9]{4,5}(?=->)", lambda _: "40000"),
    (r"(?<=unreachable for )\d+ (?:s|m|h|d)\b(?: \d+ [sm]\b)?", lambda _: "6 m"),
    (r"(?<=Unreachable )\d+ (?:s|m|h|d)\b", lambda _: "6 m"),
    (r"(?:(?<=AgentStopped )|(?<=stopped for ))\d+ s\b", lambda _: "30 s"),
    (r"(?<=for )(?:[6-9]|\d{2,}) (?P<unit>s|m|h|d)\b(?: \d+ [sm]\b)?", _age),
    (r"\b\d+ (?P<unit>s|m|h|d)(?: \d+ [sm])?(?= ago\b)", _age),
    (r"(?<=  )\d+ (?:s|m|h|d)(?m:(?=\??$))", lambda _: "6 m"),
    (r"\b10\.10\.0\.\d+(?P<old>\??)(?![\d./])", lambda found: f"10.10.0.7{found['old']}"),
    (r"\b\d+\.\d+ s\b", lambda _: "1.0 s"),
    (r"\b\d+(?=\s+times\b)", lambda _: "7"),
    (r"\b\d+(?= (?:attempts|restarts|ends)\b)", lambda _: "7"),
)
"""Patterns of what is another one in each run, with a function of the match that returns the fixed text."""
