import pytest

from agent.cli.connect import MOST_CLUSTERS, Connection, clusters, refuse_unknown
from agent.errors import Invalid, Refused
from agent.model.keys import Keys
from agent.model.store import Put
from tests.fakes.store import FakeStore


def holding(*keys: str) -> FakeStore:
    store = FakeStore()
    for key in keys:
        store.txn([], [Put(key=key, value=b"x")])
    return store


def refused(store: FakeStore, name: str) -> str:
    connection = Connection(store=store, keys=Keys(name))
    state = connection.read()
    with pytest.raises(Invalid) as caught:
        refuse_unknown(store, connection.keys, state)
    return str(caught.value)


def test_a_misspelled_cluster_is_an_error_that_lists_the_existing_ones() -> None:
    store = holding("/swarmkeeper/prod/intent", "/swarmkeeper/prod/verdict", "/swarmkeeper/test/intent")

    assert refused(store, "prd") == (
        "etcd has no cluster prd: it has prod, test; name one of them with --cluster, or apply a document, or start an"
        " agent, to create it"
    )


def test_an_empty_etcd_is_said_to_be_so() -> None:
    assert "it has no other one either; apply a document" in refused(holding("/other/key"), "prod")


def test_without_the_right_to_read_the_others_that_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    store = FakeStore()
    own = store.first_key

    def denied(start: str, end: str) -> str | None:
        if start == "/swarmkeeper/":
            raise Refused("etcdserver: permission denied")
        return own(start, end)

    monkeypatch.setattr(store, "first_key", denied)
    assert "which others it has, you have no right to read; check the name" in refused(store, "prod")


@pytest.mark.parametrize("key", ["intent", "hosts/h1/presence", "specs/0123", "something"])
def test_a_cluster_with_any_key_is_known(key: str) -> None:
    connection = Connection(store=holding(f"/swarmkeeper/prod/{key}"), keys=Keys("prod"))

    refuse_unknown(connection.store, connection.keys, connection.read())


def test_the_names_are_read_one_by_one_and_not_without_end() -> None:
    keys = [f"/swarmkeeper/c{number:03}/{key}" for number in range(MOST_CLUSTERS + 5) for key in ("a", "b")]
    store = holding("/swarmkeeper/beside", *keys, "/swarmkeeperz/no/key")

    assert clusters(store) == [f"c{number:03}" for number in range(MOST_CLUSTERS)]
    assert clusters(holding("/swarmkeeper/a", "/swarmkeeper/b/x", "/swarmkeeper/b.c/x")) == ["b.c", "b"]
