"""Rewrites a merged Compose project for a document: what only a file on the operator's machine can mean goes away."""

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path, PurePosixPath

from agent.compose.sources import Project, read_variables
from agent.compose.variables import Variables
from agent.errors import Invalid
from agent.model.intent import DEFAULT_NETWORK
from agent.yamldoc import Cursor, Faults
from agent.yamldoc.compose import Mapping, Node, Scalar, Sequence
from agent.yamldoc.edit import (
    Entries,
    child,
    listed,
    mapping,
    names_of,
    pairs,
    put,
    scalar,
    sequence,
    text_of,
    without,
)

_FOLDER = "project_directory"
_FLATTENED = "is not compiled: `docker compose config` prints one file without it; compile that"
_NOT_IN_A_NAME = re.compile(r"[^a-z0-9_-]")
_RELATIVE = (".", "..")

Rewrite = Callable[[str, Mapping], Mapping]


class Rewriter:
    """Rewrites one project and collects `warnings`."""

    def __init__(self, project: Project, variables: Variables, faults: Faults) -> None:
        self.warnings: list[str] = []
        self._project, self._variables, self._faults = project, variables, faults
        self._folder: PurePosixPath | None = None

    def document(self, root: Mapping) -> Mapping:
        """Return the root of the document."""
        if "include" in root.entries:
            self._refuse(root.entries["include"][0], "include")
            root = without(root, "include")
        if "name" not in root.entries:
            named = scalar(root, "name"), scalar(root, self._name())
            root = replace(root, entries={"name": named, **root.entries})
        if isinstance(cluster := child(root, "x-cluster"), Mapping) and _FOLDER in cluster.entries:
            root = put(root, "x-cluster", self._without_folder(cluster))
        for section, rewrite in (
            ("secrets", self._file),
            ("configs", self._file),
            ("services", self._service),
        ):
            if isinstance(found := child(root, section), Mapping):
                root = put(root, section, _members(found, section, rewrite))
        return self._used(root)

    def _used(self, root: Mapping) -> Mapping:
        """Return the document without the networks and volumes that no service is on: Compose makes none of them."""
        services = child(root, "services")
        every = [each for _, each in services.entries.values()] if isinstance(services, Mapping) else []
        networks = {name for each in every for name in names_of(child(each, "networks"))}
        volumes = {_volume(mount) for each in every for mount in _items(child(each, "volumes"))}
        for section, used in (("networks", networks), ("volumes", volumes)):
            if isinstance(declared := child(root, section), Mapping):
                for name, (key, _) in declared.entries.items():
                    if name not in used:
                        self._warn(key, f"{section}.{name} is used by no service, and left out")
                kept = without(declared, *(declared.entries.keys() - used))
                root = put(root, section, kept) if kept.entries else without(root, section)
        return root

    # ---- The project as a whole

    def _name(self) -> str:
        """Return the name of the folder as Compose makes a project's name of it."""
        return _NOT_IN_A_NAME.sub("", self._project.folder.name.lower()).lstrip("_-") or "default"

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
        if not isinstance(place, Scalar) or place.text.startswith("/"):
            return declared
        return put(declared, "file", self._on_hosts(f"{path}.file", place))

    def _on_hosts(self, path: str, place: Scalar, *, rest: str = "") -> Scalar:
        """Return the absolute path on the hosts of a relative one, followed by `rest`."""
        relative = place.text.removesuffix(rest) if rest else place.text
        cursor = Cursor(node=place, path=path, faults=self._faults)
        if relative.startswith("~"):
            cursor.fault("is in the home of a user", "write an absolute path on the hosts")
        elif self._folder is None:
            remedy = f"add to x-cluster: {_FOLDER}: /srv/{self._name()}"
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
        if "build" in service.entries and "image" in service.entries:
            why = f"{path}.build is not carried out: push the image that `image` names"
            self._warn(service.entries["build"][0], why)
            service = without(service, "build")
        if "env_file" in service.entries or "environment" in service.entries:
            service = self._environment(path, service)
        if "networks" not in service.entries and "network_mode" not in service.entries:
            service = put(service, "networks", sequence(service, [scalar(service, DEFAULT_NETWORK)]))
        if isinstance(mounts := child(service, "volumes"), Sequence):
            items = [self._mount(f"{path}.volumes[{n}]", each) for n, each in enumerate(mounts.items)]
            service = put(service, "volumes", replace(mounts, items=items))
        return service

    def _environment(self, path: str, service: Mapping) -> Mapping:
        """Put the variables of `env_file` and `environment` together, the latter over the former."""
        found: Entries = {}
        files, declared = child(service, "env_file"), child(service, "environment")
        if files is not None:
            every = listed(files)
            for number, each in enumerate(every.items if isinstance(every, Sequence) else [every]):
                place = Cursor(node=each, path=f"{path}.env_file[{number}]", faults=self._faults)
                found |= self._from_file(place)
        given = None if declared is None else pairs(declared)
        if given is not None and not isinstance(given, Mapping):
            return service  # the reader of the document names the fault
        for name, (at, value) in given.entries.items() if given else ():
            known = self._variables.values.get(name)
            if not (isinstance(value, Scalar) and value.is_null):
                found[name] = (at, value)
            elif known is not None:
                found[name] = (at, scalar(value, known))
            else:
                found.pop(name, None)
                self._warn(
                    at, f"{path}.environment.{name} has no value here: the replicas do not get the variable"
                )
        where = declared or files
        assert where is not None
        return put(without(service, "env_file"), "environment", mapping(where, found))

    def _from_file(self, place: Cursor) -> Entries:
        fields = {"path": place}
        if place.is_mapping:
            fields = {key: place.at(key) for key in ("path", "required", "format") if child(place.node, key)}
        path = fields.get("path")
        if path is None or path.written is None:
            place.fault("names no file", "write path: and the name of the file")
            return {}
        file = self._project.folder / path.written
        required = fields.get("required")
        if required is not None and required.written == "false" and not file.exists():
            return {}
        as_written = "format" in fields and fields["format"].written == "raw"
        try:
            found = read_variables(file, self._variables.values, as_written=as_written)
        except Invalid as error:
            path.fault(str(error))
            return {}
        node = path.node
        return {name: (scalar(node, name), scalar(node, value)) for name, value in found.items()}

    def _mount(self, path: str, mount: Node) -> Node:
        """Rewrite a bind of a relative path, in either form."""
        if isinstance(mount, Scalar):
            source, colon, rest = mount.text.partition(":")
            is_path = source.startswith("~") or source.split("/")[0] in _RELATIVE
            return self._on_hosts(path, mount, rest=f":{rest}") if colon and is_path else mount
        source_of = child(mount, "source")
        is_bind = text_of(child(mount, "type")) == "bind"
        if not isinstance(mount, Mapping) or not is_bind or not isinstance(source_of, Scalar):
            return mount
        if source_of.text.startswith("/"):
            return mount
        return put(mount, "source", self._on_hosts(f"{path}.source", source_of))

    def _refuse(self, key: Scalar, path: str) -> None:
        Cursor(node=key, path=path, faults=self._faults, secret=True).fault(_FLATTENED)

    def _warn(self, at: Scalar, what: str) -> None:
        self.warnings.append(f"{at.file}, line {at.line}: {what}")


def _items(node: Node | None) -> list[Node]:
    return node.items if isinstance(node, Sequence) else []


def _volume(mount: Node) -> str:
    return text_of(child(mount, "source")) if isinstance(mount, Mapping) else text_of(mount).partition(":")[0]


def _members(section: Mapping, path: str, rewrite: Rewrite) -> Mapping:
    """Return the section with each member rewritten that is a mapping."""
    entries = {
        name: (at, rewrite(f"{path}.{name}", value) if isinstance(value, Mapping) else value)
        for name, (at, value) in section.entries.items()
    }
    return replace(section, entries=entries)


def _normal(path: Path) -> str:
    """Return a path without `.` and `..`, whatever its folders are."""
    parts: list[str] = []
    for each in path.parts:
        if each == "..":
            parts = parts[:-1] if len(parts) > 1 else parts
        elif each != ".":
            parts.append(each)
    return str(PurePosixPath(*parts))
