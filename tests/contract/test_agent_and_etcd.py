"""The agent as a process on an etcd that is full, hangs, takes its rights away, or has huge documents in it."""

import json
import signal
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import pytest

from agent.clients.etcd import EtcdStore
from agent.errors import Refused
from agent.model.keys import Keys
from agent.model.records import Accepted, Assignment, Verdict, decode
from agent.model.status import HostStatus
from agent.model.store import OLD_REVISIONS, Delete, KeyRange, Put, StoreSettings
from tests.support.agent_process import WITHIN_S, running
from tests.support.etcd_server import EtcdServer, eventually
from tests.support.etcd_server import running as running_etcd

KEYS = Keys("prod")
ROOT = "root:rootpw"
HEAD = """\
name: prod
x-cluster:
  version: 1
  hosts: {h1: {address: 10.0.0.1, role: manager}}
  gwbridge: {subnet: 172.21.0.0/20, gateway: 172.21.0.1}
services:
"""
SERVICE = "  order{n}: {{image: 'registry.example/order:1.0.0', x-hosts: [h1], network_mode: none{more}}}\n"
DOCUMENT = HEAD + SERVICE.format(n=1, more="")
LARGEST = 1_400_000


@pytest.fixture
def etcd(tmp_path: Path) -> Iterator[EtcdServer]:
    with running_etcd(EtcdServer(tmp_path / "etcd")) as server:
        yield server


@pytest.fixture
def store(etcd: EtcdServer) -> Iterator[EtcdStore]:
    """An operator."""
    yield from _operator(etcd)


def _operator(etcd: EtcdServer) -> Iterator[EtcdStore]:
    store = EtcdStore(StoreSettings(endpoints=(etcd.endpoint,)))
    yield store
    store.close()


def put(store: EtcdStore, document: str) -> int:
    return store.txn([], [Put(key=KEYS.intent, value=document.encode())]).revision


def verdict(store: EtcdStore) -> Verdict | None:
    found = store.read([KeyRange(key=KEYS.verdict)]).get(KEYS.verdict)
    return decode(Verdict, found.value) if found else None


def judged(store: EtcdStore, revision: int) -> Verdict:
    """The verdict on that revision."""
    seen: list[Verdict] = []

    def is_there() -> bool:
        found = verdict(store)
        seen[:] = [found] if found and found.revision == revision else []
        return bool(seen)

    eventually(is_there, WITHIN_S, f"a verdict on {revision}")
    return seen[0]


def said(store: EtcdStore) -> HostStatus | None:
    found = store.read([KeyRange(key=KEYS.status("h1"))]).get(KEYS.status("h1"))
    return decode(HostStatus, found.value) if found else None


# ---- huge documents


def services_of(size: int) -> str:
    """A good document of nearly `size` bytes: a hundred services on one host, each with a large environment."""
    each = size // 100 - 200
    services = (SERVICE.format(n=n, more=f", environment: {{A: '{'x' * each}'}}") for n in range(100))
    return HEAD + "".join(services)


def aliases_of(size: int) -> str:
    """A small document whose hundred services are `size` bytes, as they share one environment."""
    shared = f"x-shared: &shared {{A: '{'x' * (size // 100)}'}}\n"
    services = (SERVICE.format(n=n, more=", environment: *shared") for n in range(100))
    return shared + HEAD + "".join(services)


@pytest.mark.fault("a document of 1.4 MB")
@pytest.mark.parametrize(
    "document",
    [services_of(LARGEST), aliases_of(3 * LARGEST)],
    ids=["long", "large when its aliases are replaced"],
)
def test_the_largest_document_is_accepted_and_its_specs_reach_the_host(
    tmp_path: Path, etcd: EtcdServer, store: EtcdStore, document: str
) -> None:
    with running(tmp_path / "agent", etcd.endpoint, how="all-is-well"):
        assert judged(store, put(store, document)).accepted

        def assigned() -> bool:
            found = store.read([KeyRange(key=KEYS.assignment("h1"))]).get(KEYS.assignment("h1"))
            return found is not None and len(decode(Assignment, found.value).replicas) == 100

        eventually(assigned, WITHIN_S, "the replicas are assigned")
        accepted = store.read([KeyRange(key=KEYS.accepted)]).get(KEYS.accepted)
        assert accepted is not None
        assert decode(Accepted, accepted.value).document == document


@pytest.mark.fault(
    "a document that no key of etcd could hold as it must be kept, or of which everything is wrong"
)
@pytest.mark.parametrize(
    ("document", "why"),
    [
        (DOCUMENT + "#\n" * 550_000, "bytes as JSON"),
        (HEAD + "".join(f"  Bad_{n}!: {{imag: {n}}}\n" for n in range(20_000)), "is not a name"),
    ],
    ids=["line breaks", "faults"],
)
def test_a_document_that_cannot_be_kept_or_explained_whole_is_refused_with_a_reason(
    tmp_path: Path, etcd: EtcdServer, store: EtcdStore, document: str, why: str
) -> None:
    with running(tmp_path / "agent", etcd.endpoint, how="all-is-well"):
        first = put(store, DOCUMENT)
        assert judged(store, first).accepted
        refused = judged(store, put(store, document))
        assert (refused.accepted, refused.accepted_revision) == (False, first)
        assert why in refused.errors[-1]


# ---- a full etcd


@pytest.mark.fault("etcd is out of space (NOSPACE alarm)")
def test_an_agent_keeps_its_lease_and_the_lock_on_an_etcd_without_space_and_goes_on_when_there_is_some(
    tmp_path: Path,
) -> None:
    with ExitStack() as stack:
        full = EtcdServer(tmp_path / "etcd", arguments=["--quota-backend-bytes=400000"])
        etcd = stack.enter_context(running_etcd(full))
        store = next(_operator(etcd))
        stack.callback(store.close)
        stack.enter_context(running(tmp_path / "agent", etcd.endpoint, how="all-is-well"))
        assert judged(store, put(store, DOCUMENT)).accepted
        lock = store.read([KeyRange(key=KEYS.leader)]).get(KEYS.leader)
        assert lock is not None
        with pytest.raises(Refused, match="database space exceeded"):
            fill(store)
        until_it_has_been_renewed(etcd, lock.lease)

        revision = store.txn([], [Delete(key="/filler/", prefix=True)]).revision
        etcd.ctl("compact", str(revision))
        etcd.ctl("defrag")
        etcd.ctl("alarm", "disarm")
        assert judged(store, put(store, f"{DOCUMENT}# again\n")).accepted
        assert store.read([KeyRange(key=KEYS.leader)]).get(KEYS.leader) == lock


def test_the_leader_exposes_an_etcd_that_never_compacts_and_the_size_of_its_database(
    tmp_path: Path, etcd: EtcdServer, store: EtcdStore
) -> None:
    with ThreadPoolExecutor(16) as pool:
        some = [Put(key="/filler/often", value=b"x")]
        list(pool.map(lambda _: store.txn([], some), range(OLD_REVISIONS)))
    put(store, DOCUMENT)
    with running(tmp_path / "agent", etcd.endpoint, how="all-is-well") as agent:

        def exposed(series: str) -> float | None:
            values = [
                line.rpartition(" ")[2] for line in agent.get("/metrics")[1].splitlines() if series in line
            ]
            return float(values[0]) if values else None

        agent.until_it_says("READY=1")
        agent.eventually(
            lambda: exposed("swarmkeeper_cluster_store_keeps_history{") is not None,
            WITHIN_S,
            "the leader looks",
        )
        assert exposed("swarmkeeper_cluster_store_keeps_history{") == 1
        assert (exposed('kind="size"') or 0) > 1_000_000
        assert exposed('kind="quota"') is None  # etcd 3.4 does not tell it


def fill(store: EtcdStore) -> None:
    for number in range(100):
        store.txn([], [Put(key=f"/filler/{number}", value=b"x" * 100_000)])


def until_it_has_been_renewed(etcd: EtcdServer, lease: int) -> None:
    """Return when etcd gives the lease more time than it could have left, had nobody renewed it since the call."""
    left_s, began = remaining_s(etcd, lease), time.monotonic()

    def is_renewed() -> bool:
        could_be_left_s = left_s + 1 - (time.monotonic() - began)  # 1: etcd cuts off what is no whole second
        return remaining_s(etcd, lease) > max(could_be_left_s, 0)

    eventually(is_renewed, WITHIN_S, "the lease is renewed")


def remaining_s(etcd: EtcdServer, lease: int) -> int:
    """What etcd itself says, in whole seconds; negative when it has none such."""
    return int(json.loads(etcd.ctl("lease", "timetolive", f"{lease:x}", "-w", "json"))["ttl"])


# ---- endpoints


@pytest.mark.fault("two of three etcd endpoints hang")
def test_an_agent_of_which_two_endpoints_hang_works_by_the_third(
    tmp_path: Path, etcd: EtcdServer, store: EtcdStore
) -> None:
    hanging = [EtcdServer(tmp_path / f"hanging-{n}") for n in range(2)]
    try:
        for each in hanging:
            each.start()
            each.freeze()
        endpoints = "', '".join((*(each.endpoint for each in hanging), etcd.endpoint))
        with running(tmp_path / "agent", endpoints, how="all-is-well"):
            assert judged(store, put(store, DOCUMENT)).accepted
            eventually(lambda: (status := said(store)) and status.leading, WITHIN_S, "it leads and says so")
    finally:
        for each in hanging:
            each.kill()


# ---- rights


@pytest.mark.fault(
    "the role of the agents is revoked in etcd, and granted again; their tokens run out meanwhile"
)
def test_an_agent_whose_role_is_revoked_reports_that_releases_the_lock_and_continues_when_it_is_granted_again(
    tmp_path: Path,
) -> None:
    arguments = ("--auth-token-ttl=1", "--bcrypt-cost=4")
    password = tmp_path / "password"
    password.write_text("secret\n")
    password.chmod(0o600)
    with running_etcd(EtcdServer(tmp_path / "etcd", arguments=arguments)) as etcd:
        etcd.ctl("user", "add", ROOT)
        etcd.ctl("user", "add", "agent:secret")
        etcd.ctl("role", "add", "agent")
        etcd.ctl("role", "grant-permission", "agent", "--prefix=true", "readwrite", "/swarmkeeper/prod/")
        etcd.ctl("user", "grant-role", "agent", "agent")
        etcd.ctl("user", "grant-role", "root", "root")
        etcd.ctl("put", KEYS.intent, DOCUMENT)
        etcd.ctl("auth", "enable")
        rights = f", user: agent, password_file: '{password}', allow_plaintext_password: true"
        how = {"how": "lets-go-soon", "etcd_options": rights, "ttl": "9s"}
        with running(tmp_path / "agent", etcd.endpoint, **how) as agent:
            agent.until_it_says("READY=1")
            eventually(lambda: accepts(etcd, 1), WITHIN_S, "it leads")
            etcd.ctl("user", "revoke-role", "agent", "agent", user=ROOT)
            eventually(
                lambda: "permission denied" in agent.get("/status")[1], WITHIN_S, "it says what it lacks"
            )
            assert agent.get("/healthz")[0] == 200
            eventually(lambda: not is_led(etcd), WITHIN_S, "others could lead")

            etcd.ctl("user", "grant-role", "agent", "agent", user=ROOT)
            etcd.ctl("put", KEYS.intent, f"{DOCUMENT}# again\n", user=ROOT)
            eventually(lambda: accepts(etcd, 2), WITHIN_S, "it goes on")
            agent.signal(signal.SIGTERM)
            assert agent.ended(WITHIN_S) == 0


def is_led(etcd: EtcdServer) -> bool:
    return bool(etcd.ctl("get", "--keys-only", KEYS.leader, user=ROOT).strip())


def accepts(etcd: EtcdServer, times: int) -> bool:
    """Whether as many documents have been accepted."""
    text = etcd.ctl("get", "-w", "json", KEYS.accepted, user=ROOT)
    return f'"version":{times}' in text
