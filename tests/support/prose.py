"""The text that people read in Markdown and Python: sentences with their lines, comments, strings and names."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

_FENCE = re.compile(r"^ *(`{3,}|~{3,})[^\n]*\n.*?^ *\1[^\n]*$", re.MULTILINE | re.DOTALL)
_COMMENT = re.compile(r"<!--.*?-->", re.DOTALL)
_CODE = re.compile(r"(`+)(.+?)\1", re.DOTALL)
_LINK = re.compile(r"!?\[((?:[^\[\]]|\[[^\]]*\])*)\]\([^)]*\)")
_STARTS_BLOCK = re.compile(r" *(?:[-*+]|\d+[.)]|#{1,6}|>|\|) ?")
_ENDS_SENTENCE = re.compile(r"""[.!?][)"'*_]*(?=\s+[^\sa-z]|\s*$)""")
_WORD = re.compile(r"\S*\w\S*")

_PYTHON = re.compile(
    r"""(?P<comment>\#[^\n]*(?:\n[ \t]*\#[^\n]*)*)
    |(?P<prefix>[rbfuRBFU]{0,2})
     (?:\"{3}(?P<long>(?:\\.|[^\\])*?)\"{3}|"(?P<double>(?:\\.|[^"\\\n])*)"|'(?P<single>(?:\\.|[^'\\\n])*)')
    |(?P<name>[A-Za-z_]\w*)
    |\d[\w.]*""",
    re.VERBOSE | re.DOTALL,
)
_VALUE = re.compile(r"(?<!\{)\{([^{}]+)\}")
_BEFORE_ARGUMENT = ("(", ",", "=", "[", "{", "+")


@dataclass(frozen=True, slots=True)
class Sentence:
    line: int
    text: str
    is_whole: bool
    """It ends with a mark; False: a heading, a table's cell or an item of a list that is no sentence."""

    @property
    def words(self) -> int:
        return len(_WORD.findall(self.text))


@dataclass(frozen=True, slots=True)
class Piece:
    """One part of a module: a comment, a string without its quotes, or a name."""

    kind: str
    """comment, docstring, string or name."""
    start: int
    text: str
    is_format: bool = False
    """An f-string: what stands in braces is code."""


def without_code(markdown: str) -> str:
    """The page, line by line, with blocks of code and comments blank, code as one word, and links as their text."""
    text = _COMMENT.sub(_blank, _FENCE.sub(_blank, markdown))
    # Numbered, so that two pieces of code in a row are no repetition. It ends with a letter: a number may follow.
    text = _CODE.sub(lambda code: f"Code{code.start()}x" + _blank(code), text)
    return _LINK.sub(lambda link: link[1] + "\n" * (link[0].count("\n") - link[1].count("\n")), text)


def code_spans(markdown: str) -> Iterator[tuple[int, str]]:
    """Offset and text of each piece of code within a line of prose."""
    for each in _CODE.finditer(_FENCE.sub(lambda block: " " * len(block[0]), markdown)):
        yield each.start(2), each[2]


def markdown_sentences(markdown: str) -> Iterator[Sentence]:
    """Every sentence of a page; an item of a list, a heading and a table's cell each begin a new one."""
    block: list[str] = []
    first = 1
    for number, line in enumerate([*without_code(markdown).splitlines(), ""], start=1):
        start = _STARTS_BLOCK.match(line)
        if block and (start or not line.strip()):
            yield from sentences("\n".join(block), first)
            block = []
        if line.lstrip().startswith("|"):
            for cell in line.strip().strip("|").split("|"):
                yield from sentences(cell, number)
        elif line.startswith("#"):
            yield from sentences(line.lstrip("#"), number)
        elif line.strip():
            if not block:
                first = number
            block.append(line[start.end() :] if start else line)


def sentences(text: str, line: int = 1) -> Iterator[Sentence]:
    begin = 0
    for end in (*(each.end() for each in _ENDS_SENTENCE.finditer(text)), len(text)):
        part = text[begin:end]
        if part.strip():
            before = text[:begin] + part[: len(part) - len(part.lstrip())]
            is_whole = part.rstrip(" \n)\"'*_").endswith((".", "!", "?"))
            yield Sentence(line + before.count("\n"), " ".join(part.split()), is_whole)
        begin = end


def python_pieces(source: str) -> Iterator[Piece]:
    """Comments, strings and names of a module, in order; no string may be nested in its own quotes (Python 3.12)."""
    for found in _PYTHON.finditer(source):
        group = found.lastgroup
        if group in ("name", "comment"):
            yield Piece(group, found.start(), found[0])
        elif group:
            is_docstring = group == "long" and _stands_alone(source, found.start())
            kind = "docstring" if is_docstring else "string"
            yield Piece(kind, found.start(group), found[group], is_format="f" in found["prefix"].lower())


def values(piece: Piece) -> Iterator[tuple[int, str]]:
    """Offset and code of each value in an f-string."""
    if piece.is_format:
        for each in _VALUE.finditer(piece.text):
            yield piece.start + each.start(1), each[1]


def messages(source: str) -> Iterator[Piece]:
    """The strings of a module as people read them: those that Python joins are one, a value in braces is one word."""
    joined: Piece | None = None
    end = 0
    for piece in python_pieces(source):
        if piece.kind != "string":
            continue
        text = _VALUE.sub("Value", piece.text) if piece.is_format else piece.text
        between = source[end : piece.start].rstrip("rbfuRBFU\"'").lstrip("\"'")
        if joined and not between.strip():
            joined = Piece("string", joined.start, joined.text + text)
        else:
            if joined:
                yield joined
            joined = Piece("string", piece.start, text)
        end = piece.start + len(piece.text)
    if joined:
        yield joined


def _stands_alone(source: str, start: int) -> bool:
    before = source[max(0, start - 200) : start]
    is_first_in_line = not before.rpartition("\n")[2].strip()
    return is_first_in_line and not before.rstrip().endswith(_BEFORE_ARGUMENT)


def _blank(found: re.Match[str]) -> str:
    return "\n" * found[0].count("\n")
