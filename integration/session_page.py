"""A page that tells a session at a terminal: steps with their prose, and what the commands printed in a run of the lab.

The prose is data of the steps, the rest is what was recorded, so the page can be made again from itself: that is how
tests/tools finds an edit by hand. Nothing is replaced: times, ids and revisions are those of the run.
"""

import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from textwrap import fill
from typing import NamedTuple

from integration.lab.programs import REPOSITORY
from integration.recorder import Capture, is_recording

PAGE = REPOSITORY / "docs/operate/session.md"
_WIDTH = 100
_BLOCK = re.compile(r"^```\n\$ (?P<command>.+)\n(?P<output>(?:.*\n)*?)```\n", re.MULTILINE)
_ENDED = re.compile(r"^\(exit code (?P<code>\d+)\)\n\Z", re.MULTILINE)


class Told(NamedTuple):
    """The prose of a step: one paragraph of Markdown, below a heading if it begins a part of the session."""

    text: str
    title: str = ""

    @property
    def paragraph(self) -> str:
        """The text in lines."""
        return fill(self.text, _WIDTH, break_long_words=False, break_on_hyphens=False)


def page(head: str, told: Sequence[Told], captures: Sequence[Sequence[Capture]]) -> str:
    """The page; `captures` are those of each step."""
    parts = [head]
    for each, ran in zip(told, captures, strict=True):
        parts += [f"## {each.title}\n"] if each.title else []
        parts += [f"{each.paragraph}\n", *map(_block, ran)]
    return "\n".join(parts)


def write(head: str, told: Sequence[Told], captures: Sequence[Sequence[Capture]]) -> None:
    """Write the page, if that is asked for (integration.recorder)."""
    if is_recording():
        PAGE.write_text(page(head, told, captures))


def read(text: str, told: Iterable[Told], path: Path = PAGE) -> list[list[Capture]]:
    """The captures of each step on a page. Raises ValueError if the page lacks the prose of a step."""
    places = [text.find(f"\n{each.paragraph}\n") for each in told]
    if -1 in places or places != sorted(places):
        raise ValueError(f"{path}: lacks the text of a step, or has it elsewhere: record the page again")
    ends = [*places[1:], len(text)]
    return [_captures(text[start:end]) for start, end in zip(places, ends, strict=True)]


def _block(capture: Capture) -> str:
    lines = "".join(f"{each.rstrip()}\n" for each in capture.output.splitlines()).rstrip("\n")
    shown = f"{lines}\n" if lines else ""
    ended = f"(exit code {capture.code})\n" if capture.code else ""
    return f"```\n$ {capture.command}\n{shown}{ended}```\n"


def _captures(text: str) -> list[Capture]:
    found = []
    for block in _BLOCK.finditer(text):
        ended = _ENDED.search(block["output"])
        output = block["output"][: ended.start()] if ended else block["output"]
        found.append(
            Capture(command=block["command"], output=output, code=int(ended["code"]) if ended else 0)
        )
    return found
