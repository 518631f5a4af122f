"""Every field of the vocabulary on a real engine: what was said is found, and nothing that image or engine adds is."""

import contextlib
import itertools
from collections.abc import Iterator
from dataclasses import replace
from ipaddress import IPv4Network

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agent.clients.docker import Engine
from agent.diff.container import TABLE, FillContext, create_request
from agent.diff.container.row import Found
from agent.errors import Refused
from agent.model.host_state import Difference
from agent.model.intent import NetworkIntent
from agent.model.records import Replica
from agent.model.spec import ContainerSpec, spec_hash
from tests.contract.engines import CLUSTER, DockerScene
from tests.fakes.container_inspect import inspect_of
from tests.support.docker_daemon import BARE, RICH, DockerDaemon
from tests.support.engine_defaults import DECLARED
from tests.support.field_samples import SAMPLES, Sample
from tests.support.spec_strategies import NETWORKS, specs
from tests.support.thoroughness import examples
from tests.unit.intent.documents import parse, service

NOTHING = ("nothing", "no")
"""How it is told that an engine or kernel that cannot do something has dropped it."""

_numbers = itertools.count(1)


@pytest.fixture(scope="module")
def engine(dockerd: DockerDaemon) -> Iterator[Engine]:
    scene = DockerScene(dockerd)
    for slot, name in enumerate(NETWORKS):
        subnet = IPv4Network(f"10.2{slot}.0.0/16")
        scene.engine.create_network(NetworkIntent(key=name, name=name, driver="bridge", subnet=subnet))
    yield scene.engine
    scene.clean()
    scene.close()


def _differences(engine: Engine, spec: ContainerSpec) -> tuple[Difference, ...]:
    """Create a container as `spec` says, look at it, and remove it."""
    replica = Replica(service="order", slot=next(_numbers), spec=spec_hash(spec))
    name = f"prod-order-{replica.slot}"
    made = engine.create_container(create_request(spec, replica, project="prod", cluster=CLUSTER, name=name))
    try:
        (found,) = engine.containers({replica.spec: spec}, _context).ours
    finally:
        engine.remove_container(made)
    return found.differences


def _said(sample: Sample, image: str) -> ContainerSpec:
    spec = ContainerSpec(image=image, command=("sleep", "1000"))
    if sample.field == "image":
        return spec
    return replace(spec, **sample.beside, **{sample.field: sample.value})


def _context(replica: Replica) -> FillContext:
    return FillContext(host="host-1", service=replica.service, slot=replica.slot)


@pytest.mark.parametrize("image", [BARE, RICH])
@pytest.mark.parametrize("sample", SAMPLES, ids=str)
def test_what_was_said_is_found_again(engine: Engine, sample: Sample, image: str) -> None:
    found = _differences(engine, _said(sample, image))

    dropped = [each for each in found if sample.dropped and each.found in NOTHING]
    assert [each for each in found if each not in dropped] == []
    assert "replace" not in {each.repair for each in dropped}


@pytest.mark.parametrize("image", [BARE, RICH])
@pytest.mark.parametrize("sample", SAMPLES, ids=str)
def test_the_engine_in_memory_shows_what_the_real_one_shows(
    engine: Engine, dockerd: DockerDaemon, sample: Sample, image: str
) -> None:
    spec = _said(sample, image)
    replica = Replica(service="order", slot=next(_numbers), spec=spec_hash(spec))
    request = create_request(
        spec, replica, project="prod", cluster=CLUSTER, name=f"prod-order-{replica.slot}"
    )
    made = engine.create_container(request)
    with contextlib.closing(dockerd.client()) as client:
        real = client.inspect_container(made)
        of_image = client.inspect_image(image)  # type: ignore[no-untyped-call]
    engine.remove_container(made)

    simulated = inspect_of(request.body, of_image, container_id=made, name=request.name)

    for row in TABLE:
        dropped = sample.dropped and row.field == sample.field
        machines_choice = row.field == "cgroup" and not spec.cgroup
        if dropped or machines_choice:
            continue
        assert row.found(Found(simulated, of_image)) == row.found(Found(real, of_image)), row.field


@pytest.mark.parametrize("field", DECLARED)
def test_the_engines_own_value_is_no_difference_whether_it_is_put_in_or_taken_out(
    engine: Engine, field: str
) -> None:
    services = (parse(service(keys)).services[0] for keys in DECLARED[field])
    specs_ = [replace(each.spec, image=BARE, command=("sleep", "9"), networks=()) for each in services]
    for old, new in itertools.permutations(specs_):
        was, now = (
            Replica(service="order", slot=next(_numbers), spec=spec_hash(each)) for each in (old, new)
        )
        now = replace(now, slot=was.slot)
        known = {spec_hash(each): each for each in (old, new)}
        made = engine.create_container(
            create_request(old, was, project="prod", cluster=CLUSTER, name="prod-o-1")
        )
        try:
            (found,) = engine.containers(known, _context, assigned=frozenset({now})).ours
        finally:
            engine.remove_container(made)
        assert found.replica == now
        # Without the cgroups of version 2 the engine gives a container those of the host.
        assert {each.field for each in found.differences} <= {"cgroup"} & {field}


def test_of_an_image_that_says_everything_nothing_is_a_difference(engine: Engine) -> None:
    assert _differences(engine, ContainerSpec(image=RICH)) == ()


@settings(
    max_examples=examples(25, 200), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(spec=st.sampled_from([BARE, RICH]).flatmap(lambda image: specs(image=image)))
def test_a_container_made_from_any_spec_has_no_differences(engine: Engine, spec: ContainerSpec) -> None:
    assert _differences(engine, spec) == ()


def test_what_the_engine_does_not_take_is_refused_and_leaves_nothing(engine: Engine) -> None:
    with pytest.raises(Refused):
        _differences(engine, ContainerSpec(image=BARE, command=("true",), working_dir="not/absolute"))

    assert engine.containers({}, _context).ours == ()
