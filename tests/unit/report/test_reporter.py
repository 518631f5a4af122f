import threading
from collections.abc import Iterable

import pytest
from structlog.testing import capture_logs

from agent.model.faults import Fault
from agent.model.host_state import HostState
from agent.model.observed import Document, Observed
from agent.model.plan import Blocked, Failure, Outcome, Plan
from agent.model.records import encode
from agent.model.steps import PullImage, StartContainer
from agent.model.store import Put, Upkeep
from agent.planner import make_plan
from tests.support.scenes import FENCE, cluster, container, host, observed
from tests.unit.report.bench import STATUS_KEY, Bench

START = StartContainer(name="prod-order-1", reason="exited with 1")


@pytest.fixture
def bench() -> Bench:
    return Bench()


def refused(revision: int) -> Document:
    fault = Fault(
        path="services.x", value="", problem="unknown key 'x'", remedy="", kind="schema", line=1, column=1
    )
    return Document(revision=revision, intent=None, faults=(fault,))


# ---- the status key


def test_a_pass_is_written_to_etcd(bench: Bench) -> None:
    bench.passed(observed())

    status = bench.status()
    assert status is not None
    assert (status.revision, status.at) == (7, "1970-01-01T00:16:40Z")


def test_nothing_is_written_while_etcd_does_not_answer(bench: Bench) -> None:
    bench.passed(observed(stale=True))

    assert bench.status() is None


def test_a_restarted_agent_goes_on_from_its_last_status(bench: Bench) -> None:
    bench.passed(observed())
    bench.restart()

    bench.passed(observed(host=None))

    status = bench.status()
    assert status is not None
    assert status.revision == 7
    assert [each.name for each in status.replicas] == ["prod-order-1", "prod-order-2"]


@pytest.mark.parametrize("engine", [None, host(containers=())])
def test_so_does_one_that_finds_etcd_only_later(bench: Bench, engine: HostState | None) -> None:
    bench.passed(observed())
    bench.restart()
    bench.passed(observed(host=engine, stale=True))

    bench.passed(observed(host=engine))

    status = bench.status()
    assert status is not None
    assert status.revision == 7
    assert len(status.replicas) == (2 if engine is None else 0)


def test_a_status_of_another_format_is_overwritten(bench: Bench) -> None:
    bench.store.txn([], [Put(key=STATUS_KEY, value=b'{"v":99}')])

    bench.passed(observed())

    assert bench.status() is not None


def test_a_leader_that_ends_does_not_leave_its_name_behind(bench: Bench) -> None:
    bench.passed(observed(fence=FENCE))

    bench.reporter.close()

    status = bench.status()
    assert status is not None
    assert not status.leading
    assert status.stopped


def test_a_new_run_is_not_stopped(bench: Bench) -> None:
    bench.passed(observed())
    bench.reporter.close()
    bench.passed(observed())

    status = bench.status()
    assert status is not None
    assert not status.stopped


def test_an_etcd_that_goes_away_in_between_stops_no_pass(bench: Bench) -> None:
    bench.store.cut()

    with capture_logs() as lines:
        bench.passed(observed())
        bench.reporter.close()

    assert {line["log_level"] for line in lines} <= {"debug", "info", "warning"}


# ---- the metrics


def test_a_status_that_etcd_does_not_take_is_counted(bench: Bench) -> None:
    bench.passed(observed())
    assert bench.value("status_write_failures_total") == 0

    bench.store.cut()
    bench.reporter.close()

    assert bench.value("status_write_failures_total") == 1


def test_the_leader_exposes_the_cluster_and_no_other_agent_does(bench: Bench) -> None:
    bench.passed(observed(fence=FENCE))
    assert bench.value("cluster_hosts", state="Unknown") == 2  # they have not reported yet

    bench.passed(observed())

    assert bench.value("cluster_hosts", state="Unknown") is None
    assert bench.value("cluster_converged") is None


def test_what_the_leader_exposes_of_its_own_host_is_of_this_pass_and_not_of_its_last_report(
    bench: Bench,
) -> None:
    bench.passed(observed(fence=FENCE))
    reported = bench.status()
    assert reported is not None
    of_etcd = cluster(statuses={"node-a": reported}, present={"node-a": reported.instance})

    bench.passed(observed(fence=FENCE, cluster=of_etcd))
    assert bench.value("cluster_hosts", state="Degraded") == 0

    bench.passed(observed(fence=FENCE, cluster=of_etcd, host=None, engine_error="timeout"))
    assert bench.value("cluster_hosts", state="Degraded") == 1


def test_the_revisions_are_shown(bench: Bench) -> None:
    bench.passed(observed(cluster=cluster(document=refused(9))))

    assert [bench.value("intent_revision", kind=kind) for kind in ("seen", "accepted", "applied")] == [
        9,
        7,
        7,
    ]
    assert bench.value("intent_valid") == 0


def test_a_refused_document_is_counted_once(bench: Bench) -> None:
    for revision in (9, 9, 10):
        bench.passed(observed(cluster=cluster(document=refused(revision))))

    assert bench.value("intent_rejections_total", reason="schema") == 2


def test_drift_is_detected_dated_and_healed(bench: Bench) -> None:
    gone = observed(host=host(containers=(container(2),)))
    bench.passed(observed())
    bench.passed(gone)
    bench.passed(gone)

    series = {"kind": "container", "object": "prod-order-1", "field": "missing"}
    assert bench.value("drift", **series) == 1
    assert bench.value("drift_since_timestamp_seconds", kind="container", object="prod-order-1") == 1001
    assert bench.value("drift_detected_total", kind="container", field="missing") == 1

    bench.passed(observed())

    assert bench.value("drift", **series) is None
    assert bench.value("drift_healed_total", kind="container") == 1


def test_convergence_is_dated(bench: Bench) -> None:
    bench.passed(observed())
    bench.passed(observed(host=host(containers=())))

    assert bench.value("intent_applied_timestamp_seconds") == 1000
    assert bench.value("reconcile_last_success_timestamp_seconds") == 1001


def test_a_pass_without_dockerd_is_no_success(bench: Bench) -> None:
    bench.passed(observed())
    bench.passed(observed(host=None))

    assert bench.value("reconcile_last_success_timestamp_seconds") == 1000
    assert bench.value("reconcile_total", result="error") == 1
    assert bench.value("docker_up") == 0


@pytest.mark.parametrize(
    ("seen", "result"),
    [
        (observed(), "noop"),
        (observed(host=host(containers=())), "ok"),
        (observed(me="node-x"), "blocked"),
        (observed(stale=True), "error"),
    ],
)
def test_passes_are_counted_by_what_came_of_them(bench: Bench, seen: Observed, result: str) -> None:
    bench.passed(seen)

    results = {
        each: bench.value("reconcile_total", result=each) for each in ("ok", "noop", "blocked", "error")
    }
    assert results == {"ok": 0, "noop": 0, "blocked": 0, "error": 0} | {result: 1}


def test_a_pass_that_broke_counts_as_one_that_failed(bench: Bench) -> None:
    bench.reporter.pass_failed()
    assert bench.value("reconcile_total", result="error") == 1


def test_a_pass_while_something_fails_again_and_again_is_no_good_one(bench: Bench) -> None:
    failure = Failure(error="no", attempts=1, retry_at=0.0, task="start")

    bench.passed(observed(), {"container/prod-order-1": failure})

    assert bench.value("reconcile_total", result="error") == 1


def test_taking_the_lead_is_counted(bench: Bench) -> None:
    for fence in (None, FENCE, FENCE, None, FENCE):
        bench.passed(observed(fence=fence))

    assert bench.value("leader_changes_total") == 2
    assert bench.value("leader") == 1


def test_steps_are_counted_by_kind_action_and_result(bench: Bench) -> None:
    bench.reporter.step_done(Outcome(step=START, seconds=0.1))
    bench.reporter.step_done(Outcome(step=START, seconds=0.1, error="no"))
    bench.reporter.step_done(Outcome(step=START, seconds=0.1, stale="it was not carried out"))

    for result in ("ok", "error"):
        assert bench.value("actions_total", kind="container", action="start", result=result) == 1


def test_a_failed_pull_is_a_failed_start_of_every_service_that_waits_for_it(bench: Bench) -> None:
    bench.passed(observed())

    pull = PullImage(image="somecom/order:1.0.0", reason="wanted by prod-order-1")
    bench.reporter.step_done(Outcome(step=pull, seconds=0.1, error="no such host"))

    assert bench.value("container_start_failures_total", service="order", reason="pull") == 1


def test_restarts_of_a_replica_are_counted(bench: Bench) -> None:
    bench.passed(observed())
    bench.passed(observed(host=host(containers=(container(1, restarts=3), container(2)))))

    assert bench.value("container_restarts_total", service="order", slot="1") == 3
    assert bench.value("container_restarts_total", service="order", slot="2") == 0


def test_a_replica_that_ends_as_soon_as_it_began_is_a_failed_start(bench: Bench) -> None:
    bench.passed(observed())
    ended = container(1, status="exited", exit_code=1, finished_at="2026-01-01T10:00:02Z")

    bench.passed(observed(host=host(containers=(ended, container(2)))))

    assert bench.value("container_start_failures_total", service="order", reason="exit") == 1


def test_the_series_of_a_service_that_left_the_host_go_away(bench: Bench) -> None:
    bench.passed(observed())
    bench.passed(observed(cluster=cluster(assignment=None)))
    assert bench.value("service_replicas_desired", service="order") is None

    empty = cluster().assignment
    assert empty is not None
    bench.passed(observed(cluster=cluster(assignment=type(empty)(revision=7, project="prod"))))

    assert bench.value("container_restarts_total", service="order", slot="1") is None
    assert bench.value("container_start_failures_total", service="order", reason="pull") is None


def test_parts_of_a_pass_are_timed(bench: Bench) -> None:
    bench.reporter.timed(frozenset({"resync"}), {"observe": 0.1, "plan": 0.001, "apply": 0.01})

    assert bench.value("reconcile_duration_seconds_count", phase="observe") == 1


# ---- systemd and the pages


def test_systemd_hears_that_we_are_ready_with_the_first_pass_and_of_changes_only(bench: Bench) -> None:
    for seen in (observed(), observed(), observed(host=None)):
        bench.passed(seen)

    assert bench.notified == [
        "READY=1",
        "STATUS=manager, revision 7 carried out",
        "STATUS=revision 7 carried out, dockerd does not answer",
    ]


def test_a_pass_that_can_only_hold_makes_us_ready_for_systemd_too(bench: Bench) -> None:
    bench.passed(observed(cluster=None, host=None))

    assert bench.notified == [
        "READY=1",
        "STATUS=no accepted intent, dockerd does not answer, etcd unreachable",
    ]


def test_drift_shows_in_systemctl_status(bench: Bench) -> None:
    bench.passed(observed(fence=FENCE))
    bench.passed(observed(fence=FENCE, host=host(containers=(container(2),))))

    assert "leader, revision 7 carried out, " in bench.notified[-1]
    assert "not as declared" in bench.notified[-1]


@pytest.mark.parametrize(
    ("seen", "words"),
    [
        (
            observed(host=None, engine_error="dockerd cannot be read: refused"),
            "dockerd cannot be read: refused",
        ),
        (observed(stale=True, store_error="etcd cannot be read: x"), "etcd cannot be read: x"),
        (observed(cluster=cluster(accepted=None)), "no intent is accepted"),
        (observed(lease=False), "no live lease"),
    ],
)
def test_what_keeps_the_agent_from_its_work_is_said(bench: Bench, seen: Observed, words: str) -> None:
    bench.passed(seen)

    assert words in "; ".join(bench.reporter.unready())


def test_an_agent_before_its_first_pass_is_not_ready(bench: Bench) -> None:
    assert bench.reporter.unready() == ("no pass has ended yet",)
    assert bench.reporter.status()["ready"] is False


def test_an_agent_whose_status_etcd_refuses_is_not_ready_until_it_is_written(bench: Bench) -> None:
    bench.store.etcd.out_of_space = True
    bench.passed(observed())
    refused = bench.reporter.unready()
    bench.store.etcd.out_of_space = False
    bench.passed(observed())

    assert "database space exceeded" in "; ".join(refused)
    assert bench.reporter.unready() == ()
    assert bench.value("status_write_failures_total") == 1


def test_an_agent_whose_etcd_has_an_alarm_is_not_ready(bench: Bench) -> None:
    bench.passed(observed(upkeep=Upkeep(alarm="NOSPACE")))

    assert "NOSPACE" in "; ".join(bench.reporter.unready())
    assert bench.reporter.status()["store"]["alarm"] == "NOSPACE"


def test_the_status_page_has_the_plan_and_what_is_held_back(bench: Bench) -> None:
    seen = observed(host=host(containers=(container(2),)))
    held = Blocked(resource="host", reason="why", kind="role")
    plan = make_plan(seen) + Plan((), (held,))

    bench.passed(observed())
    bench.reporter.passed(seen, plan, in_flight=(START,), failures={})

    page = bench.reporter.status()
    assert page["plan"] == [str(step) for step in plan.steps]
    assert page["in_flight"] == [str(START)]
    assert [each.reason for each in page["blocked"]] == ["why"]
    assert page["drift"] == [{"kind": "container", "object": "prod-order-1", "field": "missing"}]


def test_the_status_page_says_when_it_was_so_and_by_whom_the_cluster_is_led(bench: Bench) -> None:
    bench.passed(observed(cluster=cluster(leader="node-a"), fence=FENCE, seen_at=990.0))

    page = bench.reporter.status()
    assert (page["as_of"], page["stale"], page["leader"]) == ("1970-01-01T00:16:40Z", False, "node-a")
    assert page["role"] == "manager"
    assert page["engine"]["answers"]
    assert [each.name for each in page["replicas"]] == ["prod-order-1", "prod-order-2"]


def test_a_former_leader_without_etcd_shows_itself_no_more_as_the_leader(bench: Bench) -> None:
    led = cluster(leader="node-a")
    bench.passed(observed(cluster=led, fence=FENCE))
    bench.clock.advance(60)
    bench.passed(
        observed(cluster=led, stale=True, store_error="etcd cannot be read: timed out", seen_at=1000.0)
    )

    page = bench.reporter.status()
    assert page["stale"] is True
    assert page["leader"] is None
    assert page["last_known_leader"] == "node-a"
    assert page["store"] == {
        "answers": False,
        "error": "etcd cannot be read: timed out",
        "alarm": "",
        "read_at": "1970-01-01T00:16:40Z",
    }
    assert bench.value("leader") == 0


def test_a_page_without_dockerd_claims_no_role_and_names_the_error(bench: Bench) -> None:
    bench.passed(observed())
    bench.passed(observed(host=None, engine_error="dockerd cannot be read: refused"))

    page = bench.reporter.status()
    assert page["role"] == ""
    assert page["engine"]["answers"] is False
    assert page["engine"]["error"] == "dockerd cannot be read: refused"


def test_no_secret_of_a_service_leaves_the_host(bench: Bench) -> None:
    bench.passed(observed(host=host(containers=())))

    told = repr(bench.reporter.status()) + bench.metrics.exposition().decode() + repr(bench.status())
    assert "hunter2" not in told
    assert b"hunter2" not in encode(bench.status())


# ---- it never raises


class Broken:
    """Cannot be looked at."""

    def __getattr__(self, name: str) -> Iterable[None]:
        raise RuntimeError(name)


def test_a_fault_of_the_reporter_reaches_the_log_and_not_the_loop(bench: Bench) -> None:
    broken = Broken()

    with capture_logs() as lines:
        bench.reporter.passed(broken, Plan(), in_flight=(), failures={})  # type: ignore[arg-type]
        bench.reporter.step_started(broken)  # type: ignore[arg-type]
        bench.reporter.step_done(broken)  # type: ignore[arg-type]
        bench.reporter.timed(frozenset(), broken)  # type: ignore[arg-type]

    assert {line["event"] for line in lines} == {"report failed"}


def test_steps_end_on_many_threads_at_once(bench: Bench) -> None:
    def work() -> None:
        for _ in range(200):
            bench.reporter.step_done(Outcome(step=START, seconds=0.0))

    with capture_logs():
        threads = [threading.Thread(target=work) for _ in range(4)]
        for each in threads:
            each.start()
        for each in threads:
            each.join()

    assert bench.value("actions_total", kind="container", action="start", result="ok") == 800
