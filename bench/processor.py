"""How much processor time a lab has used: what a loaded machine distorts less than the time on the wall."""

from pathlib import Path

from integration.lab.lab import Lab


def used_s(lab: Lab) -> float:
    """Processor seconds of everything that ran in the lab's hosts so far, not of what works on them from outside."""
    for hierarchy in lab.groups.hierarchies:
        group = lab.groups.path(hierarchy)
        if "cpuacct" in hierarchy.options.split(","):
            return int((group / "cpuacct.usage").read_text()) / 1e9
    return _usage_usec(group / "cpu.stat") / 1e6


def _usage_usec(file: Path) -> int:
    """Of a cgroup v2 group: there without the cpu controller too (Documentation/admin-guide/cgroup-v2.rst)."""
    fields = dict(line.split() for line in file.read_text().splitlines())
    return int(fields["usage_usec"])
