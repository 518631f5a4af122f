"""The words of agents before format 2, for an upgrade beside running replicas: records, a label and a document key."""

from typing import Any

FORMAT = 1
SLOT_LABEL = "io.swarmkeeper.copy"
"""The label of a container with its slot."""
RESERVE_ADDRESSES = "pin_addresses"
"""The key of `x-cluster.policy`."""
MEMBERSHIP_ORDERS = "rulings/"
"""The beginning of the keys of membership orders. Nothing but agents of format 1 reads them."""

_FIELDS = {
    "era": "epoch", "copies": "replicas", "number": "slot", "anew": "recreate", "in_force": "accepted_revision",
    "engine_fault": "engine_error", "pinned": "reserved",
}  # fmt: skip
_STATES = {"offered": "granted", "taken": "acquired", "done": "released"}
"""States of the disruption slot."""


def wrote(value: bytes) -> bool:
    """Return True for a readable verdict of format 1."""
    return b',"v":1,' in value  # inside a text, a backslash precedes each quote


def converted(body: dict[str, Any]) -> dict[str, Any]:
    """Return the content of a record of format 1 in the words of format 2.

    Malformed content stays as it is: the decoder refuses it.
    """
    body = _renamed(body)
    if isinstance(state := body.get("state"), str):
        body["state"] = _STATES.get(state, state)
    if isinstance(steps := body.get("steps"), list):
        body["steps"] = [{"resource": "", "verb": "", "text": each} for each in steps]
        body["refreshed"] = True
    return body


def _renamed(value: Any) -> Any:
    if isinstance(value, list):
        return [_renamed(each) for each in value]
    if isinstance(value, dict):
        return {_FIELDS.get(key, key): _renamed(each) for key, each in value.items()}
    return value
