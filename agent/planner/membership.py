"""The host's own membership: join the recorded swarm by role, or say why not. Never leave, never force."""

from agent.model.intent import HostIntent, Intent
from agent.model.observed import ClusterState, HostState, Observed, SwarmState
from agent.model.records import SwarmRecord
from agent.model.steps import Blocked, BlockedKind, InitSwarm, JoinSwarm, Plan


def plan_membership(intent: Intent, observed: Observed, *, bridge_ready: bool) -> Plan:
    """Init or join once docker_gwbridge is as agreed; report a membership that is not as declared."""
    cluster, host = observed.cluster, observed.host
    assert cluster is not None
    assert host is not None
    declared = intent.host(observed.me)
    if declared is None:
        return _blocked("removal", f"the intent does not name {observed.me}: this host is left as it is")
    if host.swarm.local == "inactive":
        return _enter(intent, declared, observed, cluster) if bridge_ready else Plan()
    if host.swarm.local != "active":
        return _not_active(host)
    return _member(declared, observed, cluster, host)


def _enter(intent: Intent, declared: HostIntent, observed: Observed, cluster: ClusterState) -> Plan:
    record, advertise = cluster.record, observed.advertise or str(declared.address)
    if record is None:
        return _blocked("waiting", "no swarm is recorded yet")
    if record.swarm_id is None:
        if record.claimed_by == observed.me and observed.fence:
            return _init(intent, advertise)
        return _blocked("waiting", f"{record.claimed_by} is making the swarm")
    if not cluster.tokens or cluster.tokens.swarm_id != record.swarm_id:
        return _blocked("waiting", f"no join tokens for swarm {record.swarm_id} are published yet")
    token = cluster.tokens.manager if declared.role == "manager" else cluster.tokens.worker
    remotes = tuple(address for _, address in record.managers)
    reason = f"declared a {declared.role} of swarm {record.swarm_id}"
    step = JoinSwarm(role=declared.role, advertise=advertise, remotes=remotes, token=token, reason=reason)
    return Plan((step,))


def _init(intent: Intent, advertise: str) -> Plan:
    step = InitSwarm(
        advertise=advertise,
        pool=intent.swarm.default_addr_pool,
        mask_length=intent.swarm.mask_length,
        data_path_port=intent.swarm.data_path_port,
        reason="no swarm yet, and this host holds the claim",
    )
    return Plan((step,))


def _not_active(host: HostState) -> Plan:
    swarm = host.swarm
    words = f": {swarm.error}" if swarm.error else ""
    if swarm.local == "pending":
        return _blocked("waiting", f"docker is still joining{words}")
    if swarm.local == "locked":
        return _blocked("locked", f"the swarm is locked; `docker swarm unlock` needs the unlock key{words}")
    return _blocked("error", f"docker reports the swarm as {swarm.local}{words}")


def _member(declared: HostIntent, observed: Observed, cluster: ClusterState, host: HostState) -> Plan:
    record, swarm = cluster.record, host.swarm
    if record and (other := other_swarm(record, swarm)):
        return _blocked("foreign", f"in {other}, while the cluster's is {record.swarm_id}")
    role = "manager" if swarm.is_manager else "worker"
    if role != declared.role:
        return _blocked(
            "waiting", f"{declared.role} wanted, {role} found: the leader changes roles, one by one"
        )
    wanted = observed.advertise or str(declared.address)
    if swarm.address and swarm.address != wanted:
        return _blocked("role", f"address: {wanted} wanted, {swarm.address} found: needs leave and join")
    return Plan()


def other_swarm(record: SwarmRecord, swarm: SwarmState) -> str:
    """Which other swarm this host is in, in words; empty when it is in the recorded one, or that cannot be told.

    A worker does not know the id of its swarm (GET /info says it to managers only), nor does a manager while the swarm
    has no leader; but both know who manages it.
    """
    if swarm.swarm_id:
        return f"swarm {swarm.swarm_id}" if record.swarm_id not in (None, swarm.swarm_id) else ""
    known, recorded = {node for node, _ in swarm.managers}, {node for node, _ in record.managers}
    strangers = known and recorded and not known & recorded
    return f"the swarm managed by {', '.join(sorted(known))}" if strangers else ""


def _blocked(kind: BlockedKind, reason: str) -> Plan:
    return Plan(blocked=(Blocked(resource="swarm", reason=reason, kind=kind),))
