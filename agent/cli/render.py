"""Words for a terminal. Colours reach terminals only, and not those of people who set NO_COLOR."""

import os

import typer

from agent.yamldoc.words import printable


def painted(text: object, colour: str | None = None, *, bold: bool = False, dim: bool = False) -> str:
    """`text`, be it anybody's words, for a terminal; `typer.echo` takes the colours away again where there is none."""
    shown = printable(str(text))
    if os.environ.get("NO_COLOR"):
        return shown
    return typer.style(shown, fg=colour, bold=bold or None, dim=dim or None)


def counted(count: int, one: str, many: str | None = None) -> str:
    """`1 step`, `2 steps`."""
    return f"{count} {one if count == 1 else many or f'{one}s'}"
