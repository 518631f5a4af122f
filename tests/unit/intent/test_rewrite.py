"""One value is written into a document: the reader finds that one change, and all other lines are the same bytes."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.errors import Invalid
from agent.intent import parse_intent
from agent.intent.rewrite import plain, rewritten
from agent.yamldoc import open_document

HOSTS = ("one", "two", "host-3.example")
MODE = ("x-cluster", "policy", "mode")


def availability(name: str) -> tuple[str, ...]:
    return ("x-cluster", "hosts", name, "availability")


@st.composite
def documents(draw: st.DrawFn) -> str:
    """A valid document in one of the forms that people write: block or flow, quotes, comments, line ends."""
    pad = " " * draw(st.integers(1, 4))
    comment = st.sampled_from(["", "  # a comment: {not, read}", "   # ünïcode \U0001f600"])
    quote = st.sampled_from(["", "'", '"'])

    def word(text: str) -> str:
        mark = draw(quote)
        return f"{mark}{text}{mark}"

    lines = ["name: shop" + draw(comment), "x-cluster:" + draw(comment), f"{pad}version: 1", f"{pad}hosts:"]
    for number, name in enumerate(HOSTS, 1):
        entries = {"address": word(f"10.0.0.{number}"), "role": word("manager")}
        if draw(st.booleans()):
            entries["availability"] = word(draw(st.sampled_from(["active", "drain", "pause"])))
        pairs = draw(st.permutations([f"{key}: {value}" for key, value in entries.items()]))
        if draw(st.booleans()):
            gap = draw(st.sampled_from(["", " "]))
            lines.append(f"{pad * 2}{word(name)}: {{{gap}{', '.join(pairs)}{gap}}}" + draw(comment))
        else:
            lines.append(f"{pad * 2}{word(name)}:" + draw(comment))
            lines += [f"{pad * 3}{each}" + draw(comment) for each in pairs]
    lines.append(f"{pad}gwbridge: {{subnet: 172.21.0.0/20}}")
    policy = draw(st.sampled_from(["none", "empty", "flow", "block"]))
    mode = word(draw(st.sampled_from(["enforce", "observe", "paused"])))
    if policy == "block":
        lines += [f"{pad}policy:" + draw(comment), f"{pad * 2}# above", f"{pad * 2}deletion_guard: 30%"]
        lines += [f"{pad * 2}mode: {mode}" + draw(comment)] if draw(st.booleans()) else []
    elif policy != "none":
        lines.append(f"{pad}policy: {{{f'mode: {mode}' if policy == 'flow' else ''}}}" + draw(comment))
    lines += ["services: {}", "# the end"]
    end = draw(st.sampled_from(["\n", "\r\n"]))
    return draw(st.sampled_from(["", "\ufeff"])) + end.join(lines) + draw(st.sampled_from(["", end]))


def with_value(document: str, path: tuple[str, ...], value: str) -> object:
    """What the reader is to find, in types of JSON."""
    wanted = plain(open_document(document.encode()).node)
    at = wanted
    for key in path[:-1]:
        at = at.setdefault(key, {})
    at[path[-1]] = value
    return wanted


changes = st.one_of(
    st.tuples(st.sampled_from(HOSTS).map(availability), st.sampled_from(["active", "drain"])),
    st.tuples(st.just(MODE), st.sampled_from(["enforce", "paused"])),
)


@given(document=documents(), change=changes)
def test_the_reader_finds_exactly_that_change_and_all_other_lines_are_the_same_bytes(
    document: str, change: tuple[tuple[str, ...], str]
) -> None:
    path, value = change
    written = rewritten(document.encode(), path, value)
    assert plain(open_document(written).node) == with_value(document, path, value)
    parse_intent(written, 1)
    before, after = (Counter(each.split(b"\n")) for each in (document.encode(), written))
    assert (after - before).total() <= 1
    assert (before - after).total() <= 1


@given(document=documents(), change=changes)
def test_to_write_it_again_changes_nothing(document: str, change: tuple[tuple[str, ...], str]) -> None:
    path, value = change
    written = rewritten(document.encode(), path, value)
    again = rewritten(written, path, value)
    assert plain(open_document(again).node) == plain(open_document(written).node)
    assert len(again.splitlines()) == len(written.splitlines())


HEAD = "name: shop\nservices: {}\nx-cluster:\n  version: 1\n  gwbridge: {subnet: 172.21.0.0/20}\n"


@pytest.mark.parametrize(
    ("hosts", "line"),
    [
        ("  hosts:\n    one: &m {address: 10.0.0.1, role: manager}\n    two: *m\n", 7),
        ("  hosts:\n    two: {address: 10.0.0.2, role: manager}\n    one: &m\n      {role: manager}\n", 8),
        ("  hosts:\n    one:\n      availability: &a active\n      role: manager\n    two: {x: *a}\n", 8),
        ("  hosts:\n    one:\n      availability: |-\n        active\n      role: manager\n", 8),
        ("  hosts:\n    one:\n", 7),
    ],
    ids=["an alias of it", "an anchor", "an anchor of the value", "a block of text", "no mapping"],
)
def test_where_that_is_not_safe_the_line_and_what_to_write_is_told(hosts: str, line: int) -> None:
    with pytest.raises(Invalid) as error:
        rewritten((HEAD + hosts).encode(), availability("one"), "drain")
    assert str(error.value).startswith(f"line {line}: x-cluster.hosts.one.availability cannot be changed")
    assert "write x-cluster.hosts.one.availability: drain by hand" in str(error.value)


@pytest.mark.parametrize("mark", ["", "'", '"'])
def test_a_replaced_value_keeps_its_quotes(mark: str) -> None:
    text = HEAD + "  policy: {deletion_guard: 30%, mode: " + mark + "enforce" + mark + "}\n"
    assert rewritten(text.encode(), MODE, "paused").decode() == text.replace("enforce", "paused")


def test_a_value_that_is_merged_from_another_host_is_left_as_it_is() -> None:
    """It stands at the other host, which would change too."""
    hosts = "  hosts:\n    two: &m {address: 10.0.0.2, role: manager, availability: active}\n    one:\n      <<: *m\n"
    text = HEAD + hosts + "      address: 10.0.0.1\n"
    with pytest.raises(Invalid, match=r"line 7: x-cluster\.hosts\.one\.availability cannot be changed"):
        rewritten(text.encode(), availability("one"), "drain")
