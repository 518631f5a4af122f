"""Image references: the one short form that all spellings of the same reference have."""

_HUB = ("docker.io/library/", "index.docker.io/library/", "docker.io/", "index.docker.io/", "library/")


def familiar(reference: str) -> str:
    """Docker's short form with its tag said: `docker.io/library/busybox` -> `busybox:latest`. A digest needs no tag."""
    name = next((reference.removeprefix(each) for each in _HUB if reference.startswith(each)), reference)
    if "@" in name or name.startswith("sha256:") or ":" in name.rpartition("/")[2]:
        return name
    return f"{name}:latest"


def split(reference: str) -> tuple[str, str]:
    """(repository, tag or digest), as the engine's pull takes them; `latest` where none is said."""
    if "@" in reference:
        name, _, digest = reference.partition("@")
        return name, digest
    name, _, tag = reference.rpartition(":")
    return (name, tag) if name and "/" not in tag else (reference, "latest")
