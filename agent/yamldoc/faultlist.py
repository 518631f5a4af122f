"""Faults as they are gathered, so that a reader can go on after one."""

from typing import NoReturn

from agent.model.faults import Fault, InvalidDocument
from agent.yamldoc.words import printable

LONGEST_PATH = 200
MOST_KEPT = 1000
"""A document with more is not read by people; the rest is not noted."""


class Faults:
    """The faults found so far in one document."""

    def __init__(self) -> None:
        self._found: list[Fault] = []

    def __len__(self) -> int:
        return len(self._found)

    @property
    def is_full(self) -> bool:
        """Whether nothing more is noted: then there is no point in looking further."""
        return len(self._found) >= MOST_KEPT

    def add(
        self,
        *,
        problem: str,
        remedy: str = "",
        path: str = "",
        value: str = "",
        line: int = 1,
        column: int = 1,
    ) -> None:
        """Note a fault at `line`, `column` (from 1); what of the document is in its words is made printable."""
        problem, remedy = printable(problem), printable(remedy)
        if len(path) > LONGEST_PATH:
            path = path[: LONGEST_PATH - 3] + "..."
        if not self.is_full:
            self._found.append(
                Fault(path=path, value=value, problem=problem, remedy=remedy, line=line, column=column)
            )

    def raise_if_any(self) -> None:
        """Raise InvalidDocument with everything noted; do nothing when there is none."""
        if self._found:
            self.stop()

    def stop(self) -> NoReturn:
        """Raise InvalidDocument with everything noted: there is no reading on."""
        raise InvalidDocument(self._found)
