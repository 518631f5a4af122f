"""What the leader does for the cluster, while it is sure to lead: with the lock, with the swarm, in etcd."""

from collections.abc import Iterable, Iterator
from dataclasses import replace
from functools import partial

from agent import lease as election
from agent.apply.doors import Doors
from agent.errors import Conflict, Refused, Unreachable
from agent.model import leader_steps, plan, records, spec
from agent.model.records import MOST_KEYS, LeaderRecord, encode
from agent.model.store import Compare, Delete, Fence, Put

# ---- What the leader writes into etcd: only while its lock is there, and over what it saw where that matters


MOST_OPERATIONS = 100
"""etcd refuses a transaction of more than 128 operations (--max-txn-ops)."""
MOST_BYTES = 1_000_000
"""etcd refuses a request of more than 1.5 MiB (--max-request-bytes), keys and all."""


def put(key: str, record: object) -> Put:
    """That `record` is written at `key`."""
    return Put(key=key, value=records.encode(record))


def write(doors: Doors, fence: Fence, step: plan.Step) -> None:
    """Carry out a leader's step that is a write. Raises TypeError for any other."""
    keys, write_fenced = doors.keys, doors.store.write_fenced
    match step:
        case leader_steps.PublishVerdict():
            _publish_verdict(doors, fence, step)
        case leader_steps.ClaimInit():
            claim = records.SwarmRecord(claimed_by=doors.me)
            write_fenced(fence, [put(keys.swarm, claim)], [Compare(key=keys.swarm, mod_revision=step.over)])
        case leader_steps.PublishSwarm():
            write_fenced(fence, [put(keys.swarm, step.record)])
        case leader_steps.PublishTokens() | leader_steps.WithdrawTokens():
            _write_tokens(doors, fence, step)
        case leader_steps.OfferTurn() | leader_steps.EndTurn():
            _write_turn(doors, fence, step)
        case leader_steps.PublishAssignment():
            _publish_assignment(doors, fence, step)
        case leader_steps.CollectSpecs():
            write_fenced(fence, [Delete(key=keys.spec(digest)) for digest in step.digests[:MOST_OPERATIONS]])
        case leader_steps.ForgetHost():
            write_fenced(fence, [Delete(key=keys.assignment(step.host)), Delete(key=keys.status(step.host))])
        case _:
            _write_note(doors, fence, step)


def _write_note(doors: Doors, fence: Fence, step: plan.Step) -> None:
    match step:
        case leader_steps.PublishRuling() | leader_steps.WithdrawRuling():
            _write_ruling(doors, fence, step)
        case leader_steps.PublishRollout():
            doors.store.write_fenced(fence, [put(doors.keys.rollout(step.service), step.rollout)])
        case leader_steps.WithdrawRollout():
            doors.store.write_fenced(fence, [Delete(key=doors.keys.rollout(step.service))])
        case _:
            raise TypeError(f"no leader step: {step}")


def _publish_verdict(doors: Doors, fence: Fence, step: leader_steps.PublishVerdict) -> None:
    operations = [put(doors.keys.verdict, step.verdict)]
    if step.document is not None:
        accepted = records.Accepted(revision=step.verdict.revision, document=step.document, era=step.era)
        operations.append(put(doors.keys.accepted, accepted))
    # A document put in the meantime gets a verdict of its own.
    judged = Compare(key=doors.keys.intent, mod_revision=step.verdict.revision)
    doors.store.write_fenced(fence, operations, [judged])


def _write_tokens(
    doors: Doors, fence: Fence, step: leader_steps.PublishTokens | leader_steps.WithdrawTokens
) -> None:
    if isinstance(step, leader_steps.WithdrawTokens):
        doors.store.write_fenced(fence, [Delete(key=doors.keys.tokens)])
        return
    tokens = doors.engine.swarm_tokens()
    if tokens.swarm_id != step.swarm_id:
        raise Conflict(f"the engine is in swarm {tokens.swarm_id}, not in {step.swarm_id}")
    tokens = tokens if step.managers else replace(tokens, manager="")
    doors.store.write_fenced(fence, [put(doors.keys.tokens, doors.seal(tokens))])


def _write_turn(doors: Doors, fence: Fence, step: leader_steps.OfferTurn | leader_steps.EndTurn) -> None:
    key = doors.keys.disruption
    change: Put | Delete = Delete(key=key)
    if isinstance(step, leader_steps.OfferTurn):
        turn = records.Disruption(host=step.host, state="offered", reason=step.reason, quorum=step.quorum)
        change = put(key, turn)
    doors.store.write_fenced(fence, [change], [Compare(key=key, mod_revision=step.over)])


def _write_ruling(
    doors: Doors, fence: Fence, step: leader_steps.PublishRuling | leader_steps.WithdrawRuling
) -> None:
    key = doors.keys.ruling(step.host)
    change: Put | Delete = Delete(key=key)
    if isinstance(step, leader_steps.PublishRuling):
        if step.unlisted and doors.engine.has_node(step.unlisted):
            raise Conflict(f"the swarm does know node {step.unlisted}")
        change = put(key, step.ruling)
    doors.store.write_fenced(fence, [change])


def _publish_assignment(doors: Doors, fence: Fence, step: leader_steps.PublishAssignment) -> None:
    puts = [Put(key=doors.keys.spec(spec.spec_hash(each)), value=spec.encode(each)) for each in step.specs]
    # Specs first: a host that reads an assignment must find every spec that it names.
    for batch in _batches([*puts, put(doors.keys.assignment(step.host), step.assignment)]):
        doors.store.write_fenced(fence, batch)


def _batches(puts: Iterable[Put]) -> Iterator[list[Put]]:
    """The same in the same order, in transactions that etcd takes."""
    batch: list[Put] = []
    size = 0
    for each in puts:
        if batch and (len(batch) == MOST_OPERATIONS or size + len(each.value) > MOST_BYTES):
            yield batch
            batch, size = [], 0
        batch.append(each)
        size += len(each.value)
    if batch:
        yield batch


def lead(doors: Doors, step: plan.Step) -> None:
    """Carry out a step of the leader's lane. Raises LeadershipLost when it is not safe any more."""
    if isinstance(step, leader_steps.Campaign):
        _campaign(doors)
        return
    if isinstance(step, leader_steps.LetGo):
        _let_go(doors, step.lock)
        return
    fence = doors.safe_fence(step.budget_s)
    match step:
        case leader_steps.Resign():
            election.resign(doors.store, fence)
        case leader_steps.RotateTokens():
            doors.engine.rotate_tokens()
        case leader_steps.CreateOverlay():
            doors.engine.create_network(step.network)
        case leader_steps.RemoveOverlay():
            doors.engine.remove_network(step.id)
        case (
            leader_steps.PromoteNode()
            | leader_steps.DemoteNode()
            | leader_steps.UpdateNode()
            | leader_steps.RemoveNode()
        ):
            _act_on_node(doors, step)
        case leader_steps.TurnAutolockOn() | leader_steps.PublishUnlockKey() | leader_steps.TurnAutolockOff():
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
    doors: Doors,
    step: leader_steps.PromoteNode
    | leader_steps.DemoteNode
    | leader_steps.UpdateNode
    | leader_steps.RemoveNode,
) -> None:
    if isinstance(step, leader_steps.RemoveNode):
        doors.engine.remove_node(step.node_id)
        return
    # The lock means nothing to dockerd, and reading the node takes its time: so the lock is looked at again after it.
    still = partial(doors.safe_fence, step.budget_s)
    update = partial(doors.engine.update_node, step.node_id, version=step.version, still=still)
    match step:
        case leader_steps.PromoteNode():
            update(role="manager")
        case leader_steps.DemoteNode():
            update(role="worker")
        case leader_steps.UpdateNode():
            update(availability=step.availability, labels=step.labels, without=step.without)


def _autolock(
    doors: Doors,
    fence: Fence,
    step: leader_steps.TurnAutolockOn | leader_steps.PublishUnlockKey | leader_steps.TurnAutolockOff,
) -> None:
    """Switch, and publish what came of it: the key that is good now, and those that were before."""
    engine, on = doors.engine, not isinstance(step, leader_steps.TurnAutolockOff)
    swarm_id = engine.swarm_tokens().swarm_id
    if swarm_id != step.known.swarm_id:
        raise Conflict(f"the engine is in swarm {swarm_id}, not in {step.known.swarm_id}")
    engine.set_autolock(on)
    new = (engine.unlock_key(),) if on else ()
    keys = tuple(dict.fromkeys((*new, *step.known.keys)))[:MOST_KEYS]
    if keys:
        published = doors.seal_keys(replace(step.known, on=on, keys=keys))
        doors.store.write_fenced(fence, [put(doors.keys.unlock, published)])
