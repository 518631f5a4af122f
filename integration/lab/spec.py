"""What a host is made of, as data handed from the lab to the program that becomes the host."""

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path


@dataclass(frozen=True, slots=True, kw_only=True)
class HostSpec:
    """One host. `disk` is its directory on the machine; `image_size` makes it a disk image (`2G`) instead of a folder.

    `base` names the distribution its root is laid over.
    `files` are laid over the distribution's own at first boot, `units` are enabled then, as (unit, wanted by).
    """

    lab: str
    name: str
    address: str
    disk: str
    base: str = "machine"
    image_size: str = ""
    files: dict[str, str] = field(default_factory=dict)
    units: tuple[tuple[str, str], ...] = ()

    @property
    def root(self) -> Path:
        return Path(self.disk)

    @property
    def group(self) -> str:
        return self.name

    def save(self) -> Path:
        """Write the spec beside the host's disk and return where."""
        self.root.mkdir(parents=True, exist_ok=True)
        target = self.root / "spec.json"
        target.write_text(json.dumps(asdict(self), indent=1))
        return target

    @staticmethod
    def load(source: Path) -> "HostSpec":
        values = json.loads(source.read_text())
        return HostSpec(**values | {"units": tuple(map(tuple, values["units"]))})
