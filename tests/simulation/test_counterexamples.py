"""Histories that once came to a bad end, each by its name."""

from tests.simulation.documents import document, wish
from tests.simulation.history import history

MANAGERS_ALL, FIRST_A_WORKER = 0, 1
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
