"""Two agents that go by one host's name: a copied machine, or a copied agent.yaml. Only one of them may act.

It is the one whose machine has the address that the intent declares for the host. The other one does nothing, and says
nothing in the host's name, for as long as the first is there.
"""

from ipaddress import IPv4Address

from agent.model.observed import HostState, Observed
from agent.model.records import Presence
from agent.model.steps import Plan, PutPresence, Resign, untouched


def namesake(observed: Observed) -> Presence | None:
    """Another agent that is there under this host's name, from another boot; None when there is none."""
    presence = observed.cluster.presence if observed.cluster else None
    if observed.stale or presence is None or presence.instance == observed.instance:
        return None
    return presence if presence.boot_id != observed.boot_id else None


def must_not_act(observed: Observed) -> bool:
    """Whether another agent is there under this host's name, and this one cannot show that it is the right one."""
    return namesake(observed) is not None and not _at_home(observed)


def plan_namesake(observed: Observed) -> Plan:
    """Take the name from another agent, or leave it to him."""
    other = namesake(observed)
    if other is None:
        return _plan_presence(observed)
    said = f"another agent is there as {observed.me}, {_kind(observed, other)}, since {other.since}"
    if _at_home(observed):
        said = f"{said}; the address that the intent declares is here"
        return Plan((PutPresence(insists=True, reason=said),))
    reason = f"{said}: nothing is done here before it is gone"
    held = untouched(f"host/{observed.me}", "foreign", reason)
    return Plan((Resign(reason=said),)) + held if observed.fence else held


def _plan_presence(observed: Observed) -> Plan:
    """Without it everybody would take this agent for one that is away: its host would get no turn, and lose copies."""
    cluster = observed.cluster
    if cluster is None or observed.stale or not cluster.presence_lost:
        return Plan()
    return Plan((PutPresence(reason="somebody has deleted it"),))


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


def _at_home(observed: Observed) -> bool:
    return observed.host is not None and has_address(observed.host, declared_address(observed))


def _kind(observed: Observed, other: Presence) -> str:
    copied = other.machine_id and other.machine_id == observed.machine_id
    return "on a machine with the same machine id" if copied else "on another machine"
