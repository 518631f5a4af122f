"""GPUs and other devices that a driver of the engine gives out: `gpus`, and Swarm's words for the same."""

from agent.intent import forms
from agent.intent.values import distinct_texts, pairs, text
from agent.model.spec import DeviceRequest
from agent.yamldoc import Cursor
from agent.yamldoc.nodes import Scalar
from agent.yamldoc.scalars import integer

KEYS = ("driver", "count", "device_ids", "capabilities", "options")
ALL = "all"
REQUEST = forms.section(
    forms.of(
        KEYS,
        {
            "driver": forms.TEXT,
            "count": forms.either(forms.choice([ALL]), forms.integer(1, 1000)),
            "device_ids": forms.TEXTS,
            "capabilities": forms.TEXTS,
            "options": forms.PAIRS,
        },
    )
)
FORM = forms.either(forms.choice([ALL]), forms.list_of(REQUEST))
_ALL_OF_THEM = -1
_count = integer(1, 1000)


def gpus(cursor: Cursor) -> tuple[DeviceRequest, ...] | None:
    """Read `all`, or a list of requests for GPUs."""
    if isinstance(cursor.node, Scalar) and cursor.node.text == ALL:
        return (DeviceRequest(),)
    return tuple(_request(place, "gpu") for place in cursor.items())


def reserved_devices(cursor: Cursor) -> tuple[DeviceRequest, ...] | None:
    """Read a list of requests, each of which says what capabilities its devices have."""
    return tuple(_request(place, None) for place in cursor.items())


def _request(place: Cursor, capability: str | None) -> DeviceRequest:
    fields = place.fields(KEYS, extensions=True)
    said = fields.read("capabilities", distinct_texts, ())
    if capability is None and "capabilities" not in fields:
        fields.missing("capabilities", "say what they can do: [gpu]")
    named = fields.read("device_ids", distinct_texts, ())
    count = fields.read("count", _how_many)
    both = fields.at("count")
    if named and both is not None:
        both.fault("'count' and 'device_ids' say different things", "keep one of them")
    return DeviceRequest(
        driver=fields.read("driver", text, ""),
        count=0 if named else count or _ALL_OF_THEM,
        device_ids=named,
        capabilities=tuple(sorted({*said, *([capability] if capability else [])})),
        options=fields.read("options", pairs(), ()),
    )


def _how_many(place: Cursor) -> int | None:
    if isinstance(place.node, Scalar) and place.node.text == ALL:
        return _ALL_OF_THEM
    return _count(place)
