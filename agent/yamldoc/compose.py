"""Builds nodes from YAML text, without recursion. Limits bound the cost of deep nesting and of alias bombs."""

import re
from dataclasses import dataclass, field

import yaml

from agent.model import Frozen
from agent.model.faults import Fault, FaultKind
from agent.yamldoc.faultlist import Faults, shown_key, step

# A scalar keeps its text, so `22:22`, `010`, `yes` and `1.10` keep their spelling. The code below interprets
# the text by the core schema of YAML 1.2 (https://yaml.org/spec/1.2.2/#103-core-schema).
_NULL = frozenset(("", "~", "null", "Null", "NULL"))
_TRUE = frozenset(("true", "True", "TRUE"))
_FALSE = frozenset(("false", "False", "FALSE"))
_INTEGER = re.compile(r"[-+]?[0-9]{1,30}|0o[0-7]{1,30}|0x[0-9a-fA-F]{1,30}")
_FLOAT = re.compile(
    r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)"
)


class Scalar(Frozen):
    """One key or value. `plain` is False for a quoted scalar and for a block scalar."""

    text: str
    plain: bool
    line: int
    column: int
    file: str = ""

    @property
    def is_null(self) -> bool:
        return self.plain and self.text in _NULL

    @property
    def is_text(self) -> bool:
        """True if YAML 1.2 reads the scalar as a string, as it reads every scalar that is not plain."""
        if not self.plain:
            return True
        is_number = _FLOAT.fullmatch(self.text) or whole_number(self.text) is not None
        return not (self.is_null or self.boolean is not None or is_number)

    @property
    def boolean(self) -> bool | None:
        """The boolean, or None for other text. Quotes make no difference: Docker Compose reads "true" as true."""
        return True if self.text in _TRUE else False if self.text in _FALSE else None


class Sequence(Frozen):
    """A list of nodes. An aliased node is the same object in each place."""

    line: int
    column: int
    file: str = ""
    items: list["Node"] = field(default_factory=list)


class Mapping(Frozen):
    """Entries (key, value) by the text of the key, in the document's order; the entries of merge keys come last."""

    line: int
    column: int
    file: str = ""
    entries: dict[str, tuple[Scalar, "Node"]] = field(default_factory=dict)


Node = Scalar | Sequence | Mapping


def whole_number(text: str) -> int | None:
    """Return `text` as a whole number; None for other text. Quotes make no difference, as in Docker Compose."""
    if not _INTEGER.fullmatch(text):
        return None
    return int(text, 8 if text.startswith("0o") else 16 if text.startswith("0x") else 10)


MAX_NODES = 100_000
"""Nodes of a document, keys included, with aliases expanded. About 2000 services have as many."""
MAX_CHARACTERS = 5_000_000
"""Characters of keys and values together, with aliases expanded. It bounds the specs in memory and in etcd."""
MAX_DEPTH = 64
EMPTY = "write its keys, each on a line"

_LOADER = getattr(yaml, "CBaseLoader", yaml.BaseLoader)
_MERGE = "<<"


def compose(text: str, faults: Faults) -> Node:
    """Return the root of the only document in `text`; add its faults. Raises InvalidDocument if reading must stop.

    Its nodes have the file of `faults`.
    """
    composer = _Composer(faults)
    try:
        for event in yaml.parse(text, Loader=_LOADER):
            composer.take(event)
    except yaml.MarkedYAMLError as error:
        _add_syntax_fault(error, text, faults)
        faults.stop()
    except yaml.YAMLError as error:
        faults.add(Fault(kind="yaml", problem=str(error), remedy="save it as UTF-8"))
        faults.stop()
    if composer.root is None or (isinstance(composer.root, Scalar) and composer.root.is_null):
        faults.add(Fault(kind="yaml", problem="the document is empty", remedy=EMPTY))
        faults.stop()
    return composer.root


def _add_syntax_fault(error: yaml.MarkedYAMLError, text: str, faults: Faults) -> None:
    mark = error.problem_mark or error.context_mark
    problem = " ".join(each for each in (error.context, error.problem) if each) or "a syntax error"
    here = text[mark.index : mark.index + 1] if mark else ""
    line, column = (mark.line + 1, mark.column + 1) if mark else (1, 1)
    remedy = _syntax_remedy(problem, here)
    faults.add(Fault(kind="yaml", problem=f"not YAML: {problem}", remedy=remedy, line=line, column=column))


def _syntax_remedy(problem: str, here: str) -> str:
    """Return the remedy for a `problem` of libyaml at the character `here`."""
    if here == "\t":
        return "indent with spaces, not with a tab"
    if here and here in "@`%":
        return f"put a value that begins with {here} in quotes"
    if "Unicode character escape" in problem:
        return "write the character itself, or \\U and eight digits"
    if "mapping values are not allowed" in problem:
        return "put a value that contains ': ' in quotes"
    return "correct the indentation, the quotes or the brackets here or above"


@dataclass(slots=True)
class _Sized:
    """A node, with its size when aliases are expanded."""

    node: Node
    size: int = 1
    characters: int = 0
    height: int = 0


@dataclass(slots=True)
class _Open(_Sized):
    """A sequence or mapping that has not ended yet."""

    node: Sequence | Mapping
    height: int = 1
    anchor: str | None = None
    key: Scalar | None = None
    merges: list[Node] | None = None


class _Composer:
    """Composes `root` from the parser's events."""

    def __init__(self, faults: Faults) -> None:
        self.root: Node | None = None
        self._faults = faults
        self._stack: list[_Open] = []
        self._anchors: dict[str, _Sized | None] = {}  # None: the anchored node has not ended yet
        self._count = self._characters = 0
        self._documents = 0

    def take(self, event: yaml.Event) -> None:
        """Process the next event. Raises InvalidDocument if the document exceeds a limit."""
        match event:
            case yaml.ScalarEvent():
                self._scalar(event)
            case yaml.SequenceStartEvent() | yaml.MappingStartEvent():
                self._start(event)
            case yaml.SequenceEndEvent() | yaml.MappingEndEvent():
                self._end()
            case yaml.AliasEvent():
                self._alias(event)
            case yaml.DocumentStartEvent():
                self._documents += 1
                if self._documents > 1:
                    self._stop(event, "a second document begins here", "keep one document", "yaml")

    def _scalar(self, event: yaml.ScalarEvent) -> None:
        self._refuse_tag(event)
        line, column = _place(event)
        file = self._faults.file
        node = Scalar(text=event.value, plain=event.implicit[0], line=line, column=column, file=file)
        done = _Sized(node, characters=len(event.value))
        self._grow(event, done.size, done.characters)
        if event.anchor:
            self._anchors[event.anchor] = done
        self._deliver(done)

    def _start(self, event: yaml.SequenceStartEvent | yaml.MappingStartEvent) -> None:
        line, column = _place(event)
        kind = Sequence if isinstance(event, yaml.SequenceStartEvent) else Mapping
        self._refuse_tag(event)
        self._grow(event, 1, 0)
        self._bound_depth(event, 1)
        if event.anchor:
            self._anchors[event.anchor] = None
        node = kind(line=line, column=column, file=self._faults.file)
        self._stack.append(_Open(node, anchor=event.anchor))

    def _end(self) -> None:
        ended = self._stack.pop()
        for merged in ended.merges or ():
            self._merge(ended, merged)
        if ended.anchor:
            self._anchors[ended.anchor] = ended
        self._deliver(ended)

    def _alias(self, event: yaml.AliasEvent) -> None:
        line, column = _place(event)
        name = event.anchor or ""
        found = self._anchors.get(name)
        if found is None:
            if name in self._anchors:
                self._fault(event, f"the alias *{name} refers to a node that contains it", "remove it")
            else:
                # The message omits the name: the value may be a password that begins with *.
                problem = "an alias has no anchor before it"
                self._fault(event, problem, "put a value that begins with * in quotes")
            found = _Sized(Scalar(text="", plain=False, line=line, column=column))
        self._grow(event, found.size, found.characters)
        self._bound_depth(event, found.height)
        self._deliver(found)

    def _deliver(self, done: _Sized) -> None:
        node = done.node
        if not self._stack:
            self.root = node
            return
        parent = self._stack[-1]
        parent.size += done.size
        parent.characters += done.characters
        parent.height = max(parent.height, done.height + 1)
        if isinstance(parent.node, Sequence):
            parent.node.items.append(node)
        elif parent.key is None:
            parent.key = self._as_key(node)
        else:
            self._put(parent, parent.node, parent.key, node)
            parent.key = None

    def _as_key(self, node: Node) -> Scalar:
        if isinstance(node, Scalar) and node.is_text:
            return node
        text = node.text if isinstance(node, Scalar) else ""
        what = shown_key(text) if isinstance(node, Scalar) else "a list or mapping"
        self._fault(node, f"the key {what} is not text", "put it in quotes")
        return Scalar(text=text, plain=False, line=node.line, column=node.column, file=node.file)

    def _put(self, parent: _Open, mapping: Mapping, key: Scalar, value: Node) -> None:
        if key.plain and key.text == _MERGE:
            if parent.merges is not None:
                self._fault(key, "a second merge key in one mapping", "merge a list: <<: [*first, *second]")
            parent.merges = value.items if isinstance(value, Sequence) else [value]
            return
        earlier = mapping.entries.get(key.text)
        if earlier is None:
            mapping.entries[key.text] = (key, value)
            return
        first = earlier[0]
        problem = f"duplicate key {shown_key(key.text)}, first at line {first.line}, column {first.column}"
        self._fault(key, problem, "keep one of them")

    def _merge(self, done: _Open, merged: Node) -> None:
        """Add the entries that the mapping does not have itself; of several merged mappings the first wins."""
        if not isinstance(merged, Mapping):
            problem = "the value of a merge key must be a mapping or a list of mappings"
            self._fault(merged, problem, "write <<: *name", path=step(self._path(), _MERGE))
            return
        assert isinstance(done.node, Mapping)
        for key, entry in merged.entries.items():
            done.node.entries.setdefault(key, entry)

    def _refuse_tag(self, event: yaml.ScalarEvent | yaml.NodeEvent) -> None:
        tag = getattr(event, "tag", None)
        if tag is not None:
            # The message omits the tag: the value may be a password that begins with !.
            print_it = "compile what `docker compose config` prints"
            remedy = f"remove it, or {print_it}; put a value that begins with ! in quotes"
            self._fault(event, "a tag is not supported", remedy)

    def _grow(self, event: yaml.Event, size: int, characters: int) -> None:
        self._count += size
        self._characters += characters
        if self._count > MAX_NODES:
            self._stop(event, f"more than {MAX_NODES} values, aliases expanded", "make the document smaller")
        if self._characters > MAX_CHARACTERS:
            problem = f"more than {MAX_CHARACTERS} characters in keys and values, aliases expanded"
            self._stop(event, problem, "make the document smaller")

    def _bound_depth(self, event: yaml.Event, height: int) -> None:
        if len(self._stack) + height > MAX_DEPTH:
            self._stop(event, f"nested deeper than {MAX_DEPTH} levels", "remove levels")

    def _fault(
        self, where: yaml.Event | Node, problem: str, remedy: str, kind: FaultKind = "yaml", path: str = ""
    ) -> None:
        line, column = _place(where) if isinstance(where, yaml.Event) else (where.line, where.column)
        path = path or self._path()
        fault = Fault(kind=kind, path=path, problem=problem, remedy=remedy, line=line, column=column)
        self._faults.add(fault)

    def _stop(self, event: yaml.Event, problem: str, remedy: str, kind: FaultKind = "size") -> None:
        self._fault(event, problem, remedy, kind)
        self._faults.stop()

    def _path(self) -> str:
        path = ""
        for each in self._stack:
            if isinstance(each.node, Sequence):
                path += f"[{len(each.node.items)}]"
            elif each.key is not None:
                path = step(path, each.key.text)
        return path


def _place(event: yaml.Event) -> tuple[int, int]:
    assert event.start_mark is not None
    return event.start_mark.line + 1, event.start_mark.column + 1
