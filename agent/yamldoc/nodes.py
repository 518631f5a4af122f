"""What a document is made of: scalars, sequences and mappings, each with the place where it was written.

A scalar keeps its source text; what it means is asked for by whoever reads it, by the core schema of YAML 1.2
(https://yaml.org/spec/1.2.2/#103-core-schema). So `22:22`, `010`, `yes` and `1.10` are what was written.
"""

import re
from dataclasses import dataclass, field

_NULL = frozenset(("", "~", "null", "Null", "NULL"))
_TRUE = frozenset(("true", "True", "TRUE"))
_FALSE = frozenset(("false", "False", "FALSE"))
_INTEGER = re.compile(r"[-+]?[0-9]{1,30}|0o[0-7]{1,30}|0x[0-9a-fA-F]{1,30}")
_FLOAT = re.compile(
    r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Scalar:
    """One value. `plain` is False when it was quoted or a block, and then it is text whatever it looks like."""

    text: str
    plain: bool
    line: int
    column: int

    @property
    def is_null(self) -> bool:
        """Whether it says "no value"."""
        return self.plain and self.text in _NULL

    @property
    def is_text(self) -> bool:
        """Whether YAML 1.2 reads it as a string."""
        if not self.plain:
            return True
        return not (
            self.is_null or self.boolean is not None or _FLOAT.fullmatch(self.text) or _integer(self.text)
        )

    @property
    def boolean(self) -> bool | None:
        """True, False, or None for anything else. Quoted counts too: Compose takes "true" for true."""
        return True if self.text in _TRUE else False if self.text in _FALSE else None

    @property
    def integer(self) -> int | None:
        """The whole number it says, None for anything else. Quoted counts too: Compose takes "80" for 80."""
        return _integer(self.text)


@dataclass(frozen=True, slots=True, kw_only=True)
class Sequence:
    """A list of nodes. An aliased node is the same object in each place."""

    line: int
    column: int
    items: list["Node"] = field(default_factory=list)


@dataclass(frozen=True, slots=True, kw_only=True)
class Mapping:
    """Nodes by key, in the order written; behind each key where the key stands. Merge keys are resolved already."""

    line: int
    column: int
    entries: dict[str, tuple[Scalar, "Node"]] = field(default_factory=dict)


Node = Scalar | Sequence | Mapping


def _integer(text: str) -> int | None:
    if not _INTEGER.fullmatch(text):
        return None
    return int(text, 8 if text.startswith("0o") else 16 if text.startswith("0x") else 10)
