"""One row of the table of fields: how a field gets into a create request, and how it is read back and compared.

A row knows its value in one *normal form*, in which every spelling of the same value is equal: a plain value, a tuple
where order matters, a frozenset where it does not, a mapping of named entries. Both what the spec wants and what
`inspect` shows are brought to that form, so that comparing is the same for all fields.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any, Literal

from agent.model.host_state import Difference
from agent.model.phrases import shorten
from agent.model.spec import ContainerSpec

# ---- Values of fields in words an operator reads: sizes, durations, lists; never too long for a line of a log.


NOTHING = "nothing"

_SIZES = (("TiB", 2**40), ("GiB", 2**30), ("MiB", 2**20), ("KiB", 2**10))


def words(value: Any) -> str:
    """Any normalised value, short enough for one line."""
    match value:
        case None | "" | () | frozenset():
            return shorten(", ".join(sorted(value))) if value else NOTHING
        case bool():
            return "yes" if value else "no"
        case tuple():
            return shorten(" ".join(value))
        case Mapping():
            return (
                shorten(", ".join(f"{key}={words(each)}" for key, each in sorted(value.items()))) or NOTHING
            )
    return shorten(str(value))


def size(value: int | None) -> str:
    """Bytes in the largest binary unit that says it exactly: 67108864 -> 64 MiB; None and 0 are no limit."""
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


# ---- Image references: the one short form that all spellings of the same reference have


_HUB = ("docker.io/library/", "index.docker.io/library/", "docker.io/", "index.docker.io/", "library/")


def familiar(reference: str) -> str:
    """Docker's short form with its tag said: `docker.io/library/busybox` -> `busybox:latest`. A digest needs no tag."""
    name = next((reference.removeprefix(each) for each in _HUB if reference.startswith(each)), reference)
    if "@" in name or name.startswith("sha256:") or ":" in name.rpartition("/")[2]:
        return name
    return f"{name}:latest"


def split(reference: str) -> tuple[str, str]:
    """(repository, tag or digest), as the engine's pull takes them; `latest` where none is said."""
    if "@" in reference:
        name, _, digest = reference.partition("@")
        return name, digest
    name, _, tag = reference.rpartition(":")
    return (name, tag) if name and "/" not in tag else (reference, "latest")


Repair = Literal["replace", "update", "reconnect", "none"]
Body = dict[str, Any]
"""The JSON of POST /containers/create: container config at the top, `HostConfig` and `NetworkingConfig` in it."""


class Default(Enum):
    """What a field is compared with when the spec does not say it."""

    IMAGE = "the image's"
    UNTOLD = "not compared: the engine's own configuration decides"


@dataclass(frozen=True, slots=True)
class AtLeast:
    """Entries that must be there; whatever else is found is the image's or the engine's own."""

    entries: Mapping[str, Any] | frozenset[str]


@dataclass(frozen=True, slots=True)
class Found:
    """A container as the engine shows it, and the image it was made from; None: that image is gone."""

    inspect: Mapping[str, Any]
    image: Mapping[str, Any] | None = None

    def at(self, path: str) -> Any:
        """The container's value at a dotted path, e.g. `HostConfig.Memory`; None when it is not there."""
        return _at(self.inspect, path)

    def image_at(self, path: str) -> Any:
        """The image's value at a dotted path; None when it is not there."""
        return _at(self.image or {}, path)


@dataclass(frozen=True, slots=True, kw_only=True)
class FieldMapping:
    """How one field of ContainerSpec meets the engine."""

    field: str
    at: str
    """Where the engine keeps it, for people: `HostConfig.Memory`."""
    put: Callable[[ContainerSpec, Body], None]
    wanted: Callable[[ContainerSpec, Found], Any]
    """What must be found, in normal form, with the defaults of image and engine; UNTOLD: anything may be."""
    found: Callable[[Found], Any]
    unsaid: str
    """What it is when the spec does not say it, for people."""
    ordered: bool = False
    repair: Repair = "replace"
    unset: Repair = "replace"
    """How a value is taken away again that the spec does not say."""
    word: str = ""
    """What the operator calls it, where that is not the field's name."""
    show: Callable[[Any], str] = words
    secret: bool = False
    """Values may be passwords: they are compared, never shown."""
    shown: frozenset[str] = frozenset()
    """Entries of a secret field that are none."""
    lossy: bool = False
    """An engine or kernel that cannot do this drops it. Nobody can take it away by hand, so when it is not there it was
    dropped, and would be again."""
    named: bool = False
    """The name of an entry is what its repair acts upon."""

    @property
    def called(self) -> str:
        """The field's name in the operator's document."""
        return self.word or self.field

    def compare(self, spec: ContainerSpec, found: Found) -> Iterator[Difference]:
        """Every way in which the field is not as wanted."""
        wanted, have = self.wanted(spec, found), self.found(found)
        exact = not isinstance(wanted, AtLeast)
        wanted = wanted.entries if isinstance(wanted, AtLeast) else wanted
        if wanted is Default.UNTOLD or wanted == have:
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
            wanted=self._told(entry, wanted, "the declared value"),
            found=self._told(entry, found, "another one"),
            repair=self._repair(wanted, found),
            subject=entry if self.named else "",
        )

    def _repair(self, wanted: Any, found: Any) -> Repair:
        # A zero is said, as in `mem_swappiness: 0`; None is not.
        if self.lossy and wanted is not None and not found:
            return "none"
        return self.repair if wanted else self.unset

    def _told(self, entry: str, value: Any, instead: str) -> str:
        if self.secret and entry not in self.shown:
            return NOTHING if value in (None, ()) else instead
        return self.show(value)


def plain(
    name: str,
    at: str,
    *,
    unsaid: Any = None,
    normal: Callable[[Any], Any] = lambda value: value,
    write: Callable[[Any], Any] = lambda value: value,
    read: Callable[[Any], Any] | None = None,
    **more: Any,
) -> FieldMapping:
    """A row for a field that lives in one place, as it is.

    `normal` brings the spec's value to normal form, `write` to the engine's; `read` brings the engine's to normal form
    (default: as `normal`, with `unsaid` for an absent value). `unsaid` is Unsaid, or what the engine shows when nothing
    was said, in normal form.
    """
    default = ContainerSpec.__dataclass_fields__[name].default
    reader = read or (lambda raw: normal(raw) if raw else unsaid if not isinstance(unsaid, Default) else None)

    def put(spec: ContainerSpec, body: Body) -> None:
        value = getattr(spec, name)
        if value != default:
            place(body, at, write(value))

    def wanted(spec: ContainerSpec, found: Found) -> Any:
        value = getattr(spec, name)
        if value != default:
            return normal(value)
        if unsaid is Default.IMAGE:
            return reader(found.image_at(at)) if found.image is not None else Default.UNTOLD
        return unsaid

    more.setdefault("ordered", False)
    return FieldMapping(
        field=name,
        at=at,
        put=put,
        wanted=wanted,
        found=lambda found: reader(found.at(at)),
        unsaid=unsaid.value if isinstance(unsaid, Default) else more.get("show", words)(unsaid),
        **more,
    )


def place(body: Body, path: str, value: Any) -> None:
    """Set `value` in a create request at the path `inspect` will show it at (`Config.` is its top level)."""
    *parents, last = path.removeprefix("Config.").split(".")
    for each in parents:
        body = body.setdefault(each, {})
    body[last] = value


def _entry(entries: Mapping[str, Any], name: str) -> Any:
    """An entry, where having none and having an empty one are different things."""
    value = entries.get(name)
    return "(empty)" if value in ("", ()) else value


def _at(tree: Any, path: str) -> Any:
    for each in path.split("."):
        tree = tree.get(each) if isinstance(tree, Mapping) else None
    return tree
