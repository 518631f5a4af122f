"""What the engine takes for a key that the document leaves out, for each field of a container.

Such a value put into a document, or taken out of it, is no reason for another container. tests/unit/diff/container
tries it on the engine in memory, tests/contract/test_fields_on_docker.py on dockerd.
"""

from collections.abc import Mapping

DECLARED: Mapping[str, tuple[str, str]] = {
    "init": ("", "init: false"),
    "stop_grace_period_s": ("", "stop_grace_period: 10s"),
    "shm_size_bytes": ("", "shm_size: 64m"),
    "ipc": ("", "ipc: private"),
    "cgroup": ("", "cgroup: private"),
    "runtime": ("", "runtime: runc"),
    "logging": ("", "logging: {driver: json-file}"),
    "oom_score_adj": ("", "oom_score_adj: 0"),
    "cpu_period_us": ("", "cpu_period: 100ms"),
    "memory_swap_bytes": ("mem_limit: 64m", "mem_limit: 64m\nmemswap_limit: 128m"),
    "pids_limit": ("", "pids_limit: -1"),
    "restart": ("", "restart: 'no'"),
    "read_only": ("", "read_only: false"),
    "privileged": ("", "privileged: false"),
    "tty": ("", "tty: false"),
    "stdin_open": ("", "stdin_open: false"),
    "oom_kill_disable": ("", "oom_kill_disable: false"),
    "devices": ("devices: [/dev/zero]", "devices: ['/dev/zero:/dev/zero:rwm']"),
    "ports": (
        "ports: ['18080:80']",
        "ports: [{target: 80, published: 18080, protocol: tcp, host_ip: 0.0.0.0, mode: host}]",
    ),
    "volumes": (
        "volumes: [{type: tmpfs, target: /a}, {type: bind, source: /srv, target: /b}]",
        """volumes:
  - {type: tmpfs, target: /a, read_only: false, tmpfs: {mode: 0o1777}}
  - {type: bind, source: /srv, target: /b, bind: {propagation: rprivate, create_host_path: true}}""",
    ),
}
"""Keys of a service by field of its container: without the engine's value, and with it."""
_NOTHING = "left out, it is nothing, and nothing can be written only as nothing"
_OF_IMAGE = "an image may have another value, which only the container of that image shows"
_OF_HOST = "the kernel of the host decides"
NONE: Mapping[str, str] = {
    "image": "it cannot be left out",
    "platform": "left out, it is that of the engine, which the container does not show",
    **dict.fromkeys(
        (
            "command", "entrypoint", "environment", "labels", "healthcheck", "stop_signal", "user", "working_dir",
        ),
        _OF_IMAGE,
    ),
    **dict.fromkeys(
        (
            "networks", "network_mode", "group_add", "domainname", "cap_add", "cap_drop", "sysctls",
            "dns", "dns_search", "dns_opt", "extra_hosts", "memory_limit_bytes",
            "memory_reservation_bytes", "nano_cpus", "pid", "uts", "userns_mode", "annotations",
            "device_cgroup_rules", "gpus", "cpuset", "cpu_quota_us", "blkio_devices",
        ),
        _NOTHING,
    ),
    "hostname": "it is the id of the container",
    "restarted_at": "no engine restarts by itself",
    "security_opt": "an engine may be configured with no-new-privileges, and inspect does not show it",
    "ulimits": "the configuration of the engine, or its unit, has them",
    "tmpfs": "options of a file system have an order and exclude each other",
    "cgroup_parent": "it depends on the cgroup driver of the engine",
    "memory_swappiness": _OF_HOST,
    "cpu_shares": "runc converts 1024 to another weight than the kernel's own",
    "blkio_weight": _OF_HOST,
}  # fmt: skip
"""Why a field has no such value."""
