"""The syntax of values as JSON Schema, for editors. The readers know what a value means."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from agent.yamldoc import Cursor, Fields

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
    written = {"type": "string", "pattern": r"^[0-9]+(\.[0-9]+)?$"}
    return {"anyOf": [{"type": "number", "minimum": low, "maximum": high}, written]}


def either(*forms: Form) -> Form:
    return {"anyOf": list(forms)}


def list_of(form: Form, at_least: int = 0) -> Form:
    return {"type": "array", "items": form, **({"minItems": at_least} if at_least else {})}


def one_or_more(form: Form) -> Form:
    return either(form, list_of(form))


def mapping_of(form: Form) -> Form:
    return {"type": "object", "additionalProperties": form}


@dataclass(frozen=True, slots=True)
class Section:
    """A mapping with known keys. Its reader and the JSON Schema for editors use it."""

    known: Mapping[str, Form]
    required: tuple[str, ...] = ()
    refused: Mapping[str, str] = field(default_factory=dict)
    """Reason by key of Compose that is not supported."""
    extensions: bool = True
    """True if keys that begin with `x-` are ignored."""

    def read(self, cursor: Cursor) -> Fields:
        """Return the fields at `cursor`, and note a fault for each other key."""
        return cursor.fields(self.known, self.refused, extensions=self.extensions)

    def within(self, fields: Fields, key: str) -> Fields:
        """Return the fields of the section at `key` of `fields`; none if the key is absent."""
        place = fields.at(key)
        return self.read(place) if place else Fields(fields.cursor, {}, frozenset())

    @property
    def form(self) -> Form:
        """The JSON Schema. It has refused keys with their reasons, so that an editor can show them."""
        never = {key: {"not": {}, "description": f"{key} {why}"} for key, why in self.refused.items()}
        return {
            "type": "object",
            "properties": {**self.known, **never},
            "additionalProperties": False,
            **({"patternProperties": {EXTENSION_KEYS: {}}} if self.extensions else {}),
            **({"required": list(self.required)} if self.required else {}),
        }


PAIRS: Form = either(mapping_of({"type": ["string", "number", "boolean", "null"]}), list_of(SCALAR))
TEXTS: Form = list_of(TEXT)
COMMAND: Form = either(SCALAR, list_of(SCALAR))
