"""Docker's errors of a start that failed for the task of an earlier run, beside those that are like them."""

from typing import Any

import pytest

from agent.diff.replicas import LEFT_S, with_left_task
from agent.model.records import seconds_of
from tests.support.builders import container

ENDED_AT = "2026-11-30T04:09:08.479298313Z"
ENDED = seconds_of(ENDED_AT) or 0.0
ID = container().id
TASK = f"task {ID}: already exists"
NEWER = f"failed to create task for container: task {ID}: already exists"
PROCESSES = "id already in use"


def left(error: str, *, processes: bool | None = False, after_s: float = LEFT_S, **fields: Any) -> str:
    found = container(1, **{"status": "exited", "error": error, "finished_at": ENDED_AT, **fields})
    return with_left_task(found, lambda which: processes if which == ID else True, ENDED + after_s).left_task


@pytest.mark.parametrize("error", [TASK, NEWER])
def test_a_task_without_a_process_counts_once_the_run_has_been_over_for_a_while(error: str) -> None:
    assert left(error, after_s=LEFT_S - 1) == ""
    assert left(error) == "empty"


def test_the_task_of_a_container_that_never_ran_counts_at_once() -> None:
    assert left(TASK, status="created", finished_at="", after_s=0.0) == "empty"


@pytest.mark.parametrize("processes", [True, None])
@pytest.mark.parametrize("error", [TASK, NEWER, PROCESSES])
def test_a_container_with_processes_or_maybe_with_some_is_alive(error: str, processes: bool | None) -> None:
    assert left(error, processes=processes, after_s=0.0) == "alive"


def test_once_the_processes_have_ended_docker_can_start_the_container() -> None:
    assert left(PROCESSES) == ""


@pytest.mark.parametrize(
    "error",
    [
        "",
        "task fedcba9876543210: already exists",
        f"task {ID}: not found",
        "network with name my-overlay already exists",
        "endpoint with name prod-order-1 already exists in network my-overlay",
        'Conflict. The container name "/prod-order-1" is already in use',
        "Address already in use",
        "driver failed programming external connectivity: id already in use by another",
        "mkdir /var/lib/docker/volumes/data: already exists",
    ],
)
def test_other_errors_are_about_no_task_and_nobody_looks_for_processes(error: str) -> None:
    asked: list[str] = []
    found = container(status="exited", error=error, finished_at=ENDED_AT)

    def ask(which: str) -> bool:
        asked.append(which)
        return True

    assert with_left_task(found, ask, ENDED + LEFT_S) == found
    assert asked == []


@pytest.mark.parametrize("status", ["running", "removing", "dead"])
def test_only_a_container_that_is_down_is_meant(status: str) -> None:
    assert left(TASK, processes=True, status=status) == ""
