from agent.daemon.dispatcher import Backoff


def a_backoff(jitter: float = 1.0) -> Backoff:
    return Backoff(1.0, 60.0, lambda: jitter)


def test_the_wait_doubles_with_every_failure_up_to_the_bound() -> None:
    backoff = a_backoff()
    waits = [backoff.failed("c", "start", "no", 100.0).retry_at - 100.0 for _ in range(9)]
    assert waits == [1, 2, 4, 8, 16, 32, 60, 60, 60]


def test_jitter_takes_at_most_half_of_the_wait_away() -> None:
    assert a_backoff(0.0).failed("c", "start", "no", 0.0).retry_at == 0.5
    assert a_backoff(1.0).failed("c", "start", "no", 0.0).retry_at == 1.0


def test_a_failed_task_waits_and_another_task_on_the_same_resource_does_not() -> None:
    backoff = a_backoff()
    backoff.failed("c", "start", "no", 100.0)
    assert not backoff.ready("c", "start", 100.9)
    assert backoff.ready("c", "start", 101.0)
    assert backoff.ready("c", "replace", 100.0)
    assert backoff.ready("d", "start", 100.0)


def test_another_task_begins_to_count_from_zero() -> None:
    backoff = a_backoff()
    backoff.failed("c", "start", "no", 0.0)
    backoff.failed("c", "start", "no", 0.0)
    assert backoff.failed("c", "replace", "no", 0.0).attempts == 1


def test_success_forgets_the_failure() -> None:
    backoff = a_backoff()
    backoff.failed("c", "start", "no", 0.0)
    backoff.succeeded("c")
    assert backoff.failures == {}
    assert backoff.failed("c", "start", "no", 0.0).attempts == 1


def test_a_resource_that_nothing_is_planned_for_is_forgotten() -> None:
    backoff = a_backoff()
    backoff.failed("c", "start", "no", 0.0)
    backoff.failed("d", "start", "no", 0.0)
    backoff.forget(frozenset({"d"}))
    assert list(backoff.failures) == ["d"]


def test_a_new_intent_forgets_everything() -> None:
    backoff = a_backoff()
    backoff.failed("c", "start", "no", 0.0)
    backoff.reset()
    assert backoff.ready("c", "start", 0.0)


def test_the_next_retry_is_the_earliest_that_still_waits() -> None:
    backoff = a_backoff()
    assert backoff.next_retry(0.0) is None
    backoff.failed("c", "start", "no", 0.0)
    backoff.failed("d", "start", "no", 0.5)
    assert backoff.next_retry(0.25) == 0.75
    assert backoff.next_retry(1.25) == 0.25
    assert backoff.next_retry(2.0) is None
