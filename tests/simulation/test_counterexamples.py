"""Histories that once came to a bad end, each by its name."""

import pytest

from tests.simulation.documents import document, wish
from tests.simulation.history import history

MANAGERS_ALL, FIRST_A_WORKER, FIRST_TAKEN_OUT = 0, 1, 204
"""Numbers of documents (documents.wish)."""


def test_the_maker_of_the_swarm_is_declared_a_worker_before_it_could_record_it() -> None:
    """It waited for the role of a manager, and whoever led waited for it, as it had claimed the init."""
    with history(3, begun=False, first=MANAGERS_ALL) as told:
        told.happens([("round", 0, 0)])
        for _ in range(10):
            if not told.world.hosts["node-231"].swarm_id:
                told.turn("node-231")
        told.world.put_intent(document(wish(FIRST_A_WORKER, 3), told.world.names))
        told.happens([("crash", 0, 1)])  # accepted, but the swarm is not recorded yet
        accepted, record = told.world.accepted(), told.world.record()
        assert accepted is not None
        assert "role: worker" in accepted.document
        assert record is not None
        assert (record.claimed_by, record.swarm_id) == ("node-231", None)
        told.start("node-231")
        told.settle()
        told.rest(FIRST_A_WORKER)


@pytest.mark.parametrize("last", [FIRST_A_WORKER, FIRST_TAKEN_OUT], ids=["declared a worker", "taken out"])
def test_who_claimed_the_init_is_no_manager_any_more_before_it_could_make_the_swarm(last: int) -> None:
    """It could not lead any more to make it, and whoever led waited for it, as it was still there."""
    with history(3, begun=False, first=MANAGERS_ALL) as told:
        for _ in range(10):
            if told.world.record() is None:
                told.happens([("round", 0, 0)])
        record = told.world.record()
        assert record is not None
        assert (record.claimed_by, told.world.hosts["node-231"].swarm_id) == ("node-231", None)
        told.rest(last)
        assert len(told.world.swarms) == 1


@pytest.mark.parametrize(
    "last", [MANAGERS_ALL, FIRST_A_WORKER, FIRST_TAKEN_OUT], ids=["manager", "worker", "out"]
)
def test_who_made_the_swarm_is_away_before_it_could_record_it_and_another_is_made(last: int) -> None:
    """Both were right to make one. The one that is not recorded stayed for ever, and its host with it."""
    with history(3, begun=False, first=MANAGERS_ALL) as told:
        for _ in range(10):
            if not told.world.hosts["node-231"].swarm_id:
                told.turn("node-231")
                told.happens([("turn", each, 0) for each in (1, 2)])
        told.happens([("power_is_cut", 0, 0), ("time_passes", 0, 2), *[("round", 0, 0)] * 6])
        assert len(told.world.swarms) == 2
        told.rest(last)
        assert len(told.world.swarms) == 1
