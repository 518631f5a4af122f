"""Two agents that go by one host's name: a copied machine, or a copied agent.yaml. Only one of them may act.

It is the one whose machine has the address that the intent declares for the host. The other one does nothing, and says
nothing in the host's name, for as long as the first is there.
"""

from agent.diff.identity import at_home, namesake
from agent.model.observed import Observed
from agent.model.records import Presence
from agent.model.steps import Plan, PutPresence, Resign, untouched


def plan_namesake(observed: Observed) -> Plan:
    """Take the name from another agent, or leave it to him."""
    other = namesake(observed)
    if other is None:
        return _plan_presence(observed)
    said = f"another agent is there as {observed.me}, {_kind(observed, other)}, since {other.since}"
    if at_home(observed):
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


def _kind(observed: Observed, other: Presence) -> str:
    copied = other.machine_id and other.machine_id == observed.machine_id
    return "on a machine with the same machine id" if copied else "on another machine"
