"""Reads one service into a ServiceIntent, by the table of its keys."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any, Literal, get_args

from agent.diff.capacity import ARCHITECTURES, normal
from agent.diff.container import familiar, split
from agent.diff.container.fill import ON_OVERLAY, OVERLAY_IP
from agent.intent import forms, limits, log_drivers, mounts, networks, ports, process, rights
from agent.intent.deploy import DEPLOY, HOSTS, MOST_REPLICAS, read_deploy, read_placement
from agent.intent.forms import Field, Section
from agent.intent.refused import SERVICE_REFUSED
from agent.intent.values import absolute, moment, name, pairs, text
from agent.intent.vocabulary import CONTAINER_NAME
from agent.model import spec as specs
from agent.model.intent import Pull, ServiceIntent
from agent.yamldoc.readers import Cursor, Fields, after, boolean, duration, matching, sequence_of, size

# The grammar of https://github.com/distribution/reference (reference.go), IPv4 and names only.
_PART = r"[a-zA-Z0-9](?:[a-zA-Z0-9-]*[a-zA-Z0-9])?"
_DOMAIN = rf"(?:{_PART}(?:\.{_PART})*(?::[0-9]{{1,5}})?/)?"
_WORD = r"[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*"
_NAME = rf"{_DOMAIN}{_WORD}(?:/{_WORD})*"
_TAG = r"(?::[A-Za-z0-9_][A-Za-z0-9_.-]{0,127})?"
_DIGEST = r"(?:@sha256:[a-f0-9]{64})?"
_REFERENCE = re.compile(_NAME + _TAG + _DIGEST, re.ASCII)
_LONGEST = 511
_LONGEST_NAME = 255
"""Characters of registry and name, without tag and digest: the engine's own limit."""

PULLS: dict[str, Pull] = {
    "always": "always",
    "missing": "missing",
    "if_not_present": "missing",
    "never": "never",
    "daily": "daily",
    "weekly": "weekly",
}


@after(text)
def platform(cursor: Cursor, written: str) -> str | None:
    """Read `os[/arch[/variant]]`, such as linux/arm64, into the words of images."""
    found = normal(written)
    system, *processor = found.split("/")
    if system != "linux":
        return cursor.fault(f"{cursor.shown} is not a platform of Linux", "write for example linux/amd64")
    is_known = not processor or processor[0] in ARCHITECTURES
    if not is_known or not re.fullmatch(r"(v\d)?", "/".join(processor[1:])):
        known = [f"linux/{each}" for each in ARCHITECTURES]
        remedy = cursor.guess(found, known, "write for example linux/amd64")
        return cursor.fault(f"{cursor.shown} is not a platform", remedy)
    return found


@after(text)
def image(cursor: Cursor, value: str) -> str | None:
    """Read an image reference: `[registry[:port]/]name[:tag][@sha256:digest]`."""
    if len(value) <= _LONGEST and _REFERENCE.fullmatch(value):
        return value if _is_a_name(cursor, familiar(value)) else None
    remedy = "write for example 10.0.0.1:5000/team/name:1.0.0"
    lower = value.lower()
    if len(value) <= _LONGEST and _REFERENCE.fullmatch(lower):
        remedy = f"names are lower case: did you mean '{lower}'?"
    return cursor.fault(f"{cursor.shown} is not an image reference", remedy)


def _is_a_name(cursor: Cursor, short: str) -> bool:
    """Return True if the engine takes the reference `short`; note a fault if it takes it for an id, or as too long."""
    repository = split(short)[0]
    whole = repository
    if specs.registry_of(repository) == specs.HUB:
        whole = f"{specs.HUB}/{'' if '/' in repository else 'library/'}{repository}"
    if re.fullmatch(r"[a-f0-9]{64}", repository):
        cursor.fault("is the id of an image", "write its name and tag: every host pulls it by name")
    elif len(whole) > _LONGEST_NAME:
        problem = f"has a name of {len(whole)} characters"
        cursor.fault(problem, f"the maximum is {_LONGEST_NAME}, the registry included")
    else:
        return True
    return False


STARTED = "service_started"
Condition = Literal["service_started", "service_healthy", "service_completed_successfully"]
_IGNORED = Field.respelled(forms.BOOLEAN, "is neither true nor false")
_DEPENDENCY = Section(
    {"condition": Field.choice(get_args(Condition)), "restart": _IGNORED, "required": _IGNORED}
)


def depends_on(cursor: Cursor) -> tuple[tuple[str, str], ...] | None:
    """Read a list of services, or a mapping from service to condition; sorted by service."""
    if cursor.is_sequence:
        names = sequence_of(name, distinct=True)(cursor) or ()
        return tuple((each, STARTED) for each in sorted(names))
    condition = _DEPENDENCY.into(lambda condition=STARTED: condition)
    found = [
        (name(key), condition(place) if place.is_mapping else place.mistyped("a mapping"))
        for key, place in cursor.entries()
    ]
    return tuple(sorted((each, how) for each, how in found if each and how))


def pull_policy(cursor: Cursor) -> Pull | None:
    written = text(cursor)
    if written is None or written in PULLS:
        return None if written is None else PULLS[written]
    if written.startswith("every_"):
        return cursor.fault(f"{cursor.shown} is not supported", "write daily or weekly")
    if written == "build":
        return cursor.fault("'build' is not supported", "push an image to a registry, and write missing")
    remedy = cursor.guess(written, PULLS, "write one of them")
    return cursor.fault(f"{cursor.shown} is not one of: {', '.join(PULLS)}", remedy)


_FROM_AGENT = ("has no value", 'the agent\'s environment is not read: write a value, or "" for none')
_label = matching(
    r"(?![.-])(?!.*\.\.)(?:[A-Za-z0-9._-]|\{\{\s?\.[A-Za-z0-9._-]{1,80}\s?\}\}){1,63}", "a host name", "web-1"
)

_PART_OF_CGROUP = r"(?!\.{1,2}(?:/|$))[A-Za-z0-9_.@:-]{1,200}"
_cgroup = matching(rf"/?{_PART_OF_CGROUP}(?:/{_PART_OF_CGROUP}){{0,10}}", "a cgroup", "/jobs or jobs.slice")
_runtime = matching(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,100}", "the name of a runtime", "runc")


@after(matching(CONTAINER_NAME, "a name in DNS of two characters or more", "web-1"))
def _of_one_container(cursor: Cursor, _: str) -> None:
    cursor.fault("is the name of one container", "run one replica, or write an alias under networks")


FIELDS: dict[str, Field] = {
    "image": Field(image, forms.TEXT),
    "platform": Field(platform, forms.TEXT),
    "command": Field(process.command, forms.either(forms.COMMAND, forms.NOTHING)),
    "entrypoint": Field(process.entrypoint, forms.either(forms.COMMAND, forms.NOTHING)),
    "environment": Field(pairs(without_value=_FROM_AGENT, secret=True), forms.PAIRS),
    "labels": Field(pairs(secret=True), forms.PAIRS),
    "ports": Field(ports.ports, ports.PORTS),
    "volumes": Field(mounts.mounts, mounts.MOUNTS),
    "networks": Field(networks.attachments, networks.ATTACHMENTS),
    "network_mode": process.unshared(get_args(specs.NetworkMode)),
    "restart": Field(process.restart, process.RESTART),
    "healthcheck": Field(process.healthcheck, process.HEALTH.form),
    "stop_signal": Field(process.stop_signal, forms.TEXT),
    "stop_grace_period": Field(duration(), forms.DURATION, "stop_grace_period_s"),
    "user": Field(rights.user, forms.TEXT),
    "group_add": Field(rights.groups, forms.TEXTS),
    "working_dir": Field(absolute, forms.ABSOLUTE),
    "hostname": Field(_label, forms.TEXT),
    "domainname": Field(_label, forms.TEXT),
    "read_only": Field(boolean, forms.BOOLEAN),
    "privileged": Field(boolean, forms.BOOLEAN),
    "init": Field(boolean, forms.BOOLEAN),
    "tty": Field(boolean, forms.BOOLEAN),
    "stdin_open": Field(boolean, forms.BOOLEAN),
    "cap_add": Field(rights.capabilities, forms.TEXTS),
    "cap_drop": Field(rights.capabilities, forms.TEXTS),
    "security_opt": Field(rights.security_options, forms.TEXTS),
    "ulimits": Field(limits.ulimits, limits.ULIMITS),
    "sysctls": Field(process.sysctls, forms.PAIRS),
    "shm_size": Field(size(1), forms.SIZE, "shm_size_bytes"),
    "tmpfs": Field(mounts.tmpfs, forms.one_or_more(forms.TEXT)),
    "dns": Field(process.addresses, forms.one_or_more(forms.TEXT)),
    "dns_search": Field(process.search_domains, forms.one_or_more(forms.TEXT)),
    "dns_opt": Field(process.resolver_options, forms.list_of(forms.SCALAR)),
    "extra_hosts": Field(process.extra_hosts, process.EXTRA_HOSTS),
    "logging": Field(log_drivers.logging, log_drivers.LOGGING.form),
    "devices": Field(limits.devices, limits.DEVICES),
    "mem_limit": Field(limits.memory, forms.SIZE, "memory_limit_bytes"),
    "mem_reservation": Field(limits.memory, forms.SIZE, "memory_reservation_bytes"),
    "cpus": Field(limits.cpus, forms.number(0.01, 10_000), "nano_cpus"),
    "pids_limit": Field(limits.pids, forms.integer(-1, 1 << 22)),
    "pid": process.unshared(get_args(specs.Pid)),
    "ipc": process.unshared(get_args(specs.Ipc)),
    "uts": Field.choice(get_args(specs.Uts)),
    "userns_mode": Field.choice(get_args(specs.UserNamespace)),
    "cgroup": Field.choice(get_args(specs.CgroupNamespace)),
    "cgroup_parent": Field(_cgroup, forms.TEXT),
    "runtime": Field(_runtime, forms.TEXT),
    "annotations": Field(pairs(secret=True), forms.PAIRS),
    "device_cgroup_rules": Field(limits.cgroup_rules, forms.TEXTS),
    "gpus": Field(limits.gpus, limits.GPUS),
    "memswap_limit": Field(
        limits.memory_and_swap, forms.either({"enum": [-1, "-1"]}, forms.SIZE), "memory_swap_bytes"
    ),
    "mem_swappiness": Field.integer(0, 100, "memory_swappiness"),
    "oom_kill_disable": Field(boolean, forms.BOOLEAN),
    "oom_score_adj": Field.integer(-1000, 1000),
    "cpu_shares": Field(limits.cpu_shares, forms.integer(2, 262_144)),
    "cpuset": Field(limits.cpuset, forms.TEXT),
    "cpu_period": Field(limits.cpu_period, forms.MICROSECONDS, "cpu_period_us"),
    "cpu_quota": Field(limits.cpu_quota, forms.MICROSECONDS, "cpu_quota_us"),
    "blkio_config": Field(limits.blkio_config, limits.BLKIO.form, None),
    "x-restarted-at": Field(moment, forms.TEXT, "restarted_at"),
}
"""Every key that describes a replica. A new key needs a line here and one in docs/intent-reference.md."""

OTHERS: dict[str, Field] = {
    "x-hosts": Field(None, HOSTS),
    "deploy": Field(read_deploy, DEPLOY.form, None),
    "depends_on": Field(
        depends_on, forms.either(forms.list_of(forms.NAME), forms.mapping_of(_DEPENDENCY.form))
    ),
    "x-rebalanced-at": Field(moment, forms.TEXT, "rebalanced_at"),
    "pull_policy": Field(pull_policy, forms.choice(PULLS), "pull"),
    "secrets": Field(None, mounts.USES),
    "configs": Field(None, mounts.USES),
    "container_name": Field(_of_one_container, forms.TEXT),
    "expose": Field.respelled(forms.list_of(forms.SCALAR), "is not a list of ports"),
    "links": Field.respelled(forms.TEXTS, "is not a list of services"),
    "scale": Field.respelled(
        forms.integer(0, MOST_REPLICAS), "contradicts x-hosts or deploy", "keep one of them"
    ),
}
"""Keys of a service that are not fields of a container. resolve.py reads secrets and configs: it knows the files."""
SERVICE = Section(
    {**FIELDS, **OTHERS}, {"image": "write for example image: 10.0.0.1:5000/team/name:1.0.0"}, SERVICE_REFUSED
)
_UNREADABLE = "unreadable"
"""Replaces an image with a fault, so that the reading can continue."""


def read_service(name: str, cursor: Cursor, hosts: tuple[str, ...]) -> ServiceIntent:
    """Read one service. `hosts` are the declared hosts. Networks and volumes keep the document's names."""
    before, (fields, found) = len(cursor.faults), SERVICE.read(cursor)
    of_spec = {each: found.pop(each) for each in specs.ContainerSpec.__dataclass_fields__ if each in found}
    spec = _spec(fields, of_spec, found.pop("spec", {}))
    if len(cursor.faults) == before:
        check_together(fields, spec)
        _check_hostname(fields, spec, name, max(hosts, key=len, default=""))
    service = ServiceIntent(name=name, spec=spec, **found)
    return replace(service, placement=read_placement(fields, hosts, service))


def _spec(fields: Fields, found: Mapping[str, Any], in_deploy: Mapping[str, Any]) -> specs.ContainerSpec:
    for key, field in FIELDS.items():
        attribute = field.attribute or key
        if attribute in in_deploy and attribute in found:
            fields.cursor.at(key).conflict(f"deploy sets '{key}' too", "keep one of them")
    return specs.ContainerSpec(**{"image": _UNREADABLE, **in_deploy, **found})


def check_together(fields: Fields, spec: specs.ContainerSpec) -> None:
    """Note a fault for each combination of valid keys that the engine cannot run."""
    _check_network_mode(fields, spec)
    _check_memory(fields, spec)
    if spec.nano_cpus is not None:
        _exclude(fields, "cpus", ("cpu_period", "cpu_quota"))
    if spec.uts is not None:
        _exclude(fields, "uts: host", ("hostname", "domainname"))
    modes = {"network": spec.network_mode, "ipc": spec.ipc, "uts": spec.uts}
    shared = frozenset(each for each, mode in modes.items() if mode == "host")
    process.check_namespaces(fields, spec.sysctls, shared)
    _check_command(fields, spec)
    _check_targets(fields, spec)


_LONGEST_HOSTNAME = 64
"""Characters, in the kernel: sethostname(2)."""
_ADDRESS = "255.255.255.255"
_LONGEST_VALUES = {"Node.ID": "x" * 25, "Host.Address": _ADDRESS, OVERLAY_IP: _ADDRESS}


def _check_hostname(fields: Fields, spec: specs.ContainerSpec, service: str, longest_host: str) -> None:
    """Note a fault if the placeholders can make the hostname longer than the kernel takes."""
    known = {**_LONGEST_VALUES, "Service.Name": service, "Node.Hostname": longest_host}

    def longest_of(found: re.Match[str]) -> str:
        return known.get(found[1], _ADDRESS if ON_OVERLAY.fullmatch(found[1]) else "0")

    longest = re.sub(r"\{\{\s?\.([A-Za-z0-9._-]+)\s?\}\}", longest_of, spec.hostname or "")
    if len(longest) > _LONGEST_HOSTNAME:
        problem = f"becomes {len(longest)} characters long"
        remedy = f"the maximum is {_LONGEST_HOSTNAME}: use fewer placeholders"
        fields.cursor.at("hostname").conflict(problem, remedy)


def _check_network_mode(fields: Fields, spec: specs.ContainerSpec) -> None:
    if spec.network_mode is None:
        return
    place = fields.cursor.at("network_mode")
    ports_too = spec.network_mode != "bridge" and spec.ports
    for key, value in (("networks", spec.networks), ("ports", ports_too)):
        if value:
            problem = f"network_mode: {spec.network_mode} cannot be combined with '{key}'"
            place.conflict(problem, "keep one of them")


def _check_memory(fields: Fields, spec: specs.ContainerSpec) -> None:
    limit, swap = spec.memory_limit_bytes, spec.memory_swap_bytes
    if limit and (spec.memory_reservation_bytes or 0) > limit:
        fields.cursor.hidden().conflict("reserves more memory than its limit", "lower the reservation")
    if swap is None:
        return
    place = fields.cursor.at("memswap_limit")
    if not limit:
        problem = "limits memory and swap together, but memory has no limit"
        place.conflict(problem, "set mem_limit too")
    elif 0 <= swap < limit:
        place.conflict("is less than mem_limit, which it includes", "raise memswap_limit")


def _check_command(fields: Fields, spec: specs.ContainerSpec) -> None:
    """Note a fault if nothing is left to run: the engine uses an image's command only with the image's entrypoint."""
    if spec.entrypoint == () and not any((spec.command or ())[:1]):
        problem = "clears the image's command too, and no command is declared"
        fields.cursor.at("entrypoint").hidden().conflict(problem, "write a command")


def _check_targets(fields: Fields, spec: specs.ContainerSpec) -> None:
    """Note a fault for each path at which two keys put something."""
    taken = {each.target: "volumes" for each in spec.volumes}
    for key, targets in (("tmpfs", dict(spec.tmpfs)), ("devices", [each.target for each in spec.devices])):
        for target in targets:
            if target in taken:
                problem = f"'{target}' is already a target of '{taken[target]}'"
                fields.cursor.at(key).conflict(problem, "keep one of them")
            taken[target] = key


def _exclude(fields: Fields, what: str, others: Iterable[str]) -> None:
    for other in others:
        if place := fields.at(other):
            place.conflict(f"{what} cannot be combined with '{other}'", "keep one of them")
