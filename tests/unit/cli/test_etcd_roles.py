"""The roles in an etcd that asks who one is: what each may do, and that both sides can work with theirs."""

import shlex
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from agent.clients.etcd import EtcdStore
from agent.errors import Refused
from agent.model import store as model
from agent.model.keys import Keys
from agent.model.store import Delete, KeyRange, Put
from tests.support.agent_process import WITHIN_S, running
from tests.support.document import document
from tests.support.etcd_server import eventually
from tests.unit.cli.conftest import GOOD, swarmkeeper
from tests.unit.cli.guarded_etcd import ROOT, GuardedEtcd, running_guarded

KEYS, OTHER = Keys("prod"), Keys("prod-2")
OF_AGENTS = (
    *(KEYS.accepted, KEYS.verdict, KEYS.leader, KEYS.swarm, KEYS.tokens, KEYS.disruption),
    *(KEYS.spec("0" * 64), KEYS.assignment("h1"), KEYS.membership_order("h1"), KEYS.rollout("order")),
    *(KEYS.presence("h1"), KEYS.status("h1"), f"{KEYS.root}zz-of-a-later-version"),
)
ONE_HOST = document(GOOD, hosts={"h2": None}, replicas={"order": {"h1": 2}})
Login = Callable[[str], EtcdStore]


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GuardedEtcd]:
    """An etcd with the two roles, and a user for each."""
    with running_guarded(tmp_path_factory.mktemp("etcd")) as server:
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


def may_write(store: EtcdStore, key: str) -> bool:
    try:
        store.txn([], [Put(key=key, value=b"x")])
        store.txn([], [Delete(key=key)])
    except Refused as error:
        return "permission denied" not in str(error)
    return True


def test_an_operator_writes_the_intent_and_nothing_else(login: Login) -> None:
    operator = login("operator")

    assert [key for key in (KEYS.intent, *OF_AGENTS) if may_write(operator, key)] == [KEYS.intent]
    with pytest.raises(Refused, match="permission denied"):
        operator.txn([], [Delete(key=KEYS.root, prefix=True)])


def test_an_agent_writes_all_but_the_intent(login: Login) -> None:
    agent = login("agent")

    assert [key for key in (KEYS.intent, *OF_AGENTS) if not may_write(agent, key)] == [KEYS.intent]
    with pytest.raises(Refused, match="permission denied"):
        agent.txn([], [Delete(key=KEYS.root, prefix=True)])


@pytest.mark.parametrize("user", ["operator", "agent"])
def test_each_reads_his_cluster_and_sees_nothing_of_another(login: Login, user: str) -> None:
    store = login(user)

    assert not store.read([KeyRange(key=KEYS.root, prefix=True)]).values
    for key in (OTHER.intent, "/elsewhere"):
        assert not may_write(store, key)
        with pytest.raises(Refused, match="permission denied"):
            store.read([KeyRange(key=key)])


def test_making_the_roles_again_changes_nothing(guarded: GuardedEtcd) -> None:
    names = ("swarmkeeper-prod-operator", "swarmkeeper-prod-agent")
    before = [guarded.ctl("role", "get", name, user=ROOT) for name in names]

    guarded.make_roles()

    assert [guarded.ctl("role", "get", name, user=ROOT) for name in names] == before


def test_a_whole_agent_and_the_operators_commands_work_with_their_roles(
    guarded: GuardedEtcd, login: Login, password: Path, tmp_path: Path
) -> None:
    def options(user: str) -> str:
        return f", user: {user}, password_file: {password}, allow_plaintext_password: true"

    config, document = tmp_path / "operator.yaml", tmp_path / "document.yaml"
    config.write_text(
        f"cluster: prod\nhost: nobody\netcd: {{endpoints: ['{guarded.endpoint}']{options('operator')}}}\n"
    )
    document.write_text(ONE_HOST)
    with running(
        tmp_path / "agent", guarded.endpoint, how="all-is-well", etcd_options=options("agent")
    ) as agent:
        agent.until_it_says("READY=1")
        mine = ("--config", str(config))
        applied = swarmkeeper("apply", str(document), "--yes", "--wait", *mine)
        assert applied.code == 0, f"{applied.out}{applied.err}\n{agent.log()}"
        eventually(lambda: "Nothing to do" in swarmkeeper("plan", *mine).out, WITHIN_S, "it comes to rest")
        assert "h1" in swarmkeeper("status", *mine).out
        assert "permission denied" not in agent.log()
        operator, mine_alone = (
            login("operator"),
            [KeyRange(key=KEYS.presence("h1")), KeyRange(key=KEYS.leader)],
        )
        assert len(operator.read(mine_alone).values) == len(mine_alone)
        agent.signal(signal.SIGTERM)
        assert agent.ended(WITHIN_S) == 0
        assert not operator.read(mine_alone).values, "it may give its lease back"


@pytest.mark.parametrize("name", ["a; touch /tmp/b", "a\nb", "a\ntouch /tmp/b\n#", "a\n", "-a", "a/b", ""])
def test_a_name_of_a_cluster_is_no_command(name: str) -> None:
    ended = swarmkeeper("etcd-roles", f"--cluster={name}")

    assert (ended.code, ended.out) == (64, "")


def test_what_is_printed_is_one_command_a_line() -> None:
    printed = swarmkeeper("etcd-roles", "--cluster", "a.b_c-d").out.splitlines()

    words = [shlex.split(line, comments=True) for line in printed]
    assert {each[0] for each in words if each} == {"etcdctl"}


def test_without_a_name_it_says_how_to_give_one(tmp_path: Path) -> None:
    ended = swarmkeeper("etcd-roles", "--config", str(tmp_path / "none.yaml"))

    assert ended.code == 1
    assert "give --cluster" in ended.err


@pytest.mark.parametrize("user", ["operator", "agent"])
def test_each_role_sees_the_size_of_the_database_and_whether_etcd_keeps_old_revisions(
    login: Login, monkeypatch: pytest.MonkeyPatch, user: str
) -> None:
    monkeypatch.setattr(model, "OLD_REVISIONS", 1)
    store = login("agent")
    for number in range(3):
        store.txn([], [Put(key=KEYS.accepted, value=b"%d" % number)])
    found = login(user).upkeep(KEYS.leader)
    assert (found.alarm, found.keeps_history) == ("", True)
    assert found.size
