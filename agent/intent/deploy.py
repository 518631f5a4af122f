"""The `deploy` section: how changes are rolled out, and limits in Swarm's words."""

from typing import Any, Literal, get_args

from agent.document import Cursor, Fields, Reader
from agent.document.scalars import choice, duration, integer, number
from agent.intent.limits import cpus, memory, pids, reservation
from agent.model.intent import FailureAction, Update, UpdateOrder

KEYS = ("mode", "update_config", "resources")
UPDATE_KEYS = ("parallelism", "order", "failure_action", "monitor", "delay", "max_failure_ratio")
LIMIT_KEYS = ("cpus", "memory", "pids")
RESERVATION_KEYS = ("memory",)

ServiceMode = Literal["global", "replicated"]
MODE: Reader[ServiceMode] = choice(get_args(ServiceMode))
ORDER: Reader[UpdateOrder] = choice(get_args(UpdateOrder))
ON_FAILURE: Reader[FailureAction] = choice(get_args(FailureAction))

_LATER = "is not offered yet"
_REFUSED = {
    "replicas": f"{_LATER}: use x-hosts, which says how many copies run on which host",
    "placement": f"{_LATER}: use x-hosts",
    "rollback_config": _LATER,
    "restart_policy": f"{_LATER}: use restart",
    "endpoint_mode": "is not offered: copies are containers, without a virtual address",
    "labels": "is not offered: they would be labels of a Swarm service; use the service's own labels",
}
_RESERVED = dict.fromkeys(("cpus", "devices", "generic_resources", "pids"), f"{_LATER} as a reservation")
_LIMITED = dict.fromkeys(("devices",), _LATER)


def read_deploy(cursor: Cursor) -> tuple[Update, bool, dict[str, Any]]:
    """Read the section: how to update, whether every host runs a copy, and fields of ContainerSpec."""
    fields = cursor.fields(KEYS, _REFUSED, extensions=True)
    update = fields.read("update_config", update_config, Update())
    everywhere = fields.read("mode", MODE) == "global"
    place = fields.at("resources")
    return update, everywhere, {} if place is None else _resources(place)


def update_config(cursor: Cursor) -> Update | None:
    """Read how a change is rolled out; what is not said is as in Swarm."""
    fields = cursor.fields(UPDATE_KEYS, extensions=True)
    unsaid = Update()
    return Update(
        parallelism=fields.read("parallelism", integer(0, 10_000), unsaid.parallelism),
        order=fields.read("order", ORDER, unsaid.order),
        failure_action=fields.read("failure_action", ON_FAILURE, unsaid.failure_action),
        monitor_s=fields.read("monitor", duration(), unsaid.monitor_s),
        delay_s=fields.read("delay", duration(), unsaid.delay_s),
        max_failure_ratio=fields.read("max_failure_ratio", number(0.0, 1.0), unsaid.max_failure_ratio),
    )


def _resources(cursor: Cursor) -> dict[str, Any]:
    fields = cursor.fields(("limits", "reservations"), extensions=True)
    limits, reservations = _inner(fields, "limits", LIMIT_KEYS, _LIMITED), None
    reservations = _inner(fields, "reservations", RESERVATION_KEYS, _RESERVED)
    said: dict[str, Any] = {}
    if limits is not None:
        said["nano_cpus"] = limits.read("cpus", cpus)
        said["memory_limit_bytes"] = limits.read("memory", memory)
        said["pids_limit"] = limits.read("pids", pids)
    if reservations is not None:
        said["memory_reservation_bytes"] = reservations.read("memory", reservation)
    return {attribute: value for attribute, value in said.items() if value is not None}


def _inner(fields: Fields, key: str, known: tuple[str, ...], refused: dict[str, str]) -> Fields | None:
    place = fields.at(key)
    return None if place is None else place.fields(known, refused, extensions=True)
