"""Strict reading of YAML 1.2 and of JSON, which is YAML. It reports every fault with its line and column.

`open_document` turns bytes into a `Cursor` on the root. Readers (`agent.yamldoc.readers`) turn cursors into values and
note faults instead of raising. `cursor.faults.raise_if_any()` ends the reading. The package knows no schema.
"""

from agent.yamldoc.compose import compose
from agent.yamldoc.decode import decode
from agent.yamldoc.faultlist import Faults
from agent.yamldoc.readers import Cursor, Fields, Reader

__all__ = ["Cursor", "Faults", "Fields", "Reader", "open_document"]


def open_document(raw: bytes) -> Cursor:
    """Return a cursor on the root of the one YAML document in `raw`.

    Raises InvalidDocument if the reading cannot continue: not UTF-8, too large, a syntax error, an alias bomb.
    It notes lesser faults (a duplicate key, a tag) in the cursor's `faults` and continues.
    """
    faults = Faults()
    text = decode(raw, faults)
    return Cursor(node=compose(text, faults), path="", faults=faults)
