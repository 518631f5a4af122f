"""Reads plain values as Compose does: its YAML library makes numbers and times of them, and writes those its own way.

`1.10` of an environment is 1.1 in Compose's containers, `010` is 8, and a date gets a time and a zone.
"""

import re

_WHOLE = re.compile(r"-?(?:0|[1-9][0-9]{0,17})")
"""A number that stays as it is written."""
_DECIMAL = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?")
_OF_ANOTHER_BASE = re.compile(r"[-+]?0(?:[0-9]+|o[0-7]+|b[01]+|x[0-9a-fA-F]+)", re.IGNORECASE)
_TIME = re.compile(r"[0-9]{4}-[0-9]{1,2}-[0-9]{1,2}(?:[Tt ].*)?")
_SMALLEST, _LARGEST = 1e-4, 1e6
"""Compose writes other numbers with an exponent."""
_AS_TEXT = re.compile(r"^x-|\.(?:environment|labels|annotations|sysctls|driver_opts|options|group_add)\b")
PROBLEM = "is a number or a time for Compose, which writes it otherwise"
REMEDY = "put it in quotes for this text, or write the number in plain decimal digits"


def is_text_at(path: str) -> bool:
    """Return True for a place whose value is text: there the spelling of a number matters."""
    return _AS_TEXT.search(path) is not None


def respelled(text: str) -> str | None:
    """Return the text that Compose makes of a plain value; most stay.

    None: it makes a number or time of the value that few people mean, such as 8 of 010.
    """
    if text in ("True", "TRUE", "False", "FALSE"):
        return text.lower()
    if not text[:1].isdigit() and text[:1] not in ("+", "-", "."):
        return text
    digits = text.replace("_", "")
    if _TIME.fullmatch(text) or (_OF_ANOTHER_BASE.fullmatch(digits) and not _WHOLE.fullmatch(text)):
        return None
    if _WHOLE.fullmatch(text) or not _DECIMAL.fullmatch(digits):
        return text
    number = float(digits)
    if digits != text or not (number == 0 or _SMALLEST <= abs(number) < _LARGEST):
        return None
    return repr(number).removesuffix(".0")
