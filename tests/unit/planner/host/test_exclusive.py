"""What moves between two services in one edit: the one that gets it waits, and its old container runs on meanwhile."""

from dataclasses import replace
from typing import Any

import pytest

from agent.model.host_state import Attached, ContainerState
from agent.model.intent import Intent
from agent.model.records import Assignment, Replica
from agent.model.spec import Attachment, ContainerSpec, Device, Port, spec_hash
from agent.planner.host.replicas import plan_replicas
from tests.support.builders import cluster, container, host, intent, observed, order, outside, service, told

PLAIN = replace(order(), networks=())
REFUSED = "OCI runtime create failed"


def at(*ports: int, spec: ContainerSpec = PLAIN, **more: Any) -> ContainerSpec:
    return replace(spec, ports=tuple(Port(target=80, published=each) for each in ports), **more)


API, API_AFTER = at(spec=replace(PLAIN, hostname="api")), at(8081, spec=replace(PLAIN, hostname="api"))
CONSOLE, CONSOLE_AFTER = at(8081), at(9090)


def plan(
    after: dict[str, ContainerSpec],
    *found: ContainerState,
    others: tuple[Attached, ...] = (),
    before: tuple[ContainerSpec, ...] = (API, CONSOLE),
    document: dict[str, ContainerSpec] | None = None,
    **seen: Any,
) -> dict[str, list[str]]:
    """The lines of h1's plan by container; `after` are the assigned specs by service, `document` the declared ones."""
    asked: Intent = intent(*(service(name, spec=spec) for name, spec in (document or after).items()))
    replicas = tuple(Replica(service=name, slot=1, spec=spec_hash(spec)) for name, spec in after.items())
    specs = {spec_hash(each): each for each in (*before, *after.values())}
    state = cluster(asked, assignment=Assignment(revision=7, project="prod", replicas=replicas), specs=specs)
    attached = tuple(
        Attached(
            id=each.id,
            name=each.name,
            running=each.status == "running",
            ports=tuple(f"{port.published}/tcp" for port in specs[each.replica.spec].ports),
        )
        for each in found
    )
    here = host(*found, attached=(*attached, *others), swarm=outside(), **seen)
    lines: dict[str, list[str]] = {}
    for line in told(plan_replicas(asked, observed(state, here))):
        verb, _, rest = line.partition(" container/")
        name, _, reason = rest.partition(": ")
        lines.setdefault(name, []).append(f"{verb}: {reason}" if verb in ("waiting", "blocked") else verb)
    return lines


def runs(called: str, spec: ContainerSpec, **more: Any) -> ContainerState:
    return container(of=spec, service=called, **more)


def new(called: str, spec: ContainerSpec, **more: Any) -> ContainerState:
    return container(
        of=spec,
        service=called,
        **{
            "id": f"new-{called}",
            "name": f"prod-{called}-1-{spec_hash(spec)[:12]}",
            "status": "created",
            **more,
        },
    )


WAITS = "waiting: waits until prod-console-1 gives up port 8081/tcp"
REPLACED = ["create", "stop", "rename", "rename", "start", "remove"]


def test_the_one_that_gets_the_port_runs_on_until_the_other_has_given_it_up() -> None:
    lines = plan({"api": API_AFTER, "console": CONSOLE_AFTER}, runs("api", API), runs("console", CONSOLE))

    assert lines == {"prod-api-1": [WAITS], "prod-console-1": REPLACED}


def test_the_same_port_on_another_address_is_not_kept() -> None:
    first, second = (
        replace(PLAIN, ports=(Port(target=80, published=8081, host_ip=each),))
        for each in ("10.0.0.1", "10.0.0.2")
    )
    found = runs("api", API), runs("console", first)

    lines = plan({"api": replace(first, hostname="api"), "console": second}, *found, before=(API, first))

    assert lines == {"prod-api-1": [WAITS], "prod-console-1": REPLACED}


def test_it_gets_the_port_once_the_other_one_has_stopped() -> None:
    gone = runs("console", CONSOLE, status="exited")

    assert (
        plan({"api": API_AFTER, "console": CONSOLE_AFTER}, runs("api", API), gone)["prod-api-1"] == REPLACED
    )


def test_a_service_that_is_removed_gives_its_port_up() -> None:
    lines = plan({"api": API_AFTER}, runs("api", API), runs("console", CONSOLE))

    assert lines == {"prod-api-1": [WAITS], "prod-console-1": ["stop", "remove"]}


def test_a_rollout_that_has_not_come_to_the_other_one_yet_is_waited_for() -> None:
    document = {"api": API_AFTER, "console": CONSOLE_AFTER}
    lines = plan(
        {"api": API_AFTER, "console": CONSOLE}, runs("api", API), runs("console", CONSOLE), document=document
    )

    assert lines == {"prod-api-1": [WAITS]}


@pytest.mark.parametrize("found", [(), (new("api", API_AFTER, name="prod-api-1"),)])
def test_a_replica_that_does_not_run_yet_waits_too(found: tuple[ContainerState, ...]) -> None:
    lines = plan({"api": API_AFTER, "console": CONSOLE_AFTER}, *found, runs("console", CONSOLE))

    assert lines["prod-api-1"] == [WAITS]


def test_a_port_of_somebody_else_blocks_the_replica_and_its_old_container_runs_on() -> None:
    theirs = Attached(id="theirs", name="nginx", ports=("8081/tcp",))

    assert plan({"api": API_AFTER}, runs("api", API), others=(theirs,)) == {
        "prod-api-1": ["blocked: port 8081/tcp is used by the container nginx"]
    }


def test_a_port_of_a_process_is_found_before_the_old_container_is_stopped() -> None:
    (line,) = plan({"api": API_AFTER}, runs("api", API), listening=("8081/tcp",))["prod-api-1"]

    assert line.startswith("blocked: port 8081/tcp is used by a process of the host")


def test_its_own_port_is_no_obstacle() -> None:
    has, keeps = at(8080), at(8080, hostname="new")

    assert plan({"api": keeps}, runs("api", has), before=(has,), listening=("8080/tcp",)) == {
        "prod-api-1": REPLACED
    }


# ---- two that swap


SWAP_BEFORE = {"api": at(8080), "console": at(8081, hostname="c")}
SWAP = {"api": at(8081), "console": at(8080, hostname="c")}


def swap(*found: ContainerState) -> dict[str, list[str]]:
    return plan(SWAP, *found, before=tuple(SWAP_BEFORE.values()))


def test_of_two_that_swap_their_ports_the_first_stops_and_is_kept() -> None:
    assert swap(runs("api", SWAP_BEFORE["api"]), runs("console", SWAP_BEFORE["console"])) == {
        "prod-api-1": ["create", "stop", "rename", WAITS],
        "prod-console-1": ["waiting: waits until prod-api-1 gives up port 8080/tcp"],
    }


def test_then_the_other_one_goes_on_and_the_first_waits_for_it() -> None:
    stopped = runs("api", SWAP_BEFORE["api"], status="exited", name="prod-api-1-0123456789ab")

    assert swap(stopped, new("api", SWAP["api"]), runs("console", SWAP_BEFORE["console"])) == {
        "prod-api-1": [WAITS],
        "prod-console-1": REPLACED,
    }


def test_if_docker_refuses_the_other_one_the_first_runs_again_as_it_was() -> None:
    stopped = runs("api", SWAP_BEFORE["api"], status="exited", name="prod-api-1-0123456789ab")
    refused = new("console", SWAP["console"], error=REFUSED)
    lines = swap(stopped, new("api", SWAP["api"]), runs("console", SWAP_BEFORE["console"]), refused)

    assert lines["prod-api-1"] == [
        "rename",
        "start",
        "blocked: port 8081/tcp is used by the container prod-console-1",
    ]


def test_it_then_rests() -> None:
    refused = new("console", SWAP["console"], error=REFUSED)
    lines = swap(
        runs("api", SWAP_BEFORE["api"]),
        new("api", SWAP["api"]),
        runs("console", SWAP_BEFORE["console"]),
        refused,
    )

    assert lines["prod-api-1"] == ["blocked: port 8081/tcp is used by the container prod-console-1"]


# ---- addresses and devices


def pinned(address: str | None, **more: Any) -> ContainerSpec:
    return replace(PLAIN, networks=(Attachment(network="local", ipv4_address=address),), **more)


def test_an_address_that_moves_is_waited_for() -> None:
    before, after = pinned("10.20.0.9"), pinned(None)
    wants = pinned("10.20.0.9", hostname="api")
    has = runs("console", before, addresses=(("local", "10.20.0.9"),))
    lines = plan({"api": wants, "console": after}, has, before=(before,))

    assert "waiting: waits until prod-console-1 gives up 10.20.0.9 on local" in lines["prod-api-1"]


def with_device(*sources: str, **more: Any) -> ContainerSpec:
    return replace(PLAIN, devices=tuple(Device(source=each, target=each) for each in sources), **more)


def test_a_device_that_moves_is_waited_for_and_one_that_is_shared_is_not() -> None:
    wants, before = with_device("/dev/ttyUSB0", hostname="api"), with_device("/dev/ttyUSB0")
    moves = plan(
        {"api": wants, "console": PLAIN}, runs("api", API), runs("console", before), before=(API, before)
    )
    stays = plan(
        {"api": wants, "console": before}, runs("api", API), runs("console", before), before=(API, before)
    )

    assert moves["prod-api-1"] == ["waiting: waits until prod-console-1 gives up the device /dev/ttyUSB0"]
    assert stays == {"prod-api-1": REPLACED}
