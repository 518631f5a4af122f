"""docs/reference/cli.md and the man page deploy/man/swarmkeeper.1, made of the commands and their help."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from typer.main import get_command

from agent.cli.app import app

_ROOT = Path(__file__).parents[2]
PAGE = _ROOT / "docs/reference/cli.md"
MAN = _ROOT / "deploy/man/swarmkeeper.1"
NAME = "swarmkeeper"
_INTRODUCTION = """# The command

`script/reference` writes this page from the commands themselves; `man swarmkeeper` has the same. `swarmkeeper COMMAND
--help` prints one part of it. [Install](../operate/install.md#completion-in-the-shell) says how a shell completes it.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """A command, or the root of all, whose name is empty."""

    name: str
    usage: str
    summary: str
    paragraphs: tuple[str, ...]
    parameters: tuple[tuple[str, str], ...]
    """(names and value, help) of each argument and option."""


def entries() -> list[Entry]:
    """Return the root, then the commands in the order of `--help`."""
    root: Any = get_command(app)
    context = root.context_class(root, info_name=NAME)
    return [
        _entry("", root, context),
        *(
            _entry(name, command, command.context_class(command, info_name=name, parent=context))
            for name, command in root.commands.items()
        ),
    ]


def _entry(name: str, command: Any, context: Any) -> Entry:
    paragraphs = tuple(_flat(each) for each in (command.help or "").split("\n\n") if each.strip())
    found = (each.get_help_record(context) for each in command.params)
    return Entry(
        name=name,
        usage=" ".join(filter(None, (NAME, name, *command.collect_usage_pieces(context)))),
        summary=_flat(command.short_help or paragraphs[0]),
        paragraphs=paragraphs,
        parameters=tuple((left.replace(", ", "`, `"), _flat(right)) for left, right in filter(None, found)),
    )


def _flat(text: str) -> str:
    return " ".join(text.split())


def epilog() -> str:
    """Return what the help of the root ends with: the exit codes."""
    return _flat(get_command(app).epilog or "")


def page() -> str:
    """Return the page of the documentation."""
    lines = [_INTRODUCTION]
    for each in entries():
        lines += [f"## {each.name or 'All commands'}\n", "```", each.usage, "```\n"]
        lines += [f"{text}\n" for text in each.paragraphs]
        if each.parameters:
            lines += ["| | |", "|---|---|"]
            lines += [f"| `{_cell(left)}` | {_cell(right)} |" for left, right in each.parameters]
            lines.append("")
        if not each.name:
            lines += [f"{epilog()}\n"]
    return "\n".join(lines).rstrip("\n") + "\n"


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


# ---- troff


def man() -> str:
    """Return the man page."""
    root, *commands = entries()
    lines = ['.TH SWARMKEEPER 1 "" swarmkeeper "Docker Swarm clusters as one document"', ".SH NAME"]
    lines += [f"{NAME} \\- {_troff(root.paragraphs[0])}", ".SH SYNOPSIS", f".B {_troff(root.usage)}"]
    lines += [".SH DESCRIPTION", *_paragraphs(root.paragraphs), ".SH OPTIONS", *_parameters(root)]
    lines.append(".SH COMMANDS")
    for each in commands:
        lines += [
            f'.SS "{each.name}"',
            f".B {_troff(each.usage)}",
            *_paragraphs(each.paragraphs),
            *_parameters(each),
        ]
    files = ("/etc/swarmkeeper/agent.yaml", "The configuration: etcd endpoints and cluster.")
    lines += [".SH EXIT STATUS", _troff(epilog()), ".SH FILES", ".TP", f".I {files[0]}", files[1]]
    return "\n".join(lines) + "\n"


def _paragraphs(texts: tuple[str, ...]) -> Iterator[str]:
    for text in texts:
        yield ".PP"
        yield _troff(text)


def _parameters(entry: Entry) -> Iterator[str]:
    for left, right in entry.parameters:
        yield ".TP"
        yield f".B {_troff(left)}"
        yield _troff(right) or "\\&"


def _troff(text: str) -> str:
    """Return text for troff: no word begins a request or an escape, and a hyphen stays one that can be copied."""
    escaped = text.replace("\\", "\\e").replace("-", "\\-").replace("`", "")
    return re.sub(r"^([.'])", r"\\&\1", escaped)


def write() -> None:
    PAGE.write_text(page())
    MAN.parent.mkdir(exist_ok=True)
    MAN.write_text(man())
