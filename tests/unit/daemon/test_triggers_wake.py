import threading

from agent.daemon.triggers import WakeUps


def test_a_reason_given_before_the_wait_is_not_lost() -> None:
    wake = WakeUps()
    wake.wake("etcd")
    assert wake.wait(0.0) == {"etcd"}


def test_without_a_reason_the_wait_ends_empty() -> None:
    assert WakeUps().wait(0.01) == frozenset()


def test_reasons_are_handed_over_once() -> None:
    wake = WakeUps()
    wake.wake("etcd")
    wake.wait(0.0)
    assert wake.wait(0.0) == frozenset()


def test_a_burst_is_gathered_into_one_wake_up() -> None:
    wake = WakeUps()
    wake.wake("first")
    late = threading.Timer(0.02, wake.wake, ["second"])
    late.start()
    assert wake.wait(1.0, settle_s=0.5) == {"first", "second"}
    late.join()


def test_a_waiting_loop_is_woken_at_once_from_another_thread() -> None:
    wake = WakeUps()
    got: list[frozenset[str]] = []
    waiter = threading.Thread(target=lambda: got.append(wake.wait(30.0)))
    waiter.start()
    wake.wake("docker")
    waiter.join(5.0)
    assert got == [{"docker"}]


def test_what_can_wait_is_gathered_and_what_cannot_takes_it_along() -> None:
    wake = WakeUps()
    wake.wake("a host", 60.0)
    assert wake.wait(0.01) == frozenset()
    wake.wake("intent")
    assert wake.wait(0.0) == {"a host", "intent"}


def test_what_can_wait_wakes_by_itself_when_its_time_has_come() -> None:
    wake = WakeUps()
    wake.wake("a host", 0.02)
    assert wake.wait(5.0) == {"a host"}
    assert wake.wait(0.0) == frozenset()
