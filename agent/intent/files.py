"""Secrets and configs: files that lie on the hosts, mounted read-only into the copies that name them."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

from agent.intent import forms
from agent.intent.values import absolute, name, text
from agent.model.spec import Mount
from agent.yamldoc import Cursor

Kind = Literal["secrets", "configs"]

_FILES_ONLY = "is not offered: a file on the hosts is, with file:"
_AS_IT_IS = "is not offered: the file is mounted as it is on the host; set it there"
FILE = forms.Section(
    {"file": forms.ABSOLUTE},
    ("file",),
    {
        "content": f"{_FILES_ONLY}; the document is no place for it",
        "driver": _FILES_ONLY,
        "driver_opts": _FILES_ONLY,
        "environment": f"{_FILES_ONLY}; an agent's environment is not looked into",
        "external": _FILES_ONLY,
        "labels": "is not offered: a file has none",
        "name": "is not needed: nothing of this name is made in Docker",
        "template_driver": _FILES_ONLY,
    },
)
USE = forms.Section(
    {"source": forms.NAME, "target": forms.TEXT},
    ("source",),
    dict.fromkeys(("uid", "gid", "mode"), _AS_IT_IS),
)
USES = forms.list_of(forms.either(forms.NAME, USE.form))

_SECRETS = "/run/secrets/"


@dataclass(frozen=True, slots=True, kw_only=True)
class Use:
    """A file that a service uses: the name the document gives it, and where the copies have it."""

    name: str
    target: str
    place: Cursor


def read_file(cursor: Cursor) -> str | None:
    """Read one secret or config of the top level: the path of its file on every host that runs a copy with it."""
    fields = FILE.read(cursor)
    return fields.require("file", absolute, "say which file of the host: a whole path")


def read_uses(cursor: Cursor, kind: Kind) -> tuple[Use, ...]:
    """Read what a service lists under `secrets` or `configs`: names, or mappings that say more."""
    found = [_long(place, kind) if place.is_mapping else _short(place, kind) for place in cursor.items()]
    return tuple(each for each in found if each)


def _short(place: Cursor, kind: Kind) -> Use | None:
    source = name(place)
    return None if source is None else Use(name=source, target=_usual(source, kind), place=place)


def _long(place: Cursor, kind: Kind) -> Use | None:
    fields = USE.read(place)
    source = fields.require("source", name, f"say which of the {kind} declared at the top")
    said = fields.at("target")
    if source is None:
        return None
    target = _usual(source, kind) if said is None else _target(said, kind)
    return None if target is None else Use(name=source, target=target, place=place)


def _usual(source: str, kind: Kind) -> str:
    return f"{_SECRETS}{source}" if kind == "secrets" else f"/{source}"


def _target(place: Cursor, kind: Kind) -> str | None:
    """Read where it is mounted; a secret's may be the name of a file below /run/secrets."""
    written = text(place)
    if written is not None and kind == "secrets" and "/" not in written:
        source = name(place)
        return None if source is None else f"{_SECRETS}{source}"
    return None if written is None else absolute(place)


def files(
    uses: tuple[Use, ...], kind: Kind, declared: Mapping[str, str | None], taken: Mapping[str, object]
) -> Iterator[Mount]:
    """Yield the mounts of `uses`; notes a fault for each that is not declared, or mounted where something is already.

    `declared`: file by name, None for one that could not be read. `taken`: where something is mounted.
    """
    seen = dict(taken)
    for use in uses:
        if use.name not in declared:
            remedy = use.place.guess(use.name, list(declared)) or f"declare it under the top-level '{kind}'"
            use.place.fault(f"'{use.name}' is not one of the declared {kind}", remedy)
        elif use.target in seen:
            use.place.fault(f"mounts '{use.target}' a second time", "keep one of them")
        elif (source := declared[use.name]) is not None:
            yield Mount(type="bind", source=source, target=use.target, read_only=True)
        seen[use.target] = use
