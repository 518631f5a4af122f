"""The table of banned words in docs/glossary.md, and where one of them stands in a text."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cache
from itertools import pairwise
from typing import NamedTuple

TABLE = "## Banned words"
PLACES = ("everywhere", "names", "text")
_PART = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+")
_TOKEN = re.compile(r"[A-Za-z_]\w*")
_GAP = re.compile(r"[\s#-]+")
_WINDOW = 60


@dataclass(frozen=True, slots=True)
class Ban:
    words: tuple[str, ...]
    instead: str
    fine: tuple[re.Pattern[str], ...] = ()
    """Phrases around it in which it is allowed."""

    def is_fine(self, text: str, start: int, end: int) -> bool:
        return any(
            each.start() <= start and each.end() >= end
            for phrase in self.fine
            for each in phrase.finditer(text, max(0, start - _WINDOW), end + _WINDOW)
        )


class Hit(NamedTuple):
    start: int
    found: str
    instead: str


@dataclass(frozen=True, eq=False)
class Banned:
    """The table, by the first word of each entry."""

    names: dict[str, list[Ban]] = field(default_factory=dict)
    text: dict[str, list[Ban]] = field(default_factory=dict)
    whole: dict[str, Ban] = field(default_factory=dict)
    """Names that are banned as they are spelled, not in other names."""

    def add(self, term: str, instead: str, where: str, fine: tuple[re.Pattern[str], ...]) -> None:
        if term.startswith("`"):
            self.whole[term.strip("`")] = Ban((term.strip("`"),), instead, fine)
            return
        ban = Ban(tuple(term.lower().split()), instead, fine)
        for index, kind in ((self.names, "names"), (self.text, "text")):
            if where in ("everywhere", kind):
                index.setdefault(ban.words[0], []).append(ban)

    @cache  # noqa: B019  # one table lives as long as the program
    def _in_name(self, name: str) -> tuple[Ban, ...]:
        parts = tuple(each.lower() for each in _PART.findall(name))
        whole = self.whole.get(name)
        return (
            *((whole,) if whole else ()),
            *(
                ban
                for at, part in enumerate(parts)
                for ban in self.names.get(part, ())
                if parts[at : at + len(ban.words)] == ban.words
            ),
        )

    def in_code(self, text: str, start: int = 0, end: int | None = None) -> Iterator[Hit]:
        """Banned parts of the names between two offsets."""
        for token in _TOKEN.finditer(text, start, len(text) if end is None else end):
            for ban in self._in_name(token[0]):
                if not ban.is_fine(text, *token.span()):
                    yield Hit(token.start(), token[0], ban.instead)

    def in_text(self, text: str, start: int = 0, end: int | None = None) -> Iterator[Hit]:
        """Banned words and phrases of prose between two offsets, and banned parts of the names in it."""
        tokens = list(_TOKEN.finditer(text, start, len(text) if end is None else end))
        for at, token in enumerate(tokens):
            if "_" in token[0] or not token[0][1:].islower():
                yield from self.in_code(text, *token.span())
            for ban in self.text.get(token[0].lower(), ()):
                last = tokens[min(at + len(ban.words), len(tokens)) - 1]
                if _is_phrase(text, tokens[at : at + len(ban.words)], ban.words) and not ban.is_fine(
                    text, token.start(), last.end()
                ):
                    yield Hit(token.start(), " ".join(text[token.start() : last.end()].split()), ban.instead)


def _is_phrase(text: str, tokens: Sequence[re.Match[str]], words: tuple[str, ...]) -> bool:
    if tuple(each[0].lower() for each in tokens) != words:
        return False
    return all(_GAP.fullmatch(text, one.end(), other.start()) for one, other in pairwise(tokens))


def read_banned(glossary: str) -> Banned:
    """The table under TABLE: words, what to use instead, one of PLACES, phrases in which the words are fine."""
    banned = Banned()
    for row in glossary.partition(TABLE)[2].splitlines():
        cells = [each.strip() for each in row.strip().strip("|").split("|")]
        if not row.startswith("|") or cells[0] == "banned" or set(cells[0]) <= {"-", " "}:
            continue
        words, instead, where, fine = cells
        if where not in PLACES:
            raise ValueError(f"banned words: {words}: the third column is {where!r}")
        phrases = tuple(
            re.compile(r"\s+".join(map(re.escape, each.split())), re.IGNORECASE)
            for each in (part.strip().strip("`") for part in fine.split(","))
            if each
        )
        for term in words.split(","):
            banned.add(term.strip(), instead, where, phrases)
    return banned
