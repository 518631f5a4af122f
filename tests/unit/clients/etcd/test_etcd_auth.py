"""User and password: tokens that run out, roles that forbid, and an authentication that is switched on and off."""

import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.clients.etcd import EtcdStore
from agent.errors import Invalid, Refused
from agent.model.store import KeyRange, Put
from tests.support.etcd_server import EtcdServer, eventually, running
from tests.support.wakes import Wakes
from tests.unit.clients.etcd.conftest import NewStore

ROOT = "root:rootpw"
OURS = [KeyRange(key="/c/", prefix=True)]
FOREIGN = [KeyRange(key="/foreign", prefix=True)]
TOKEN_TTL_S = 1


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EtcdServer]:
    """An etcd where user `agent` may do everything under /c/ and nothing else; tokens live 1 s when idle."""
    directory = tmp_path_factory.mktemp("etcd")
    arguments = (f"--auth-token-ttl={TOKEN_TTL_S}", "--bcrypt-cost=4")
    with running(EtcdServer(directory, arguments=arguments)) as server:
        server.ctl("user", "add", ROOT)
        server.ctl("user", "add", "agent:secret")
        server.ctl("role", "add", "agent")
        server.ctl("role", "grant-permission", "agent", "--prefix=true", "readwrite", "/c/")
        server.ctl("user", "grant-role", "agent", "agent")
        server.ctl("user", "grant-role", "root", "root")
        server.ctl("auth", "enable")
        yield server


@pytest.fixture
def password_file(tmp_path: Path) -> Path:
    path = tmp_path / "password"
    path.write_text("secret\n")
    return path


@pytest.fixture
def store(guarded: EtcdServer, new_store: NewStore, password_file: Path) -> EtcdStore:
    return new_store(
        guarded.endpoint, user="agent", password_file=str(password_file), allow_plaintext_password=True
    )


def put(store: EtcdStore, key: str, value: bytes = b"x") -> int:
    return store.txn([], [Put(key=key, value=value)]).revision


def forget_token(server: EtcdServer) -> None:
    """Let the tokens run out, and see that they did."""
    start = time.monotonic()
    eventually(lambda: time.monotonic() - start > TOKEN_TTL_S + 1.2, 5)


def test_everything_works_with_user_and_password(store: EtcdStore) -> None:
    put(store, "/c/a")
    assert store.read(OURS).get("/c/a") is not None
    lease = store.grant(10)
    assert store.keepalive(lease.id) == 10
    store.revoke(lease.id)


@pytest.mark.fault("the token of etcd's authentication runs out")
def test_an_expired_token_is_replaced_without_the_caller_noticing(
    guarded: EtcdServer, new_store: NewStore, password_file: Path
) -> None:
    calls: list[str | None] = []
    store = new_store(
        guarded.endpoint,
        user="agent",
        password_file=str(password_file),
        allow_plaintext_password=True,
        observe_call=lambda op, seconds, error: calls.append(error),
    )
    put(store, "/c/a", b"one")
    forget_token(guarded)
    revision = put(store, "/c/a", b"two")
    assert store.read(OURS).revision == revision, "written once"
    assert "unauthenticated" in calls, "the token had really run out"


def test_a_watch_opened_with_an_expired_token_is_a_living_one(
    guarded: EtcdServer, store: EtcdStore, wakes: Wakes
) -> None:
    store.read(OURS)
    forget_token(guarded)
    watch = store.watch(OURS, wakes)
    eventually(lambda: watch.healthy, 5)
    wakes.clear()
    guarded.ctl("put", "/c/intent", "x", user=ROOT)
    eventually(lambda: "watch: change" in wakes.reasons, 2)


def test_a_key_that_may_not_be_read_or_written_is_refused(store: EtcdStore) -> None:
    with pytest.raises(Refused, match="permission denied"):
        store.read(FOREIGN)
    with pytest.raises(Refused, match="permission denied"):
        put(store, "/foreign")


def test_a_watch_on_a_key_that_may_not_be_read_says_so(store: EtcdStore, wakes: Wakes) -> None:
    watch = store.watch([*OURS, *FOREIGN], wakes)
    eventually(lambda: watch.fault is not None, 5)
    assert not watch.healthy
    assert "permission denied" in str(watch.fault)
    assert wakes.reasons == ("watch: refused",)


def test_a_watch_that_was_denied_opens_once_the_role_allows_it(
    guarded: EtcdServer, store: EtcdStore, wakes: Wakes
) -> None:
    later = [KeyRange(key="/later", prefix=True)]
    watch = store.watch(later, wakes)
    eventually(lambda: watch.fault is not None, 5)
    guarded.ctl("role", "grant-permission", "agent", "--prefix=true", "read", "/later", user=ROOT)
    eventually(lambda: watch.healthy, 5)


def test_a_wrong_password_is_refused_and_not_tried_again_at_once(
    guarded: EtcdServer, new_store: NewStore, password_file: Path
) -> None:
    password_file.write_text("wrong")
    store = new_store(
        guarded.endpoint, user="agent", password_file=str(password_file), allow_plaintext_password=True
    )
    for _ in range(3):
        with pytest.raises(Refused, match="authentication failed") as refused:
            store.read(OURS)
        assert "wrong" not in str(refused.value), "the password is nobody's business"
    password_file.write_text("secret")
    with pytest.raises(Refused):
        store.read(OURS)


def test_a_password_file_that_is_missing_is_named(guarded: EtcdServer, new_store: NewStore) -> None:
    store = new_store(
        guarded.endpoint, user="agent", password_file="/nonexistent", allow_plaintext_password=True
    )
    with pytest.raises(Refused, match="/nonexistent"):
        store.read(OURS)


def test_a_client_without_user_is_refused_by_an_etcd_that_wants_one(
    guarded: EtcdServer, new_store: NewStore
) -> None:
    with pytest.raises(Refused, match="user name is empty"):
        new_store(guarded.endpoint).read(OURS)


def test_a_password_over_plaintext_is_refused_unless_allowed(new_store: NewStore) -> None:
    with pytest.raises(Invalid, match="unencrypted"):
        new_store("http://127.0.0.1:1", user="agent", password_file="/run/password")


def test_authentication_may_be_off_be_switched_on_and_off_again(
    server: EtcdServer, new_store: NewStore, password_file: Path
) -> None:
    store = new_store(
        server.endpoint, user="root", password_file=str(password_file), allow_plaintext_password=True
    )
    put(store, "/c/a")
    server.ctl("user", "add", "root:secret")
    server.ctl("user", "grant-role", "root", "root")
    server.ctl("auth", "enable")
    put(store, "/c/a")
    server.ctl("auth", "disable", user="root:secret")
    put(store, "/c/a")
    assert store.read(OURS).get("/c/a") is not None


def test_a_jwt_that_expires_or_is_outdated_by_a_new_role_is_replaced(
    tmp_path: Path, new_store: NewStore, password_file: Path
) -> None:
    private, public = tmp_path / "jwt.key", tmp_path / "jwt.pub"
    subprocess.run(["openssl", "genrsa", "-out", str(private), "2048"], check=True, capture_output=True)
    subprocess.run(
        ["openssl", "rsa", "-in", str(private), "-pubout", "-out", str(public)],
        check=True,
        capture_output=True,
    )
    jwt = f"jwt,pub-key={public},priv-key={private},sign-method=RS256,ttl=2s"
    with running(
        EtcdServer(tmp_path / "etcd", arguments=[f"--auth-token={jwt}", "--bcrypt-cost=4"])
    ) as server:
        server.ctl("user", "add", "root:secret")
        server.ctl("user", "grant-role", "root", "root")
        server.ctl("auth", "enable")
        errors: list[str | None] = []
        store = new_store(
            server.endpoint,
            user="root",
            password_file=str(password_file),
            allow_plaintext_password=True,
            observe_call=lambda op, seconds, error: errors.append(error),
        )
        put(store, "/c/a")
        server.ctl("role", "add", "later", user="root:secret")
        put(store, "/c/a")
        assert errors == [None, "invalid_argument", None], "the auth store is newer than the token"
        eventually(lambda: put(store, "/c/a") and "unauthenticated" in errors, 6)
        assert errors[-1] is None
