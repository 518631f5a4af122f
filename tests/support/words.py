"""The word check: `script/check --words [--stats] [PATH...]`.

Banned words stand in the table of docs/glossary.md, each with the word to use instead. The check reads agent/ (names,
comments, strings), docs/, deploy/ and the pages at the top. It also finds long sentences, docstrings that begin like a
question, and what proselint reports for the pages. A finding is `path:line: found: remedy`.
"""

import re
import sys
from bisect import bisect_right
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cache
from pathlib import Path
from statistics import median
from typing import Literal, NamedTuple, get_args

from proselint.checks import __register__ as proselint_checks
from proselint.config import Config
from proselint.registry import CheckRegistry
from proselint.tools import LintFile

from tests.support.banned import TABLE, Banned, Hit, read_banned
from tests.support.prose import (
    Sentence,
    code_spans,
    markdown_sentences,
    messages,
    python_pieces,
    sentences,
    values,
    without_code,
)

ROOT = Path(__file__).resolve().parents[2]
GLOSSARY = "docs/glossary.md"
CHECKED = ("agent", "docs", "deploy", "README.md", "CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md")
GENERATED = "agent/clients/etcdpb"
EXEMPT = ("docs/renames.toml", "agent/model/earlier.py")
"""The map from old words to new ones, and what reads records with the old ones: both have to name them."""
MOST_WORDS = 28
MEDIAN_WORDS = 14
FEWEST_WORDS = 4
SHOWS_DOCSTRINGS = "agent/cli/"
"""The docstrings of commands are what --help prints."""
QUESTIONS = ("Whether", "What", "Who", "How", "Why", "Where")
PROSELINT = Config(
    # The others judge typography, spelling of names, or phrases such as "and etcd", which they take for redundant.
    checks=dict.fromkeys(
        ("archaism", "cliches", "hedging", "lexical_illusions", "malapropisms", "mixed_metaphors", "mondegreens",
         "nonwords", "oxymorons", "uncomparables", "weasel_words"), True,
    ),
    max_errors=1000,
)  # fmt: skip

_SPACE = re.compile(r"\s")

Kind = Literal["word", "sentence", "docstring", "proselint"]
KINDS: tuple[Kind, ...] = get_args(Kind)


class Finding(NamedTuple):
    path: str
    line: int
    kind: Kind
    found: str
    remedy: str

    def __str__(self) -> str:
        return f"{self.path}:{self.line}: {self.found}: {self.remedy}"


def check(path: str, text: str, banned: Banned) -> list[Finding]:
    """Everything that is wrong with one file, by line."""
    if path == GLOSSARY:
        text = text.partition(TABLE)[0]
    if path.endswith(".py"):
        found = _in_module(path, text, banned)
    elif path.endswith(".md"):
        found = _in_page(path, text, banned)
    else:
        found = _words(path, text, banned.in_text(text))
    return sorted(set(found))


def _in_module(path: str, text: str, banned: Banned) -> Iterator[Finding]:
    line_of = _lines(text)
    for piece in python_pieces(text):
        is_name = piece.kind == "name" or (piece.kind == "string" and not _SPACE.search(piece.text))
        find = banned.in_code if is_name else banned.in_text
        yield from _words(path, text, find(text, piece.start, piece.start + len(piece.text)))
        for start, code in values(piece):
            yield from _words(path, text, banned.in_code(text, start, start + len(code)))
        if piece.kind in ("comment", "docstring"):
            yield from _quoted_names(path, text, banned, piece.start, piece.text)
        if piece.kind == "docstring":
            first = piece.text.split(maxsplit=1)[:1]
            if first and first[0] in QUESTIONS:
                remedy = "begin with a verb or with what is returned"
                yield Finding(path, line_of(piece.start), "docstring", first[0], remedy)
            if path.startswith(SHOWS_DOCSTRINGS):
                yield from _long(path, sentences(piece.text, line_of(piece.start)))
    for piece in messages(text):
        if not piece.text.startswith("<"):  # HTML
            yield from _long(path, sentences(piece.text, line_of(piece.start)))


def _in_page(path: str, text: str, banned: Banned) -> Iterator[Finding]:
    yield from _words(path, text, banned.in_text(text))
    yield from _quoted_names(path, text, banned, 0, text)
    yield from _long(path, markdown_sentences(text))
    yield from _proselint(path, text)


def _quoted_names(path: str, text: str, banned: Banned, offset: int, prose: str) -> Iterator[Finding]:
    for start, code in code_spans(prose):
        if not _SPACE.search(code):
            yield from _words(path, text, banned.in_code(text, offset + start, offset + start + len(code)))


def _words(path: str, text: str, hits: Iterable[Hit]) -> Iterator[Finding]:
    line_of = _lines(text)
    return (Finding(path, line_of(each.start), "word", each.found, each.instead) for each in hits)


def _long(path: str, among: Iterable[Sentence]) -> Iterator[Finding]:
    for each in among:
        if each.words > MOST_WORDS:
            remedy = f"at most {MOST_WORDS}: {each.text[:60]}..."
            yield Finding(path, each.line, "sentence", f"{each.words} words", remedy)


@cache
def _lines(text: str) -> Callable[[int], int]:
    """The line of an offset."""
    starts = [0, *(each.end() for each in re.finditer("\n", text))]
    return lambda offset: bisect_right(starts, offset)


def _proselint(path: str, text: str) -> Iterator[Finding]:
    registry = CheckRegistry()
    if not registry.checks:
        registry.register_many(proselint_checks)
    page = LintFile(path, without_code(text))
    for each in page.lint(PROSELINT):
        result = each.check_result
        found = page.content[slice(*result.span)].strip()
        if "\n\n" not in found:  # a heading and the sentence after it repeat nothing
            remedy = (
                f"use {result.replacements}" if result.replacements else f"proselint: {result.check_path}"
            )
            yield Finding(path, each.pos[0], "proselint", " ".join(found.split()), remedy)


def read(root: Path, only: Sequence[str] = ()) -> Iterator[tuple[str, str]]:
    """Path and text of every file that is checked; with `only`, of those in these folders or of these names."""
    for top in CHECKED:
        files = [root / top] if (root / top).is_file() else sorted((root / top).rglob("*"))
        for file in files:
            path = str(file.relative_to(root))
            wanted = not only or any(f"{path}/".startswith(f"{each.rstrip('/')}/") for each in only)
            is_exempt = file.suffix in (".pyc", ".png") or path in EXEMPT or path.startswith(GENERATED)
            if wanted and file.is_file() and not is_exempt:
                yield path, file.read_text()


def stats(files: Sequence[tuple[str, str]], findings: Sequence[Finding]) -> str:
    """What is found in each file, by kind, and how long the sentences of the pages are."""
    counts = Counter((each.path, each.kind) for each in findings)
    lines = [f"{'median':>6} {'words':>6} {'long':>5} {'docstr':>6} {'prose':>5}"]
    lengths: list[int] = []
    for path, text in files:
        own = _lengths(text) if path.endswith(".md") else []
        if path != GLOSSARY:  # most of it is no sentences, and would make the median look better
            lengths += own
        numbers = [counts[path, kind] for kind in KINDS]
        if own or any(numbers):
            shown = f"{median(own):6.1f}" if own else f"{'-':>6}"
            lines.append("{} {:6} {:5} {:6} {:5} {}".format(shown, *numbers, path))
    total = Counter(each.kind for each in findings)
    lines.append("total: " + ", ".join(f"{total[kind]} {kind}" for kind in KINDS))
    if lengths:
        lines.append(f"median sentence: {median(lengths):.1f} words (goal: at most {MEDIAN_WORDS})")
    return "\n".join(lines)


def _lengths(markdown: str) -> list[int]:
    """Words of each sentence of a page. "Swarm: task." is no sentence; it would flatter the median."""
    return [
        each.words for each in markdown_sentences(markdown) if each.is_whole and each.words >= FEWEST_WORDS
    ]


def main(arguments: Sequence[str], root: Path = ROOT) -> int:
    """Print every finding, or with --stats the numbers for each file; 1 when there is a finding."""
    banned = read_banned((root / GLOSSARY).read_text())
    files = list(read(root, [each for each in arguments if each != "--stats"]))
    findings = [each for path, text in files for each in check(path, text, banned)]
    print(stats(files, findings) if "--stats" in arguments else "\n".join(map(str, findings)))
    return int(bool(findings))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
