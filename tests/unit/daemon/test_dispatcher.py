import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial

import pytest

from agent.daemon.dispatcher import Backoff, Dispatcher
from agent.errors import Refused, Stale, Unreachable
from agent.model.leader_steps import PublishAssignment, UpdateNode
from agent.model.plan import Outcome, Plan, Step
from agent.model.records import Assignment
from agent.model.steps import (
    JoinSwarm,
    PullImage,
    RemoveBridge,
    StartContainer,
    StopContainer,
    UnpauseContainer,
)

WITHIN_S = 5.0


class Stage:
    """Steps that begin when the dispatcher says so and end when the test says so."""

    def __init__(self) -> None:
        self.now = 0.0
        self.began: list[str] = []
        self.outcomes: list[Outcome] = []
        self.refuse: set[str] = set()
        self.changed: set[str] = set()
        self.away: set[str] = set()
        self.hold: dict[str, threading.Event] = {}
        self._changed = threading.Condition()

    def apply(self, step: Step) -> None:
        with self._changed:
            self.began.append(f"{step.verb} {step.resource}")
            self._changed.notify_all()
        if gate := self.hold.get(step.resource):
            assert gate.wait(WITHIN_S)
        if step.resource in self.away:
            raise Unreachable("connection refused")
        if step.resource in self.refuse:
            raise Refused("the engine says no")
        if step.resource in self.changed:
            raise Stale("the node has changed")

    def done(self, outcome: Outcome) -> None:
        with self._changed:
            self.outcomes.append(outcome)
            self._changed.notify_all()

    def tried(self, times: int) -> bool:
        return len(self.outcomes) == times

    def until(self, condition: Callable[[], bool]) -> None:
        with self._changed:
            assert self._changed.wait_for(condition, WITHIN_S), (self.began, self.outcomes)

    @contextmanager
    def dispatcher(self) -> Iterator[Dispatcher]:
        backoff = Backoff(1.0, 60.0, lambda: 1.0)
        dispatcher = Dispatcher(self.apply, self.done, backoff, lambda: self.now, workers=4, pulls=2)
        try:
            yield dispatcher
        finally:
            for gate in self.hold.values():
                gate.set()
            assert dispatcher.close(WITHIN_S)


@pytest.fixture
def stage() -> Stage:
    return Stage()


def start(name: str) -> StartContainer:
    return StartContainer(name=name, reason="it is not running")


def a_join() -> JoinSwarm:
    return JoinSwarm(
        role="worker", advertise="10.0.0.1", remotes=("10.0.0.2:2377",), token="t", reason="declared"
    )


def held(stage: Stage, *resources: str) -> None:
    stage.hold |= {resource: threading.Event() for resource in resources}


def test_steps_of_different_containers_run_side_by_side(stage: Stage) -> None:
    held(stage, "container/a", "container/b")
    with stage.dispatcher() as dispatcher:
        dispatcher.dispatch(Plan((start("a"), start("b"))))
        stage.until(lambda: sorted(stage.began) == ["start container/a", "start container/b"])


def test_steps_of_one_container_run_in_order(stage: Stage) -> None:
    stop = StopContainer(name="a", id="1", grace_s=1, reason="changed")
    with stage.dispatcher() as dispatcher:
        dispatcher.dispatch(Plan((stop, start("a"))))
        stage.until(lambda: len(stage.outcomes) == 2)
    assert stage.began == ["stop container/a", "start container/a"]


def test_the_first_failure_ends_the_chain_of_its_container_and_no_other(stage: Stage) -> None:
    stage.refuse = {"container/a"}
    stop = StopContainer(name="a", id="1", grace_s=1, reason="changed")
    with stage.dispatcher() as dispatcher:
        dispatcher.dispatch(Plan((stop, start("a"), start("b"))))
        stage.until(lambda: len(stage.outcomes) == 2)
    assert sorted(stage.began) == ["start container/b", "stop container/a"]
    assert {each.step.resource: each.error for each in stage.outcomes} == {
        "container/a": "the engine says no",
        "container/b": "",
    }


def test_what_is_in_flight_is_not_started_again(stage: Stage) -> None:
    held(stage, "container/a")
    with stage.dispatcher() as dispatcher:
        dispatcher.dispatch(Plan((start("a"),)))
        stage.until(lambda: stage.began == ["start container/a"])
        dispatcher.begin_pass()
        dispatcher.dispatch(Plan((start("a"), start("b"))))
        stage.until(lambda: len(stage.outcomes) == 1)
        assert [step.resource for step in dispatcher.in_flight] == ["container/a"]
    assert stage.began == ["start container/a", "start container/b"]


def test_what_landed_during_the_pass_may_have_been_seen_half_done_and_waits_for_the_next(
    stage: Stage,
) -> None:
    with stage.dispatcher() as dispatcher:
        dispatcher.dispatch(Plan((start("a"),)))
        stage.until(lambda: len(stage.outcomes) == 1)
        dispatcher.dispatch(Plan((start("a"),)))  # planned from before it landed
        dispatcher.begin_pass()
        dispatcher.dispatch(Plan((start("a"),)))
        stage.until(lambda: len(stage.outcomes) == 2)
    assert len(stage.began) == 2


def test_a_barrier_waits_until_its_lane_is_quiet_and_then_runs_alone(stage: Stage) -> None:
    held(stage, "container/a", "swarm")
    plan = Plan((a_join(), start("b")))
    with stage.dispatcher() as dispatcher:
        dispatcher.dispatch(Plan((start("a"),)))
        stage.until(lambda: stage.began == ["start container/a"])
        dispatcher.dispatch(plan)
        assert len(dispatcher.in_flight) == 1
        stage.hold["container/a"].set()
        stage.until(lambda: len(stage.outcomes) == 1)
        dispatcher.dispatch(plan)  # planned from before it landed
        assert stage.began[-1] == "start container/a"
        dispatcher.begin_pass()
        dispatcher.dispatch(plan)
        stage.until(lambda: stage.began[-1] == "join swarm")
        dispatcher.dispatch(Plan((start("b"),)))
        assert [step.resource for step in dispatcher.in_flight] == ["swarm"]


def test_a_barrier_delays_neither_the_leader_nor_a_pull(stage: Stage) -> None:
    held(stage, "swarm")
    publish = PublishAssignment(
        host="h", assignment=Assignment(revision=1, project="p"), specs=(), reason="revision 1"
    )
    with stage.dispatcher() as dispatcher:
        dispatcher.dispatch(Plan((a_join(), publish, PullImage(image="i", reason="wanted"))))
        stage.until(lambda: len(stage.outcomes) == 2)
        assert [step.resource for step in dispatcher.in_flight] == ["swarm"]


def test_a_failure_is_tried_again_only_after_its_wait(stage: Stage) -> None:
    stage.refuse = {"container/a"}
    with stage.dispatcher() as dispatcher:
        for now, tries in ((0.0, 1), (0.5, 1), (1.0, 2), (2.0, 2), (3.0, 3)):
            stage.now = now
            dispatcher.begin_pass()
            dispatcher.dispatch(Plan((start("a"),)))
            stage.until(partial(stage.tried, tries))
            assert not dispatcher.in_flight
    assert [each.failure.attempts for each in stage.outcomes if each.failure] == [1, 2, 3]


def test_a_failure_during_a_pass_that_planned_nothing_for_what_was_in_flight_keeps_its_wait(
    stage: Stage,
) -> None:
    stage.refuse = {"container/a"}
    with stage.dispatcher() as dispatcher:
        dispatcher.begin_pass()
        dispatcher.dispatch(Plan((start("a"),)))
        stage.until(partial(stage.tried, 1))
        dispatcher.dispatch(Plan())  # looked at while the start was under way
        dispatcher.begin_pass()
        dispatcher.dispatch(Plan((start("a"),)))
        assert not dispatcher.in_flight
        dispatcher.begin_pass()
        dispatcher.dispatch(Plan())  # it runs after all
        assert not dispatcher.failures
    assert stage.began == ["start container/a"]


def test_another_task_for_a_failed_container_is_tried_at_once(stage: Stage) -> None:
    stage.refuse = {"container/a"}
    with stage.dispatcher() as dispatcher:
        dispatcher.dispatch(Plan((start("a"),)))
        stage.until(lambda: len(stage.outcomes) == 1)
        dispatcher.begin_pass()
        dispatcher.dispatch(Plan((UnpauseContainer(name="a", id="1", reason="it is paused"),)))
        stage.until(lambda: len(stage.outcomes) == 2)
    assert stage.began == ["start container/a", "unpause container/a"]


def test_a_barrier_in_back_off_holds_nobody_up_until_it_is_tried_again(stage: Stage) -> None:
    stage.refuse = {"swarm"}
    with stage.dispatcher() as dispatcher:
        dispatcher.dispatch(Plan((a_join(), start("a"))))
        stage.until(partial(stage.tried, 1))
        assert stage.began == ["join swarm"]

        dispatcher.begin_pass()
        dispatcher.dispatch(Plan((a_join(), start("a"))))
        stage.until(partial(stage.tried, 2))
        assert stage.began[1:] == ["start container/a"]

        stage.now = 1.0
        dispatcher.begin_pass()
        dispatcher.dispatch(Plan((a_join(), start("b"))))
        stage.until(partial(stage.tried, 3))
        assert stage.began[2:] == ["join swarm"]


def test_behind_a_barrier_in_back_off_another_barrier_gets_the_disruption_slot(stage: Stage) -> None:
    bridge = RemoveBridge(id="b", reason="there are 2")
    stage.refuse = {"swarm"}
    with stage.dispatcher() as dispatcher:
        dispatcher.dispatch(Plan((a_join(), bridge)))
        stage.until(partial(stage.tried, 1))
        dispatcher.begin_pass()
        dispatcher.dispatch(Plan((a_join(), bridge)))
        stage.until(partial(stage.tried, 2))
    assert stage.began == ["join swarm", "remove network/docker_gwbridge"]


def test_a_fault_of_ours_is_an_outcome_and_costs_no_worker(stage: Stage) -> None:
    def broken(step: Step) -> None:
        raise ZeroDivisionError(step.resource)

    stage.apply = broken  # type: ignore[method-assign]
    with stage.dispatcher() as dispatcher:
        dispatcher.dispatch(Plan((start("a"),)))
        stage.until(lambda: len(stage.outcomes) == 1)
    assert stage.outcomes[0].error == "ZeroDivisionError: container/a"
    assert isinstance(stage.outcomes[0].unexpected, ZeroDivisionError)


def test_nothing_starts_after_close(stage: Stage) -> None:
    with stage.dispatcher() as dispatcher:
        assert dispatcher.close(WITHIN_S)
        dispatcher.dispatch(Plan((start("a"),)))
        assert not dispatcher.in_flight
    assert stage.began == []


def pulls(*images: str) -> Plan:
    return Plan(tuple(PullImage(image=each, reason="wanted") for each in images))


def again(stage: Stage, dispatcher: Dispatcher, plan: Plan) -> None:
    dispatcher.begin_pass()
    dispatcher.dispatch(plan)


def test_a_registry_that_does_not_answer_is_tried_by_one_pull_at_a_time(stage: Stage) -> None:
    three = pulls("dead:5000/a:1", "dead:5000/b:1", "dead:5000/c:1")
    stage.away = {step.resource for step in three.steps}
    with stage.dispatcher() as dispatcher:
        again(stage, dispatcher, three)
        stage.until(lambda: stage.tried(3))  # nobody knew
        for number in range(5):
            stage.now += 60.0
            again(stage, dispatcher, three)
            stage.until(lambda number=number: stage.tried(4 + number))  # type: ignore[misc]
            again(stage, dispatcher, three)
        assert dispatcher.failures["registry/dead:5000"].error == "connection refused"
    assert len(stage.began) == 8


def test_a_dead_registry_delays_no_other(stage: Stage) -> None:
    stage.away = {"image/dead:5000/a:1"}
    with stage.dispatcher() as dispatcher:
        again(stage, dispatcher, pulls("dead:5000/a:1"))
        stage.until(lambda: stage.tried(1))
        again(stage, dispatcher, pulls("dead:5000/a:1", "dead:5000/b:1", "order:1"))
        stage.until(lambda: stage.tried(2))
    assert stage.began == ["pull image/dead:5000/a:1", "pull image/order:1"]


@pytest.mark.parametrize("refused", [True, False])
def test_a_registry_that_answers_again_is_open_to_all_whatever_it_says(stage: Stage, refused: bool) -> None:
    both = pulls("dead:5000/a:1", "dead:5000/b:1")
    stage.away = {step.resource for step in both.steps}
    with stage.dispatcher() as dispatcher:
        again(stage, dispatcher, both)
        stage.until(lambda: stage.tried(2))
        stage.now += 60.0
        stage.away = set()
        stage.refuse = {"image/dead:5000/a:1"} if refused else set()
        again(stage, dispatcher, both)
        stage.until(lambda: stage.tried(3))
        again(stage, dispatcher, pulls("dead:5000/b:1"))
        stage.until(lambda: stage.tried(4))
        assert "registry/dead:5000" not in dispatcher.failures


def test_what_was_stale_ends_its_chain_has_not_failed_and_is_tried_at_once_when_it_is_planned_again(
    stage: Stage,
) -> None:
    stage.changed = {"node/n"}
    chain = Plan(tuple(UpdateNode(node_id="n", host="h1", version=1, reason=each) for each in ("one", "two")))
    with stage.dispatcher() as dispatcher:
        dispatcher.dispatch(chain)
        stage.until(lambda: stage.tried(1))
        (outcome,) = stage.outcomes
        assert (outcome.error, outcome.stale, outcome.succeeded) == ("", "the node has changed", False)
        assert (dispatcher.failures, dispatcher.next_retry()) == ({}, None)

        stage.changed.clear()
        dispatcher.begin_pass()
        dispatcher.dispatch(chain)
        stage.until(lambda: stage.tried(3))
    assert [each.succeeded for each in stage.outcomes] == [False, True, True]


def test_another_version_of_a_node_makes_no_other_step() -> None:
    step = UpdateNode(node_id="n", host="h1", version=1, reason="r")
    assert (replace(step, version=2), str(replace(step, version=2))) == (step, str(step))
