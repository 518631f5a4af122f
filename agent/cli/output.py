"""The option `--output` of commands that print data, and its machine-readable forms."""

import json
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
