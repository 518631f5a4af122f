"""Histories that once came to a bad end, each by its name."""

from collections.abc import Callable

from tests.simulated_cluster import SimulatedHost
from tests.simulation.history import history

MANAGERS_ALL, FIRST_A_WORKER = 0, 1
"""Numbers of documents (documents.wish)."""


def test_the_maker_of_the_swarm_is_declared_a_worker_before_it_could_record_it() -> None:
    """It waited for the role of a manager, and whoever led waited for it, as it had claimed the init."""
    with history(3, begun=False, first=MANAGERS_ALL) as told:
        told.happens([("round", 0, 0)])
        until_made(told.world.hosts["node-231"], lambda: told.turn("node-231"))
        told.happens(
            [("put", 0, FIRST_A_WORKER), ("crash", 0, 0)]
        )  # accepted, but the swarm is not recorded yet
        record = told.world.record()
        assert record is not None
        assert (record.claimed_by, record.swarm_id) == ("node-231", None)
        told.rest(FIRST_A_WORKER)


def until_made(host: SimulatedHost, turn: Callable[[], object]) -> None:
    """Take turns until the host has made a swarm; what it knows of it then it has told nobody yet."""
    for _ in range(10):
        turn()
        if host.swarm_id:
            return
    raise AssertionError("no swarm was made")
