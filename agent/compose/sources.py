"""Reads the files of a Compose project on the operator's machine: Compose files, `.env`, and files of variables."""

import io
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from stat import S_ISREG

from dotenv.parser import parse_stream

from agent.compose.variables import Variables
from agent.errors import Invalid

LARGEST = 1_400_000
"""Bytes of one file."""
DOTENV = ".env"
STDIN = Path("-")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]*")


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """A Compose file by the name that its faults have, and its content."""

    name: str
    raw: bytes


def read_file(path: Path) -> bytes:
    """Return the content of a regular file. Raises Invalid, with its name, if it cannot be read or is too large."""
    try:
        if not S_ISREG(path.stat().st_mode):
            raise Invalid(f"{path} is not a regular file")
        with path.open("rb") as opened:
            content = opened.read(LARGEST + 1)
    except OSError as error:
        raise Invalid(f"{path} cannot be read: {error.strerror}") from error
    if len(content) > LARGEST:
        raise Invalid(f"{path} has more than {LARGEST} bytes")
    return content


def read_variables(path: Path, known: Mapping[str, str], *, as_written: bool = False) -> dict[str, str]:
    """Return the variables of a file of lines `NAME=value`; a value may use those `known` and those above it.

    A name alone takes the known value. `as_written` takes the text after each `=` as it is. Raises Invalid.
    """
    try:
        text = read_file(path).decode()
    except UnicodeDecodeError as error:
        raise Invalid(f"{path} is not UTF-8") from error
    if as_written:
        return dict(_lines(text))
    found: dict[str, str] = {}
    for binding in parse_stream(io.StringIO(text)):
        place = f"{path}, line {binding.original.line}"
        if binding.error or (binding.key is not None and not _VARIABLE.fullmatch(binding.key)):
            raise Invalid(f"{place}: not a variable: write NAME=value")
        if binding.key is None or (binding.value is None and binding.key not in known):
            continue
        value = known[binding.key] if binding.value is None else binding.value
        literal = binding.value is None or "='" in binding.original.string.replace(" ", "")
        try:
            found[binding.key] = value if literal else Variables({**found, **known}).substitute(value)
        except Invalid as error:
            raise Invalid(f"{place}: {binding.key} {error}") from error
    return found


def _lines(text: str) -> Iterator[tuple[str, str]]:
    for line in text.splitlines():
        name, equals, value = line.partition("=")
        if equals and not name.lstrip().startswith("#"):
            yield name.strip(), value


@dataclass(frozen=True, slots=True, kw_only=True)
class Project:
    """The files of a Compose project and the values of its variables."""

    folder: Path
    """Relative paths in the files begin here."""
    sources: tuple[Source, ...]
    variables: Mapping[str, str]


def load(
    files: tuple[Path, ...], env_files: tuple[Path, ...], environment: Mapping[str, str], stdin: bytes = b""
) -> Project:
    """Read Compose files and files of variables; `-` stands for `stdin`. Without `env_files` it reads `.env`, if any.

    A variable of the process's `environment` replaces the one of a file. Raises Invalid.
    """
    first = files[0]
    folder = (Path() if first == STDIN else first.parent).absolute()
    sources = tuple(Source(name=str(each), raw=stdin if each == STDIN else read_file(each)) for each in files)
    if not env_files and (folder / DOTENV).exists():
        env_files = (folder / DOTENV,)
    found: dict[str, str] = {}
    for each in env_files:
        found |= read_variables(each, {**found, **environment})
    return Project(folder=folder, sources=sources, variables={**found, **environment})
