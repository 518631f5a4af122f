"""`schema`: the form of the document, for editors."""

import json

import typer

from agent.intent.schema import json_schema


def show_schema() -> None:
    """Print the JSON Schema of the document."""
    typer.echo(json.dumps(json_schema(), indent=2))
