"""Faults of a document. One error names all of them, each with its place and its remedy."""

from collections.abc import Iterable
from typing import Literal

from agent.errors import Invalid
from agent.model import Frozen
from agent.model.phrases import first_of

MOST_SHOWN = 100

FaultKind = Literal["size", "yaml", "schema", "semantic"]
"""size: too much of something; yaml: not readable as YAML; schema: a wrong key or value; semantic: values that
contradict each other. Faults of an earlier kind cause others of a later one."""


class Fault(Frozen):
    """One fault and its place in the document. Lines and columns count from 1."""

    path: str = ""
    """Path in the document, as `services.order.ports[0].published`; empty: the whole document."""
    value: str = ""
    """The value in the document, shortened; empty if it may be a secret."""
    problem: str
    remedy: str = ""
    kind: FaultKind
    line: int = 1
    column: int = 1
    file: str = ""
    """The file that has it, of a document that several files make; empty: the only one."""

    def __str__(self) -> str:
        place = f"{self.file + ', ' if self.file else ''}line {self.line}, column {self.column}: "
        path = f"{self.path}: " if self.path else ""
        remedy = f"; {self.remedy}" if self.remedy else ""
        return f"{place}{path}{self.problem}{remedy}"


class InvalidDocument(Invalid):
    """A document with faults. `str` has one line for each fault, in document order, after `source` if that is given."""

    def __init__(self, faults: Iterable[Fault], source: str = "") -> None:
        self.source = source
        self.faults = tuple(sorted(faults, key=_place))
        super().__init__(self.faults)

    def __str__(self) -> str:
        lead = f"{self.source}: " if self.source else ""
        shown = [f"{lead}{each}" for each in self.faults]
        return "\n".join(first_of(shown, MOST_SHOWN, "... and {} more"))


def _place(fault: Fault) -> tuple[str, int, int, str, str]:
    return fault.file, fault.line, fault.column, fault.path, fault.problem
