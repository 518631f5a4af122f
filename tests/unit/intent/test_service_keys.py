"""Each key of a service: its forms, what they become, and what is refused."""

from dataclasses import replace
from typing import Any

import pytest

from agent.intent.refused import SERVICE_REFUSED
from agent.model.faults import InvalidDocument
from agent.model.spec import (
    Attachment,
    BlkioDevice,
    Device,
    DeviceRequest,
    Healthcheck,
    Logging,
    Mount,
    Port,
    Restart,
    Ulimit,
    encode,
    spec_hash,
)
from tests.unit.intent.documents import faults, parse, service, spec_of
from tests.unit.intent.offered import complaints

INNER = "shop_inner"
BOUND = Mount(type="bind", source="/a", target="/b", create_host_path=True)
RT = "web.cpu_rt_runtime: 'cpu_rt_runtime' is not supported: cgroup v2 has no such limit"

BECOMES: list[tuple[str, str, Any]] = [
    ("command: sleep 5", "command", ("sleep", "5")),
    ("command: [sleep, '5']", "command", ("sleep", "5")),
    ("command: []", "command", ()),
    ("command: ''", "command", ()),
    ("entrypoint: /bin/sh -c 'a b'", "entrypoint", ("/bin/sh", "-c", "a b")),
    ("environment: {B: 1, A: true}", "environment", (("A", "true"), ("B", "1"))),
    ("environment: [B=1, 'A=x=y']", "environment", (("A", "x=y"), ("B", "1"))),
    ("labels: {a: }", "labels", (("a", ""),)),
    ("labels: [a=1]", "labels", (("a", "1"),)),
    ("ports: ['80:8080']", "ports", (Port(target=8080, published=80),)),
    ("ports: [22:22]", "ports", (Port(target=22, published=22),)),
    ("ports: ['0.0.0.0:80:80']", "ports", (Port(target=80, published=80),)),
    ("ports: [{target: 80, published: 81}]", "ports", (Port(target=80, published=81),)),
    (
        "ports: [{target: '80', published: '81', name: }]",
        "",
        "web.ports[0].name: 'name' is not supported: Docker has no names for ports",
    ),
    ("volumes: ['data:/d']", "volumes", (Mount(type="volume", source="shop_data", target="/d"),)),
    ("volumes: [/a:/b]", "volumes", (BOUND,)),
    ("volumes: ['/a:/b:ro,Z']", "volumes", (replace(BOUND, read_only=True, relabel="Z"),)),
    (
        "volumes: [{type: bind, source: /a, target: /b, bind: {selinux: z}}]",
        "volumes",
        (replace(BOUND, relabel="z"),),
    ),
    (
        "volumes: [{type: bind, source: /a, target: /b, bind: {selinux: z, create_host_path: false}}]",
        "",
        "web.volumes[0].bind.selinux: selinux requires create_host_path: true and a source without ':'",
    ),
    ("volumes: ['data:/']", "", "web.volumes[0]: mounts over the container's root"),
    ("volumes: ['/etc:/sys/x']", "", "web.volumes[0]: mounts '/sys/x', and nobody can create that in /sys"),
    ("tmpfs: [/sys/x/y]", "", "web.tmpfs[0]: mounts '/sys/x/y', and nobody can create that in /sys"),
    ("tmpfs: [/sys/fs/cgroup]", "tmpfs", (("/sys/fs/cgroup", ""),)),
    (
        "devices: ['/dev/zero:/proc/x']",
        "",
        "web.devices[0]: mounts '/proc/x', and no container starts without its own /proc",
    ),
    (
        "devices: [{source: /dev/zero, target: /sys/x}]",
        "",
        "web.devices[0].target: mounts '/sys/x', and nobody can create that in /sys",
    ),
    ("volumes: [{type: tmpfs, target: //}]", "", "web.volumes[0].target: mounts over the container's root"),
    (
        "volumes: [{type: tmpfs, target: /t, tmpfs: {mode: 0o000}}]",
        "",
        "web.volumes[0].tmpfs.mode: Docker ignores a mode of 0",
    ),
    (
        "volumes: ['/:/host:ro']",
        "volumes",
        (Mount(type="bind", source="/", target="/host", read_only=True, create_host_path=True),),
    ),
    ("networks: [inner]", "networks", (Attachment(network=INNER),)),
    ("networks: {inner: }", "networks", (Attachment(network=INNER),)),
    ("networks: {inner: {aliases: [b, a]}}", "networks", (Attachment(network=INNER, aliases=("a", "b")),)),
    ("restart: no", "restart", Restart(name="no")),
    ("restart: 'no'", "restart", Restart(name="no")),
    (
        "restart: false",
        "",
        "web.restart: 'false' is not one of: no, always, on-failure, unless-stopped, on-failure:3",
    ),
    ("restart: on-failure", "restart", Restart(name="on-failure")),
    ("restart: on-failure:3", "restart", Restart(name="on-failure", max_retries=3)),
    ("healthcheck: {test: a b}", "healthcheck", Healthcheck(test=("CMD-SHELL", "a b"))),
    ("healthcheck: {test: [CMD, a]}", "healthcheck", Healthcheck(test=("CMD", "a"))),
    ("healthcheck: {test: [NONE]}", "healthcheck", Healthcheck(disable=True)),
    ("healthcheck: {disable: true, interval: 5s}", "healthcheck", Healthcheck(disable=True)),
    ("healthcheck: {interval: 0s}", "", "web.healthcheck.interval: '0s' is too small"),
    ("stop_grace_period: 1m30s", "stop_grace_period_s", 90.0),
    ("stop_signal: SIGRTMIN+3", "stop_signal", "SIGRTMIN+3"),
    ("stop_signal: quickly", "", "web.stop_signal: 'quickly' is not a signal"),
    ("user: 1000:1000", "user", "1000:1000"),
    ("user: '1000; rm'", "", "web.user: '1000; rm' is not a user: name or number, and :group if wanted"),
    ("init: false", "init", False),
    ("tty: false", "tty", False),
    ("cap_add: [CAP_NET_ADMIN, net_raw]", "cap_add", ("NET_ADMIN", "NET_RAW")),
    ("ulimits: {nproc: -1}", "ulimits", (Ulimit(name="nproc", soft=-1, hard=-1),)),
    (
        "ulimits: {nofile: {soft: 30, hard: 20}}",
        "",
        "web.ulimits.nofile: the soft limit is above the hard limit",
    ),
    ("ulimits: {nofile: {soft: 30}}", "", "web.ulimits.nofile: 'hard' is missing"),
    ("sysctls: [net.a.b=1]", "sysctls", (("net.a.b", "1"),)),
    ("sysctls: {a.b: }", "", "web.sysctls['a.b']: has no value"),
    ("shm_size: 1g", "shm_size_bytes", 1 << 30),
    ("shm_size: 1048576", "shm_size_bytes", 1 << 20),
    ("tmpfs: /run", "tmpfs", (("/run", ""),)),
    ("tmpfs: ['/b:size=1m,mode=755', /a]", "tmpfs", (("/a", ""), ("/b", "size=1m,mode=755"))),
    ("tmpfs: ['/b:si ze']", "", "web.tmpfs[0]: '/b:si ze' has options that tmpfs does not know"),
    ("dns: [10.0.0.53, 10.0.0.1]", "dns", ("10.0.0.53", "10.0.0.1")),
    ("dns: nameserver", "", "web.dns: 'nameserver' is not an IP address"),
    ("extra_hosts: {b: 10.0.0.9, a: '::1'}", "extra_hosts", ("a:::1", "b:10.0.0.9")),
    ("extra_hosts: ['a:::1']", "extra_hosts", ("a:::1",)),
    ("extra_hosts: [alone]", "", "web.extra_hosts[0]: has no address"),
    ("logging: {driver: none}", "logging", Logging(driver="none")),
    ("logging: {options: {tag: '{{.ID}}'}}", "logging", Logging(options=(("tag", "{{.ID}}"),))),
    ("devices: [/dev/a]", "devices", (Device(source="/dev/a", target="/dev/a"),)),
    ("devices: ['/dev/a:rw']", "devices", (Device(source="/dev/a", target="/dev/a", permissions="rw"),)),
    (
        "devices: [{source: /dev/a, permissions: r}]",
        "devices",
        (Device(source="/dev/a", target="/dev/a", permissions="r"),),
    ),
    ("devices: [{target: /dev/a}]", "", "web.devices[0]: 'source' is missing"),
    ("devices: [dev]", "", "web.devices[0]: 'dev' is not a device"),
    ("mem_limit: 64mb", "memory_limit_bytes", 64 << 20),
    ("mem_limit: 1m", "", "web.mem_limit: '1m' is too small"),
    ("mem_limit: 64m\nmem_reservation: 1g", "", "web: reserves more memory than its limit"),
    ("cpus: 0.25", "nano_cpus", 250_000_000),
    ("cpus: half", "", "web.cpus: 'half' is not a number"),
    ("pids_limit: -1", "pids_limit", -1),
    ("pid: host", "pid", "host"),
    ("pid: 'service:db'", "", "web.pid: the namespace of another container is not supported"),
    ("ipc: 'container:db'", "", "web.ipc: the namespace of another container is not supported"),
    ("pid: guest", "", "web.pid: 'guest' is not one of: host"),
    ("ipc: shareable", "ipc", "shareable"),
    ("network_mode: host", "network_mode", "host"),
    ("network_mode: bridge", "network_mode", "bridge"),
    ("network_mode: bridge\nports: ['80:80']", "ports", (Port(target=80, published=80),)),
    (
        "network_mode: none\nports: ['80:80']",
        "",
        "web.network_mode: network_mode: none cannot be combined with 'ports'",
    ),
    (
        "network_mode: 'service:db'",
        "",
        "web.network_mode: the namespace of another container is not supported",
    ),
    ("uts: host", "uts", "host"),
    ("uts: host\nhostname: a", "", "web.hostname: uts: host cannot be combined with 'hostname'"),
    ("userns_mode: host", "userns_mode", "host"),
    ("cgroup: private", "cgroup", "private"),
    ("cgroup_parent: jobs.slice", "cgroup_parent", "jobs.slice"),
    ("cgroup_parent: a b", "", "web.cgroup_parent: 'a b' is not a cgroup"),
    ("runtime: crun", "runtime", "crun"),
    ("annotations: [a.b=c]", "annotations", (("a.b", "c"),)),
    ("device_cgroup_rules: ['c 1:3 rwm', 'a *:* m']", "device_cgroup_rules", ("a *:* m", "c 1:3 mrw")),
    (
        "device_cgroup_rules: [c]",
        "",
        "web.device_cgroup_rules[0]: 'c' is not a rule for devices",
    ),
    ("gpus: all", "gpus", (DeviceRequest(),)),
    ("gpus: [{count: 2, driver: nvidia}]", "gpus", (DeviceRequest(count=2, driver="nvidia"),)),
    ("gpus: [{device_ids: [b, a]}]", "gpus", (DeviceRequest(count=0, device_ids=("a", "b")),)),
    (
        "gpus: [{device_ids: [a], count: 1}]",
        "",
        "web.gpus[0].count: 'count' and 'device_ids' contradict each other",
    ),
    ("gpus: [{count: some}]", "", "web.gpus[0].count: 'some' is not a whole number"),
    (
        "deploy: {resources: {reservations: {devices: [{capabilities: [gpu, utility], count: all}]}}}",
        "gpus",
        (DeviceRequest(capabilities=("gpu", "utility")),),
    ),
    (
        "deploy: {resources: {reservations: {devices: [{count: 1}]}}}",
        "",
        "web.deploy.resources.reservations.devices[0]: 'capabilities' is missing",
    ),
    ("memswap_limit: 96m\nmem_limit: 64m", "memory_swap_bytes", 96 << 20),
    ("memswap_limit: -1\nmem_limit: 64m", "memory_swap_bytes", -1),
    (
        "memswap_limit: 32m\nmem_limit: 64m",
        "",
        "web.memswap_limit: is less than mem_limit, which it includes",
    ),
    (
        "memswap_limit: 32m",
        "",
        "web.memswap_limit: limits memory and swap together, but memory has no limit",
    ),
    ("mem_swappiness: 0", "memory_swappiness", 0),
    ("mem_swappiness: 101", "", "web.mem_swappiness: '101' is too large"),
    ("oom_kill_disable: true", "oom_kill_disable", True),
    ("oom_score_adj: -1000", "oom_score_adj", -1000),
    ("x-restarted-at: 2026-11-30T16:00:00Z", "restarted_at", "2026-11-30T16:00:00Z"),
    ("x-restarted-at: '2026-11-30T16:00:00Z'", "restarted_at", "2026-11-30T16:00:00Z"),
    ("cpu_shares: 512", "cpu_shares", 512),
    ("cpuset: 3,0-1,2", "cpuset", "0-3"),
    ("cpuset: '2-1'", "", "web.cpuset: '2-1' is not a list of CPUs"),
    ("cpuset: two", "", "web.cpuset: 'two' is not a list of CPUs"),
    ("cpu_period: 50000", "cpu_period_us", 50_000),
    ("cpu_quota: 25ms", "cpu_quota_us", 25_000),
    ("cpu_quota: 500us", "", "web.cpu_quota: '500us' is too small"),
    ("cpus: 1\ncpu_quota: 25ms", "", "web.cpu_quota: cpus cannot be combined with 'cpu_quota'"),
    ("cpu_rt_runtime: 1", "", RT),
    ("blkio_config: {weight: 300}", "blkio_weight", 300),
    ("blkio_config: {weight: 5}", "", "web.blkio_config.weight: '5' is too small"),
    (
        "blkio_config: {device_read_bps: [{path: /dev/sda, rate: 1m}], weight_device: [{path: /dev/sda, weight: 10}]}",
        "blkio_devices",
        (
            BlkioDevice(limit="read_bps", path="/dev/sda", value=1 << 20),
            BlkioDevice(limit="weight", path="/dev/sda", value=10),
        ),
    ),
    (
        "blkio_config: {device_write_iops: [{path: /dev/sda}]}",
        "",
        "web.blkio_config.device_write_iops[0]: 'rate' is missing",
    ),
    ("hostname: '{{.Node.Hostname}}-a'", "hostname", "{{.Node.Hostname}}-a"),
    ("hostname: 'a b'", "", "web.hostname: 'a b' is not a host name"),
    ("hostname: a/b", "", "web.hostname: 'a/b' is not a host name"),
    ("deploy: {resources: {limits: {cpus: '2', memory: 1g, pids: 5}}}", "nano_cpus", 2_000_000_000),
    ("deploy: {mode: replicated}", "image", "web"),
    ("deploy: {restart_policy: {}}", "restart", Restart(name="always")),
    ("deploy: {restart_policy: {condition: none}}", "restart", Restart(name="no")),
    (
        "deploy: {restart_policy: {condition: on-failure, max_attempts: 3}}",
        "restart",
        Restart(name="on-failure", max_retries=3),
    ),
    (
        "deploy: {restart_policy: {max_attempts: 3}}",
        "",
        "web.deploy.restart_policy.max_attempts: the engine counts attempts only after failures",
    ),
    ("restart: always\ndeploy: {restart_policy: {}}", "", "web.restart: deploy sets 'restart' too"),
    ("pull_policy: never", "image", "web"),
    ("pull_policy: always", "image", "web"),
    ("pull_policy: weekly", "image", "web"),
    ("pull_policy: every_12h", "", "web.pull_policy: 'every_12h' is not supported"),
    (
        "pull_policy: build",
        "",
        "web.pull_policy: 'build' is not supported",
    ),
    (
        "pull_policy: sometimes",
        "",
        "web.pull_policy: 'sometimes' is not one of: always, missing, if_not_present, never, daily, weekly",
    ),
    ("x-anything: {goes: [1]}", "image", "web"),
    ("x-rebalanced-at: 2026-11-30T17:00:00Z", "image", "web"),
    ('x-rebalanced-at: "2026-11-30T17:00:00Z"', "image", "web"),
    ("x-rebalanced-at: now", "", "web.x-rebalanced-at: 'now' is not a time in UTC"),
    (
        "x-rebalanced-at: 2026-11-30T17:00:00+01:00",
        "",
        "web.x-rebalanced-at: '2026-11-30T17:00:00+01:00' is not a time in UTC",
    ),
]


@pytest.mark.parametrize(("key", "attribute", "value"), BECOMES, ids=[each[0] for each in BECOMES])
def test_a_key_becomes_a_field_or_is_refused(key: str, attribute: str, value: Any) -> None:
    if attribute:
        assert getattr(spec_of(key), attribute) == value
    else:
        assert faults(service(key)) == [f"services.{value}"]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("environment: {A: 1, B: 2}", "environment: [B=2, A=1]"),
        ("ports: ['80:80', '81:81']", "ports: [{target: 81, published: 81}, '0.0.0.0:80:80/tcp']"),
        ("cap_add: [SYS_TIME, NET_RAW]", "cap_add: [net_raw, CAP_SYS_TIME]"),
        ("mem_limit: 1g", "deploy: {resources: {limits: {memory: 1024m}}}"),
        ("healthcheck: {test: a, interval: 60s}", "healthcheck: {test: [CMD-SHELL, a], interval: 1m}"),
        ("networks: [inner]", "networks: {inner: {}}"),
        ("networks: [inner]", ""),
        ("volumes: ['data:/d', '/a:/a']", "volumes: ['/a:/a', 'data:/d/']"),
        ("tty: false", ""),
        ("cpuset: 0,1,2", "cpuset: 0-2"),
        ("cpu_quota: 25000", "cpu_quota: 25ms"),
        ("gpus: all", "gpus: [{count: all}]"),
        ("gpus: all", "deploy: {resources: {reservations: {devices: [{capabilities: [gpu]}]}}}"),
        ("restart: on-failure:2", "deploy: {restart_policy: {condition: on-failure, max_attempts: 2}}"),
        ("devices: ['/dev/a:/dev/b:r']", "devices: [{source: /dev/a, target: /dev/b, permissions: r}]"),
    ],
)
def test_two_spellings_of_one_thing_are_one_spec(one: str, other: str) -> None:
    assert spec_hash(spec_of(one)) == spec_hash(spec_of(other))


def test_a_key_that_is_taken_out_leaves_no_trace() -> None:
    assert encode(spec_of("network_mode: none")) == b'{"image":"web","network_mode":"none"}'


def test_a_service_without_networks_joins_default_when_it_is_declared() -> None:
    text = service("").replace("networks: {", "networks: {default: {name: everyones}, ")
    assert parse(text).services[0].spec.networks == (Attachment(network="everyones"),)


@pytest.mark.parametrize(
    "placeholder",
    [
        "{{.Node.Hostname}}",
        "{{ .Service.Name }}",
        "{{.Task.Slot}}",
        "{{.Node.ID}}",
        "{{.Host.Address}}",
        "{{.ID}}x",
        "{{json .}}",
    ],
)
def test_placeholders_are_known_or_refused_where_they_are_filled_in(placeholder: str) -> None:
    refused = "{{.ID" in placeholder
    assert bool(faults(service(f"environment: {{A: '{placeholder}'}}"))) == refused
    assert not faults(service(f"logging: {{options: {{tag: '{placeholder}'}}}}"))


@pytest.mark.parametrize(
    "networks", ["", "networks: [inner]\n", "networks: {inner: {ipv4_address: 10.10.0.9}}\n"]
)
def test_the_overlay_address_is_offered_to_whoever_is_on_one_overlay(networks: str) -> None:
    assert not faults(service(networks + "environment: {IP: '{{.Overlay.IP}}'}"))


def test_a_bridge_network_beside_the_overlay_leaves_no_doubt_which_address_is_meant() -> None:
    text = service("networks: [inner, own]\nenvironment: {IP: '{{.Overlay.IP}}'}")
    assert not faults(text.replace("networks: {inner", "networks: {own: {driver: bridge}, inner"))


@pytest.mark.parametrize(
    "keys",
    [
        "blkio_config: {device_read_iops: [{path: /dev/sda, rate: 1k}]}",
        "blkio_config: {device_write_iops: [{path: /dev/sda, rate: 1.5}]}",
        "deploy: {resources: {limits: {cpus: 0.001}}}",
    ],
)
def test_what_no_engine_takes_is_refused_by_the_reader_and_in_an_editor(keys: str) -> None:
    assert len(faults(service(keys))) == 1
    assert complaints(service(keys))


def test_of_two_overlays_the_one_is_named_whose_address_is_meant_and_the_spec_has_its_name_in_docker() -> (
    None
):
    value = "{{ .Overlay.inner.IP }} {{.Overlay.back-end_1.x.IP}}"
    text = service(
        f"networks: [inner, back-end_1.x]\nenvironment: {{IP: '{value}'}}\nhostname: 'a{value[:23]}'"
    )
    found = parse(text.replace("networks: {inner", "networks: {back-end_1.x: {name: other}, inner")).services[
        0
    ]
    assert found.spec.environment == (("IP", "{{.Overlay.shop_inner.IP}} {{.Overlay.other.IP}}"),)
    assert found.spec.hostname == "a{{.Overlay.shop_inner.IP}}"


@pytest.mark.parametrize("key", ["build", "profiles", "extends", "env_file", "mac_address"])
def test_what_compose_has_and_we_have_not_is_refused_with_a_reason(key: str) -> None:
    (said,) = faults(service(f"{key}: x"))
    assert said.startswith(f"services.web.{key}: '{key}' is not supported")


@pytest.mark.parametrize("key", sorted(SERVICE_REFUSED))
def test_every_refused_key_is_refused_with_its_own_reason(key: str) -> None:
    with pytest.raises(InvalidDocument) as refused:
        parse(service(f"{key}: x"))
    (fault,) = refused.value.faults
    assert f"{fault.path}: {fault.problem}; {fault.remedy}" == (
        f"services.web.{key}: '{key}' {SERVICE_REFUSED[key]}"
    )
