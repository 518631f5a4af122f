from agent.report.counters import Copies, ReplicaChange
from tests.support.scenes import container

LATER = "2026-01-01T10:00:30Z"


def test_nothing_happened_to_a_copy_that_runs_on() -> None:
    copies = Copies()
    copies.look((container(1),))

    assert copies.look((container(1),)) == ()


def test_what_happened_before_the_first_look_is_not_counted() -> None:
    assert Copies().look((container(1, restarts=40),)) == ()


def test_dockers_own_restarts_are_counted() -> None:
    copies = Copies()
    copies.look((container(1, restarts=2),))

    assert copies.look((container(1, restarts=5, started_at=LATER),)) == (
        ReplicaChange("order", 1, 3, False),
    )


def test_a_copy_started_again_by_hand_or_by_us_was_restarted_once() -> None:
    copies = Copies()
    copies.look((container(1, restarts=4),))

    assert copies.look((container(1, restarts=0, started_at=LATER),)) == (
        ReplicaChange("order", 1, 1, False),
    )


def test_the_first_start_of_a_created_copy_is_no_restart() -> None:
    copies = Copies()
    copies.look((container(1, status="created", started_at="0001-01-01T00:00:00Z"),))

    assert copies.look((container(1),)) == ()


def test_a_new_container_in_the_place_of_another_is_no_restart() -> None:
    copies = Copies()
    copies.look((container(1),))

    assert copies.look((container(1, id="another", started_at=LATER),)) == ()


def test_a_copy_that_fails_as_soon_as_it_began_did_not_come_up() -> None:
    copies = Copies()
    copies.look(())
    ended = container(1, status="exited", exit_code=1, finished_at="2026-01-01T10:00:02.5Z")

    assert copies.look((ended,)) == (ReplicaChange("order", 1, 0, True),)
    assert copies.look((ended,)) == ()


def test_a_copy_that_ran_for_long_came_up() -> None:
    copies = Copies()
    copies.look(())

    assert copies.look((container(1, status="exited", exit_code=1, finished_at=LATER),)) == ()


def test_a_copy_that_ends_well_at_once_had_little_to_do() -> None:
    copies = Copies()
    copies.look(())

    assert copies.look((container(1, status="exited", finished_at="2026-01-01T10:00:01Z"),)) == ()
