"""The host's own replicas: what runs is what is assigned, field by field; what carries no mark of ours is not seen."""

from collections.abc import Iterable
from dataclasses import replace

from agent.diff.container import describe_change
from agent.diff.replicas import (
    DUPLICATE_ADDRESS,
    STOPPABLE,
    container_name,
    fill_context,
    has_duplicate_address,
)
from agent.errors import Invalid
from agent.model import records, steps
from agent.model.host_state import ContainerState, HostState
from agent.model.intent import Intent
from agent.model.observed import ClusterState, Observed
from agent.model.phrases import short_id
from agent.model.plan import Blocked, Plan, blocked_plan
from agent.planner.host import update
from agent.planner.host.prerequisites import Needs, heed_ports
from agent.planner.host.repair import plan_repair
from agent.planner.host.wanted import Names, Wanted

# ---- An overlay must not lose its last endpoint on a host while a replica is about to join it there
#
# dockerd takes an overlay off the host when the last container leaves it, a moment later and without a lock
# against one that is just being started: that one fails with "network not found" and keeps the address it was
# promised (moby#32607 and its kin; docs/engine-quirks.md). So one of the replicas that go waits until another
# one has come.


SWARM = "swarm"


def keep_last_endpoints(plan: Plan, host: HostState) -> Plan:
    """The plan less the chain of one replica per overlay that would be left bare while others are started."""
    stopping = {step.name for step in plan.steps if isinstance(step, steps.StopContainer)}
    for network in sorted(_overlays(host)):
        on_it = {each.name for each in host.containers if _runs_on(network, each.addresses)}
        coming = _coming(network, plan, host)
        if on_it and on_it <= stopping and len(on_it | coming) > 1 and coming:
            plan = _hold(plan, _last(on_it, plan), network)
    return plan


def _overlays(host: HostState) -> set[str]:
    local = {each.name for each in host.networks if each.scope != SWARM}
    return {network for each in host.containers for network, _ in each.addresses} - local


def _runs_on(network: str, addresses: Iterable[tuple[str, str]]) -> bool:
    return any(name == network and address for name, address in addresses)


def _coming(network: str, plan: Plan, host: HostState) -> set[str]:
    """Names of the replicas that the plan starts on it."""
    starting = {step.name for step in plan.steps if isinstance(step, steps.StartContainer)}
    joined = {each.name for each in host.containers if network in dict(each.addresses)}
    created = (step for step in plan.steps if isinstance(step, steps.CreateContainer))
    connected = (step for step in plan.steps if isinstance(step, steps.ConnectNetwork))
    joined |= {step.name for step in created if network in {each.network for each in step.spec.networks}}
    joined |= {step.name for step in connected if step.attachment.network == network}
    return starting & joined


def _last(names: set[str], plan: Plan) -> str:
    """Of those that go, one that comes back if there is any: what is surplus shall not stay longer than it must."""
    replaced = names & {step.name for step in plan.steps if isinstance(step, steps.CreateContainer)}
    return max(replaced or names)


def _hold(plan: Plan, name: str, network: str) -> Plan:
    held = Blocked(
        resource=f"container/{name}",
        reason=f"waits until another replica is on {network}, which must not lose its last one here meanwhile",
        kind="waiting",
    )
    return plan.without(frozenset({held.resource})) + Plan(blocked=(held,))


REPORTED_S = 20.0
"""Longer than a host takes to say what it runs, and than the lease of one that cannot (15 s, if not set otherwise)."""


def plan_replicas(intent: Intent, observed: Observed) -> Plan:
    """Pull, create, start, repair and replace the assigned replicas; stop and remove ours that are not assigned."""
    cluster, host = observed.cluster, observed.host
    assert cluster is not None
    assert host is not None
    if cluster.assignment is None:
        return Plan()
    project = cluster.assignment.project
    chosen = {
        replica: update.best(update.candidates(replica, host), replica, container_name(project, replica))
        for replica in cluster.assignment.replicas
    }
    keep = {found.id for found in chosen.values() if found}
    unknown = [replica for replica in chosen if replica.spec not in cluster.specs]
    keep |= {each.id for replica in unknown for each in update.candidates(replica, host)}
    names = Names(host, keep, project, cluster.assignment.replicas)
    scene = _Scene(intent, host, cluster, names, observed)
    plan = Plan()
    for assigned, found in chosen.items():
        replica = _as_it_is(assigned, found, observed)
        spec = cluster.specs.get(replica.spec)
        if spec is None:
            name = container_name(project, replica)
            plan += blocked_plan(
                f"container/{name}",
                "dependency",
                f"its spec {short_id(replica.spec)} cannot be read from etcd",
            )
            continue
        context = fill_context(intent, observed.me, host.swarm, replica)
        wanted = Wanted(replica=replica, project=project, spec=spec, context=context)
        others = [each for each in update.candidates(replica, host) if found and each.id != found.id]
        tried = scene.try_out(wanted, found, others) if found else None
        plan += update.clear_away(others, scene.plan(wanted, found), wanted) if tried is None else tried
    surplus = update.plan_surplus(host, frozenset(cluster.assignment.replicas), keep)
    if observed.stale:
        surplus = _later(surplus)
    return keep_last_endpoints(_once(surplus + plan), host)


def _as_it_is(replica: records.Replica, found: ContainerState | None, observed: Observed) -> records.Replica:
    """The replica to hold the container to. While etcd is away it has the spec that was: what was kept may be older."""
    return replace(replica, spec=found.replica.spec) if found and observed.stale else replica


def _later(surplus: Plan) -> Plan:
    """Nothing is taken away on the word of what was kept: the replica may have been assigned since."""
    names = dict.fromkeys(step.resource for step in surplus.steps)
    reason = "not assigned here by what was kept; it is left until etcd answers"
    return Plan(blocked=tuple(Blocked(resource=each, reason=reason, kind="waiting") for each in names))


class _Scene:
    """What a replica is decided upon with. Holds no state of its own."""

    def __init__(
        self, intent: Intent, host: HostState, cluster: ClusterState, names: Names, observed: Observed
    ) -> None:
        self.intent, self.host, self.cluster, self.names = intent, host, cluster, names
        self.in_flight, self.failures = observed.in_flight, observed.failures
        self.stale, self.show_secrets = observed.stale, observed.show_secrets
        self.recreated = update.recreated_overlays(intent, observed)
        self.needs = Needs(intent, host, cluster)

    def plan(self, wanted: Wanted, found: ContainerState | None) -> Plan:
        try:
            return self._decide(wanted, found)
        except Invalid as error:
            return blocked_plan(wanted.resource, "dependency", str(error))

    def try_out(self, wanted: Wanted, found: ContainerState, others: list[ContainerState]) -> Plan | None:
        """What to do with the new container of a replica while the old one goes on; None: there is no such pair."""
        service = self.intent.service(wanted.replica.service)
        lacks = update.on_trial(service, wanted, found, others, stale=self.stale)
        if not lacks or self.recreated:
            return None
        if found.busy or found.status == "removing":
            return Plan()
        aside = replace(wanted, called=found.name)
        if has_duplicate_address(found, wanted.replica, wanted.spec):
            return self.plan(aside, found)  # one chain of steps: between tries that fail is time
        plan = self._repair(aside, found)
        return plan if plan.steps else plan + blocked_plan(wanted.resource, "waiting", lacks)

    def _decide(self, wanted: Wanted, found: ContainerState | None) -> Plan:
        if found and found.status == "removing":
            return Plan()
        if found and found.busy:
            return self._wait_for_dockerd(found)
        if (way := update.detach_for_recreate(wanted, found, self.recreated)) is not None:
            return (Plan() if wanted.spec.image in self.host.images else self.needs.image(wanted)) + way
        if taken := self.names.plan(wanted, found):
            return taken
        if wanted.replica.waits and found is None:
            return self.needs.image(wanted) + blocked_plan(wanted.resource, "waiting", wanted.replica.waits)
        if wanted.replica.held and not (found and found.status in STOPPABLE):
            # One that runs goes on: what somebody else waits for may be the address that it has.
            return self.needs.image(wanted) + blocked_plan(wanted.resource, "waiting", wanted.replica.held)
        if found is None:
            return self._create(
                wanted, f"{wanted.replica.service} replica {wanted.replica.slot} is assigned here"
            )
        if reason := self._why_replace(wanted, found):
            return self._replace(wanted, found, reason)
        return self._repair(wanted, found)

    def _wait_for_dockerd(self, found: ContainerState) -> Plan:
        if f"container/{found.name}" in self.in_flight:
            return Plan()
        return blocked_plan(
            f"container/{found.name}", "waiting", "dockerd is working on it and does not answer for it"
        )

    def _why_replace(self, wanted: Wanted, found: ContainerState) -> str:
        if found.replica.spec != wanted.replica.spec:
            old = self.cluster.specs.get(found.replica.spec)
            words = describe_change(old, wanted.spec, show_secrets=self.show_secrets) if old else ""
            return words or f"spec {short_id(found.replica.spec)} -> {short_id(wanted.replica.spec)}"
        if found.status == "dead":
            return "docker calls it dead"
        if has_duplicate_address(found, wanted.replica, wanted.spec):
            return DUPLICATE_ADDRESS
        if (why := dict(wanted.replica.recreate).get(found.id)) and self._is_sure(found):
            return why
        return "; ".join(str(each) for each in found.differences if each.repair == "replace")

    def _is_sure(self, found: ContainerState) -> bool:
        """Whether what the leader says of a container is not from a moment in which another host had yet to report."""
        return found.up_s >= REPORTED_S and not self.stale

    def _replace(self, wanted: Wanted, found: ContainerState, reason: str) -> Plan:
        made, waits = self._make(wanted, reason), self.needs.networks(wanted)
        if not _creates(made):
            return made + waits  # pull first: the old replica runs until the new one can be made
        if waits != Plan():
            return waits
        if update.starts_first(self.intent.service(wanted.replica.service), wanted, found):
            return update.beside(made, wanted)
        return update.replacement(made, wanted, found, reason)

    def _create(self, wanted: Wanted, reason: str) -> Plan:
        made, waits = self._make(wanted, reason), self.needs.networks(wanted)
        if not _creates(made):
            return made + waits
        if waits == Plan():
            return made + Plan((steps.StartContainer(name=wanted.name, reason=reason),))
        # dockerd looks for the only network of a container when it starts: what can be done before, is done.
        overlay_comes = not waits.steps and all(each.kind == "waiting" for each in waits.blocked)
        return made + waits if overlay_comes and len(wanted.spec.networks) == 1 else waits

    def _make(self, wanted: Wanted, reason: str) -> Plan:
        """Create the container, or first what has to be there for that."""
        if (lacking := self.needs.image(wanted)) != Plan():
            return lacking
        if (missing := self.needs.volumes(wanted)) != Plan():
            return missing
        create = steps.CreateContainer(
            name=wanted.name,
            replica=wanted.replica.made_as,
            project=wanted.project,
            spec=wanted.filled,
            reason=reason,
        )
        return Plan((create,))

    def _repair(self, wanted: Wanted, found: ContainerState) -> Plan:
        failed_with = self.failures.get(wanted.resource, "")
        overlays = [network for network, _ in found.addresses if self.needs.is_overlay(network)]
        repair = plan_repair(wanted, found, overlays)
        repaired = heed_ports(repair, wanted.spec, found, self.host, failed_with)
        waits = self.needs.networks(wanted)
        if waits == Plan():
            return repaired
        kept = tuple(step for step in repaired.steps if not self.needs.lacks_network(step))
        if any(isinstance(step, steps.DisconnectNetwork) for step in set(repaired.steps) - set(kept)):
            kept = tuple(step for step in kept if not isinstance(step, steps.RenameContainer))
        return repaired if kept == repaired.steps else Plan(kept, repaired.blocked) + waits


def _creates(plan: Plan) -> bool:
    return any(isinstance(step, steps.CreateContainer) for step in plan.steps)


def _once(plan: Plan) -> Plan:
    """Two replicas that want the same image, volume or network ask for it once."""
    shared: set[str] = set()
    kept = []
    for step in plan.steps:
        if isinstance(step, steps.PullImage | steps.CreateVolume) or step.kind == "network":
            if step.resource in shared:
                continue
            shared.add(step.resource)
        kept.append(step)
    return Plan(tuple(kept), tuple(dict.fromkeys(plan.blocked)))
