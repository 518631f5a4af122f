"""Whatever happens to a swarm that was made by hand, in whatever order, its hosts get the agreed docker_gwbridge."""

import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.model.intent import GWBRIDGE
from tests.properties.simulation.basic_events import BasicEvents
from tests.support.document import EXAMPLE
from tests.support.live_cluster import AGREED, GUESTS, MOVED, MOVED_TO, LiveCluster
from tests.support.simulated_cluster import NAMES, SimulatedHost
from tests.support.thoroughness import examples

pytestmark = pytest.mark.usefixtures("unlogged")

DOCUMENTS = {EXAMPLE: AGREED, MOVED: MOVED_TO}
REST_ROUNDS, REST_S = 100, 5.0


class History(BasicEvents):
    """A swarm made by hand, with agents to which things happen."""

    cluster: LiveCluster

    def __init__(self, directory: Path, document: str) -> None:
        self.cluster = LiveCluster(directory, document)
        self.cluster.start()

    # ---- what agents do

    def crash(self, name: str, number: int) -> None:
        self.crash_after(name, number + 1)

    # ---- what fails

    def dockerd_comes(self, name: str, _number: int) -> None:
        """It has made every gateway again, and docker_gwbridge if there was none."""
        engine = self.host(name).engine
        if not engine.answers:
            self.cluster.by_hand(name, engine.nets.restart)
            engine.answers = True

    # ---- what people do

    def put(self, _name: str, number: int) -> None:
        self.cluster.put_intent(list(DOCUMENTS)[number % 2])

    def damage(self, name: str, number: int) -> None:
        host = self.host(name)
        deeds = (
            host.kernel.delete_address,
            host.kernel.set_down,
            host.kernel.delete_link,
            lambda: host.kernel.change_address("172.21.0.77/20"),
            host.engine.nets.prune,
            lambda: _release(host, everybody=True),
            lambda: _release(host, everybody=False),
        )
        self.cluster.by_hand(name, deeds[number % len(deeds)])

    def guest(self, name: str, number: int) -> None:
        """A container of others ends, or starts."""
        engine, guest = self.host(name).engine.by_hand, GUESTS[number % len(GUESTS)]
        up = engine.get(guest)["State"]["Status"] == "running"
        self.cluster.by_hand(name, lambda: engine.end(guest) if up else engine.start(guest))

    # ----

    def rest(self, document: str) -> None:
        """Everything works again, everybody is there, nobody interferes."""
        for name in NAMES:
            self.dockerd_comes(name, 0)
            self.etcd_comes(name, 0)
            self.start(name, 0)
        self.cluster.put_intent(document)
        self.cluster.settle(REST_ROUNDS, seconds=REST_S)
        self.cluster.rounds(2)  # what a host said last may have come after the leader had looked


def _release(host: SimulatedHost, *, everybody: bool) -> None:
    for _, endpoint in host.engine.nets.endpoints(GWBRIDGE)[: None if everybody else 1]:
        host.engine.nets.release(GWBRIDGE, endpoint)


LIKELY = ("turn", "turn", "turn", "turn", "look", "work", "work")
RARE = (
    "crash", "crash", "start", "start", "time_passes", "etcd_goes", "etcd_comes", "an_answer_is_lost", "dockerd_goes",
    "dockerd_comes", "take_lock", "put", "damage", "damage", "guest",
)  # fmt: skip
Event = tuple[str, str, int]
events = st.tuples(
    st.one_of(st.sampled_from(LIKELY), st.sampled_from(RARE)), st.sampled_from(NAMES), st.integers(0, 20)
)
documents = st.sampled_from(tuple(DOCUMENTS))


@settings(max_examples=examples(30), deadline=None, print_blob=True)
@given(
    happens=st.lists(events, max_size=60),
    first=st.sampled_from(tuple(DOCUMENTS)),
    last=st.sampled_from(tuple(DOCUMENTS)),
)
def test_whatever_happens_all_hosts_come_to_the_agreed_bridge_and_no_host_is_disturbed_without_the_disruption_slot(
    happens: list[Event], first: str, last: str
) -> None:
    with tempfile.TemporaryDirectory() as directory:
        told = History(Path(directory), first)
        for what, name, number in happens:
            getattr(told, what)(name, number)
            told.cluster.check()
        told.rest(last)

        told.cluster.check_done(DOCUMENTS[last])
