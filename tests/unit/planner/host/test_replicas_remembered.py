"""A replica whose container is gone: its finished run is not repeated, its anonymous volumes are mounted again."""

from dataclasses import replace

import pytest

from agent.diff.reported import finished_reports, host_of
from agent.model.host_state import FinishedRun, HostState, Remembered
from agent.model.intent import Intent
from agent.model.plan import Plan
from agent.model.spec import ContainerSpec, Mount, Restart, spec_hash
from agent.model.status import HostStatus
from agent.model.steps import CreateContainer
from agent.planner.host.replicas import plan_replicas
from tests.support.builders import cluster, container, host, intent, observed, order, service, told

JOB = order(restart=Restart(name="no"))
DATA, OWN = "a" * 64, "b" * 64
HAD = (("/data", DATA), ("/own", OWN))
MEMORY = Remembered(service="order", slot=1, volumes=HAD)


def run_of(spec: ContainerSpec, exit_code: int = 0) -> Remembered:
    run = FinishedRun(
        spec=spec_hash(spec),
        shape="",
        id="1",
        name="prod-order-1",
        exit_code=exit_code,
        started_at="2026-01-01T00:00:00Z",
    )
    return replace(MEMORY, volumes=(), run=run)


def planned(wanted: Intent, seen: HostState) -> Plan:
    return plan_replicas(wanted, observed(cluster(wanted), seen))


def created(spec: ContainerSpec, **seen: object) -> CreateContainer:
    """The create step of a replica with MEMORY."""
    wanted = intent(service(spec=spec))
    plan = planned(wanted, replace(host(remembered=(MEMORY,)), **seen))  # type: ignore[arg-type]
    (step,) = (each for each in plan.steps if isinstance(each, CreateContainer))
    return step


@pytest.mark.parametrize("exit_code", [0, 3])
def test_a_finished_job_is_not_run_again(exit_code: int) -> None:
    wanted = intent(service(spec=JOB))
    assert planned(wanted, host(remembered=(run_of(JOB, exit_code),))) == Plan()


@pytest.mark.parametrize(
    "memory", [run_of(order("1.0.1", restart=Restart(name="no"))), replace(run_of(JOB), slot=2)]
)
def test_a_run_of_another_spec_or_slot_does_not_count(memory: Remembered) -> None:
    wanted = intent(service(spec=JOB))
    assert len(planned(wanted, host(remembered=(memory,))).steps) == 2


def test_a_service_is_started_again_whatever_is_remembered() -> None:
    assert len(planned(intent(service()), host(remembered=(run_of(order()),))).steps) == 2


def test_a_volume_of_the_image_and_one_of_the_document_are_carried_over() -> None:
    step = created(
        order(volumes=(Mount(type="volume", target="/own"),)), image_volumes={order().image: ("/data",)}
    )

    assert step.carried == HAD
    assert step.reason.endswith("; it keeps its volumes at /data, /own")


@pytest.mark.parametrize(
    ("spec", "declared"),
    [
        (order(), ()),
        (order(volumes=(Mount(type="volume", target="/data", source="named"),)), ("/data",)),
        (order(volumes=(Mount(type="bind", target="/data", source="/srv"),)), ("/data",)),
        (order(tmpfs=(("/data", ""),)), ("/data",)),
    ],
    ids=["not declared", "a named volume", "a bind", "a tmpfs"],
)
def test_a_volume_without_a_place_stays_behind_and_is_named(
    spec: ContainerSpec, declared: tuple[str, ...]
) -> None:
    step = created(spec, image_volumes={spec.image: declared})

    assert step.carried == ()
    assert step.reason.endswith(
        f"; its volumes stay on this host, unused: {DATA[:12]} (/data), {OWN[:12]} (/own)"
    )


def test_a_plan_for_a_host_whose_images_are_not_known_assumes_that_they_declare_the_same() -> None:
    assert created(order()).carried == HAD


def test_a_replica_that_leaves_the_host_names_what_stays_behind() -> None:
    gone = container(5, volumes=(("/data", DATA),))
    steps = told(planned(intent(service()), host(container(1), gone)))
    assert (
        "remove container/prod-order-5: order replica 5 is no longer assigned here; "
        f"its volume stays on this host, unused: {DATA[:12]} (/data)"
    ) in steps


def test_a_report_is_enough_to_plan_with_what_is_remembered() -> None:
    memory = (run_of(JOB), replace(MEMORY, slot=2))
    reports = finished_reports(host(remembered=memory))
    left = (Remembered(service="order", slot=2, volumes=HAD),)
    status = HostStatus(
        instance="",
        at="",
        agent_version="",
        engine_up=True,
        state="active",
        replicas=reports,
        left_volumes=left,
    )

    rebuilt = host_of(status)

    assert rebuilt is not None
    assert rebuilt.containers == ()
    assert {each.key: each for each in rebuilt.remembered} == {each.key: each for each in memory}
