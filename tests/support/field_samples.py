"""A value for every field of the vocabulary, and what a change by hand of it looks like.

Each sample is tried three ways: as it is, in another spelling of the same value (nothing may be found), and changed by
hand (the difference must be named). What is done to `inspect` is written as `path: value`, the path with dots.
"""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

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
)

Changes = Mapping[str, Any]
MIB = 2**20


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """One value of one field."""

    field: str
    value: Any
    by_hand: Changes
    """Done to inspect: what somebody changed."""
    named: str
    """What must be said of it then."""
    spelled: Changes = dataclasses.field(default_factory=dict)
    """Done to inspect: the same value in another spelling."""
    repair: str = "replace"
    dropped: bool = False
    """Whether there are engines or kernels that cannot do it, and drop it."""
    beside: Changes = dataclasses.field(default_factory=dict)
    """Other fields, without which an engine does not take it."""

    def __str__(self) -> str:
        return self.field


SAMPLES = (
    Sample(
        field="image", value="bare:1", spelled={"Config.Image": "docker.io/library/bare:1"},
        by_hand={"Config.Image": "bare:2"}, named="image: bare:1 wanted, bare:2 found",
    ),
    Sample(
        field="platform", value="linux/amd64", spelled={"Config.Platform": "linux/amd64/v2"},
        by_hand={"Config.Platform": "linux/386"}, named="platform: linux/amd64 wanted, linux/386 found",
    ),
    Sample(
        field="command", value=("sleep", "60"), by_hand={"Config.Cmd": ["sleep", "30"]},
        named="command: the declared value wanted, another one found",
    ),
    Sample(
        field="entrypoint", value=("/bin/sh", "-c"), by_hand={"Config.Entrypoint": None},
        named="entrypoint: the declared value wanted, nothing found",
    ),
    Sample(
        field="environment", value=(("DB_PASSWORD", "s3cret"), ("GREETING", "mine")),
        spelled={"Config.Env": ["GREETING=mine", "DB_PASSWORD=s3cret"]},
        by_hand={"Config.Env": ["GREETING=mine", "DB_PASSWORD=0ther"]},
        named="environment.DB_PASSWORD: the declared value wanted, another one found",
    ),
    Sample(
        field="labels", value=(("team", "shop"),), by_hand={"Config.Labels.team": "crew"},
        named="labels.team: the declared value wanted, another one found",
    ),
    Sample(
        field="ports", value=(Port(target=80, published=8080),),
        by_hand={"HostConfig.PortBindings": {"80/tcp": [{"HostIp": "", "HostPort": "8081"}]}},
        named="ports: 8080:80/tcp wanted, 8081:80/tcp found",
    ),
    Sample(
        field="volumes",
        value=(
            Mount(type="volume", target="/a", source="data"),
            Mount(type="volume", target="/b"),
            Mount(type="bind", target="/c", source="/etc", read_only=True),
            Mount(type="tmpfs", target="/d", tmpfs_size_bytes=MIB, tmpfs_mode=0o700),
        ),
        spelled={
            "HostConfig.Binds": ["/etc:/c:ro,rprivate", "data:/a"],
            "HostConfig.Mounts": [
                {"Type": "tmpfs", "Target": "/d", "TmpfsOptions": {"SizeBytes": MIB, "Mode": 0o700}},
                {"Type": "volume", "Target": "/b"},
            ],
        },
        by_hand={"HostConfig.Binds": ["/srv:/e"]},
        named="volumes: nothing wanted, bind /srv:/e found",
    ),
    Sample(
        field="networks", value=(Attachment(network="net", aliases=("billing.internal",), ipv4_address="10.20.0.9"),),
        by_hand={"NetworkSettings.Networks": {}}, repair="reconnect",
        named="networks.net: attached as billing.internal, order at 10.20.0.9 wanted, nothing found",
    ),
    Sample(
        field="network_mode", value="none", by_hand={"HostConfig.NetworkMode": "host"},
        named="network_mode: none wanted, host found",
    ),
    Sample(
        field="restart", value=Restart(name="on-failure", max_retries=3), repair="update",
        by_hand={"HostConfig.RestartPolicy": {"Name": "always", "MaximumRetryCount": 0}},
        named="restart: on-failure:3 wanted, always found",
    ),
    Sample(
        field="healthcheck", value=Healthcheck(test=("CMD", "/bin/true"), interval_s=10, timeout_s=0.5, retries=3),
        by_hand={"Config.Healthcheck.Interval": 30_000_000_000},
        named="healthcheck.interval: 10 s wanted, 30 s found",
    ),
    Sample(
        field="stop_signal", value="SIGQUIT", spelled={"Config.StopSignal": "3"},
        by_hand={"Config.StopSignal": "SIGKILL"}, named="stop_signal: SIGQUIT wanted, SIGKILL found",
    ),
    Sample(
        field="stop_grace_period_s", value=30.0, by_hand={"Config.StopTimeout": 5},
        named="stop_grace_period: 30 s wanted, 5 s found",
    ),
    Sample(field="user", value="1001:1001", by_hand={"Config.User": "0"}, named="user: 1001:1001 wanted, 0 found"),
    Sample(
        field="group_add", value=("10", "20"), spelled={"HostConfig.GroupAdd": ["20", "10"]},
        by_hand={"HostConfig.GroupAdd": ["10"]}, named="group_add: 20 wanted, nothing found",
    ),
    Sample(
        field="working_dir", value="/tmp", spelled={"Config.WorkingDir": "/tmp/"},
        by_hand={"Config.WorkingDir": "/"}, named="working_dir: /tmp wanted, / found",
    ),
    Sample(
        field="hostname", value="orders", by_hand={"Config.Hostname": "other"},
        named="hostname: orders wanted, other found",
    ),
    Sample(
        field="domainname", value="shop.internal", by_hand={"Config.Domainname": ""},
        named="domainname: shop.internal wanted, nothing found",
    ),
    Sample(
        field="read_only", value=True, by_hand={"HostConfig.ReadonlyRootfs": False},
        named="read_only: yes wanted, no found",
    ),
    Sample(
        field="privileged", value=True, by_hand={"HostConfig.Privileged": False},
        named="privileged: yes wanted, no found",
    ),
    Sample(field="init", value=True, by_hand={"HostConfig.Init": None}, named="init: yes wanted, no found"),
    Sample(field="tty", value=True, by_hand={"Config.Tty": False}, named="tty: yes wanted, no found"),
    Sample(
        field="stdin_open", value=True, by_hand={"Config.OpenStdin": False}, named="stdin_open: yes wanted, no found"
    ),
    Sample(
        field="cap_add", value=("NET_ADMIN",), spelled={"HostConfig.CapAdd": ["CAP_NET_ADMIN"]},
        by_hand={"HostConfig.CapAdd": ["CAP_NET_ADMIN", "CAP_SYS_ADMIN"]},
        named="cap_add: nothing wanted, CAP_SYS_ADMIN found",
    ),
    Sample(
        field="cap_drop", value=("ALL",), by_hand={"HostConfig.CapDrop": []},
        named="cap_drop: ALL wanted, nothing found",
    ),
    Sample(
        field="security_opt", value=("no-new-privileges:true",),
        spelled={"HostConfig.SecurityOpt": ["no-new-privileges"]}, by_hand={"HostConfig.SecurityOpt": None},
        named="security_opt: no-new-privileges=true wanted, nothing found",
    ),
    Sample(
        field="ulimits", value=(Ulimit(name="nofile", soft=1024, hard=2048),),
        spelled={
            "HostConfig.Ulimits": [
                {"Name": "nproc", "Soft": 1, "Hard": 1},
                {"Name": "nofile", "Soft": 1024, "Hard": 2048},
            ]
        },
        by_hand={"HostConfig.Ulimits": [{"Name": "nofile", "Soft": 1024, "Hard": 1024}]},
        named="ulimits.nofile: 1024:2048 wanted, 1024:1024 found",
    ),
    Sample(
        field="sysctls", value=(("net.core.somaxconn", "512"),),
        by_hand={"HostConfig.Sysctls": {"net.core.somaxconn": "128"}},
        named="sysctls.net.core.somaxconn: 512 wanted, 128 found",
    ),
    Sample(
        field="shm_size_bytes", value=128 * MIB, by_hand={"HostConfig.ShmSize": 64 * MIB},
        named="shm_size: 128 MiB wanted, 64 MiB found",
    ),
    Sample(
        field="tmpfs", value=(("/run", "size=64m,mode=755"), ("/var/tmp", "")),
        spelled={"HostConfig.Tmpfs": {"/var/tmp": "", "/run": "mode=755,size=67108864"}},
        by_hand={"HostConfig.Tmpfs": {"/run": "size=64m,mode=755"}},
        named="tmpfs./var/tmp: (empty) wanted, nothing found",
    ),
    Sample(
        field="dns", value=("10.0.0.2", "10.0.0.1"), by_hand={"HostConfig.Dns": ["10.0.0.1", "10.0.0.2"]},
        named="dns: 10.0.0.2 10.0.0.1 wanted, 10.0.0.1 10.0.0.2 found",
    ),
    Sample(
        field="dns_search", value=("shop.internal",), by_hand={"HostConfig.DnsSearch": []},
        named="dns_search: shop.internal wanted, nothing found",
    ),
    Sample(
        field="dns_opt", value=("ndots:1", "use-vc"), spelled={"HostConfig.DnsOptions": ["use-vc", "ndots:1"]},
        by_hand={"HostConfig.DnsOptions": ["use-vc"]}, named="dns_opt: ndots:1 wanted, nothing found",
    ),
    Sample(
        field="extra_hosts", value=("db:10.0.0.7",), spelled={"HostConfig.ExtraHosts": ["db=10.0.0.7"]},
        by_hand={"HostConfig.ExtraHosts": ["db:10.0.0.8"]}, named="extra_hosts: db:10.0.0.7 wanted, db:10.0.0.8 found",
    ),
    Sample(
        field="logging", value=Logging(driver="json-file", options=(("max-file", "3"), ("max-size", "50m"))),
        spelled={"HostConfig.LogConfig.Config.compress": "true"},
        by_hand={"HostConfig.LogConfig.Config.max-size": "1g"},
        named="logging.options.max-size: the declared value wanted, another one found",
    ),
    Sample(
        field="devices", value=(Device(source="/dev/zero", target="/dev/nought", permissions="mr"),),
        spelled={
            "HostConfig.Devices": [
                {"PathOnHost": "/dev/zero", "PathInContainer": "/dev/nought", "CgroupPermissions": "rm"}
            ]
        },
        by_hand={"HostConfig.Devices": []}, named="devices: /dev/zero:/dev/nought:mr wanted, nothing found",
    ),
    Sample(
        field="memory_limit_bytes", value=64 * MIB, by_hand={"HostConfig.Memory": 32 * MIB}, repair="update",
        named="memory: 64 MiB wanted, 32 MiB found",
    ),
    Sample(
        field="memory_reservation_bytes", value=16 * MIB, by_hand={"HostConfig.MemoryReservation": 0}, repair="update",
        named="memory_reservation: 16 MiB wanted, no limit found",
    ),
    Sample(
        field="nano_cpus", value=500_000_000, by_hand={"HostConfig.NanoCpus": 250_000_000}, repair="update",
        named="cpus: 0.5 CPUs wanted, 0.25 CPUs found",
    ),
    Sample(
        field="pids_limit", value=100, by_hand={"HostConfig.PidsLimit": None}, repair="update",
        named="pids_limit: 100 wanted, no limit found",
    ),
    Sample(field="pid", value="host", by_hand={"HostConfig.PidMode": ""}, named="pid: host wanted, nothing found"),
    Sample(
        field="ipc", value="private", by_hand={"HostConfig.IpcMode": "host"}, named="ipc: private wanted, host found"
    ),
    Sample(field="uts", value="host", by_hand={"HostConfig.UTSMode": ""}, named="uts: host wanted, nothing found"),
    Sample(
        field="userns_mode", value="host", by_hand={"HostConfig.UsernsMode": ""},
        named="userns_mode: host wanted, nothing found",
    ),
    Sample(
        field="cgroup", value="host", by_hand={"HostConfig.CgroupnsMode": "private"},
        named="cgroup: host wanted, private found",
    ),
    Sample(
        field="cgroup_parent", value="/jobs", by_hand={"HostConfig.CgroupParent": ""},
        named="cgroup_parent: /jobs wanted, nothing found",
    ),
    Sample(
        field="runtime", value="runc", by_hand={"HostConfig.Runtime": "crun"}, named="runtime: runc wanted, crun found",
    ),
    Sample(
        field="annotations", value=(("com.shop.tier", "1"),), dropped=True,
        spelled={"HostConfig.Annotations": {"com.shop.tier": "1", "of.the.engine": "x"}},
        by_hand={"HostConfig.Annotations": {"com.shop.tier": "2"}},
        named="annotations.com.shop.tier: the declared value wanted, another one found",
    ),
    Sample(
        field="device_cgroup_rules", value=("c 1:3 mr",), spelled={"HostConfig.DeviceCgroupRules": ["c 1:3 rm"]},
        by_hand={"HostConfig.DeviceCgroupRules": ["c 1:* rm"]},
        named="device_cgroup_rules: c 1:3 mr wanted, c 1:* mr found",
    ),
    Sample(
        field="gpus",
        value=(DeviceRequest(capabilities=("gpu", "utility")), DeviceRequest(count=0, device_ids=("b", "a"))),
        spelled={
            "HostConfig.DeviceRequests": [
                {"Driver": "", "Count": 0, "DeviceIDs": ["a", "b"], "Capabilities": [["gpu"]], "Options": {}},
                {"Driver": "", "Count": -1, "DeviceIDs": None, "Capabilities": [["utility", "gpu"]], "Options": None},
            ]
        },
        by_hand={"HostConfig.DeviceRequests": [{"Driver": "cdi", "Count": 1, "Capabilities": [["gpu"]]}]},
        named="gpus: gpu a,b, gpu+utility all wanted, gpu 1 cdi found",
    ),
    Sample(
        field="memory_swap_bytes", value=96 * MIB, beside={"memory_limit_bytes": 64 * MIB}, repair="update",
        by_hand={"HostConfig.MemorySwap": -1},
        named="memswap_limit: 96 MiB wanted, unlimited found",
    ),
    Sample(
        field="memory_swappiness", value=10, by_hand={"HostConfig.MemorySwappiness": 60}, dropped=True,
        named="mem_swappiness: 10 wanted, 60 found",
    ),
    Sample(
        field="oom_kill_disable", value=True, by_hand={"HostConfig.OomKillDisable": False}, dropped=True, repair="none",
        named="oom_kill_disable: yes wanted, no found",
    ),
    Sample(
        field="oom_score_adj", value=-500, by_hand={"HostConfig.OomScoreAdj": 0},
        named="oom_score_adj: -500 wanted, 0 found",
    ),
    Sample(
        field="cpu_shares", value=512, by_hand={"HostConfig.CpuShares": 2}, repair="update",
        named="cpu_shares: 512 wanted, 2 found",
    ),
    Sample(
        field="cpuset", value="0-1", spelled={"HostConfig.CpusetCpus": "1,0"}, by_hand={"HostConfig.CpusetCpus": "1"},
        repair="update", named="cpuset: 0-1 wanted, 1 found",
    ),
    Sample(
        field="cpu_period_us", value=50_000, by_hand={"HostConfig.CpuPeriod": 100_000}, repair="update",
        named="cpu_period: 50000 wanted, 100000 found",
    ),
    Sample(
        field="cpu_quota_us", value=25_000, by_hand={"HostConfig.CpuQuota": 50_000}, repair="update",
        named="cpu_quota: 25000 wanted, 50000 found",
    ),
    Sample(
        field="blkio_weight", value=300, by_hand={"HostConfig.BlkioWeight": 400}, repair="update", dropped=True,
        named="blkio_config.weight: 300 wanted, 400 found",
    ),
    Sample(
        field="blkio_devices", dropped=True,
        value=(
            BlkioDevice(limit="read_bps", path="/dev/vda", value=MIB),
            BlkioDevice(limit="write_iops", path="/dev/vda", value=100),
        ),
        by_hand={"HostConfig.BlkioDeviceReadBps": [{"Path": "/dev/vda", "Rate": 5}]},
        named="blkio_config.read_bps./dev/vda: 1048576 wanted, 5 found",
    ),
    Sample(
        field="restarted_at", value="2026-11-30T16:00:00Z",
        by_hand={"Config.Labels": {"io.swarmkeeper.restarted-at": "2026-11-30T15:00:00Z"}},
        named="x-restarted-at: 2026-11-30T16:00:00Z wanted, 2026-11-30T15:00:00Z found",
    ),
)  # fmt: skip
