"""How much processor time a lab has used: what a loaded machine distorts less than the time on the wall."""

import os
from pathlib import Path

from integration.lab.lab import Lab

UNITS = ("swarmkeeper", "etcd", "docker", "containerd")


def used_s(lab: Lab) -> float:
    """Processor seconds of everything that ran in the lab's hosts so far, not of what works on them from outside."""
    for hierarchy in lab.groups.hierarchies:
        group = lab.groups.path(hierarchy)
        if "cpuacct" in hierarchy.options.split(","):
            return int((group / "cpuacct.usage").read_text()) / 1e9
    return _usage_usec(group / "cpu.stat") / 1e6


def used_by_unit(lab: Lab) -> dict[str, float]:
    """Processor seconds of each unit's main process and its children that have ended, on all hosts.

    systemd counts a unit's processor time only where the kernel has accounting by group.
    """
    used = dict.fromkeys(UNITS, 0.0)
    for host in lab.hosts:
        for unit in UNITS:
            pid = host.systemctl("show", "--property=MainPID", "--value", f"{unit}.service")
            if pid not in ("", "0"):
                used[unit] += _processor_s(host.exec("cat", f"/proc/{pid}/stat").stdout)
    return used


def _processor_s(stat: str) -> float:
    """Of the fields of proc(5): user and system time of the process and of its ended children."""
    return sum(map(int, stat.rpartition(")")[2].split()[11:15])) / os.sysconf("SC_CLK_TCK")


def _usage_usec(file: Path) -> int:
    """Of a cgroup v2 group: there without the cpu controller too (Documentation/admin-guide/cgroup-v2.rst)."""
    fields = dict(line.split() for line in file.read_text().splitlines())
    return int(fields["usage_usec"])
