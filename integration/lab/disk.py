"""A host's disk: a folder of the machine, or a file system of its own in an image file.

Only the image can lose power: unsynced writes sit in the page cache of the file system *inside* the image, so a
copy of the image file taken at an instant is what a disk holds when the plug is pulled.
"""

import subprocess
from contextlib import suppress
from pathlib import Path

from integration.lab.eventually import eventually
from integration.lab.spec import HostSpec

NO_UPPER_LAYER = ("overlay", "nfs", "v9fs", "fuse", "msdos")  # file systems an overlay cannot write to


def image(spec: HostSpec) -> Path:
    return spec.root / "disk.img"


def attach(spec: HostSpec) -> Path:
    """Make the disk ready in the caller's mount namespace and return where; it goes with that namespace."""
    place = spec.root / "disk"
    place.mkdir(parents=True, exist_ok=True)
    if spec.image_size:
        _format(spec)
        subprocess.run(["mount", "-o", "loop", str(image(spec)), str(place)], check=True)
    return place


def _format(spec: HostSpec) -> None:
    if image(spec).exists():
        return
    fresh = image(spec).with_suffix(".new")  # renamed when complete: a half-made file system is never mounted
    fresh.unlink(missing_ok=True)
    subprocess.run(["truncate", "-s", spec.image_size, str(fresh)], check=True)
    # Nothing kept back for root: what is full is full for dockerd too.
    options = ["-q", "-F", "-m", "0", "-E", "lazy_itable_init=1,lazy_journal_init=1"]
    subprocess.run(["mkfs.ext4", *options, str(fresh)], check=True)
    fresh.rename(image(spec))


def snapshot(spec: HostSpec) -> Path:
    """Copy the image as the disk holds it now, without what only the file system's cache knows.

    If the disk was written while it was copied (the file system's journal has a clock of its own), the image shows no
    single instant. It is then copied again.
    """
    target = image(spec).with_suffix(".snapshot")

    def copied_an_instant() -> bool:
        before = _written(spec)
        subprocess.run(["cp", "--sparse=always", str(image(spec)), str(target)], check=True)
        return _written(spec) == before

    eventually(copied_an_instant, 30, f"an instant without a write to {spec.name}'s disk")
    return target


def restore(spec: HostSpec, taken: Path) -> None:
    taken.replace(image(spec))


def needs_image(folder: Path) -> bool:
    """Whether the file system below `folder` cannot carry an overlay's upper layer."""
    existing = next(p for p in (folder, *folder.parents) if p.exists())
    # Not findmnt: in a chroot the folder need not lie below any mount point that is listed.
    found = subprocess.run(
        ["stat", "--file-system", "--format=%T", str(existing)], capture_output=True, text=True, check=True
    )
    return found.stdout.strip().startswith(NO_UPPER_LAYER)


def wait_detached(spec: HostSpec) -> None:
    """Return when no loop device holds the host's image any more: unmounting ends after the last process."""
    if spec.image_size:
        eventually(lambda: not loops(image(spec)), 10, f"the disk of {spec.name} is unmounted")


def loops(below: Path) -> list[str]:
    """The loop devices whose file is, or lies below, this path."""
    found = []
    for file in Path("/sys/block").glob("loop*/loop/backing_file"):
        with suppress(OSError):  # detached this moment
            if file.read_text().startswith(str(below)):
                found.append(file.parts[3])
    return found


def _written(spec: HostSpec) -> list[str]:
    """How much each loop device of the image was written, as /sys/block/*/stat counts it."""
    stats = [Path(f"/sys/block/{loop}/stat").read_text().split() for loop in loops(image(spec))]
    return [" ".join(fields[4:7]) for fields in stats]
