"""Whatever an engine is told, it is found to be as it was told."""

from dataclasses import replace
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from agent.diff.container import create_request, describe_change, differences
from agent.model.records import Replica
from agent.model.spec import ContainerSpec, spec_hash
from tests.fakes.container_inspect import inspect_of
from tests.support.spec_strategies import specs
from tests.unit.diff.container.test_table import BARE, ID, RICH

IMAGES = st.sampled_from([BARE, RICH])


def _inspect(spec: ContainerSpec, image: dict[str, Any]) -> dict[str, Any]:
    replica = Replica(service="order", slot=1, spec=spec_hash(spec))
    request = create_request(spec, replica, project="prod", cluster="test", name="prod-order-1")
    found = inspect_of(request.body, image, container_id=ID, name=request.name)
    for each in request.more:
        found["NetworkSettings"]["Networks"][each.network] = {
            "Aliases": list(each.aliases),
            "IPAMConfig": {"IPv4Address": each.ipv4_address} if each.ipv4_address else {},
        }
    return found


@given(spec=specs(), image=IMAGES)
def test_a_container_made_from_any_spec_has_no_differences(
    spec: ContainerSpec, image: dict[str, Any]
) -> None:
    assert differences(spec, _inspect(spec, image), image) == ()


@given(spec=specs(), image=IMAGES)
def test_also_when_the_image_is_gone(spec: ContainerSpec, image: dict[str, Any]) -> None:
    assert differences(spec, _inspect(spec, image), None) == ()


@given(old=specs(), new=specs())
def test_a_change_has_words_if_and_only_if_there_is_one(old: ContainerSpec, new: ContainerSpec) -> None:
    assert bool(describe_change(old, new)) == (old != new)


@given(old=specs(), new=specs(), image=IMAGES)
def test_no_value_of_the_environment_is_ever_shown(
    old: ContainerSpec, new: ContainerSpec, image: dict[str, Any]
) -> None:
    secret = "s3cret-of-the-environment"
    old, new = _with_marked_values(old, secret), _with_marked_values(new, secret)

    said = [describe_change(old, new), repr(old), *map(repr, differences(new, _inspect(old, image), image))]

    assert not [each for each in said if secret in each]


def _with_marked_values(spec: ContainerSpec, mark: str) -> ContainerSpec:
    return replace(spec, environment=tuple((key, mark + value) for key, value in spec.environment))
