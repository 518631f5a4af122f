"""Keys of a service that the engine does not take together, or not alone."""

from collections.abc import Iterable

from agent.model.spec import ContainerSpec
from agent.yamldoc import Fields


def check_together(fields: Fields, spec: ContainerSpec) -> None:
    """Note a fault for what each by itself is good, and not beside the rest of the service."""
    _check_network_mode(fields, spec)
    _check_memory(fields, spec)
    if spec.nano_cpus is not None:
        _leaves_no_room(fields, "a number of cpus", ("cpu_period", "cpu_quota"))
    if spec.uts is not None:
        _leaves_no_room(fields, "uts: host", ("hostname", "domainname"))


def _check_network_mode(fields: Fields, spec: ContainerSpec) -> None:
    place = fields.at("network_mode")
    if place is None or spec.network_mode is None:
        return
    crowded = [
        ("networks", spec.networks),
        *([] if spec.network_mode == "bridge" else [("ports", spec.ports)]),
    ]
    for key, said in crowded:
        if said:
            place.fault(f"network_mode: {spec.network_mode} leaves no room for '{key}'", "keep one of them")


def _check_memory(fields: Fields, spec: ContainerSpec) -> None:
    limit, swap = spec.memory_limit_bytes, spec.memory_swap_bytes
    if limit and (spec.memory_reservation_bytes or 0) > limit:
        fields.cursor.hidden().fault("reserves more memory than its limit", "lower the reservation")
    place = fields.at("memswap_limit")
    if place is None or swap is None:
        return
    if not limit:
        place.fault(
            "is a limit on memory and swap together, and there is none on memory", "give a mem_limit too"
        )
    elif 0 <= swap < limit:
        place.fault("is less than the memory alone", "it counts memory and swap together: make it larger")


def _leaves_no_room(fields: Fields, what: str, others: Iterable[str]) -> None:
    for other in others:
        if (place := fields.at(other)) is not None:
            place.fault(f"{what} leaves no room for '{other}'", "keep one of them")
