"""The syntax of values as JSON Schema, for editors, and sections whose keys have it beside their readers."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

from agent.yamldoc import Cursor, Fields, Reader, readers

T = TypeVar("T")
Form = Mapping[str, Any]

NOTHING: Form = {"type": "null"}
SCALAR: Form = {"type": ["string", "number", "boolean"]}
"""Text: an editor sees an unquoted 80 or 1.10 as a number; the agent reads it as it is written."""
TEXT: Form = {"anyOf": [{"type": "string", "minLength": 1}, {"type": ["number", "boolean"]}]}
BOOLEAN: Form = {"enum": [True, False, "true", "false"]}
SIZE: Form = {
    "anyOf": [
        {"type": "number", "minimum": 0},
        {"type": "string", "pattern": r"^[0-9.]+ ?[kmgtpKMGTP]?[iI]?[bB]?$"},
    ]
}
DURATION: Form = {"type": "string", "pattern": r"^([0-9.]+(h|ms|us|m|s)){1,5}$"}
MICROSECONDS: Form = {
    "anyOf": [{"type": "integer", "minimum": 1000}, DURATION, {"type": "string", "pattern": "^[0-9]+$"}]
}
ABSOLUTE: Form = {"type": "string", "pattern": "^/"}
ADDRESS: Form = {"type": "string", "pattern": r"^[0-9]{1,3}(\.[0-9]{1,3}){3}$"}
NETWORK: Form = {"type": "string", "pattern": r"^[0-9]{1,3}(\.[0-9]{1,3}){3}/[0-9]{1,2}$"}
NAME: Form = {"type": ["string", "number"], "pattern": r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,62}$"}
NAME_KEYS = r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,62}$"
EXTENSION_KEYS = "^x-"


def choice(options: Iterable[str]) -> Form:
    return {"enum": list(options)}


def integer(low: int, high: int) -> Form:
    """Return the form of a whole number. Only its reader checks the bounds of one in quotes."""
    return {
        "anyOf": [
            {"type": "integer", "minimum": low, "maximum": high},
            {"type": "string", "pattern": "^-?[0-9]+$"},
        ]
    }


def number(low: float, high: float) -> Form:
    """Return the form of a number. Only its reader checks the bounds of one in quotes."""
    written = {"type": "string", "pattern": r"^[-+]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][-+]?[0-9]{1,2})?$"}
    return {"anyOf": [{"type": "number", "minimum": low, "maximum": high}, written]}


def either(*forms: Form) -> Form:
    return {"anyOf": list(forms)}


def list_of(form: Form, at_least: int = 0) -> Form:
    return {"type": "array", "items": form, **({"minItems": at_least} if at_least else {})}


def one_or_more(form: Form) -> Form:
    return either(form, list_of(form))


def mapping_of(form: Form) -> Form:
    return {"type": "object", "additionalProperties": form}


def named(form: Form) -> Form:
    """Return the form of a top-level section, which may be empty."""
    kinds, names = ["object", "null"], {"pattern": NAME_KEYS}
    return {"type": kinds, "propertyNames": names, "additionalProperties": form}


PAIRS: Form = either(mapping_of({"type": ["string", "number", "boolean", "null"]}), list_of(SCALAR))
TEXTS: Form = list_of(TEXT)
COMMAND: Form = either(SCALAR, list_of(SCALAR))


# ---- Keys with their readers: each key is described once, for its reader and for editors


@dataclass(frozen=True, slots=True)
class Field:
    """A key of a section: the reader of its value, and the value's JSON Schema."""

    read: Reader[Any] | None
    """None: the reader depends on other keys, and the section leaves the value out."""
    form: Form
    attribute: str | None = ""
    """Field of the record that gets the value; empty: it has the key's name; None: the value is fields by name."""

    @classmethod
    def respelled(cls, form: Form, problem: str, remedy: str = "remove it") -> "Field":
        """Return a key of another spelling, with the fault of what agent.intent.vocabulary cannot respell."""
        return cls(lambda cursor: cursor.fault(problem, remedy), form, None)

    @classmethod
    def choice(cls, options: tuple[str, ...], attribute: str = "") -> "Field":
        return cls(readers.choice(options), choice(options), attribute)

    @classmethod
    def integer(cls, low: int, high: int, attribute: str = "") -> "Field":
        return cls(readers.integer(low, high), integer(low, high), attribute)


@dataclass(frozen=True, slots=True)
class Section:
    """A mapping with known keys."""

    known: Mapping[str, Field]
    required: Mapping[str, str] = field(default_factory=dict)
    """The remedy by key that must not be absent."""
    refused: Mapping[str, str] = field(default_factory=dict)
    """Reason, semicolon and remedy by key of Compose that is not supported."""
    extensions: bool = True
    """True if keys that begin with `x-` are ignored."""

    def read(self, cursor: Cursor) -> tuple[Fields, dict[str, Any]]:
        """Return the fields at `cursor`, and the values without a fault by field of their record.

        Note a fault for each other key, and for each required one that is absent.
        """
        fields = cursor.fields(self.known, self.refused, extensions=self.extensions)
        for key, remedy in self.required.items():
            if key not in fields:
                fields.missing(key, remedy)
        found: dict[str, Any] = {}
        for key, each in self.known.items():
            value = fields.read(key, each.read) if each.read else None
            if value is not None:
                found |= {each.attribute or key: value} if each.attribute is not None else value
        return fields, found

    def into(self, make: Callable[..., T]) -> Reader[T]:
        """Return a reader of what `make` returns for the values; of nothing while a required one is missing."""
        fields = ((key, self.known[key].attribute) for key in self.required)
        needed = {attribute or key for key, attribute in fields if attribute is not None}

        def read(cursor: Cursor) -> T | None:
            _, found = self.read(cursor)
            return make(**found) if needed <= found.keys() else None

        return read

    @property
    def form(self) -> Form:
        """The JSON Schema. It has refused keys with their reasons, so that an editor can show them."""
        never = {key: {"not": {}, "description": f"{key} {why}"} for key, why in self.refused.items()}
        return {
            "type": "object",
            "properties": {**{key: each.form for key, each in self.known.items()}, **never},
            "additionalProperties": False,
            **({"patternProperties": {EXTENSION_KEYS: {}}} if self.extensions else {}),
            **({"required": list(self.required)} if self.required else {}),
        }
