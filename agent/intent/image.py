"""Image references."""

import re

from agent.intent.values import text
from agent.model.intent import Pull
from agent.yamldoc import Cursor

# The grammar of https://github.com/distribution/reference (reference.go), IPv4 and names only.
_PART = r"[a-zA-Z0-9](?:[a-zA-Z0-9-]*[a-zA-Z0-9])?"
_DOMAIN = rf"(?:{_PART}(?:\.{_PART})*(?::[0-9]{{1,5}})?/)?"
_WORD = r"[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*"
_NAME = rf"{_DOMAIN}{_WORD}(?:/{_WORD})*"
_TAG = r"(?::[A-Za-z0-9_][A-Za-z0-9_.-]{0,127})?"
_DIGEST = r"(?:@sha256:[a-f0-9]{64})?"
_REFERENCE = re.compile(_NAME + _TAG + _DIGEST, re.ASCII)
_LONGEST = 511

PULLS: dict[str, Pull] = {
    "always": "always",
    "missing": "missing",
    "if_not_present": "missing",
    "never": "never",
    "daily": "daily",
    "weekly": "weekly",
}


def image(cursor: Cursor) -> str | None:
    """Read an image reference: `[registry[:port]/]name[:tag][@sha256:digest]`."""
    value = text(cursor)
    if value is None or (len(value) <= _LONGEST and _REFERENCE.fullmatch(value)):
        return value
    remedy = "write for example 10.0.0.1:5000/team/name:1.0.0"
    lower = value.lower()
    if len(value) <= _LONGEST and _REFERENCE.fullmatch(lower):
        remedy = f"names are lower case: did you mean '{lower}'?"
    cursor.fault(f"{cursor.shown} is not an image reference", remedy)
    return None


def pull_policy(cursor: Cursor) -> Pull | None:
    """Read when an image is fetched."""
    written = text(cursor)
    if written is None or written in PULLS:
        return None if written is None else PULLS[written]
    if written.startswith("every_"):
        cursor.fault(f"{cursor.shown} is not offered", "write daily or weekly")
    elif written == "build":
        cursor.fault("'build' is not offered: push an image to a registry and name it")
    else:
        cursor.fault(f"{cursor.shown} is not one of: {', '.join(PULLS)}", cursor.guess(written, PULLS))
    return None
