"""Strict reading of YAML 1.2 (and of JSON, which is YAML): every fault at once, each with its place.

`open_document` turns bytes into a `Cursor` on the root; readers (`agent.yamldoc.readers`) turn cursors into values and
note faults instead of raising, and `cursor.faults.raise_if_any()` ends the reading. Nothing here knows what the
document is about.
"""

from agent.yamldoc.compose import compose
from agent.yamldoc.decode import decode
from agent.yamldoc.faultlist import Faults
from agent.yamldoc.readers import Cursor, Fields, Reader

__all__ = ["Cursor", "Faults", "Fields", "Reader", "open_document"]


def open_document(raw: bytes) -> Cursor:
    """Return a cursor on the root of the one YAML document in `raw`.

    Raises InvalidDocument when there is nothing to read on: not UTF-8, too large, a syntax error, an alias bomb.
    Lesser faults (a duplicate key, a tag) are noted in the cursor's `faults`, and the reading goes on.
    """
    faults = Faults()
    text = decode(raw, faults)
    return Cursor(node=compose(text, faults), path="", faults=faults)
