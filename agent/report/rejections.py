"""What kind of fault a document was refused for, in one word for the metric."""

import re

from agent.model.faults import Fault

_SIZE = re.compile(r"the document has \d+ bytes")
_SCHEMA = re.compile(
    r"unknown key|wants |.*(is missing|has no value|is empty|is an empty list|is not |is neither |is too )"
)


def rejection_reason(faults: tuple[Fault, ...]) -> str:
    """Return size, yaml, schema or semantic: by the first fault, as the parser words it.

    yaml: it cannot be read at all; schema: a key or a value by itself; semantic: what does not go together.
    """
    if not faults or _SIZE.match(faults[0].problem):
        return "size" if faults else "semantic"
    if _SCHEMA.match(faults[0].problem) and faults[0].path:
        return "schema"
    return "semantic" if faults[0].path else "yaml"
