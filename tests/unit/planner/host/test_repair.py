import pytest

from agent.diff.container import FillContext
from agent.model.host_state import ContainerState
from agent.model.plan import Plan
from agent.model.spec import Attachment, ContainerSpec, Restart
from agent.model.steps import ConnectNetwork
from agent.planner.host.repair import plan_repair
from agent.planner.host.wanted import Wanted
from tests.support.builders import container, differs, order, told


def wanted(spec: ContainerSpec | None = None) -> Wanted:
    found = container(1, of=spec)
    context = FillContext(host="h1", service="order", slot=1, node_id="node-h1")
    return Wanted(replica=found.replica, project="prod", spec=spec or order(), context=context)


def repair(found: ContainerState, spec: ContainerSpec | None = None) -> list[str]:
    return told(plan_repair(wanted(spec), found))


def test_a_replica_as_it_should_be_is_left_alone() -> None:
    assert repair(container(1)) == []


@pytest.mark.parametrize(
    ("found", "line"),
    [
        (container(1, status="exited", exit_code=137), "start container/prod-order-1: exited with 137"),
        (container(1, status="exited"), "start container/prod-order-1: exited with 0"),
        (
            container(1, status="exited", error="port is already allocated"),
            "start container/prod-order-1: port is already allocated",
        ),
        (container(1, status="created"), "start container/prod-order-1: created, but never started"),
        (
            container(1, status="created", error="no such device"),
            "start container/prod-order-1: no such device",
        ),
        (container(1, status="paused"), "unpause container/prod-order-1: it is paused"),
    ],
)
def test_a_replica_that_does_not_run_is_started(found: ContainerState, line: str) -> None:
    assert repair(found) == [line]


def test_a_replica_that_the_engine_is_restarting_is_left_to_it() -> None:
    assert repair(container(1, status="restarting")) == []


def test_a_renamed_replica_gets_its_name_back_and_goes_on_running() -> None:
    assert repair(container(1, name="renamed")) == [
        "rename container/prod-order-1: name: prod-order-1 wanted, renamed found"
    ]


def test_limits_are_put_right_in_place_all_at_once() -> None:
    found = container(1, differences=(differs("memory", "update"), differs("restart", "update")))

    assert repair(found) == [
        "update container/prod-order-1: memory: this wanted, that found; restart: this wanted, that found"
    ]


def test_a_lost_network_is_joined_again() -> None:
    found = container(1, differences=(differs("networks", "reconnect", "net"),))

    assert repair(found) == ["connect container/prod-order-1: networks: this wanted, that found"]


def test_a_network_joined_by_hand_is_left() -> None:
    found = container(
        1,
        addresses=(("other", "10.3.0.2"),),
        differences=(differs("networks", "reconnect", "other"),),
    )

    assert repair(found) == ["disconnect container/prod-order-1: networks: this wanted, that found"]


def test_a_network_joined_wrongly_is_left_and_joined_again() -> None:
    found = container(
        1, addresses=(("net", "10.10.0.9"),), differences=(differs("networks", "reconnect", "net"),)
    )

    assert repair(found) == [
        "disconnect container/prod-order-1: networks: this wanted, that found",
        "connect container/prod-order-1: networks: this wanted, that found",
    ]


def test_a_replica_is_known_by_its_services_name_on_every_network() -> None:
    spec = ContainerSpec(image="order:1.0.0", networks=(Attachment(network="net", aliases=("orders",)),))
    found = container(1, of=spec, differences=(differs("networks", "reconnect", "net"),))
    (connect,) = plan_repair(wanted(spec), found).steps

    assert isinstance(connect, ConnectNetwork)
    assert connect.aliases == ("order", "orders", "tasks.order")


def test_a_replica_is_named_and_connected_before_it_is_started() -> None:
    found = container(
        1,
        name="renamed",
        status="exited",
        exit_code=1,
        differences=(differs("memory", "update"), differs("networks", "reconnect", "net")),
    )

    assert [line.split()[0] for line in repair(found)] == ["rename", "update", "connect", "start"]


ONCE = Restart(name="no")
ON_FAILURE = Restart(name="on-failure", max_retries=3)
STARTED = "2024-05-01T00:00:00Z"


@pytest.mark.parametrize(
    ("restart", "found"),
    [
        (ONCE, container(1, status="exited", exit_code=1, started_at=STARTED)),
        (ON_FAILURE, container(1, status="exited", exit_code=0)),
        (ON_FAILURE, container(1, status="exited", exit_code=1, restarts=3)),
    ],
)
def test_a_replica_that_has_done_its_work_stays_so(restart: Restart, found: ContainerState) -> None:
    assert repair(found, order(restart=restart)) == []


@pytest.mark.parametrize(
    ("restart", "found"),
    [
        (ONCE, container(1, status="exited")),
        (ONCE, container(1, status="exited", started_at=STARTED, error="no such device")),
        (ON_FAILURE, container(1, status="exited", exit_code=1, restarts=2)),
        (Restart(name="on-failure"), container(1, status="exited", exit_code=1, restarts=99)),
        (Restart(name="always"), container(1, status="exited", exit_code=0)),
        (Restart(name="unless-stopped"), container(1, status="exited", exit_code=0)),
        (None, container(1, status="exited", exit_code=0)),
    ],
)
def test_a_replica_that_has_not_done_its_work_is_started_again(
    restart: Restart | None, found: ContainerState
) -> None:
    assert [line.split()[0] for line in repair(found, order(restart=restart))] == ["start"]


@pytest.mark.parametrize(
    ("output", "said"), [("", "its health check fails"), ("HTTP 500", "its health check fails: HTTP 500")]
)
def test_a_replica_whose_check_fails_keeps_running_and_is_reported(output: str, said: str) -> None:
    plan = plan_repair(wanted(), container(1, health="unhealthy", health_output=output))

    assert plan.steps == ()
    assert [(each.kind, each.reason) for each in plan.blocked] == [("unhealthy", said)]
    assert plan_repair(wanted(), container(1, health="starting")) == Plan()


def test_what_the_kernel_dropped_is_told_and_nothing_is_tried() -> None:
    found = container(1, differences=(differs("mem_swappiness", "none"),))

    plan = plan_repair(wanted(), found)

    assert plan.steps == ()
    assert [(each.kind, each.reason) for each in plan.blocked] == [
        (
            "unsupported",
            "mem_swappiness: this wanted, that found: the engine or the kernel of this host does not support it",
        )
    ]
