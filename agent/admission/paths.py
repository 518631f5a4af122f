"""Judges the path on the host of a bind: it must lie below an entry, also once its symbolic links are resolved."""

import posixpath
from collections.abc import Callable, Iterable, Iterator

from agent.admission.policy import READ_ONLY, Entries

RealPath = Callable[[str], str | None]

_ROOT = "/"
_UNSEEN = "the agent cannot follow its symbolic links; name exactly this path"


def clean(path: str) -> str:
    """Return an absolute path without `..`, `.` and superfluous slashes, as the engine cleans it."""
    return posixpath.normpath(f"/{path.lstrip('/')}")


def judge(
    source: str, entries: Entries, protected: Entries, real_path: RealPath, *, read_only: bool
) -> tuple[bool, str]:
    """Return True if the entries admit a bind of `source`, a clean path; else False, with the reason if it is rare.

    An entry may itself be a link: then its target is admitted. For a path that an entry names exactly, links
    matter only if they lead to a protected path.
    """
    usable = _usable(entries, read_only=read_only)
    over = [each for each in usable if _is_within(source, each)]
    if not over:
        return False, ""
    there = real_path(source)
    if source not in over:
        if there is None and (protected or _ROOT not in over):
            return False, _UNSEEN
        if there is not None and not any(
            each == _ROOT or _is_within(there, real_path(each)) for each in over
        ):
            return False, f"it is a link to {there}"
    # Nobody but root makes links at a protected path, so that an entry there names its target, too.
    named = {real_path(each) for each in over if any(_is_within(each, top) for top in protected)}
    places = {source, there or source}
    for each in protected:
        secret = {each, real_path(each) or each}
        if _meet(places, secret) and not any(_is_within(a, b) for a in {*over, *named} if a for b in secret):
            return False, f"{each} is protected"
    return True, ""


def is_named(source: str, entries: Entries, *, read_only: bool) -> bool:
    """Return True if an entry is that very clean path, or the root."""
    return bool({source, _ROOT} & {*_usable(entries, read_only=read_only)})


def above(path: str) -> Iterator[str]:
    """Yield the directories above a clean path, the nearest first."""
    while path != _ROOT:
        path = posixpath.dirname(path)
        yield path


def _usable(entries: Entries, *, read_only: bool) -> list[str]:
    usable = (each for each in entries if read_only or not each.endswith(READ_ONLY))
    return [clean(each.removesuffix(READ_ONLY)) for each in usable]


def _meet(places: Iterable[str], others: Iterable[str]) -> bool:
    return any(_is_within(a, b) or _is_within(b, a) for a in places for b in others)


def _is_within(path: str, top: str | None) -> bool:
    return top is not None and (top in (_ROOT, path) or path.startswith(f"{top}/"))
