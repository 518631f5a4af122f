"""The way out of a swarm, on the leader's word: copies on overlays stopped first, then the leave, never by force.

A container that runs on an overlay when its host leaves loses that network for good, one that is stopped keeps it
(docs/engine-quirks.md). So ours are stopped before, and where others run on an overlay nothing is done.
"""

from collections.abc import Iterable

from agent.diff.identity import declared_address, has_address
from agent.diff.replicas import STOPPABLE
from agent.model.intent import Intent
from agent.model.observed import Attached, ContainerState, HostState, Observed
from agent.model.records import Ruling
from agent.model.steps import LeaveSwarm, Plan, RemoveContainer, Step, untouched
from agent.planner.host.rejoin import held_outside
from agent.planner.host.stopping import grace_s, stop

_JOBS = ("no", "on-failure")


def ruling_for(observed: Observed) -> Ruling | None:
    """The leader's word on this host's membership, if it speaks of what the engine says now; a manager never leaves."""
    cluster, host = observed.cluster, observed.host
    ruling = cluster.ruling if cluster and not observed.stale else None
    if ruling is None or host is None or (host.swarm.is_manager and ruling.what == "leave"):
        return None
    return ruling if (ruling.state, ruling.node_id) == (host.swarm.local, host.swarm.node_id) else None


def plan_leave(intent: Intent, observed: Observed, ruling: Ruling) -> Plan:
    """Stop our copies on overlays and leave, or say what stands against it. Without steps nothing else has to wait."""
    host, declared = observed.host, intent.host(observed.me)
    assert host is not None
    if strangers := _strangers(host, stays_out=declared is None):
        who = ", ".join(each.name for each in strangers)
        return untouched("swarm", "foreign", ruling.held(f"{who} would lose its overlay if the host left"))
    wanted = declared_address(observed)
    if declared and host.addresses and not has_address(host, wanted):
        return untouched("swarm", "role", ruling.held(f"this host does not have the address {wanted}"))
    if declared and (held := held_outside(intent, host)):
        words = f"once out this host could not come back: {held[0].reason}"
        return untouched("swarm", held[0].kind, ruling.held(words))
    reason = f"the host leaves the swarm: {ruling.reason}"
    running = [each for each in _on_overlays(host) if each.status in STOPPABLE]
    if running:
        return Plan(tuple(step for each in running for step in _stop(each, observed, reason)))
    return Plan((LeaveSwarm(reason=ruling.reason),))


def _stop(found: ContainerState, observed: Observed, reason: str) -> Iterable[Step]:
    spec = observed.cluster.specs.get(found.copy.spec) if observed.cluster else None
    yield from stop(found.name, found, grace_s(spec), reason)
    if spec and spec.restart and spec.restart.name in _JOBS:
        # Stopped it would pass for done; made anew it does its work once the host is in again.
        yield RemoveContainer(name=found.name, id=found.id, reason=reason)


def _strangers(host: HostState, *, stays_out: bool) -> list[Attached]:
    """Containers that are not ours and would lose their overlay: those that run, or if the host stays out, all.

    What the swarm runs itself it also ends by itself; while it runs, it is somebody's.
    """
    ours = {each.id for each in host.containers}
    return [
        each
        for each in host.attached
        if each.id not in ours
        and (each.running or (stays_out and not each.task))
        and (each.task or _overlays(host, each.networks))
    ]


def _on_overlays(host: HostState) -> list[ContainerState]:
    return [each for each in host.containers if _overlays(host, [name for name, _ in each.addresses])]


def _overlays(host: HostState, networks: Iterable[str]) -> set[str]:
    """Those of `networks` that are not this host's own: a worker lists an overlay only while somebody runs on it."""
    return {*networks} - {each.name for each in host.networks if each.scope != "swarm"} - {"host", "none"}
