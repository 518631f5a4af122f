"""What the agent's page shows in named states of a cluster."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace

from agent.conditions import conditions_of, own_host
from agent.http import Sources, serve
from agent.http.cluster_page import ClusterView, DocumentView
from agent.model.events import Event
from agent.model.history import Entry, Kept, Note
from agent.model.history import Event as Outcome
from agent.model.observed import ClusterState, Observed
from agent.model.store import Put
from agent.observe.look import read_cluster
from tests.fakes.store import FakeStore
from tests.support import large_cluster
from tests.support.cluster_states import CLUSTERS, HEALTHY, NOW_S, REPORTED, REVISION, B, bridge, node

HOSTS = 300
WRONG = 12
"""Hosts without presence among the many."""
DOCUMENTS = tuple(
    Kept(
        revision=revision,
        entry=Entry(
            revision=revision, at=f"2026-11-29T1{revision - 5}:00:00Z", result="accepted", author=author
        ),
        note=Note(author=author),
        events={"carried-out": Outcome(at=f"2026-11-29T1{revision - 5}:00:31Z")},
        is_accepted=revision == REVISION,
    )
    for revision, author in ((REVISION, "ada"), (6, ""), (5, "ada"))
)
EVENTS = (
    Event(
        at="2026-11-29T12:04:00Z",
        kind="condition",
        resource="host/node-232",
        state="Unreachable",
        text="it is off",
    ),
    Event(at="2026-11-29T11:58:10Z", kind="document", resource="document/7", state="accepted"),
)


def view(state: ClusterState = HEALTHY, *, now_s: float = NOW_S, cluster: str = "prod") -> ClusterView:
    accepted = state.accepted.revision if state.accepted else 0
    return ClusterView(
        cluster=cluster,
        host="node-231",
        now_s=now_s,
        conditions=conditions_of(state, now_s=now_s),
        accepted=accepted,
        documents=DOCUMENTS,
        events=EVENTS,
    )


def without_etcd(state: ClusterState = HEALTHY) -> ClusterView:
    """The view of node-232, whose agent has not reached etcd for six minutes."""
    status = state.statuses[B]
    own = own_host(Observed(me=B, host=None, cluster=state), status)
    return ClusterView(
        cluster="prod",
        host=B,
        now_s=NOW_S,
        trouble="etcd does not answer",
        known_at="2026-11-29T12:04:00Z",
        own=(own.host, *own.replicas),
        own_at=REPORTED,
    )


def many_in_etcd(hosts: int = HOSTS, present: int = HOSTS - WRONG) -> FakeStore:
    """An etcd with a cluster of many hosts, some without presence, each with as many replicas as it has in a test."""
    store = FakeStore()
    text = large_cluster._document(hosts)
    revision = store.txn([], [Put(key=large_cluster.KEYS.intent, value=text.encode())]).revision
    gone = {large_cluster.KEYS.presence(large_cluster._name(n)) for n in range(present, hosts)}
    puts = [each for each in large_cluster._puts(text, revision, hosts, "") if each.key not in gone]
    for start in range(0, len(puts), 50):
        store.txn([], puts[start : start + 50])
    return store


def many() -> ClusterView:
    """The view of a large cluster that works, but for a few hosts that are off."""
    state = read_cluster(many_in_etcd(), large_cluster.KEYS)
    leader = large_cluster._name(0)
    nodes = tuple(
        node(each.name, id=f"n{number}", role=each.role, address=str(each.address))
        for number, each in enumerate(state.accepted.hosts if state.accepted else ())
    )
    seen = {
        name: replace(each, at=REPORTED, bridge=bridge(), nodes=nodes if each.is_manager else None)
        for name, each in state.statuses.items()
    }
    present = {**state.present, leader: state.statuses[leader].instance}
    return view(replace(state, leader=leader, present=present, statuses=seen), cluster=large_cluster.CLUSTER)


PICTURED: Mapping[str, Callable[[], ClusterView]] = {
    "healthy": view,
    "host-off": lambda: view(CLUSTERS["host off for 6 minutes"]),
    "rollout": lambda: view(CLUSTERS["healthy rollout"]),
    "crash-loop": lambda: view(CLUSTERS["crash loop, exited"]),
    "quorum-lost": lambda: view(CLUSTERS["quorum lost"]),
    "many-hosts": many,
    "etcd-away": without_etcd,
}


def sources_of(
    cluster: Callable[[], ClusterView], document: Callable[[int], DocumentView | None] = lambda _: None
) -> Sources:
    """The sources of an agent whose cluster is this."""
    return Sources(
        metrics=lambda: b"figures\n",
        alive=lambda: True,
        unready=lambda: (),
        status=dict,
        cluster=cluster,
        document=document,
    )


@contextmanager
def served(shown: ClusterView, document: DocumentView | None = None) -> Iterator[str]:
    """Serve the pages of a view; yield the address without a slash at its end."""
    web = serve("127.0.0.1:0", sources_of(lambda: shown, lambda _: document))
    try:
        yield f"http://127.0.0.1:{web.address[1]}"
    finally:
        web.close()
