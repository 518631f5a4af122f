"""Compiles a Compose project: substitutes variables, merges files, and rewrites each service for a document."""

import re
from contextlib import suppress
from dataclasses import dataclass, replace

import yaml

from agent.compose import numbers
from agent.compose.merge import merge
from agent.compose.rewrite import Rewriter
from agent.compose.sources import Project, Source
from agent.compose.variables import FaultyVariable, Variables
from agent.errors import Invalid
from agent.yamldoc import Cursor, Faults, open_document
from agent.yamldoc.compose import Mapping, Node, Scalar, Sequence
from agent.yamldoc.edit import child, text_of
from agent.yamldoc.faultlist import quoted


@dataclass(frozen=True, slots=True, kw_only=True)
class Compiled:
    """The document of a project."""

    root: Cursor
    """Its nodes have their places in the project's files."""
    text: str
    warnings: tuple[str, ...] = ()


def compile_project(project: Project) -> Compiled:
    """Return the document of the project. Raises InvalidDocument with the faults of every file."""
    faults = Faults()
    opened = [_opened(source, faults) for source in project.sources]
    name = _name(project, opened)
    variables = Variables({**project.variables, _NAME: name})
    rewriter = Rewriter(project, name, variables, faults)
    merged: Mapping | None = None
    for each in opened:
        read = _substituted(each, variables, rewriter.warnings, {})
        assert isinstance(read, Mapping)
        merged = read if merged is None else merge(merged, read, faults)
    assert merged is not None
    root = _escaped(rewriter.document(merged), {})
    faults.raise_if_any()
    unset = (f"the variable {each} is not set: empty text stands for it" for each in variables.unset)
    header = f"# Made by swarmkeeper compile of {', '.join(each.name for each in project.sources)}.\n"
    return Compiled(
        root=Cursor(node=root, path="", faults=faults),
        text=header + _emitted(root),
        warnings=(*unset, *rewriter.warnings),
    )


def _opened(source: Source, faults: Faults) -> Cursor:
    opened = open_document(source.raw, source.name)
    if not isinstance(opened.node, Mapping):
        opened.mistyped("a mapping")
        opened.faults.stop()
    faults.take(opened.faults)
    return Cursor(node=opened.node, path="", faults=faults)


_NAME = "COMPOSE_PROJECT_NAME"


def _name(project: Project, opened: list[Cursor]) -> str:
    """Return the project's name: of the environment, of the last file that has one, or else of the folder.

    Compose makes a name of the latter two by leaving out what a name cannot have. Raises Invalid if nothing is left.
    """
    if given := project.variables.get(_NAME):
        if given == _as_name(given):
            return given
        raise Invalid(f"{_NAME} {quoted(given)} is not a project name: write a-z, 0-9, _ and -")
    written = [text_of(child(each.node, "name")) for each in reversed(opened)]
    for each in (*written, project.folder.name):
        with suppress(Invalid):  # the place is named when all values are substituted
            if name := _as_name(Variables(project.variables).substitute(each)):
                return name
    raise Invalid(
        f"the folder {quoted(project.folder.name)} gives no name to the project: set {_NAME}, or write name:"
    )


def _as_name(text: str) -> str:
    return re.sub(r"[^a-z0-9_-]", "", text.lower()).lstrip("_-")


def _substituted(here: Cursor, variables: Variables, warnings: list[str], done: dict[int, Node]) -> Node:
    """Return the nodes with the variables of all values replaced. Keys have none. An aliased node stays one node."""
    node = here.node
    if id(node) in done:
        return done[id(node)]
    match node:
        case Sequence():
            items = [
                _substituted(here.at(number), variables, warnings, done) for number in range(len(node.items))
            ]
            done[id(node)] = replace(node, items=items)
        case Mapping():
            entries = {
                name: (key, _substituted(here.at(name), variables, warnings, done))
                for name, (key, _) in node.entries.items()
            }
            done[id(node)] = replace(node, entries=entries)
        case Scalar():
            done[id(node)] = _replaced(here, node, variables, warnings)
    return done[id(node)]


def _replaced(here: Cursor, node: Scalar, variables: Variables, warnings: list[str]) -> Scalar:
    if "$" not in node.text:
        text = numbers.respelled(node.text) if node.plain and not here.path.endswith(".mode") else node.text
        if text is None:
            here.hidden().fault(numbers.PROBLEM, numbers.REMEDY)
        elif text != node.text:
            if numbers.is_text_at(here.path):
                warnings.append(
                    f"{node.file}, line {node.line}: {here.path} {numbers.PROBLEM}: {numbers.REMEDY}"
                )
            return replace(node, text=text)
        return node
    try:
        text = variables.substitute(node.text)
    except FaultyVariable as error:
        here.hidden().fault(error.problem, error.remedy)
        return node
    # Text that a variable left empty is text: a document would read an empty plain value as no value.
    return replace(node, text=text, plain=node.plain and text != "")


def _escaped(node: Node, done: dict[int, Node]) -> Node:
    """Return the nodes with `$$` for `$` in all values: a document has no variables."""
    if id(node) in done:
        return done[id(node)]
    match node:
        case Scalar():
            made: Node = replace(node, text=node.text.replace("$", "$$")) if "$" in node.text else node
        case Sequence():
            made = replace(node, items=[_escaped(each, done) for each in node.items])
        case Mapping():
            made = replace(
                node, entries={k: (key, _escaped(value, done)) for k, (key, value) in node.entries.items()}
            )
    done[id(node)] = made
    return made


# ---- The document as YAML: block style, every alias expanded, no comments

_TEXT, _LIST, _MAPPING = (f"tag:yaml.org,2002:{kind}" for kind in ("str", "seq", "map"))


def _emitted(node: Node) -> str:
    """Return the YAML of a document. Reading it gives equal nodes, but for their places."""
    return str(
        yaml.serialize(_converted(node), Dumper=yaml.BaseDumper, allow_unicode=True, width=10**6, indent=2)
    )


_WORD = re.compile(r"[A-Za-z_][A-Za-z0-9_./-]*")
_OF_YAML_1_1 = frozenset(("y", "yes", "n", "no", "on", "off", "true", "false", "null"))


def _is_word(text: str) -> bool:
    """Return True for text that every reader of YAML takes for text without quotes."""
    return _WORD.fullmatch(text) is not None and text.lower() not in _OF_YAML_1_1


def _converted(node: Node) -> yaml.Node:
    match node:
        case Scalar():
            style = "|" if "\n" in node.text else '"'  # the emitter takes the other where it cannot be
            is_bare = node.plain or _is_word(node.text)
            return yaml.ScalarNode(_TEXT, node.text, style=None if is_bare else style)
        case Sequence():
            return yaml.SequenceNode(_LIST, [_converted(each) for each in node.items], flow_style=False)
        case Mapping():
            pairs = [(_converted(key), _converted(value)) for key, value in node.entries.values()]
            return yaml.MappingNode(_MAPPING, pairs, flow_style=False)
