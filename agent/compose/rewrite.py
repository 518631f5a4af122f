"""Rewrites a merged Compose project for a document: what only a file on the operator's machine can mean goes away."""

import re
from collections.abc import Mapping as Lookup
from dataclasses import replace
from pathlib import Path, PurePosixPath

from agent.compose.merge import started
from agent.compose.sources import Project, read_text, read_variables
from agent.compose.variables import Variables
from agent.errors import Invalid
from agent.model.intent import DEFAULT_NETWORK
from agent.yamldoc import Cursor, Faults
from agent.yamldoc.compose import Mapping, Node, Scalar, Sequence
from agent.yamldoc.edit import (
    Entries,
    child,
    is_null,
    listed,
    mapping,
    named,
    names_of,
    pairs,
    put,
    scalar,
    sequence,
    text_of,
    with_members,
    without,
)
from agent.yamldoc.readers import boolean

_FOLDER = "project_directory"
_FLATTENED = (
    "is not compiled",
    "remove the key, or compile what `docker compose config --no-path-resolution` prints",
)
_MADE_ABSOLUTE = (
    "is in the project's folder on this machine: `docker compose config` makes such paths of relative ones,"
    " and leaves them with --no-path-resolution"
)
_RELATIVE = (".", "..")
_HELD = re.compile(r"""'[^']*'|"(?:[^"\\]|\\["\\])*"|\\.""", re.DOTALL)
"""Parts of a line that quotes or a backslash keep together, and that every reader takes alike."""
_SPLIT_OTHERWISE = re.compile(r"""[;&|<>()`"]""")

Values = Lookup[str, str]


class Rewriter:
    """Rewrites one project and collects `warnings`."""

    def __init__(self, project: Project, name: str, variables: Variables, faults: Faults) -> None:
        self.warnings: list[str] = []
        self._project, self._name, self._variables, self._faults = project, name, variables, faults
        self._folder: PurePosixPath | None = None

    def document(self, root: Mapping) -> Mapping:
        if "include" in root.entries:
            self._refuse(root.entries["include"][0], "include")
            root = without(root, "include")
        place = child(root, "name") or root
        named_first: Entries = {"name": (scalar(place, "name"), scalar(place, self._name))}
        root = replace(root, entries=named_first | without(root, "name").entries)
        if isinstance(cluster := child(root, "x-cluster"), Mapping) and _FOLDER in cluster.entries:
            root = put(root, "x-cluster", self._without_folder(cluster))
        root = with_members(root, "secrets", self._file)
        root = with_members(root, "configs", self._config)
        return self._used(with_members(root, "services", self._service))

    def _used(self, root: Mapping) -> Mapping:
        """Return the document without the networks and volumes that no service is on: Compose makes none of them."""
        services = child(root, "services")
        every = [each for _, each in services.entries.values()] if isinstance(services, Mapping) else []
        networks = {name for each in every for name in names_of(child(each, "networks"))}
        lists = (child(each, "volumes") for each in every)
        volumes = {_volume(mount) for each in lists if isinstance(each, Sequence) for mount in each.items}
        for section, used in (("networks", networks), ("volumes", volumes)):
            if isinstance(declared := child(root, section), Mapping):
                for name, (key, _) in declared.entries.items():
                    if name not in used:
                        self._warn(key, f"{section}.{name} is used by no service, and left out")
                kept = without(declared, *(declared.entries.keys() - used))
                root = put(root, section, kept) if kept.entries else without(root, section)
        return root

    # ---- The project as a whole

    def _without_folder(self, cluster: Mapping) -> Mapping:
        place = cluster.entries[_FOLDER][1]
        if text_of(place).startswith("/"):
            self._folder = PurePosixPath(text_of(place))
        else:
            cursor = Cursor(node=place, path=f"x-cluster.{_FOLDER}", faults=self._faults)
            cursor.fault("is not an absolute path", "write the folder of the project's files on the hosts")
        return without(cluster, _FOLDER)

    def _file(self, path: str, declared: Mapping) -> Mapping:
        """Rewrite a secret or config: the path of its file on the hosts."""
        place = child(declared, "file")
        if not isinstance(place, Scalar):
            return declared
        return put(declared, "file", self._on_hosts(f"{path}.file", place))

    def _config(self, path: str, declared: Mapping) -> Mapping:
        """Rewrite a config: a file in the project's folder is read, another one is a path on the hosts."""
        place = child(declared, "file")
        if not isinstance(place, Scalar) or place.text[:1] in ("/", "~") or "content" in declared.entries:
            return self._file(path, declared)
        try:
            content = read_text(Path(_normal(self._project.folder / place.text)))
        except Invalid as error:
            cursor = Cursor(node=place, path=f"{path}.file", faults=self._faults)
            cursor.fault(str(error), "write the absolute path of a file on the hosts")
            content = ""
        return put(without(declared, "file"), "content", scalar(place, content))

    def _on_hosts(self, path: str, place: Scalar, *, rest: str = "") -> Scalar:
        """Return the absolute path on the hosts of a relative one, followed by `rest`."""
        relative = place.text.removesuffix(rest) if rest else place.text
        cursor = Cursor(node=place, path=path, faults=self._faults)
        if relative.startswith("/"):
            here = self._project.folder
            if PurePosixPath(relative).is_relative_to(here) and str(here) != str(self._folder):
                self._warn(place, f"{path} {_MADE_ABSOLUTE}")
        elif relative.startswith("~"):
            cursor.fault("is in the home of a user", "write an absolute path on the hosts")
        elif self._folder is None:
            remedy = f"add to x-cluster: {_FOLDER}: /srv/{self._name}"
            cursor.fault("is relative to a folder on the hosts that is not known", remedy)
        else:
            joined = Path(self._folder, relative)
            return replace(place, text=f"{_normal(joined)}{rest}", plain=False)
        return place

    # ---- One service

    def _service(self, path: str, service: Mapping) -> Mapping:
        for key in ("extends", "profiles"):
            if key in service.entries:
                self._refuse(service.entries[key][0], f"{path}.{key}")
        service = without(service, "extends", "profiles")
        for key in ("command", "entrypoint"):
            if (line := child(service, key)) is not None:
                _check_line(Cursor(node=line, path=f"{path}.{key}", faults=self._faults, secret=True))
        if isinstance(links := child(service, "links"), Sequence):
            service = put(service, "depends_on", _awaited(child(service, "depends_on"), links))
        if "build" in service.entries and "image" in service.entries:
            why = f"{path}.build is not carried out: push the image that `image` names"
            self._warn(service.entries["build"][0], why)
            service = without(service, "build")
        if "env_file" in service.entries or "environment" in service.entries:
            service = self._environment(path, service)
        if not names_of(child(service, "networks")) and "network_mode" not in service.entries:
            service = put(service, "networks", sequence(service, [scalar(service, DEFAULT_NETWORK)]))
        if isinstance(mounts := child(service, "volumes"), Sequence):
            items = [self._mount(f"{path}.volumes[{n}]", each) for n, each in enumerate(mounts.items)]
            service = put(service, "volumes", replace(mounts, items=items))
        return service

    def _environment(self, path: str, service: Mapping) -> Mapping:
        """Put the variables of `env_file` and `environment` together, the latter over the former."""
        found: Entries = {}
        files, declared = child(service, "env_file"), child(service, "environment")
        given = None if declared is None else pairs(declared)
        if given is not None and not isinstance(given, Mapping):
            return service  # the reader of the document names the fault
        own = given.entries.items() if given else ()
        known = {name: text_of(value) for name, (_, value) in own if not is_null(value)}
        known |= dict(self._variables.values)
        if files is not None:
            every = listed(files)
            for number, each in enumerate(every.items if isinstance(every, Sequence) else [every]):
                place = Cursor(node=each, path=f"{path}.env_file[{number}]", faults=self._faults)
                found |= self._from_file(place, known, found)
        for name, (at, value) in own:
            if not is_null(value):
                found[name] = (at, value)
            elif name in known:
                found[name] = (at, scalar(value, known[name]))
            else:
                found.pop(name, None)
                why = "has no value here: the replicas do not get the variable"
                self._warn(at, f"{path}.environment.{name} {why}")
        where = declared or files
        assert where is not None
        return put(without(service, "env_file"), "environment", mapping(where, found))

    def _from_file(self, place: Cursor, known: Values, earlier: Entries) -> Entries:
        fields = {"path": place}
        if place.is_mapping:
            fields = {key: place.at(key) for key in ("path", "required", "format") if child(place.node, key)}
        path = fields.get("path")
        if path is None or path.written is None:
            place.fault("names no file", "write path: and the name of the file")
            return {}
        file = self._project.folder / path.written
        if "required" in fields and not boolean(fields["required"]) and not file.exists():
            return {}
        as_written = "format" in fields and fields["format"].written == "raw"
        above = {name: text_of(value) for name, (_, value) in earlier.items()}
        try:
            found = read_variables(file, known, above, as_written=as_written)
        except Invalid as error:
            path.fault(str(error), "correct it, or remove it here")
            return {}
        node = path.node
        return {name: (scalar(node, name), scalar(node, value)) for name, value in found.items()}

    def _mount(self, path: str, mount: Node) -> Node:
        """Rewrite a bind of a relative path, in either form."""
        if isinstance(mount, Scalar):
            source, colon, rest = mount.text.partition(":")
            is_path = source.startswith(("~", "/")) or source.split("/")[0] in _RELATIVE
            return self._on_hosts(path, mount, rest=f":{rest}") if colon and is_path else mount
        source_of = child(mount, "source")
        is_bind = text_of(child(mount, "type")) == "bind"
        if not isinstance(mount, Mapping) or not is_bind or not isinstance(source_of, Scalar):
            return mount
        return put(mount, "source", self._on_hosts(f"{path}.source", source_of))

    def _refuse(self, key: Scalar, path: str) -> None:
        Cursor(node=key, path=path, faults=self._faults, secret=True).fault(*_FLATTENED)

    def _warn(self, at: Scalar, what: str) -> None:
        self.warnings.append(f"{at.file}, line {at.line}: {what}")


def _check_line(line: Cursor) -> None:
    """Note a fault for a line that Compose does not split into a shell's words: it ends at an operator."""
    if found := _SPLIT_OTHERWISE.search(_HELD.sub("", line.written or "")):
        problem = f"has {found[0]} outside quotes, where Compose ends the command or refuses it"
        if found[0] == '"':
            problem = "has a backslash in double quotes that Compose takes for another character"
        line.fault(problem, "write a list; [sh, -c, 'the line'] runs it in a shell")


def _awaited(declared: Node | None, links: Sequence) -> Node:
    """Return `depends_on` with the services of `links`, for which Compose waits too."""
    found = named(started)(declared or mapping(links, {}))
    if not isinstance(found, Mapping):
        return found
    others = [scalar(each, text_of(each).partition(":")[0]) for each in links.items]
    return replace(found, entries={**{each.text: (each, started(each)) for each in others}, **found.entries})


def _volume(mount: Node) -> str:
    return text_of(child(mount, "source")) if isinstance(mount, Mapping) else text_of(mount).partition(":")[0]


def _normal(path: Path) -> str:
    """Return a path without `.` and `..`, whatever its folders are."""
    parts: list[str] = []
    for each in path.parts:
        if each == "..":
            parts = parts[:-1] if len(parts) > 1 else parts
        elif each != ".":
            parts.append(each)
    return str(PurePosixPath(*parts))
