"""Whatever happens to a cluster, in whatever order: one swarm, nothing foreign touched, and in the end all is well.

Three whole agents on hosts in memory live through histories of crashes after any step, outages, lost answers, changes
made by hand, and good and bad documents. An event that cannot happen at its moment does nothing.
"""

import copy
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.diff.replicas import container_name
from agent.errors import SwarmkeeperError, Unreachable
from agent.model.records import Assignment, decode
from tests.fakes.containers import Raw
from tests.properties.simulation.basic_events import BasicEvents, change
from tests.support.document import EXAMPLE, SERVICES, document
from tests.support.simulated_cluster import (
    KEYS,
    NAMES,
    SimulatedAgent,
    SimulatedCluster,
    SimulatedHost,
    images,
    parsed,
)
from tests.support.thoroughness import examples

pytestmark = pytest.mark.usefixtures("unlogged")

DOCUMENTS = (
    EXAMPLE,
    document(tags={"order": "1.0.1"}),
    document(replicas={"order": {"node-231": 1, "node-233": 2}}),
    document(replicas={"api": ["node-232"]}),
    document(services={name: {"restart": "unless-stopped"} for name in SERVICES}),
    document(roles={"node-233": "worker"}),
)
BAD = ("", "services: 1", document(cluster={"gwbridge": {"subnet": "172.21.0.0/33"}}))
REST_ROUNDS, REST_S = 100, 5.0
"""A cluster left alone gets this long: the longest back-off is a minute, a damaged status is rewritten after five."""


class History(BasicEvents):
    """A cluster to which things happen. `begun` is false for hosts with nothing on them."""

    def __init__(self, directory: Path, *, begun: bool) -> None:
        self.cluster = SimulatedCluster(directory)
        for each in DOCUMENTS:
            self.cluster.lan.registry |= images(each)
        self.foreign: dict[tuple[str, str], Raw] = {}
        self.in_the_way: list[tuple[str, str]] = []
        self.swarms: set[str] = set()
        """Ids of the swarms that were ever recorded."""
        self.last = EXAMPLE
        self.cluster.etcd.add_watch(self)
        for host in self.cluster.hosts.values():
            self._note_foreign(host, host.engine.run_foreign("database", Memory=64))
        self.cluster.put_intent()
        self.cluster.start()
        if begun:
            self.cluster.settle()

    # ---- it listens to etcd, as a watch does

    def changed(self, keys: Sequence[str]) -> None:
        record = self.cluster.record() if KEYS.swarm in keys else None
        if record and record.swarm_id:
            self.swarms.add(record.swarm_id)
        for key in keys:
            if key.startswith(KEYS.assignments):
                self._check_specs(key)

    def wake(self, reason: str) -> None: ...

    def _check_specs(self, key: str) -> None:
        """Whoever reads an assignment must find every spec it names."""
        found = self.cluster.read(key)
        with suppress(SwarmkeeperError):
            named = {each.spec for each in decode(Assignment, found.value).replicas} if found else set()
            assert all(self.cluster.read(KEYS.spec(digest)) for digest in named)

    # ---- what fails

    def dockerd_comes(self, name: str, _number: int) -> None:
        self.host(name).engine.answers = True

    # ---- what people do

    def by_hand(self, name: str, number: int) -> None:
        """Something is done to one of our replicas behind the agent's back."""
        host, ours = self.host(name), sorted(self.host(name).replicas())
        if ours:
            with suppress(SwarmkeeperError):
                change(host, ours[number % len(ours)], "my-network-overlay", number, deed=number)()

    def removed_by_force(self, name: str, _number: int) -> None:
        self.remove_worker(name)

    def join_fails(self, name: str, _number: int) -> None:
        """A join that is under way is never answered, and comes to nothing."""
        engine = self.host(name).engine
        if engine.nets.membership is None and self.cluster.agents.get(name):
            engine.failures["join_swarm"] = Unreachable("Timeout was reached before node joined.")

    def name_is_taken(self, name: str, number: int) -> None:
        """A container that is not ours gets a name that one of ours has or could get."""
        host = self.host(name)
        wanted = ("prod-order-1", "prod-api-2", "prod-terminal-1")[number % 3]
        with suppress(SwarmkeeperError):
            container_id = host.engine.run_foreign(wanted)
            self._note_foreign(host, container_id)
            self.in_the_way.append((name, container_id))

    def put(self, _name: str, number: int) -> None:
        self.cluster.put_intent(DOCUMENTS[number % len(DOCUMENTS)])

    def put_bad(self, _name: str, number: int) -> None:
        self.cluster.put_intent(BAD[number % len(BAD)])

    # ----

    def check(self) -> None:
        """What must be true at every moment."""
        assert len(self.swarms) <= 1, f"swarms recorded: {self.swarms}"
        for (name, container_id), before in self.foreign.items():
            assert self.host(name).engine.by_hand.raws.get(container_id) == before

    def rest(self, document: str) -> None:
        """Everything works again, everybody is there, nobody interferes."""
        self.cluster.lan.registry_answers = True
        for name, container_id in self.in_the_way:
            self.host(name).engine.by_hand.remove(container_id, force=True)
            del self.foreign[name, container_id]
        for name in NAMES:
            self.dockerd_comes(name, 0)
            self.etcd_comes(name, 0)
            self.start(name, 0)
        self.last = document
        self.cluster.put_intent(document)
        for _ in range(REST_ROUNDS):
            self.cluster.round(seconds=REST_S)
            self.check()
            if self.is_well():
                return
        raise AssertionError(f"does not come to rest:\n{self.cluster.told()}")

    def is_well(self) -> bool:
        """Somebody leads and nothing is left to do; but a host in a swarm of its own is left alone and says so."""
        agents = self.cluster.agents.values()
        well = all(agent.at_rest or _says_foreign(agent) for agent in agents)
        return well and len([agent for agent in agents if agent.leads]) == 1

    def expected(self) -> dict[str, dict[str, str]]:
        """The replicas that the members of the swarm shall run, by what is assigned."""
        return {name: self._assigned(name) for name in self.members()}

    def members(self) -> list[str]:
        (swarm_id,) = self.swarms
        return [name for name, host in self.cluster.hosts.items() if host.swarm_id == swarm_id]

    def _assigned(self, name: str) -> dict[str, str]:
        assignment = self.cluster.assignment(name)
        assert assignment is not None
        specs = {each.name: each.spec for each in parsed(self.last).services}
        return {container_name("prod", each): specs[each.service].image for each in assignment.replicas}

    def _note_foreign(self, host: SimulatedHost, container_id: str) -> None:
        raw = host.engine.by_hand.get(container_id)
        self.foreign[host.name, container_id] = copy.deepcopy(raw)


def _says_foreign(agent: SimulatedAgent) -> bool:
    return any((each.resource, each.kind) == ("swarm", "foreign") for each in agent.plan.blocked)


LIKELY = ("turn", "turn", "turn", "look", "look", "work", "work", "work")
RARE = (
    "crash", "start", "start", "restart_in_order", "time_passes", "etcd_goes", "etcd_comes", "an_answer_is_lost",
    "dockerd_goes", "dockerd_comes", "registry_goes", "by_hand", "by_hand", "name_is_taken", "put", "put_bad",
    "take_lock", "spoil", "removed_by_force", "join_fails",
)  # fmt: skip
Event = tuple[str, str, int]
events = st.tuples(
    st.one_of(st.sampled_from(LIKELY), st.sampled_from(RARE)), st.sampled_from(NAMES), st.integers(0, 11)
)
histories = settings(max_examples=examples(40), deadline=None, print_blob=True)


@contextmanager
def history(*, begun: bool) -> Iterator[History]:
    with tempfile.TemporaryDirectory() as directory:
        yield History(Path(directory), begun=begun)


@histories
@given(begun=st.booleans(), happens=st.lists(events, max_size=60), last=st.sampled_from(DOCUMENTS))
def test_whatever_happens_the_cluster_comes_to_what_its_last_document_says(
    begun: bool, happens: list[Event], last: str
) -> None:
    with history(begun=begun) as told:
        for what, name, number in happens:
            getattr(told, what)(name, number)
            told.check()
        told.rest(last)

        running = told.cluster.running()
        assert {name: running[name] for name in told.members()} == told.expected()
        assert told.members()
        ids = told.cluster.ids()
        told.cluster.rounds(3)
        assert told.is_well()
        assert told.cluster.ids() == ids
