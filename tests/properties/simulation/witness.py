"""Watches every step of every agent and every write that etcd accepts, and keeps what was not as it must be."""

from collections.abc import Sequence
from functools import partial
from ipaddress import IPv4Interface

from agent.model.host_state import LinkState
from agent.model.intent import GWBRIDGE, PARKING
from agent.model.leader_steps import DemoteNode, PromoteNode
from agent.model.plan import Step
from agent.model.records import Accepted, Assignment, decode
from agent.model.steps import AbandonNode, DissolveSwarm, Park, SwapBridge
from agent.model.store import Compare, Delete, Put
from tests.fakes.swarm import FakeSwarm, Member
from tests.properties.simulation import invariants
from tests.properties.simulation.invariants import Past, Sight
from tests.properties.simulation.world import World, replicas
from tests.support.simulated_cluster import KEYS, SimulatedAgent, SimulatedHost


class Witness:
    """Sees all of a world. `check` raises AssertionError when something was seen that must not be."""

    def __init__(self, world: World) -> None:
        self.past = Past()
        self.violations: list[str] = []
        self._world = world
        self._sights: dict[str, Sight] = {}
        self._quorate: list[FakeSwarm] = []
        self._held = (0, 0)
        """Members and containers on overlays of the swarm that the host of the step is in."""
        self._left: FakeSwarm | None = None
        """The swarm that the step is to leave by force."""
        self._voters: tuple[list[Member], list[Member]] = ([], [])

    def follow(self, agent: SimulatedAgent) -> None:
        """Watch that run of an agent."""
        agent.looks = partial(self._looks, agent)
        agent.before = partial(self._before, agent)
        agent.after = partial(self._after, agent)
        agent.store.on_write = partial(self._wrote, agent)
        agent.host.engine.between_read_and_update = partial(self._changes_a_node, agent)

    def altered(self, host: SimulatedHost) -> None:
        """Somebody else does something to the replicas of a host, or to all they rest on."""
        self.past.altered |= {raw["Id"] for raw in replicas(host).values()}

    def disruption_is_deleted(self) -> None:
        """Somebody is about to delete the disruption slot."""
        disruption = invariants.decoded_disruption(self._world)
        if disruption is not None and disruption.state == "acquired":
            self.past.robbed.add(disruption.host)

    def roles_are_taken_on(self) -> None:
        """The swarms let in and vote out whom they were asked to, some time after the step that asked."""
        for swarm in self._world.swarms:
            quorate = [swarm] if swarm.has_quorum else []
            swarm.settle()
            self.violations += invariants.no_step_ends_a_quorum(quorate, "the roles asked for were taken on")

    def check(self) -> None:
        """What must be true at every moment."""
        world = self._world
        for name in world.hosts:
            self.violations += invariants.nothing_foreign_is_touched(world, name)
        self.violations += invariants.no_foreign_node_is_touched(world)
        self.violations += invariants.no_address_or_port_is_held_twice(world)
        assert not self.violations, "\n".join((*self.violations, world.told()))

    def old_ones_run_again(self) -> None:
        """Some time after docker has refused new containers, and with nothing else wrong."""
        self.violations += invariants.where_a_new_one_was_refused_the_old_one_runs(self._world)
        assert not self.violations, "\n".join((*self.violations, self._world.told()))

    # ---- it is told

    def _looks(self, agent: SimulatedAgent) -> None:
        in_flight = agent.dispatcher.in_flight
        if not any(isinstance(step, Park | SwapBridge) for step in in_flight):
            self.past.robbed.discard(agent.name)
        if any(isinstance(step, PromoteNode | DemoteNode) for step in in_flight):
            return  # it was decided upon by what was seen before
        membership = agent.host.engine.nets.membership
        if membership is None:
            self._sights[agent.name] = Sight()
            return
        swarm, reached = membership[0], membership[0].reached()
        away = frozenset(each.node_id for each in swarm.members if each.in_raft and each not in reached)
        moving = frozenset(
            each.node_id for each in reached if (each.role == "manager") != each.in_raft and not each.failed
        )
        self._sights[agent.name] = Sight(away, moving)

    def _before(self, agent: SimulatedAgent, step: Step) -> None:
        world = self._world
        self._left = None
        self._quorate = [each for each in world.swarms if each.has_quorum]
        if membership := agent.host.engine.nets.membership:
            swarm = membership[0]
            self._held = len(swarm.members), sum(len(swarm.users(each)) for each in swarm.networks)
            self._voters = [each for each in swarm.members if each.in_raft], swarm.reached()
            if isinstance(step, AbandonNode) and membership[1] in swarm.members:
                self.violations.append(f"{agent.name} leaves by force a swarm that has its node")
            if isinstance(step, DissolveSwarm):
                self._left = swarm
                self._quorate = [each for each in self._quorate if each is not swarm]
        if isinstance(step, Park | SwapBridge):
            self._before_bridge(agent, step)
        self.violations += invariants.a_container_that_has_run_is_removed_only_after_the_next_one_has_started(
            agent, step, self.past
        )
        self.violations += invariants.a_replica_is_stopped_only_when_it_is_to_be_gone(
            world, agent, step, self.past
        )

    def _before_bridge(self, agent: SimulatedAgent, step: Park | SwapBridge) -> None:
        disturbs = _disturbs(agent.host, step)
        if disturbs:
            self.past.changing.add(agent.name)
        self.violations += invariants.only_the_host_with_the_disruption_slot_is_disturbed(
            self.past, agent.name, step, invariants.decoded_disruption(self._world), disturbs
        )

    def _after(self, agent: SimulatedAgent, step: Step) -> None:
        world, name = self._world, agent.name
        if self._left is not None:
            self.violations += invariants.only_a_swarm_that_came_to_nothing_is_dissolved(
                self.past, self._left, *self._held
            )
        self.past.changing &= {each.name for each in world.hosts.values() if _is_begun(each)}
        self.violations += [
            *invariants.no_step_ends_a_quorum(self._quorate, step),
            *invariants.managers_change_only_while_all_are_reached(
                *self._voters, step, self._sights.get(name, Sight())
            ),
            *invariants.who_joins_joins_the_recorded_swarm(world, name, step),
            *invariants.at_most_one_host_is_disturbed(self.past),
            *invariants.nothing_foreign_is_touched(world, name),
        ]

    def _changes_a_node(self, agent: SimulatedAgent) -> None:
        """Not where another leader has made it so meanwhile: then nothing is changed."""
        self.violations += invariants.a_node_is_changed_only_on_a_lease(agent.name, agent.session.lease_id)

    def _wrote(
        self, agent: SimulatedAgent, compares: Sequence[Compare], writes: Sequence[Put | Delete]
    ) -> None:
        world = self._world
        self.violations += invariants.only_who_leads_writes_for_all(
            world, self.past, agent.name, compares, writes
        )
        for each in writes:
            if isinstance(each, Put) and each.key == KEYS.accepted:
                accepted = decode(Accepted, each.value)
                self.past.documents[accepted.revision] = accepted.document
            if isinstance(each, Put) and each.key.startswith(KEYS.assignments):
                self._assigned(each.key.removeprefix(KEYS.assignments), each.value)
            if each.key == KEYS.swarm:
                record = world.record()
                self.past.claimant = record.claimed_by if record and not record.swarm_id else None
                self.past.swarms |= {record.swarm_id} if record and record.swarm_id else set()
                self.violations += invariants.one_swarm_is_ever_used(self.past)

    def _assigned(self, host: str, value: bytes) -> None:
        found, known = decode(Assignment, value), self.past.assigned.setdefault(host, [])
        last = known[-1][1] if known else None
        self.violations += invariants.what_is_assigned_is_not_taken_back(self.past, host, last, found)
        known.append((self._world.etcd.revision, found))
        for replica in found.replicas:
            if self._world.read(KEYS.spec(replica.spec)) is None:
                self.violations.append(f"{host} is to run {replica}, and its spec is not there")


def _disturbs(host: SimulatedHost, step: Park | SwapBridge) -> bool:
    """Whether the step takes a gateway away that works, by what is there and not by what the product makes of it.

    It works while the kernel has the device as docker made it. What parks a container with its gateway elsewhere, or
    replaces a bridge that nobody is on or that is none of those the step removes, is noticed by nobody.
    """
    bridge = host.engine.nets.local.get(GWBRIDGE)
    if bridge is None or bridge.subnet is None:
        return False
    as_made = LinkState(address=IPv4Interface(f"{bridge.gateway}/{bridge.subnet.prefixlen}"), up=True)
    if host.kernel.link(GWBRIDGE) != as_made:
        return False
    users = {whose for whose, _ in host.engine.nets.endpoints(GWBRIDGE)}
    return step.container in users if isinstance(step, Park) else bool(users) and bridge.id in step.old


def _is_begun(host: SimulatedHost) -> bool:
    return PARKING in host.engine.nets.local or GWBRIDGE not in host.engine.nets.local
