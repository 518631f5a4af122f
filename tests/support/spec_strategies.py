"""Random specs that an engine accepts."""

from typing import Any

from hypothesis import strategies as st

from agent.model.spec import (
    Attachment,
    ContainerSpec,
    Device,
    DeviceRequest,
    Healthcheck,
    Logging,
    Mount,
    Pairs,
    Port,
    Restart,
    RestartName,
    Ulimit,
)

MIB = 2**20
NETWORKS = ("net", "other")
"""Networks a spec may name; an engine that specs are tried on needs them, with the subnet 10.20+n.0.0/16."""

_WORD = st.from_regex(r"[a-z][a-z0-9]{0,8}", fullmatch=True)
_TEXT = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=20)
_PATH = _WORD.map(lambda word: f"/mnt/{word}")


def _several(each: st.SearchStrategy[str]) -> st.SearchStrategy[tuple[str, ...]]:
    return st.sets(each, max_size=3).map(lambda found: tuple(sorted(found)))


def _pairs(keys: st.SearchStrategy[str], values: st.SearchStrategy[str]) -> st.SearchStrategy[Pairs]:
    return st.dictionaries(keys, values, max_size=3).map(lambda found: tuple(sorted(found.items())))


def _command() -> st.SearchStrategy[tuple[str, ...]]:
    return st.lists(_TEXT.filter(bool), min_size=1, max_size=3).map(tuple)


@st.composite
def _ports(draw: st.DrawFn) -> tuple[Port, ...]:
    targets = draw(st.sets(st.integers(1, 65535), max_size=3))
    # A number; or None and the range of which the engine chooses.
    of_host = st.tuples(st.integers(1, 65535), st.just("")) | st.sampled_from(
        [(None, ""), (None, "8000-8010")]
    )
    return tuple(
        Port(
            target=target,
            published=published,
            among=among,
            protocol=draw(st.sampled_from(["tcp", "udp", "sctp"])),
            host_ip=draw(st.sampled_from(["", "127.0.0.1", "0.0.0.0"])),
        )
        for target in sorted(targets)
        for published, among in [draw(of_host)]
    )


def _mount(target: str) -> st.SearchStrategy[Mount]:
    flag = st.booleans()
    return st.one_of(
        st.builds(
            Mount, type=st.just("volume"), target=st.just(target), source=st.just("data"), nocopy=flag,
            read_only=flag,
        ),
        st.builds(Mount, type=st.just("volume"), target=st.just(target)),
        st.builds(
            Mount, type=st.just("bind"), target=st.just(target), source=st.sampled_from(["/etc", "/usr"]),
            read_only=flag, create_host_path=flag, propagation=st.sampled_from([None, "rprivate", "rslave"]),
        ),
        st.builds(
            Mount, type=st.just("tmpfs"), target=st.just(target), tmpfs_size_bytes=st.none() | st.just(MIB),
            tmpfs_mode=st.none() | st.just(0o700),
        ),
    )  # fmt: skip


@st.composite
def _volumes(draw: st.DrawFn) -> tuple[Mount, ...]:
    return tuple(draw(_mount(target)) for target in sorted(draw(st.sets(_PATH, max_size=3))))


def _address(network: str) -> st.SearchStrategy[str]:
    return st.integers(2, 250).map(lambda last: f"10.2{NETWORKS.index(network)}.7.{last}")


@st.composite
def _networks(draw: st.DrawFn) -> tuple[Attachment, ...]:
    names = draw(st.permutations(draw(st.lists(st.sampled_from(NETWORKS), unique=True))))
    return tuple(
        Attachment(network=name, aliases=draw(_several(_WORD)), ipv4_address=draw(st.none() | _address(name)))
        for name in names
    )


def _healthcheck() -> st.SearchStrategy[Healthcheck]:
    duration = st.none() | st.sampled_from([0.5, 1, 2.5, 90])
    checks = st.builds(
        Healthcheck, test=st.none() | st.just(("CMD", "true")), interval_s=duration, timeout_s=duration,
        start_period_s=duration, retries=st.none() | st.integers(1, 5),
    )  # fmt: skip
    return checks | st.just(Healthcheck(disable=True))


def _restart() -> st.SearchStrategy[Restart]:
    names: st.SearchStrategy[RestartName] = st.sampled_from(["no", "always", "unless-stopped"])
    limited = st.builds(Restart, name=st.just("on-failure"), max_retries=st.integers(0, 5))
    return st.builds(Restart, name=names) | limited


_FIELDS: dict[str, st.SearchStrategy[Any]] = {
    "command": _command(),
    "entrypoint": st.just(()) | _command(),
    "environment": _pairs(_WORD, _TEXT),
    "labels": _pairs(_WORD, _TEXT),
    "ports": _ports(),
    "volumes": _volumes(),
    "networks": _networks(),
    "restart": _restart(),
    "healthcheck": _healthcheck(),
    "stop_signal": st.sampled_from(["SIGQUIT", "SIGKILL", "SIGTERM"]),
    "stop_grace_period_s": st.sampled_from([0.5, 3, 30.0, 90]),
    "user": st.sampled_from(["0", "1001", "1001:5"]),
    "group_add": _several(st.sampled_from(["10", "20", "audio"])),
    "working_dir": _PATH,
    "hostname": _WORD,
    "domainname": _WORD,
    "read_only": st.booleans(),
    "init": st.booleans(),
    "tty": st.booleans(),
    "stdin_open": st.booleans(),
    "cap_add": _several(st.sampled_from(["NET_ADMIN", "CAP_SYS_TIME", "ALL"])),
    "cap_drop": _several(st.sampled_from(["CHOWN", "CAP_MKNOD", "ALL"])),
    "security_opt": st.just(("no-new-privileges",)) | st.just(("seccomp:unconfined",)),
    "ulimits": st.just((Ulimit(name="nofile", soft=64, hard=128), Ulimit(name="nproc", soft=-1, hard=-1))),
    "sysctls": st.just((("net.core.somaxconn", "512"),)),
    "shm_size_bytes": st.integers(1, 64).map(lambda count: count * MIB),
    "tmpfs": _pairs(_PATH.map(lambda path: f"/ram{path}"), st.sampled_from(["", "size=64m", "mode=755,size=1g"])),
    "dns": _several(st.sampled_from(["10.0.0.1", "10.0.0.2"])),
    "dns_search": _several(_WORD),
    "dns_opt": _several(st.sampled_from(["ndots:1", "use-vc"])),
    "extra_hosts": _several(st.sampled_from(["db:10.0.0.7", "cache:10.0.0.8"])),
    "logging": st.just(Logging(driver="json-file", options=(("max-size", "5m"),))) | st.just(Logging(driver="none")),
    "devices": st.just((Device(source="/dev/zero", target="/dev/nought", permissions="r"),)),
    "memory_limit_bytes": st.integers(8, 64).map(lambda count: count * MIB),
    "memory_reservation_bytes": st.integers(6, 8).map(lambda count: count * MIB),
    "nano_cpus": st.sampled_from([10_000_000, 500_000_000, 1_000_000_000]),
    "pids_limit": st.sampled_from([-1, 5, 100]),
    "ipc": st.sampled_from(["private", "shareable", "none"]),
    "userns_mode": st.just("host"),
    "cgroup": st.sampled_from(["host", "private"]),
    "cgroup_parent": st.sampled_from(["/jobs", "jobs"]),
    "runtime": st.just("runc"),
    "platform": st.sampled_from(["linux", "linux/amd64"]),
    "device_cgroup_rules": _several(st.sampled_from(["c 1:3 mr", "b *:* rwm", "a *:* m"])),
    "gpus": st.just((DeviceRequest(),)) | st.just((DeviceRequest(count=0, device_ids=("a",), options=(("x", "1"),)),)),
    "memory_swappiness": st.integers(0, 100),
    "oom_kill_disable": st.booleans(),
    "oom_score_adj": st.integers(-1000, 1000),
    "cpu_shares": st.integers(2, 262_144),
    "cpuset": st.sampled_from(["0", "0-1", "1"]),
    "restarted_at": st.sampled_from(["2026-11-30T16:00:00Z", "2026-11-30T17:00:00Z"]),
}  # fmt: skip


@st.composite
def specs(draw: st.DrawFn, image: str = "bare:1") -> ContainerSpec:
    """A spec of `image` that says any of the fields, with a command where it takes the image's entrypoint away."""
    said: dict[str, Any] = draw(st.fixed_dictionaries({}, optional=_FIELDS))
    if said.get("entrypoint") == () or image == "bare:1":
        said.setdefault("command", ("sleep", "1000"))
    if "memory_limit_bytes" in said:
        said |= draw(
            st.fixed_dictionaries({}, optional={"memory_swap_bytes": _swap(said["memory_limit_bytes"])})
        )
    if "nano_cpus" not in said:
        said |= draw(st.fixed_dictionaries({}, optional=_PERIOD))
    return ContainerSpec(image=image, **said)


def changes() -> st.SearchStrategy[dict[str, Any]]:
    """Fields to replace in a spec: such as change in place, and a few that do not."""
    some = (
        "restart",
        "memory_limit_bytes",
        "nano_cpus",
        "pids_limit",
        "cpu_shares",
        "cpuset",
        "networks",
        "init",
    )
    unsaid = ContainerSpec(image="bare:1")
    return st.fixed_dictionaries(
        {}, optional={name: _FIELDS[name] | st.just(getattr(unsaid, name)) for name in some}
    )


def _swap(memory: int) -> st.SearchStrategy[int]:
    return st.just(-1) | st.integers(0, 64).map(lambda more: memory + more * MIB)


_PERIOD = {"cpu_period_us": st.integers(1000, 1_000_000), "cpu_quota_us": st.integers(1000, 1_000_000)}
