"""Compiles a Compose project: substitutes variables, merges files, and rewrites each service for a document."""

import re
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial

import yaml

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
        read = _each_value(each, partial(_substituted, variables=variables, warnings=rewriter.warnings), {})
        assert isinstance(read, Mapping)
        merged = read if merged is None else merge(merged, read, faults)
    assert merged is not None
    root = Cursor(node=rewriter.document(merged), path="", faults=faults)
    root = replace(root, node=_each_value(root, _escaped, {}))
    faults.raise_if_any()
    unset = (f"the variable {each} is not set: empty text stands for it" for each in variables.unset)
    header = f"# Made by swarmkeeper compile of {', '.join(each.name for each in project.sources)}.\n"
    text = yaml.serialize(
        _converted(root.node), Dumper=yaml.BaseDumper, allow_unicode=True, width=10**6, indent=2
    )
    return Compiled(root=root, text=f"{header}{text}", warnings=(*unset, *rewriter.warnings))


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


def _each_value(here: Cursor, change: Callable[[Cursor, Scalar], Scalar], done: dict[int, Node]) -> Node:
    """Return the nodes with all values changed. Keys stay. An aliased node stays one node, and is changed once."""
    node = here.node
    if id(node) in done:
        return done[id(node)]
    match node:
        case Sequence():
            items = [_each_value(each, change, done) for each in here.items()]
            done[id(node)] = replace(node, items=items)
        case Mapping():
            below = {name: _each_value(here.at(name), change, done) for name in node.entries}
            entries = {name: (key, below[name]) for name, (key, _) in node.entries.items()}
            done[id(node)] = replace(node, entries=entries)
        case Scalar():
            done[id(node)] = change(here, node)
    return done[id(node)]


def _substituted(here: Cursor, node: Scalar, variables: Variables, warnings: list[str]) -> Scalar:
    """Return a value with its variables replaced, and in Compose's spelling."""
    if "$" not in node.text:
        text = _respelled(node.text) if node.plain and not here.path.endswith(".mode") else node.text
        if text is None:
            here.hidden().fault(_NOT_PLAIN, _PLAIN_REMEDY)
        elif text != node.text:
            if _TEXTS.search(here.path):
                why = f"{here.path} {_NOT_PLAIN}: {_PLAIN_REMEDY}"
                warnings.append(f"{node.file}, line {node.line}: {why}")
            return replace(node, text=text)
        return node
    try:
        text = variables.substitute(node.text)
    except FaultyVariable as error:
        here.hidden().fault(error.problem, error.remedy)
        return node
    # Text that a variable left empty is text: a document would read an empty plain value as no value.
    return replace(node, text=text, plain=node.plain and text != "")


def _escaped(_: Cursor, node: Scalar) -> Scalar:
    """Return a value with `$$` for `$`: a document has no variables."""
    return replace(node, text=node.text.replace("$", "$$")) if "$" in node.text else node


# ---- Plain values as Compose reads them
#
# Its YAML library makes numbers and times of them, and writes those its own way: `1.10` of an environment is 1.1 in
# Compose's containers, `010` is 8, and a date gets a time and a zone.

_WHOLE = re.compile(r"-?(?:0|[1-9][0-9]{0,17})")
"""A number that stays as it is written."""
_DECIMAL = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?")
_OF_ANOTHER_BASE = re.compile(r"[-+]?0(?:[0-9]+|o[0-7]+|b[01]+|x[0-9a-fA-F]+)", re.IGNORECASE)
_TIME = re.compile(r"[0-9]{4}-[0-9]{1,2}-[0-9]{1,2}(?:[Tt ].*)?")
_SMALLEST, _LARGEST = 1e-4, 1e6
"""Compose writes other numbers with an exponent."""
_TEXTS = re.compile(r"^x-|\.(?:environment|labels|annotations|sysctls|driver_opts|options|group_add)\b")
"""Found in the path of a place whose value is text: there the spelling of a number matters."""
_NOT_PLAIN = "is a number or a time for Compose, which writes it otherwise"
_PLAIN_REMEDY = "put it in quotes for this text, or write the number in plain decimal digits"


def _respelled(text: str) -> str | None:
    """Return the text that Compose makes of a plain value; most stay.

    None: it makes a number or time of the value that few people mean, such as 8 of 010.
    """
    if text in ("True", "TRUE", "False", "FALSE"):
        return text.lower()
    if not text[:1].isdigit() and text[:1] not in ("+", "-", "."):
        return text
    digits = text.replace("_", "")
    if _TIME.fullmatch(text) or (_OF_ANOTHER_BASE.fullmatch(digits) and not _WHOLE.fullmatch(text)):
        return None
    if _WHOLE.fullmatch(text) or not _DECIMAL.fullmatch(digits):
        return text
    number = float(digits)
    if digits != text or not (number == 0 or _SMALLEST <= abs(number) < _LARGEST):
        return None
    return repr(number).removesuffix(".0")


# ---- The document as YAML: block style, every alias expanded, no comments. Reading it gives equal nodes

_TEXT, _LIST, _MAPPING = (f"tag:yaml.org,2002:{kind}" for kind in ("str", "seq", "map"))
_WORD = re.compile(r"[A-Za-z_][A-Za-z0-9_./-]*")
_OF_YAML_1_1 = frozenset(("y", "yes", "n", "no", "on", "off", "true", "false", "null"))
"""Words that a reader of YAML may take for something else than text. It takes others for text without quotes."""


def _converted(node: Node) -> yaml.Node:
    match node:
        case Scalar():
            style = "|" if "\n" in node.text else '"'  # the emitter takes the other where it cannot be
            is_word = _WORD.fullmatch(node.text) is not None and node.text.lower() not in _OF_YAML_1_1
            is_bare = node.plain or is_word
            return yaml.ScalarNode(_TEXT, node.text, style=None if is_bare else style)
        case Sequence():
            return yaml.SequenceNode(_LIST, [_converted(each) for each in node.items], flow_style=False)
        case Mapping():
            pairs = [(_converted(key), _converted(value)) for key, value in node.entries.values()]
            return yaml.MappingNode(_MAPPING, pairs, flow_style=False)
