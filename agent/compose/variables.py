"""Substitutes variables in the values of a Compose file: `$A`, `${A}`, `${A:-b}` and Compose's other forms.

The rules are those of Compose's specification, chapter Interpolation; where it is silent, those of compose-go's
`template` package, as its binary shows them.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from agent.errors import Invalid

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_OPERATOR = re.compile(r":?[-?+]")
MOST_CHARACTERS = 5_000_000
"""Of one text after the substitution: a default may name a variable many times."""
DEEPEST = 16
"""Braces within braces."""


class FaultyVariable(Invalid):
    """A use of a variable that cannot be replaced: the problem, and what to write."""

    def __init__(self, problem: str, remedy: str) -> None:
        super().__init__(f"{problem}: {remedy}")
        self.problem, self.remedy = problem, remedy


@dataclass(slots=True)
class Variables:
    """The values by name, and the names that were used and have none."""

    values: Mapping[str, str]
    unset: dict[str, None] = field(default_factory=dict)

    def substitute(self, text: str) -> str:
        """Return the text with its variables replaced. `$$` stands for one `$`.

        Raises FaultyVariable for a form that Compose does not know, and for a variable that the text requires. Neither
        message has a value of a variable.
        """
        return self._replaced(text, 0) if "$" in text else text

    def _replaced(self, text: str, depth: int) -> str:
        if depth > DEEPEST:
            raise FaultyVariable(f"has more than {DEEPEST} variables within each other", "use fewer")
        done: list[str] = []
        size = at = 0
        while (dollar := text.find("$", at)) >= 0:
            piece, end = self._one(text, dollar, depth)
            done += [text[at:dollar], piece]
            size += dollar - at + len(piece)
            if size > MOST_CHARACTERS:
                problem = f"has more than {MOST_CHARACTERS} characters with its variables"
                raise FaultyVariable(problem, "use fewer")
            at = end
        return "".join([*done, text[at:]])

    def _one(self, text: str, dollar: int, depth: int) -> tuple[str, int]:
        """Return what stands for the variable at `dollar`, and where the text goes on."""
        after = text[dollar + 1 : dollar + 2]
        if after == "$":
            return "$", dollar + 2
        if after == "{":
            end = _closing(text, dollar + 2)
            return self._braced(text[dollar + 2 : end], depth), end + 1
        if found := _NAME.match(text, dollar + 1):
            return self._value(found[0]), found.end()
        return "$", dollar + 1

    def _braced(self, inside: str, depth: int) -> str:
        named = _NAME.match(inside)
        if named is None:
            raise _malformed(inside)
        name, rest = named[0], inside[named.end() :]
        if not rest:
            return self._value(name)
        operator = _OPERATOR.match(rest)
        if operator is None:
            raise _malformed(inside)
        value, kind = self.values.get(name), operator[0][-1]
        has = bool(value) if operator[0][0] == ":" else value is not None
        if has != (kind == "+"):
            return value or ""
        word = self._replaced(rest[operator.end() :], depth + 1)
        if kind != "?":
            return word
        needs = f"needs the variable {name}{f' ({word})' if word else ''}"
        raise FaultyVariable(needs, "set it in the environment or in .env")

    def _value(self, name: str) -> str:
        if name not in self.values:
            self.unset[name] = None
        return self.values.get(name, "")


def _closing(text: str, start: int) -> int:
    """Return the place of the brace that closes the one before `start`; each `${` in between has its own."""
    opened, at = 1, start
    while at < len(text):
        if text[at] == "}":
            opened -= 1
            if opened == 0:
                return at
        elif text.startswith("${", at):
            opened += 1
            at += 1
        at += 1
    raise _malformed(text[start:])


def _malformed(inside: str) -> FaultyVariable:
    problem = f"has an unknown form of a variable: '${{{inside[:40]}'"
    return FaultyVariable(problem, "write $$ for a dollar sign")
