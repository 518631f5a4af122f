"""Which of two agents that go by one host's name is the host that the intent declares."""

from ipaddress import IPv4Address

from agent.model.observed import HostState, Observed
from agent.model.records import Presence


def namesake(observed: Observed) -> Presence | None:
    """Another agent that is there under this host's name, from another boot; None when there is none."""
    presence = observed.cluster.presence if observed.cluster else None
    if observed.stale or presence is None or presence.instance == observed.instance:
        return None
    return presence if presence.boot_id != observed.boot_id else None


def must_not_act(observed: Observed) -> bool:
    """Whether another agent is there under this host's name, and this one cannot show that it is the right one."""
    return namesake(observed) is not None and not at_home(observed)


def declared_address(observed: Observed) -> IPv4Address | None:
    """The address this host shall have in the swarm; None when nobody says one."""
    intent = observed.cluster.accepted if observed.cluster else None
    declared = intent.host(observed.me) if intent else None
    if observed.advertise:
        return IPv4Address(observed.advertise)
    return declared.address if declared else None


def has_address(host: HostState, wanted: IPv4Address | None) -> bool:
    """Whether a device of the host has that address."""
    return any(address.ip == wanted for address, _ in host.addresses)


def at_home(observed: Observed) -> bool:
    return observed.host is not None and has_address(observed.host, declared_address(observed))
