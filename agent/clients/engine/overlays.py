"""Who is on an overlay, by dockerd's answers. Pure: JSON in, names out."""

from collections.abc import Iterable, Mapping
from typing import Any

from agent.model.spec import Pairs

_OVER = ("complete", "shutdown", "failed", "rejected", "remove", "orphaned")
"""States of a task that holds nothing any more."""


def peers(raw: Mapping[str, Any]) -> tuple[str, ...]:
    """`Peers` of GET /networks/{id}: addresses of the hosts that are on the overlay, as this host has heard."""
    return tuple(sorted({each["IP"] for each in raw.get("Peers") or () if each.get("IP")}))


def overlay_users(
    network_id: str, tasks: Iterable[Mapping[str, Any]], services: Iterable[Mapping[str, Any]]
) -> Pairs:
    """(what, node id) of all that keeps a swarm from removing a network: containers by id, services by name.

    `tasks` of GET /tasks, those of attached containers among them; `services` of GET /services have no node.
    """
    held = [_holder(each) for each in tasks if _is_on(each, network_id) and _may_run(each)]
    held += [(f"service {_name(each)}", "") for each in services if network_id in _targets(each)]
    return tuple(sorted(set(held)))


def _is_on(task: Mapping[str, Any], network_id: str) -> bool:
    attached = task.get("NetworksAttachments") or ()
    return network_id in {(each.get("Network") or {}).get("ID") for each in attached}


def _may_run(task: Mapping[str, Any]) -> bool:
    state = (task.get("Status") or {}).get("State")
    return task.get("DesiredState") not in _OVER and state not in _OVER


def _holder(task: Mapping[str, Any]) -> tuple[str, str]:
    attachment = (task.get("Spec") or {}).get("NetworkAttachmentSpec") or {}
    ran = (task.get("Status") or {}).get("ContainerStatus") or {}
    return attachment.get("ContainerID") or ran.get("ContainerID") or task["ID"], task.get("NodeID") or ""


def _name(service: Mapping[str, Any]) -> str:
    return str((service.get("Spec") or {}).get("Name") or service["ID"])


def _targets(service: Mapping[str, Any]) -> set[str]:
    spec = service.get("Spec") or {}
    listed = [*((spec.get("TaskTemplate") or {}).get("Networks") or ()), *(spec.get("Networks") or ())]
    return {each.get("Target", "") for each in listed}
