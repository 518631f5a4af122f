"""Edit after edit, by whole agents on hosts in memory: the last one counts, and what is planned is what is done."""

import re
import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from agent.cli.connect import Connection
from agent.cli.plan import with_document
from agent.model.leader_steps import BeginTrial, RecordHistory
from agent.model.plan import Step
from agent.model.records import Verdict, decode
from agent.planner.dry_run.cluster import plan_cluster
from tests.fakes.store import FakeStore
from tests.support.document import EXAMPLE, HEAD, document
from tests.support.document_strategies import IMAGE, SERVICES, documents
from tests.support.simulated_cluster import KEYS, SimulatedCluster
from tests.support.thoroughness import examples

pytestmark = pytest.mark.usefixtures("unlogged")

WITHIN = 150
MOVES = re.compile(r"(publish assignment/\S+): revision N: \d+ changed \((\S.*) (?:is|are) moved\)")
thorough = settings(
    max_examples=examples(10, 200),
    deadline=None,
    print_blob=True,
    phases=(Phase.explicit, Phase.reuse, Phase.generate),
)
"""A document is short enough to be read as it is, and each try takes a second: nothing is made smaller."""


@contextmanager
def cluster() -> Iterator[SimulatedCluster]:
    """A cluster in which nothing runs."""
    with tempfile.TemporaryDirectory() as directory:
        made = SimulatedCluster(Path(directory))
        tags = ("1.0.0", "1.0.1")
        made.lan.registry |= {IMAGE.format(service=name, tag=tag) for name in SERVICES for tag in tags}
        made.put_intent(HEAD)
        made.start()
        made.settle()
        yield made


def state(of: SimulatedCluster) -> Counter[tuple[str, ...]]:
    """How many replicas of which kind are on which host; their numbers may differ, and so may their labels.

    A replica that was changed in place keeps the label of the spec that it was made from.
    """
    return Counter(
        (
            name,
            str(raw["Config"]["Image"]),
            str(raw["Config"]["Env"]),
            str(raw["HostConfig"]["RestartPolicy"]["Name"]),
            str(raw["HostConfig"]["Memory"]),
            str(raw["State"]["Status"]),
        )
        for name, host in of.hosts.items()
        for raw in host.replicas().values()
    )


@thorough
@given(edits=st.lists(st.tuples(documents(), st.integers(0, 12)), max_size=4), last=documents())
def test_edits_in_a_row_end_where_the_last_one_alone_ends(edits: list[tuple[str, int]], last: str) -> None:
    with cluster() as edited, cluster() as alone:
        for each, rounds in edits:
            edited.put_intent(each)
            edited.rounds(rounds)
        for one in (edited, alone):
            one.put_intent(last)
            one.settle(WITHIN)
        assert state(edited) == state(alone)
        assert {status for *_, status in state(edited)} <= {"running"}


@thorough
@given(first=documents(), then=documents())
def test_what_is_planned_is_what_is_done(first: str, then: str) -> None:
    with cluster() as planned:
        put(planned, first)
        told = counted(plan_of(planned, then))
        before = {name: len(agent.outcomes) for name, agent in planned.agents.items()}
        put(planned, then)
        agents = planned.agents.items()
        done = counted(each.step for name, agent in agents for each in agent.outcomes[before[name] :])
        assert done - told == Counter()
        assert told - done == Counter()


def put(of: SimulatedCluster, text: str) -> None:
    """Return when the document is carried out, and the leader has heard of it."""
    of.put_intent(text)
    of.settle(WITHIN)
    of.rounds(2)
    of.settle(WITHIN)


def plan_of(of: SimulatedCluster, text: str) -> tuple[Step, ...]:
    """What `swarmkeeper plan` would say of a document."""
    seen = Connection(store=FakeStore(of.etcd), keys=KEYS).read()
    plan = plan_cluster(with_document(seen, "document", text.encode()))
    assert plan.settled
    return plan.steps


def parts(step: str) -> tuple[str, ...]:
    """A step that moves several replicas as one for each."""
    moves = MOVES.fullmatch(step)
    return tuple(f"{moves[1]}: {name} is moved" for name in moves[2].split(", ")) if moves else (step,)


def counted(steps: Iterable[Step]) -> Counter[str]:
    """How often each step is in there, but for the begin of a trial, which no plan has: it is one itself.

    Without revisions, known only when a document is put. Specs that nobody needs any more may go in one sweep or in
    several, and replicas of several services be moved by one assignment or one after the other, whenever the reports of
    the hosts come in.
    """
    found = Counter(
        part
        for step in steps
        if not isinstance(step, BeginTrial | RecordHistory)
        for part in parts(re.sub(r"revision \d+", "revision N", str(step)))
    )
    return Counter({told: 1 if told.startswith("collect") else count for told, count in found.items()})


def test_the_first_document_is_refused_with_its_fault_and_the_next_one_carried_out(tmp_path: Path) -> None:
    """Whoever came to lead to say so does not go on leading when the good one declares it a worker."""
    made = SimulatedCluster(tmp_path)
    made.put_intent(EXAMPLE.replace("role: manager", "role: king", 1))
    made.start()
    made.rounds(20)
    found = made.read(KEYS.verdict)
    assert found is not None
    verdict = decode(Verdict, found.value)
    assert not verdict.accepted
    assert "line 7, column 46: x-cluster.hosts.node-231.role: 'king'" in verdict.errors[0]
    assert not any(host.swarm_id for host in made.hosts.values())

    (first,) = (name for name, agent in made.agents.items() if agent.leads)
    made.put_intent(document(roles={first: "worker"}))
    made.settle(WITHIN)
    assert [name for name, agent in made.agents.items() if agent.leads] != [first]
    assert all(made.running().values())


def test_a_host_that_missed_the_document_that_took_a_service_off_it_keeps_its_replica_and_says_what_to_do(
    tmp_path: Path,
) -> None:
    """Another host got the slot meanwhile. No replica is stopped. With both documents again, each slot runs once."""
    on = {"node-231": 1, "node-232": 1}
    first, without, again = (
        document(replicas={"order": each})
        for each in (on, {"node-231": 1, "node-233": 1}, {**on, "node-233": 1})
    )
    made = SimulatedCluster(tmp_path, first)
    made.put_intent(first)
    made.start()
    made.settle()
    made.lose_agent("node-232")
    made.rounds(15)
    made.put_intent(without)
    made.rounds(15)
    made.put_intent(again)
    made.rounds(5)
    before = made.hosts["node-232"].running()
    made.start("node-232")
    made.rounds(20)
    assert made.hosts["node-232"].running() == before
    assert "If this host missed a document that took the service off it, apply that one again" in made.told()
    made.put_intent(without)
    made.settle()
    made.put_intent(again)
    made.settle()
    assert "apply that one again" not in made.told()
    orders = [name for each in made.running().values() for name in each if "order" in name]
    assert sorted(orders) == ["prod-order-1", "prod-order-2", "prod-order-3"]
