"""Swarm's autolock, as `x-cluster.swarm.autolock` says: switched by the leader, who publishes the key that unlocks."""

from agent.model.autolock import UnlockKeys
from agent.model.intent import Intent
from agent.model.observed import ClusterState, HostState, SwarmState
from agent.model.steps import Plan, PublishUnlockKey, TurnAutolockOff, TurnAutolockOn, untouched

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
        return untouched("autolock", "dependency", NO_KEY)
    if cluster.unlock_locked:
        return Plan()  # it is told as unreadable; what it holds may be the only key of a manager that is down
    known = _known(cluster, swarm)
    if not swarm.autolock:
        return Plan((TurnAutolockOn(known=known, reason="autolock is declared"),))
    why = _why_publish(cluster, known, swarm)
    return Plan((PublishUnlockKey(known=known, reason=why),)) if why else Plan()


def _off(cluster: ClusterState, swarm: SwarmState, *, declared: bool) -> Plan:
    known = _known(cluster, swarm)
    if not known.on and not (declared and swarm.autolock):
        return Plan()
    reason = "autolock is declared false" if declared else "autolock is not declared any more"
    return Plan((TurnAutolockOff(known=known, reason=reason),))


def _why_publish(cluster: ClusterState, known: UnlockKeys, swarm: SwarmState) -> str:
    if not known.on:
        return "the swarm is locked at a restart, and its unlock key is not published"
    if swarm.unlock_key and known.keys[:1] != (swarm.unlock_key,):
        return "the published unlock key is not the swarm's any more"
    return (
        "the published unlock key is not sealed with the first key of the hosts"
        if cluster.unlock_aged
        else ""
    )


def _known(cluster: ClusterState, swarm: SwarmState) -> UnlockKeys:
    """What is published, if it is this swarm's."""
    found = cluster.unlock
    assert swarm.swarm_id is not None, "a manager that knows of autolock knows its swarm"
    return (
        found if found and found.swarm_id == swarm.swarm_id else UnlockKeys(swarm_id=swarm.swarm_id, on=False)
    )
