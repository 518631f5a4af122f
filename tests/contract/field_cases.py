"""Every key of a service, tried out: two values, another spelling of the first, and what somebody does by hand to it.

NAME stands for the container, DEVICE for a block device of the host, FILES for a directory of it.
"""

from dataclasses import dataclass
from typing import Literal

Change = Literal["in place", "recreate", "nothing"]

PROJECT = "fields"
HAND_MADE = ""
"""Docker changes it on no container: somebody removes the replica.

And makes one with the second value and our labels.
"""
BASE = {"image": "bare:1", "command": '[sleep, "1000"]', "stop_signal": "KILL", "network_mode": "none"}
"""What a service has that does not say otherwise: a process that ends at once when it is told to."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One key of a service through its life. Values are lines of the document."""

    key: str
    first: str
    same: str
    """The first value, spelled otherwise."""
    second: str
    change: Change
    """How the container gets from the first value to the second."""
    by_hand: str = HAND_MADE
    """A docker command."""
    named: str
    """What is said of the container then."""
    beside: str = ""
    """Other keys of the service, without which it means nothing."""
    lossy: bool = False
    """There are engines and kernels that drop it: then that is said, and nothing is done."""
    service: str
    """The service that has it, together with others that do not disturb it."""

    @property
    def container(self) -> str:
        """Its first replica."""
        return f"{PROJECT}-{self.service}-1"

    def told(self) -> tuple[str, ...]:
        """What may be said of the container after the change by hand."""
        wanted, _, _found = self.named.rpartition(" wanted, ")
        named = self.named.replace("NAME", self.container)
        return (
            (named, f"{wanted} wanted, nothing found", f"{wanted} wanted, no found")
            if self.lossy
            else (named,)
        )

    def __str__(self) -> str:
        return f"{self.service}-{self.key}"


def case(service: str, key: str, first: str, same: str, second: str, named: str, **more: object) -> Case:
    """A case of which `first`, `same` and `second` are values of the key itself."""
    lines = {"first": f"{key}: {first}", "same": f"{key}: {same}", "second": f"{key}: {second}"}
    return Case(service=service, key=key, named=named, **{"change": "recreate", **lines, **more})  # type: ignore[arg-type]


def updated(
    service: str, key: str, first: str, same: str, second: str, by_hand: str, named: str, **more: object
) -> Case:
    """A case of a key that Docker changes on a container that runs."""
    return case(service, key, first, same, second, named, change="in place", by_hand=by_hand, **more)


def kept(service: str, key: str, first: str, same: str, second: str, by_hand: str, named: str) -> Case:
    """A case of a key of which the container knows nothing."""
    return case(service, key, first, same, second, named, change="nothing", by_hand=by_hand)


ON_NET = "networks: [net]"
CASES = (
    case(
        "process",
        "image",
        "bare:1",
        "docker.io/library/bare:1",
        "bare:2",
        "image: bare:1 wanted, bare:2 found",
    ),
    case(
        "process",
        "command",
        '[sleep, "1000"]',
        "sleep 1000",
        "sleep 2000",
        "command: the declared value wanted, another one found",
    ),
    case(
        "start",
        "entrypoint",
        "[sleep]",
        "sleep",
        "[/bin/sleep]",
        "entrypoint: the declared value wanted, another one found",
        beside='command: ["1000"]',
    ),
    case(
        "process",
        "environment",
        "{B: two, A: 1}",
        "[A=1, B=two]",
        '{B: two, A: "01"}',
        "environment.A: the declared value wanted, another one found",
    ),
    case(
        "process",
        "labels",
        "{team: shop, tier: }",
        "[tier=, team=shop]",
        "{team: crew, tier: }",
        "labels.team: the declared value wanted, another one found",
    ),
    case(
        "process",
        "x-restarted-at",
        "2026-11-30T16:00:00Z",
        '"2026-11-30T16:00:00Z"',
        "2026-11-30T17:00:00Z",
        "x-restarted-at: 2026-11-30T16:00:00Z wanted, 2026-11-30T17:00:00Z found",
    ),
    case(
        "reach",
        "ports",
        '["8080:80", "5353:53/udp"]',
        "[{target: 53, published: 5353, protocol: udp}, {target: 80, published: 8080}]",
        '["8081:80", "5353:53/udp"]',
        "ports: 8080:80/tcp wanted, 8081:80/tcp found",
        beside=ON_NET,
    ),
    case(
        "storage",
        "volumes",
        '["data:/a", "/etc:/b:ro", /c]',
        "[/c, {type: bind, source: /etc/, target: /b, read_only: true, bind: {create_host_path: true}}, "
        "{type: volume, source: data, target: /a}]",
        '["data:/a", "/etc:/b", /c]',
        "volumes: bind /etc:/b (ro) wanted, bind /etc:/b found",
    ),
    case(
        "left",
        "networks",
        "[net]",
        "{net: }",
        "[net, other]",
        "networks.fields_net: attached as left wanted, nothing found",
        change="in place",
        by_hand="network disconnect --force fields_net NAME",
    ),
    case(
        "joined",
        "networks",
        "[net]",
        "{net: {}}",
        "{net: {aliases: [billing]}}",
        "networks.bridge: nothing wanted, attached found",
        change="in place",
        by_hand="network connect bridge NAME",
    ),
    case(
        "fixed",
        "networks",
        "{net: {ipv4_address: 10.20.0.99, aliases: [b, a]}}",
        "{net: {aliases: [a, b], ipv4_address: 10.20.0.99}}",
        "{net: {ipv4_address: 10.20.0.98, aliases: [b, a]}}",
        "networks.fields_net: attached as a, b, fixed at 10.20.0.99 wanted, nothing found",
        change="in place",
        by_hand="network disconnect fields_net NAME",
    ),
    case("spaces", "network_mode", "none", '"none"', "host", "network_mode: none wanted, host found"),
    updated(
        "limits",
        "restart",
        '"no"',
        "'no'",
        "on-failure:3",
        "update --restart always NAME",
        "restart: no wanted, always found",
    ),
    case(
        "storage",
        "healthcheck",
        "{test: [CMD, /bin/true], interval: 90s, retries: 3}",
        "{retries: 3, interval: 1m30s, test: [CMD, /bin/true]}",
        "{test: [CMD, /bin/true], interval: 60s, retries: 3}",
        "healthcheck.interval: 90 s wanted, 60 s found",
    ),
    case(
        "process", "stop_signal", "KILL", "SIGKILL", "SIGUSR1", "stop_signal: SIGKILL wanted, SIGUSR1 found"
    ),
    case("process", "stop_grace_period", "1s", "1000ms", "2s", "stop_grace_period: 1 s wanted, 2 s found"),
    case("process", "user", "1001", '"1001"', '"1002"', "user: 1001 wanted, 1002 found"),
    case("process", "group_add", '["10", "20"]', "[20, 10]", '["10"]', "group_add: 20 wanted, nothing found"),
    case("process", "working_dir", "/tmp", "/tmp/", "/srv", "working_dir: /tmp wanted, /srv found"),
    case("process", "hostname", "orders", '"orders"', "other", "hostname: orders wanted, other found"),
    case(
        "process",
        "domainname",
        "shop.internal",
        '"shop.internal"',
        "other.internal",
        "domainname: shop.internal wanted, other.internal found",
    ),
    case("isolation", "read_only", "true", '"true"', "false", "read_only: yes wanted, no found"),
    case("process", "init", "true", '"true"', "false", "init: yes wanted, no found"),
    case("process", "tty", "true", '"true"', "false", "tty: yes wanted, no found"),
    case("process", "stdin_open", "true", '"true"', "false", "stdin_open: yes wanted, no found"),
    case(
        "isolation",
        "cap_add",
        "[NET_ADMIN, SYS_TIME]",
        "[CAP_SYS_TIME, net_admin]",
        "[NET_ADMIN]",
        "cap_add: CAP_SYS_TIME wanted, nothing found",
    ),
    case(
        "isolation",
        "cap_drop",
        "[MKNOD, CHOWN]",
        "[CAP_CHOWN, mknod]",
        "[MKNOD]",
        "cap_drop: CAP_CHOWN wanted, nothing found",
    ),
    case(
        "isolation",
        "security_opt",
        '["no-new-privileges:true"]',
        "[no-new-privileges]",
        '["seccomp=unconfined"]',
        "security_opt: no-new-privileges=true wanted, seccomp=unconfined found",
    ),
    case(
        "isolation",
        "ulimits",
        "{nofile: 1024}",
        "{nofile: {soft: 1024, hard: 1024}}",
        "{nofile: {soft: 1024, hard: 2048}}",
        "ulimits.nofile: 1024:1024 wanted, 1024:2048 found",
    ),
    case(
        "isolation",
        "sysctls",
        "{net.ipv4.ip_forward: 1}",
        '["net.ipv4.ip_forward=1"]',
        "{net.ipv4.ip_forward: 0}",
        "sysctls.net.ipv4.ip_forward: 1 wanted, 0 found",
    ),
    case("isolation", "shm_size", "128m", "134217728", "32m", "shm_size: 128 MiB wanted, 32 MiB found"),
    case(
        "isolation",
        "tmpfs",
        '["/run:size=64m,mode=755"]',
        '"/run:mode=755,size=65536k"',
        '["/run:size=32m,mode=755"]',
        "tmpfs./run: mode=755,size=67108864 wanted, mode=755,size=33554432 found",
    ),
    case(
        "reach",
        "dns",
        "[10.0.0.2, 10.0.0.1]",
        '["10.0.0.2", "10.0.0.1"]',
        "[10.0.0.1, 10.0.0.2]",
        "dns: 10.0.0.2 10.0.0.1 wanted, 10.0.0.1 10.0.0.2 found",
    ),
    case(
        "reach",
        "dns_search",
        "[shop.internal]",
        "shop.internal",
        "[internal, shop.internal]",
        "dns_search: shop.internal wanted, internal shop.internal found",
    ),
    case(
        "reach",
        "dns_opt",
        '["ndots:1", use-vc]',
        '["use-vc", "ndots:1"]',
        '["ndots:1"]',
        "dns_opt: use-vc wanted, nothing found",
    ),
    case(
        "reach",
        "extra_hosts",
        '["db:10.0.0.7"]',
        "{db: 10.0.0.7}",
        "{db: 10.0.0.8}",
        "extra_hosts: db:10.0.0.7 wanted, db:10.0.0.8 found",
    ),
    case(
        "storage",
        "logging",
        "{driver: json-file, options: {max-size: 50m, max-file: 3}}",
        '{options: ["max-file=3", "max-size=50m"], driver: json-file}',
        "{driver: json-file, options: {max-size: 1m, max-file: 3}}",
        "logging.options.max-size: the declared value wanted, another one found",
    ),
    case(
        "isolation",
        "devices",
        '["/dev/zero:/dev/nought:rm"]',
        "[{source: /dev/zero, target: /dev/nought, permissions: mr}]",
        "[/dev/zero]",
        "devices: /dev/zero:/dev/nought:mr wanted, /dev/zero:/dev/zero:mrw found",
    ),
    case(
        "isolation",
        "device_cgroup_rules",
        '["c 1:3 mr"]',
        '["c 1:3 rm"]',
        '["c 1:* rm"]',
        "device_cgroup_rules: c 1:3 mr wanted, c 1:* mr found",
    ),
    updated(
        "limits",
        "mem_limit",
        "64m",
        "67108864",
        "96m",
        "update --memory 32m --memory-swap 64m NAME",
        "memory: 64 MiB wanted, 32 MiB found",
    ),
    Case(
        service="deployed",
        key="deploy",
        first="deploy: {resources: {limits: {memory: 64m, cpus: 0.5}}, restart_policy: {condition: on-failure}}",
        same="mem_limit: 64m\ncpus: '0.5'\nrestart: on-failure",
        second="deploy: {resources: {limits: {memory: 96m, cpus: 0.5}}, restart_policy: {condition: any}}",
        change="in place",
        by_hand="update --cpus 0.25 NAME",
        named="cpus: 0.5 CPUs wanted, 0.25 CPUs found",
    ),
    updated(
        "limits",
        "mem_reservation",
        "32m",
        "32768k",
        "16m",
        "update --memory-reservation 24m NAME",
        "memory_reservation: 32 MiB wanted, 24 MiB found",
    ),
    updated(
        "swap",
        "memswap_limit",
        "96m",
        "98304k",
        "128m",
        "update --memory 64m --memory-swap 80m NAME",
        "memswap_limit: 96 MiB wanted, 80 MiB found",
        beside="mem_limit: 64m",
    ),
    case("dropped", "mem_swappiness", "10", '"10"', "20", "mem_swappiness: 10 wanted, 20 found", lossy=True),
    case(
        "dropped",
        "oom_kill_disable",
        "true",
        '"true"',
        "false",
        "oom_kill_disable: yes wanted, no found",
        beside="mem_limit: 64m",
        lossy=True,
    ),
    case("isolation", "oom_score_adj", "500", '"500"', "600", "oom_score_adj: 500 wanted, 600 found"),
    updated(
        "limits",
        "cpus",
        "0.5",
        '"0.50"',
        "0.25",
        "update --cpus 0.75 NAME",
        "cpus: 0.5 CPUs wanted, 0.75 CPUs found",
    ),
    updated(
        "limits",
        "cpu_shares",
        "512",
        '"512"',
        "256",
        "update --cpu-shares 300 NAME",
        "cpu_shares: 512 wanted, 300 found",
    ),
    updated(
        "limits",
        "cpuset",
        "0-1",
        '"0,1"',
        '"0"',
        "update --cpuset-cpus 1 NAME",
        "cpuset: 0-1 wanted, 1 found",
    ),
    updated(
        "quota",
        "cpu_period",
        "50ms",
        "50000",
        "40ms",
        "update --cpu-period 60000 NAME",
        "cpu_period: 50000 wanted, 60000 found",
    ),
    updated(
        "quota",
        "cpu_quota",
        "25ms",
        "25000",
        "20ms",
        "update --cpu-quota 30000 NAME",
        "cpu_quota: 25000 wanted, 30000 found",
    ),
    updated(
        "limits",
        "pids_limit",
        "100",
        '"100"',
        "-1",
        "update --pids-limit 50 NAME",
        "pids_limit: 100 wanted, 50 found",
    ),
    updated(
        "limits",
        "blkio_config",
        "{weight: 300}",
        '{weight: "300"}',
        "{weight: 400}",
        "update --blkio-weight 500 NAME",
        "blkio_config.weight: 300 wanted, 500 found",
        lossy=True,
    ),
    case(
        "dropped",
        "blkio_config",
        "{device_read_bps: [{path: DEVICE, rate: 1m}]}",
        "{device_read_bps: [{rate: 1048576, path: DEVICE}]}",
        "{device_read_bps: [{path: DEVICE, rate: 2m}]}",
        "blkio_config.read_bps.DEVICE: 1048576 wanted, 2097152 found",
        lossy=True,
    ),
    case("spaces", "pid", "host", '"host"', "", "pid: host wanted, nothing found"),
    case("spaces", "ipc", "private", '"private"', "host", "ipc: private wanted, host found"),
    case("spaces", "uts", "host", '"host"', "", "uts: host wanted, nothing found"),
    case("spaces", "userns_mode", "host", '"host"', "", "userns_mode: host wanted, nothing found"),
    case("isolation", "cgroup", "private", '"private"', "host", "cgroup: private wanted, host found"),
    case(
        "isolation",
        "cgroup_parent",
        "/jobs",
        '"/jobs"',
        "/others",
        "cgroup_parent: /jobs wanted, /others found",
    ),
    case(
        "spaces",
        "runtime",
        "runc",
        '"runc"',
        "io.containerd.runc.v2",
        "runtime: runc wanted, io.containerd.runc.v2 found",
    ),
    case(
        "dropped",
        "annotations",
        "{com.shop.tier: 1}",
        '["com.shop.tier=1"]',
        "{com.shop.tier: 2}",
        "annotations.com.shop.tier: the declared value wanted, another one found",
        lossy=True,
    ),
    case(
        "secret",
        "secrets",
        "[token]",
        "[{source: token}]",
        "[{source: token, target: /run/token}]",
        "volumes: bind FILES/token:/run/secrets/token (ro) wanted, bind FILES/token:/run/token (ro) found",
    ),
    case(
        "config",
        "configs",
        "[app]",
        "[{source: app, target: /app}]",
        "[{source: app, target: /etc/app}]",
        "volumes: bind FILES/app:/app (ro) wanted, bind FILES/app:/etc/app (ro) found",
    ),
    kept(
        "renamed",
        "pull_policy",
        "missing",
        "if_not_present",
        "never",
        by_hand="rename NAME elsewhere",
        named="name: NAME wanted, elsewhere found",
    ),
    kept(
        "paused",
        "depends_on",
        "[process]",
        "{process: {condition: service_started}}",
        "{process: {condition: service_healthy}}",
        by_hand="pause NAME",
        named="paused",
    ),
    kept("ended", "x-hosts", "[h]", "{h: 1}", "{h: 2}", by_hand="kill NAME", named="exited"),
)

NOT_HERE = {
    "privileged": "a container of a container may not have more than that has itself",
    **dict.fromkeys(
        ("container_name", "expose", "links", "scale"), "another spelling, which no container has"
    ),
    "x-rebalanced-at": "the leader moves replicas to other hosts, and the container says nothing of it",
    "platform": "an engine runs images of its own platform alone, and the container says nothing of it",
    "gpus": "an engine without a driver for them starts no container that asks for one",
}
"""Keys that cannot be tried here, and why."""
