"""A document as an editor sees it, with the JSON Schema."""

from typing import Any

import jsonschema

from agent.intent import json_schema
from agent.yamldoc import open_document
from agent.yamldoc.compose import Mapping, Node, Scalar, Sequence, whole_number

SCHEMA = jsonschema.Draft7Validator(json_schema())


def complaints(text: str) -> list[str]:
    """What an editor would underline."""
    plain = _plain(open_document(text.encode()).node)
    return [f"{'.'.join(map(str, each.path))}: {each.message}" for each in SCHEMA.iter_errors(plain)]


def _plain(node: Node) -> Any:
    """What the core schema of YAML 1.2 makes of it."""
    match node:
        case Mapping():
            return {key: _plain(value) for key, (_, value) in node.entries.items()}
        case Sequence():
            return [_plain(each) for each in node.items]
        case Scalar() if node.is_null or node.is_text:
            return None if node.is_null else node.text
        case Scalar(boolean=None) if (number := whole_number(node.text)) is not None:
            return number
        case Scalar(boolean=None):
            return float(node.text.lower().replace(".inf", "inf").replace(".nan", "nan"))
        case Scalar():
            return node.boolean
