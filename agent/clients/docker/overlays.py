"""Who is on an overlay, by dockerd's answers. Pure: JSON in, names out."""

from collections.abc import Iterable, Mapping
from typing import Any

from agent.model.observed import GivenOut
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


def overlay_addresses(
    network_id: str, tasks: Iterable[Mapping[str, Any]], services: Iterable[Mapping[str, Any]]
) -> GivenOut:
    """(address, what, node id) of all addresses on a network that the swarm has given out; `what` as `overlay_users`.

    One is free again when its task is over. What each host has on the overlay for itself no manager tells.
    """
    held = {
        (_bare(address), *_holder(task))
        for task in tasks
        if not _is_over(task)
        for each in task.get("NetworksAttachments") or ()
        if (each.get("Network") or {}).get("ID") == network_id
        for address in each.get("Addresses") or ()
    }
    for each in services:
        addresses = (each.get("Endpoint") or {}).get("VirtualIPs") or ()
        held |= {
            (_bare(one.get("Addr") or ""), f"service {_name(each)}", "")
            for one in addresses
            if one.get("NetworkID") == network_id
        }
    return tuple(sorted(held))


def _bare(address: str) -> str:
    return address.partition("/")[0]


def _is_over(task: Mapping[str, Any]) -> bool:
    return (task.get("Status") or {}).get("State") in _OVER


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
