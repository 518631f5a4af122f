"""One container in the place of another: made first, under a name of its own, so that the old one runs meanwhile.

What dockerd refuses at create (a bad option, a file of the host that is missing, a wrong platform) costs the old one
nothing. Killed anywhere in between, the next pass finds two containers of one replica and goes on from there.
"""

from collections.abc import Iterable
from dataclasses import replace

from agent.model import records, steps
from agent.model.host_state import ContainerState, HostState
from agent.model.intent import Intent, ServiceIntent, Update
from agent.model.observed import Observed
from agent.model.phrases import short_id
from agent.model.plan import Plan, Step, blocked_plan
from agent.model.spec import spec_hash, why_alone
from agent.planner.host.wanted import DEFAULT_GRACE_S, Wanted, stop

# ----
# `order: start-first`: a replica's new container runs beside the old one, which goes when the new one has proved
# well.
#
# So a new container that does not come out well has cost nothing: the old one was never touched.


LOOK_S = 1.0
"""How often to look at a container that has to be well for a time: that time passes is told by no event."""


def starts_first(service: ServiceIntent | None, wanted: Wanted, old: ContainerState) -> bool:
    """Whether a new container of the replica is started while `old` goes on with its work."""
    if service is None or old.status != "running" or wanted.replica.addresses or why_alone(wanted.spec):
        return False
    return _update(service, wanted).order == "start-first"


def on_trial(
    service: ServiceIntent | None,
    wanted: Wanted,
    found: ContainerState,
    others: Iterable[ContainerState],
    *,
    stale: bool = False,
) -> str:
    """What `found` lacks yet to take the place of the container that still runs there; empty: nothing, or none does."""
    old = next((each for each in others if each.name == wanted.name), None)
    if old is None or found.name == wanted.name or service is None or not starts_first(service, wanted, old):
        return ""
    monitor_s = _update(service, wanted).monitor_s
    if found.status != "running" or found.locked_by_engine:
        return "the new container does not run yet"
    if found.health not in ("", "healthy"):
        return f"the new container is {'unhealthy' if found.health == 'unhealthy' else 'not healthy yet'}"
    if found.up_s < monitor_s:
        return f"the new container has to be well for {monitor_s:g} s"
    return "the old container goes when etcd answers: it may be needed again" if stale else ""


def tries(host: HostState) -> bool:
    """Whether any replica of the host has two containers that run."""
    running = [each.replica.key for each in host.containers if each.status == "running"]
    return len(running) != len(set(running))


def _update(service: ServiceIntent, wanted: Wanted) -> Update:
    """How the replica comes to its spec: as on the way back, when that is not what the intent says."""
    # Its bytes may have been looked up by the leader: then they are beside the tag.
    bytes_said = wanted.spec.image.startswith(f"{service.spec.image}@")
    asked = replace(service.spec, image=wanted.spec.image) if bytes_said else service.spec
    if service.rollback is None or wanted.replica.spec == spec_hash(asked):
        return service.update
    return service.rollback


# ---- A host's part in recreating an overlay: its replicas leave the old one, and wait for the new one


def recreated_overlays(intent: Intent, observed: Observed) -> frozenset[str]:
    """Names of the overlays that replicas shall leave now: the leader says so, and the document lets it.

    While etcd is away nobody knows whether that still holds, and a replica is not stopped for it.
    """
    record = observed.cluster.record if observed.cluster else None
    if record is None or observed.stale or not intent.policy.allow_network_recreate:
        return frozenset()
    return frozenset(record.recreating)


def detach_for_recreate(
    wanted: Wanted, found: ContainerState | None, recreated: frozenset[str]
) -> Plan | None:
    """Stop the replica and take it off the overlays that are `recreated`, or let it wait; None: it is on none of them.

    A stopped one is taken off as well: it would go on asking for the overlay that was, by its id.
    """
    attached = sorted({network for network, _ in found.addresses} & recreated) if found else []
    if found and attached:
        reason = f"{', '.join(attached)} is recreated"
        off = [
            steps.DisconnectNetwork(name=found.name, id=found.id, network=each, reason=reason)
            for each in attached
        ]
        return Plan((*stop(found.name, found, wanted.grace_s, reason), *off))
    if waits := sorted({each.network for each in wanted.spec.networks} & recreated):
        reason = f"network {', '.join(waits)} is recreated"
        return blocked_plan(wanted.resource, "waiting", reason)
    return None


def replacement(made: Plan, wanted: Wanted, old: ContainerState, reason: str) -> Plan:
    """`made`, which creates the new container, and then: the old one away, the new one into its name, and started."""
    rename = steps.RenameContainer(name=wanted.name, id=_aside(wanted), reason=reason)
    start = steps.StartContainer(name=wanted.name, reason=reason)
    rest = (*away(wanted.name, old, wanted.grace_s, reason), rename, start)
    return beside(made, wanted) + Plan(rest)


def beside(made: Plan, wanted: Wanted) -> Plan:
    """`made`, which creates the new container, under a name of its own."""
    aside = _aside(wanted)
    renamed = (
        replace(each, under=aside) if isinstance(each, steps.CreateContainer) else each for each in made.steps
    )
    return Plan(tuple(renamed), made.blocked)


def _aside(wanted: Wanted) -> str:
    return f"{wanted.name}-{short_id(wanted.replica.spec)}"


def candidates(replica: records.Replica, host: HostState) -> list[ContainerState]:
    """Every container that claims to be that replica, of whatever spec."""
    key = replica.key
    return [each for each in host.containers if each.replica.key == key]


def best(found: Iterable[ContainerState], replica: records.Replica, name: str) -> ContainerState | None:
    """Of several containers that claim to be the same replica, the one to keep.

    As it shall be, running, with its `name`; of those that are alike in all that, the one with the lowest id.
    """
    return min(
        found,
        key=lambda each: (
            each.replica.spec != replica.spec, _is_to_go(each), each.status != "running", each.name != name, each.id
        ),
        default=None,
    )  # fmt: skip


def _is_to_go(found: ContainerState) -> bool:
    return found.status in ("dead", "removing") or any(each.repair == "replace" for each in found.differences)


def clear_away(others: Iterable[ContainerState], plan: Plan, wanted: Wanted) -> Plan:
    """`plan` for the container that is kept, with its `others` away first: of one replica there is one container.

    While the one that is kept waits for something, the others stay: one of them may still do its work.
    """
    others = tuple(others)
    gone = [each for each in others if _may_go(each)]
    waits = plan.blocked and not any(isinstance(step, steps.StartContainer) for step in plan.steps)
    if waits or not gone:
        names = {each.name for each in others}
        free = (
            step
            for step in plan.steps
            if not (isinstance(step, steps.RenameContainer) and step.name in names)
        )
        return Plan(tuple(free), plan.blocked)
    reason = f"another container is {wanted.replica.service} replica {wanted.replica.slot} now"
    cleared = (step for each in gone for step in away(wanted.name, each, wanted.grace_s, reason))
    return Plan(tuple(cleared)) + plan


def plan_surplus(host: HostState, assigned: frozenset[records.Replica], keep: set[str]) -> Plan:
    """Stop and remove what is ours and is no replica that is assigned here; `keep` are the ids of those that are."""
    slots = {replica.key for replica in assigned}
    plan = Plan()
    for found in host.containers:
        replica = found.replica
        if found.id not in keep and replica.key not in slots and _may_go(found):
            reason = f"{replica.service} replica {replica.slot} is no longer assigned here"
            # Its service may be gone from the document, and its spec from etcd.
            grace_s = DEFAULT_GRACE_S if found.grace_s is None else found.grace_s
            plan += Plan(away(found.name, found, grace_s, reason))
    return plan


def away(name: str, found: ContainerState, grace_s: float, reason: str) -> tuple[Step, ...]:
    """Stop it, if it can be, and remove it. `name` is whose steps they are."""
    return (*stop(name, found, grace_s, reason), steps.RemoveContainer(name=name, id=found.id, reason=reason))


def _may_go(found: ContainerState) -> bool:
    return not found.locked_by_engine and found.status != "removing"
