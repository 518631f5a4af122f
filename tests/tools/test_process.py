"""What bench/agent reads of a process."""

import os
import threading

from bench.process import Thread, memory, threads, used_between
from bench.run_agent import counts, unit_environment
from tests.support.etcd_server import eventually


def thread(cpu_s: float, wake_ups: int) -> Thread:
    return Thread(count=1, cpu_s=cpu_s, wake_ups=wake_ups)


def test_threads_of_one_name_are_one_line_and_new_ones_count_from_their_start() -> None:
    before = {(1, "pool"): thread(1.0, 10), (2, "pool"): thread(2.0, 20), (3, "gone"): thread(9.0, 90)}
    after = {(1, "pool"): thread(1.5, 15), (2, "pool"): thread(2.0, 20), (4, "new"): thread(0.5, 70)}
    assert used_between(before, after) == {
        "new": Thread(count=1, cpu_s=0.5, wake_ups=70),
        "pool": Thread(count=2, cpu_s=0.5, wake_ups=5),
    }


def test_a_thread_that_waits_again_and_again_has_as_many_wake_ups() -> None:
    stop, waited = threading.Event(), []

    def wait() -> None:
        while not stop.wait(0.01):
            waited.append(True)

    waiting = threading.Thread(target=wait)
    before = threads(os.getpid())
    waiting.start()
    eventually(lambda: len(waited) >= 20, 10)
    found = used_between(before, threads(os.getpid()))
    stop.set()
    waiting.join()
    assert sum(each.wake_ups for each in found.values()) >= 20


def test_memory_is_in_megabytes() -> None:
    found = memory()
    assert 5 < found.anonymous <= found.rss < 2000
    assert found.pss <= found.rss


def test_the_metrics_lose_the_labels_that_all_have() -> None:
    assert counts('# HELP a\na{cluster="c",host="h",call="info"} 3.0\n') == {'a{call="info"}': 3.0}


def test_the_agent_gets_the_variables_of_the_unit() -> None:
    assert unit_environment()["MALLOC_ARENA_MAX"] == "2"
