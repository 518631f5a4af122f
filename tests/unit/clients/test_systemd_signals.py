import signal
import threading
import time
from collections.abc import Iterator

import pytest

from agent.clients.systemd import EndSignals

SOON_S = 5.0
LONG_S = 30.0


@pytest.fixture
def signals() -> Iterator[EndSignals]:
    before = [(number, signal.getsignal(number)) for number in (signal.SIGTERM, signal.SIGINT)]
    yield EndSignals()
    signal.set_wakeup_fd(-1)
    for number, handler in before:
        signal.signal(number, handler)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_that_another_thread_gets_ends_the_wait_at_once(
    signals: EndSignals, number: signal.Signals
) -> None:
    waiting = threading.Event()

    def signal_myself() -> None:
        waiting.wait()
        signal.pthread_kill(threading.get_ident(), number)

    thread = threading.Thread(target=signal_myself)
    thread.start()
    start = time.monotonic()
    waiting.set()
    assert signals.wait(LONG_S)
    assert time.monotonic() - start < SOON_S
    thread.join()


def test_a_signal_from_before_the_wait_ends_it_at_once(signals: EndSignals) -> None:
    signal.raise_signal(signal.SIGTERM)
    start = time.monotonic()
    assert signals.wait(LONG_S)
    assert time.monotonic() - start < SOON_S


def test_without_a_signal_the_wait_ends_in_time_with_no(signals: EndSignals) -> None:
    assert not signals.wait(0.01)


def test_another_signal_does_not_ask_to_end(signals: EndSignals) -> None:
    before = signal.signal(signal.SIGUSR1, lambda *_: None)
    try:
        signal.raise_signal(signal.SIGUSR1)
        assert not signals.wait(0.01)
    finally:
        signal.signal(signal.SIGUSR1, before)
