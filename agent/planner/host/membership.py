"""Plan of this host's membership: init, join or leave. A host leaves a swarm only by the leader's membership order."""

from collections.abc import Iterable
from dataclasses import replace

from agent.diff.claim import next_claimant
from agent.diff.networks import local_names
from agent.diff.replicas import STOPPABLE, at_home, declared_address, has_address, namesake
from agent.model import leader_steps, records, steps
from agent.model.host_state import GOSSIP, RAFT, Attached, HostState, SwarmState, other_swarm
from agent.model.intent import HostIntent, Intent, Role
from agent.model.observed import ClusterState, HostView, Observed
from agent.model.phrases import differs, instead
from agent.model.plan import Blocked, BlockedKind, Plan, blocked_plan, waiting_plan
from agent.planner.host.bridge import blocked_outside
from agent.planner.host.wanted import grace_s, stop

# ---- Two agents with one host name, from a cloned machine or agent.yaml: only one of them may act
#
# The one whose machine has the address that the intent declares for the host acts. The other one does nothing and
# reports nothing under that name while the first has a presence.


def plan_namesake(observed: Observed) -> Plan:
    """Plan to take the host's presence from another agent of the same name, or to leave it to that agent."""
    other = namesake(observed)
    if other is None:
        return _plan_presence(observed)
    copied = other.machine_id and other.machine_id == observed.machine_id
    where = "on a machine with the same machine id" if copied else "on another machine"
    cause = f"another agent runs as {observed.me}, {where}, since {other.since}"
    if at_home(observed):
        cause = f"{cause}; this machine has the declared address"
        return Plan((steps.PutPresence(insists=True, reason=cause),))
    reason = f"{cause}: this agent changes nothing until the other one stops"
    blocked = blocked_plan(f"host/{observed.me}", "foreign", reason)
    resign = leader_steps.Resign(lock=observed.fence, reason=cause) if observed.fence else None
    return Plan((resign,)) + blocked if resign else blocked


def _plan_presence(observed: Observed) -> Plan:
    """Plan to restore a deleted presence.

    Without it the host counts as unreachable, gets no disruption slot, and its replicas may be rescheduled.
    """
    cluster = observed.cluster
    if cluster is None or observed.stale or not cluster.presence_lost:
        return Plan()
    return Plan((steps.PutPresence(reason="the key was deleted"),))


# ---- Leaving a swarm by the leader's order: first stop the replicas on overlays, then leave
#
# Only a manager that its swarm has removed leaves by force, while it finds no raft leader: dockerd refuses it any other
# way out.
#
# A container that runs on an overlay while its host leaves loses that network for good; a stopped one keeps it
# (docs/engine-quirks.md). So replicas are stopped first, and nothing is done while an unmanaged container runs on an
# overlay.


def membership_order_for(observed: HostView) -> records.MembershipOrder | None:
    """The leader's membership order if it matches the engine's present state.

    A manager never leaves on one, except by force while it finds no raft leader.
    """
    swarm, order = observed.host.swarm, None if observed.stale else observed.cluster.membership_order
    if order is None or (order.state, order.node_id) != (swarm.local, swarm.node_id):
        return None
    if order.what == "force":
        return order if swarm.is_manager and swarm.cut_off else None
    return None if order.what == "leave" and swarm.is_manager else order


def plan_leave(intent: Intent, observed: HostView, order: records.MembershipOrder) -> Plan:
    """Plan to stop the replicas on overlays and leave, or report the obstacle.

    A plan without steps postpones nothing else.
    """
    host, declared = observed.host, intent.host(observed.me)
    force = order.what == "force"
    if strangers := _strangers(host, stays_out=declared is None or force):
        names = ", ".join(each.name for each in strangers)
        return _cannot_obey(order, "foreign", f"{names} would lose its overlay if the host left")
    wanted = declared_address(observed)
    if declared and host.addresses and not has_address(host, wanted):
        return _cannot_obey(order, "role", f"this host does not have the address {wanted}")
    if declared and (faults := blocked_outside(intent, host)):
        return _cannot_obey(order, faults[0].kind, f"this host could not join again: {faults[0].reason}")
    reason = f"the host leaves the swarm: {order.reason}"
    if running := [
        each
        for each in host.containers
        if each.status in STOPPABLE and _overlays(host, (name for name, _ in each.addresses))
    ]:
        specs = observed.cluster.specs
        stops = (stop(each.name, each, grace_s(specs.get(each.replica.spec)), reason) for each in running)
        return Plan(tuple(step for each in stops for step in each))
    if force and order.node_id:
        return Plan((steps.AbandonNode(node_id=order.node_id, reason=order.reason),))
    return Plan((steps.LeaveSwarm(reason=order.reason),))


def _cannot_obey(order: records.MembershipOrder, kind: BlockedKind, why: str) -> Plan:
    reason = f"{order.reason}; but {why}"
    return Plan(blocked=(Blocked(resource="swarm", reason=reason, kind=kind, order=order),))


def _strangers(host: HostState, *, stays_out: bool) -> list[Attached]:
    """Unmanaged containers that would lose their overlay: running ones, or all if the host stays out of the swarm.

    Swarm ends the tasks of its services by itself, so only a running task counts.
    """
    ours = {each.id for each in host.containers}
    return [
        each
        for each in host.attached
        if each.id not in ours
        and (each.running or (stays_out and not each.task))
        and (
            each.task
            or _overlays(host, (name for name in each.networks if _may_be_overlay(host, each, name)))
        )
    ]


def _may_be_overlay(host: HostState, found: Attached, name: str) -> bool:
    """Return False if the container is on a local network; a worker may list no network of the name."""
    network = host.network_of(found, name)
    return network is None or network.scope == "swarm"


def _overlays(host: HostState, networks: Iterable[str]) -> set[str]:
    """The overlays among `networks`, which are not local ones: a worker lists an overlay only while it is in use."""
    return {*networks} - local_names(host) - {"host", "none"}


_BY_ORDER = "waits for the leader's order to leave the swarm"
STUCK_S = 300.0
"""Seconds after which a swarm that dockerd reports as pending does not end by itself."""
_LEAVE = "`docker swarm leave` on this host, and it joins again"
_LEAVE_FOR_GOOD = "`docker swarm leave` on this host ends its removal"
_LEAVE_BY_FORCE = (
    "if `docker node ls` works on another manager, `docker swarm leave --force` on this host ends this"
)
_NOT_OF_OURS = (
    "the leader orders it to leave if it was a node of the cluster's swarm. "
    "If it was not, `docker swarm leave --force` on this host deletes what is left of that other swarm"
)
_REMOVED_MANAGER = (
    "it is a manager without a raft leader, and the leader orders it to leave if the swarm no longer has its node. "
    f"Else, {_LEAVE_BY_FORCE}"
)
_RESTART = (
    "dockerd is starting, or a leave failed. "
    "If this lasts more than a minute, run `systemctl restart docker` on this host"
)
_NO_NODE = f"docker reports a swarm but no node id: {_RESTART}"
_OTHER_KEY = "the join tokens are sealed with another key: tokens.key_file in agent.yaml must be the same on every host"
_OLD_SEAL = "by this host's clock, the join tokens were sealed over a day ago: the leader seals new ones; or set clocks"
_IF_DOCKERD = (
    "If the process is dockerd and this lasts more than some seconds, run `systemctl restart docker`"
)
_RAFT_PORT_IN_USE = f"a process listens on port {RAFT} of this host, which a manager needs. {_IF_DOCKERD}"
"""Each join that fails for it leaves a record of a node in the swarm that never gets a name."""
_GOSSIP_PORT_IN_USE = (
    f"a process listens on port {GOSSIP} of this host, so overlays would not work. {_IF_DOCKERD}"
)


def plan_membership(intent: Intent, observed: HostView, *, bridge_ready: bool) -> Plan:
    """Plan to init or join once docker_gwbridge is as declared; report a membership that is not as declared."""
    cluster, host = observed.cluster, observed.host
    if cluster.record_held:
        # An outdated record is enough to start replicas, but not to join.
        cluster = replace(cluster, record=None)
    declared = intent.host(observed.me)
    claim = cluster.record if cluster.record and cluster.record.swarm_id is None else None
    claimed = claim is not None and claim.claimed_by == observed.me
    # The others would wait without end for one that cannot be the leader.
    if claimed and host.swarm.local == "inactive" and not (declared and declared.role == "manager"):
        reason = f"{observed.me} claimed the init, and the intent does not declare it a manager"
        return Plan((steps.GiveUpInit(over=cluster.record_revision, reason=reason),))
    if (leftover := _leftover(cluster, declared, host)) != Plan():
        return leftover
    if declared is None:
        return _removed(observed, cluster, host)
    if host.swarm.local == "inactive" and host.no_swarm:
        return blocked_plan("swarm", "unsupported", host.no_swarm)
    if host.swarm.local == "inactive":
        return _join(intent, declared, observed, cluster) if bridge_ready else Plan()
    if host.swarm.local != "active":
        return _not_active(cluster, host, observed.pending_s)
    return _member(declared, observed, cluster, host)


def _leftover(cluster: ClusterState, declared: HostIntent | None, host: HostState) -> Plan:
    """Plan to dissolve this host's own empty swarm if another one is recorded.

    Two swarms are created if a host that claimed the init loses its lease between init and record. Only a swarm with
    our label and without other nodes or networks is dissolved: an operator may have created any other. A host that
    may join again does so only by tokens of the recorded swarm, which nobody who forges the record can seal.
    """
    swarm, record, tokens = host.swarm, cluster.record, cluster.tokens
    if record is None or swarm.local != "active" or not swarm.swarm_id:
        return Plan()
    is_proven = declared is None or (tokens is not None and tokens.swarm_id == record.swarm_id)
    if record.swarm_id in (None, swarm.swarm_id) or not is_proven:
        return Plan()
    alone = swarm.nodes is not None and [each.id for each in swarm.nodes] == [swarm.node_id]
    used = [each for each in host.networks if each.scope == "swarm" and each.name != "ingress"]
    if not (swarm.made_here and swarm.is_manager and alone) or used:
        return Plan()
    reason = f"swarm {swarm.swarm_id} is empty, and the recorded swarm of the cluster is {record.swarm_id}"
    return Plan((steps.DissolveSwarm(swarm_id=swarm.swarm_id, reason=reason),))


def _join(intent: Intent, declared: HostIntent, observed: HostView, cluster: ClusterState) -> Plan:
    record, advertise = cluster.record, observed.advertise or str(declared.address)
    if record is None:
        return waiting_plan("swarm", "no swarm is recorded yet", "leader/")
    if observed.host.has_listener(GOSSIP):
        return blocked_plan("swarm", "port", _GOSSIP_PORT_IN_USE)
    if record.swarm_id is None:
        if record.claimed_by == observed.me and observed.fence:
            if heir := next_claimant(intent, observed):
                return waiting_plan("swarm", f"the claim on the init goes to {heir.host}: {heir.why}")
            init = steps.InitSwarm(
                advertise=advertise,
                pool=intent.swarm.default_addr_pool,
                mask_length=intent.swarm.mask_length,
                data_path_port=intent.swarm.data_path_port,
                reason="no swarm yet, and this host has the claim",
            )
            return Plan((init,))
        failed = dict(record.unable).get(observed.me)
        because = f", as this host could not: {failed}" if failed else ""
        reason = f"{record.claimed_by} is creating the swarm{because}"
        return waiting_plan("swarm", reason, f"host/{record.claimed_by}")
    if not cluster.tokens or cluster.tokens.swarm_id != record.swarm_id:
        if cluster.tokens_locked:
            return waiting_plan("swarm", _OTHER_KEY)
        return waiting_plan(
            "swarm", f"no join tokens for swarm {record.swarm_id} are published yet", "leader/"
        )
    if 0 < cluster.tokens_sealed_at < observed.seen_at - records.SEAL_LASTS_S:
        return waiting_plan("swarm", _OLD_SEAL, "leader/")
    later = declared.role == "manager" and not cluster.tokens.manager
    role: Role = "worker" if later else declared.role
    if role == "manager" and observed.host.has_listener(RAFT):
        return blocked_plan("swarm", "port", _RAFT_PORT_IN_USE)
    token = cluster.tokens.manager if role == "manager" else cluster.tokens.worker
    remotes = tuple(address for _, address in record.managers)
    for_now = ", but joins as a worker first: a manager of the swarm is unreachable" if later else ""
    reason = f"declared a {declared.role} of swarm {record.swarm_id}{for_now}"
    step = steps.JoinSwarm(role=role, advertise=advertise, remotes=remotes, token=token, reason=reason)
    return Plan((step,))


def _not_active(cluster: ClusterState, host: HostState, pending_s: float) -> Plan:
    swarm = host.swarm
    error = f": {swarm.error}" if swarm.error else ""
    if swarm.local == "pending":
        # A removed manager leaves on the leader's order; one whose certificates are another authority's stays pending.
        what, remedy, on = "dockerd has not finished joining the swarm", _LEAVE, ""
        if swarm.is_manager:
            what, remedy, on = "docker looks for the other managers of its swarm", _LEAVE_BY_FORCE, "quorum/"
        if pending_s < STUCK_S:
            return waiting_plan("swarm", f"{what}{error}", on)
        return blocked_plan("swarm", "error", f"{what} for {pending_s / 60:.0f} min{error}; {remedy}")
    if swarm.local == "locked":
        if cluster.unlock:
            # A locked engine does not report its swarm; the key of another swarm has no effect.
            reason = "the swarm is locked, and its unlock key is published"
            return Plan((steps.UnlockHost(keys=cluster.unlock.keys, reason=reason),))
        reason = f"the swarm is locked; `docker swarm unlock` needs the unlock key{error}"
        return blocked_plan("swarm", "locked", reason)
    return blocked_plan("swarm", "error", f"docker reports the swarm as {swarm.local}{error}; {_NOT_OF_OURS}")


def _member(declared: HostIntent, observed: Observed, cluster: ClusterState, host: HostState) -> Plan:
    record, swarm = cluster.record, host.swarm
    if swarm.node_id is None:
        return blocked_plan("swarm", "error", _NO_NODE)
    if record and (other := other_swarm(record, swarm)):
        return blocked_plan("swarm", "foreign", f"in {other}, while the cluster's is {record.swarm_id}")
    role = "manager" if swarm.is_manager else "worker"
    if role != declared.role:
        return waiting_plan("swarm", f"{instead(declared.role, role)}: the leader changes roles one by one")
    wanted = observed.advertise or str(declared.address)
    if swarm.address and swarm.address != wanted:
        remedy = "a manager keeps its address: declare it a worker first" if swarm.is_manager else _BY_ORDER
        return blocked_plan("swarm", "role", f"{differs('address', wanted, swarm.address)}: {remedy}")
    return Plan()


def _removed(observed: Observed, cluster: ClusterState, host: HostState) -> Plan:
    """Report a host that the intent does not name, and how its removal continues if it is in the recorded swarm."""
    record, swarm = cluster.record, host.swarm
    was_named = cluster.assignment is not None
    if was_named and swarm.local != "inactive" and swarm.node_id is None:
        what = f"the intent does not name {observed.me}, and docker reports its swarm as {swarm.local} without a node"
        remedy = {"pending": _LEAVE_FOR_GOOD, "active": _RESTART, "locked": _LEAVE_BY_FORCE}
        return blocked_plan("swarm", "removal", f"{what}; {remedy.get(swarm.local, _NOT_OF_OURS)}")
    if swarm.local == "inactive" or record is None or not _is_in(record, swarm):
        # A misspelt name looks the same: without this report the operator would see no cause.
        reason = f"the intent does not name {observed.me}: nothing is changed on this host"
        return blocked_plan(f"host/{observed.me}", "removal", reason)
    if not was_named:
        waits = "no document has named it before, so it is not changed"
    elif swarm.cut_off:
        waits = _REMOVED_MANAGER
    elif swarm.is_manager:
        waits = "the leader demotes it first"
    elif swarm.local == "pending" and observed.pending_s >= STUCK_S:
        waits = (
            f"dockerd has looked for its managers for {observed.pending_s / 60:.0f} min; {_LEAVE_FOR_GOOD}"
        )
    elif host.containers:
        left = len(host.containers)
        waits = f"{left} managed {'containers are' if left > 1 else 'container is'} left on it"
    else:
        waits = _BY_ORDER
    return blocked_plan("swarm", "removal", f"the intent does not name {observed.me}: {waits}")


def _is_in(record: records.SwarmRecord, swarm: SwarmState) -> bool:
    """Return True if the host is known to be in the recorded swarm."""
    if swarm.swarm_id:
        return swarm.swarm_id == record.swarm_id
    return bool({node for node, _ in swarm.managers} & {node for node, _ in record.managers})
