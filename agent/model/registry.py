"""Who has an image."""

HUB = "docker.io"


def registry_of(reference: str) -> str:
    """Who has the image: host, and port if one is said. A first part without a dot or a port is no host to Docker."""
    first, slash, _ = reference.partition("/")
    if not slash or not ("." in first or ":" in first or first == "localhost"):
        return HUB
    return HUB if first == "index.docker.io" else first
