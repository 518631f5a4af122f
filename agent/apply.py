"""Carries out one step without any decision. Every call succeeds if its effect exists already.

A step calls dockerd or etcd. The leader's steps do so only while its lease is certainly alive; where another change
matters, they compare the revision that was read.
"""

from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from typing import assert_never

from agent import lease as election
from agent.admission import Gate
from agent.clients.docker import Engine, ask_digests
from agent.clients.etcd import Store
from agent.diff.bridge import refusal
from agent.diff.container import create_request, with_carried
from agent.errors import Conflict, Denied, LeadershipLost, NotAdmitted, Refused, SwarmkeeperError, Unreachable
from agent.lease import Session
from agent.model import earlier, history, leader_steps, records, spec, steps
from agent.model.keys import Keys
from agent.model.plan import Step
from agent.model.store import Compare, Delete, Fence, Put

MOST_OPERATIONS = 100
"""etcd refuses a transaction of more than 128 operations (--max-txn-ops)."""
MOST_BYTES = 1_000_000
"""etcd refuses a request of more than 1.5 MiB (--max-request-bytes), keys and all."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ApplyContext:
    """The clients for the outside world, and the lease and fence that the leader's writes need."""

    engine: Engine
    store: Store
    session: Session
    keys: Keys
    me: str
    cluster: str
    gate: Gate
    """The admission policy of this host."""
    fence: Callable[[], Fence | None]
    """Returns the leader lock as last observed; None: this host is not the leader."""
    now: Callable[[], str]
    """Returns the time in RFC 3339, for people."""
    on_progress: Callable[[str, str], None] = lambda *_: None
    """Called with the resource and a description of the progress, many times a second during a pull."""
    seal: Callable[[records.Tokens], records.Tokens] = lambda tokens: tokens
    """Seals join tokens before they are written to etcd."""
    seal_keys: Callable[[records.UnlockKeys], records.UnlockKeys] = lambda keys: keys
    """Seals unlock keys before they are written to etcd."""
    placed: Callable[[spec.ContainerSpec], spec.ContainerSpec] = lambda wanted: wanted
    """Writes the contents of configs on this host, and returns the spec with the paths of their files."""

    def safe_fence(self, budget_s: float) -> Fence:
        """Return the lock if it lasts for at least `budget_s` seconds; raise LeadershipLost otherwise."""
        fence = self.fence()
        if fence is None:
            raise LeadershipLost("this host is not the leader any more")
        if self.session.lease_id != fence.lease:
            # A new lease is no evidence for a lock on the previous one: another host may have that lock by now.
            raise LeadershipLost("the lease of the leader lock is lost")
        if not self.session.is_safe_for(budget_s):
            raise LeadershipLost(f"the lease may expire within the {budget_s:.0f} s that this step may take")
        return fence


def apply(context: ApplyContext, step: Step) -> None:
    """Carry out `step`. Raises the errors of the clients; LeadershipLost when a leader's step is not safe any more."""
    if isinstance(step, leader_steps.LeaderStep):
        _lead(context, step)
    else:
        _admit(context, step)
        _act(context, step)


# ---- Steps of a host on itself


def _admit(context: ApplyContext, step: steps.HostStep) -> None:
    """Raise NotAdmitted if this host does not admit what the step creates, changes or starts, whatever planned it."""
    gate = context.gate
    if isinstance(step, steps.StepWithSpec):
        if step.spec is None:
            raise NotAdmitted(f"the spec of {step.name} is not known, so that this host does not admit it")
        wanted = with_carried(step.spec, step.carried if isinstance(step, steps.CreateContainer) else ())
        mounts_one = any(each.type == "volume" and each.source for each in wanted.volumes)
        gate.refuse(gate.container(wanted, context.engine.volumes() if mounts_one else ()))
    match step:
        case steps.CreateVolume():
            gate.refuse(gate.volume(step.volume))
        case steps.PullImage():
            gate.refuse(gate.image(step.image))
        case steps.ResolveDigests():
            gate.refuse(refusal for image in step.images for refusal in gate.registry(image))


def _act(context: ApplyContext, step: steps.HostStep) -> None:  # noqa: C901, PLR0912, PLR0915 - one case per step
    engine = context.engine
    match step:
        case steps.PutPresence():
            context.session.reassert(insist=step.insists)
        case steps.InitSwarm():
            # The leader makes the claim. The init is a host's step because it is a barrier among the host's steps.
            context.safe_fence(step.budget_s)
            engine.init_swarm(
                advertise=step.advertise,
                pool=step.pool,
                mask_length=step.mask_length,
                data_path_port=step.data_path_port,
            )
        case steps.GiveUpInit():
            claim = Compare(key=context.keys.swarm, mod_revision=step.over)
            _change(context, claim, Delete(key=claim.key), what="claim")
        case steps.JoinSwarm():
            engine.join_swarm(advertise=step.advertise, remotes=step.remotes, token=step.token)
        case steps.LeaveSwarm():
            engine.leave_swarm()
        case steps.AbandonNode():
            engine.abandon_node(step.node_id)
        case steps.DissolveSwarm():
            engine.dissolve_swarm(step.swarm_id)
        case steps.UnlockHost():
            engine.unlock_swarm(step.keys)
        case steps.CreateBridge():
            _make_bridge(engine, step)
        case steps.RemoveBridge():
            engine.remove_network(step.id)
        case steps.CreateParking() | steps.CreateNetwork():
            engine.create_network(step.network)
        case steps.Park():
            engine.park(step.container, step.network)
        case steps.SwapBridge():
            for network, endpoint in step.release:
                engine.release_endpoint(network, endpoint)
            for network in step.old:
                engine.remove_network(network)
            _make_bridge(engine, step)
        case steps.Unpark():
            engine.unpark(step.container, step.network)
        case steps.RemoveParking():
            engine.remove_network(step.network)
        case steps.AcquireDisruption():
            _take(context, step, replace(step.disruption, state="acquired"))
        case steps.ReleaseDisruption():
            reason = f"finished: {step.reason}"
            _take(context, step, replace(step.disruption, state="released", reason=reason))
        case steps.RemoveLeftover():
            engine.remove_leftover(step.id, step.network, step.creation)
        case steps.CreateVolume():
            engine.create_volume(step.volume)
        case steps.PullImage():
            engine.pull(step.image, partial(context.on_progress, step.resource), step.platform)
        case steps.ResolveDigests():
            _resolve(context, step)
        case steps.CreateContainer():
            wanted = context.placed(step.spec)
            request = create_request(
                wanted, step.replica, step.project, context.cluster, step.becomes, step.carried
            )
            engine.create_container(request)
        case steps.StartContainer():
            if step.spec:
                context.placed(step.spec)
            engine.start(step.name)
        case steps.UnpauseContainer():
            engine.unpause(step.id)
        case steps.StopContainer():
            engine.stop(step.id, step.grace_s)
        case steps.RemoveContainer():
            engine.remove_container(step.id)
        case steps.RenameContainer():
            engine.rename(step.id, step.becomes)
        case steps.UpdateContainer():
            engine.update(step.id, step.spec)
        case steps.ConnectNetwork():
            engine.connect(step.id, step.attachment, step.aliases)
        case steps.DisconnectNetwork():
            engine.disconnect(step.id, step.network_id or step.network)
        case _:
            assert_never(step)


def _make_bridge(engine: Engine, step: steps.CreateBridge | steps.SwapBridge) -> None:
    """Create docker_gwbridge. If that fails, create the form that it had, marked if docker refused the new one."""
    try:
        engine.create_bridge(step.bridge)
    except SwarmkeeperError as error:
        if step.before is not None:
            marks = refusal(step.mark, str(error)) if isinstance(error, Refused) else ()
            engine.create_bridge(step.before, marks)
        raise


def _take(context: ApplyContext, step: steps.DisruptionStep, disruption: records.Disruption) -> None:
    """Acquire or release the disruption slot in the key of this host."""
    grant = Compare(key=context.keys.disruption, mod_revision=step.revision)
    taken = _put(context.keys.slot(context.me), replace(disruption, grant=step.revision))
    _change(context, grant, taken, what="disruption slot")


def _change(context: ApplyContext, seen: Compare, change: Put | Delete, *, what: str) -> None:
    """Write a key that the leader lock does not guard; raise Conflict if `seen` is not true any more."""
    if not context.store.txn([seen], [change]).succeeded:
        raise Conflict(f"the {what} in etcd was changed meanwhile")


def _resolve(context: ApplyContext, step: steps.ResolveDigests) -> None:
    """Record the digests that the registries returned; raise the error of the first registry that failed."""
    found, problem = ask_digests(context.engine, step.images)
    if found:
        record = replace(
            step.known,
            images=tuple(sorted({**dict(step.known.images), **found}.items())),
            asked=tuple(sorted({*step.known.asked, *found})),
        )
        seen = Compare(key=context.keys.digests, mod_revision=step.over)
        fence = context.safe_fence(step.budget_s)
        context.store.write_fenced(fence, [_put(context.keys.digests, record)], [seen])
    if problem:
        raise problem


# ---- Steps of the leader: its lock, the swarm, etcd


def _lead(context: ApplyContext, step: leader_steps.LeaderStep) -> None:  # noqa: C901, PLR0912, PLR0915 - one case per step
    if isinstance(step, leader_steps.Campaign):
        _campaign(context, step)
        return
    if isinstance(step, leader_steps.Resign):
        _resign(context, step.lock)
        return
    engine, keys = context.engine, context.keys
    fence = context.safe_fence(step.budget_s)
    write = partial(context.store.write_fenced, fence)
    match step:
        case leader_steps.BeginTrial():
            write([_put(keys.trial, step.trial)])
        case leader_steps.PublishVerdict():
            _publish_verdict(context, fence, step)
        case leader_steps.RecordHistory():
            _record_history(context, fence, step)
        case leader_steps.PublishAssignment():
            puts = [Put(key=keys.spec(spec.spec_hash(each)), value=spec.encode(each)) for each in step.specs]
            # Specs first: a host that reads an assignment must find every spec that it names.
            for batch in _batches([*puts, _put(keys.assignment(step.host), step.assignment)]):
                write(batch)
        case leader_steps.CollectSpecs():
            write([Delete(key=keys.spec(digest)) for digest in step.digests[:MOST_OPERATIONS]])
        case leader_steps.PublishRollout():
            write([_put(keys.rollout(step.service), step.rollout)])
        case leader_steps.WithdrawRollout():
            write([Delete(key=keys.rollout(step.service))])
        case leader_steps.GrantDisruption():
            write([_put(keys.disruption, step.slot)], [Compare(key=keys.disruption, mod_revision=step.over)])
        case leader_steps.RevokeDisruption():
            granted = Compare(key=keys.disruption, mod_revision=step.over)
            taken = Compare(key=keys.slot(step.host), mod_revision=step.seen)
            write([Delete(key=keys.disruption)], [granted, taken])
        case leader_steps.IssueMembershipOrder():
            if step.unlisted and engine.has_node(step.unlisted):
                raise Conflict(f"the swarm lists node {step.unlisted} again")
            write([_put(keys.membership_order(step.host), step.membership_order)])
        case leader_steps.RevokeMembershipOrder():
            write([Delete(key=keys.membership_order(step.host))])
        case leader_steps.ForgetHost():
            write([Delete(key=keys.assignment(step.host))])
            with suppress(Denied):  # no leader may write these if each host has a role of its own
                write([Delete(key=keys.status(step.host)), Delete(key=keys.slot(step.host))])
        case leader_steps.ClaimInit():
            claim = records.SwarmRecord(claimed_by=context.me, unable=step.unable)
            write([_put(keys.swarm, claim)], [Compare(key=keys.swarm, mod_revision=step.over)])
        case leader_steps.PassClaim():
            write([_put(keys.swarm, step.record)], [Compare(key=keys.swarm, mod_revision=step.over)])
        case leader_steps.PublishSwarm():
            write([_put(keys.swarm, step.record)])
        case leader_steps.PublishTokens():
            tokens = engine.swarm_tokens()
            if tokens.swarm_id != step.swarm_id:
                raise Conflict(f"the engine is in swarm {tokens.swarm_id}, not in {step.swarm_id}")
            tokens = tokens if step.managers else replace(tokens, manager="")
            write([_put(keys.tokens, context.seal(tokens))])
        case leader_steps.RotateTokens():
            engine.rotate_tokens()
        case leader_steps.WithdrawTokens():
            write([Delete(key=keys.tokens)])
        case leader_steps.CreateOverlay():
            engine.create_network(step.network)
        case leader_steps.RemoveOverlay():
            engine.remove_network(step.id)
        case leader_steps.PromoteNode() | leader_steps.DemoteNode() | leader_steps.UpdateNode():
            _update_node(context, step)
        case leader_steps.RemoveNode():
            engine.remove_node(step.node_id)
        case leader_steps.TurnAutolockOn() | leader_steps.PublishUnlockKey() | leader_steps.TurnAutolockOff():
            _autolock(context, fence, step, on=not isinstance(step, leader_steps.TurnAutolockOff))
        case _:
            assert_never(step)


def _campaign(context: ApplyContext, step: leader_steps.Campaign) -> None:
    lease_id = context.session.lease_id
    if lease_id is None:
        raise Unreachable("no lease to campaign with")
    since = max(context.now(), step.not_before)
    value = records.encode(records.LeaderRecord(host=context.me, since=since))
    # Another agent that was faster is no failure: the next observation shows the leader.
    election.campaign(context.store, context.keys.leader, value, lease_id)


def _resign(context: ApplyContext, lock: Fence) -> None:
    """Release the lock, or its lease expires: with a revoked role etcd refuses to delete it and to revoke the lease."""
    try:
        election.resign(context.store, lock)
    except (Unreachable, Refused):
        context.session.replace(lock.lease)


def _publish_verdict(context: ApplyContext, fence: Fence, step: leader_steps.PublishVerdict) -> None:
    operations: list[Put | Delete] = [_put(context.keys.verdict, step.verdict)]
    if step.document is not None:
        accepted = records.Accepted(
            revision=step.verdict.accepted_revision, document=step.document, epoch=step.epoch
        )
        operations += [_put(context.keys.accepted, accepted), Delete(key=context.keys.trial)]
        if step.forget_earlier:
            operations.append(Delete(key=f"{context.keys.root}{earlier.MEMBERSHIP_ORDERS}", prefix=True))
    # A document that was applied meanwhile gets a verdict of its own.
    newest = Compare(key=context.keys.intent, mod_revision=step.verdict.revision)
    context.store.write_fenced(fence, operations, [newest])


def _record_history(context: ApplyContext, fence: Fence, step: leader_steps.RecordHistory) -> None:
    prefix, at, puts = context.keys.history, context.now(), []
    if step.verdict:
        puts.append(
            _put(f"{prefix}{step.verdict.revision}", history.entry_of(step.verdict, step.text, step.note, at))
        )
    if step.outcome:
        name, why = step.outcome
        puts.append(
            _put(f"{prefix}{step.revision}/{name}", history.Event(at=at, why=why[: history.LONGEST_MESSAGE]))
        )
    gone = [Delete(key=f"{prefix}{each}") for each in step.gone[: MOST_OPERATIONS - len(puts)]]
    context.store.write_fenced(fence, [*puts, *gone])


def _batches(puts: Iterable[Put]) -> Iterator[list[Put]]:
    """Yield the puts in the same order, in transactions of a size that etcd accepts."""
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


def _update_node(
    context: ApplyContext, step: leader_steps.PromoteNode | leader_steps.DemoteNode | leader_steps.UpdateNode
) -> None:
    # dockerd cannot compare the lock, and reading the node takes time: check the lock once more after the read.
    still = partial(context.safe_fence, step.budget_s)
    update = partial(context.engine.update_node, step.node_id, version=step.version, still=still)
    if isinstance(step, leader_steps.UpdateNode):
        update(availability=step.availability, labels=step.labels, without=step.without)
    else:
        update(role="manager" if isinstance(step, leader_steps.PromoteNode) else "worker")


def _autolock(context: ApplyContext, fence: Fence, step: leader_steps.AutolockStep, *, on: bool) -> None:
    """Set autolock and publish the unlock keys: the current one first, then the previous ones."""
    engine = context.engine
    swarm_id = engine.swarm_tokens().swarm_id
    if swarm_id != step.known.swarm_id:
        raise Conflict(f"the engine is in swarm {swarm_id}, not in {step.known.swarm_id}")
    engine.set_autolock(on)
    new = (engine.unlock_key(),) if on else ()
    keys = tuple(dict.fromkeys((*new, *step.known.keys)))[: records.MOST_KEYS]
    if keys:
        published = context.seal_keys(replace(step.known, on=on, keys=keys))
        context.store.write_fenced(fence, [_put(context.keys.unlock, published)])


def _put(key: str, record: object) -> Put:
    # An older agent reads the assignments of a newer leader: a field that it does not know is there only if used.
    return Put(key=key, value=records.encode(record, terse=isinstance(record, records.Assignment)))
