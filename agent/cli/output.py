"""The option `--output` of commands that print data, its machine-readable forms, and the line of a slow command."""

import json
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from typing import Annotated, Any

import typer


class Output(StrEnum):
    """The forms of a command's output."""

    TABLE = "table"
    WIDE = "wide"
    JSON = "json"
    YAML = "yaml"

    @property
    def is_data(self) -> bool:
        """Return True for a form that programs read."""
        return self in (Output.JSON, Output.YAML)


OutputOption = Annotated[
    Output,
    typer.Option(
        "--output", "-o", help="table for people, wide without any shortening, json or yaml for programs."
    ),
]


def print_data(data: Any, output: Output, *, stream: bool = False) -> None:
    """Print `data`, made of JSON's types, as `output` has it. Characters beyond ASCII are escaped.

    One of a `stream` of JSON values takes one line; each of a stream of YAML documents begins with `---`.
    """
    if output is Output.YAML:
        typer.echo(as_yaml(data, stream=stream), nl=False)
    else:
        typer.echo(json.dumps(data, indent=None if stream else 2))


def as_yaml(data: Any, *, stream: bool = False) -> str:
    """Return `data` as YAML in ASCII."""
    import yaml  # noqa: PLC0415 - 20 ms that only this form costs

    return str(yaml.safe_dump(data, sort_keys=False, explicit_start=stream, width=110))


SLOW_S = 2.0
"""Seconds after which a command shows what takes so long."""


@contextmanager
def shown_if_slow(what: str) -> Iterator[None]:
    """Show on a terminal, as the last line of stderr, what the block does once it is slow; remove it when it ends.

    It has no colour, which NO_COLOR could forbid, and no escape sequence, which a terminal could lack.
    """
    stream, begin, ended = sys.stderr, time.monotonic(), threading.Event()

    def show() -> None:
        line = ""
        while not ended.wait(1.0 if line else SLOW_S):
            line = f"{what}: {time.monotonic() - begin:.0f} s"
            print(f"\r{line}", end="", file=stream, flush=True)
        if line:
            print(f"\r{' ' * len(line)}\r", end="", file=stream, flush=True)

    shower = threading.Thread(target=show, daemon=True)
    if stream.isatty():
        shower.start()
    try:
        yield
    finally:
        ended.set()
        if shower.is_alive():
            shower.join()
