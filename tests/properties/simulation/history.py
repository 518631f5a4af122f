"""One history: a world, what happens to it, and the rest it must come to in the end."""

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from unittest import mock

import structlog
from hypothesis import strategies as st

from agent.diff.replicas import container_name
from agent.model.intent import GWBRIDGE
from agent.model.records import Assignment, Rollout, decode
from agent.observe import accepted
from tests.properties.simulation.documents import document, parse_remembered, read, wish
from tests.properties.simulation.events import AgentEvents, Faults
from tests.properties.simulation.people import People
from tests.properties.simulation.status_watch import StatusWatch
from tests.properties.simulation.witness import Witness
from tests.properties.simulation.world import GUEST, World
from tests.support.simulated_cluster import KEYS, SimulatedAgent

REST_ROUNDS, REST_S = 90, 5.0
"""A cluster left alone gets this long: the longest back-off is a minute, a damaged status is rewritten after five."""

MONITOR_ROUNDS = 10
"""Rounds after which a replica that runs has run for its monitor window."""
QUIET_ROUNDS, QUIET_S = 36, 5.0
"""Time that passes after the last event before anything is healed: every fault is noticed and named within it."""
REFUSED_ROUNDS = 40
OTHER_TAG = 4 * 4 * 3
"""Added to the number of a wish: it differs in the tag, and perhaps in what comes after it."""

Event = tuple[str, int, int]
"""What, to which host, and a number that says more about it."""

LIKELY = ("round", "round", "turn", "turn", "look", "work")
RARE = (
    "crash", "killed", "start", "restart_in_order", "frozen_mid_write", "frozen_at_a_node", "frozen", "woken_twice",
    "time_passes", "etcd_goes", "etcd_comes", "an_answer_is_lost", "cut_from_the_swarm", "reached_again",
    "dockerd_goes", "dockerd_comes", "dockerd_restarts", "a_call_fails", "power_is_cut", "power_comes",
    "registry_goes", "put", "put", "put", "put", "put_bad", "take_lock", "spoil", "deletes",
    "deletes_a_presence", "changes_a_replica",
    "changes_the_bridge", "changes_a_node", "removes_a_worker", "takes_a_host_out_of_the_swarm", "runs_a_guest",
    "a_guest_goes", "a_stranger_joins", "misgives", "docker_refuses",
)  # fmt: skip

events = st.tuples(
    st.one_of(st.sampled_from(LIKELY), st.sampled_from(RARE)), st.integers(0, 6), st.integers(0, 9999)
)


class History(AgentEvents, Faults, People):
    """A cluster of `hosts` hosts to which things happen. `begun`: it has come to rest on its first document before."""

    def __init__(self, directory: Path, hosts: int, *, begun: bool, first: int = 0) -> None:
        names = [f"node-{231 + each}" for each in range(hosts)]
        self.cluster = self.world = World(directory, names)
        self.world.lan.lags = True
        self.witness = Witness(self.world)
        self.status = StatusWatch(self.world)
        self.world.put_intent(document(wish(first, hosts), names))
        for name in names:
            self.start(name)
        if begun:
            self.settle()

    def happens(self, events: Sequence[Event]) -> None:
        """Let all of it happen, one after the other. AssertionError when something is seen that must never be."""
        names = self.world.names
        for what, host, number in events:
            getattr(self, what)(names[host % len(names)], number)
            if what == "round":
                self._round_ends()
            self._check()

    def goes_on(self) -> None:
        """Let time pass without healing anything: status has to name what is still not as declared."""
        for _ in range(QUIET_ROUNDS):
            self._round(QUIET_S)
            if self.status.conditions.converged:
                break
        else:
            self.witness.violations += self.status.unnamed()
            self.witness.check()

    def rest(self, last: int) -> None:
        """Everything works again, everybody is there, nobody interferes: it comes to what the document says."""
        self.heal()
        if self.is_refusing():
            self.rounds(REFUSED_ROUNDS)
            self.witness.old_ones_run_again()
            self.docker_takes_all()
            # The operator corrects the document: a paused rollout ends with another spec of its service.
            self.put("", last + OTHER_TAG)
            self.rounds(4)  # its trial, its verdict, its rollout
            for _ in range(REFUSED_ROUNDS):
                # Another leader, if it declares this one no manager. A rollout that stays paused is of what failed.
                if not self._is_paused():
                    break
                self.rounds(1)
        self.put("", last)
        self.settle()
        self.check_converged(document(wish(last, len(self.world.names)), self.world.names))

    def _is_paused(self) -> bool:
        """Return True if the record of a rollout is that of the one that failed, whatever the document asks now."""
        found = (self.world.read(KEYS.rollout(each)) for each in ("order", "api"))
        return any(decode(Rollout, each.value).state == "paused" for each in found if each)

    def heal(self) -> None:
        """What people and faults have done is undone, as far as it is theirs to undo."""
        self.world.lan.registry_answers = True
        self.reached_again("")
        for name, host in self.world.hosts.items():
            host.engine.failures.clear()
            host.engine.by_hand.misgives = False
            self.power_comes(name)
            self.dockerd_comes(name)
            for raw in list(host.engine.by_hand.raws.values()):
                if raw["Image"] == "sha256:foreign" and raw["Name"] != f"/{GUEST}":
                    host.engine.by_hand.remove(raw["Id"], force=True)
            self.world.note_foreign(name)
            self.start(name)
        self.etcd_comes("")

    def rounds(self, count: int) -> None:
        for _ in range(count):
            for name in self.world.names:
                self.turn(name)
            self.world.clock.advance(REST_S)
            self.witness.roles_are_taken_on()
            self.witness.check()

    def settle(self) -> None:
        """Go on until one leads and nothing is left to do; AssertionError if that is not within REST_ROUNDS."""
        for count in range(REST_ROUNDS):
            self._round(REST_S)
            if self.is_well():
                return
            if count == REST_ROUNDS // 2:
                self._do_what_is_asked()
        raise AssertionError(f"does not come to rest:\n{self.world.told()}")

    def _round(self, seconds: float) -> None:
        for name in self.world.names:
            self.turn(name)
        self.world.clock.advance(seconds)
        self.witness.roles_are_taken_on()
        self._round_ends()
        self._check()

    def _round_ends(self) -> None:
        agents = self.world.agents
        if all(name in agents and agents[name].store.reachable for name in self.world.names):
            self.status.round_ends()

    def _check(self) -> None:
        self.witness.violations += self.status.look()
        self.witness.check()

    def is_well(self) -> bool:
        agents = self.world.agents.values()
        return all(map(self._rests, agents)) and sum(agent.leads for agent in agents) == 1

    def check_converged(self, text: str) -> None:
        """Replicas, roles and bridges are as the document declares; no disruption slot and no token is left."""
        intent, world = read(text), self.world
        record = world.record()
        assert record is not None
        members = [name for name, host in world.hosts.items() if host.swarm_id == record.swarm_id]
        alone = [each.name for each in intent.hosts if each.name not in members]
        assert all(self._is_elsewhere(world.agents[each]) for each in alone), f"not in the swarm: {alone}"
        for each in intent.hosts:
            if each.name in members:
                member = world.member(each.name)
                assert member is not None
                assert member.in_raft == (each.role == "manager"), each
                bridge = world.hosts[each.name].engine.nets.local[GWBRIDGE]
                assert bridge.subnet == intent.gwbridge.subnet, each
        running = world.running()
        images = {each.name: each.spec.image for each in intent.services}
        for name in world.names:
            if name not in alone:
                assert running[name] == _expected(world.assignment(name), images)
        counts = {each.name: dict(each.placement) for each in intent.services}
        for service, placement in counts.items():
            for name, count in placement.items():
                found = world.assignment(name)
                declared = intent.host(name)
                if declared is None or declared.availability == "drain":
                    continue
                assigned = [replica.service for replica in found.replicas] if found else []
                assert assigned.count(service) == count
        assert all(world.read(KEYS.presence(name)) for name in world.names), "not all are present"
        assert world.read(KEYS.disruption) is None
        assert alone or world.read(KEYS.tokens) is None
        self._check_status(alone=bool(alone))

    def _check_status(self, *, alone: bool) -> None:
        """Status says converged soon after the cluster is; a replica has to have run for its monitor window."""
        for _ in range(MONITOR_ROUNDS):
            if self.status.conditions.converged:
                break
            self._round(REST_S)
        found = self.status.conditions
        problems = [(each.condition.key, each.condition.text) for each in found.problems]
        assert found.converged != alone, f"status: {found.cluster.text!r}, {problems}, {self.world.told()}"

    def _rests(self, agent: SimulatedAgent) -> bool:
        """At rest, also where nobody asks anything of the host, or where it is in a swarm that is not ours."""
        if agent.at_rest or self._is_elsewhere(agent):
            return True
        unnamed = [each.reason for each in agent.plan.blocked] == [
            f"the intent does not name {agent.name}: nothing is changed on this host"
        ]
        return unnamed and not agent.plan.steps and not agent.dispatcher.in_flight

    def _is_elsewhere(self, agent: SimulatedAgent) -> bool:
        """Whether its host is in a swarm that is not ours, and it says so; one that is in none has no such excuse."""
        record, joined = self.world.record(), agent.host.swarm_id
        says = any((each.resource, each.kind) == ("swarm", "foreign") for each in agent.plan.blocked)
        return says and record is not None and joined not in (None, record.swarm_id)

    def _do_what_is_asked(self) -> None:
        """What only people can do and the agents ask for, in so many words."""
        if "restart that dockerd" in self.world.told():
            for name in self.world.names:
                self.dockerd_restarts(name)
        for name in self.world.names:
            if self._asks_to_be_taken_out(name):
                self.takes_a_host_out_of_the_swarm(name, 0)

    def _asks_to_be_taken_out(self, name: str) -> bool:
        """Whether it asks for `docker swarm leave`, and is right to.

        The swarm lacks its node, and the document names no manager of that swarm, whose report would confirm that.
        """
        accepted, membership = self.world.accepted(), self.host(name).engine.nets.membership
        if accepted is None or membership is None or membership[1] in membership[0].members:
            return False
        declared = {each.name for each in read(accepted.document).hosts}
        managers = {each.host.name for each in membership[0].members if each.in_raft}
        blocked = self.world.agents[name].plan.blocked
        asks = any(each.kind == "untrusted" and "`docker swarm leave`" in each.reason for each in blocked)
        return asks and not managers & declared


def _expected(assignment: Assignment | None, images: dict[str, str]) -> dict[str, str]:
    replicas = assignment.replicas if assignment else ()
    return {container_name("prod", each): images[each.service] for each in replicas}


@contextmanager
def history(hosts: int, *, begun: bool, first: int = 0) -> Iterator[History]:
    """A history whose agents log nothing and read every document only once."""
    with (
        mock.patch.object(accepted, "parse_intent", parse_remembered),
        tempfile.TemporaryDirectory() as directory,
        structlog.testing.capture_logs(),
    ):
        yield History(Path(directory), hosts, begun=begun, first=first)
