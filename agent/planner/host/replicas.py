"""Plan the steps that bring the containers of this host to its assignment. Unmanaged containers are ignored."""

from dataclasses import replace

from agent.diff import replicas
from agent.diff.container import carried_volumes, describe_change
from agent.diff.networks import local_names
from agent.errors import Invalid
from agent.model import steps
from agent.model.host_state import ContainerState, HostState
from agent.model.intent import Intent
from agent.model.observed import HostView
from agent.model.phrases import short_id
from agent.model.plan import Plan, blocked_plan, waiting_plan
from agent.model.status import Waiting
from agent.planner.host import update
from agent.planner.host.exclusive import Exclusive
from agent.planner.host.immutable import plan_immutable
from agent.planner.host.prerequisites import Needs, heed_ports
from agent.planner.host.repair import plan_repair
from agent.planner.host.strangers import leave_strangers, networks_to_leave
from agent.planner.host.wanted import Names, Wanted, leave_alive, name_instead, plan_stuck
from agent.yamldoc.faultlist import printable

# ---- An overlay must keep its last endpoint on a host while another replica joins it there
#
# dockerd removes an overlay from the host shortly after the last container leaves it. No lock protects a container
# that starts meanwhile: its start fails with "network not found" and leaks its address (moby#32607 and related;
# docs/engine-quirks.md). So the plan keeps one replica running on the overlay until another one has joined it.


def keep_last_endpoints(plan: Plan, host: HostState) -> Plan:
    """Postpone one replica for each overlay that would lose its last endpoint while another replica joins it."""
    stopping = {step.name for step in plan.of(steps.StopContainer)}
    overlays = {network for each in host.containers for network, _ in each.addresses} - local_names(host)
    for network in sorted(overlays):
        on_it = {each.name for each in host.containers if dict(each.addresses).get(network)}
        joining = _joining(network, plan, host)
        if on_it and on_it <= stopping and len(on_it | joining) > 1 and joining:
            # Stop a replaced one last, if any: a surplus one must not stay longer.
            replaced = on_it & {step.name for step in plan.of(steps.CreateContainer)}
            last = max(replaced or on_it)
            of = {each.name: each.replica for each in host.containers}
            of |= {step.name: step.replica for step in plan.of(steps.CreateContainer)}
            keys = (of[each].key for each in sorted(joining - {last}) if each in of)
            on = next((f"replica/{service}-{slot}" for service, slot in keys), "")
            reason = f"waits until another replica on this host has joined {network}"
            waits = waiting_plan(f"container/{last}", reason, on)
            plan = plan.without(frozenset({f"container/{last}"})) + waits
    return plan


def _joining(network: str, plan: Plan, host: HostState) -> set[str]:
    """Names of the containers that the plan starts on the network."""
    joined = {each.name for each in host.containers if network in dict(each.addresses)}
    for step in plan.of(steps.CreateContainer):
        joined |= {step.name for each in step.spec.networks if each.network == network}
    joined |= {step.name for step in plan.of(steps.ConnectNetwork) if step.attachment.network == network}
    return joined.intersection(step.name for step in plan.of(steps.StartContainer))


MOST_REFUSED, LONGEST_NAME = 100, 200
REPORTED_S = 20.0
"""Seconds in which every other host reports its containers; longer than the default lease of 15 s."""


def plan_replicas(intent: Intent, observed: HostView) -> Plan:
    """Return the plan that brings assigned replicas to their spec and removes the containers of all others."""
    cluster, host = observed.cluster, observed.host
    if cluster.assignment is None:
        return Plan()
    project = cluster.assignment.project
    chosen = {
        each: update.best(host.by_key.get(each.key, ()), each, replicas.container_name(project, each))
        for each in cluster.assignment.replicas
    }
    keep = {found.id for found in chosen.values() if found}
    unknown = [replica for replica in chosen if replica.spec not in cluster.specs]
    keep |= {each.id for replica in unknown for each in host.by_key.get(replica.key, ())}
    declared = [each for each in host.containers if intent.service(each.replica.service)]
    keep |= {each.id for each in declared if each.replica.key in cluster.refused}
    names = Names(host, keep, project, cluster.assignment.replicas)
    planner = _ReplicaPlanner(intent, names, observed)
    plan = planner.doubted
    for assigned, found in chosen.items():
        # While etcd does not answer, the container may have a newer spec than the assignment: keep that one.
        replica = replace(assigned, spec=found.replica.spec) if found and observed.stale else assigned
        spec, name = cluster.specs.get(replica.spec), replicas.container_name(project, replica)
        if spec is None:
            reason = f"its spec {short_id(replica.spec)} cannot be read from etcd"
            plan += blocked_plan(f"container/{name}", "dependency", reason)
            continue
        context = replicas.fill_context(intent, observed.me, host.swarm, replica)
        called = name_instead(name, host)
        wanted = Wanted(replica=replica, project=project, spec=spec, context=context, called=called)
        others = [each for each in host.by_key.get(replica.key, ()) if found and each.id != found.id]
        plan += planner.plan_among(wanted, found, others)
    # A forged assignment has any number of them, with any names: those of declared services are named first.
    refused = sorted(cluster.refused, key=lambda key: (intent.service(key[0]) is None, key))
    for service, slot in refused[:MOST_REFUSED]:
        name = printable(f"container/{project}-{service}-{slot}"[:LONGEST_NAME])
        plan += blocked_plan(name, "foreign", cluster.refused[service, slot])
    surplus = update.plan_surplus(host, frozenset(cluster.assignment.replicas), keep)
    stuck = plan_stuck(host)
    if observed.stale:
        # A newer assignment may have those replicas.
        reason = "the last known assignment does not have it; it stays until etcd answers"
        waits = dict.fromkeys(Waiting(resource=e.resource, reason=reason, on="store/") for e in surplus.steps)
        surplus = Plan(waiting=tuple(waits))
        stuck = stuck._replace(steps=())
    immutable = plan_immutable(intent, observed)
    plan = leave_alive(surplus + plan, host, project)
    return keep_last_endpoints(_without_repetition(plan + stuck + immutable), host)


class _ReplicaPlanner:
    def __init__(self, intent: Intent, names: Names, observed: HostView) -> None:
        host, cluster = observed.host, observed.cluster
        self.intent, self.host, self.cluster, self.names = intent, host, cluster, names
        self.in_flight, self.failures = observed.in_flight, observed.failures
        self.stale, self.show_secrets = observed.stale, observed.show_secrets
        self.strange = networks_to_leave(intent, host, cluster)
        self.overlays = {each.name for each in intent.networks if each.driver == "overlay"}
        self.recreated, self.doubted = update.recreated_overlays(intent, observed)
        self.needs = Needs(intent, host, cluster, observed.me)
        self.exclusive = Exclusive(intent, host, cluster)

    def plan_among(self, wanted: Wanted, found: ContainerState | None, others: list[ContainerState]) -> Plan:
        """Return the plan of a replica that has the containers `found`, which is to stay, and `others`."""
        if found is None:
            done = replicas.finished_before(self.host, wanted.replica, wanted.spec)
            return Plan() if done else self.plan(wanted, None)
        if (surge := self.plan_surge(wanted, found, others)) is not None:
            return surge
        mine = (each for each in others if each.replica.spec == wanted.replica.spec)
        if (refused := next(filter(update.is_refused, mine), None)) and self._why_replace(wanted, found):
            others = [found, *(each for each in others if each.id != refused.id)]
            found = refused
        if (old := update.old_of(found, others, wanted.name)) is None:
            return update.remove_others(others, self.plan(wanted, found), wanted)
        rest = [each for each in others if each.id != old.id]
        return update.remove_others(rest, self._plan_pair(wanted, found, old), wanted)

    def _plan_pair(self, wanted: Wanted, found: ContainerState, old: ContainerState) -> Plan:
        """Return the plan for `found`, which has not been started, and the old container that it replaces."""
        if found.locked_by_engine or old.locked_by_engine:
            return self._wait_for_dockerd(found if found.locked_by_engine else old)
        spec, before = self.cluster.specs.get(old.replica.spec), self._before(wanted, old)
        if not self.stale and (left := leave_strangers(before, old, self.strange)) is not None:
            return left
        if (detach := update.detach_for_recreate(wanted, found, self.recreated)) is not None:
            return detach + (update.detach_for_recreate(before, old, self.recreated) or Plan())
        if update.goes_back(found, old, wanted, spec):
            blocked = blocked_plan(wanted.resource, "refused", update.why_refused(wanted, found, old))
            return Plan(update.give_name_back(wanted, found, old)) + self._run_again(before, old) + blocked
        plan = self.plan(wanted, found)
        if plan.of(steps.StartContainer):
            return update.around(plan, wanted, old, failed=found.error)
        if plan.blocked and old.status == "exited" and not wanted.replica.held:
            return plan._replace(steps=update.give_name_back(wanted, found, old)) + self._run_again(
                before, old
            )
        return plan._replace(steps=tuple(step for step in plan.steps if step.kind != "container"))

    def _before(self, wanted: Wanted, old: ContainerState) -> Wanted:
        """Return the replica with the spec of its old container; with its own if that is not known."""
        replica = replace(wanted.replica, spec=old.replica.spec)
        return replace(wanted, replica=replica, spec=self.cluster.specs.get(old.replica.spec) or wanted.spec)

    def _run_again(self, before: Wanted, old: ContainerState) -> Plan:
        if replicas.finished(self.cluster.specs.get(old.replica.spec), old):
            return Plan()  # a job that has completed must not run again
        if old.name != before.name and (named := self.names.plan(before, old)) is not None:
            return named
        try:
            return self._repair(before, old)
        except Invalid as error:
            return blocked_plan(before.resource, "dependency", str(error))

    def plan(self, wanted: Wanted, found: ContainerState | None) -> Plan:
        try:
            return self._decide(wanted, found)
        except Invalid as error:
            return blocked_plan(wanted.resource, "dependency", str(error))

    def plan_surge(self, wanted: Wanted, found: ContainerState, others: list[ContainerState]) -> Plan | None:
        """Return the plan for a replica's new container while its old one runs; None: there is no surge."""
        service = self.intent.service(wanted.replica.service)
        lacks = update.surge_lacks(service, wanted, found, others, stale=self.stale)
        if not lacks or self.recreated:
            return None
        if found.locked_by_engine or found.status == "removing":
            return Plan()
        aside = replace(wanted, called=found.name)
        if replicas.has_duplicate_address(found, wanted.replica, wanted.spec):
            return self.plan(aside, found)  # one chain of steps, so that failed attempts have a backoff
        plan = self._repair(aside, found)
        return plan if plan.steps else plan + waiting_plan(wanted.resource, lacks)

    def _decide(self, wanted: Wanted, found: ContainerState | None) -> Plan:
        if found and found.status == "removing":
            return Plan()
        if found and found.locked_by_engine:
            return self._wait_for_dockerd(found)
        if not self.stale and (left := leave_strangers(wanted, found, self.strange)) is not None:
            return left
        if (detach := update.detach_for_recreate(wanted, found, self.recreated)) is not None:
            return (Plan() if wanted.spec.image in self.host.images else self.needs.image(wanted)) + detach
        if rename := self.names.plan(wanted, found):
            return rename
        if wanted.replica.waits and found is None:
            waits = waiting_plan(wanted.resource, wanted.replica.waits, wanted.replica.waits_on)
            return self.needs.image(wanted) + waits
        if wanted.replica.held and not (found and found.status in replicas.STOPPABLE):
            # A running container is not blocked here: another replica may wait for its address.
            return self.needs.image(wanted) + _held(wanted)
        if found is None:
            return self._create(wanted)
        if reason := self._why_replace(wanted, found):
            return self._replace(wanted, found, reason)
        return self._repair(wanted, found)

    def _wait_for_dockerd(self, found: ContainerState) -> Plan:
        if f"container/{found.name}" in self.in_flight:
            return Plan()
        return waiting_plan(f"container/{found.name}", "dockerd is working on it and does not show its state")

    def _why_replace(self, wanted: Wanted, found: ContainerState) -> str:
        if found.replica.spec != wanted.replica.spec:
            old = self.cluster.specs.get(found.replica.spec)
            change = describe_change(old, wanted.spec, show_secrets=self.show_secrets) if old else ""
            return change or f"spec {short_id(found.replica.spec)} -> {short_id(wanted.replica.spec)}"
        if found.status == "dead":
            return "docker reports it as dead"
        if found.left_task == "empty":
            return replicas.EMPTY_TASK
        if replicas.has_duplicate_address(found, wanted.replica, wanted.spec):
            return replicas.DUPLICATE_ADDRESS
        why = dict(wanted.replica.recreate).get(found.id)
        if why and found.up_s >= REPORTED_S and not self.stale:
            return why
        return "; ".join(str(each) for each in found.differences if each.repair == "replace")

    def _replace(self, wanted: Wanted, found: ContainerState, reason: str) -> Plan:
        made, waits = self._make(wanted, reason), self.needs.networks(wanted)
        if not made.of(steps.CreateContainer):
            # The old container runs until dockerd can create the new one, which may be never without an edit.
            if found.status == "exited" and self.needs.admission(wanted) != Plan():
                made += self._run_again(self._before(wanted, found), found)
            return made + waits
        if waits != Plan():
            return waits
        if wanted.replica.held and not wanted.replica.stops_first:
            return _held(wanted)
        if (obstacle := self.exclusive.obstacle(wanted, to_stop=True)) != Plan():
            stops_first = obstacle.waiting and self.exclusive.stops_first(wanted)
            return update.stopped_first(made, wanted, found, reason) + obstacle if stops_first else obstacle
        if wanted.replica.held:
            return update.stopped_first(made, wanted, found, reason) + _held(wanted)
        if update.starts_first(self.intent.service(wanted.replica.service), wanted, found):
            return update.under_own_name(made, wanted)
        return update.replacement(made, wanted, found, reason)

    def _create(self, wanted: Wanted) -> Plan:
        reason = f"{wanted.replica.service} replica {wanted.replica.slot} is assigned here"
        made, waits = self._make(wanted, reason), self.needs.networks(wanted)
        if not made.of(steps.CreateContainer):
            return made + waits
        if (obstacle := self.exclusive.obstacle(wanted)) != Plan():
            return obstacle
        if waits == Plan():
            start = steps.StartContainer(name=wanted.name, reason=reason, spec=wanted.spec)
            return made + Plan((start,))
        # dockerd needs a container's only network when it starts the container, but not to create it.
        overlay_comes = not waits.steps and not waits.blocked
        return made + waits if overlay_comes and len(wanted.spec.networks) == 1 else waits

    def _make(self, wanted: Wanted, reason: str) -> Plan:
        """Return the plan that creates the container or, first, its missing image or volumes."""
        for need in (self.needs.host, self.needs.image, self.needs.volumes):
            if (lacking := need(wanted)) != Plan():
                return lacking
        memory = self.host.memory_of(wanted.replica.key)
        had = memory.volumes if memory else ()
        # On a reported host the volumes of the image are not known: most images keep them from tag to tag.
        of_image = self.host.image_volumes.get(wanted.spec.image, tuple(path for path, _ in had))
        carried = carried_volumes(wanted.spec, of_image, had)
        create = steps.CreateContainer(
            name=wanted.name,
            replica=wanted.replica.made_as,
            project=wanted.project,
            spec=wanted.filled,
            carried=carried,
            reason=f"{reason}{update.about_volumes(carried, had)}",
        )
        return Plan((create,))

    def _repair(self, wanted: Wanted, found: ContainerState) -> Plan:
        failed_with = self.failures.get(wanted.resource, "")
        repair = plan_repair(wanted, found, self.overlays)
        if (refused := self.needs.admission(wanted, found)) != Plan():
            # What runs goes on; nothing of it is changed or started.
            left = tuple(step for step in repair.steps if not isinstance(step, steps.StepWithSpec))
            return repair._replace(steps=left) + refused
        if repair.of(steps.StartContainer) and (obstacle := self.exclusive.obstacle(wanted)) != Plan():
            held = tuple(step for step in repair.steps if not isinstance(step, steps.StartContainer))
            return repair._replace(steps=held) + obstacle
        repaired = heed_ports(repair, wanted.spec, found, self.host, failed_with)
        waits = self.needs.networks(wanted)
        if waits == Plan():
            return repaired
        kept = tuple(step for step in repaired.steps if not self.needs.lacks_network(step))
        if any(isinstance(step, steps.DisconnectNetwork) for step in set(repaired.steps) - set(kept)):
            kept = tuple(step for step in kept if not isinstance(step, steps.RenameContainer))
        return repaired if kept == repaired.steps else repaired._replace(steps=kept) + waits


def _held(wanted: Wanted) -> Plan:
    replica = wanted.replica
    if replica.held_by_fault:
        return blocked_plan(wanted.resource, "dependency", replica.held)
    return waiting_plan(wanted.resource, replica.held, replica.waits_on)


def _without_repetition(plan: Plan) -> Plan:
    """Remove repeated steps: two replicas with the same image, volume or network need it once."""
    shared: set[str] = set()
    kept = []
    for step in plan.steps:
        if isinstance(step, steps.PullImage | steps.CreateVolume) or step.kind == "network":
            if step.resource in shared:
                continue
            shared.add(step.resource)
        kept.append(step)
    return Plan(tuple(kept), tuple(dict.fromkeys(plan.blocked)), tuple(dict.fromkeys(plan.waiting)))
