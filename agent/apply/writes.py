"""What the leader writes into etcd: only while its lock is there, and over what it saw where that matters."""

from collections.abc import Iterable, Iterator
from dataclasses import replace

from agent.apply.doors import Doors
from agent.errors import Conflict
from agent.model import records, spec, steps
from agent.model.store import Compare, Delete, Fence, Put

MOST_OPERATIONS = 100
"""etcd refuses a transaction of more than 128 operations (--max-txn-ops)."""
MOST_BYTES = 1_000_000
"""etcd refuses a request of more than 1.5 MiB (--max-request-bytes), keys and all."""


def put(key: str, record: object) -> Put:
    """That `record` is written at `key`."""
    return Put(key=key, value=records.encode(record))


def write(doors: Doors, fence: Fence, step: steps.Step) -> None:
    """Carry out a leader's step that is a write. Raises TypeError for any other."""
    keys, write_fenced = doors.keys, doors.store.write_fenced
    match step:
        case steps.PublishVerdict():
            _publish_verdict(doors, fence, step)
        case steps.ClaimInit():
            claim = records.SwarmRecord(claimed_by=doors.me)
            write_fenced(fence, [put(keys.swarm, claim)], [Compare(key=keys.swarm, mod_revision=step.over)])
        case steps.PublishSwarm():
            write_fenced(fence, [put(keys.swarm, step.record)])
        case steps.PublishTokens() | steps.WithdrawTokens():
            _write_tokens(doors, fence, step)
        case steps.OfferTurn() | steps.EndTurn():
            _write_turn(doors, fence, step)
        case steps.PublishAssignment():
            _publish_assignment(doors, fence, step)
        case steps.CollectSpecs():
            write_fenced(fence, [Delete(key=keys.spec(digest)) for digest in step.digests[:MOST_OPERATIONS]])
        case steps.ForgetHost():
            write_fenced(fence, [Delete(key=keys.assignment(step.host)), Delete(key=keys.status(step.host))])
        case _:
            _write_note(doors, fence, step)


def _write_note(doors: Doors, fence: Fence, step: steps.Step) -> None:
    match step:
        case steps.PublishRuling() | steps.WithdrawRuling():
            _write_ruling(doors, fence, step)
        case steps.PublishRollout():
            doors.store.write_fenced(fence, [put(doors.keys.rollout(step.service), step.rollout)])
        case steps.WithdrawRollout():
            doors.store.write_fenced(fence, [Delete(key=doors.keys.rollout(step.service))])
        case _:
            raise TypeError(f"no leader step: {step}")


def _publish_verdict(doors: Doors, fence: Fence, step: steps.PublishVerdict) -> None:
    operations = [put(doors.keys.verdict, step.verdict)]
    if step.document is not None:
        accepted = records.Accepted(revision=step.verdict.revision, document=step.document, era=step.era)
        operations.append(put(doors.keys.accepted, accepted))
    # A document put in the meantime gets a verdict of its own.
    judged = Compare(key=doors.keys.intent, mod_revision=step.verdict.revision)
    doors.store.write_fenced(fence, operations, [judged])


def _write_tokens(doors: Doors, fence: Fence, step: steps.PublishTokens | steps.WithdrawTokens) -> None:
    if isinstance(step, steps.WithdrawTokens):
        doors.store.write_fenced(fence, [Delete(key=doors.keys.tokens)])
        return
    tokens = doors.engine.swarm_tokens()
    if tokens.swarm_id != step.swarm_id:
        raise Conflict(f"the engine is in swarm {tokens.swarm_id}, not in {step.swarm_id}")
    tokens = tokens if step.managers else replace(tokens, manager="")
    doors.store.write_fenced(fence, [put(doors.keys.tokens, doors.seal(tokens))])


def _write_turn(doors: Doors, fence: Fence, step: steps.OfferTurn | steps.EndTurn) -> None:
    key = doors.keys.disruption
    change: Put | Delete = Delete(key=key)
    if isinstance(step, steps.OfferTurn):
        turn = records.Disruption(host=step.host, state="offered", reason=step.reason, quorum=step.quorum)
        change = put(key, turn)
    doors.store.write_fenced(fence, [change], [Compare(key=key, mod_revision=step.over)])


def _write_ruling(doors: Doors, fence: Fence, step: steps.PublishRuling | steps.WithdrawRuling) -> None:
    key = doors.keys.ruling(step.host)
    change: Put | Delete = Delete(key=key)
    if isinstance(step, steps.PublishRuling):
        if step.unlisted and doors.engine.has_node(step.unlisted):
            raise Conflict(f"the swarm does know node {step.unlisted}")
        change = put(key, step.ruling)
    doors.store.write_fenced(fence, [change])


def _publish_assignment(doors: Doors, fence: Fence, step: steps.PublishAssignment) -> None:
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
