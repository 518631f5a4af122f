"""What is accepted on a host, whatever becomes of etcd: nothing older than it knows, until somebody confirms that."""

import pytest

from agent.model.observed import ClusterState
from agent.model.records import Accepted, Assignment, Replica, SwarmRecord, encode
from agent.observe import ClusterReader
from tests.support.document import document
from tests.support.etcd_keys import ACCEPTED_AT, DOCUMENT, GOOD, KEYS, ME, RECORDS, REPLICA, Scene

OLDER = document(DOCUMENT, tags={"order": "0.9.0"})
MINE = RECORDS[KEYS.assignment(ME)]


@pytest.fixture
def scene() -> Scene:
    scene = Scene()
    scene.read()
    return scene


def restart(scene: Scene) -> None:
    """Another run of the agent, which finds on disk what this one kept."""
    kept = scene.read().kept
    scene.reader = ClusterReader(KEYS, ME)
    scene.reader.recall(kept)


def accepted(revision: int, epoch: int = 0, text: str = DOCUMENT) -> dict[str, bytes]:
    return {KEYS.accepted: encode(Accepted(revision=revision, document=text, epoch=epoch))}


def assigned(revision: int, epoch: int = 0, *replicas: Replica) -> dict[str, bytes]:
    return {
        KEYS.assignment(ME): encode(
            Assignment(revision=revision, epoch=epoch, project="prod", replicas=replicas)
        )
    }


@pytest.mark.parametrize("restarted", [False, True])
def test_a_wiped_etcd_takes_nothing_of_what_is_accepted(scene: Scene, restarted: bool) -> None:
    if restarted:
        restart(scene)
    scene.store.etcd.wipe()
    state = scene.read().state
    assert state.accepted is not None
    assert (state.accepted.revision, state.assignment, state.record) == (
        ACCEPTED_AT,
        MINE,
        RECORDS[KEYS.swarm],
    )
    assert state.store_rolled_back == "it has no accepted document"
    assert state.assignment_held
    assert not state.confirmed


def test_what_is_held_stays_kept_on_disk_while_etcd_has_less(scene: Scene) -> None:
    before = scene.read().kept
    scene.store.etcd.wipe()
    assert scene.read().kept == before


def test_an_accepted_document_that_is_older_than_the_one_known_is_not_followed(scene: Scene) -> None:
    scene.put(**accepted(ACCEPTED_AT - 1, text=OLDER), **assigned(ACCEPTED_AT - 1))
    state = scene.read().state
    assert state.accepted is not None
    assert (state.accepted.revision, state.assignment) == (ACCEPTED_AT, MINE)
    assert state.store_rolled_back == f"it has accepted revision {ACCEPTED_AT - 1}"


def test_another_document_of_the_same_revision_is_from_another_past(scene: Scene) -> None:
    scene.put(**accepted(ACCEPTED_AT, text=OLDER))
    assert scene.read().state.store_rolled_back


def test_what_comes_later_is_followed(scene: Scene) -> None:
    scene.put(**accepted(ACCEPTED_AT + 1, text=OLDER), **assigned(ACCEPTED_AT + 1, 0))
    state = scene.read().state
    assert state.accepted is not None
    assert (state.accepted.revision, state.store_rolled_back, state.assignment_held) == (
        ACCEPTED_AT + 1,
        "",
        False,
    )
    assert state.assignment is not None
    assert state.assignment.replicas == ()


def test_a_later_epoch_counts_more_than_any_revision(scene: Scene) -> None:
    scene.store.etcd.wipe()
    scene.read()
    scene.put(**accepted(2, epoch=1), **assigned(2, 1))
    state = scene.read().state
    assert state.accepted is not None
    assert (state.accepted.revision, state.epoch, state.store_rolled_back) == (2, 1, "")
    assert state.assignment is not None
    assert state.assignment.replicas == ()
    scene.put(**accepted(100, epoch=0))
    assert scene.read().state.epoch == 1


def test_the_old_assignment_is_held_until_one_of_the_new_epoch_is_there(scene: Scene) -> None:
    scene.store.etcd.wipe()
    scene.put(**accepted(2, epoch=1))
    state = scene.read().state
    assert (state.epoch, state.store_rolled_back) == (1, "")
    assert (scene.read().state.assignment, scene.read().state.assignment_held) == (MINE, True)
    scene.put(**assigned(2, 1, REPLICA))
    state = scene.read().state
    assert state.assignment is not None
    assert (state.assignment.epoch, state.assignment_held) == (1, False)


def test_an_old_document_in_a_restored_etcd_waits_and_one_put_after_that_was_noticed_does_not(
    scene: Scene,
) -> None:
    scene.store.etcd.wipe()
    scene.put(**{KEYS.intent: OLDER.encode()})
    assert not scene.read().state.confirmed
    scene.put(**{KEYS.verdict: GOOD[KEYS.verdict]})
    assert not scene.read().state.confirmed
    scene.put(**{KEYS.intent: OLDER.encode()})
    assert scene.read().state.confirmed


def test_the_accepted_document_needs_no_confirmation(scene: Scene) -> None:
    scene.store.etcd.wipe()
    scene.put(**{KEYS.intent: DOCUMENT.encode()})
    assert scene.read().state.confirmed


def test_an_etcd_that_is_wiped_twice_is_noticed_twice(scene: Scene) -> None:
    scene.store.etcd.wipe()
    scene.put(**dict.fromkeys((f"{KEYS.root}x{number}" for number in range(50)), b""))
    scene.read()
    scene.store.etcd.wipe()
    scene.read()
    scene.put(**{KEYS.intent: OLDER.encode()})
    assert scene.read().state.confirmed


def test_a_declared_host_whose_assignment_is_deleted_goes_on_with_its_last_one(scene: Scene) -> None:
    for replicas in ((), (REPLICA,)):
        scene.put(**assigned(ACCEPTED_AT, 0, *replicas))
        last = scene.read().state.assignment
        scene.delete(KEYS.assignment(ME))
        state = scene.read().state
        assert (state.assignment, state.assignment_held) == (last, True)
        assert "it was deleted" in dict(state.unreadable)[KEYS.assignment(ME)]


def test_a_host_that_the_document_does_not_name_is_not_held_to_what_it_was_assigned(scene: Scene) -> None:
    without = document(DOCUMENT, hosts={ME: None})
    scene.put(**accepted(ACCEPTED_AT + 1, text=without))
    scene.delete(KEYS.assignment(ME))
    assert scene.read().state.assignment is None


def test_a_record_of_another_swarm_is_not_followed_while_etcd_has_gone_back(scene: Scene) -> None:
    scene.store.etcd.wipe()
    scene.put(**{KEYS.swarm: encode(SwarmRecord(claimed_by=ME, swarm_id="older"))})
    assert scene.read().state.record == RECORDS[KEYS.swarm]


def test_an_etcd_that_is_behind_what_it_was_says_nothing_that_counts_before_the_next_epoch(
    scene: Scene,
) -> None:
    """Restored with the same accepted document, from before the last assignment of it."""
    backup = scene.store.etcd.backup()
    scene.put(**assigned(ACCEPTED_AT, 0))
    newest = scene.read().state.assignment
    was = scene.store.etcd.revision
    scene.store.etcd.restore(backup)
    state = scene.read().state
    assert state.store_rolled_back == f"it is at revision {backup[0]} and was at {was}"
    assert state.confirmed
    assert (state.assignment, state.assignment_held) == (newest, True)
    for _ in range(5):
        scene.put(**assigned(ACCEPTED_AT, 0, REPLICA))
    assert scene.store.etcd.revision > was
    assert scene.read().state.assignment == newest
    scene.put(**accepted(ACCEPTED_AT, epoch=1), **assigned(ACCEPTED_AT, 1, REPLICA))
    state = scene.read().state
    assert state.assignment is not None
    assert (state.store_rolled_back, state.assignment.replicas, state.assignment_held) == (
        "",
        (REPLICA,),
        False,
    )


def test_an_agent_started_since_knows_an_earlier_assignment_of_the_same_document_by_its_revision(
    scene: Scene,
) -> None:
    backup = scene.store.etcd.backup()
    scene.put(**assigned(ACCEPTED_AT, 0))
    restart(scene)
    scene.store.etcd.restore(backup)
    state = scene.read().state
    assert state.store_rolled_back.startswith("this host's assignment is from revision")
    assert state.assignment is not None
    assert state.assignment.replicas == ()
    scene.put(**accepted(ACCEPTED_AT, epoch=1))
    state = scene.read().state
    assert (state.store_rolled_back, state.assignment_held) == ("", True)


def test_a_restart_of_the_agent_is_not_taken_for_an_etcd_that_went_back(scene: Scene) -> None:
    """Also where what is kept besides is from the etcd that was before the last epoch began."""
    scene.store.etcd.wipe()
    scene.read()
    scene.put(**accepted(2, epoch=1))
    restart(scene)
    assert scene.read().state.store_rolled_back == ""


def test_it_is_told_whether_etcd_has_what_is_accepted(scene: Scene) -> None:
    assert not scene.read().state.accepted_held
    scene.put(**{KEYS.accepted: b"\x00"})
    assert scene.read().state.accepted_held
    scene.delete(KEYS.accepted)
    assert scene.read().state.accepted_held


# ---- Who has the rights of an agent writes `accepted`, and cannot write `intent`

FORGED = document(DOCUMENT, services={"miner": {"image": "registry.example/miner:1", "x-hosts": {ME: 1}}})
LATEST = 2**63 - 1


def forged(scene: Scene, revision: int, epoch: int = 0, text: str = FORGED) -> ClusterState:
    """What the host reads when it is written to `accepted`."""
    scene.forge(KEYS.accepted, encode(Accepted(revision=revision, document=text, epoch=epoch)))
    return scene.read().state


@pytest.mark.parametrize("restarted", [False, True])
@pytest.mark.parametrize(
    ("revision", "epoch"), [(ACCEPTED_AT + 1, 0), (LATEST, 0), (ACCEPTED_AT + 1, 1), (2, 1), (ACCEPTED_AT, 1)]
)
def test_a_document_that_no_operator_put_does_not_count(
    scene: Scene, revision: int, epoch: int, restarted: bool
) -> None:
    if restarted:
        restart(scene)
    before = scene.read().state
    state = forged(scene, revision, epoch)
    assert (state.accepted_text, state.epoch, state.store_rolled_back) == (DOCUMENT, 0, "")
    assert (state.accepted_doubt, state.assignment) == ("forged", before.assignment)
    ((key, problem),) = state.unreadable
    assert key == KEYS.accepted
    assert f"history of intent does not have it at revision {revision}" in problem
    assert forged(scene, ACCEPTED_AT, text=DOCUMENT).unreadable == ()


def test_the_next_document_of_an_operator_counts_after_a_forged_one_of_any_revision(scene: Scene) -> None:
    forged(scene, LATEST, LATEST)
    scene.put(**{KEYS.intent: OLDER.encode()})
    put = scene.store.etcd.revision
    forged(scene, LATEST, 1)
    state = forged(scene, put, text=OLDER)
    assert (state.accepted_text, state.accepted_doubt) == (OLDER, "")


def test_an_earlier_document_of_the_operator_counts_in_no_later_epoch(scene: Scene) -> None:
    scene.put(**{KEYS.intent: OLDER.encode()})
    put = scene.store.etcd.revision
    forged(scene, put, text=OLDER)
    state = forged(scene, ACCEPTED_AT, 1, DOCUMENT)
    assert (state.accepted_text, state.accepted_doubt) == (OLDER, "forged")


def test_an_epoch_that_leaves_no_later_one_does_not_count(scene: Scene) -> None:
    state = forged(scene, ACCEPTED_AT, LATEST, DOCUMENT)
    assert (state.epoch, state.accepted_doubt) == (0, "forged")


def test_a_document_counts_that_the_operator_has_replaced_since(scene: Scene) -> None:
    scene.put(**{KEYS.intent: OLDER.encode()})
    put = scene.store.etcd.revision
    scene.put(**{KEYS.intent: b"refused"})
    state = forged(scene, put, text=OLDER)
    assert (state.accepted_text, state.accepted_doubt) == (OLDER, "")


def test_a_document_that_etcd_has_compacted_counts_only_where_it_was_checked_before(scene: Scene) -> None:
    scene.put(**{KEYS.intent: OLDER.encode()})
    put = scene.store.etcd.revision
    scene.put(**{KEYS.intent: b"refused"})
    scene.store.etcd.compact()
    state = forged(scene, put, text=OLDER)
    assert (state.accepted_text, state.accepted_doubt) == (DOCUMENT, "compacted")
    assert "apply the document again" in dict(state.unreadable)[KEYS.accepted]
    shown = ClusterReader(KEYS, "").read(scene.store, None, frozenset()).state
    assert (shown.accepted_text, shown.unreadable) == (OLDER, ())

    scene.put(**{KEYS.intent: OLDER.encode()})
    put = scene.store.etcd.revision
    scene.put(**{KEYS.intent: b"refused"})
    assert forged(scene, put, text=OLDER).accepted_doubt == ""
    scene.store.etcd.compact()
    restart(scene)
    assert scene.read().state.accepted_text == OLDER


def test_etcd_is_asked_once_for_each_value(scene: Scene) -> None:
    scene.put(**{KEYS.intent: b"refused"})
    forged(scene, ACCEPTED_AT + 1)
    asked = scene.store.asked
    assert asked
    assert scene.read().state.accepted_doubt == "forged"
    assert scene.store.asked == asked


@pytest.mark.parametrize(("revision", "epoch"), [(ACCEPTED_AT + 1, 0), (ACCEPTED_AT, 1), (LATEST, LATEST)])
def test_an_assignment_of_a_document_that_is_not_accepted_does_not_count(
    scene: Scene, revision: int, epoch: int
) -> None:
    scene.forge(KEYS.assignment(ME), assigned(revision, epoch)[KEYS.assignment(ME)])
    state = scene.read().state
    assert (state.assignment, state.assignment_held) == (MINE, True)
    assert KEYS.assignment(ME) in dict(state.unreadable)
    scene.put(**assigned(ACCEPTED_AT))
    state = scene.read().state
    assert state.assignment is not None
    assert (state.assignment.replicas, state.unreadable) == ((), ())
