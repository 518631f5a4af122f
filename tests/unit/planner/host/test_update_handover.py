"""`order: start-first` on one host: the new container of a replica beside the old one, until it has proved well."""

from dataclasses import replace
from typing import Any

import pytest

from agent.intent.refused import warnings
from agent.model.host_state import ContainerState, HostState
from agent.model.intent import Intent, Update
from agent.model.records import Assignment, Replica
from agent.model.spec import Attachment, ContainerSpec, Port, spec_hash
from agent.planner.host.replicas import plan_replicas
from tests.support.builders import cluster, container, host, intent, observed, order, outside, service, told

OLD, NEW = order(), order("1.0.1")
ASIDE = f"prod-order-1-{spec_hash(NEW)[:12]}"
FIRST = Update(order="start-first", monitor_s=7.0)
RENAMED = f"container/prod-order-1: name: prod-order-1 wanted, {ASIDE} found"
ON = (("net", "10.10.0.9"),)
GONE = "container/prod-order-1: another container is order replica 1 now"


def wanted(spec: ContainerSpec = NEW, update: Update = FIRST, rollback: Update | None = None) -> Intent:
    return intent(replace(service(spec=spec), update=update, rollback=rollback))


def replicas(
    asked: Intent, seen: HostState, *, spec: ContainerSpec | None = None, stale: bool = False
) -> list[str]:
    """What h1 plans for its replica, which has the spec of the intent, or another one that it goes back to."""
    assigned = spec or asked.services[0].spec
    state = cluster(
        asked,
        assignment=Assignment(
            revision=7,
            project="prod",
            replicas=(Replica(service="order", slot=1, spec=spec_hash(assigned)),),
        ),
        specs={spec_hash(each): each for each in (OLD, NEW, assigned)},
    )
    return told(plan_replicas(asked, observed(state, seen, stale=stale)))


def old(**more: Any) -> ContainerState:
    return container(1, id="old", of=OLD, **more)


def new(**more: Any) -> ContainerState:
    return container(1, **{"id": "new", "name": ASIDE, "of": NEW, "up_s": 60.0, "addresses": ON, **more})


def test_the_new_container_is_made_under_a_name_of_its_own_and_the_old_one_is_not_touched() -> None:
    assert replicas(wanted(), host(old())) == [
        "create container/prod-order-1: image order:1.0.0 -> order:1.0.1"
    ]


def test_then_it_is_started_under_that_name() -> None:
    assert replicas(wanted(), host(old(), new(status="created"))) == [
        f"start container/{ASIDE}: created, but never started"
    ]


@pytest.mark.parametrize(
    ("said", "lacks"),
    [
        ({"up_s": 6.9}, "the new container is in its 7 s monitor window"),
        ({"health": "starting"}, "the new container is not healthy yet"),
        ({"status": "restarting"}, "the new container is not running yet"),
    ],
)
def test_the_old_one_stays_until_the_new_one_has_proved_well(said: dict[str, Any], lacks: str) -> None:
    assert replicas(wanted(), host(old(), new(**said))) == [f"waiting container/prod-order-1: {lacks}"]


def test_the_old_one_stays_while_the_check_of_the_new_one_fails_and_the_check_is_reported() -> None:
    assert replicas(wanted(), host(old(), new(health="unhealthy", health_output="no route to db"))) == [
        f"blocked container/{ASIDE}: its health check fails: no route to db",
        "waiting container/prod-order-1: the new container is unhealthy",
    ]


def test_one_whose_address_its_own_host_has_given_away_is_recreated_beside_the_old_one() -> None:
    duplicate = new(status="created", error="Address already in use", addresses=())
    why = "the swarm allocated it an address that another container on this host has"

    assert replicas(wanted(), host(old(), duplicate)) == [
        f"create container/{ASIDE}: {why}",
        f"remove container/{ASIDE}: {why}",
        f"rename container/{ASIDE}: {why}",
        f"start container/{ASIDE}: {why}",
    ]


@pytest.mark.parametrize("first", ["a", "z"])
def test_recreated_half_way_it_goes_on_beside_the_old_one(first: str) -> None:
    """Killed before the one with the taken address was removed: of the two new ones either may be looked at."""
    again = f"{ASIDE}-{spec_hash(NEW)[:12]}"
    duplicate = new(id=first, status="created", error="Address already in use", addresses=())
    made = new(id="m", name=again, status="created", addresses=())
    lines = replicas(wanted(), host(old(), duplicate, made))

    assert not any("container/prod-order-1:" in each for each in lines)
    assert lines[-1].startswith("start container/")


def test_the_new_one_is_tried_out_also_while_a_placeholder_has_no_value() -> None:
    """Both were made with one; the host may be out of the swarm for a while."""
    spec = replace(NEW, environment=(("NODE", "{{.Node.ID}}"),))
    aside = f"prod-order-1-{spec_hash(spec)[:12]}"
    pair = (old(), new(of=spec, name=aside, up_s=3.0))

    assert replicas(wanted(spec), host(*pair, swarm=outside("pending")))[0] == (
        "waiting container/prod-order-1: the new container is in its 7 s monitor window"
    )


def test_one_that_ended_is_started_again_beside_the_old_one() -> None:
    assert replicas(wanted(), host(old(), new(status="exited", exit_code=3))) == [
        f"start container/{ASIDE}: exited with 3"
    ]


def test_while_dockerd_starts_it_nothing_happens_to_the_old_one() -> None:
    assert replicas(wanted(), host(old(), new(locked_by_engine=True))) == []


def test_a_proved_one_takes_the_name_off_its_overlay_for_a_moment_as_docker_renames_none_on_it() -> None:
    assert replicas(wanted(), host(old(), new(health="healthy"))) == [
        f"stop {GONE}",
        f"remove {GONE}",
        f"disconnect {RENAMED}",
        f"rename {RENAMED}",
        f"connect {RENAMED}",
    ]


def test_it_gets_the_address_back_that_it_had() -> None:
    asked, seen = wanted(), host(old(), new())
    back = plan_replicas(asked, observed(cluster(asked), seen)).steps[-1]

    assert back.attachment == Attachment(network="net", ipv4_address="10.10.0.9")  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("left", "lines"),
    [
        ((new(),), [f"{verb} {RENAMED}" for verb in ("disconnect", "rename", "connect")]),
        ((new(addresses=()),), [f"rename {RENAMED}"]),
    ],
)
def test_a_handover_that_was_interrupted_goes_on(left: tuple[ContainerState, ...], lines: list[str]) -> None:
    assert replicas(wanted(), host(*left)) == lines


def test_while_etcd_is_away_the_old_one_stays() -> None:
    (line,) = replicas(wanted(), host(old(), new()), stale=True)

    assert line.endswith("the old container is removed once etcd answers: it may be needed again")


def test_on_the_way_back_the_new_one_goes_and_the_old_one_never_noticed() -> None:
    assert replicas(wanted(), host(old(), new(status="restarting")), spec=OLD) == [
        f"stop {GONE}",
        f"remove {GONE}",
    ]


def test_a_replica_that_was_moved_goes_back_as_rollback_config_says() -> None:
    moved = container(1, id="moved", of=NEW)
    as_said = replicas(wanted(rollback=Update(order="stop-first")), host(moved), spec=OLD)
    as_forward = replicas(wanted(), host(moved), spec=OLD)

    assert [line.split()[0] for line in as_said] == ["create", "stop", "rename", "rename", "start", "remove"]
    assert [line.split()[0] for line in as_forward] == ["create"]


def test_a_third_spec_in_the_middle_leaves_the_container_with_the_name_and_drops_the_one_beside_it() -> None:
    newest = order("1.0.2")

    assert replicas(wanted(newest), host(old(), new(id="a"))) == [
        f"stop {GONE}",
        f"remove {GONE}",
        "pull image/order:1.0.2: wanted by prod-order-1",
    ]


def test_a_replica_that_does_not_run_is_replaced_as_ever() -> None:
    lines = replicas(wanted(), host(old(status="exited")))

    assert [line.split()[0] for line in lines] == ["create", "rename", "rename", "start", "remove"]


@pytest.mark.parametrize(
    ("alone", "why"),
    [
        ({"ports": (Port(target=80, published=8080),)}, "it publishes a port of the host"),
        ({"network_mode": "host", "networks": ()}, "it has the network of the host"),
        (
            {"networks": (Attachment(network="net", ipv4_address="10.10.0.7"),)},
            "its address is fixed",
        ),
    ],
)
def test_where_no_two_can_run_the_replica_is_replaced_stop_first_and_the_verdict_says_so(
    alone: dict[str, Any], why: str
) -> None:
    asked = wanted(replace(NEW, **alone))

    assert [line.split()[0] for line in replicas(asked, host(old()))][1] == "stop"
    assert [each for each in warnings(asked) if each.startswith("service order")] == [
        f"service order: order start-first has no effect, replicas are replaced stop-first: {why}"
    ]
