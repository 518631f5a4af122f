"""Finds code that takes a sentence apart: a reason, a fault or an error is for people, and no decision may hang on it.

What a program needs to know of it has a field of its own (a kind, a resource, a field). Names decide what counts as a
sentence, as the parameters of a function have no other mark in the source.
"""

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import get_args

from agent.conditions.finding import Reason

OTHERS_TEXT = ("clients", "compose", "diff/container", "intent", "yamldoc")
"""Folders in which `text` is a part of the document, or of what an engine, etcd or the kernel said."""
_TEXT = frozenset({"text"})
WORDS = _TEXT | {
    "details",
    "error",
    "fault",
    "held",
    "message",
    "note",
    "problem",
    "reason",
    "remedy",
    "sentence",
    "step",
    "waits",
    "warning",
    "why",
}
"""Last words of the names that hold a sentence: `reason`, `swarm_error`. A name that gets its value is one too."""
_METHODS = {"count", "find", "index", "partition", "removeprefix", "removesuffix", "rfind", "rindex"}
_METHODS |= {"endswith", "rpartition", "rsplit", "split", "splitlines", "startswith"}
_PATTERNS = {"findall", "finditer", "fullmatch", "match", "search", "split", "sub", "subn"}
"""Methods of a regular expression, and functions of `re`."""
_SAME = {"casefold", "lower", "replace", "strip", "upper"}
"""Methods that return the sentence, changed."""
FIXED_WORDS = frozenset(get_args(Reason))
"""Values of `Condition.reason`, which is a fixed word and no sentence."""


def parsers(source: str, words: frozenset[str] = WORDS) -> list[tuple[str, int]]:
    """(function, line) of each place that takes a sentence apart; a method is named as `Class.method`."""
    module = ast.parse(source)
    return list(_Finder(words, _names_of_words(module)).found(module, ""))


def _names_of_words(module: ast.Module) -> frozenset[str]:
    """Return the constants of a module that hold fixed words alone."""
    constants = (each for each in module.body if isinstance(each, ast.Assign | ast.AnnAssign) and each.value)
    return frozenset(
        target.id
        for each in constants
        for target in (each.targets if isinstance(each, ast.Assign) else [each.target])
        if isinstance(target, ast.Name)
        and each.value
        and _texts(each.value)
        and _texts(each.value) <= FIXED_WORDS
    )


def _texts(node: ast.expr) -> set[str]:
    return {
        each.value
        for each in ast.walk(node)
        if isinstance(each, ast.Constant) and isinstance(each.value, str)
    }


def parsers_below(folder: Path) -> dict[str, list[int]]:
    """Map `module.py:function` to its lines, for every module below `folder`."""
    found: dict[str, list[int]] = {}
    for path in sorted(folder.rglob("*.py")):
        name = str(path.relative_to(folder))
        words = WORDS - _TEXT if name.startswith(OTHERS_TEXT) else WORDS
        for function, line in parsers(path.read_text(encoding="utf-8"), words):
            found.setdefault(f"{name}:{function}", []).append(line)
    return found


class _Finder:
    def __init__(self, words: frozenset[str], of_words: frozenset[str]) -> None:
        self._words, self._of_words = words, of_words

    def found(self, node: ast.AST, inside: str) -> Iterator[tuple[str, int]]:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.FunctionDef | ast.ClassDef):
                aliases = {name for each in ast.walk(child) for name in self._aliases(each)}
                within = _Finder(self._words | aliases, self._of_words)
                yield from within.found(child, f"{inside}.{child.name}".lstrip("."))
                continue
            if isinstance(child, ast.expr) and self._takes_apart(child):
                yield inside, child.lineno
            yield from self.found(child, inside)

    def _aliases(self, node: ast.AST) -> Iterator[str]:
        if isinstance(node, ast.Assign) and self._is_sentence(node.value):
            yield from (each.id for each in node.targets if isinstance(each, ast.Name))

    def _takes_apart(self, node: ast.expr) -> bool:
        match node:
            case ast.Call(func=ast.Attribute(value=of, attr=method), args=arguments):
                applied = method in _PATTERNS and any(map(self._is_sentence, arguments))
                return applied or (method in _METHODS and self._is_sentence(of))
            case ast.Compare(left=left, ops=[ast.In() | ast.NotIn()], comparators=[right]):
                return self._is_sentence(right) or (self._is_sentence(left) and self._is_fixed(right))
            case ast.Compare(left=left, ops=[ast.Eq() | ast.NotEq()], comparators=[right]):
                sides = ((left, right), (right, left))
                return any(self._is_sentence(one) and self._is_fixed(other) for one, other in sides)
        return False

    def _is_sentence(self, node: ast.expr) -> bool:
        match node:
            case ast.Name(id=name) | ast.Attribute(attr=name):
                return name.rpartition("_")[2] in self._words or name in self._words
            case ast.Call(func=ast.Name(id="str")):
                return True
            case ast.Call(func=ast.Attribute(value=of, attr=method)):
                return method in _SAME and self._is_sentence(of)
            case ast.BoolOp(values=values):
                return any(map(self._is_sentence, values))
        return False

    def _is_fixed(self, node: ast.expr) -> bool:
        """Return True for a text or a constant, or several; an empty text only asks if there is a sentence."""
        match node:
            case ast.Constant(value=value):
                return isinstance(value, str) and bool(value) and value not in FIXED_WORDS
            case ast.Name(id=name) | ast.Attribute(attr=name):
                return name.isupper() and name not in self._of_words
            case ast.Tuple(elts=each) | ast.Set(elts=each) | ast.List(elts=each):
                return any(map(self._is_fixed, each))
        return False
