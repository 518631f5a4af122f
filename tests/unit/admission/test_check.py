"""What each level admits of a container, key by key, and that the setting which a refusal names admits it."""

from collections.abc import Mapping
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pytest

from agent.admission import Gate, decode, encode
from agent.admission.policy import BASELINE, Level, Policy, level_policy
from agent.config import load_config
from agent.errors import NotAdmitted
from agent.intent import parse_intent
from agent.model.intent import VolumeIntent
from agent.model.spec import (
    Attachment,
    ContainerSpec,
    Device,
    DeviceRequest,
    Logging,
    Mount,
    Port,
    spec_hash,
)
from tests.support.document import EXAMPLE
from tests.support.examples import STACKS, compiled

IMAGE = "registry.example.com:5000/shop/order:1.0.0"
SPEC = ContainerSpec(image=IMAGE)
DIGEST = f"{IMAGE}@sha256:{'a' * 64}"


def spec(**values: Any) -> ContainerSpec:
    return replace(SPEC, **values)


def bind(source: str, **values: Any) -> ContainerSpec:
    return spec(volumes=(Mount(type="bind", target="/in", source=source, create_host_path=True, **values),))


def file(source: str) -> ContainerSpec:
    return spec(volumes=(Mount(type="bind", target="/run/secrets/k", source=source, read_only=True),))


def policy(level: Level = "baseline", **values: Any) -> Policy:
    return replace(level_policy(level), **values)


def refused(
    found: ContainerSpec, of: Policy, *volumes: VolumeIntent, links: Mapping[str, str | None] = {}
) -> str:
    gate = Gate(policy=of, real_path=lambda path: links.get(path, path))
    return "; ".join(map(str, gate.container(found, volumes)))


ADMITTED: dict[str, ContainerSpec] = {
    "nothing": SPEC,
    "published port": spec(ports=(Port(target=80, published=8080),)),
    "volume": spec(
        volumes=(Mount(type="volume", target="/a", source="data"), Mount(type="volume", target="/b"))
    ),
    "bind": bind("/srv/order"),
    "bind of the path itself": bind("/data/"),
    "localtime": file("/etc/localtime"),
    "file below a bind": file("/srv/keys/k"),
    "capabilities of docker": spec(cap_add=("CHOWN", "NET_RAW"), cap_drop=("ALL",)),
    "no new privileges": spec(security_opt=("no-new-privileges:true", "label:type:container_t")),
    "sysctl": spec(sysctls=(("net.core.somaxconn", "1024"),)),
    "logging": spec(logging=Logging(driver="json-file", options=(("max-size", "10m"),))),
    "logging of the engine": spec(logging=Logging(options=(("max-size", "10m"),))),
    "runtime": spec(runtime="runc"),
    "networks": spec(networks=(Attachment(network="net"),)),
    "network none": spec(network_mode="none"),
    "ipc": spec(ipc="shareable", cgroup="private"),
    "tmpfs": spec(tmpfs=(("/run", "size=64m"),)),
}


@pytest.mark.parametrize("found", ADMITTED.values(), ids=ADMITTED)
def test_baseline_admits(found: ContainerSpec) -> None:
    assert refused(found, policy()) == ""


PROFILE = 'seccomp={"defaultAction": "SCMP_ACT_ALLOW"}'
REFUSED: list[tuple[ContainerSpec, str, str]] = [
    (spec(privileged=True), "privileged: true", "privileged: true"),
    (spec(network_mode="host"), "network_mode: host", "host_namespaces: [network]"),
    (spec(networks=(Attachment(network="host"),)), "network_mode: host", "host_namespaces: [network]"),
    (spec(networks=(Attachment(network="container:x"),)), "network_mode: host", "host_namespaces: [network]"),
    (spec(pid="host"), "pid: host", "host_namespaces: [pid]"),
    (spec(ipc="host"), "ipc: host", "host_namespaces: [ipc]"),
    (spec(uts="host"), "uts: host", "host_namespaces: [uts]"),
    (spec(userns_mode="host"), "userns_mode: host", "host_namespaces: [userns]"),
    (spec(cgroup="host"), "cgroup: host", "host_namespaces: [cgroup]"),
    (spec(cap_add=("NET_ADMIN",)), "cap_add: NET_ADMIN", "capabilities: [NET_ADMIN]"),
    (spec(cap_add=("cap_sys_admin",)), "cap_add: SYS_ADMIN", "capabilities: [SYS_ADMIN]"),
    (spec(cap_add=("ALL",)), "cap_add: ALL", "capabilities: [ALL]"),
    (spec(devices=(Device(source="/dev/mem", target="/x"),)), "devices: /dev/mem", "devices: [/dev/mem]"),
    (
        spec(devices=(Device(source="/dev/net/../mem", target="/x"),)),
        "devices: /dev/mem",
        "devices: [/dev/mem]",
    ),
    (
        spec(device_cgroup_rules=("c 1:1 rwm",)),
        "device_cgroup_rules: c 1:1 rwm",
        'device_cgroup_rules: ["c 1:1 rwm"]',
    ),
    (spec(gpus=(DeviceRequest(),)), "gpus: devices of the engine", "gpus: true"),
    (
        spec(security_opt=("seccomp=unconfined",)),
        "security_opt: seccomp=unconfined",
        '"label=type:container_t", "no-new-privileges*", seccomp=unconfined]',
    ),
    (spec(security_opt=("apparmor:unconfined",)), "security_opt: apparmor=unconfined", "apparmor=unconfined]"),
    (spec(security_opt=("label=disable",)), "security_opt: label=disable", "label=disable]"),
    (spec(security_opt=("label:type:spc_t",)), "security_opt: label=type:spc_t", '"label=type:spc_t"]'),
    (spec(security_opt=("systempaths=unconfined",)), "security_opt: systempaths=unconfined", "]"),
    (spec(security_opt=(PROFILE,)), "security_opt: seccomp=profile", "seccomp=profile]"),
    (spec(runtime="kata"), "runtime: kata", "runtimes: [runc, io.containerd.runc.v2, kata]"),
    (spec(cgroup_parent="/system.slice"), "cgroup_parent: /system.slice", "cgroup_parents: [/system.slice]"),
    (spec(annotations=(("io.katacontainers.x", "secret"),)), "annotations: io.katacontainers.x", "annotations: ["),
    (
        spec(logging=Logging(driver="syslog", options=(("syslog-address", "tcp://secret"),))),
        "logging.driver: syslog",
        "logging_drivers: [journald, json-file, local, none, syslog]",
    ),
    (bind("/etc"), "volumes: bind of /etc (/etc/docker is protected)", "level: unrestricted"),
    (bind("/"), "volumes: bind of /", "level: unrestricted"),
    (bind("//"), "volumes: bind of /", "level: unrestricted"),
    (bind("/srv/../mnt"), "volumes: bind of /mnt", "/mnt]"),
    (bind("/srvs"), "volumes: bind of /srvs", 'binds: [/srv, /data, "/etc/localtime:ro", /srvs]'),
    (bind("/etc/localtime"), "volumes: bind of /etc/localtime", "/etc/localtime]"),
    (bind("/run/docker.sock"), "volumes: bind of /run/docker.sock", "/run/docker.sock]"),
    (bind("/var/lib/docker/volumes"), "volumes: bind of /var/lib/docker/volumes", "/var/lib/docker/volumes]"),
    (bind("srv"), "volumes: bind of srv (write the path without .., from / on)", "level: unrestricted"),
    (bind("/etc/localtime", read_only=True, relabel="z"), "volumes: bind of /etc/localtime", "/etc/localtime]"),
    (
        spec(volumes=(*bind("/srv").volumes, *file("/srv/a/b").volumes)),
        "volumes: bind of /srv/a/b (a container here writes to /srv above it)",
        "files: [/srv/a/b]",
    ),
    (file("/etc/swarmkeeper/tokens.key"), "bind of /etc/swarmkeeper/tokens.key", "/etc/swarmkeeper/tokens.key]"),
    (file("/etc/shop/key"), "bind of /etc/shop/key", "/etc/shop/key]"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("found", "what", "setting"), REFUSED, ids=[f"{what} {at}" for at, (_, what, _) in enumerate(REFUSED)]
)
def test_baseline_refuses_and_names_the_setting_that_would_admit(
    found: ContainerSpec, what: str, setting: str, tmp_path: Path
) -> None:
    told = refused(found, policy())
    assert what in told
    assert f"{setting}` would admit" in told or setting in told
    assert "secret" not in told
    assert refused(found, policy("unrestricted")) == ""
    (named,) = Gate().container(found)
    assert refused(found, read(tmp_path, named.setting)) == ""


def read(directory: Path, setting: str) -> Policy:
    """Return the policy of an agent.yaml with that setting alone below `admission`."""
    path = directory / "agent.yaml"
    path.write_text(
        f"cluster: prod\nhost: h1\netcd: {{endpoints: ['10.0.0.1:2379']}}\nadmission:\n  {setting}\n"
    )
    return load_config(path).admission


HAS_DEVICE = spec(devices=(Device(source="/dev/a", target="/a"),))
NARROW: list[tuple[Policy, ContainerSpec, ContainerSpec, str]] = [
    (policy(registries=("docker.io",)), spec(image="nginx"), SPEC, "registries: [docker.io, "),
    (policy(registries=("registry.example.com:5000",)), SPEC, spec(image="nginx:1"), "docker.io]"),
    (
        policy(registries=("registry.example.com:5000/shop/*",)),
        SPEC,
        spec(image="registry.example.com:5000/shopping:1"),
        "registries:",
    ),
    (policy(registries=("docker.io/library/nginx",)), spec(image="nginx:1"), spec(image="nginx-evil:1"), "registries:"),
    (policy(registries=("docker.io/shop/a",)), spec(image="index.docker.io/shop/a"), spec(image="shop/b"), "regis"),
    (policy(registries=("docker.io",)), spec(image="shop/a"), spec(image="REGISTRY/a"), "registries: [docker.io, REG"),
    (policy(require=("digest",)), spec(image=DIGEST), SPEC, "image: registry"),
    (
        policy(host_ports=("443", "8000-8099")),
        spec(ports=(Port(target=1, published=8099), Port(target=2, among="8000-8099"), Port(target=3, published=443))),
        spec(ports=(Port(target=1, published=8100),)),
        "host_ports: [443, 8000-8099, 8100]",
    ),
    (
        policy(host_ports=("32768-65535",)),
        spec(ports=(Port(target=1),)),
        spec(ports=(Port(target=1, among="32767-32768"),)),
        "host_ports: [32768-65535, 32767-32768]",
    ),
    (
        policy(host_ports=("1-60999",)),
        spec(ports=()),
        spec(ports=(Port(target=1),)),
        "host_ports: [1-60999, 32768-65535]",
    ),
    (
        policy(host_addresses=("127.0.0.1",)),
        spec(ports=(Port(target=1, published=80, host_ip="127.0.0.1"),)),
        spec(ports=(Port(target=1, published=80),)),
        "ports: 0.0.0.0",
    ),
    (
        policy(max_memory_bytes=1024),
        spec(memory_limit_bytes=1024),
        spec(memory_limit_bytes=1025),
        "max_memory: 1025b",
    ),
    (policy(max_memory_bytes=1024), spec(memory_limit_bytes=1), SPEC, "mem_limit: no limit"),
    (policy(max_pids=10), spec(pids_limit=10), spec(pids_limit=11), "max_pids: 11"),
    (policy(max_pids=10), spec(pids_limit=1), spec(pids_limit=-1), "pids_limit: no limit"),
    (policy(files=("/etc/shop",)), file("/etc/shop/key"), bind("/etc/shop"), "volumes: bind of /etc/shop"),
    (policy(binds=("/mnt:ro",)), bind("/mnt/a", read_only=True), bind("/mnt/a"), "volumes: bind of /mnt/a"),
    (policy(sysctls=("net.*",)), spec(sysctls=(("net.a", "1"),)), spec(sysctls=(("fs.a", "1"),)), "sysctls: fs.a"),
    (policy("unrestricted", devices=()), spec(privileged=True), HAS_DEVICE, "devices: /dev/a"),
]  # fmt: skip


@pytest.mark.parametrize(("of", "good", "bad", "told"), NARROW)
def test_a_list_narrows_its_key(of: Policy, good: ContainerSpec, bad: ContainerSpec, told: str) -> None:
    assert refused(good, of) == ""
    assert told in refused(bad, of)


HARDENED = spec(user="1000:1000", cap_drop=("ALL",), security_opt=("no-new-privileges:true",))


@pytest.mark.parametrize(
    "change",
    [
        {"user": None}, {"user": "root"}, {"user": "app"}, {"user": "0"}, {"user": "00:1000"},
        {"user": "\N{FULLWIDTH DIGIT ONE}"}, {"cap_drop": ()},
        {"cap_add": ("CHOWN",)}, {"security_opt": ()}, {"security_opt": ("no-new-privileges:false",)},
        {"volumes": bind("/srv/a").volumes}, {"sysctls": (("net.core.somaxconn", "1"),)},
    ],
)  # fmt: skip
def test_restricted_admits_a_hardened_container_alone(change: dict[str, Any]) -> None:
    allowed = replace(HARDENED, cap_add=("NET_BIND_SERVICE",), security_opt=("no-new-privileges",))
    assert refused(allowed, policy("restricted")) == ""
    assert refused(replace(HARDENED, **change), policy("restricted")) != ""
    assert refused(replace(HARDENED, **change), policy()) == ""


def volume(driver: str = "local", **options: str) -> VolumeIntent:
    return VolumeIntent(key="v", name="prod_v", driver=driver, options=tuple(sorted(options.items())))


MOUNTS = spec(volumes=(Mount(type="volume", target="/v", source="prod_v"),))
VOLUMES: list[tuple[VolumeIntent, str]] = [
    (volume(), ""),
    (volume(type="nfs", device=":/share", o="addr=10.0.0.1,password=secret"), ""),
    (volume(type="tmpfs", device="tmpfs", o="size=1m"), ""),
    (volume(type="none", o="bind", device="/srv/a"), ""),
    (volume(type="none", o="bind", device="/"), "volumes.prod_v.driver_opts: bind of / ("),
    (volume(type="nfs", o="rw,rbind", device="/mnt"), "volumes.prod_v.driver_opts: bind of /mnt"),
    (volume(type="none", o="bind", device="/srv/a/link/.."), "volumes.prod_v.driver_opts: bind of /srv/a/link/.. ("),
    (volume(type="none", o="bind", device="srv"), "volumes.prod_v.driver_opts: bind of srv ("),
    (volume(type="ext4", device="/dev/sda1"), "volumes.prod_v.driver_opts.type: ext4"),
    (volume(device="/dev/sda1"), "volumes.prod_v.driver_opts.type: none"),
    (volume("convoy", mountpoint="/"), "volumes.prod_v.driver: convoy"),
]  # fmt: skip


@pytest.mark.parametrize(("declared", "told"), VOLUMES)
def test_a_volume_is_judged_by_what_it_mounts(declared: VolumeIntent, told: str) -> None:
    found = refused(MOUNTS, policy(), declared)
    assert found.startswith(told)
    assert bool(found) == bool(told)
    assert "secret" not in found
    assert refused(SPEC, policy(), declared) == ""


VOLUME_IN_SRV = volume(type="none", o="bind", device="/srv/a")
BESIDE: list[tuple[ContainerSpec, ContainerSpec, str]] = [
    (bind("/srv"), bind("/srv/a"), "/srv/a"),
    (bind("/srv"), bind("/srv/a/b", read_only=True), "/srv/a/b"),
    (bind("/srv/link"), bind("/srv/real/a"), "/srv/real/a"),
    (bind("/srv"), MOUNTS, "/srv/a"),
    (MOUNTS, bind("/srv/a/b"), "/srv/a/b"),
    (bind("/srv", read_only=True), bind("/srv/a"), ""),
    (bind("/srv/a"), bind("/srv/a"), ""),
    (bind("/srv/a"), bind("/srv/ab"), ""),
    (bind("/srv/a"), bind("/data/a"), ""),
]


@pytest.mark.parametrize(("one", "other", "inner"), BESIDE)
def test_no_container_of_a_host_writes_above_a_bind_of_another(
    one: ContainerSpec, other: ContainerSpec, inner: str
) -> None:
    """It could make a link of the path, which docker follows when it starts the other one again."""

    def found(of: Policy) -> Mapping[str, str]:
        gate = Gate(policy=of, real_path=lambda path: path.replace("/link", "/real"))
        return gate.specs({"one": one, "other": other}, (VOLUME_IN_SRV,))

    assert found(policy()).keys() == ({"one", "other"} if inner else set())
    assert all(f"bind of {inner} (a container here writes to" in each for each in found(policy()).values())
    assert not found(policy(binds=("/srv", "/data", inner or "/srv")))
    assert not found(policy(binds=("/",)))
    assert not found(policy("unrestricted"))
    for each in (one, other):
        assert refused(each, policy(), VOLUME_IN_SRV) == ""


def test_the_data_directory_of_dockerd_is_protected_wherever_it_is() -> None:
    def told(path: str, *, of: Policy = BASELINE, root: str = "/data/docker") -> str:
        return "; ".join(map(str, Gate(policy=of, data_root=lambda: root).container(bind(path))))

    for each in ("/data/docker/volumes", "/data/docker", "/data"):
        assert f"bind of {each} (/data/docker is protected)" in told(each)
        assert not told(each, root="")
        assert not told(each, of=policy("unrestricted"))
    assert not told("/data/shop")


def test_a_refusal_is_one_text_with_the_level_and_at_most_five_values() -> None:
    gate = Gate(policy=policy(capabilities=("BPF",)))
    names = ("BPF", "MAC_ADMIN", "NET_ADMIN", "SYSLOG", "SYS_ADMIN", "SYS_BOOT", "SYS_TIME")
    with pytest.raises(NotAdmitted) as error:
        gate.refuse(gate.container(spec(cap_add=names)))
    told = str(error.value)
    assert told.startswith(
        "not admitted by this host (`admission` in agent.yaml, level baseline): cap_add: MAC_ADMIN"
    )
    assert told.endswith("; and 1 more")
    gate.refuse(gate.container(spec(cap_add=("BPF",))))
    assert len(gate.describe(gate.container(spec(annotations=(("x" * 10_000, "1"),))))) < 5000


EXAMPLES = {"cluster": EXAMPLE, **{stack: compiled(stack) for stack in STACKS}}


@pytest.mark.parametrize("name", EXAMPLES)
def test_the_examples_run_under_baseline(name: str) -> None:
    intent = parse_intent(EXAMPLES[name].encode(), revision=1)
    assert intent.services
    for service in intent.services:
        assert refused(service.spec, policy(), *intent.volumes) == ""


def test_every_field_of_a_spec_is_judged_or_harmless() -> None:
    """A new field must be sorted in here: no default of a policy may forget it."""
    judged = {
        "annotations", "cap_add", "cap_drop", "cgroup", "cgroup_parent", "device_cgroup_rules", "devices", "gpus",
        "image",
        "ipc", "logging", "memory_limit_bytes", "network_mode", "networks", "pid", "pids_limit", "ports", "privileged",
        "runtime", "security_opt", "sysctls", "user", "userns_mode", "uts", "volumes",
    }  # fmt: skip
    harmless = {
        "blkio_devices", "blkio_weight", "command", "cpu_period_us", "cpu_quota_us", "cpu_shares", "cpuset", "dns",
        "dns_opt", "dns_search", "domainname", "entrypoint", "environment", "extra_hosts", "group_add", "healthcheck",
        "hostname", "init", "labels", "memory_reservation_bytes", "memory_swap_bytes", "memory_swappiness", "nano_cpus",
        "oom_kill_disable", "oom_score_adj", "platform", "read_only", "restart", "restarted_at",
        "shm_size_bytes", "stdin_open",
        "stop_grace_period_s",
        "stop_signal", "tmpfs", "tty", "ulimits", "working_dir",
    }  # fmt: skip
    assert judged | harmless == {each.name for each in fields(ContainerSpec)}
    assert not judged & harmless
    assert len(spec_hash(SPEC)) == 64


POLICIES = [
    policy(),
    policy("restricted"),
    policy("unrestricted"),
    policy("unrestricted", binds=("/srv",), privileged=False),
    policy(capabilities=("NET_ADMIN",), require=("digest",), max_pids=5, protected=("/x",)),
]


@pytest.mark.parametrize("of", POLICIES)
def test_what_a_host_reports_of_its_policy_is_the_policy(of: Policy) -> None:
    assert decode(encode(of)) == of


@pytest.mark.parametrize("text", ["", "{", '{"level":"loose"}', '{"binds":1}', "[]"])
def test_a_policy_that_cannot_be_read_is_not_known(text: str) -> None:
    assert decode(text) is None


def test_a_policy_of_a_later_version_is_read_as_far_as_it_is_known() -> None:
    assert decode('{"level":"restricted","later":[1]}') == policy("restricted")
    assert encode(policy()) == '{"level":"baseline"}'


def test_the_text_of_a_config_is_no_path_of_the_host_unless_a_container_could_write_it() -> None:
    mount = Mount(type="bind", target="/c", read_only=True, content="x")
    assert refused(spec(volumes=(mount,)), policy("restricted", files=(), binds=())) == refused(
        SPEC, policy("restricted")
    )
    assert "bind of" in refused(spec(volumes=(replace(mount, read_only=False),)), policy())
