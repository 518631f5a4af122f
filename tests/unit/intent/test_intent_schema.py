"""The JSON Schema of the document offers what the parser takes, and nothing that it refuses by name."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.intent import json_schema
from agent.intent.refused import SERVICE_REFUSED, TOP_REFUSED
from tests.support.examples import STACKS, compiled
from tests.unit.intent.bad import GOOD
from tests.unit.intent.documents import CLUSTER, faults, service
from tests.unit.intent.offered import complaints
from tests.unit.intent.test_intent_properties import KEYS, VALUES

ROOT = Path(__file__).parents[3]
DOCUMENTS = sorted((ROOT / "tests/unit/intent/good").glob("*.yaml"))


def refused_keys(schema: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """Where the schema has a key only to say that it is not supported."""
    if not isinstance(schema, dict):
        return
    for key, form in schema.get("properties", {}).items():
        if form.get("not") == {}:
            yield (*path, key)
        yield from refused_keys(form, (*path, key))
    for inner in ("additionalProperties", "items"):
        yield from refused_keys(schema.get(inner), path)
    for form in schema.get("anyOf", ()):
        yield from refused_keys(form, path)


def unspoken(schema: Any, path: str = "") -> Iterator[str]:
    """Where the schema has a key and does not say what may be in it."""
    for key, form in schema.get("properties", {}).items():
        if not form.keys() - {"description"}:
            yield f"{path}.{key}"
        yield from unspoken(form, f"{path}.{key}")
    for form in (*schema.get("anyOf", ()), schema.get("items"), schema.get("additionalProperties")):
        if isinstance(form, dict):
            yield from unspoken(form, path)


def test_it_is_a_schema() -> None:
    jsonschema.Draft7Validator.check_schema(json_schema())


def test_it_says_of_every_key_what_may_be_in_it() -> None:
    assert list(unspoken(json_schema())) == []


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_a_document_is_offered(document: Path) -> None:
    assert complaints(document.read_text()) == []


@pytest.mark.parametrize("stack", STACKS)
def test_what_is_compiled_of_an_example_is_offered(stack: str) -> None:
    assert complaints(compiled(stack)) == []


def test_the_documents_that_tests_are_made_from_are_offered() -> None:
    assert complaints(GOOD) == complaints(f"{CLUSTER}services: {{}}") == []


@settings(max_examples=600, deadline=None)
@given(st.sampled_from(KEYS), VALUES)
def test_what_the_parser_takes_is_offered(key: str, value: str) -> None:
    document = service(f"{key}: {value}")
    if not faults(document):
        assert complaints(document) == []


@pytest.mark.parametrize("key", SERVICE_REFUSED)
def test_a_key_of_a_service_that_is_refused_is_not_offered(key: str) -> None:
    assert [each for each in complaints(service(f"{key}: 1")) if each.startswith(f"services.web.{key}:")]


@pytest.mark.parametrize("key", TOP_REFUSED)
def test_a_section_that_is_refused_is_not_offered(key: str) -> None:
    assert complaints(f"{CLUSTER}services: {{}}\n{key}: 1")


def test_every_table_of_refused_keys_is_in_it() -> None:
    found = set(refused_keys(json_schema()))
    for path in (
        ("x-cluster", "swarm", "advertise"),
        ("x-cluster", "gwbridge", "name"),
        ("networks", "enable_ipv6"),
        ("networks", "ipam", "config", "ip_range"),
        ("secrets", "external"),
        ("services", "networks", "mac_address"),
        ("services", "deploy", "restart_policy", "delay"),
        ("services", "deploy", "resources", "reservations", "generic_resources"),
        ("services", "healthcheck", "start_interval"),
        ("services", "ports", "name"),
        ("services", "secrets", "uid"),
    ):
        assert path in found, path


def test_what_is_misspelt_is_not_offered() -> None:
    assert complaints(service("imgae: web"))
    assert complaints(service("restart: sometimes"))
    assert complaints(service("mem_limit: plenty"))
