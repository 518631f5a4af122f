"""What must be true whatever happens, each a function that says in words what is wrong; nothing when all is well."""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from agent.diff.container import identity
from agent.model.leader_steps import DemoteNode, PromoteNode
from agent.model.plan import Step
from agent.model.records import Assignment, Disruption, LeaderRecord, decode
from agent.model.steps import JoinSwarm, RemoveContainer, StopContainer
from agent.model.store import Compare, Delete, Put
from tests.fakes.containers import Raw, is_up, published
from tests.fakes.swarm import FakeSwarm, Member
from tests.properties.simulation.documents import read
from tests.properties.simulation.world import World, replicas
from tests.support.simulated_cluster import KEYS, SimulatedAgent
from tests.support.slot import slot_in


@dataclass
class Sight:
    """What was so when an agent last looked: what has changed since, it could not know."""

    away: frozenset[str] = frozenset()
    """Node ids of the managers that raft did not reach."""
    moving: frozenset[str] = frozenset()
    """Node ids whose role was on its way."""


@dataclass
class Past:
    """What a witness remembers."""

    swarms: set[str] = field(default_factory=set)
    """Ids of the swarms that were ever recorded."""
    changing: set[str] = field(default_factory=set)
    """Hosts that are in the middle of changing a docker_gwbridge that worked."""
    robbed: set[str] = field(default_factory=set)
    """Hosts whose disruption slot somebody deleted when they had taken it; they cannot know before they look again."""
    assigned: dict[str, list[tuple[int, Assignment]]] = field(default_factory=dict)
    """By host, what leaders have assigned, and at which revision of etcd."""
    claimant: str | None = None
    """Who holds the claim on the init while it is not done; as after the last write of a leader."""
    documents: dict[int, str] = field(default_factory=dict)
    """What was accepted, by its revision."""
    altered: set[str] = field(default_factory=set)
    """Ids of our containers that somebody else has done something to."""


def one_swarm_is_ever_used(past: Past) -> Iterator[str]:
    """Two swarms that both were recorded once would each have taken hosts of ours."""
    if len(past.swarms) > 1:
        yield f"swarms recorded: {sorted(past.swarms)}"


def who_joins_joins_the_recorded_swarm(world: World, name: str, step: Step) -> Iterator[str]:
    if isinstance(step, JoinSwarm):
        record, joined = world.record(), world.hosts[name].swarm_id
        if record is None or joined not in (None, record.swarm_id):
            yield f"{name} joined {joined} by {step}"


def no_step_ends_a_quorum(before: Iterable[FakeSwarm], what: Step | str) -> Iterator[str]:
    """`before` are the swarms that had one before the step, or before the roles that steps asked for were taken on."""
    for swarm in before:
        if not swarm.has_quorum:
            yield f"{swarm.id} has no quorum any more after {what}"


def only_a_swarm_that_came_to_nothing_is_dissolved(
    past: Past, swarm: FakeSwarm, members: int, users: int
) -> Iterator[str]:
    """`swarm` is what was dissolved; it had so many members, and so many containers on its overlays."""
    if swarm.id in past.swarms or members != 1 or users or swarm.networks or not swarm.made_for:
        yield f"{swarm.id} was dissolved, with {members} members and {users} containers; recorded: {past.swarms}"


def managers_change_only_while_all_are_reached(
    voters: Sequence[Member], reached: Sequence[Member], step: Step, sight: Sight
) -> Iterator[str]:
    """But for the one that is away itself. Another one more or less would let the quorum hang on the next mishap."""
    if not isinstance(step, PromoteNode | DemoteNode):
        return
    away = {each.node_id for each in voters if each not in reached} & sight.away - {step.node_id}
    taken_out = isinstance(step, DemoteNode) and step.node_id in sight.away
    if away and not taken_out:
        yield f"while {', '.join(sorted(away))} were away: {step}"
    if others := sight.moving - {step.node_id}:
        yield f"while the role of {', '.join(sorted(others))} was on its way: {step}"


def a_node_is_changed_only_on_a_lease(name: str, lease_id: int | None) -> Iterator[str]:
    """dockerd asks nobody who leads. `lease_id` is the lease that the agent has in the moment of the change."""
    if lease_id is None:
        yield f"{name} changed a node without a lease"


def only_the_host_with_the_disruption_slot_is_disturbed(
    past: Past, name: str, step: Step, disruption: Disruption | None, disturbs: bool
) -> Iterator[str]:
    """Nobody else takes a docker_gwbridge away that works; `disturbs`: the step does."""
    has_it = name in past.robbed or (
        disruption is not None and (disruption.host, disruption.state) == (name, "acquired")
    )
    if disturbs and not has_it:
        yield f"{name} was disturbed by {step} while the disruption slot was {disruption}"


def at_most_one_host_is_disturbed(past: Past) -> Iterator[str]:
    if len(past.changing) > 1:
        yield f"disturbed at the same time: {', '.join(sorted(past.changing))}"


def only_who_leads_writes_for_all(
    world: World, past: Past, name: str, compares: Sequence[Compare], writes: Sequence[Put | Delete]
) -> Iterator[str]:
    """Every write that etcd accepts from a leader was conditional on the lock that was the leader's then.

    What is not a leader's: the host's own keys, the lock itself, and what compares what was last seen of it: the
    disruption slot, and the host's own claim on the init, withdrawn before anything came of it.
    """
    lock = world.read(KEYS.leader)
    holder = decode(LeaderRecord, lock.value).host if lock else "nobody"
    compared = lock is not None and Compare(key=KEYS.leader, create_revision=lock.create_revision) in compares
    for write in (each for each in writes if not each.key.startswith(f"{KEYS.hosts}{name}/")):
        key = write.key
        own = key == KEYS.swarm and isinstance(write, Delete) and past.claimant == name
        compared_key = KEYS.disruption if key == KEYS.slot(name) else key
        compares_it = any(each.key == compared_key for each in compares)
        if key == KEYS.leader or (compares_it and (own or key == KEYS.slot(name))):
            continue
        if holder != name:
            yield f"{name} wrote {key} while {holder} held the lock"
        elif not compared:
            yield f"{name} wrote {key} without comparing the lock"


def what_is_assigned_is_not_taken_back(
    past: Past, host: str, last: Assignment | None, found: Assignment
) -> Iterator[str]:
    """A host keeps as many replicas of a service as it had and its document asks for, whoever is unreachable."""
    text = past.documents.get(found.revision)
    if text is None or last is None:
        return
    had, has = (Counter(replica.service for replica in each.replicas) for each in (last, found))
    intent = read(text)
    declared = intent.host(host)
    if declared is None or declared.availability == "drain":
        return
    for service in intent.services:
        wanted = dict(service.placement).get(host, 0)
        if has[service.name] < min(had[service.name], wanted):
            yield f"{host} is to run {has[service.name]} of {wanted} replicas of {service.name}: {found}"


def a_replica_is_stopped_only_when_it_is_to_be_gone(
    world: World, agent: SimulatedAgent, step: Step, past: Past
) -> Iterator[str]:
    """Not because etcd, the swarm, a leader or an agent was away.

    It is to be gone when what was assigned, as the agent last read it, has it no more or otherwise, when somebody else
    has done something to it, or when the host is to leave the swarm.
    """
    if not isinstance(step, StopContainer | RemoveContainer):
        return
    raw = agent.host.engine.by_hand.raws.get(step.id)
    last = agent.observer._last
    if raw is None or not is_up(raw) or raw["Id"] in past.altered or (last and last.membership_order):
        return
    here = replicas(agent.host)
    replica = next((each for each, found in here.items() if found is raw), None)
    same = [
        each
        for each in here
        if replica is not None and (each.service, each.slot) == (replica.service, replica.slot)
    ]
    assigned = [
        each for revision, each in past.assigned.get(agent.name, ()) if last and revision <= last.revision
    ]
    for wanted in assigned[-1].replicas if assigned else ():
        pinned = dict(wanted.addresses).items() - _addresses(raw).items()
        if wanted.made_as == replica and len(same) == 1 and not pinned:
            yield f"{agent.name} stopped {replica}, which is as assigned: {step}"


def a_container_that_has_run_is_removed_only_after_the_next_one_has_started(
    agent: SimulatedAgent, step: Step, past: Past
) -> Iterator[str]:
    """Else nothing would be left to go back to when docker refuses the next one."""
    last = agent.observer._last
    if not isinstance(step, RemoveContainer) or last is None or last.membership_order:
        return
    here = agent.host.replicas().values()
    raw = next((each for each in here if each["Id"] == step.id), None)
    removed = identity(raw["Config"]["Labels"] or {}) if raw else None
    if raw is None or removed is None or raw["Id"] in past.altered or not raw["State"].get("StartedAt"):
        return
    assigned = [each for revision, each in past.assigned.get(agent.name, ()) if revision <= last.revision]
    if not assigned or removed.key not in {each.key for each in assigned[-1].replicas}:
        return
    others = (each for each in here if each is not raw and each["State"].get("StartedAt"))
    named = (identity(each["Config"]["Labels"] or {}) for each in others)
    if removed.key not in {each.key for each in named if each is not None}:
        yield f"{agent.name} removed {removed}, and no other container of it has started: {step}"


REFUSED = "OCI runtime create failed: wrong rlimit value: RLIMIT_NOFILES"
"""What docker says of a container that it refuses to start."""


def where_a_new_one_was_refused_the_old_one_runs(world: World) -> Iterator[str]:
    """On every host of the swarm: a replica with a refused container and one that has run has one that runs."""
    record = world.record()
    if world.accepted() is None:
        return  # nothing is assigned yet, and nobody knows what an assignment that somebody damaged is to be
    for name, host in world.hosts.items():
        assigned = world.assignment(name)
        if record is None or host.swarm_id != record.swarm_id or assigned is None:
            continue
        held = {each.key for each in assigned.replicas if each.held or each.waits}
        found: dict[tuple[str, int], list[Raw]] = {}
        for raw in host.replicas().values():
            if (replica := identity(raw["Config"]["Labels"] or {})) is not None:
                found.setdefault(replica.key, []).append(raw)
        for key, several in found.items():
            refused = any(raw["State"].get("Error") == REFUSED for raw in several)
            old = [raw for raw in several if raw["State"].get("StartedAt")]
            if refused and old and key not in held and not any(map(is_up, old)):
                yield f"{name} runs nothing of {key}, although docker has refused only its new container"


def nothing_foreign_is_touched(world: World, name: str) -> Iterator[str]:
    """Containers, networks and volumes of a host that are not ours are as their owners left them."""
    before = {key: value for key, value in world.foreign.items() if key[0] == name}
    now = world.foreign_now(name)
    for key in before.keys() | now.keys():
        if before.get(key) != now.get(key):
            yield f"{key} was {before.get(key)}, is {now.get(key)}"


def no_foreign_node_is_touched(world: World) -> Iterator[str]:
    """A node of the swarm that no agent calls its own keeps role, availability and labels."""
    for key, now in world.stranger_now().items():
        if world.foreign.get(key) != now:
            yield f"{key} was {world.foreign.get(key)}, is {now}"


def no_address_or_port_is_held_twice(world: World) -> Iterator[str]:
    """By replicas of ours: an overlay address in the whole swarm, a port on one host."""
    held: Counter[str] = Counter()
    for name, host in world.hosts.items():
        for raw in host.replicas().values():
            if is_up(raw):
                held.update(f"{swarm_wide} on {network}" for network, swarm_wide in _addresses(raw).items())
                held.update(f"port {port} of {name}" for port in published(raw))
    yield from (f"held {count} times: {what}" for what, count in held.items() if count > 1)


def _addresses(raw: Raw) -> dict[str, str]:
    networks = raw["NetworkSettings"]["Networks"].items()
    return {
        network: each["IPAddress"]
        for network, each in networks
        if each.get("IPAddress") and network == "overlay"
    }


def decoded_disruption(world: World) -> Disruption | None:
    return slot_in(KEYS, world.read)
