"""Strict reading of YAML 1.2 and of JSON, which is YAML. It reports every fault with its line and column.

`open_document` turns bytes into a `Cursor` on the root. Readers (`agent.yamldoc.readers`) turn cursors into values and
note faults instead of raising. `cursor.faults.raise_if_any()` ends the reading. The package knows no schema.
"""

import json
import re

from agent.model.faults import Fault
from agent.yamldoc.compose import EMPTY, compose
from agent.yamldoc.faultlist import Faults
from agent.yamldoc.readers import Cursor, Fields, Reader

__all__ = ["Cursor", "Faults", "Fields", "Reader", "open_document"]

MAX_BYTES = 1_400_000
"""Below etcd's default request limit of 1.5 MiB, with space for the transaction around the document."""
MAX_KEPT = 1_500_000
"""Bytes of the stored document, a string in JSON, where line breaks and quotes take two bytes."""

_BOM = "\ufeff"
_NOT_PRINTABLE = re.compile(
    "[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufefe\uff00-\ufffd\U00010000-\U0010ffff]"
)
"""Complement of c-printable, https://yaml.org/spec/1.2.2/#51-character-set, plus U+FEFF after the start."""
_OLD_LINE_BREAK = re.compile("[\x85\u2028\u2029]")
"""Line breaks in YAML 1.1, which libyaml reads, and ordinary characters in YAML 1.2. The agent refuses them."""
_LINE_END = re.compile("\r\n|\r|\n")


def open_document(raw: bytes, file: str = "") -> Cursor:
    """Return a cursor on the root of the one YAML document in `raw`; `file` is its name if there are several.

    Raises InvalidDocument if the reading cannot continue: not UTF-8, too large, a syntax error, an alias bomb.
    It notes lesser faults (a duplicate key, a tag) in the cursor's `faults` and continues.
    """
    faults = Faults(file)
    text = _decode(raw, faults)
    return Cursor(node=compose(text, faults), path="", faults=faults)


def _decode(raw: bytes, faults: Faults) -> str:
    """Return the text of `raw` without a byte order mark. Raises InvalidDocument."""
    if len(raw) > MAX_BYTES:
        _add_size(faults, f"{len(raw)} bytes", MAX_BYTES)
        faults.stop()
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError as error:
        before = raw[: error.start].decode("utf-8")
        problem = f"byte {error.start} (0x{raw[error.start]:02x}) is not UTF-8"
        _add_at(before, faults, problem, "save it as UTF-8")
        faults.stop()
    text = text.removeprefix(_BOM)
    _refuse(_NOT_PRINTABLE, text, "is a control character", faults)
    _refuse(_OLD_LINE_BREAK, text, "is a line break in YAML 1.1 only", faults)
    if not text.strip():
        faults.add(Fault(kind="yaml", problem="the document is empty", remedy=EMPTY))
    if (kept := len(json.dumps(text, ensure_ascii=False).encode())) > MAX_KEPT:
        _add_size(faults, f"{kept} bytes as JSON", MAX_KEPT)
    faults.raise_if_any()
    return text


def _add_size(faults: Faults, size: str, most: int) -> None:
    faults.add(Fault(kind="size", problem=f"the document has {size}", remedy=f"the maximum is {most}"))


def _refuse(pattern: re.Pattern[str], text: str, problem: str, faults: Faults) -> None:
    found = pattern.search(text)
    if found is None:
        return
    code = ord(found[0])
    escape = f"\\x{code:02x}" if code <= 0xFF else f"\\u{code:04x}"  # noqa: PLR2004
    remedy = f'remove it, or write it as "{escape}" in double quotes'
    _add_at(text[: found.start()], faults, f"U+{code:04X} {problem}", remedy)


def _add_at(before: str, faults: Faults, problem: str, remedy: str) -> None:
    """Note a fault directly after `before`."""
    lines = _LINE_END.split(before)
    line, column = len(lines), len(lines[-1]) + 1
    faults.add(Fault(kind="yaml", problem=problem, remedy=remedy, line=line, column=column))
