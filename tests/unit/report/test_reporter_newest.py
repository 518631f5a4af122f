import threading

from agent.report.status_key import LatestOnly

WITHIN_S = 5.0


def test_of_jobs_that_come_while_one_is_done_only_the_newest_is_done() -> None:
    newest, done = LatestOnly(0.0), list[str]()
    began, gate = threading.Event(), threading.Event()

    def first() -> None:
        began.set()
        assert gate.wait(WITHIN_S)
        done.append("first")

    newest(first)
    assert began.wait(WITHIN_S)
    newest(lambda: done.append("second"))
    newest(lambda: done.append("third"))
    gate.set()
    newest.close()
    assert done == ["first", "third"]


def test_what_was_asked_for_before_the_end_is_still_done_whatever_the_pause() -> None:
    newest, done = LatestOnly(3600.0), list[str]()
    first = threading.Event()
    newest(first.set)
    assert first.wait(WITHIN_S)
    newest(lambda: done.append("last"))
    newest.close()
    assert done == ["last"]


def test_a_job_that_fails_keeps_no_later_one_from_being_done() -> None:
    newest, done = LatestOnly(0.0), threading.Event()
    began = threading.Event()

    def failing() -> None:
        began.set()
        raise ValueError("unforeseen")

    newest(failing)
    assert began.wait(WITHIN_S)
    newest(done.set)
    newest.close()
    assert done.is_set()
