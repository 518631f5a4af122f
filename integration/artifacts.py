"""What every host of a lab knows, for whoever looks into a failure."""

from pathlib import Path

from integration.lab.errors import LabError
from integration.lab.lab import Lab

EVIDENCE = {
    "journal": ("journalctl", "--no-pager", "--output", "short-precise"),
    "containers": ("docker", "ps", "--all", "--no-trunc"),
    "networks": ("docker", "network", "ls", "--no-trunc"),
    "swarm": ("docker", "node", "ls"),
    "addresses": ("ip", "address"),
    "etcd": ("etcdctl", "get", "--prefix", ""),
    "failed-units": ("systemctl", "--failed", "--no-pager"),
}


def leave_artifacts(lab: Lab, folder: Path) -> None:
    """Write what each host knows into files of `folder`; a host that cannot answer says why in its file."""
    for host in lab:
        place = folder / host.name
        place.mkdir(parents=True, exist_ok=True)
        for name, command in EVIDENCE.items():
            try:
                said = host.exec(*command, check=False, timeout=20)
                text = said.stdout + said.stderr
            except (LabError, OSError) as error:
                text = f"{error}\n"
            (place / f"{name}.txt").write_text(text)
        if host.console.exists():
            (place / "console.txt").write_bytes(host.console.read_bytes())
