"""The canonical form of a container spec, by which it is stored, compared and named."""

import dataclasses

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.errors import Invalid
from agent.model.spec import ContainerSpec, Healthcheck, Port, decode, encode, spec_hash

SPEC = ContainerSpec(
    image="shop/web:1.0",
    command=("serve", "--port", "80"),
    environment=(("A", "1"), ("PASSWORD", "hunter2")),
    ports=(Port(target=80, published=8080),),
    healthcheck=Healthcheck(test=("CMD", "true"), interval_s=10.0),
)


def test_the_canonical_form_has_sorted_keys_and_no_defaults() -> None:
    assert encode(SPEC).decode() == (
        '{"command":["serve","--port","80"],"environment":[["A","1"],["PASSWORD","hunter2"]],'
        '"healthcheck":{"interval_s":10.0,"test":["CMD","true"]},"image":"shop/web:1.0",'
        '"ports":[{"published":8080,"target":80}]}'
    )


def test_the_name_of_a_spec_does_not_change_between_versions() -> None:
    assert (
        spec_hash(ContainerSpec(image="a"))
        == "a4db6e5b124155fd9ecba86f65b779ff6521944a2f844c3623abf415186f6350"
    )


def test_only_the_image_must_be_said() -> None:
    required = [
        each.name for each in dataclasses.fields(ContainerSpec) if each.default is dataclasses.MISSING
    ]
    assert required == ["image"]
    assert encode(ContainerSpec(image="a")) == b'{"image":"a"}'


def test_an_empty_command_is_not_an_unsaid_one() -> None:
    assert spec_hash(ContainerSpec(image="a", command=())) != spec_hash(ContainerSpec(image="a"))


def test_no_variable_of_the_environment_is_shown_by_repr() -> None:
    assert "hunter2" not in repr(SPEC)


@settings(deadline=None)
@given(st.builds(ContainerSpec))
def test_what_is_encoded_is_decoded(spec: ContainerSpec) -> None:
    assert decode(encode(spec)) == spec
    assert encode(decode(encode(spec))) == encode(spec)


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"null",
        b"[]",
        b"{}",
        b'{"image":1}',
        b'{"image":"a","later":1}',
        b'{"image":"a","ports":[{"target":80,"later":1}]}',
        b'{"image":"a","restart":{"name":"sometimes"}}',
        b'{"image":"\xff"}',
        b'{"image":"a"}{"image":"b"}',
        b"[" * 100_000,
    ],
)
def test_anything_that_this_version_cannot_read_whole_is_refused(raw: bytes) -> None:
    with pytest.raises(Invalid):
        decode(raw)


@pytest.mark.parametrize(
    "raw",
    [
        b'{"image":"a" }',
        b'{"image":"a","tty":false}',
        b'{"ports":[],"image":"a","init":null}',
        b'{"image":"a","later":false,"latest":{"of":[]}}',
    ],
)
def test_an_encoding_of_another_version_means_the_same(raw: bytes) -> None:
    assert decode(raw) == ContainerSpec(image="a")
