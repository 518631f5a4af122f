"""What is too large only once aliases are expanded."""

import pytest

from agent.intent.checks import MOST_OF_SPECS
from agent.intent.process import MOST_SPLIT
from agent.model.records import LARGEST_VALUE
from agent.model.spec import encode
from tests.unit.intent.documents import CLUSTER, faults, parse, spec_of

SERVICE = "  s{n}: {{image: a, x-hosts: [one], network_mode: none, {keys}}}\n"


def sharing(value: str, keys: str, count: int) -> str:
    """A document with services that share a value."""
    services = "".join(SERVICE.format(n=n, keys=keys) for n in range(count))
    return f"x-shared: &shared {value}\n{CLUSTER}services:\n{services}"


@pytest.mark.parametrize("line", ["ab " * 1000, "'\"" + "ab " * 1000 + "'"], ids=["words", "without an end"])
def test_lines_are_split_only_as_far_as_that_is_soon_done(line: str) -> None:
    lines = MOST_SPLIT // 3000
    (fault,) = faults(sharing(line, "command: *shared, entrypoint: *shared", lines))
    assert fault.startswith(f"services.s{lines // 2}.command: more than {MOST_SPLIT} characters of commands")


def test_as_many_lines_as_may_be_are_split_and_lists_are_not() -> None:
    words = MOST_SPLIT // 3000
    assert len(parse(sharing("ab " * 999 + "abc", "command: *shared", words)).services) == words
    assert (
        len(parse(sharing("[ab, '" + "x" * 3000 + "']", "command: *shared", 2 * words)).services) == 2 * words
    )


def labels(count: int) -> str:
    return "labels: {" + ", ".join(f"k{n}: *shared" for n in range(count)) + "}"


def test_a_service_that_no_key_of_etcd_can_hold_is_refused() -> None:
    each = 100_000
    most = LARGEST_VALUE // each
    assert len(parse(sharing("x" * each, labels(most - 1), 1)).services) == 1
    (fault,) = faults(sharing("x" * each, labels(most), 1))
    assert fault.startswith("services.s0: has 1500")
    assert fault.endswith(" bytes as JSON, aliases expanded")


@pytest.mark.parametrize("character", ["\\x01", "\U0001f600", "\\n"], ids=["escaped", "wide", "line breaks"])
def test_more_in_etcd_than_an_agent_can_take_is_refused(character: str) -> None:
    text = '"' + character * 100_000 + '"'
    bytes_each = len(encode(spec_of(f"labels: {{k0: {text}}}")))
    within = MOST_OF_SPECS // bytes_each
    assert len(parse(sharing(text, labels(1), within)).services) == within
    (fault,) = faults(sharing(text, labels(1), within + 1))
    assert fault.startswith("services: have 6")
    assert fault.endswith(" bytes as JSON, aliases expanded")
