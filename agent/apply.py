"""Carries out one step: no decisions here. Every call tolerates having happened already."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from typing import Literal

from agent import election
from agent.clients.engine import Engine, ask_digests
from agent.clients.store import Store
from agent.errors import Conflict, LeadershipLost, Unreachable
from agent.fields import create_request
from agent.model import records, spec, steps
from agent.model.autolock import MOST_KEYS, UnlockKeys
from agent.model.keys import Keys
from agent.model.store import Compare, Delete, Fence, Put
from agent.session import Session

MOST_OPERATIONS = 100
"""etcd refuses a transaction of more than 128 operations (--max-txn-ops)."""
MOST_BYTES = 1_000_000
"""etcd refuses a request of more than 1.5 MiB (--max-request-bytes), keys and all."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Applier:
    """The doors to the outside, and what a leader's write needs: a lease that lasts and the fencing token."""

    engine: Engine
    store: Store
    session: Session
    keys: Keys
    me: str
    cluster: str
    fence: Callable[[], Fence | None]
    """The lock as last observed."""
    now: Callable[[], str]
    """The time of day in RFC 3339, for people."""
    told: Callable[[str, str], None] = lambda *_: None
    """Hears how far the pull of an image is, in words, many times a second."""
    seal: Callable[[records.Tokens], records.Tokens] = lambda tokens: tokens
    """What is done to join tokens before anybody who reads etcd can see them."""
    seal_keys: Callable[[UnlockKeys], UnlockKeys] = lambda keys: keys
    """As `seal`, for the swarm's unlock keys."""

    def apply(self, step: steps.Step) -> None:
        """Carry out `step`. Raises what the doors raise; LeadershipLost when a leader's step is not safe any more."""
        if step.lane == "leader":
            self._lead(step)
        elif isinstance(step, steps.ResolveDigests):
            self._resolve(step)
        else:
            self._act(step)

    def _act(self, step: steps.Step) -> None:
        engine = self.engine
        match step:
            case steps.CreateBridge():
                engine.create_bridge(step.bridge)
            case steps.RemoveBridge():
                engine.remove_network(step.id)
            case steps.InitSwarm():
                self._init(step)
            case steps.JoinSwarm() | steps.LeaveSwarm() | steps.UnlockHost():
                self._change_membership(step)
            case steps.TakePresence():
                self.session.insist()
            case steps.CreateNetwork():
                engine.create_network(step.network)
            case steps.CreateVolume():
                engine.create_volume(step.volume)
            case steps.PullImage():
                engine.pull(step.image, partial(self.told, step.resource))
            case _:
                self._act_on_bridge(step)

    def _change_membership(self, step: steps.JoinSwarm | steps.LeaveSwarm | steps.UnlockHost) -> None:
        match step:
            case steps.JoinSwarm():
                self.engine.join_swarm(advertise=step.advertise, remotes=step.remotes, token=step.token)
            case steps.LeaveSwarm():
                self.engine.leave_swarm()
            case steps.UnlockHost():
                self.engine.unlock_swarm(step.keys)

    def _act_on_bridge(self, step: steps.Step) -> None:
        engine = self.engine
        match step:
            case steps.TakeTurn() | steps.GiveBackTurn():
                self._turn(step)
            case steps.CreateParking():
                engine.create_network(step.network)
            case steps.Park():
                engine.park(step.container, step.network)
            case steps.SwapBridge():
                self._swap_bridge(step)
            case steps.Unpark():
                engine.unpark(step.container, step.network)
            case steps.RemoveParking():
                engine.remove_network(step.network)
            case _:
                self._act_on_container(step)

    def _act_on_container(self, step: steps.Step) -> None:
        engine = self.engine
        match step:
            case steps.CreateContainer():
                request = create_request(
                    step.spec, copy=step.copy, project=step.project, cluster=self.cluster, name=step.made_as
                )
                engine.create_container(request)
            case steps.StartContainer():
                engine.start(step.name)
            case steps.UnpauseContainer():
                engine.unpause(step.id)
            case steps.StopContainer():
                engine.stop(step.id, step.grace_s)
            case steps.RemoveContainer():
                engine.remove_container(step.id)
            case steps.RenameContainer():
                engine.rename(step.id, step.name)
            case steps.UpdateContainer():
                engine.update(step.id, step.spec)
            case steps.ConnectNetwork():
                engine.connect(step.id, step.attachment, step.aliases)
            case steps.DisconnectNetwork():
                engine.disconnect(step.id, step.network)
            case _:
                raise TypeError(f"no host step: {step}")

    def _resolve(self, step: steps.ResolveDigests) -> None:
        """Note all that is said; raise what the first registry that did not say it has to say."""
        found, problem = ask_digests(self.engine, step.images)
        if found:
            record = replace(
                step.known,
                images=tuple(sorted({**dict(step.known.images), **found}.items())),
                asked=tuple(sorted({*step.known.asked, *found})),
            )
            seen = Compare(key=self.keys.digests, mod_revision=step.over)
            fence = self._safe_fence(step.budget_s)
            self.store.write_fenced(fence, [_put(self.keys.digests, record)], [seen])
        if problem:
            raise problem

    def _swap_bridge(self, step: steps.SwapBridge) -> None:
        for network, endpoint in step.release:
            self.engine.release_endpoint(network, endpoint)
        for network in step.old:
            self.engine.remove_network(network)
        self.engine.create_bridge(step.bridge)

    def _turn(self, step: steps.TakeTurn | steps.GiveBackTurn) -> None:
        state: Literal["taken", "done"] = "taken" if isinstance(step, steps.TakeTurn) else "done"
        seen = Compare(key=self.keys.disruption, mod_revision=step.revision)
        turn = _put(self.keys.disruption, replace(step.turn, state=state))
        if not self.store.txn([seen], [turn]).succeeded:
            raise Conflict("somebody changed the turn in the meantime")

    def _init(self, step: steps.InitSwarm) -> None:
        # The claim is the leader's; the init is a host's step because it is a barrier among those.
        self._safe_fence(step.budget_s)
        self.engine.init_swarm(
            advertise=step.advertise,
            pool=step.pool,
            mask_length=step.mask_length,
            data_path_port=step.data_path_port,
        )

    def _lead(self, step: steps.Step) -> None:
        if isinstance(step, steps.Campaign):
            self._campaign()
            return
        fence = self._safe_fence(step.budget_s)
        match step:
            case steps.Resign():
                election.resign(self.store, fence)
            case steps.RotateTokens():
                self.engine.rotate_tokens()
            case steps.CreateOverlay():
                self.engine.create_network(step.network)
            case steps.PromoteNode() | steps.DemoteNode() | steps.UpdateNode() | steps.RemoveNode():
                self._act_on_node(step)
            case steps.RemoveOverlay():
                self.engine.remove_network(step.id)
            case steps.TurnAutolockOn() | steps.PublishUnlockKey() | steps.TurnAutolockOff():
                self._autolock(fence, step)
            case _:
                self._write(fence, step)

    def _autolock(
        self, fence: Fence, step: steps.TurnAutolockOn | steps.PublishUnlockKey | steps.TurnAutolockOff
    ) -> None:
        """Switch, and publish what came of it: the key that is good now, and those that were before."""
        on = not isinstance(step, steps.TurnAutolockOff)
        swarm_id = self.engine.swarm_tokens().swarm_id
        if swarm_id != step.known.swarm_id:
            raise Conflict(f"the engine is in swarm {swarm_id}, not in {step.known.swarm_id}")
        self.engine.set_autolock(on)
        new = (self.engine.unlock_key(),) if on else ()
        keys = tuple(dict.fromkeys((*new, *step.known.keys)))[:MOST_KEYS]
        if keys:
            published = self.seal_keys(replace(step.known, on=on, keys=keys))
            self.store.write_fenced(fence, [_put(self.keys.unlock, published)])

    def _act_on_node(
        self, step: steps.PromoteNode | steps.DemoteNode | steps.UpdateNode | steps.RemoveNode
    ) -> None:
        engine = self.engine
        match step:
            case steps.PromoteNode():
                engine.update_node(step.node_id, role="manager")
            case steps.DemoteNode():
                engine.update_node(step.node_id, role="worker")
            case steps.UpdateNode():
                engine.update_node(
                    step.node_id, availability=step.availability, labels=step.labels, without=step.without
                )
            case steps.RemoveNode():
                engine.remove_node(step.node_id)

    def _write(self, fence: Fence, step: steps.Step) -> None:
        keys, write = self.keys, self.store.write_fenced
        match step:
            case steps.PublishVerdict():
                self._publish_verdict(fence, step)
            case steps.ClaimInit():
                claim = records.SwarmRecord(claimed_by=self.me)
                write(fence, [_put(keys.swarm, claim)], [Compare(key=keys.swarm, mod_revision=step.over)])
            case steps.PublishSwarm():
                write(fence, [_put(keys.swarm, step.record)])
            case steps.PublishTokens() | steps.WithdrawTokens():
                self._write_tokens(fence, step)
            case steps.OfferTurn() | steps.EndTurn():
                self._write_turn(fence, step)
            case steps.PublishAssignment():
                self._publish_assignment(fence, step)
            case steps.CollectSpecs():
                write(fence, [Delete(key=keys.spec(digest)) for digest in step.digests[:MOST_OPERATIONS]])
            case steps.ForgetHost():
                write(fence, [Delete(key=keys.assignment(step.host)), Delete(key=keys.status(step.host))])
            case _:
                self._write_note(fence, step)

    def _write_note(self, fence: Fence, step: steps.Step) -> None:
        match step:
            case steps.PublishRuling() | steps.WithdrawRuling():
                self._write_ruling(fence, step)
            case steps.PublishRollout():
                self.store.write_fenced(fence, [_put(self.keys.rollout(step.service), step.rollout)])
            case steps.WithdrawRollout():
                self.store.write_fenced(fence, [Delete(key=self.keys.rollout(step.service))])
            case _:
                raise TypeError(f"no leader step: {step}")

    def _write_ruling(self, fence: Fence, step: steps.PublishRuling | steps.WithdrawRuling) -> None:
        key = self.keys.ruling(step.host)
        write: Put | Delete = Delete(key=key)
        if isinstance(step, steps.PublishRuling):
            if step.unlisted and self.engine.has_node(step.unlisted):
                raise Conflict(f"the swarm does know node {step.unlisted}")
            write = _put(key, step.ruling)
        self.store.write_fenced(fence, [write])

    def _write_turn(self, fence: Fence, step: steps.OfferTurn | steps.EndTurn) -> None:
        key = self.keys.disruption
        write: Put | Delete = Delete(key=key)
        if isinstance(step, steps.OfferTurn):
            turn = records.Disruption(host=step.host, state="offered", reason=step.reason, quorum=step.quorum)
            write = _put(key, turn)
        self.store.write_fenced(fence, [write], [Compare(key=key, mod_revision=step.over)])

    def _campaign(self) -> None:
        lease_id = self.session.lease_id
        if lease_id is None:
            raise Unreachable("no lease to campaign with")
        value = records.encode(records.LeaderRecord(host=self.me, since=self.now()))
        # To be too late is no failure: the next observation says who leads.
        election.campaign(self.store, self.keys.leader, value, lease_id)

    def _safe_fence(self, budget_s: float) -> Fence:
        fence = self.fence()
        if fence is None:
            raise LeadershipLost("this host does not lead any more")
        if not self.session.is_safe_for(budget_s):
            raise LeadershipLost(f"the lease may end within the {budget_s:.0f} s this step may take")
        return fence

    def _publish_verdict(self, fence: Fence, step: steps.PublishVerdict) -> None:
        operations = [_put(self.keys.verdict, step.verdict)]
        if step.document is not None:
            accepted = records.Accepted(revision=step.verdict.revision, document=step.document, era=step.era)
            operations.append(_put(self.keys.accepted, accepted))
        # A document put in the meantime gets a verdict of its own.
        judged = Compare(key=self.keys.intent, mod_revision=step.verdict.revision)
        self.store.write_fenced(fence, operations, [judged])

    def _write_tokens(self, fence: Fence, step: steps.PublishTokens | steps.WithdrawTokens) -> None:
        if isinstance(step, steps.WithdrawTokens):
            self.store.write_fenced(fence, [Delete(key=self.keys.tokens)])
            return
        tokens = self.engine.swarm_tokens()
        if tokens.swarm_id != step.swarm_id:
            raise Conflict(f"the engine is in swarm {tokens.swarm_id}, not in {step.swarm_id}")
        tokens = tokens if step.managers else replace(tokens, manager="")
        self.store.write_fenced(fence, [_put(self.keys.tokens, self.seal(tokens))])

    def _publish_assignment(self, fence: Fence, step: steps.PublishAssignment) -> None:
        puts = [Put(key=self.keys.spec(spec.spec_hash(each)), value=spec.encode(each)) for each in step.specs]
        # Specs first: a host that reads an assignment must find every spec that it names.
        for batch in _batches([*puts, _put(self.keys.assignment(step.host), step.assignment)]):
            self.store.write_fenced(fence, batch)


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


def _put(key: str, record: object) -> Put:
    return Put(key=key, value=records.encode(record))
