"""`deploy.placement`: on which hosts copies may run, and over what they are spread."""

import re

from agent.intent import forms
from agent.intent.forms import Section
from agent.intent.values import text
from agent.model.intent import Constraint, Where
from agent.yamldoc import Cursor
from agent.yamldoc.scalars import integer, sequence_of

MOST_ON_A_HOST = 1000

_SAID = re.compile(r"\s*(?P<of>[^\s=!]+)\s*(?P<operator>==|!=)\s*(?P<value>\S(?:.*\S)?)\s*")
_LABEL = re.compile(r"node\.(labels\.[A-Za-z0-9][A-Za-z0-9_./-]{0,126})")
_KNOWN = {"node.hostname": "hostname", "node.role": "role"}
_EXAMPLE = "write for example node.labels.zone == a, node.role != manager or node.hostname == node-1"
_REFUSED = {
    "node.id": "the swarm gives node ids, the document does not know them: write node.hostname",
    "node.ip": "write node.hostname",
    "node.platform.os": "give the hosts a label and write node.labels.<name>",
    "node.platform.arch": "give the hosts a label and write node.labels.<name>",
}
_ENGINE = "engine.labels."
_ROLES = ("manager", "worker")

_PREFERENCE = Section({"spread": {"type": "string", "pattern": "^node\\."}}, ("spread",))
WHERE = Section(
    {
        "constraints": forms.list_of({"type": "string", "pattern": "(==|!=)"}),
        "preferences": forms.list_of(_PREFERENCE.form),
        "max_replicas_per_node": forms.integer(0, MOST_ON_A_HOST),
    }
)


def read_where(cursor: Cursor) -> Where:
    """Read the section."""
    fields = WHERE.read(cursor)
    most = fields.read("max_replicas_per_node", integer(0, MOST_ON_A_HOST), 0)
    return Where(
        constraints=fields.read("constraints", sequence_of(constraint, distinct=True), ()),
        spread=fields.read("preferences", sequence_of(_preference, distinct=True), ()),
        most_per_host=most or None,  # 0 is no bound, as in Compose
    )


def constraint(cursor: Cursor) -> Constraint | None:
    """Read `node.role == manager` and its like."""
    written = text(cursor)
    if written is None:
        return None
    said = _SAID.fullmatch(written)
    if said is None:
        cursor.fault(f"{cursor.shown} is not a constraint", _EXAMPLE)
        return None
    of, value = _feature(cursor, said["of"]), said["value"]
    if of == "role" and value.casefold() not in _ROLES:
        near = cursor.guess(value, _ROLES)
        cursor.fault(f"'{value}' is not a role", near or "write manager or worker")
        return None
    if of is None:
        return None
    return Constraint(of=of, equal=said["operator"] == "==", value=value)


def _feature(cursor: Cursor, name: str) -> str | None:
    if label := _LABEL.fullmatch(name):
        return label[1]
    if name in _KNOWN:
        return _KNOWN[name]
    if name.startswith(_ENGINE):
        instead = f"write node.labels.{name.removeprefix(_ENGINE)}, and give the hosts that label in x-cluster.hosts"
    else:
        instead = _REFUSED.get(name) or cursor.guess(name, tuple(_KNOWN)) or _EXAMPLE
    cursor.fault(f"'{name}' is nothing that copies are placed by", instead)
    return None


def _preference(cursor: Cursor) -> str | None:
    return _PREFERENCE.read(cursor).require("spread", _spread, "write for example spread: node.labels.zone")


def _spread(cursor: Cursor) -> str | None:
    written = text(cursor)
    return None if written is None else _feature(cursor, written)
