"""What the leader does for the cluster, while it is sure to lead: with the lock, with the swarm, in etcd."""

from dataclasses import replace
from functools import partial

from agent.apply.doors import Doors
from agent.apply.writes import put, write
from agent.errors import Conflict, Refused, Unreachable
from agent.lease import lock as election
from agent.model import steps
from agent.model.autolock import MOST_KEYS
from agent.model.records import LeaderRecord, encode
from agent.model.store import Fence


def lead(doors: Doors, step: steps.Step) -> None:
    """Carry out a step of the leader's lane. Raises LeadershipLost when it is not safe any more."""
    if isinstance(step, steps.Campaign):
        _campaign(doors)
        return
    if isinstance(step, steps.LetGo):
        _let_go(doors, step.lock)
        return
    fence = doors.safe_fence(step.budget_s)
    match step:
        case steps.Resign():
            election.resign(doors.store, fence)
        case steps.RotateTokens():
            doors.engine.rotate_tokens()
        case steps.CreateOverlay():
            doors.engine.create_network(step.network)
        case steps.RemoveOverlay():
            doors.engine.remove_network(step.id)
        case steps.PromoteNode() | steps.DemoteNode() | steps.UpdateNode() | steps.RemoveNode():
            _act_on_node(doors, step)
        case steps.TurnAutolockOn() | steps.PublishUnlockKey() | steps.TurnAutolockOff():
            _autolock(doors, fence, step)
        case _:
            write(doors, fence, step)


def _campaign(doors: Doors) -> None:
    lease_id = doors.session.lease_id
    if lease_id is None:
        raise Unreachable("no lease to campaign with")
    value = encode(LeaderRecord(host=doors.me, since=doors.now()))
    # To be too late is no failure: the next observation says who leads.
    election.campaign(doors.store, doors.keys.leader, value, lease_id)


def _let_go(doors: Doors, lock: Fence) -> None:
    """A role that was revoked may delete nothing, and not revoke a lease with keys on it; it need not renew it."""
    try:
        election.resign(doors.store, lock)
    except (Unreachable, Refused):
        doors.session.replace(lock.lease)


def _act_on_node(
    doors: Doors, step: steps.PromoteNode | steps.DemoteNode | steps.UpdateNode | steps.RemoveNode
) -> None:
    if isinstance(step, steps.RemoveNode):
        doors.engine.remove_node(step.node_id)
        return
    # The lock means nothing to dockerd, and reading the node takes its time: so the lock is looked at again after it.
    still = partial(doors.safe_fence, step.budget_s)
    update = partial(doors.engine.update_node, step.node_id, version=step.version, still=still)
    match step:
        case steps.PromoteNode():
            update(role="manager")
        case steps.DemoteNode():
            update(role="worker")
        case steps.UpdateNode():
            update(availability=step.availability, labels=step.labels, without=step.without)


def _autolock(
    doors: Doors, fence: Fence, step: steps.TurnAutolockOn | steps.PublishUnlockKey | steps.TurnAutolockOff
) -> None:
    """Switch, and publish what came of it: the key that is good now, and those that were before."""
    engine, on = doors.engine, not isinstance(step, steps.TurnAutolockOff)
    swarm_id = engine.swarm_tokens().swarm_id
    if swarm_id != step.known.swarm_id:
        raise Conflict(f"the engine is in swarm {swarm_id}, not in {step.known.swarm_id}")
    engine.set_autolock(on)
    new = (engine.unlock_key(),) if on else ()
    keys = tuple(dict.fromkeys((*new, *step.known.keys)))[:MOST_KEYS]
    if keys:
        published = doors.seal_keys(replace(step.known, on=on, keys=keys))
        doors.store.write_fenced(fence, [put(doors.keys.unlock, published)])
