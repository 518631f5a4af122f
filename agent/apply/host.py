"""What a host does to itself, and says of it."""

from dataclasses import replace
from functools import partial
from typing import Literal

from agent.apply.doors import Doors
from agent.apply.leader import put
from agent.clients.docker import Engine, ask_digests
from agent.diff.container import create_request
from agent.errors import Conflict
from agent.model import plan, steps
from agent.model.store import Compare, Delete


def act(doors: Doors, step: plan.Step) -> None:
    """Carry out a step of the lanes of the host. Raises TypeError for a leader's."""
    engine = doors.engine
    match step:
        case steps.CreateBridge():
            engine.create_bridge(step.bridge)
        case steps.RemoveBridge():
            engine.remove_network(step.id)
        case steps.InitSwarm() | steps.GiveUpInit():
            _make_swarm(doors, step)
        case steps.JoinSwarm() | steps.LeaveSwarm() | steps.DissolveSwarm() | steps.UnlockHost():
            _change_membership(engine, step)
        case steps.PutPresence():
            doors.session.reassert(insist=step.insists)
        case steps.CreateNetwork():
            engine.create_network(step.network)
        case steps.CreateVolume():
            engine.create_volume(step.volume)
        case steps.PullImage():
            engine.pull(step.image, partial(doors.told, step.resource))
        case steps.ResolveDigests():
            _resolve(doors, step)
        case _:
            _act_on_bridge(doors, step)


def _change_membership(
    engine: Engine, step: steps.JoinSwarm | steps.LeaveSwarm | steps.DissolveSwarm | steps.UnlockHost
) -> None:
    match step:
        case steps.JoinSwarm():
            engine.join_swarm(advertise=step.advertise, remotes=step.remotes, token=step.token)
        case steps.LeaveSwarm():
            engine.leave_swarm()
        case steps.DissolveSwarm():
            engine.dissolve_swarm(step.swarm_id)
        case steps.UnlockHost():
            engine.unlock_swarm(step.keys)


def _make_swarm(doors: Doors, step: steps.InitSwarm | steps.GiveUpInit) -> None:
    if isinstance(step, steps.InitSwarm):
        _init(doors, step)
        return
    key = doors.keys.swarm
    if not doors.store.txn([Compare(key=key, mod_revision=step.over)], [Delete(key=key)]).succeeded:
        raise Conflict("somebody changed the claim in the meantime")


def _init(doors: Doors, step: steps.InitSwarm) -> None:
    # The claim is the leader's; the init is a host's step because it is a barrier among those.
    doors.safe_fence(step.budget_s)
    doors.engine.init_swarm(
        advertise=step.advertise,
        pool=step.pool,
        mask_length=step.mask_length,
        data_path_port=step.data_path_port,
    )


def _act_on_bridge(doors: Doors, step: plan.Step) -> None:
    engine = doors.engine
    match step:
        case steps.TakeTurn() | steps.GiveBackTurn():
            _turn(doors, step)
        case steps.CreateParking():
            engine.create_network(step.network)
        case steps.Park():
            engine.park(step.container, step.network)
        case steps.SwapBridge():
            _swap_bridge(engine, step)
        case steps.Unpark():
            engine.unpark(step.container, step.network)
        case steps.RemoveParking():
            engine.remove_network(step.network)
        case _:
            _act_on_container(doors, step)


def _turn(doors: Doors, step: steps.TakeTurn | steps.GiveBackTurn) -> None:
    state: Literal["taken", "done"] = "taken" if isinstance(step, steps.TakeTurn) else "done"
    key = doors.keys.disruption
    seen = Compare(key=key, mod_revision=step.revision)
    if not doors.store.txn([seen], [put(key, replace(step.turn, state=state))]).succeeded:
        raise Conflict("somebody changed the turn in the meantime")


def _swap_bridge(engine: Engine, step: steps.SwapBridge) -> None:
    for network, endpoint in step.release:
        engine.release_endpoint(network, endpoint)
    for network in step.old:
        engine.remove_network(network)
    engine.create_bridge(step.bridge)


def _act_on_container(doors: Doors, step: plan.Step) -> None:
    engine = doors.engine
    match step:
        case steps.CreateContainer():
            request = create_request(
                step.spec, copy=step.copy, project=step.project, cluster=doors.cluster, name=step.made_as
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


def _resolve(doors: Doors, step: steps.ResolveDigests) -> None:
    """Note all that is said; raise what the first registry that did not say it has to say."""
    found, problem = ask_digests(doors.engine, step.images)
    if found:
        record = replace(
            step.known,
            images=tuple(sorted({**dict(step.known.images), **found}.items())),
            asked=tuple(sorted({*step.known.asked, *found})),
        )
        seen = Compare(key=doors.keys.digests, mod_revision=step.over)
        fence = doors.safe_fence(step.budget_s)
        doors.store.write_fenced(fence, [put(doors.keys.digests, record)], [seen])
    if problem:
        raise problem
