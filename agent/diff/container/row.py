"""Field mapping: how a field is written to a create request, read back and compared.

A mapping compares values in *normal form*, in which every spelling of a value is equal: a plain value, a tuple if order
matters, a frozenset if it does not, or a mapping of named entries. The spec's value and the one that `inspect` shows
are both converted to that form, so that the comparison is the same for all fields.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any

from agent.model import Frozen
from agent.model.host_state import Difference, Repair
from agent.model.phrases import shorten
from agent.model.spec import ContainerSpec

# ---- Values of fields as texts for operators: sizes, durations, lists; short enough for a log line

NOTHING = "nothing"

_SIZES = (("TiB", 2**40), ("GiB", 2**30), ("MiB", 2**20), ("KiB", 2**10))


def as_text(value: Any) -> str:
    """Text of any value in normal form, short enough for one line."""
    match value:
        case None | "" | () | frozenset():
            return shorten(", ".join(sorted(value))) if value else NOTHING
        case bool():
            return "yes" if value else "no"
        case tuple():
            return shorten(" ".join(value))
        case Mapping():
            entries = ", ".join(f"{key}={as_text(each)}" for key, each in sorted(value.items()))
            return shorten(entries) or NOTHING
    return shorten(str(value))


def size(value: int | None) -> str:
    """Bytes in the largest binary unit that is exact: 67108864 -> 64 MiB; None and 0 are no limit."""
    if not value:
        return "no limit"
    for unit, factor in _SIZES:
        if value % factor == 0:
            return f"{value // factor} {unit}"
    return f"{value} bytes"


def cpus(value: int | None) -> str:
    """Billionths of a CPU as CPUs; None and 0 are no limit."""
    return f"{value / 1e9:g} CPUs" if value else "no limit"


def seconds(nanoseconds: int | None) -> str:
    """Nanoseconds as seconds; None and 0 are the engine's choice."""
    return f"{nanoseconds / 1e9:g} s" if nanoseconds else "the engine's choice"


# ---- Image references: one short form for all spellings of the same reference

_HUB = ("docker.io/library/", "index.docker.io/library/", "docker.io/", "index.docker.io/", "library/")


def familiar(reference: str) -> str:
    """Docker's short form with its tag: `docker.io/library/busybox` -> `busybox:latest`. A digest needs no tag."""
    name = next((reference.removeprefix(each) for each in _HUB if reference.startswith(each)), reference)
    if "@" in name or name.startswith("sha256:") or ":" in name.rpartition("/")[2]:
        return name
    return f"{name}:latest"


def split(reference: str) -> tuple[str, str]:
    """(repository, tag or digest) for the engine's pull; `latest` if the reference has neither."""
    if "@" in reference:
        name, _, digest = reference.partition("@")
        return name, digest
    name, _, tag = reference.rpartition(":")
    return (name, tag) if name and "/" not in tag else (reference, "latest")


Body = dict[str, Any]
"""The JSON of POST /containers/create: container config at the top, `HostConfig` and `NetworkingConfig` in it."""


class Default(Enum):
    """The value that a field is compared with if the spec leaves it out."""

    IMAGE = "the image's"
    ENGINE = "not compared: the engine's own configuration decides"


@dataclass(frozen=True, slots=True)
class AtLeast:
    """Entries that must be found; all others are the image's or the engine's own."""

    entries: Mapping[str, Any] | frozenset[str]


@dataclass(frozen=True, slots=True)
class Found:
    """A container as the engine shows it, and its image; None: the image is gone."""

    inspect: Mapping[str, Any]
    image: Mapping[str, Any] | None = None

    def at(self, path: str) -> Any:
        """The container's value at a dotted path, e.g. `HostConfig.Memory`; None if absent."""
        return _at(self.inspect, path)

    def image_at(self, path: str) -> Any:
        """The image's value at a dotted path; None if absent."""
        return _at(self.image or {}, path)


class FieldMapping(Frozen):
    """Encoding, observation, comparison and repair of one field of ContainerSpec."""

    field: str
    at: str
    """The engine's path of the field, for the reference page: `HostConfig.Memory`."""
    put: Callable[[ContainerSpec, Body], None]
    wanted: Callable[[ContainerSpec, Found], Any]
    """The value that must be found, in normal form, with the image's default; Default.ENGINE: any value."""
    found: Callable[[Found], Any]
    default: str
    """The value if the spec leaves the field out, for the reference page."""
    ordered: bool = False
    repair: Repair = "replace"
    unset: Repair = "replace"
    """Repair of a value that the spec leaves out."""
    word: str = ""
    """The field's name in the operator's document; empty: the field's own."""
    show: Callable[[Any], str] = as_text
    secret: bool = False
    """True if values may be passwords: they are compared, never shown."""
    shown: frozenset[str] = frozenset()
    """Entries of a secret field that are not secret."""
    lossy: bool = False
    """True if an engine or kernel without support drops the value. It cannot be removed by hand: if it is missing, it
    was dropped, and a new container would lose it, too."""
    named: bool = False
    """True if the repair acts on the entry of that name."""
    usual: Any = Default.ENGINE
    """The engine's value, in normal form, if the spec leaves the field out and its configuration does not say
    otherwise. Whether a spec declares it is no reason for another container. Default.ENGINE: it has no such value."""

    @property
    def called(self) -> str:
        return self.word or self.field

    def compare(self, spec: ContainerSpec, found: Found) -> Iterator[Difference]:
        """Yield every difference between the field's wanted and its found value."""
        wanted, have = self.wanted(spec, found), self.found(found)
        exact = not isinstance(wanted, AtLeast)
        wanted = wanted.entries if isinstance(wanted, AtLeast) else wanted
        if wanted is Default.ENGINE or wanted == have:
            return
        if isinstance(wanted, Mapping):
            yield from self._entries(wanted, have, exact)
        elif isinstance(wanted, frozenset):
            missing, extra = wanted - have, have - wanted if exact else frozenset()
            if missing or extra:
                yield self._difference("", missing, extra)
        else:
            yield self._difference("", wanted, have)

    def _entries(
        self, wanted: Mapping[str, Any], have: Mapping[str, Any], exact: bool
    ) -> Iterator[Difference]:
        for name in sorted({*wanted, *have} if exact else wanted):
            if wanted.get(name) != have.get(name):
                yield self._difference(name, _entry(wanted, name), _entry(have, name))

    def _difference(self, entry: str, wanted: Any, found: Any) -> Difference:
        return Difference(
            field=f"{self.called}.{entry}" if entry else self.called,
            wanted=self._shown_value(entry, wanted, "the declared value"),
            found=self._shown_value(entry, found, "another one"),
            repair=self._repair(wanted, found),
            subject=entry if self.named else "",
        )

    def _repair(self, wanted: Any, found: Any) -> Repair:
        # A zero is declared, as in `mem_swappiness: 0`; None is not.
        if self.lossy and wanted is not None and not found:
            return "none"
        return self.repair if wanted else self.unset

    def _shown_value(self, entry: str, value: Any, instead: str) -> str:
        if self.secret and entry not in self.shown:
            return NOTHING if value in (None, ()) else instead
        return self.show(value)


def plain(
    name: str,
    at: str,
    *,
    default: Any = None,
    normal: Callable[[Any], Any] | None = None,
    write: Callable[[Any], Any] = lambda value: value,
    read: Callable[[Any], Any] | None = None,
    described: str = "",
    **more: Any,
) -> FieldMapping:
    """The mapping of a field that has one path at the engine.

    `write` converts the spec's value to the engine's, `normal` to normal form; without it `read` does, after `write`.
    `read` converts the engine's value to normal form; without it `normal` does, with `default` for an absent value, and
    without both the value stays as it is. `default` is a Default, or the value in
    normal form that the engine shows if none was given; `described` replaces its text. `more` has other fields of the
    FieldMapping, also instead of those made here.
    """
    empty = ContainerSpec.__dataclass_fields__[name].default
    absent = None if isinstance(default, Default) else default
    after_write: Callable[[Any], Any] = (lambda value: read(write(value))) if read else (lambda value: value)
    normalize = normal or after_write
    reader = read or (lambda raw: normalize(raw) if raw else absent)

    def put(spec: ContainerSpec, body: Body) -> None:
        value = getattr(spec, name)
        if value != empty:
            place(body, at, write(value))

    def wanted(spec: ContainerSpec, found: Found) -> Any:
        value = getattr(spec, name)
        if value != empty:
            return normalize(value)
        if default is Default.IMAGE:
            return reader(found.image_at(at)) if found.image is not None else Default.ENGINE
        return default

    shown = default.value if isinstance(default, Default) else more.get("show", as_text)(default)
    usual = Default.ENGINE if isinstance(default, Default) or default is None else default
    own: dict[str, Any] = {"put": put, "wanted": wanted, "default": described or shown, "usual": usual}
    own["found"] = lambda found: reader(found.at(at))
    return FieldMapping(field=name, at=at, **{**own, **more})


def unordered(normal: Callable[[Any], str]) -> Callable[[Iterable[Any] | None], frozenset[str]]:
    """Return the normal form of a list without an order, of whose members `normal` returns the normal form."""
    return lambda raw: frozenset(map(normal, raw or ()))


def place(body: Body, path: str, value: Any) -> None:
    """Set `value` in a create request at the path where `inspect` will show it (`Config.` is its top level)."""
    *parents, last = path.removeprefix("Config.").split(".")
    for each in parents:
        body = body.setdefault(each, {})
    body[last] = value


def _entry(entries: Mapping[str, Any], name: str) -> Any:
    """The entry of that name, with a text of its own for an empty one: absent and empty differ."""
    value = entries.get(name)
    return "(empty)" if value in ("", ()) else value


def _at(tree: Any, path: str) -> Any:
    for each in path.split("."):
        tree = tree.get(each) if isinstance(tree, Mapping) else None
    return tree
