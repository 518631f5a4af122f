"""The leader lock that does not end, or whose holder does not work: every host says so, with the remedy."""

import pytest

from agent.model.records import LeaderRecord, Verdict, encode
from agent.model.store import Put
from agent.observe.lock import JUDGES_S, LONGEST_S, LockWatch
from tests.fakes.etcd import FakeClock
from tests.support.document import document
from tests.support.etcd_keys import DOCUMENT, KEYS, OTHER, Scene

TTL_S = 15.0


class Looking:
    """A host that looks at the lock on its own clock."""

    def __init__(self, ttl_s: float = TTL_S) -> None:
        self.scene, self.clock = Scene(), FakeClock()
        self.watch = LockWatch(ttl_s, self.clock)

    def lock(self, ttl_s: float) -> None:
        """Another host takes the lock with such a lease; 0: with none."""
        lease = self.scene.store.grant(ttl_s).id if ttl_s else 0
        record = encode(LeaderRecord(host=OTHER, since="now"))
        self.scene.store.txn([], [Put(key=KEYS.leader, value=record, lease=lease)])

    def put_document(self) -> None:
        self.scene.put(
            **{KEYS.intent: document(DOCUMENT, tags={"order": f"1.0.{self.clock.now:.0f}"}).encode()}
        )

    def fault(self) -> str:
        reading = self.scene.read()
        return self.watch.fault(reading.lock, reading.state, self.scene.store)


@pytest.fixture
def looking() -> Looking:
    found = Looking()
    found.lock(TTL_S)
    assert found.fault() == ""
    return found


def test_a_lease_of_an_agent_with_another_setting_is_no_fault(looking: Looking) -> None:
    looking.lock(LONGEST_S)
    assert looking.fault() == ""
    slow = Looking(ttl_s=600)
    slow.lock(6000)
    assert slow.fault() == ""


@pytest.mark.parametrize(
    ("ttl_s", "why"),
    [(LONGEST_S + 1, "has a lease of 151 s, and agents take 15 s"), (0, "has no lease, so it never ends")],
)
def test_a_lock_that_does_not_end_soon_is_told_with_the_remedy(
    looking: Looking, ttl_s: float, why: str
) -> None:
    looking.lock(ttl_s)
    assert looking.fault() == (
        f"the lock of {OTHER} {why}: no agent wrote it; `etcdctl del {KEYS.leader}` frees it; then change the "
        "credentials of the agents in etcd"
    )
    looking.lock(TTL_S)
    assert looking.fault() == ""


def test_a_free_lock_has_no_fault(looking: Looking) -> None:
    looking.scene.delete(KEYS.leader)
    looking.put_document()
    looking.fault()
    looking.clock.advance(2 * JUDGES_S)
    assert looking.fault() == ""


def test_a_document_without_a_verdict_for_long_is_told(looking: Looking) -> None:
    looking.put_document()
    assert looking.fault() == ""
    looking.clock.advance(JUDGES_S - 1)
    assert looking.fault() == ""
    looking.lock(TTL_S)  # a lock that is put again and again does not reset the time
    looking.clock.advance(1)
    told = looking.fault()
    assert told.startswith(f"{OTHER} has the lock and has not judged revision ")
    assert f"`etcdctl del {KEYS.leader}` frees it" in told
    looking.clock.advance(100)
    assert looking.fault() == told, "the text stays the same, or each pass would write a status"

    state = looking.scene.read().state
    assert state.document is not None
    verdict = Verdict(revision=state.document.revision, accepted=False, accepted_revision=7)
    looking.scene.put(**{KEYS.verdict: encode(verdict)})
    assert looking.fault() == ""


def test_a_newer_document_has_its_own_time(looking: Looking) -> None:
    looking.put_document()
    looking.fault()
    looking.clock.advance(JUDGES_S - 1)
    looking.put_document()
    assert looking.fault() == ""
    looking.clock.advance(JUDGES_S - 1)
    assert looking.fault() == ""


def test_a_verdict_of_a_newer_agent_is_no_sign_of_an_idle_leader(looking: Looking) -> None:
    looking.scene.put(**{KEYS.verdict: b'{"v":3,"everything":"new"}'})
    looking.fault()
    looking.clock.advance(2 * JUDGES_S)
    assert looking.fault() == ""


def test_the_lease_of_a_lock_is_asked_for_once(looking: Looking, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_lease: int) -> float:
        raise AssertionError("it is known")

    monkeypatch.setattr(looking.scene.store, "granted_s", refuse)
    assert looking.fault() == ""
    looking.lock(TTL_S)
    with pytest.raises(AssertionError, match="it is known"):
        looking.fault()
