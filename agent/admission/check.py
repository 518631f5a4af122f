"""Compares a spec, a volume or an image with the policy of the host. Each refusal names the setting that would admit.

A spec in etcd may be one that no document can declare. So every field is judged as the engine reads it.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cache, partial

from agent.admission import paths
from agent.admission.paths import RealPath
from agent.admission.policy import BASELINE, ENGINE_CAPABILITIES, Entries, Policy, decode, level_policy
from agent.errors import NotAdmitted
from agent.model.host_state import VolumeState
from agent.model.intent import HostIntent, Intent, VolumeIntent
from agent.model.phrases import cut, first_of, shorten
from agent.model.spec import HUB, ContainerSpec, Mount, registry_of
from agent.model.status import HostStatus

_MOST_SHOWN, _MOST_TEXT = 5, 4000
_MOST_POLICIES, _MOST_LINES, _MOST_WARNED = 20, 20, 500
_QUOTED = frozenset(" :,*#&!|>%@`[]{}'")
"""Characters of a value that YAML may read as something else than text."""
_ANYWHERE = "0.0.0.0"  # noqa: S104 - every address, in docker's notation
_CHOSEN = "32768-65535"
"""The ports of which an engine chooses one: those of the kernel, and its own if it cannot read them."""
Volume = VolumeIntent | VolumeState


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """A value that the policy does not admit."""

    key: str
    """Key of the value in the service of the document, as `cap_add`, or `volumes.<name>` of a volume."""
    value: str
    setting: str
    """The key with a value, below `admission:` in agent.yaml, that would admit it."""
    why: str = ""

    def __str__(self) -> str:
        why = f" ({self.why})" if self.why else ""
        return f"{self.key}: {self.value}{why}, which `{self.setting}` would admit"


_Crossed = Mapping[tuple[str, bool], Refusal]
"""By the clean path of a bind, and whether it is written."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Gate:
    """The policy of a host, and its view of the host's paths."""

    policy: Policy = BASELINE
    real_path: RealPath = lambda path: path
    """Returns the path without symbolic links; None: the agent cannot follow them."""
    data_root: Callable[[], str] = str
    """Returns the data directory of dockerd, which is protected; empty: it is not known."""

    def refuse(self, found: Iterable[Refusal]) -> None:
        if text := self.describe(found):
            raise NotAdmitted(text)

    def describe(self, found: Iterable[Refusal]) -> str:
        """Return one text for the refusals; empty: there is none."""
        texts = list(dict.fromkeys(map(str, found)))
        if not texts:
            return ""
        shown = "; ".join(first_of(texts, _MOST_SHOWN, "and {} more"))
        level = f"`admission` in agent.yaml, level {self.policy.level}"
        return cut(f"not admitted by this host ({level}): {shown}", _MOST_TEXT)

    def container(
        self, spec: ContainerSpec, volumes: Iterable[Volume] = (), crossed: _Crossed | None = None
    ) -> Iterator[Refusal]:
        """Yield what the policy does not admit of a container; `volumes` are those that it mounts, as far as known."""
        for part in (_rights, _namespaces, _lists, _ports, _limits, _required):
            yield from part(spec, self.policy)
        yield from self.image(spec.image)
        known = tuple(volumes)
        for mount in filter(_is_bind, spec.volumes):
            yield from self._bind(mount)
        for volume in _mounted(spec, known):
            yield from self.volume(volume)
        crossed = self.crossed((spec,), known) if crossed is None else crossed
        yield from dict.fromkeys(filter(None, (crossed.get(_place(each)) for each in _binds(spec, known))))

    def specs(self, specs: Mapping[str, ContainerSpec], volumes: Iterable[Volume]) -> Mapping[str, str]:
        """Return the refusals of each spec that is not admitted, by its hash. All are of one host."""
        known, gate = tuple(volumes), replace(self, real_path=cache(self.real_path))
        crossed = gate.crossed(specs.values(), known)
        found = ((digest, gate.container(spec, known, crossed)) for digest, spec in specs.items())
        return {digest: text for digest, refusals in found if (text := self.describe(refusals))}

    def crossed(self, specs: Iterable[ContainerSpec], volumes: Iterable[Volume]) -> _Crossed:
        """Return the refusal of each bind below a path that a container of the host writes, and of that path.

        The engine resolves a path at each start, also at one without the agent. A process that writes above a bind can
        make a link of it, and with that get any path of the host.
        """
        binds = {_place(mount): mount for spec in specs for mount in _binds(spec, volumes)}
        places = {source: self.real_path(source) or source for source, _ in binds}
        written: dict[str, list[str]] = {}
        for source in (source for source, writes in binds if writes):
            written.setdefault(places[source], []).append(source)
        found: dict[tuple[str, bool], Refusal] = {}
        for (source, writes), mount in binds.items():
            setting, listed, entries = self._entries(mount)
            over = [each for place in paths.above(places[source]) for each in written.get(place, ())]
            if over and not paths.is_named(source, entries, read_only=not writes):
                why = f"a container here writes to {over[0]} above it"
                refusal = _unlisted("volumes", f"bind of {source}", setting, listed, source, why)
                found |= dict.fromkeys([(source, writes), *((each, True) for each in over)], refusal)
        return found

    def image(self, reference: str) -> Iterator[Refusal]:
        """Yield a refusal if the image is of no admitted registry, or lacks a required digest."""
        yield from self.registry(reference)
        if "digest" in self.policy.require and "@sha256:" not in reference:
            yield _lacking("image", reference, "digest", self.policy)

    def registry(self, reference: str) -> Iterator[Refusal]:
        registry, entries = registry_of(reference), self.policy.registries
        path = reference.partition("@")[0].removeprefix("index.").removeprefix(f"{registry}/")
        if registry == HUB and "/" not in path:
            path = f"library/{path}"
        path = f"{registry}/{path}"
        before, colon, tag = path.rpartition(":")
        name = before if colon and "/" not in tag else path
        if not _is_listed(registry, entries) and not _is_listed(name, entries):
            yield _unlisted("image", reference, "registries", entries, registry)

    def volume(self, volume: Volume) -> Iterator[Refusal]:
        """Yield what the policy does not admit of a volume; values of other options may be secret."""
        key, policy = f"volumes.{volume.name}", self.policy
        if volume.driver != "local":
            if not _is_listed(volume.driver, policy.volume_drivers):
                yield _unlisted(f"{key}.driver", volume.driver, "volume_drivers", policy.volume_drivers)
            return
        options = dict(volume.options)
        kind = options.get("type", "")
        if (bind := _bind_of(volume)) is not None:
            yield from self._bind(bind, f"{key}.driver_opts")
        elif (options.get("device") or kind) and not _is_listed(kind, policy.volume_types):
            yield _unlisted(f"{key}.driver_opts.type", kind or "none", "volume_types", policy.volume_types)

    def _bind(self, mount: Mount, key: str = "volumes") -> Iterator[Refusal]:
        policy, written = self.policy, mount.source or ""
        (source, writes), root = _place(mount), self.data_root()
        kept = (*policy.protected, root) if policy.protected and root else policy.protected
        # The engine cleans the path of a bind. It takes one without / for a volume, and leaves that of a volume alone.
        is_odd = written[:1] != "/" or (key != "volumes" and ".." in written.split("/"))
        if is_odd and (kept or "/" not in policy.binds):
            why, setting = "write the path without .., from / on", "level: unrestricted"
            yield Refusal(key=key, value=shorten(f"bind of {written}"), setting=setting, why=why)
            return
        setting, listed, entries = self._entries(mount)
        judge = partial(paths.judge, source, protected=kept, real_path=self.real_path, read_only=not writes)
        admitted, why = judge(entries)
        if not admitted:
            refusal = _unlisted(key, f"bind of {source}", setting, listed, source, why)
            is_enough, reason = judge((*entries, source))
            yield refusal if is_enough else replace(refusal, setting="level: unrestricted", why=why or reason)

    def _entries(self, mount: Mount) -> tuple[str, Entries, Entries]:
        """Return the setting that is to list a bind, what it lists, and everything that admits the bind."""
        policy, (_, writes) = self.policy, _place(mount)
        if not writes and not mount.create_host_path:
            return "files", policy.files, (*policy.binds, *policy.files)
        return "binds", policy.binds, policy.binds


def _place(mount: Mount) -> tuple[str, bool]:
    """Return the clean path of a bind, and True if the host's files change: a label for SELinux is written, too."""
    return paths.clean(mount.source or ""), not mount.read_only or mount.relabel is not None


def _is_bind(mount: Mount) -> bool:
    """Return True for a path of the host; the agent places the file of a content, which nothing may write to."""
    return mount.type == "bind" and not (mount.content is not None and mount.read_only)


def _bind_of(volume: Volume) -> Mount | None:
    options = dict(volume.options)
    is_bind = volume.driver == "local" and {"bind", "rbind"} & set(options.get("o", "").split(","))
    return Mount(type="bind", target="/", source=options.get("device", "")) if is_bind else None


def _mounted(spec: ContainerSpec, volumes: Iterable[Volume]) -> Iterator[Volume]:
    names = {each.source for each in spec.volumes if each.type == "volume"}
    yield from (each for each in volumes if each.name in names)


def _binds(spec: ContainerSpec, volumes: Iterable[Volume]) -> Iterator[Mount]:
    """Yield the binds of a container, also those that are volumes."""
    yield from filter(_is_bind, spec.volumes)
    yield from filter(None, map(_bind_of, _mounted(spec, volumes)))


def warn(intent: Intent, statuses: Mapping[str, HostStatus]) -> tuple[str, ...]:
    """Return a sentence for each value of a service that hosts refuse, by the policies that they report.

    Links, existing volumes, secrets of a host, more than 20 policies, and hosts without a report are not known.
    """
    hosts: dict[Policy, list[HostIntent]] = {}
    reporting: dict[str, list[HostIntent]] = {}
    """Reported policy -> the hosts that report it."""
    for host in intent.hosts:
        text = statuses[host.name].admission if host.name in statuses else ""
        if text not in reporting:
            policy = decode(text)
            common = policy and replace(policy, protected=level_policy(policy.level).protected)
            reporting[text] = hosts.setdefault(common, []) if common else []
        reporting[text].append(host)
    lines = []
    for service in intent.services:
        found: dict[Refusal, list[HostIntent]] = {}
        for policy in [*hosts][:_MOST_POLICIES]:
            for refusal in dict.fromkeys(Gate(policy=policy).container(service.spec, intent.made_volumes)):
                found.setdefault(refusal, []).extend(hosts[policy])
        placed, is_placed = dict(service.placement), service.replicas is not None
        for refusal, asked in found.items():
            may = (
                each
                for each in asked
                if placed.get(each.name) or (is_placed and not service.where.unmet(each))
            )
            if names := [each.name for each in may]:
                where = ", ".join(first_of(names, _MOST_SHOWN, "{} more"))
                text = f"service {service.name} waits on {where}: `admission` there does not admit {refusal}"
                lines.append(shorten(text, _MOST_WARNED))
    return tuple(first_of(lines, _MOST_LINES, "hosts refuse {} more values of this document"))


def _is_listed(value: str, entries: Entries) -> bool:
    return any(value == each or (each[-1:] == "*" and value.startswith(each[:-1])) for each in entries)


def _unlisted(
    key: str, value: str, setting: str, entries: Entries, entry: str = "", why: str = ""
) -> Refusal:
    listed = ", ".join(f'"{each}"' if set(each) & _QUOTED else each for each in (*entries, entry or value))
    return Refusal(key=key, value=shorten(value), setting=f"{setting}: [{listed}]", why=why)


def _rights(spec: ContainerSpec, policy: Policy) -> Iterator[Refusal]:
    if spec.privileged and not policy.privileged:
        yield Refusal(key="privileged", value="true", setting="privileged: true")
    if spec.gpus and not policy.gpus:
        yield Refusal(key="gpus", value="devices of the engine", setting="gpus: true")
    own = {"NET_BIND_SERVICE"} if "drop-all" in policy.require else ENGINE_CAPABILITIES
    for name in (each.upper().removeprefix("CAP_") for each in spec.cap_add):
        if name not in own and not _is_listed(name, policy.capabilities):
            yield _unlisted("cap_add", name, "capabilities", policy.capabilities)


def _namespaces(spec: ContainerSpec, policy: Policy) -> Iterator[Refusal]:
    networks = (spec.network_mode or "", *(each.network for each in spec.networks))
    found = [each for each in ("pid", "ipc", "uts", "userns_mode", "cgroup") if getattr(spec, each) == "host"]
    found += ["network_mode"] if any(each == "host" or ":" in each for each in networks) else []
    for key in found:
        if (name := key.removesuffix("_mode")) not in policy.host_namespaces:
            yield _unlisted(key, "host", "host_namespaces", policy.host_namespaces, name)


def _lists(spec: ContainerSpec, policy: Policy) -> Iterator[Refusal]:
    driver, rules = spec.logging.driver if spec.logging else "", spec.device_cgroup_rules
    listed: tuple[tuple[str, str, Entries, Iterable[str]], ...] = (
        ("devices", "devices", policy.devices, (paths.clean(each.source) for each in spec.devices)),
        ("device_cgroup_rules", "device_cgroup_rules", policy.device_cgroup_rules, rules),
        ("security_opt", "security_opt", policy.security_opt, map(_option, spec.security_opt)),
        ("sysctls", "sysctls", policy.sysctls, (name for name, _ in spec.sysctls)),
        ("runtime", "runtimes", policy.runtimes, filter(None, [spec.runtime])),
        ("cgroup_parent", "cgroup_parents", policy.cgroup_parents, filter(None, [spec.cgroup_parent])),
        ("annotations", "annotations", policy.annotations, (name for name, _ in spec.annotations)),
        ("logging.driver", "logging_drivers", policy.logging_drivers, filter(None, [driver])),
    )
    for key, setting, entries, values in listed:
        for value in values:
            if not _is_listed(value, entries):
                yield _unlisted(key, value, setting, entries)


def _option(written: str) -> str:
    """Return a security option with `=`, and the profile of seccomp by name only: it is long."""
    name, separator, value = written.partition("=" if "=" in written else ":")
    is_profile = name == "seccomp" and value.lstrip().startswith("{")
    return f"{name}={'profile' if is_profile else value}" if separator else name


def _ports(spec: ContainerSpec, policy: Policy) -> Iterator[Refusal]:
    for port in spec.ports:
        address = port.host_ip or _ANYWHERE
        if not _is_listed(address, policy.host_addresses):
            yield _unlisted("ports", address, "host_addresses", policy.host_addresses)
        wanted = str(port.published or port.among or _CHOSEN)
        if not any(_has_ports(each, wanted) for each in policy.host_ports):
            yield _unlisted("ports", wanted, "host_ports", policy.host_ports)


def _has_ports(entry: str, wanted: str) -> bool:
    """Return True if an entry has the wanted port, or every port of the wanted range."""
    found = re.fullmatch(r"([0-9]{1,5})(?:-([0-9]{1,5}))?", entry)  # a host may report anything
    low, _, high = wanted.partition("-")
    return entry == "*" or (
        found is not None and int(found[1]) <= int(low) and int(high or low) <= int(found[2] or found[1])
    )


def _limits(spec: ContainerSpec, policy: Policy) -> Iterator[Refusal]:
    limits = (
        ("mem_limit", "max_memory", spec.memory_limit_bytes, policy.max_memory_bytes, "b"),
        ("pids_limit", "max_pids", spec.pids_limit, policy.max_pids, ""),
    )
    for key, setting, wanted, most, unit in limits:
        has_limit = wanted is not None and wanted > 0
        if most is not None and not has_limit:
            why = f"agent.yaml has `{setting}: {most}{unit}`"
            yield Refusal(key=key, value="no limit", setting=f"no {setting}", why=why)
        elif most is not None and wanted is not None and wanted > most:
            yield Refusal(key=key, value=f"{wanted}{unit}", setting=f"{setting}: {wanted}{unit}")


def _required(spec: ContainerSpec, policy: Policy) -> Iterator[Refusal]:
    uid = (spec.user or "").partition(":")[0]
    is_fixed = any(map(_forbids_new_privileges, spec.security_opt))
    needs: tuple[tuple[str, str, str, bool], ...] = (
        ("user", uid or "the image's", "non-root", uid.isascii() and uid.isdecimal() and int(uid) > 0),
        ("cap_drop", "not ALL", "drop-all", "ALL" in spec.cap_drop),
        ("security_opt", "without no-new-privileges", "no-new-privileges", is_fixed),
    )
    for key, value, requirement, is_met in needs:
        if requirement in policy.require and not is_met:
            yield _lacking(key, value, requirement, policy)


def _forbids_new_privileges(written: str) -> bool:
    name, _, value = _option(written).partition("=")
    return name == "no-new-privileges" and value.lower() in ("", "1", "t", "true")


def _lacking(key: str, value: str, requirement: str, policy: Policy) -> Refusal:
    left = ", ".join(each for each in policy.require if each != requirement)
    return Refusal(key=key, value=value, setting=f"require: [{left}]", why=f"{requirement} is required")
