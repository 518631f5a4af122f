from agent.report.counters import ReplicaChange, Replicas
from tests.support.scenes import container

LATER = "2026-01-01T10:00:30Z"


def test_nothing_happened_to_a_replica_that_runs_on() -> None:
    replicas = Replicas()
    replicas.compare((container(1),))

    assert replicas.compare((container(1),)) == ()


def test_what_happened_before_the_first_look_is_not_counted() -> None:
    assert Replicas().compare((container(1, restarts=40),)) == ()


def test_dockers_own_restarts_are_counted() -> None:
    replicas = Replicas()
    replicas.compare((container(1, restarts=2),))

    assert replicas.compare((container(1, restarts=5, started_at=LATER),)) == (
        ReplicaChange("order", 1, 3, False),
    )


def test_a_replica_started_again_by_hand_or_by_us_was_restarted_once() -> None:
    replicas = Replicas()
    replicas.compare((container(1, restarts=4),))

    assert replicas.compare((container(1, restarts=0, started_at=LATER),)) == (
        ReplicaChange("order", 1, 1, False),
    )


def test_the_first_start_of_a_created_replica_is_no_restart() -> None:
    replicas = Replicas()
    replicas.compare((container(1, status="created", started_at="0001-01-01T00:00:00Z"),))

    assert replicas.compare((container(1),)) == ()


def test_a_new_container_in_the_place_of_another_is_no_restart() -> None:
    replicas = Replicas()
    replicas.compare((container(1),))

    assert replicas.compare((container(1, id="another", started_at=LATER),)) == ()


def test_a_replica_that_fails_as_soon_as_it_began_did_not_come_up() -> None:
    replicas = Replicas()
    replicas.compare(())
    ended = container(1, status="exited", exit_code=1, finished_at="2026-01-01T10:00:02.5Z")

    assert replicas.compare((ended,)) == (ReplicaChange("order", 1, 0, True),)
    assert replicas.compare((ended,)) == ()


def test_a_replica_that_ran_for_long_came_up() -> None:
    replicas = Replicas()
    replicas.compare(())

    assert replicas.compare((container(1, status="exited", exit_code=1, finished_at=LATER),)) == ()


def test_a_replica_that_ends_well_at_once_had_little_to_do() -> None:
    replicas = Replicas()
    replicas.compare(())

    assert replicas.compare((container(1, status="exited", finished_at="2026-01-01T10:00:01Z"),)) == ()


def test_a_replica_that_the_agent_stops_soon_after_its_start_did_not_fail() -> None:
    replicas = Replicas()
    replicas.compare(())
    ended = container(1, status="exited", exit_code=143, finished_at="2026-01-01T10:00:01Z", interrupted=True)

    assert replicas.compare((ended,)) == ()
