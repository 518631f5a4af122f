"""The host's own membership: join the recorded swarm by role, or say why not. To leave it needs the leader's word."""

from collections.abc import Iterable
from dataclasses import replace

from agent.diff.replicas import STOPPABLE, at_home, declared_address, has_address, namesake
from agent.model import leader_steps, records, steps
from agent.model.host_state import GOSSIP, Attached, ContainerState, HostState, SwarmState, other_swarm
from agent.model.intent import HostIntent, Intent, Role
from agent.model.observed import ClusterState, Observed
from agent.model.phrases import differs, instead
from agent.model.plan import Plan, Step, blocked_plan
from agent.planner.host.bridge import held_outside
from agent.planner.host.wanted import grace_s, stop

# ---- Two agents that go by one host's name: a copied machine, or a copied agent.yaml. Only one of them may act.
#
# It is the one whose machine has the address that the intent declares for the host. The other one does
# nothing, and says nothing in the host's name, for as long as the first is there.


def plan_namesake(observed: Observed) -> Plan:
    """Take the name from another agent, or leave it to him."""
    other = namesake(observed)
    if other is None:
        return _plan_presence(observed)
    said = f"another agent is there as {observed.me}, {_kind(observed, other)}, since {other.since}"
    if at_home(observed):
        said = f"{said}; the address that the intent declares is here"
        return Plan((steps.PutPresence(insists=True, reason=said),))
    reason = f"{said}: nothing is done here before it is gone"
    held = blocked_plan(f"host/{observed.me}", "foreign", reason)
    return Plan((leader_steps.Resign(reason=said),)) + held if observed.fence else held


def _plan_presence(observed: Observed) -> Plan:
    """Without it everybody would take this agent for one that is away.

    Its host would get no disruption slot, and lose replicas.
    """
    cluster = observed.cluster
    if cluster is None or observed.stale or not cluster.presence_lost:
        return Plan()
    return Plan((steps.PutPresence(reason="somebody has deleted it"),))


def _kind(observed: Observed, other: records.Presence) -> str:
    copied = other.machine_id and other.machine_id == observed.machine_id
    return "on a machine with the same machine id" if copied else "on another machine"


# ---- The way out of a swarm, on the leader's word: replicas on overlays stopped first, then the leave, never by force.
#
# A container that runs on an overlay when its host leaves loses that network for good, one that is stopped
# keeps it (docs/engine-quirks.md). So ours are stopped before, and where others run on an overlay nothing is
# done.


_JOBS = ("no", "on-failure")


def membership_order_for(observed: Observed) -> records.MembershipOrder | None:
    """The leader's word on this host's membership, if it speaks of what the engine says now; a manager never leaves."""
    cluster, host = observed.cluster, observed.host
    membership_order = cluster.membership_order if cluster and not observed.stale else None
    if (
        membership_order is None
        or host is None
        or (host.swarm.is_manager and membership_order.what == "leave")
    ):
        return None
    return (
        membership_order
        if (membership_order.state, membership_order.node_id) == (host.swarm.local, host.swarm.node_id)
        else None
    )


def plan_leave(intent: Intent, observed: Observed, membership_order: records.MembershipOrder) -> Plan:
    """Stop our replicas on overlays and leave, or say what stands against it.

    Without steps nothing else has to wait.
    """
    host, declared = observed.host, intent.host(observed.me)
    assert host is not None
    if strangers := _strangers(host, stays_out=declared is None):
        who = ", ".join(each.name for each in strangers)
        return blocked_plan(
            "swarm", "foreign", membership_order.held(f"{who} would lose its overlay if the host left")
        )
    wanted = declared_address(observed)
    if declared and host.addresses and not has_address(host, wanted):
        return blocked_plan(
            "swarm", "role", membership_order.held(f"this host does not have the address {wanted}")
        )
    if declared and (held := held_outside(intent, host)):
        words = f"once out this host could not come back: {held[0].reason}"
        return blocked_plan("swarm", held[0].kind, membership_order.held(words))
    reason = f"the host leaves the swarm: {membership_order.reason}"
    running = [each for each in _on_overlays(host) if each.status in STOPPABLE]
    if running:
        return Plan(tuple(step for each in running for step in _stop(each, observed, reason)))
    return Plan((steps.LeaveSwarm(reason=membership_order.reason),))


def _stop(found: ContainerState, observed: Observed, reason: str) -> Iterable[Step]:
    spec = observed.cluster.specs.get(found.replica.spec) if observed.cluster else None
    yield from stop(found.name, found, grace_s(spec), reason)
    if spec and spec.restart and spec.restart.name in _JOBS:
        # Stopped it would pass for done; recreated it does its work once the host is in again.
        yield steps.RemoveContainer(name=found.name, id=found.id, reason=reason)


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


_ON_ITS_WORD = "leaves the swarm on the leader's word"
_NO_NODE = (
    "docker says that it is in a swarm, and has no node there: it is starting, or gave up on a leave; "
    "if this goes on for more than a minute, `systemctl restart docker` on this host helps"
)
_GOSSIP_IS_TAKEN = (
    f"somebody listens on port {GOSSIP} of this host, and in a swarm its overlays would reach nobody; if it is dockerd "
    "and goes on after some seconds, for the swarm it was in, `systemctl restart docker` helps"
)


def plan_membership(intent: Intent, observed: Observed, *, bridge_ready: bool) -> Plan:
    """Init or join once docker_gwbridge is as agreed; report a membership that is not as declared."""
    cluster, host = observed.cluster, observed.host
    assert cluster is not None
    assert host is not None
    if cluster.record_held:
        # The last one that could be read is good enough to start replicas by, not to join by.
        cluster = replace(cluster, record=None)
    declared = intent.host(observed.me)
    if host.swarm.local == "inactive" and _claims_in_vain(declared, observed.me, cluster.record):
        reason = f"{observed.me} claimed it, and the intent does not declare it a manager"
        return Plan((steps.GiveUpInit(over=cluster.record_revision, reason=reason),))
    if (leftover := _leftover(cluster.record, host)) != Plan():
        return leftover
    if declared is None:
        return _removed(observed, cluster, host)
    if host.swarm.local == "inactive":
        return _enter(intent, declared, observed, cluster) if bridge_ready else Plan()
    if host.swarm.local != "active":
        return _not_active(cluster, host)
    return _member(declared, observed, cluster, host)


def _claims_in_vain(declared: HostIntent | None, me: str, record: records.SwarmRecord | None) -> bool:
    """Whether this host is to make the swarm, and cannot lead to do it: the others would wait for it for ever."""
    is_manager = declared is not None and declared.role == "manager"
    return record is not None and record.swarm_id is None and record.claimed_by == me and not is_manager


def _leftover(record: records.SwarmRecord | None, host: HostState) -> Plan:
    """Dissolve the swarm that this host is in, where another host was to make one meanwhile, and that one is recorded.

    Two come about where a host that claimed the init is gone for longer than its lease between making and recording it.
    Only one that is empty, and whose own label says that it was made for this cluster: what people made is theirs.
    """
    swarm = host.swarm
    if record is None or swarm.local != "active" or not swarm.swarm_id:
        return Plan()
    if record.swarm_id in (None, swarm.swarm_id):
        return Plan()
    alone = swarm.nodes is not None and [each.id for each in swarm.nodes] == [swarm.node_id]
    used = [each for each in host.networks if each.scope == "swarm" and each.name != "ingress"]
    if not (swarm.made_here and swarm.is_manager and alone) or used:
        return Plan()
    reason = f"swarm {swarm.swarm_id} came to nothing: the cluster's is {record.swarm_id}, and nobody is in this one"
    return Plan((steps.DissolveSwarm(swarm_id=swarm.swarm_id, reason=reason),))


def _enter(intent: Intent, declared: HostIntent, observed: Observed, cluster: ClusterState) -> Plan:
    record, advertise = cluster.record, observed.advertise or str(declared.address)
    if record is None:
        return blocked_plan("swarm", "waiting", "no swarm is recorded yet")
    if observed.host and observed.host.gossip_port_in_use:
        return blocked_plan("swarm", "waiting", _GOSSIP_IS_TAKEN)
    if record.swarm_id is None:
        if record.claimed_by == observed.me and observed.fence:
            return _init(intent, advertise)
        return blocked_plan("swarm", "waiting", f"{record.claimed_by} is making the swarm")
    if not cluster.tokens or cluster.tokens.swarm_id != record.swarm_id:
        return blocked_plan(
            "swarm", "waiting", f"no join tokens for swarm {record.swarm_id} are published yet"
        )
    later = declared.role == "manager" and not cluster.tokens.manager
    role: Role = "worker" if later else declared.role
    token = cluster.tokens.manager if role == "manager" else cluster.tokens.worker
    remotes = tuple(address for _, address in record.managers)
    for_now = ", but a worker at first: a manager of it cannot be reached" if later else ""
    reason = f"declared a {declared.role} of swarm {record.swarm_id}{for_now}"
    step = steps.JoinSwarm(role=role, advertise=advertise, remotes=remotes, token=token, reason=reason)
    return Plan((step,))


def _init(intent: Intent, advertise: str) -> Plan:
    step = steps.InitSwarm(
        advertise=advertise,
        pool=intent.swarm.default_addr_pool,
        mask_length=intent.swarm.mask_length,
        data_path_port=intent.swarm.data_path_port,
        reason="no swarm yet, and this host holds the claim",
    )
    return Plan((step,))


def _not_active(cluster: ClusterState, host: HostState) -> Plan:
    swarm = host.swarm
    words = f": {swarm.error}" if swarm.error else ""
    if swarm.local == "pending" and swarm.is_manager:
        # Seen also on a manager that was removed while it was away; it cannot leave without --force then.
        return blocked_plan("swarm", "waiting", f"docker looks for the other managers of its swarm{words}")
    if swarm.local == "pending":
        return blocked_plan("swarm", "waiting", f"docker is still joining{words}")
    if swarm.local == "locked":
        if cluster.unlock:
            return plan_unlock(cluster.unlock)
        return blocked_plan(
            "swarm", "locked", f"the swarm is locked; `docker swarm unlock` needs the unlock key{words}"
        )
    return blocked_plan(
        "swarm", "error", f"docker reports the swarm as {swarm.local}{words}; leaves it on the leader's word"
    )


def _member(declared: HostIntent, observed: Observed, cluster: ClusterState, host: HostState) -> Plan:
    record, swarm = cluster.record, host.swarm
    if swarm.node_id is None:
        return blocked_plan("swarm", "waiting", _NO_NODE)
    if record and (other := other_swarm(record, swarm)):
        return blocked_plan("swarm", "foreign", f"in {other}, while the cluster's is {record.swarm_id}")
    role = "manager" if swarm.is_manager else "worker"
    if role != declared.role:
        return blocked_plan(
            "swarm", "waiting", f"{instead(declared.role, role)}: the leader changes roles, one by one"
        )
    wanted = observed.advertise or str(declared.address)
    if swarm.address and swarm.address != wanted:
        how = "a manager keeps its address: declare it a worker first" if swarm.is_manager else _ON_ITS_WORD
        return blocked_plan("swarm", "role", f"{differs('address', wanted, swarm.address)}: {how}")
    return Plan()


def _removed(observed: Observed, cluster: ClusterState, host: HostState) -> Plan:
    """The intent does not name this host (any more). What it is in is left only if it is the cluster's swarm."""
    record, swarm = cluster.record, host.swarm
    if swarm.local == "inactive" or record is None or not _is_in(record, swarm):
        # A name that was misspelt looks the same: without a word nobody would know why nothing happens.
        reason = f"the intent does not name {observed.me}: nothing is done here"
        return blocked_plan(f"host/{observed.me}", "waiting", reason)
    if cluster.assignment is None:
        waits = "this host is left as it is"  # it never was named
    elif swarm.is_manager:
        waits = "the leader demotes it first"
    elif host.containers:
        waits = f"{len(host.containers)} of our replicas are still here"
    else:
        waits = _ON_ITS_WORD
    return blocked_plan("swarm", "removal", f"the intent does not name {observed.me}: {waits}")


def _is_in(record: records.SwarmRecord, swarm: SwarmState) -> bool:
    """Whether that is known to be the recorded swarm."""
    if swarm.swarm_id:
        return swarm.swarm_id == record.swarm_id
    return bool({node for node, _ in swarm.managers} & {node for node, _ in record.managers})


def plan_unlock(published: records.UnlockKeys) -> Plan:
    """Unlock this host. Which swarm it is in a locked engine does not say; another one's key opens nothing."""
    reason = "the swarm is locked, and its unlock key is published"
    return Plan((steps.UnlockHost(keys=published.keys, reason=reason),))
