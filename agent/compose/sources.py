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
from agent.model.spec import LARGEST_CONTENT

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


def read_text(path: Path) -> str:
    """Return the text of a config. Raises Invalid, with its name, for a file that `read_file` refuses or no text."""
    try:
        text = read_file(path, LARGEST_CONTENT).decode()
    except UnicodeDecodeError as error:
        raise Invalid(f"{path} is not UTF-8: byte {error.start}") from error
    if "\0" in text:
        raise Invalid(f"{path} is not text: byte {len(text.partition(chr(0))[0].encode())} is NUL")
    return text


def read_file(path: Path, largest: int = LARGEST) -> bytes:
    """Return the content of a regular file. Raises Invalid, with its name, if it cannot be read or is too large."""
    try:
        if not S_ISREG(path.stat().st_mode):
            raise Invalid(f"{path} is not a regular file")
        with path.open("rb") as opened:
            content = opened.read(largest + 1)
    except OSError as error:
        raise Invalid(f"{path} cannot be read: {error.strerror}") from error
    if len(content) > largest:
        raise Invalid(f"{path} has more than {largest} bytes")
    return content


def read_variables(
    path: Path, known: Mapping[str, str], earlier: Mapping[str, str], *, as_written: bool = False
) -> dict[str, str]:
    """Return the variables of a file of lines `NAME=value`.

    A value may use those `known`, those above it, and those of `earlier` files; of one in several the first of these.
    A name alone takes the known value. `as_written` takes the text after each `=` as it is. Raises Invalid, also for
    a line that python-dotenv and Compose read differently.
    """
    try:
        text = read_file(path).decode().removeprefix("\ufeff")
    except UnicodeDecodeError as error:
        raise Invalid(f"{path} is not UTF-8") from error
    if as_written:
        return dict(_lines(path, text, known))
    found: dict[str, str] = {}
    line = 1
    for binding in parse_stream(io.StringIO(text)):
        written = binding.original.string
        place = f"{path}, line {line + written[: -len(written.lstrip()) or None].count(chr(10))}"
        line += written.count("\n")
        if binding.error or (binding.key is not None and not _VARIABLE.fullmatch(binding.key)):
            raise Invalid(f"{place}: not a variable: write NAME=value, or NAME='value'")
        if (alike := _READ_ALIKE.fullmatch(written)) is None:
            quote = (written.partition("=")[2].strip() or " ")[0]
            remedy = _WAYS_OUT.get(quote, "put the value in single quotes")
            raise Invalid(f"{place}: python-dotenv and Compose read this differently: {remedy}")
        if binding.key is None or (binding.value is None and binding.key not in known):
            continue
        value = known[binding.key] if binding.value is None else binding.value
        literal = binding.value is None or alike["single"] is not None
        try:
            if not literal:
                value = Variables({**earlier, **found, **known}).substitute(value)
        except Invalid as error:
            raise Invalid(f"{place}: {binding.key} {error}") from error
        found[binding.key] = value
    return found


_READ_ALIKE = re.compile(
    r"""(?:[ \t\n]|\r\n)*+ (?: \#[^\r\n]* | (?:export[ \t]+)? [A-Za-z_][A-Za-z0-9_.-]*+ [ \t]*+ (?: =
        (?: [ \t]*+ (?: (?P<single> '(?:[^'\\]|\\[^\\])*' ) | "(?:[^"\\]|\\[^'0$])*" ) [ \t]* (?:\#[^\r\n]*)?
          | (?: [ \t]*+ (?!\#) | (?=\#) ) (?!['"]) (?: (?!\t\#) [\S \t] )*
        ) )? )? (?:\r?\n)?""",
    re.VERBOSE,
)
"""One statement that both read alike. A value without quotes ends at ` #`; in quotes a backslash has few meanings."""
_WAYS_OUT = {
    "'": "in single quotes Compose keeps both of two backslashes: write the value without quotes, or in double ones",
    '"': "in double quotes write $$ for a dollar sign, and \\' and \\0 without the backslash",
}


def _lines(path: Path, text: str, known: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    for number, line in enumerate(re.split(r"\r?\n", text), 1):
        name, equals, value = line.lstrip().partition("=")
        if not line.strip() or name.startswith("#"):
            continue
        if not re.fullmatch(r"\S+", name):
            raise Invalid(f"{path}, line {number}: not a variable: write NAME=value")
        if equals or name in known:
            yield name, value if equals else known[name]


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
    """Read Compose files and files of variables; `-` stands for `stdin`. Raises Invalid.

    Without `env_files` it reads those that COMPOSE_ENV_FILES names, or else `.env`, if any and unless
    COMPOSE_DISABLE_ENV_FILE is set. A variable of the process's `environment` replaces the one of a file.
    """
    folder = next((each.parent for each in files if each != STDIN), Path()).absolute()
    sources = tuple(Source(name=str(each), raw=stdin if each == STDIN else read_file(each)) for each in files)
    if not env_files:
        named = environment.get("COMPOSE_ENV_FILES", "")
        usual = environment.get("COMPOSE_DISABLE_ENV_FILE", "").lower() not in ("1", "t", "true")
        found_here = (folder / DOTENV,) if usual and (folder / DOTENV).exists() else ()
        env_files = tuple(map(Path, named.split(","))) if named else found_here
    found: dict[str, str] = {}
    for each in env_files:
        found |= read_variables(each, environment, found)
    return Project(folder=folder, sources=sources, variables={**found, **environment})
