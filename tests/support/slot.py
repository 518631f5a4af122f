"""The disruption slot as etcd has it: the leader's grant, and what its host has made of it."""

from collections.abc import Callable
from dataclasses import replace

from agent.errors import Invalid
from agent.model.keys import Keys
from agent.model.records import Disruption, decode
from agent.model.store import KeyValue


def slot_in(keys: Keys, read: Callable[[str], KeyValue | None]) -> Disruption | None:
    """Return the slot, without the revision of its grant; None: there is none, or it cannot be read."""
    try:
        if (grant := read(keys.disruption)) is None:
            return None
        found = decode(Disruption, grant.value)
        own = read(keys.slot(found.host))
        taken = decode(Disruption, own.value) if own else found
    except Invalid:
        return None
    return replace(taken if taken.grant == grant.mod_revision else found, grant=0)
