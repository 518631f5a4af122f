"""How much processor time a lab has used: what a loaded machine distorts less than the time on the wall."""

from pathlib import Path

from integration.lab.lab import Lab

UNITS = ("swarmkeeper", "etcd", "docker", "containerd")
_UNKNOWN = 2**64 - 1  # systemd's "[not set]" in earlier versions


def used_s(lab: Lab) -> float:
    """Processor seconds of everything that ran in the lab's hosts so far, not of what works on them from outside."""
    for hierarchy in lab.groups.hierarchies:
        group = lab.groups.path(hierarchy)
        if "cpuacct" in hierarchy.options.split(","):
            return int((group / "cpuacct.usage").read_text()) / 1e9
    return _usage_usec(group / "cpu.stat") / 1e6


def used_by_unit(lab: Lab) -> dict[str, float]:
    """Processor seconds that each of UNITS has used since it started, on all hosts; 0.0 for one that does not run."""
    used = dict.fromkeys(UNITS, 0.0)
    for host in lab.hosts:
        found = host.systemctl("show", "--property=Id,CPUUsageNSec", *(f"{unit}.service" for unit in UNITS))
        for block in found.split("\n\n"):
            fields = dict(line.split("=", 1) for line in block.splitlines())
            taken = fields["CPUUsageNSec"]
            known = taken.isdecimal() and int(taken) != _UNKNOWN
            used[fields["Id"].removesuffix(".service")] += int(taken) / 1e9 if known else 0.0
    return used


def _usage_usec(file: Path) -> int:
    """Of a cgroup v2 group: there without the cpu controller too (Documentation/admin-guide/cgroup-v2.rst)."""
    fields = dict(line.split() for line in file.read_text().splitlines())
    return int(fields["usage_usec"])
