"""The healthcheck of a service."""

from agent.intent import forms
from agent.intent.values import text, texts
from agent.model.spec import Healthcheck
from agent.yamldoc import Cursor
from agent.yamldoc.scalars import boolean, duration, integer

KEYS = ("test", "interval", "timeout", "start_period", "retries", "disable")
_REFUSED = {
    "start_interval": "is not offered: engines before 25 do not know it; interval and start_period are there"
}
_SHORTEST_S = 0.001
"""Docker's own: moby, daemon/container.go (minimumDuration)."""
FORM = forms.section(
    forms.of(
        KEYS,
        {
            "test": forms.WORDS,
            **dict.fromkeys(("interval", "timeout", "start_period"), forms.DURATION),
            "retries": forms.integer(1, 1000),
            "disable": forms.BOOLEAN,
        },
    ),
    refused=_REFUSED,
)
_positive = duration(_SHORTEST_S)


def healthcheck(cursor: Cursor) -> Healthcheck | None:
    """Read how a copy's health is found out; times in seconds."""
    fields = cursor.fields(KEYS, _REFUSED, extensions=True)
    test = fields.read("test", _test)
    if fields.read("disable", boolean, False) or test == ("NONE",):
        return Healthcheck(disable=True)
    return Healthcheck(
        test=test,
        interval_s=fields.read("interval", _positive),
        timeout_s=fields.read("timeout", _positive),
        start_period_s=fields.read("start_period", duration()),
        retries=fields.read("retries", integer(1, 1000)),
    )


def _test(cursor: Cursor) -> tuple[str, ...] | None:
    """Read the command in Docker's form; plain text goes to the container's shell. It may hold passwords."""
    cursor = cursor.hidden()
    if not cursor.is_sequence:
        line = text(cursor)
        return None if line is None else ("CMD-SHELL", line)
    words = texts(cursor)
    if not words or words[0] not in ("NONE", "CMD", "CMD-SHELL"):
        cursor.fault(
            "does not begin with NONE, CMD or CMD-SHELL", "write for example [CMD, curl, -fs, localhost]"
        )
        return None
    length = {"NONE": (1, 1), "CMD": (2, len(words)), "CMD-SHELL": (2, 2)}[words[0]]
    if not length[0] <= len(words) <= length[1]:
        cursor.fault(f"{words[0]} wants {'nothing' if words[0] == 'NONE' else 'a command'} behind it")
        return None
    return words
