"""Which service waits for which."""

from typing import Literal, get_args

from agent.intent import forms
from agent.intent.values import name
from agent.yamldoc import Cursor, Reader
from agent.yamldoc.scalars import choice, sequence_of

KEYS = ("condition",)
STARTED = "service_started"
Condition = Literal["service_started", "service_healthy", "service_completed_successfully"]
CONDITION: Reader[Condition] = choice(get_args(Condition))
_REFUSED = {
    "restart": "is not offered: a copy is started again when it ends itself",
    "required": "is not offered: what is named is declared, or the document is refused",
}

FORM = forms.either(
    forms.list_of(forms.NAME),
    forms.mapping_of(forms.section({"condition": forms.choice(get_args(Condition))}, KEYS, _REFUSED)),
)

Dependencies = tuple[tuple[str, str], ...]


def depends_on(cursor: Cursor) -> Dependencies | None:
    """Read a list of services, or a mapping of a service to its condition; sorted by service."""
    if cursor.is_sequence:
        names = sequence_of(name, distinct=True)(cursor) or ()
        return tuple((each, STARTED) for each in sorted(names))
    found = []
    for key, place in cursor.entries():
        fields = place.fields(KEYS, _REFUSED, extensions=True)
        condition = fields.require("condition", CONDITION, f"write {STARTED}, or use a list") or STARTED
        found.append((name(key) or "", condition))
    return tuple(sorted(found))
