"""Every refusal says the way out: an edit or a right value. One mistake has one fault, and its words mend it.

The texts are collected from the source (`fault`, `conflict` and the like with what they are given), from the tables of
keys that are refused, and from documents with one key or value changed.
"""

import ast
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from agent.config import OPTIONS as CONFIG
from agent.intent import json_schema, read_intent
from agent.model.faults import Fault, InvalidDocument
from agent.yamldoc import Cursor, Faults, open_document
from agent.yamldoc.compose import Mapping, Node, Scalar, Sequence
from tests.support.thoroughness import thorough
from tests.unit.intent.bad import BAD, GOOD
from tests.unit.intent.test_intent_bad_documents import refusal
from tests.unit.intent.test_intent_properties import EVERYTHING

AGENT = Path(__file__).parents[3] / "agent"
SOURCES = sorted(
    [
        *AGENT.glob("intent/*.py"),
        *AGENT.glob("yamldoc/*.py"),
        *AGENT.glob("compose/*.py"),
        AGENT / "config.py",
    ]
)
GIVERS = {
    "fault": 1, "conflict": 1, "_fault": 2, "_stop": 2, "missing": 1, "require": 2, "refuse": 2, "guess": 2,
}  # fmt: skip
"""The functions that note a fault, and the number of the argument that is its remedy."""
EDITS = (
    "add", "apply", "attach", "begin", "change", "chmod", "choose", "compile", "correct", "declare", "give", "indent",
    "keep", "label", "let", "list", "lower", "make", "merge", "mount", "name", "publish", "push", "put", "raise",
    "remove", "run", "save", "set", "split", "take", "use", "write",
)  # fmt: skip
_EDIT = re.compile(rf"(?:^|[;:,] |\b(?:or|and) )(?:{'|'.join(EDITS)})\b")
_VALUE = re.compile(r"did you mean |the (?:maximum|minimum) is |needs at least one")


def says_the_way_out(remedy: str) -> bool:
    return bool(_EDIT.search(remedy) or _VALUE.search(remedy))


# ---- The source


def _texts(node: ast.expr, names: dict[str, list[ast.expr]], depth: int = 0) -> Iterator[str]:
    """Every text that an expression can be, with X for what is only known when it runs; none if nothing is known."""
    match node:
        case ast.Constant(value=str(text)):
            yield text
        case ast.JoinedStr(values=values):
            known = (
                [*_texts(each.value, names, depth)] for each in values if isinstance(each, ast.FormattedValue)
            )
            filled = (found[0] if found else "X" for found in known)
            yield "".join(
                str(each.value) if isinstance(each, ast.Constant) else next(filled) for each in values
            )
        case ast.BoolOp(values=values):
            for each in values:
                yield from _texts(each, names, depth)
        case ast.IfExp(body=body, orelse=other):
            yield from _texts(body, names, depth)
            yield from _texts(other, names, depth)
        case ast.BinOp(left=ast.Constant(value=str(text)), op=ast.Add()):
            yield f"{text}X"
        case ast.Name(id=name) if depth < 3:
            for each in names.get(name, []):
                yield from _texts(each, names, depth + 1)


def _given() -> Iterator[tuple[str, str]]:
    """(place, remedy) of each call in the source, as far as its text is written there."""
    for path in SOURCES:
        tree = ast.parse(path.read_text())
        constants = [each for each in tree.body if isinstance(each, ast.Assign)]
        for function in (each for each in ast.walk(tree) if isinstance(each, ast.FunctionDef)):
            names: dict[str, list[ast.expr]] = {}
            for each in [*constants, *(node for node in ast.walk(function) if isinstance(node, ast.Assign))]:
                for target in each.targets:
                    if isinstance(target, ast.Name):
                        names.setdefault(target.id, []).append(each.value)
            for call in (node for node in ast.walk(function) if isinstance(node, ast.Call)):
                called = (
                    call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")
                )
                at = GIVERS.get(called)
                if at is not None and len(call.args) > at:
                    for text in _texts(call.args[at], names):
                        yield f"{path.name}:{call.lineno}", text


GIVEN = [*_given()]


def test_the_source_is_read() -> None:
    assert len({place for place, _ in GIVEN}) > 120


@pytest.mark.parametrize(("place", "remedy"), [each for each in GIVEN if each[1]])
def test_every_remedy_in_the_source_names_an_edit_or_a_value(place: str, remedy: str) -> None:
    assert says_the_way_out(remedy), f"{place}: {remedy}"


def test_a_remedy_that_names_neither_would_be_found() -> None:
    told = ("is empty", "x-cluster.hosts has a, b or c", "Docker wants two characters", "")
    assert [each for each in told if says_the_way_out(each)] == []


# ---- Keys that are refused


def _refused(form: Any) -> Iterator[str]:
    if isinstance(form, dict):
        if form.get("not") == {}:
            yield form["description"]
        for each in form.values():
            yield from _refused(each)
    elif isinstance(form, list):
        for each in form:
            yield from _refused(each)


@pytest.mark.parametrize("told", sorted({*_refused(json_schema())}))
def test_every_refused_key_has_its_reason_and_the_way_out(told: str) -> None:
    problem, _, remedy = told.rpartition("; ")
    assert problem
    assert says_the_way_out(remedy)


# ---- Documents with one mistake

WRONG = "?!"


def faults_of(root: Node) -> list[Fault]:
    try:
        read_intent(Cursor(node=root, path="", faults=Faults()), revision=1)
    except InvalidDocument as error:
        return [*error.faults]
    return []


def _scalar(place: Node, text: str, *, plain: bool = True) -> Scalar:
    return Scalar(text=text, plain=plain, line=place.line, column=place.column)


def _instead(value: Node) -> Iterator[tuple[str, Node]]:
    """Values that are seldom right where `value` is."""
    yield "a word", _scalar(value, WRONG)
    others = (
        ("nothing", _scalar(value, "")),
        ("no text", _scalar(value, "", plain=False)),
        ("a list", Sequence(line=value.line, column=value.column, items=[_scalar(value, "a")])),
        ("an empty list", Sequence(line=value.line, column=value.column)),
        ("an empty mapping", Mapping(line=value.line, column=value.column)),
    )
    yield from others if thorough else [others[(value.line + value.column) % len(others)]]


def _mistakes(node: Node, path: str = "") -> Iterator[tuple[str, Node]]:
    """(what, root) with one key removed or misspelled, or one value replaced."""
    if isinstance(node, Mapping):
        for key, (at, value) in node.entries.items():
            here = f"{path}.{key}"
            rest = {name: each for name, each in node.entries.items() if name != key}
            yield f"{here} removed", replace(node, entries=rest)
            misspelt = f"{key}{key[-1]}"
            yield (
                f"{here} misspelt",
                replace(node, entries={**rest, misspelt: (replace(at, text=misspelt), value)}),
            )
            for what, other in (*_mistakes(value, here), *((f"{here} {w}", n) for w, n in _instead(value))):
                yield what, replace(node, entries={**node.entries, key: (at, other)})
    elif isinstance(node, Sequence):
        for number, value in enumerate(node.items):
            here = f"{path}[{number}]"
            for what, other in (*_mistakes(value, here), *((f"{here} {w}", n) for w, n in _instead(value))):
                yield what, replace(node, items=[*node.items[:number], other, *node.items[number + 1 :]])


def _roots() -> Iterator[tuple[str, Node]]:
    for text in (GOOD, EVERYTHING):
        yield from _mistakes(open_document(text.encode()).node)


REFERENCES = re.compile(
    r"is not declared|is not a declared host|is not one of the declared|no host is a manager"
)
"""Each place that names what is not declared any more has its own fault."""
MISSING = re.compile(r"'[\w-]+' is missing")
"""An empty mapping lacks each key that is required."""


def test_one_mistake_has_one_fault_and_its_words_mend_it() -> None:
    """What a remedy gives as a value is none of those that are refused; it may clash with others."""
    seen: set[str] = set()
    tried = 0
    for what, root in _roots():
        found = faults_of(root)
        seen |= {each.problem for each in found}
        for each in found:
            assert says_the_way_out(each.remedy), f"{what}: {each}"
            assert each.line >= 1
            assert each.column >= 1
        of_one_kind = any(all(kind.search(each.problem) for each in found) for kind in (REFERENCES, MISSING))
        assert len(found) < 2 or of_one_kind, f"{what}:\n" + "\n".join(map(str, found))
        for fault in found if what.endswith((" a word", " misspelt")) else ():
            if (mended := _mended(root, fault)) is not None:
                tried += 1
                left = [each for each in faults_of(mended) if each.kind == "schema"]
                assert left == [], f"{what}: {fault}\n{left[0]}"
    assert len(seen) > 150
    assert tried > 200


def test_every_bad_document_has_faults_with_the_way_out() -> None:
    told = [each for bad in BAD for each in refusal(bad.document).faults]
    assert [str(each) for each in told if not says_the_way_out(each.remedy)] == []


_MEANT = re.compile(r"did you mean '?([^'?]+)'?\?")
_EXAMPLE = re.compile(r"write for example ([^\s[{]\S*(?: [a-z0-9:*]+ [rwm]+)?)(?: or | \(|,|;|$)")


def _mended(root: Node, fault: Fault) -> Node | None:
    """The document with the value or the key that the fault's remedy names; None if it names no single one."""
    found = _MEANT.search(fault.remedy) or _EXAMPLE.search(fault.remedy)
    return _put(root, fault, found[1].strip("\"'")) if found else None


def _put(node: Node, fault: Fault, text: str) -> Node:
    is_here = (node.line, node.column) == (fault.line, fault.column)
    match node:
        case Scalar() if is_here and node.text == WRONG:
            return _scalar(node, text, plain=False)
        case Sequence():
            return replace(node, items=[_put(each, fault, text) for each in node.items])
        case Mapping():
            entries = {}
            for name, (key, value) in node.entries.items():
                is_here = (fault.line, fault.column) in ((key.line, key.column), (value.line, value.column))
                new = (
                    text if is_here and f"'{name}'" in fault.problem and _MEANT.search(fault.remedy) else name
                )
                entries[new] = (replace(key, text=new), _put(value, fault, text))
            return replace(node, entries=entries)
    return node


def test_the_options_of_agent_yaml_are_among_the_sources() -> None:
    assert CONFIG
    assert any(place.startswith("config.py") for place, _ in GIVEN)
