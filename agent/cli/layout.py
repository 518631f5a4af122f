"""Lines of text that fit a width: tables, paragraphs, and the note about what a screen has no room for."""

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import zip_longest

from rich.cells import cell_len
from rich.console import Console
from rich.text import Text

from agent.yamldoc.faultlist import printable

NO_TERMINAL = 160
"""Characters in a line of a table that does not go to a terminal, such as a log. Other lines are not broken there."""
GAP = 2
"""Spaces between two columns."""
AMPLE = 20
"""Width down to which cells are shortened before a column is omitted."""
ELLIPSIS = "…"
_CONSOLE = Console(file=None, width=80, color_system=None, force_terminal=False)
"""Only for wrapping, which needs one."""


def terminal() -> tuple[Console, int | None]:
    """Return a console on standard output, as wide as the terminal, else $COLUMNS, else NO_TERMINAL.

    And the width for lines: None where the output goes to a program, which could not join broken ones.
    """
    console = Console(highlight=False)
    if console.is_terminal or os.environ.get("COLUMNS"):
        return console, console.width
    return Console(highlight=False, width=NO_TERMINAL), None


def text(content: str, style: str = "") -> Text:
    """Return `content` with control characters escaped: an intruder on one host may have written it to etcd."""
    return Text(printable(content), style, end="", no_wrap=True)


def shortened(content: str, width: int, *, image: bool = False) -> str:
    """Return `content` in at most `width` cells, with an ellipsis in its middle, since names differ at both ends.

    An image first loses its registry, then further parts of its path: `…somecom/order:1.1.0`.
    """
    while image and cell_len(content) > width and "/" in content:
        content = f"{ELLIPSIS}{content.partition('/')[2]}"
    if cell_len(content) <= width:
        return content
    kept = max(width - 1, 0)
    head, tail = content, content
    while head and cell_len(head) > (kept + 1) // 2:
        head = head[:-1]
    while tail and cell_len(tail) > kept // 2:
        tail = tail[1:]
    return f"{head}{ELLIPSIS}{tail}"


# ---- Tables

_PROSE = ("Text", "Outcome")
"""Heads of the columns whose cells get more lines instead of being shortened."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """A column with its cells, from top to bottom."""

    head: str
    cells: Sequence[Text]
    omit: int = 0
    """The column with the highest number is omitted first from a table that is too wide; 0: never."""
    least: int = 0
    """Width down to which the cells may be shortened; 0: they may not."""
    most: int | None = None
    """Width at which prose is broken into lines; None: it is not."""

    @property
    def width(self) -> int:
        return max(cell_len(self.head), *(min(e.cell_len, self.most or e.cell_len) for e in self.cells))

    def narrowed(self, width: int) -> "Column":
        if self.head.strip() in _PROSE:
            return replace(self, most=width)
        image = self.head == "Image"
        cells = [Text(shortened(e.plain, width, image=image), e.style, end="") for e in self.cells]
        return replace(self, cells=cells, head=shortened(self.head, width))


def table(columns: Sequence[Column], width: int | None) -> list[Text]:
    """Return the head and the rows as lines of at most `width` cells; None: of any length."""
    shown = list(columns)
    if not shown or not shown[0].cells:
        return []
    if width is not None:
        shown = _fitted(shown, width)
    widths = [each.width for each in shown]
    lines = [_line([text(each.head, "dim") for each in shown], widths)]
    for row in zip(*(each.cells for each in shown), strict=True):
        parts = (paragraph(cell, each.most, hang=0) for cell, each in zip(row, shown, strict=True))
        lines += [_line(line, widths) for line in zip_longest(*parts, fillvalue=Text(end=""))]
    if width is not None:
        for line in lines:  # a window may be too narrow even for the shortest table
            line.truncate(width, overflow="ellipsis")
    return lines


def _fitted(columns: list[Column], width: int) -> list[Column]:
    columns = _narrowed(columns, width, AMPLE)
    while _total(columns) > width and any(each.omit for each in columns):
        columns.remove(max(columns, key=lambda each: each.omit))
    return _narrowed(columns, width, 0)


def _narrowed(columns: list[Column], width: int, least: int) -> list[Column]:
    """Shorten the widest columns, each down to `least` or its own minimum, until the table fits."""
    columns = list(columns)
    while (over := _total(columns) - width) > 0:
        wide = [each for each in columns if each.least and each.width > max(each.least, least)]
        if not wide:
            break
        widest = max(wide, key=lambda each: each.width)
        columns[columns.index(widest)] = widest.narrowed(max(widest.least, least, widest.width - over))
    return columns


def _total(columns: Sequence[Column]) -> int:
    return sum(each.width for each in columns) + GAP * (len(columns) - 1)


def _line(cells: Sequence[Text], widths: Sequence[int]) -> Text:
    line = Text(end="", no_wrap=True)
    for number, (cell, width) in enumerate(zip(cells, widths, strict=True)):
        last = number == len(cells) - 1
        line.append_text(cell).append("" if last else " " * (width - cell.cell_len + GAP))
    line.rstrip()  # the last cell may be empty
    return line


# ---- Paragraphs, and the end of a screen


def paragraph(content: Text, width: int | None, *, indent: int = 0, hang: int = 2) -> list[Text]:
    """Return `content` indented, its further lines by `hang` more; width None: in one line."""
    first, further = " " * indent, " " * (indent + hang)
    if width is None or indent + content.cell_len <= width:
        return [Text.assemble(first, content, end="", no_wrap=True)]
    free = content.copy()
    free.no_wrap = False
    parts = list(free.wrap(_CONSOLE, max(width - len(further), 10), no_wrap=False, overflow="fold"))
    for part in parts:
        part.rstrip()
    return [
        Text.assemble(first if number == 0 else further, part, end="", no_wrap=True)
        for number, part in enumerate(parts)
    ]


def screen(lines: Sequence[Text], width: int, height: int) -> list[Text]:
    """Return the lines that a screen has room for. The last one says how many do not fit."""
    if len(lines) <= height:
        return list(lines)
    shown = max(height - 1, 0)
    count = f"{ELLIPSIS} {len(lines) - shown} more lines"
    hint = f"{count} (enlarge the window, or `swarmkeeper status | less`)"
    return [*lines[:shown], text(hint if cell_len(hint) <= width else count, "reverse")]
