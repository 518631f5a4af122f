"""Compares a spec, a volume or an image with the policy of the host. Each refusal names the setting that would admit.

A spec in etcd may be one that no document can declare. So every field is judged as the engine reads it.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Protocol

from agent.admission import paths
from agent.admission.paths import RealPath
from agent.admission.policy import BASELINE, ENGINE_CAPABILITIES, Entries, HostNamespace, Policy, Requirement
from agent.errors import NotAdmitted
from agent.model.phrases import cut, first_of, shorten
from agent.model.spec import HUB, ContainerSpec, Mount, Pairs, registry_of

_MOST_SHOWN, _MOST_TEXT = 5, 4000
_QUOTED = frozenset(" :,*#&!|>%@`[]{}'")
"""Characters of a value that YAML may read as something else than text."""
_ANYWHERE = "0.0.0.0"  # noqa: S104 - every address, in docker's notation


class Volume(Protocol):
    """A declared volume, or one of the engine."""

    @property
    def name(self) -> str: ...
    @property
    def driver(self) -> str: ...
    @property
    def options(self) -> Pairs: ...


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


@dataclass(frozen=True, slots=True, kw_only=True)
class Gate:
    """The policy of a host, and its view of the host's paths."""

    policy: Policy = BASELINE
    real_path: RealPath = lambda path: path
    """Returns the path without symbolic links; None: the agent cannot follow them."""

    def refuse(self, found: Iterable[Refusal]) -> None:
        """Raise NotAdmitted if there is a refusal."""
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

    def container(self, spec: ContainerSpec, volumes: Iterable[Volume] = ()) -> Iterator[Refusal]:
        """Yield what the policy does not admit of a container; `volumes` are those that it mounts, as far as known."""
        for part in (_rights, _namespaces, _lists, _ports, _limits, _required):
            yield from part(spec, self.policy)
        yield from self.image(spec.image)
        for mount in spec.volumes:
            if mount.type == "bind":
                yield from self._bind(mount)
        mounted = {each.source for each in spec.volumes if each.type == "volume"}
        for volume in volumes:
            if volume.name in mounted:
                yield from self.volume(volume)

    def specs(self, specs: Mapping[str, ContainerSpec], volumes: Iterable[Volume]) -> Mapping[str, str]:
        """Return the refusals of each spec that is not admitted, by its hash."""
        known = tuple(volumes)
        described = ((digest, self.describe(self.container(spec, known))) for digest, spec in specs.items())
        return {digest: text for digest, text in described if text}

    def image(self, reference: str) -> Iterator[Refusal]:
        """Yield a refusal if the image is of no admitted registry, or lacks a required digest."""
        registry, entries = registry_of(reference), self.policy.registries
        path = reference.partition("@")[0].removeprefix("index.")
        path = path.removeprefix(f"{registry}/")
        if registry == HUB and "/" not in path:
            path = f"library/{path}"
        path = f"{registry}/{path}"
        before, colon, tag = path.rpartition(":")
        name = before if colon and "/" not in tag else path
        if not _is_listed(registry, entries) and not _is_listed(name, entries):
            yield _unlisted("image", reference, "registries", entries, registry)
        if "digest" in self.policy.require and "@sha256:" not in reference:
            yield _lacking("image", reference, "digest", self.policy)

    def volume(self, volume: Volume) -> Iterator[Refusal]:
        """Yield what the policy does not admit of a volume; values of other options may be secret."""
        key, policy = f"volumes.{volume.name}", self.policy
        if volume.driver != "local":
            if not _is_listed(volume.driver, policy.volume_drivers):
                yield _unlisted(f"{key}.driver", volume.driver, "volume_drivers", policy.volume_drivers)
            return
        options = dict(volume.options)
        device, kind = options.get("device", ""), options.get("type", "")
        if {"bind", "rbind"} & set(options.get("o", "").split(",")):
            yield from self._bind(Mount(type="bind", target="/", source=device), f"{key}.driver_opts")
        elif (device or kind) and not _is_listed(kind, policy.volume_types):
            yield _unlisted(f"{key}.driver_opts.type", kind or "none", "volume_types", policy.volume_types)

    def _bind(self, mount: Mount, key: str = "volumes") -> Iterator[Refusal]:
        policy, source = self.policy, paths.clean(mount.source or "")
        is_file = mount.read_only and not mount.create_host_path
        setting, listed = ("files", policy.files) if is_file else ("binds", policy.binds)
        entries = (*policy.binds, *policy.files) if is_file else policy.binds
        judge = partial(
            paths.judge,
            source,
            protected=policy.protected,
            real_path=self.real_path,
            read_only=mount.read_only,
        )
        admitted, why = judge(entries)
        if not admitted:
            refusal = _unlisted(key, f"bind of {source}", setting, listed, source, why)
            is_enough, kept = judge((*entries, source))
            yield refusal if is_enough else replace(refusal, setting="level: unrestricted", why=why or kept)


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
    host: dict[HostNamespace, tuple[str, bool]] = {
        "network": ("network_mode", any(each == "host" or ":" in each for each in networks)),
        "pid": ("pid", spec.pid == "host"),
        "ipc": ("ipc", spec.ipc == "host"),
        "uts": ("uts", spec.uts == "host"),
        "userns": ("userns_mode", spec.userns_mode == "host"),
        "cgroup": ("cgroup", spec.cgroup == "host"),
    }
    for name, (key, is_host) in host.items():
        if is_host and name not in policy.host_namespaces:
            yield _unlisted(key, "host", "host_namespaces", policy.host_namespaces, name)


def _lists(spec: ContainerSpec, policy: Policy) -> Iterator[Refusal]:
    driver = spec.logging.driver if spec.logging else ""
    listed: tuple[tuple[str, str, Entries, Iterable[str]], ...] = (
        ("devices", "devices", policy.devices, (paths.clean(each.source) for each in spec.devices)),
        (
            "device_cgroup_rules",
            "device_cgroup_rules",
            policy.device_cgroup_rules,
            spec.device_cgroup_rules,
        ),
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
        if port.published is None:
            continue
        address = port.host_ip or _ANYWHERE
        if not _is_listed(address, policy.host_addresses):
            yield _unlisted("ports", address, "host_addresses", policy.host_addresses)
        if not any(_has_port(each, port.published) for each in policy.host_ports):
            yield _unlisted("ports", str(port.published), "host_ports", policy.host_ports)


def _has_port(entry: str, port: int) -> bool:
    low, _, high = entry.partition("-")
    return entry == "*" or int(low) <= port <= int(high or low)


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
    needs: tuple[tuple[str, str, Requirement, bool], ...] = (
        ("user", uid or "the image's", "non-root", uid.isdecimal() and int(uid) > 0),
        ("cap_drop", "not ALL", "drop-all", "ALL" in spec.cap_drop),
        (
            "security_opt",
            "without no-new-privileges",
            "no-new-privileges",
            any(_forbids_new_privileges(each) for each in spec.security_opt),
        ),
    )
    for key, value, requirement, is_met in needs:
        if requirement in policy.require and not is_met:
            yield _lacking(key, value, requirement, policy)


def _forbids_new_privileges(written: str) -> bool:
    name, _, value = _option(written).partition("=")
    return name == "no-new-privileges" and value.lower() in ("", "1", "t", "true")


def _lacking(key: str, value: str, requirement: Requirement, policy: Policy) -> Refusal:
    left = ", ".join(each for each in policy.require if each != requirement)
    return Refusal(key=key, value=value, setting=f"require: [{left}]", why=f"{requirement} is required")
