"""TLS and client certificates: what works, and that what does not is called by its name and not an outage."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.clients.etcd import EtcdStore
from agent.errors import Invalid, Refused, Unreachable
from agent.model.store import KeyRange, Put
from tests.support.certificates import Authority, Issued
from tests.support.etcd_server import EtcdServer, ServerTls, eventually, running
from tests.support.wakes import Wakes
from tests.unit.clients.etcd.conftest import NewStore

RANGE = [KeyRange(key="/c/", prefix=True)]


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("tls")


@pytest.fixture(scope="module")
def authority(directory: Path) -> Authority:
    return Authority(directory / "ca", "the authority")


@pytest.fixture(scope="module")
def foreign(directory: Path) -> Authority:
    return Authority(directory / "foreign", "another authority")


@pytest.fixture(scope="module")
def mine(authority: Authority) -> Issued:
    return authority.issue("host-1")


@pytest.fixture(scope="module")
def tls_server(directory: Path, authority: Authority) -> Iterator[EtcdServer]:
    issued = authority.issue("etcd")
    tls = ServerTls(
        ca_file=authority.ca_file,
        cert_file=issued.cert_file,
        key_file=issued.key_file,
        ask_for_client_certificate=True,
    )
    with running(EtcdServer(directory / "etcd", tls=tls)) as server:
        yield server


def quick(new_store: NewStore, endpoint: str, ca_file: str, own: Issued | None) -> EtcdStore:
    """Return a store that gives up soon, and not so soon that a busy machine has no time for a handshake."""
    files = {"cert_file": own.cert_file, "key_file": own.key_file} if own else {}
    return new_store(endpoint, ca_file=ca_file, timeout_s=2.0, budget_s=2.0, **files)


def test_both_sides_show_their_certificates(
    tls_server: EtcdServer, authority: Authority, mine: Issued, new_store: NewStore, wakes: Wakes
) -> None:
    store = quick(new_store, tls_server.endpoint, authority.ca_file, mine)
    assert store.read(RANGE).revision >= 1
    watch = store.watch(RANGE, wakes)
    eventually(lambda: watch.healthy, 5)
    assert store.grant(5).ttl_s == 5


def test_a_wrong_authority_is_named_as_tls_failure(
    tls_server: EtcdServer, foreign: Authority, mine: Issued, new_store: NewStore
) -> None:
    errors: list[str | None] = []
    store = new_store(
        tls_server.endpoint,
        ca_file=foreign.ca_file,
        cert_file=mine.cert_file,
        key_file=mine.key_file,
        timeout_s=0.5,
        budget_s=0.5,
        observe_call=lambda op, seconds, error: errors.append(error),
    )
    with pytest.raises(Unreachable, match="TLS failure"):
        store.read(RANGE)
    assert "tls" in errors  # a last attempt, with little time left, may time out


def test_a_missing_client_certificate_is_refused_by_etcd(
    tls_server: EtcdServer, authority: Authority, new_store: NewStore
) -> None:
    with pytest.raises(Unreachable, match="TLS failure"):
        quick(new_store, tls_server.endpoint, authority.ca_file, None).read(RANGE)


def test_a_name_that_the_certificate_does_not_carry_is_a_tls_failure(
    tls_server: EtcdServer, authority: Authority, mine: Issued, new_store: NewStore
) -> None:
    by_name = f"https://localhost:{tls_server.port}"
    with pytest.raises(Unreachable, match="TLS failure"):
        quick(new_store, by_name, authority.ca_file, mine).read(RANGE)


def test_a_file_that_is_missing_is_named(tls_server: EtcdServer, mine: Issued, new_store: NewStore) -> None:
    with pytest.raises(Unreachable, match=r"TLS file /nonexistent/ca\.pem"):
        quick(new_store, tls_server.endpoint, "/nonexistent/ca.pem", mine).read(RANGE)


def test_replaced_certificates_are_taken_up_and_the_watch_goes_along(
    tls_server: EtcdServer,
    authority: Authority,
    foreign: Authority,
    tmp_path: Path,
    new_store: NewStore,
    wakes: Wakes,
) -> None:
    own = Issued(cert_file=str(tmp_path / "cert.pem"), key_file=str(tmp_path / "key.pem"))

    def place(issued: Issued) -> None:
        shutil.copyfile(issued.cert_file, own.cert_file)
        shutil.copyfile(issued.key_file, own.key_file)

    place(authority.issue("first"))
    store = quick(new_store, tls_server.endpoint, authority.ca_file, own)
    watch = store.watch(RANGE, wakes)
    eventually(lambda: watch.healthy, 5)

    wakes.clear()
    place(authority.issue("second"))
    assert store.read(RANGE).revision >= 1
    eventually(lambda: watch.healthy and "watch: open" in wakes.reasons, 5)

    place(foreign.issue("stranger"))
    with pytest.raises(Unreachable):
        store.read(RANGE)


def test_certificates_that_vanish_do_not_end_a_connection_that_works(
    tls_server: EtcdServer, authority: Authority, tmp_path: Path, new_store: NewStore
) -> None:
    issued = authority.issue("fleeting")
    own = Issued(cert_file=str(tmp_path / "cert.pem"), key_file=issued.key_file)
    shutil.copyfile(issued.cert_file, own.cert_file)
    store = quick(new_store, tls_server.endpoint, authority.ca_file, own)
    store.read(RANGE)
    Path(own.cert_file).unlink()
    assert store.read(RANGE).revision >= 1


def test_settings_that_would_leave_something_unprotected_are_refused(new_store: NewStore) -> None:
    with pytest.raises(Invalid, match="mix http:// and https://"):
        new_store("https://a:1", "http://b:1", ca_file="/ca")
    with pytest.raises(Invalid, match="is not encrypted"):
        new_store("http://a:1", ca_file="/ca")
    with pytest.raises(Invalid, match="need a CA file"):
        new_store("https://a:1")


def test_the_name_in_a_client_certificate_is_the_user_and_needs_no_password(
    tmp_path: Path, authority: Authority, new_store: NewStore
) -> None:
    own = authority.issue("etcd")
    tls = ServerTls(
        ca_file=authority.ca_file,
        cert_file=own.cert_file,
        key_file=own.key_file,
        ask_for_client_certificate=True,
    )
    with running(EtcdServer(tmp_path / "etcd", tls=tls)) as server:
        for user, role in (("root", "root"), ("etcd", "root"), ("host-2", "hosts")):
            server.ctl("user", "add", user, "--no-password")
            if role != "root":
                server.ctl("role", "add", role)
                server.ctl("role", "grant-permission", role, "--prefix=true", "readwrite", "/c/")
            server.ctl("user", "grant-role", user, role)
        server.ctl("auth", "enable")
        store = quick(new_store, server.endpoint, authority.ca_file, authority.issue("host-2"))
        store.txn([], [Put(key="/c/a", value=b"x")])
        assert store.read(RANGE).get("/c/a") is not None
        with pytest.raises(Refused, match="permission denied"):
            store.txn([], [Put(key="/foreign", value=b"x")])
