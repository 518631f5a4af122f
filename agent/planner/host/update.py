"""Replacement of a container: the new one is created first, under another name, while the old one runs.

If dockerd refuses the create (a bad option, a missing file of the host, a wrong platform), the old container runs on.
Each pass plans from the names and states of the two containers, and from docker's error of a failed start, which docker
keeps over restarts. So it does not matter between which steps an agent ends.
"""

from collections.abc import Iterable
from dataclasses import replace

from agent.diff.networks import found_for, overlay_differences
from agent.diff.replicas import AGAIN, STOPPABLE, finished, is_about_a_network, is_about_an_address
from agent.model import records, steps
from agent.model.host_state import ContainerState, HostState
from agent.model.intent import Intent, ServiceIntent, Update
from agent.model.observed import HostView
from agent.model.phrases import MISUSED_IF_NEW, short_id
from agent.model.plan import Plan, Step, blocked_plan, waiting_plan
from agent.model.spec import ContainerSpec, Pairs, spec_hash, why_alone
from agent.planner.host.wanted import DEFAULT_GRACE_S, Wanted, stop

# ---- Surge (`order: start-first`): the old container is removed once the new one is healthy
#
# If the new container does not become healthy, the old one keeps running.


LOOK_S = 1.0
"""Seconds between two looks at a container in its monitor window: the end of the window causes no event."""


def starts_first(service: ServiceIntent | None, wanted: Wanted, old: ContainerState) -> bool:
    """Return True if a new container of the replica starts while `old` runs."""
    if service is None or old.status != "running" or wanted.replica.addresses or why_alone(wanted.spec):
        return False
    return _update(service, wanted).order == "start-first"


def surge_lacks(
    service: ServiceIntent | None,
    wanted: Wanted,
    found: ContainerState,
    others: Iterable[ContainerState],
    *,
    stale: bool = False,
) -> str:
    """Reason why `found` cannot replace the old container yet; empty: it can, or there is no surge."""
    old = next((each for each in others if each.name == wanted.name), None)
    if old is None or found.name == wanted.name or service is None or not starts_first(service, wanted, old):
        return ""
    monitor_s = _update(service, wanted).monitor_s
    if found.status != "running" or found.locked_by_engine:
        return "the new container is not running yet"
    if found.health not in ("", "healthy"):
        return f"the new container is {'unhealthy' if found.health == 'unhealthy' else 'not healthy yet'}"
    if found.up_s < monitor_s:
        return f"the new container is in its {monitor_s:g} s monitor window"
    return "the old container is removed once etcd answers: it may be needed again" if stale else ""


def has_surge(host: HostState) -> bool:
    """Return True if a replica on the host has two running containers."""
    running = [each.replica.key for each in host.containers if each.status == "running"]
    return len(running) != len(set(running))


def _update(service: ServiceIntent, wanted: Wanted) -> Update:
    """The update settings of the replica: those of the rollback if its spec is not the intent's."""
    # If the leader resolved the image, its digest follows the tag.
    is_resolved = wanted.spec.image.startswith(f"{service.spec.image}@")
    declared = replace(service.spec, image=wanted.spec.image) if is_resolved else service.spec
    if service.rollback is None or wanted.replica.spec == spec_hash(declared):
        return service.update
    return service.rollback


# ---- Recreating an overlay, on each host: its replicas leave the old overlay and wait for the new one


def recreated_overlays(intent: Intent, observed: HostView) -> tuple[frozenset[str], Plan]:
    """Return the overlays that replicas must leave now, and a report of those that they need not leave.

    The leader orders it, the document allows it, and the overlay is not as declared on this host. An overlay on which
    no replica runs here needs no permission. Empty while etcd does not answer: the order may be outdated, and no
    replica is stopped for it.
    """
    host, cluster = observed.host, observed.cluster
    record = cluster.record
    if record is None or observed.stale:
        return frozenset(), Plan()
    running = [each for each in host.containers if each.status in STOPPABLE]
    used = {network for each in running for network, _ in each.addresses}
    left, plan = {*record.recreating} - used, Plan()
    for name in sorted({*record.recreating} & used) if intent.policy.allow_network_recreate else ():
        declared = intent.network(name)
        found = found_for(declared, host, record) if declared else None
        overlay = declared is not None and declared.driver == "overlay"
        if declared and overlay and (found is None or overlay_differences(declared, found)):
            left.add(name)
        else:
            reason = f"{name} is to be recreated, and this host finds it as declared, so its replicas run on"
            plan += blocked_plan(f"{cluster.root}swarm", "untrusted", f"{reason}; {MISUSED_IF_NEW}")
    return frozenset(left), plan


def detach_for_recreate(
    wanted: Wanted, found: ContainerState | None, recreated: frozenset[str]
) -> Plan | None:
    """Plan to stop the replica and disconnect it from the `recreated` overlays, or to wait; None: it uses none of them.

    A stopped container is disconnected as well: its endpoint keeps the id of the old overlay.
    """
    attached = sorted({network for network, _ in found.addresses} & recreated) if found else []
    if found and attached:
        reason = f"{', '.join(attached)} is recreated"
        common = {"name": found.name, "id": found.id, "reason": reason}
        off = [steps.DisconnectNetwork(network=each, **common) for each in attached]
        return Plan((*stop(found.name, found, wanted.grace_s, reason), *off))
    if waits := sorted({each.network for each in wanted.spec.networks} & recreated):
        reason = f"network {', '.join(waits)} is recreated"
        return waiting_plan(wanted.resource, reason, f"network/{waits[0]}")
    return None


# ---- The old container is kept until dockerd has started the new one
#
# The old one is stopped and gets another name, and the new one gets the replica's name and is started. The old one is
# removed last. If dockerd refuses the start, the new one gives the name back, and the old one is started again.


AGAIN_S = 300.0
"""Seconds for which the old container runs before a start that failed for a network is tried again, once. A refusal is
not repeated: each attempt stops the old container."""
_KEPT = ("running", "paused", "restarting", "exited")
"""Docker's statuses of a container that has been started."""


def aside(wanted: Wanted) -> str:
    """Return the name of the new container while the old one has the replica's name."""
    return f"{wanted.name}-{short_id(wanted.replica.spec)}"


def old_of(found: ContainerState, others: Iterable[ContainerState], name: str) -> ContainerState | None:
    """Return the container that `found`, not started yet, replaces; None: there is none, or `found` has run."""
    if found.status != "created":
        return None
    return min(
        (each for each in others if each.status in _KEPT),
        key=lambda each: (each.status == "exited", each.name != name, each.id),
        default=None,
    )


def is_refused(found: ContainerState) -> bool:
    """Return True if dockerd refused to start the container, for a cause that another start would meet again."""
    temporary = is_about_a_network(found.error) or is_about_an_address(found.error)
    lasts = found.name.endswith(AGAIN) or not temporary
    return found.status == "created" and bool(found.error) and lasts


def goes_back(
    found: ContainerState, old: ContainerState, wanted: Wanted, old_spec: ContainerSpec | None
) -> bool:
    """Return True if the old container is to run instead of `found`, whose start failed.

    A network that both join would be missing for the old one too, so that only the new one is started again. So it is
    beside an old one that is not started again in any case: another attempt stops nothing.
    """
    if not found.error or found.status != "created" or finished(old_spec, old):
        return False
    if is_refused(found) or old.name.endswith(AGAIN):
        return True
    if old_spec is not None and _places(wanted.spec) <= _places(old_spec):
        return False
    if old.status in ("exited", "dead"):
        return not old.error  # once the old one cannot start either, the new one is tried
    return old.up_s < AGAIN_S


def _places(spec: ContainerSpec) -> set[tuple[str, str | None]]:
    return {(each.network, each.ipv4_address) for each in spec.networks}


def put_aside(wanted: Wanted, old: ContainerState, reason: str, mark: str = "") -> tuple[Step, ...]:
    """Plan to stop the old container, and to give it a name of its own, which ends with `mark`."""
    stopped = stop(wanted.name, old, wanted.grace_s, reason)
    if old.name != wanted.name:
        return stopped
    kept = f"{wanted.name}-{short_id(old.id)}{mark}"
    rename = steps.RenameContainer(
        name=wanted.name, id=old.id, under=kept, reason="kept until the new one has started"
    )
    return (*stopped, rename)


def replacement(made: Plan, wanted: Wanted, old: ContainerState, reason: str) -> Plan:
    """Extend `made`, which creates the new container: put the old one aside, start the new one, remove the old one."""
    new = aside(wanted)
    start = (
        steps.RenameContainer(name=wanted.name, id=new, reason=reason),
        steps.StartContainer(name=wanted.name, reason=reason, spec=wanted.spec),
    )
    if old.status not in _KEPT:
        remove = steps.RemoveContainer(name=wanted.name, id=old.id, reason=reason)
        return under_own_name(made, wanted) + Plan((remove, *start))
    return under_own_name(made, wanted) + around(Plan(start), wanted, old, reason)


def under_own_name(made: Plan, wanted: Wanted) -> Plan:
    """Change `made`, which creates the new container, to use a name other than the old container's."""
    renamed = (
        replace(each, under=aside(wanted)) if isinstance(each, steps.CreateContainer) else each
        for each in made.steps
    )
    return made._replace(steps=tuple(renamed))


def stopped_first(made: Plan, wanted: Wanted, old: ContainerState, reason: str) -> Plan:
    """Extend `made`, which creates the new container: the old one stops, as another replica waits for what it has."""
    return under_own_name(made, wanted) + Plan(put_aside(wanted, old, reason))


def around(start: Plan, wanted: Wanted, old: ContainerState, reason: str = "", failed: str = "") -> Plan:
    """Extend `start`, which starts the new container: the old one is put aside before and removed after it.

    `failed`: docker's error of the start before, for which the old one was started again.
    """
    mark = AGAIN if failed and old.status in STOPPABLE else ""
    reason = reason or f"another container is {wanted.replica.service} replica {wanted.replica.slot} now"
    remove = steps.RemoveContainer(name=wanted.name, id=old.id, reason="the new one has started")
    return start._replace(steps=(*put_aside(wanted, old, reason, mark), *start.steps, remove))


def _returned_name(wanted: Wanted, found: ContainerState, old: ContainerState) -> str:
    if found.name != wanted.name:
        return found.name
    return aside(wanted) + (AGAIN if old.name.endswith(AGAIN) else "")


def give_name_back(wanted: Wanted, found: ContainerState, old: ContainerState) -> tuple[Step, ...]:
    """Plan to give `found`, which dockerd did not start, a name other than the replica's."""
    if (name := _returned_name(wanted, found, old)) == found.name:
        return ()
    reason = (
        f"docker did not start it: {found.error}" if found.error else "the old one runs until it can start"
    )
    return (steps.RenameContainer(name=wanted.name, id=found.id, under=name, reason=reason),)


def why_refused(wanted: Wanted, found: ContainerState, old: ContainerState) -> str:
    """Return what the operator sees while the old container runs instead of `found`."""
    name = _returned_name(wanted, found, old)
    if not is_refused(replace(found, name=name)):
        return (
            f"docker cannot start its new container: {found.error}; the old one runs until the next attempt"
        )
    return (
        f"docker refuses to start its new container: {found.error}; the old one is kept. Change the document, or "
        f"remove the cause and run `docker rm {name}` on this host to have it tried again"
    )


# ---- The containers of one replica, and those of no replica


def best(found: Iterable[ContainerState], replica: records.Replica, name: str) -> ContainerState | None:
    """The container to keep of several containers of one replica; None: there is none.

    Preferred, in this order: the assigned spec, no need of replacement, running, the `name`, the lowest id. A container
    of an earlier document that was never started is the last choice: the one that it was to replace is kept.
    """

    def rank(each: ContainerState) -> tuple[bool | str, ...]:
        other = each.replica.spec != replica.spec
        broken = each.status in ("dead", "removing") or any(it.repair == "replace" for it in each.differences)
        never_ran = other and each.status == "created"
        return other, broken, each.status != "running", never_ran, each.name != name, each.id

    return min(found, key=rank, default=None)


def remove_others(others: Iterable[ContainerState], plan: Plan, wanted: Wanted) -> Plan:
    """Extend `plan` for the kept container: first remove the `others`, since a replica has one container.

    While the kept container waits, the others stay: one of them may be running.
    """
    others = tuple(others)
    removable = [each for each in others if _is_removable(each)]
    if not removable or (plan.left and not plan.of(steps.StartContainer)):
        names = {each.name for each in others}
        taken = [each for each in plan.of(steps.RenameContainer) if each.name in names]
        return plan._replace(steps=tuple(each for each in plan.steps if each not in taken))
    reason = f"another container is {wanted.replica.service} replica {wanted.replica.slot} now"
    removals = (
        step for each in removable for step in stop_and_remove(wanted.name, each, wanted.grace_s, reason)
    )
    return Plan(tuple(removals)) + plan


def about_volumes(carried: Pairs, had: Pairs) -> str:
    """Return the end of a reason that says which anonymous volumes the new container has, and which stay behind."""
    left = tuple(each for each in had if each not in carried)
    kept = f"; it keeps its volume{'s' * (len(carried) > 1)} at {', '.join(path for path, _ in carried)}"
    return (kept if carried else "") + stays_behind(left)


def stays_behind(volumes: Pairs) -> str:
    """Return the end of a reason that names the anonymous volumes that stay on the host."""
    if not volumes:
        return ""
    names = ", ".join(f"{short_id(name)} ({path})" for path, name in volumes)
    verb = "volumes stay" if len(volumes) > 1 else "volume stays"
    return f"; its {verb} on this host, unused: {names}"


def plan_surplus(host: HostState, assigned: frozenset[records.Replica], keep: set[str]) -> Plan:
    """Plan to stop and remove managed containers whose replica is not assigned here; `keep` are ids of the others."""
    slots = {replica.key for replica in assigned}
    plan = Plan()
    for found in host.containers:
        replica = found.replica
        if found.id not in keep and replica.key not in slots and _is_removable(found):
            reason = f"{replica.service} replica {replica.slot} is no longer assigned here"
            reason += stays_behind(found.volumes)
            # The document may no longer have the service, nor etcd the spec.
            grace_s = DEFAULT_GRACE_S if found.grace_s is None else found.grace_s
            plan += Plan(stop_and_remove(found.name, found, grace_s, reason))
    return plan


def stop_and_remove(name: str, found: ContainerState, grace_s: float, reason: str) -> tuple[Step, ...]:
    """Plan to stop the container if its status allows that, and to remove it; `name` is the resource of the steps."""
    return (*stop(name, found, grace_s, reason), steps.RemoveContainer(name=name, id=found.id, reason=reason))


def _is_removable(found: ContainerState) -> bool:
    return not found.locked_by_engine and found.status != "removing"
