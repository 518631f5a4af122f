"""A container becomes another spec without being recreated, where Docker can do that."""

from dataclasses import replace
from ipaddress import IPv4Network
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings

from agent.diff.container import TABLE, FillContext, create_request, differences, in_place, regarded
from agent.diff.container.table import shape
from agent.model.host_state import ContainerState
from agent.model.intent import NetworkIntent
from agent.model.records import Replica
from agent.model.spec import Attachment, ContainerSpec, Device, Restart, spec_hash
from tests.fakes.container_inspect import inspect_of
from tests.fakes.engine import FakeEngine
from tests.fakes.swarm import FakeLan
from tests.support.engine_defaults import DECLARED, NONE
from tests.support.spec_strategies import NETWORKS, changes, specs
from tests.support.thoroughness import examples
from tests.unit.intent.documents import spec_of

MIB = 2**20
NET = Attachment(network="net")
OTHER = Attachment(network="other")
SPEC = ContainerSpec(image="bare:1", command=("sleep", "60"), networks=(NET,), memory_limit_bytes=64 * MIB)


def replica_of(spec: ContainerSpec) -> Replica:
    return Replica(service="order", slot=1, spec=spec_hash(spec))


def context(replica: Replica) -> FillContext:
    return FillContext(host="h1", service=replica.service, slot=replica.slot)


def told_of(new: ContainerSpec, old: ContainerSpec = SPEC) -> list[str] | None:
    found = in_place(old, new, replica_of(new))
    return None if found is None else [f"{each} ({each.repair})" for each in found]


def observed(old: ContainerSpec, new: ContainerSpec) -> ContainerState:
    """What an engine tells of a container that was made and started as `old`, once `new` is assigned to it."""
    engine = FakeEngine("h1", "10.0.0.1", FakeLan(), cluster="test")
    engine.load_image("bare:1")
    for number, name in enumerate(NETWORKS):
        subnet = IPv4Network(f"10.2{number}.0.0/16")
        engine.create_network(NetworkIntent(key=name, name=name, driver="bridge", subnet=subnet))
    request = create_request(old, replica_of(old), project="prod", cluster="test", name="prod-order-1")
    engine.start(engine.create_container(request))
    known = {spec_hash(each): each for each in (old, new)}
    (found,) = engine.containers(known, context, assigned=frozenset({replica_of(new)})).ours
    return found


@pytest.mark.parametrize(
    ("new", "told"),
    [
        ({"memory_limit_bytes": 96 * MIB}, ["memory: 96 MiB wanted, 64 MiB found (update)"]),
        ({"memory_limit_bytes": None}, ["memory: no limit wanted, 64 MiB found (replace)"]),
        ({"restart": Restart(name="always")}, ["restart: always wanted, no found (update)"]),
        ({"cpu_shares": 512}, ["cpu_shares: 512 wanted, nothing found (update)"]),
        (
            {"networks": (NET, OTHER)},
            ["networks.other: attached as order wanted, nothing found (reconnect)"],
        ),
        (
            {"networks": (replace(NET, aliases=("billing",)),)},
            ["networks.net: attached as billing, order wanted, attached as order found (reconnect)"],
        ),
    ],
)
def test_what_docker_can_change_on_a_container_is_changed_on_it(new: dict[str, Any], told: list[str]) -> None:
    assert told_of(replace(SPEC, **new)) == told


@pytest.mark.parametrize(
    "new",
    [
        {"command": ("sleep", "30")},
        {"networks": (OTHER, NET)},
        {"networks": (replace(NET, ipv4_address="10.20.0.9"),)},
        {"mem_limit_and_more": True},
    ],
)
def test_what_docker_cannot_change_needs_another_container(new: dict[str, Any]) -> None:
    if "mem_limit_and_more" in new:
        new = {"memory_limit_bytes": 96 * MIB, "environment": (("A", "1"),)}
    assert told_of(replace(SPEC, **new)) is None


def test_a_weight_that_an_engine_may_drop_is_asked_for_with_a_new_container_and_changed_in_place() -> None:
    """Found to have none, a container that was never asked for one would pass for one whose engine has dropped it."""
    weighted = replace(SPEC, blkio_weight=300)

    assert told_of(weighted) is None
    assert told_of(SPEC, weighted) is None
    assert told_of(replace(SPEC, blkio_weight=400), weighted) == [
        "blkio_config.weight: 400 wanted, 300 found (update)"
    ]


def test_a_fixed_address_may_change_in_place_and_not_be_taken_away() -> None:
    """While a container runs, an address that is no longer wanted cannot be told from one that was given out."""
    old = replace(SPEC, networks=(replace(NET, ipv4_address="10.20.0.9"),))

    assert told_of(SPEC, old) is None
    assert told_of(replace(SPEC, networks=(replace(NET, ipv4_address="10.20.0.8"),)), old) == [
        "networks.net: attached as order at 10.20.0.8 wanted, attached as order at 10.20.0.9 found (reconnect)"
    ]


@pytest.mark.parametrize(
    ("first", "same"),
    [
        ({"image": "busybox"}, {"image": "docker.io/library/busybox:latest"}),
        ({"stop_signal": "KILL"}, {"stop_signal": "SIGKILL"}),
        ({"security_opt": ("no-new-privileges",)}, {"security_opt": ("no-new-privileges:true",)}),
        ({"tmpfs": (("/run", "size=64m,mode=755"),)}, {"tmpfs": (("/run", "mode=755,size=65536k"),)}),
        ({"dns_opt": ("ndots:1", "use-vc")}, {"dns_opt": ("use-vc", "ndots:1")}),
        (
            {"devices": (Device(source="/dev/zero", target="/dev/zero", permissions="rm"),)},
            {"devices": (Device(source="/dev/zero", target="/dev/zero", permissions="mr"),)},
        ),
    ],
    ids=lambda each: next(iter(each)),
)
def test_another_spelling_of_a_value_leaves_the_container_as_it_is(
    first: dict[str, Any], same: dict[str, Any]
) -> None:
    assert told_of(replace(SPEC, **same), replace(SPEC, **first)) == []


@pytest.mark.parametrize("key", [{"working_dir": "/"}, {"stop_signal": "SIGTERM"}, {"user": "0"}])
def test_a_value_that_is_said_and_is_a_default_is_not_taken_for_none(key: dict[str, Any]) -> None:
    """The image may have another one."""
    assert told_of(replace(SPEC, **key)) is None


@pytest.mark.parametrize("field", DECLARED)
def test_the_engines_own_value_costs_no_container_whether_it_is_put_in_or_taken_out(field: str) -> None:
    left_out, declared = (
        replace(SPEC, **{each: getattr(spec_of(keys), each) for each in (field, "memory_limit_bytes")})
        for keys in DECLARED[field]
    )

    for old, new in ((left_out, declared), (declared, left_out)):
        found = observed(old, new)
        assert (found.replica, found.differences) == (replica_of(new), ())
        assert in_place(old, new, replica_of(new)) == ()


def test_of_every_field_it_is_known_whether_the_engine_has_a_value_of_its_own() -> None:
    assert sorted([*DECLARED, *NONE]) == sorted(row.field for row in TABLE)


@pytest.mark.parametrize(
    ("field", "keys", "configured"),
    [
        ("shm_size_bytes", "shm_size: 64m", {"ShmSize": 128 * MIB}),
        ("ipc", "ipc: private", {"IpcMode": "shareable"}),
        ("cgroup", "cgroup: private", {"CgroupnsMode": "host"}),
        ("runtime", "runtime: runc", {"Runtime": "crun"}),
        ("logging", "logging: {driver: json-file}", {"LogConfig": {"Type": "local", "Config": {}}}),
    ],
)
def test_where_the_engine_is_configured_otherwise_its_usual_value_is_asked_for(
    field: str, keys: str, configured: dict[str, Any]
) -> None:
    declared = replace(SPEC, **{field: getattr(spec_of(keys), field)})
    request = create_request(SPEC, replica_of(SPEC), project="prod", cluster="test", name="prod-order-1")
    inspect = inspect_of(request.body, {"Id": "x", "Config": {}}, container_id="c" * 64, name="prod-order-1")
    inspect["HostConfig"] |= configured

    assert [each.repair for each in differences(declared, inspect, None)] == ["replace"]
    assert differences(SPEC, inspect, None) == ()


def test_the_shape_of_a_spec_never_changes_by_itself() -> None:
    """It is on the labels of containers that run: another one here would replace them at their next change."""
    assert shape(SPEC) == "825ffb2300b1dbcef64736cd785c39625575cefa22996298f42e4463defd2f1e"


def test_a_container_without_a_shape_is_what_its_label_says() -> None:
    new = replace(SPEC, memory_limit_bytes=96 * MIB)
    known = {spec_hash(each): each for each in (SPEC, new)}
    becomes = {("order", 1): replica_of(new)}

    assert regarded(replica_of(SPEC), {}, becomes, known, context) == replica_of(SPEC)


def test_a_value_that_is_filled_in_from_the_address_needs_another_container_when_that_changes() -> None:
    spec = replace(
        SPEC, networks=(replace(NET, ipv4_address="10.20.0.9"),), environment=(("IP", "{{.Overlay.IP}}"),)
    )
    new = replace(spec, networks=(replace(NET, ipv4_address="10.20.0.8"),))

    assert observed(spec, new).replica == replica_of(spec)


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow], max_examples=examples(60))
@given(old=specs(), changed=changes())
def test_what_is_foretold_is_what_is_found(old: ContainerSpec, changed: dict[str, Any]) -> None:
    new = replace(old, **changed)
    found, foretold = observed(old, new), in_place(old, new, replica_of(new))

    assert (found.replica == replica_of(new)) == (foretold is not None)
    if foretold is not None:
        assert set(found.differences) == set(foretold)


# ---- A restart that the operator asks for

_AT, _LATER = "2026-11-30T16:00:00Z", "2026-11-30T17:00:00Z"


@pytest.mark.parametrize(
    ("before", "after", "stays"),
    [(None, _AT, False), (_AT, _LATER, False), (_AT, _AT, True), (_AT, None, True)],
)
def test_another_time_of_a_restart_needs_another_container_and_none_does_not(
    before: str | None, after: str | None, stays: bool
) -> None:
    old, new = replace(SPEC, restarted_at=before), replace(SPEC, restarted_at=after)
    assert (in_place(old, new, replica_of(old)) == ()) is stays

    request = create_request(old, replica_of(old), project="prod", cluster="test", name="prod-order-1")
    wanted = replica_of(new)
    specs = {each.spec: spec for each, spec in ((replica_of(old), old), (wanted, new))}
    labels = request.body["Labels"]
    found = regarded(replica_of(old), labels, {wanted.key: wanted}, specs, context)
    assert (found == wanted) is stays
