"""The one swarm of the cluster, from the leader's side: who makes it, its record, its join tokens."""

from dataclasses import replace

from agent.diff.networks import ready_overlays
from agent.diff.nodes import HOST_LABEL, etcd_of
from agent.model import leader_steps, records
from agent.model.host_state import HostState, SwarmState
from agent.model.intent import Intent
from agent.model.observed import ClusterState, Observed
from agent.model.plan import Plan, blocked_plan
from agent.model.status import HostStatus
from agent.planner.leader.recreate import to_recreate

# ---- Swarm's autolock, as `x-cluster.swarm.autolock` says: switched by the leader, who publishes the key that unlocks.


NO_KEY = (
    "x-cluster.swarm.autolock needs tokens.key_file in agent.yaml of every host: without it the unlock key would lie "
    "in etcd for everybody who reads that"
)


def plan_autolock(intent: Intent, cluster: ClusterState, host: HostState) -> Plan:
    """What the leader does about it. Where the document says nothing and we never turned it on, it stays as found."""
    swarm, wanted = host.swarm, intent.swarm.autolock
    if swarm.autolock is None or swarm.nodes is None:
        return Plan()  # no manager, or the swarm has no leader to ask
    if not wanted:
        return _off(cluster, swarm, declared=wanted is False)
    if not cluster.can_seal:
        return blocked_plan("autolock", "dependency", NO_KEY)
    if cluster.unlock_locked:
        return Plan()  # it is told as unreadable; what it holds may be the only key of a manager that is down
    known = _known(cluster, swarm)
    if not swarm.autolock:
        return Plan((leader_steps.TurnAutolockOn(known=known, reason="autolock is declared"),))
    why = _why_publish_key(cluster, known, swarm)
    return Plan((leader_steps.PublishUnlockKey(known=known, reason=why),)) if why else Plan()


def _off(cluster: ClusterState, swarm: SwarmState, *, declared: bool) -> Plan:
    known = _known(cluster, swarm)
    if not known.on and not (declared and swarm.autolock):
        return Plan()
    reason = "autolock is declared false" if declared else "autolock is not declared any more"
    return Plan((leader_steps.TurnAutolockOff(known=known, reason=reason),))


def _why_publish_key(cluster: ClusterState, known: records.UnlockKeys, swarm: SwarmState) -> str:
    if not known.on:
        return "the swarm is locked at a restart, and its unlock key is not published"
    if swarm.unlock_key and known.keys[:1] != (swarm.unlock_key,):
        return "the published unlock key is not the swarm's any more"
    return (
        "the published unlock key is not sealed with the first key of the hosts"
        if cluster.unlock_aged
        else ""
    )


def _known(cluster: ClusterState, swarm: SwarmState) -> records.UnlockKeys:
    """What is published, if it is this swarm's."""
    found = cluster.unlock
    assert swarm.swarm_id is not None, "a manager that knows of autolock knows its swarm"
    return (
        found
        if found and found.swarm_id == swarm.swarm_id
        else records.UnlockKeys(swarm_id=swarm.swarm_id, on=False)
    )


def plan_swarm(intent: Intent, observed: Observed) -> Plan:
    """Claim the init, publish what came of it, keep the record and the tokens right."""
    cluster, host = etcd_of(observed), observed.host
    assert host is not None
    record = cluster.record
    if host.swarm.local == "active" and host.swarm.is_manager and host.swarm.swarm_id:
        if record and record.swarm_id not in (None, host.swarm.swarm_id):
            return Plan()  # a foreign swarm: eligibility.py resigns, host/membership.py says it
        return _plan_record(intent, observed, cluster, host) + _plan_tokens(intent, observed, host)
    if host.swarm.local != "inactive" or (record and record.swarm_id):
        return Plan()
    return _plan_claim(intent, observed, cluster, record)


def _plan_claim(
    intent: Intent, observed: Observed, cluster: ClusterState, record: records.SwarmRecord | None
) -> Plan:
    if record and record.claimed_by == observed.me:
        return Plan()  # host/membership.py inits
    if record and record.claimed_by in cluster.present:
        return _waiting(f"{record.claimed_by} claimed the init and is still there")
    # Whoever is in a swarm already must have had the time to say so, or a second one would be made beside it.
    silent = sorted(each for each in cluster.present if each != observed.me and not cluster.status_of(each))
    if silent:
        return _waiting(f"{', '.join(silent)} did not report yet")
    unseen = [
        each.name
        for each in intent.managers
        if each.name != observed.me and (status := cluster.status_of(each.name)) and _is_unseen(status)
    ]
    if unseen:
        return _waiting(f"the dockerd of {', '.join(unseen)} did not say yet whether it is in a swarm")
    reason = f"{record.claimed_by}, who claimed it, is gone" if record else "there is no swarm yet"
    return Plan((leader_steps.ClaimInit(over=cluster.record_revision, reason=reason),))


def _is_unseen(status: HostStatus) -> bool:
    """Whether no agent of that host has ever had an answer from its dockerd: it may manage a swarm to be adopted."""
    return not status.engine_up and not status.engine_version


def _plan_record(intent: Intent, observed: Observed, cluster: ClusterState, host: HostState) -> Plan:
    record, swarm = cluster.record, host.swarm
    before = record or records.SwarmRecord(claimed_by=observed.me)
    recreating = to_recreate(intent, observed)
    ready = ready_overlays(intent, host, {*before.networks, *before.recreating})
    found = records.SwarmRecord(
        claimed_by=before.claimed_by,
        swarm_id=swarm.swarm_id,
        managers=_managers(host),
        networks=tuple(each for each in ready if each not in recreating),
        recreating=recreating,
        pool=tuple(str(each) for each in swarm.pool) or before.pool,
    )
    if swarm.nodes is None and record and record.swarm_id:
        found = replace(
            found, managers=record.managers, networks=record.networks, recreating=record.recreating
        )
    if found == record:
        return Plan()
    return Plan((leader_steps.PublishSwarm(record=found, reason=_record_change(record, found)),))


def _record_change(before: records.SwarmRecord | None, after: records.SwarmRecord) -> str:
    if before is None:
        return f"this host is in swarm {after.swarm_id} already: adopted"
    if before.swarm_id is None:
        return f"swarm {after.swarm_id} is made"
    if begun := set(after.recreating) - set(before.recreating):
        return f"{', '.join(sorted(begun))} is to be recreated"
    return "managers or networks changed"


def _managers(host: HostState) -> tuple[tuple[str, str], ...]:
    """Where to join: the managers raft reaches; before the node list is there, those the engine knows."""
    reached = tuple(
        sorted((node.id, node.manager_address) for node in host.swarm.nodes or () if node.reachable)
    )
    return reached or tuple(sorted(host.swarm.managers))


def missing_hosts(intent: Intent, cluster: ClusterState, host: HostState) -> tuple[str, ...]:
    """Declared hosts that are not nodes of this swarm, as far as nodes and statuses tell.

    A manager whose join failed half-way leaves a node behind that looks ready, so the host itself has to agree. One
    whose dockerd is away says what it was last.
    """
    nodes = {node.id for node in host.swarm.nodes or ()}
    joined = {
        name
        for name, status in cluster.statuses.items()
        if status.state in ("active", "unknown") and status.node_id in nodes
    }
    return tuple(each.name for each in intent.hosts if each.name not in joined)


def _plan_tokens(intent: Intent, observed: Observed, host: HostState) -> Plan:
    cluster = observed.cluster
    if cluster is None or host.swarm.nodes is None or cluster.tokens_locked:
        return Plan()
    missing, tokens, swarm_id = missing_hosts(intent, cluster, host), cluster.tokens, host.swarm.swarm_id
    assert swarm_id is not None
    if missing:
        why = _why_publish(host, tokens, f"{', '.join(missing)} not joined yet")
        why = why or ("the published join tokens are not sealed" if cluster.tokens_exposed else "")
        step = leader_steps.PublishTokens(swarm_id=swarm_id, managers=not _lost_managers(host), reason=why)
        return Plan((step,)) if why else _expire(intent, observed, missing)
    if tokens is None:
        return Plan()
    reason = "every declared host has joined"
    withdraw = leader_steps.WithdrawTokens(reason=reason)
    if intent.swarm.rotate_tokens == "never":
        return Plan((withdraw,))
    # Rotated first: after a crash in between, the key that is still there makes the next leader do both again.
    return Plan((leader_steps.RotateTokens(reason=reason), withdraw))


def _expire(intent: Intent, observed: Observed, missing: tuple[str, ...]) -> Plan:
    """Make tokens worthless that were there for too long: whoever read them meanwhile has nothing of it.

    The next pass sees that the published ones are not the swarm's any more, and publishes those that are.
    """
    ttl_s = intent.swarm.token_ttl_s
    if intent.swarm.rotate_tokens == "never" or observed.tokens_age_s < ttl_s:
        return Plan()
    reason = f"published {ttl_s:g} s ago, and {', '.join(missing)} did not join yet"
    return Plan((leader_steps.RotateTokens(reason=reason),))


def _why_publish(host: HostState, published: records.Tokens | None, missing: str) -> str:
    """Why join tokens have to be published, in words; empty when the published ones are right."""
    if published is None or published.swarm_id != host.swarm.swarm_id:
        return missing
    lost, current = _lost_managers(host), host.swarm.tokens
    if bool(published.manager) == bool(lost):
        how = f"as workers at first, as {', '.join(lost)} cannot be reached" if lost else "as managers, too"
        return f"who joins may do so {how}"
    if current and published not in (current, replace(current, manager="")):
        return "the published join tokens are not the swarm's any more"
    return ""


def _lost_managers(host: HostState) -> tuple[str, ...]:
    """The managers that count for the quorum and cannot be reached. One that is just coming in is not noted yet.

    A host that joined as a manager beside them would count before it answers: the quorum would hang on its success.
    One that is down does not come in, whether somebody noted whose it is or not.
    """
    managers = [each for each in host.swarm.nodes or () if each.reachable is False]
    return tuple(
        each.hostname for each in managers if HOST_LABEL in dict(each.labels) or each.state == "down"
    )


def _waiting(reason: str) -> Plan:
    return blocked_plan("swarm-record", "waiting", reason)
