"""How endpoints are written, and which settings of the etcd client are refused."""

import pytest

from agent.model.store import (
    Compare,
    KeyValue,
    SessionSettings,
    Snapshot,
    StoreSettings,
    for_session,
    parse_endpoint,
    settings_faults,
)


@pytest.mark.parametrize(
    ("written", "tls_by_default", "meant"),
    [
        ("https://etcd-1:2379", False, "https://etcd-1:2379"),
        ("http://10.0.0.1:2379", True, "http://10.0.0.1:2379"),
        ("https://10.0.0.1:2379/", False, "https://10.0.0.1:2379"),
        ("10.0.0.1:23790", False, "http://10.0.0.1:23790"),
        ("10.0.0.1:23790", True, "https://10.0.0.1:23790"),
        ("etcd.example.com", True, "https://etcd.example.com:2379"),
        ("[fd00::1]:2379", False, "http://[fd00::1]:2379"),
        ("https://[fd00::1]", False, "https://[fd00::1]:2379"),
    ],
)
def test_an_endpoint_is_what_etcdctl_takes(written: str, tls_by_default: bool, meant: str) -> None:
    assert str(parse_endpoint(written, tls_by_default=tls_by_default)) == meant


@pytest.mark.parametrize(
    "written",
    ["", "http://", "ftp://a:1", "a:port", "a:99999", "a:1/path", "http://a:1?x=1", "unix:///run/etcd.sock"],
)
def test_what_is_no_endpoint_is_refused(written: str) -> None:
    with pytest.raises(ValueError, match=r"endpoint|port"):
        parse_endpoint(written, tls_by_default=False)


def test_a_password_in_an_endpoint_is_refused_without_being_repeated() -> None:
    with pytest.raises(ValueError, match="set user and password_file") as refused:
        parse_endpoint("http://user:secret@a:1", tls_by_default=False)
    assert "secret" not in str(refused.value)


def test_plain_settings_and_full_ones_are_good() -> None:
    assert settings_faults(StoreSettings(endpoints=("127.0.0.1:2379",))) == ()
    full = StoreSettings(
        endpoints=("https://a:1", "https://b:1"),
        ca_file="/ca",
        cert_file="/cert",
        key_file="/key",
        user="agent",
        password_file="/password",
    )
    assert settings_faults(full) == ()


@pytest.mark.parametrize(
    ("settings", "fault"),
    [
        (StoreSettings(endpoints=()), "at least one"),
        (StoreSettings(endpoints=("a:1", "ftp://b")), "'ftp://b' is not an etcd endpoint"),
        (StoreSettings(endpoints=("http://a", "https://b"), ca_file="/ca"), "mix"),
        (StoreSettings(endpoints=("http://a",), ca_file="/ca"), "is not encrypted"),
        (StoreSettings(endpoints=("https://a",)), "need a CA file"),
        (StoreSettings(endpoints=("a",), ca_file="/ca", cert_file="/cert"), "certificate and key"),
        (StoreSettings(endpoints=("a",), cert_file="/cert", key_file="/key"), "without TLS"),
        (StoreSettings(endpoints=("a",), user="agent"), "user and password file"),
        (StoreSettings(endpoints=("a",), user="agent", password_file="/p"), "unencrypted"),
        (StoreSettings(endpoints=("a",), timeout_s=0), "timeout"),
        (StoreSettings(endpoints=("a",), timeout_s=7), "at most budget"),
    ],
)
def test_each_fault_is_named_and_no_other(settings: StoreSettings, fault: str) -> None:
    faults = settings_faults(settings)
    assert len(faults) == 1
    assert fault in faults[0]


def test_all_faults_are_named_at_once() -> None:
    assert len(settings_faults(StoreSettings(endpoints=("ftp://a", "b:c"), user="agent", timeout_s=0))) == 4


def test_the_sessions_client_has_time_for_the_two_tries_that_its_timings_leave_room_for() -> None:
    own = for_session(StoreSettings(endpoints=("a",)), SessionSettings(timeout_s=1.5))
    assert (own.timeout_s, own.budget_s, own.endpoints) == (1.5, 3.0, ("a",))


def test_a_compare_is_of_one_revision() -> None:
    with pytest.raises(ValueError, match="not both or neither"):
        Compare(key="a")
    with pytest.raises(ValueError, match="not both or neither"):
        Compare(key="a", create_revision=0, mod_revision=0)


def test_a_snapshot_shows_keys_but_no_values() -> None:
    kv = KeyValue(key="/c/tokens", value=b"SWMTKN", create_revision=1, mod_revision=1)
    snapshot = Snapshot(revision=1, values={"/c/tokens": kv})
    assert "SWMTKN" not in repr(snapshot)
    assert snapshot.under("/c/") == (kv,)
