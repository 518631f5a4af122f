"""The policy of a host: three levels, named after the Pod Security Standards, and lists that widen or narrow them.

docs/admission.md compares the levels with those of Kubernetes.
"""

from contextlib import suppress
from dataclasses import dataclass, fields, replace
from typing import Literal, get_args

import msgspec

Level = Literal["baseline", "restricted", "unrestricted"]
Requirement = Literal["digest", "drop-all", "no-new-privileges", "non-root"]
HostNamespace = Literal["cgroup", "ipc", "network", "pid", "userns", "uts"]
Rollback = Literal["own_failures", "cluster"]
Entries = tuple[str, ...]
"""Values that are admitted. An entry that ends with `*` admits every value with that beginning."""

ANY: Entries = ("*",)
READ_ONLY = ":ro"
"""End of an entry of `binds` that admits read-only mounts alone."""
ENGINE_CAPABILITIES = frozenset({
    "AUDIT_WRITE", "CHOWN", "DAC_OVERRIDE", "FOWNER", "FSETID", "KILL", "MKNOD", "NET_BIND_SERVICE", "NET_RAW",
    "SETFCAP", "SETGID", "SETPCAP", "SETUID", "SYS_CHROOT",
})  # fmt: skip
"""Those that Docker gives to every container."""
PROTECTED = (
    "/etc/docker", "/etc/swarmkeeper", "/run/containerd", "/run/docker", "/run/docker.sock", "/var/lib/containerd",
    "/var/lib/docker", "/var/lib/swarmkeeper", "/var/run/docker.sock",
)  # fmt: skip
_MOST_TEXT = 16_384
_SAFE_SYSCTLS = (
    "kernel.shm_rmid_forced", "net.ipv4.ip_local_port_range", "net.ipv4.ip_local_reserved_ports",
    "net.ipv4.ip_unprivileged_port_start", "net.ipv4.ping_group_range", "net.ipv4.tcp_fin_timeout",
    "net.ipv4.tcp_keepalive_*", "net.ipv4.tcp_rmem", "net.ipv4.tcp_syncookies", "net.ipv4.tcp_wmem",
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """The values that a host admits, by default those of `baseline`. Each field but the last is a key of agent.yaml."""

    level: Level = "baseline"
    privileged: bool = False
    gpus: bool = False
    host_namespaces: tuple[HostNamespace, ...] = ()
    capabilities: Entries = ()
    """Those that `cap_add` may name beside Docker's own, or beside NET_BIND_SERVICE if `drop-all` is required."""
    devices: Entries = ()
    device_cgroup_rules: Entries = ()
    security_opt: Entries = (
        "apparmor=docker-default", "label=level:*", "label=type:container_init_t", "label=type:container_t",
        "no-new-privileges*",
    )  # fmt: skip
    sysctls: Entries = ANY
    """Docker itself refuses each that is not the container's own."""
    runtimes: Entries = ("runc", "io.containerd.runc.v2")
    cgroup_parents: Entries = ()
    annotations: Entries = ()
    binds: Entries = ("/srv", "/data", f"/etc/localtime{READ_ONLY}")
    """Paths; everything below them is admitted, too."""
    files: Entries = ()
    """Paths as in `binds`, for read-only mounts of what exists, as the files of secrets and configs."""
    volume_drivers: Entries = ("local",)
    volume_types: Entries = ("cifs", "nfs", "nfs4", "tmpfs")
    """File systems that a volume of the driver `local` may mount. A volume that is a bind is judged by `binds`."""
    host_addresses: Entries = ANY
    host_ports: Entries = ANY
    """Ports or ranges of ports, as `8000-8099`."""
    logging_drivers: Entries = ("journald", "json-file", "local", "none")
    registries: Entries = ANY
    """Registries, or images without tag and digest: `registry.example.com/shop/*`."""
    require: tuple[Requirement, ...] = ()
    max_memory_bytes: int | None = None
    max_pids: int | None = None
    max_replicas: int | None = None
    """Replicas on this host that run at the same time."""
    rollback: Rollback = "own_failures"
    """own_failures: the leader takes no replica of `x-hosts` or mode global back to an earlier spec that works here."""
    protected: Entries = PROTECTED
    """Paths that no bind may contain or lie below, unless an entry of `binds` or `files` names such a path itself."""


BASELINE = Policy()
_FIELDS = tuple(each.name for each in fields(Policy))
_LEVELS: dict[Level, Policy] = {
    "baseline": BASELINE,
    "restricted": Policy(
        level="restricted",
        binds=(),
        sysctls=_SAFE_SYSCTLS,
        require=("drop-all", "no-new-privileges", "non-root"),
    ),
    "unrestricted": Policy(
        level="unrestricted", privileged=True, gpus=True, host_namespaces=get_args(HostNamespace),
        capabilities=ANY, devices=ANY, device_cgroup_rules=ANY, security_opt=ANY, runtimes=ANY, cgroup_parents=ANY,
        annotations=ANY, binds=("/",), volume_drivers=ANY, volume_types=ANY, logging_drivers=ANY, protected=(),
    ),
}  # fmt: skip


def encode(policy: Policy) -> str:
    """Return the policy as JSON, for the report of a host: its level, and what differs from that."""
    base = level_policy(policy.level)
    content = {name: getattr(policy, name) for name in _FIELDS}
    changed = {name: value for name, value in content.items() if value != getattr(base, name)}
    return msgspec.json.encode({**changed, "level": policy.level}, order="sorted").decode()


def decode(text: str) -> Policy | None:
    """Return the policy that a host reports; None: it reports none, one of another version, or a huge one."""
    if len(text) > _MOST_TEXT:
        return None
    with suppress(msgspec.DecodeError, RecursionError):
        read = msgspec.json.decode(text, type=Policy)
        given = msgspec.json.decode(text, type=dict[str, object])
        own = {each: getattr(read, each) for each in _FIELDS if each in given}
        return replace(level_policy(read.level), **own)
    return None


def level_policy(level: Level, *, protected: Entries = ()) -> Policy:
    """Return the policy of a level; `protected` are paths of this host that are protected beside the usual ones."""
    policy = _LEVELS[level]
    more = tuple(each for each in protected if each not in PROTECTED)
    return policy if level == "unrestricted" else replace(policy, protected=(*policy.protected, *more))
