"""The swarm of the cluster, from the leader's side: the claim of its init, its record, tokens and autolock."""

from dataclasses import replace

from agent.diff.claim import AWAY_S, next_claimant
from agent.diff.networks import ready_overlays
from agent.diff.nodes import HOST_LABEL, LeaderView, other_cluster
from agent.model import leader_steps, records
from agent.model.host_state import HostState, SwarmState
from agent.model.intent import Intent
from agent.model.observed import ClusterState
from agent.model.plan import Plan, blocked_plan, waiting_plan
from agent.planner.leader.recreate import to_recreate

# ---- Autolock: the leader turns it on or off by `x-cluster.swarm.autolock`, and publishes the unlock key


NO_KEY = (
    "x-cluster.swarm.autolock needs tokens.key_file in agent.yaml of every host: without it the unlock key would be "
    "stored in etcd unsealed"
)


def plan_autolock(intent: Intent, cluster: ClusterState, host: HostState) -> Plan:
    """Turn autolock on or off, or publish its key. Undeclared and never turned on by an agent, it stays as found."""
    swarm, wanted = host.swarm, intent.swarm.autolock
    if swarm.autolock is None or swarm.nodes is None:
        return Plan()  # not a manager, or no quorum
    known = _known(cluster, swarm)
    if not wanted:
        reason = "autolock is declared false" if wanted is False else "autolock is no longer declared"
        off = known.on or (wanted is False and swarm.autolock)
        return Plan((leader_steps.TurnAutolockOff(known=known, reason=reason),) if off else ())
    if not cluster.can_seal:
        return blocked_plan("autolock", "dependency", NO_KEY)
    if cluster.unlock_locked:
        return Plan()  # reported as unreadable; the value may be the only key of a manager that is down
    if not swarm.autolock:
        return Plan((leader_steps.TurnAutolockOn(known=known, reason="autolock is declared"),))
    why = _why_publish_key(cluster, known, swarm)
    return Plan((leader_steps.PublishUnlockKey(known=known, reason=why),)) if why else Plan()


def _why_publish_key(cluster: ClusterState, known: records.UnlockKeys, swarm: SwarmState) -> str:
    if not known.on:
        return "autolock is on, and its unlock key is not published"
    if swarm.unlock_key and known.keys[:1] != (swarm.unlock_key,):
        return "the published unlock key is outdated"
    aged = "the published unlock key is not sealed with the first key of the hosts"
    return aged if cluster.unlock_aged else ""


def _known(cluster: ClusterState, swarm: SwarmState) -> records.UnlockKeys:
    """Return the published keys if they belong to this swarm, else none."""
    found = cluster.unlock
    assert swarm.swarm_id is not None, "a manager that knows of autolock knows its swarm"
    if found and found.swarm_id == swarm.swarm_id:
        return found
    return records.UnlockKeys(swarm_id=swarm.swarm_id, on=False)


def plan_swarm(intent: Intent, observed: LeaderView) -> Plan:
    """Claim the init, publish the swarm, and keep its record and its tokens up to date."""
    record, host = observed.cluster.record, observed.host
    if host is None or other_cluster(host, record):
        return Plan()  # eligibility.py resigns, plan.py blocks
    if host.swarm.local == "active" and host.swarm.is_manager and (swarm_id := host.swarm.swarm_id):
        if record and record.swarm_id not in (None, swarm_id):
            return Plan()  # a foreign swarm: eligibility.py resigns, host/membership.py blocks
        return _plan_record(intent, observed, host) + _plan_tokens(intent, observed, host, swarm_id)
    if host.swarm.local != "inactive" or (record and record.swarm_id):
        return Plan()
    if host.no_swarm or (record and record.claimed_by == observed.me):
        return Plan()  # host/membership.py blocks or inits
    return _plan_claim(intent, observed)


def _plan_claim(intent: Intent, observed: LeaderView) -> Plan:
    cluster, record = observed.cluster, observed.cluster.record
    lapsed = _why_claim_lapses(observed, record) if record else "there is no swarm yet"
    if record and not lapsed:
        return _waiting(record.claimed_by, f"{record.claimed_by} claimed the init and still runs")
    # A host that is in a swarm already must have had time to report it, or a second swarm would be created.
    silent = sorted(each for each in cluster.present if each != observed.me and not cluster.status_of(each))
    if silent:
        return _waiting(silent[0], f"{', '.join(silent)} did not report yet")
    # A dockerd that never answered its agent may be in a swarm, which is to be adopted.
    unseen = [
        each.name
        for each in intent.managers
        if each.name != observed.me
        and (status := cluster.status_of(each.name))
        and not (status.engine_up or status.engine_version)
    ]
    if unseen:
        reason = f"the dockerd of {', '.join(unseen)} has not reported yet whether it is in a swarm"
        return _waiting(unseen[0], reason)
    unable = record.unable if record else ()
    return Plan((leader_steps.ClaimInit(over=cluster.record_revision, unable=unable, reason=lapsed),))


def _why_claim_lapses(observed: LeaderView, record: records.SwarmRecord) -> str:
    """Return why the claim of another host counts no more; empty while that host may still create the swarm."""
    cluster, claimant = observed.cluster, record.claimed_by
    if claimant not in cluster.present:
        return f"the agent of {claimant}, which claimed the init, does not run"
    status = cluster.status_of(claimant)
    if status is None:
        return ""
    if not status.engine_up:
        away = f"the dockerd of {claimant}, which claimed the init, does not answer"
        return away if observed.led_s >= AWAY_S else ""
    # Without the lock it begins no init, and in these states none is under way.
    failed = status.state in ("error", "locked")
    return f"the engine of {claimant}, which claimed the init, is in state {status.state}" if failed else ""


def plan_pass_claim(intent: Intent, observed: LeaderView) -> Plan:
    """Pass the claim of this host on to a manager that can create the swarm, after this host has failed to."""
    cluster, heir = observed.cluster, next_claimant(intent, observed)
    if heir is None or cluster.record is None:
        return Plan()
    before = tuple(each for each in cluster.record.unable if each[0] != observed.me)
    record = records.SwarmRecord(claimed_by=heir.host, unable=(*before, (observed.me, heir.why)))
    reason = f"{observed.me} cannot create the swarm, and {heir.host} may: {heir.why}"
    return Plan((leader_steps.PassClaim(record=record, over=cluster.record_revision, reason=reason),))


def _plan_record(intent: Intent, observed: LeaderView, host: HostState) -> Plan:
    record, swarm = observed.cluster.record, host.swarm
    before = record or records.SwarmRecord(claimed_by=observed.me)
    recreating = to_recreate(intent, observed)
    overlays = ready_overlays(intent, host, {*before.networks, *before.recreating}, record)
    ready = [each for each in overlays if each.name not in recreating]
    found = records.SwarmRecord(
        claimed_by=before.claimed_by,
        swarm_id=swarm.swarm_id,
        managers=_managers(host),
        networks=tuple(each.name for each in ready),
        overlay_ids=tuple((each.name, each.id) for each in ready),
        recreating=recreating,
        pool=tuple(str(each) for each in swarm.pool) or before.pool,
    )
    if swarm.nodes is None and record and record.swarm_id:
        found = replace(record, swarm_id=found.swarm_id, pool=found.pool, unable=())
    if found == record:
        return Plan()
    return Plan((leader_steps.PublishSwarm(record=found, reason=_record_change(record, found)),))


def _record_change(before: records.SwarmRecord | None, after: records.SwarmRecord) -> str:
    if before is None:
        return f"this host is in swarm {after.swarm_id} already, which is adopted"
    if before.swarm_id is None:
        return f"swarm {after.swarm_id} is created"
    if begun := set(after.recreating) - set(before.recreating):
        return f"{', '.join(sorted(begun))} will be recreated"
    return "managers or networks changed"


def _managers(host: HostState) -> tuple[tuple[str, str], ...]:
    """Return the managers to join through: the reachable ones; without a node list those that the engine knows."""
    reached = ((node.id, node.manager_address) for node in host.swarm.nodes or () if node.reachable)
    return tuple(sorted(reached)) or tuple(sorted(host.swarm.managers))


def missing_hosts(intent: Intent, cluster: ClusterState, host: HostState) -> tuple[str, ...]:
    """Return the declared hosts that are not nodes of this swarm, by the node list and their (last) reports.

    A failed join of a manager leaves a node that looks ready, so the host's report must agree.
    """
    nodes = {node.id for node in host.swarm.nodes or ()}
    joined = {
        name
        for name, status in cluster.statuses.items()
        if status.state in ("active", "unknown") and status.node_id in nodes
    }
    return tuple(each.name for each in intent.hosts if each.name not in joined)


def _plan_tokens(intent: Intent, observed: LeaderView, host: HostState, swarm_id: str) -> Plan:
    cluster = observed.cluster
    if host.swarm.nodes is None or cluster.tokens_locked:
        return Plan()
    missing, tokens = missing_hosts(intent, cluster, host), cluster.tokens
    if missing:
        why = _why_publish(host, tokens, f"{', '.join(missing)} not joined yet")
        # Half the time, as the clock of a host that joins may differ. A host that is off needs nothing yet.
        old = 0 < cluster.tokens_sealed_at < observed.seen_at - records.SEAL_LASTS_S / 2
        if cluster.tokens_exposed or (old and any(each in cluster.present for each in missing)):
            why = (
                why
                or "the published join tokens are unsealed, outdated, or sealed long ago or with another key"
            )
        step = leader_steps.PublishTokens(swarm_id=swarm_id, managers=not _lost_managers(host), reason=why)
        return Plan((step,)) if why else _expire(intent, observed, missing)
    if tokens is None and not cluster.tokens_exposed:
        return Plan()
    reason = "every declared host has joined"
    withdraw = leader_steps.WithdrawTokens(reason=reason)
    if intent.swarm.rotate_tokens == "never":
        return Plan((withdraw,))
    # Rotate first: after a crash in between, the remaining key makes the next leader do both again.
    return Plan((leader_steps.RotateTokens(reason=reason), withdraw))


def _expire(intent: Intent, observed: LeaderView, missing: tuple[str, ...]) -> Plan:
    """Rotate tokens that were published for too long; the next pass publishes the new ones."""
    ttl_s = intent.swarm.token_ttl_s
    if intent.swarm.rotate_tokens == "never" or observed.tokens_age_s < ttl_s:
        return Plan()
    reason = f"published {ttl_s:g} s ago, and {', '.join(missing)} did not join yet"
    return Plan((leader_steps.RotateTokens(reason=reason),))


def _why_publish(host: HostState, published: records.Tokens | None, missing: str) -> str:
    """Return why join tokens must be published; empty if the published ones are valid."""
    if published is None or published.swarm_id != host.swarm.swarm_id:
        return missing
    lost, current = _lost_managers(host), host.swarm.tokens
    if bool(published.manager) == bool(lost):
        how = f"as workers only while {', '.join(lost)} cannot be reached" if lost else "also as managers"
        return f"hosts may join {how}"
    if current and published not in (current, replace(current, manager="")):
        return "the published join tokens are outdated"
    return ""


def _lost_managers(host: HostState) -> tuple[str, ...]:
    """Return the unreachable managers, except one that is joining: it has no host label yet and is not down.

    While there is one, hosts join as workers: a new manager counts before it answers (n <= 3: quorum(n + 1) > n - 1).
    """
    managers = [each for each in host.swarm.nodes or () if each.reachable is False]
    lost = (each for each in managers if HOST_LABEL in dict(each.labels) or each.state == "down")
    return tuple(each.hostname for each in lost)


def _waiting(host: str, reason: str) -> Plan:
    return waiting_plan("swarm-record", reason, f"host/{host}")
