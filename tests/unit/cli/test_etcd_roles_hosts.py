"""The role of one host in an etcd that asks who one is: what it may do, and what one can do who has stolen it.

docs/operate/etcd.md names these tests in its table of who can do what.
"""

import itertools
import re
import shlex
import signal
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import cast

import pytest

from agent.admission import Gate
from agent.apply import ApplyContext, apply
from agent.clients.docker import Engine
from agent.clients.etcd import EtcdStore
from agent.errors import Conflict, Denied
from agent.lease import Session, campaign
from agent.model import leader_steps, steps
from agent.model.keys import Keys
from agent.model.observed import ClusterState
from agent.model.records import Disruption, LeaderRecord, Presence, Verdict, decode, encode
from agent.model.status import HostStatus
from agent.model.store import Compare, Delete, Fence, KeyRange, Put, SessionSettings
from agent.observe import ClusterReader
from agent.observe.lock import LockWatch
from tests.support.agent_process import WITHIN_S, AgentProcess, running
from tests.support.document import document
from tests.support.etcd_server import eventually
from tests.unit.cli.conftest import GOOD, swarmkeeper
from tests.unit.cli.guarded_etcd import ROOT, GuardedEtcd, running_guarded

KEYS, OTHER_CLUSTER = Keys("prod"), Keys("prod-2")
WORKER, MANAGER, PEER = "h1", "h2", "h10"
"""PEER is another worker, whose name begins like WORKER's."""
SPEC = KEYS.spec("0" * 64)
NOTHING, READ, WRITE = "", "r", "rw"
DONE_BY: dict[str, dict[str, str]] = {
    KEYS.intent: {"operator": WRITE, WORKER: READ, MANAGER: READ, "agent": READ},
    **{
        key: {"operator": READ, WORKER: READ, MANAGER: WRITE, "agent": WRITE}
        for key in (
            *(KEYS.accepted, KEYS.verdict, KEYS.leader, KEYS.swarm, KEYS.tokens, KEYS.unlock),
            *(KEYS.disruption, SPEC, KEYS.assignment(WORKER), KEYS.membership_order(WORKER)),
        )
    },
    **{
        key: {"operator": READ, WORKER: NOTHING, MANAGER: WRITE, "agent": WRITE}
        for key in (
            *(KEYS.digests, KEYS.trial, KEYS.rollout("order"), f"{KEYS.root}zz-of-a-later-version"),
            *(KEYS.assignment(MANAGER), KEYS.assignment(PEER), KEYS.membership_order(PEER)),
        )
    },
    KEYS.slot(WORKER): {"operator": READ, WORKER: WRITE, MANAGER: READ, "agent": WRITE},
    KEYS.slot(MANAGER): {"operator": READ, WORKER: READ, MANAGER: WRITE, "agent": WRITE},
    KEYS.note: {"operator": WRITE, WORKER: NOTHING, MANAGER: READ, "agent": READ},
    KEYS.events: {"operator": READ, WORKER: NOTHING, MANAGER: WRITE, "agent": WRITE},
    f"{KEYS.history}7": {"operator": READ, WORKER: NOTHING, MANAGER: WRITE, "agent": WRITE},
    KEYS.slot(PEER): {"operator": READ, WORKER: READ, MANAGER: READ, "agent": WRITE},
    **{
        key: {"operator": READ, WORKER: WRITE, MANAGER: READ, "agent": WRITE}
        for key in (KEYS.presence(WORKER), KEYS.status(WORKER))
    },
    **{
        key: {"operator": READ, WORKER: READ, MANAGER: WRITE, "agent": WRITE}
        for key in (KEYS.presence(MANAGER), KEYS.status(MANAGER))
    },
    **{
        key: {"operator": READ, WORKER: READ, MANAGER: READ, "agent": WRITE}
        for key in (KEYS.presence(PEER), KEYS.status(PEER), f"{KEYS.hosts}{WORKER}/more")
    },
    **{
        key: dict.fromkeys(("operator", WORKER, MANAGER, "agent"), NOTHING)
        for key in (OTHER_CLUSTER.intent, OTHER_CLUSTER.status(WORKER), "/elsewhere")
    },
}
"""Key -> user -> what he may do."""
SETTINGS = SessionSettings()
Login = Callable[[str], EtcdStore]


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GuardedEtcd]:
    """An etcd with the role and the user of a worker and of a host that may lead."""
    with running_guarded(tmp_path_factory.mktemp("etcd")) as server:
        server.add_host(WORKER, may_lead=False)
        server.add_host(MANAGER, may_lead=True)
        server.add_host(PEER, may_lead=False)
        yield server


@pytest.fixture
def password(tmp_path: Path) -> Path:
    path = tmp_path / "password"
    path.write_text("secret\n")
    path.chmod(0o600)
    return path


@pytest.fixture
def login(guarded: GuardedEtcd, password: Path) -> Iterator[Login]:
    """A client of that user, in an etcd that holds nothing of the cluster."""
    stores: list[EtcdStore] = []
    guarded.ctl("del", "--prefix", KEYS.root, user=ROOT)

    def logging_in(user: str) -> EtcdStore:
        stores.append(guarded.login(user, password))
        return stores[-1]

    yield logging_in
    for each in stores:
        each.close()


def allowed(attempt: Callable[[], object]) -> bool:
    try:
        attempt()
    except Denied:
        return False
    return True


def rights(store: EtcdStore, key: str) -> dict[str, bool]:
    return {
        "read": allowed(lambda: store.read([KeyRange(key=key)])),
        "write": allowed(lambda: store.txn([], [Put(key=key, value=b"x")])),
        "delete": allowed(lambda: store.txn([], [Delete(key=key)])),
    }


# ---- the table


@pytest.mark.parametrize("user", ["operator", "agent", WORKER, MANAGER])
def test_each_role_may_do_what_the_table_says(login: Login, user: str) -> None:
    store = login(user)
    expected = {
        key: {"read": "r" in by[user], "write": "w" in by[user], "delete": "w" in by[user]}
        for key, by in DONE_BY.items()
    }

    assert {key: rights(store, key) for key in DONE_BY} == expected


def test_the_table_has_every_key() -> None:
    named = [getattr(KEYS, name) for name in dir(KEYS) if not name.startswith("_") and name != "cluster"]
    known = "\n".join(DONE_BY)
    assert [each for each in named if isinstance(each, str) and each not in known] == []


@pytest.mark.parametrize("user", [WORKER, MANAGER])
def test_no_host_deletes_or_reads_more_by_a_prefix(login: Login, user: str) -> None:
    store = login(user)
    prefixes = (KEYS.hosts, f"{KEYS.hosts}{WORKER[:-1]}", f"{KEYS.slots}", KEYS.root)
    for prefix in prefixes:
        assert not allowed(lambda key=prefix: store.txn([], [Delete(key=key, prefix=True)]))  # type: ignore[misc]
    assert allowed(lambda: store.read([KeyRange(key=KEYS.assignments, prefix=True)])) == (user == MANAGER)


def test_printing_the_role_again_changes_nothing_and_the_other_form_replaces_it(
    guarded: GuardedEtcd,
) -> None:
    def role() -> list[str]:
        return guarded.ctl("role", "get", f"swarmkeeper-prod-host-{PEER}", user=ROOT).splitlines()

    worker = role()
    guarded.make_roles("--host", PEER)
    assert role() == worker
    guarded.make_roles("--host", PEER, "--may-lead")
    assert role() != worker
    guarded.make_roles("--host", PEER)
    assert sorted(role()) == sorted(worker)


@pytest.mark.parametrize("name", ["a; touch /tmp/b", "a\nb", "-a", "a/b", "", "a_b"])
def test_a_name_of_a_host_is_no_command(name: str) -> None:
    ended = swarmkeeper("etcd-roles", "--cluster=prod", f"--host={name}")
    assert (ended.code, ended.out) == (64, "")


def test_may_lead_is_said_of_a_host() -> None:
    assert swarmkeeper("etcd-roles", "--cluster=prod", "--may-lead").code == 64


def test_what_is_printed_for_a_host_is_one_command_a_line() -> None:
    printed = swarmkeeper("etcd-roles", "--cluster", "a.b_c-d", "--host", "node-1.lan").out.splitlines()
    words = [shlex.split(line, comments=True) for line in printed]
    assert {each[0] for each in words if each} == {"etcdctl"}


# ---- whole agents


def options(user: str, password: Path) -> str:
    return f", user: {user}, password_file: {password}, allow_plaintext_password: true"


@pytest.fixture
def operator(guarded: GuardedEtcd, password: Path, tmp_path: Path) -> tuple[str, ...]:
    config = tmp_path / "operator.yaml"
    etcd = f"endpoints: ['{guarded.endpoint}']{options('operator', password)}"
    config.write_text(f"cluster: prod\nhost: nobody\netcd: {{{etcd}}}\n")
    return ("--config", str(config))


ALONE = document(GOOD, hosts={"h2": None}, replicas={"order": {"h1": 2}})


def status_of(store: EtcdStore, host: str) -> HostStatus | None:
    found = store.read([KeyRange(key=KEYS.status(host))]).get(KEYS.status(host))
    return decode(HostStatus, found.value) if found else None


def test_a_workers_agent_never_campaigns_and_leads_when_its_role_is_extended(
    guarded: GuardedEtcd, login: Login, password: Path, operator: tuple[str, ...], tmp_path: Path
) -> None:
    """Without a document every agent may have to lead, and this document declares the host a manager."""
    root = login("operator")
    document_file = tmp_path / "document.yaml"
    document_file.write_text(ALONE)
    lock = [KeyRange(key=KEYS.leader)]
    with running(
        tmp_path / "agent", guarded.endpoint, how="all-is-well", etcd_options=options(WORKER, password)
    ) as agent:
        agent.until_it_says("READY=1")
        agent.eventually(lambda: status_of(root, WORKER), WITHIN_S, "it writes its status")
        assert root.read([KeyRange(key=KEYS.presence(WORKER))]).values
        assert swarmkeeper("apply", str(document_file), "--yes", "--no-wait", *operator).code == 0
        told = "--host h1 --may-lead` prints the one that does"
        agent.eventually(lambda: told in agent.log(), WITHIN_S, "it says why it does not lead")
        assert not root.read(lock).values
        assert "campaign" not in agent.log()
        assert "permission denied" not in agent.log()

        guarded.make_roles("--host", WORKER, "--may-lead")
        try:
            agent.eventually(lambda: root.read(lock).values, WITHIN_S, "it leads")
            applied = swarmkeeper("apply", str(document_file), "--yes", "--wait", *operator)
            assert applied.code == 0, f"{applied.out}{applied.err}\n{agent.log()}"
            eventually(lambda: "Nothing to do" in swarmkeeper("plan", *operator).out, WITHIN_S, "it rests")
            assert "permission denied" not in agent.log()
            _gives_all_back(agent, root)
        finally:
            guarded.make_roles("--host", WORKER)


def _gives_all_back(agent: AgentProcess, root: EtcdStore) -> None:
    agent.signal(signal.SIGTERM)
    assert agent.ended(WITHIN_S) == 0
    assert not root.read([KeyRange(key=KEYS.presence(WORKER)), KeyRange(key=KEYS.leader)]).values
    last = status_of(root, WORKER)
    assert last is not None
    assert last.stopped
    assert last.host == WORKER


def test_a_leader_whose_role_becomes_a_workers_lets_go_of_the_lock(
    guarded: GuardedEtcd, login: Login, password: Path, operator: tuple[str, ...], tmp_path: Path
) -> None:
    root, document_file = login("operator"), tmp_path / "document.yaml"
    document_file.write_text(ALONE)
    lock = [KeyRange(key=KEYS.leader)]
    guarded.make_roles("--host", WORKER, "--may-lead")
    with running(
        tmp_path / "agent", guarded.endpoint, how="all-is-well", etcd_options=options(WORKER, password)
    ) as agent:
        try:
            agent.until_it_says("READY=1")
            assert swarmkeeper("apply", str(document_file), "--yes", *operator).code == 0
            assert root.read(lock).values
        finally:
            guarded.make_roles("--host", WORKER)
        # Within one pass without a cause, and the time to live of the lease.
        agent.eventually(lambda: not root.read(lock).values, 60, "the lock is free")
        presence = [KeyRange(key=KEYS.presence(WORKER))]
        agent.eventually(lambda: root.read(presence).values, WITHIN_S, "it is present by another lease")


class Side:
    """The etcd side of an agent with the login of a host: a session, steps, and a reader."""

    def __init__(self, login: Login, host: str) -> None:
        self.host, self.store = host, login(host)
        self.session = Session(
            login(host),
            presence_key=KEYS.presence(host),
            presence=lambda: encode(
                Presence(host=host, instance=f"run-of-{host}", boot_id="b", version="1", since="now")
            ),
            settings=SETTINGS,
            on_change=lambda _: None,
        )
        self.session.run_once()
        self.reader = ClusterReader(KEYS, host)
        self.fence: Fence | None = None
        self._context = ApplyContext(
            engine=cast(Engine, None),
            store=self.store,
            session=self.session,
            keys=KEYS,
            me=host,
            cluster="prod",
            gate=Gate(),
            fence=lambda: self.fence,
            now=lambda: "now",
        )

    @property
    def lease(self) -> int:
        assert self.session.lease_id is not None
        return self.session.lease_id

    def lead(self) -> None:
        record = encode(LeaderRecord(host=self.host, since="now"))
        self.fence = campaign(self.store, KEYS.leader, record, self.lease)
        assert self.fence is not None

    def apply(self, step: steps.HostStep | leader_steps.LeaderStep) -> None:
        apply(self._context, step)

    def state(self) -> ClusterState:
        return self.reader.read(self.store, self.lease, frozenset()).state


@pytest.fixture
def worker(login: Login) -> Iterator[Side]:
    side = Side(login, WORKER)
    yield side
    side.session.close()


@pytest.fixture
def manager(login: Login) -> Iterator[Side]:
    side = Side(login, MANAGER)
    yield side
    side.session.close()


def test_a_worker_takes_the_disruption_slot_that_a_manager_grants_and_gives_it_back(
    worker: Side, manager: Side
) -> None:
    manager.lead()
    manager.apply(leader_steps.GrantDisruption(host=WORKER, quorum=True, over=0, reason="r"))
    granted = worker.state()
    assert granted.disruption is not None
    acquire = steps.AcquireDisruption(
        disruption=granted.disruption, revision=granted.disruption_revision, reason="r"
    )
    revoke = leader_steps.RevokeDisruption(
        host=WORKER, over=granted.disruption_revision, seen=granted.slot_revision, reason="r"
    )
    worker.apply(acquire)
    for side in (worker, manager):
        assert side.state().disruption == replace(
            granted.disruption, state="acquired", grant=granted.disruption_revision
        )
    with pytest.raises(Conflict, match="has changed since it was read"):
        manager.apply(revoke)
    taken = worker.state()
    assert taken.disruption is not None
    release = steps.ReleaseDisruption(
        disruption=taken.disruption, revision=taken.disruption_revision, reason="right"
    )
    worker.apply(release)
    released = manager.state()
    assert released.disruption is not None
    assert released.disruption.state == "released"
    with pytest.raises(Conflict, match="has changed since it was read"):
        manager.apply(replace(revoke, over=released.disruption_revision - 1, seen=released.slot_revision))
    manager.apply(replace(revoke, over=released.disruption_revision, seen=released.slot_revision))
    assert manager.state().disruption is None
    assert worker.state().disruption is None


def test_a_leader_with_its_own_role_forgets_a_host_and_leaves_what_only_that_host_writes(
    worker: Side, manager: Side
) -> None:
    manager.lead()
    manager.store.txn([], [Put(key=KEYS.assignment(WORKER), value=b"x")])
    worker.store.txn([], [Put(key=KEYS.status(WORKER), value=b"x")])
    manager.apply(leader_steps.ForgetHost(host=WORKER, reason="r"))
    found = manager.store.read([KeyRange(key=KEYS.root, prefix=True)]).values
    assert KEYS.assignment(WORKER) not in found
    assert KEYS.status(WORKER) in found


# ---- what one can do who has stolen a user: docs/operate/etcd.md


def test_a_stolen_worker_does_not_end_the_lease_of_another_host_and_can_only_delay_its_end(
    worker: Side, manager: Side
) -> None:
    manager.lead()
    mine = Put(key=KEYS.status(WORKER), value=b"x", lease=manager.lease)
    assert not allowed(lambda: worker.store.revoke(manager.lease))
    assert not allowed(lambda: campaign(worker.store, KEYS.leader, b"{}", worker.lease))
    # etcd checks the other keys of a lease in a put alone, not in a transaction: the manager cannot revoke its lease
    # then, and the lease expires.
    worker.store.txn([], [mine])
    assert not allowed(lambda: manager.store.revoke(manager.lease))


def test_a_manager_does_not_end_the_lease_of_another_host(worker: Side, manager: Side) -> None:
    assert not allowed(lambda: manager.store.revoke(worker.lease))


def test_a_stolen_worker_can_renew_the_lease_of_a_dead_leader_and_a_document_that_waits_tells(
    worker: Side, manager: Side, login: Login
) -> None:
    """etcd lets everybody renew a lease."""
    manager.lead()
    assert worker.store.keepalive(manager.lease) > 0
    login("operator").txn([], [Put(key=KEYS.intent, value=ALONE.encode())])
    times = itertools.chain([0.0], itertools.repeat(61.0))
    watch = LockWatch(SETTINGS.ttl_s, lambda: next(times))
    assert fault_of(worker, watch) == ""
    assert "has the lock and has not judged revision" in fault_of(worker, watch)
    state = worker.state()
    assert state.document is not None
    verdict = Verdict(revision=state.document.revision, accepted=True, accepted_revision=0)
    manager.store.txn([], [Put(key=KEYS.verdict, value=encode(verdict))])
    assert fault_of(worker, watch) == ""


def fault_of(side: Side, watch: LockWatch) -> str:
    reading = side.reader.read(side.store, side.lease, frozenset())
    return watch.fault(reading.lock, reading.state, side.store)


def test_a_stolen_worker_takes_no_slot_that_it_was_not_granted(worker: Side, manager: Side) -> None:
    manager.lead()
    manager.apply(leader_steps.GrantDisruption(host=PEER, quorum=True, over=0, reason="r"))
    revision = manager.state().disruption_revision
    mine = Disruption(host=WORKER, state="acquired", reason="r", quorum=True, grant=revision)
    for record in (mine, replace(mine, host=PEER)):
        worker.store.txn([], [Put(key=KEYS.slot(WORKER), value=encode(record))])
        assert not allowed(lambda each=record: _write_slot_of_peer(worker, each))  # type: ignore[misc]
        state = manager.state()
        assert state.disruption is not None
        assert (state.disruption.host, state.disruption.state) == (PEER, "granted")
    assert [key for key, _ in manager.state().unreadable] == [KEYS.slot(WORKER)]


def _write_slot_of_peer(side: Side, record: Disruption) -> None:
    side.store.txn([], [Put(key=KEYS.slot(PEER), value=encode(record))])


@pytest.mark.parametrize(
    ("ttl_s", "told"), [(0, "has no lease, so it never ends"), (315_360_000, "a lease of 315360000 s")]
)
def test_a_stolen_manager_holds_the_lock_for_years_and_every_host_says_so(
    worker: Side, manager: Side, ttl_s: int, told: str
) -> None:
    lease = manager.store.grant(ttl_s).id if ttl_s else 0
    manager.store.txn([], [Put(key=KEYS.leader, value=b"{}", lease=lease)])
    for side in (worker, manager):
        fault = fault_of(side, LockWatch(SETTINGS.ttl_s, lambda: 0.0))
        assert told in fault
        assert f"`etcdctl del {KEYS.leader}` frees it" in fault


def test_an_agent_tells_a_lock_for_years_within_ten_seconds(
    guarded: GuardedEtcd, manager: Side, password: Path, tmp_path: Path
) -> None:
    with running(
        tmp_path / "agent", guarded.endpoint, how="all-is-well", etcd_options=options(WORKER, password)
    ) as agent:
        agent.until_it_says("READY=1")
        lease = manager.store.grant(315_360_000).id
        manager.store.txn([], [Put(key=KEYS.leader, value=b"{}", lease=lease)])
        agent.eventually(
            lambda: 'swarmkeeper_blocked{reason="lock"} 1.0' in _without_constants(agent.get("/metrics")[1]),
            10,
            "the metric",
        )
        agent.eventually(lambda: "a lease of 315360000 s" in agent.get("/status")[1], 10, "the page")
        assert "a lease of 315360000 s" in agent.log()


def _without_constants(page: str) -> str:
    """Return the metrics without the labels that all of one agent have."""
    return page.replace('cluster="prod",', "").replace('host="h1",', "")


def test_a_stolen_manager_does_not_write_the_document_or_what_other_hosts_say(manager: Side) -> None:
    for key in (KEYS.intent, KEYS.note, KEYS.status(WORKER), KEYS.presence(WORKER), KEYS.slot(WORKER)):
        assert not allowed(lambda each=key: manager.store.txn([], [Put(key=each, value=b"x")]))  # type: ignore[misc]


def test_a_stolen_manager_can_delete_all_that_leaders_write(manager: Side) -> None:
    for key in (KEYS.accepted, KEYS.assignment(WORKER), KEYS.swarm, KEYS.tokens, SPEC):
        assert allowed(lambda each=key: manager.store.txn([], [Delete(key=each)]))  # type: ignore[misc]


def test_an_operators_password_writes_the_document_and_nothing_else(login: Login) -> None:
    store = login("operator")
    written = [key for key in DONE_BY if rights(store, key)["write"]]
    assert written == [KEYS.intent, KEYS.note]


def test_a_reader_of_etcd_sees_the_document_and_writes_nothing(guarded: GuardedEtcd, login: Login) -> None:
    guarded.ctl("role", "add", "reader", user=ROOT)
    guarded.ctl("role", "grant-permission", "reader", "read", KEYS.root, f"{KEYS.root[:-1]}0", user=ROOT)
    guarded.ctl("user", "add", "reader:secret", user=ROOT)
    guarded.ctl("user", "grant-role", "reader", "reader", user=ROOT)
    login("operator").txn([], [Put(key=KEYS.intent, value=ALONE.encode())])
    store = login("reader")
    found = store.read([KeyRange(key=KEYS.root, prefix=True)]).values
    assert b"hunter2" in found[KEYS.intent].value
    assert [key for key in DONE_BY if rights(store, key)["write"]] == []


def test_a_worker_may_read_only_its_own_reports_and_asks_its_agent_for_the_status(
    guarded: GuardedEtcd, password: Path, tmp_path: Path
) -> None:
    config = tmp_path / "worker.yaml"
    etcd = f"endpoints: ['{guarded.endpoint}']{options(WORKER, password)}"
    config.write_text(f"cluster: prod\nhost: h1\nhttp: {{listen: '127.0.0.1:1'}}\netcd: {{{etcd}}}\n")
    ended = swarmkeeper("status", "--config", str(config))
    assert ended.code != 0
    assert "permission denied" in ended.err
    assert "Traceback" not in ended.err


def test_a_write_that_only_compares_a_key_of_another_host_is_refused(worker: Side) -> None:
    probe = Compare(key=KEYS.assignment(MANAGER), create_revision=0)
    assert not allowed(lambda: worker.store.txn([probe], []))


def test_the_guide_names_tests_that_exist() -> None:
    here = Path(__file__)
    page = (here.parents[3] / "docs" / "operate" / "etcd.md").read_text()
    named = set(re.findall(r"`(test_\w+)`", page))
    lab = (
        here.parents[3] / "integration" / f"test_{each}.py" for each in ("stolen_agents", "attacks_on_hosts")
    )
    observe, agents = here.parents[1] / "observe", here.parents[2] / "agents"
    others = (
        here.with_name("test_history.py"),
        here.with_name("test_events.py"),
        observe / "test_cluster.py",
        observe / "test_assigned.py",
        agents / "test_events.py",
        agents / "test_forged_keys.py",
    )
    sources = "".join(path.read_text() for path in (here, *others, *lab))
    assert named
    assert {each for each in named if f"def {each}(" not in sources} == set()
