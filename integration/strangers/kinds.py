"""Kinds of strangers: what others create on a host under a name of the document, and what status has to say of it."""

from dataclasses import dataclass
from typing import Literal

from integration.lab.registry import ADDRESS

Place = Literal["overlay", "bridge", "volume", "name", "image"]
"""What of the document has the name: a network of either driver, a volume, a container's name, the tag of an image."""

LABEL = "io.swarmkeeper."
OURS, THEIRS = "prod", "theirs"
OTHER = f"{ADDRESS}/somecom/console:1.0.0"
"""The image of a stranger; what it runs answers on a port that nobody publishes."""


def labelled(cluster: str) -> str:
    return f"--label={LABEL}cluster={cluster}"


OF_A_REPLICA = (
    labelled(THEIRS),
    *(f"--label={LABEL}{key}={value}" for key, value in (("project", "prod"), ("service", "order"))),
    *(f"--label={LABEL}{key}={value}" for key, value in (("slot", "1"), ("spec", "0" * 64))),
)
"""All labels of a replica of another cluster."""
FOLDERS = "/srv/theirs"
"""Where a volume with options has its content."""
RUN = ("run", "--detach", "--name=NAME")


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """One kind of a stranger. In its texts NAME, ID (short) and SUBNET (the declared one) are filled in."""

    what: str
    place: Place
    create: tuple[str, ...]
    """Arguments of `docker` on its host."""
    told: tuple[str, ...] = ()
    """What one reason of its host has; empty: status has nothing to say of it."""
    holds: bool = True
    """True if what needs its place waits on its host. What is only there under the name is used as docker does."""
    late: bool = False
    """True if it comes when the replicas run."""
    everywhere: bool = False
    """True for a network of the whole swarm: the leader names it, and every host is concerned."""
    guest: bool = False
    """True for a network that has a container of others, too."""
    digest: bool = False
    """True for a tag that the document has with its digest."""


RM = "docker network rm ID"
_OF_THEIRS = ("ID of cluster theirs", "remove it")
_NOT_OURS = ("network ID", "no agent made it", "remove it")
KINDS = (
    Kind(
        what="a bridge",
        place="overlay",
        create=("network", "create", "NAME"),
        told=("bridge network", RM),
        guest=True,
    ),
    Kind(
        what="a macvlan",
        place="overlay",
        create=("network", "create", "--driver=macvlan", "--opt=parent=eth0", "NAME"),
        told=("macvlan network", RM),
    ),
    Kind(
        what="a bridge of another cluster",
        place="overlay",
        create=("network", "create", labelled(THEIRS), "NAME"),
        told=("ID of cluster theirs", RM),
        guest=True,
    ),
    Kind(
        what="an overlay of another cluster",
        place="overlay",
        create=("network", "create", "--driver=overlay", "--attachable", labelled(THEIRS), "NAME"),
        told=_OF_THEIRS,
        everywhere=True,
        guest=True,
    ),
    Kind(
        what="a bridge that comes later, on a worker",
        place="overlay",
        create=("network", "create", "NAME"),
        told=("bridge network", RM),
        holds=False,
        late=True,
    ),
    Kind(
        what="a bridge with another subnet",
        place="bridge",
        create=("network", "create", "NAME"),
        told=_NOT_OURS,
        guest=True,
    ),
    Kind(
        what="a bridge as declared",
        place="bridge",
        create=("network", "create", "--subnet=SUBNET", "NAME"),
        told=_NOT_OURS,
    ),
    Kind(
        what="a bridge as declared, of another cluster",
        place="bridge",
        create=("network", "create", "--subnet=SUBNET", labelled(THEIRS), "NAME"),
        told=_OF_THEIRS,
        guest=True,
    ),
    Kind(what="a volume", place="volume", create=("volume", "create", "NAME"), holds=False),
    Kind(
        what="a volume with other options",
        place="volume",
        create=(
            "volume",
            "create",
            "--opt=type=none",
            f"--opt=device={FOLDERS}/NAME",
            "--opt=o=bind",
            "NAME",
        ),
        told=("driver_opts.device", "declare one under another `name`"),
        holds=False,
    ),
    Kind(
        what="a volume of another cluster",
        place="volume",
        create=("volume", "create", labelled(THEIRS), "NAME"),
        told=("is of cluster theirs", "remove it"),
    ),
    Kind(
        what="a container",
        place="name",
        create=(*RUN, OTHER),
        told=("an unmanaged container has the name", "remove or rename it"),
    ),
    Kind(
        what="a container of another cluster",
        place="name",
        create=(*RUN, *OF_A_REPLICA, OTHER),
        told=("an unmanaged container has the name", "remove or rename it"),
    ),
    Kind(
        what="a container with our label, of no replica",
        place="name",
        create=(*RUN, labelled(OURS), OTHER),
        told=("an unmanaged container has the name", "remove or rename it"),
    ),
    Kind(
        what="a container that takes the name of a removed replica",
        place="name",
        create=(*RUN, OTHER),
        told=("an unmanaged container has the name", "remove or rename it"),
        late=True,
    ),
    Kind(
        what="a container of a copy of a replica",
        place="name",
        create=(*RUN, "COPY"),
        holds=False,
        late=True,
    ),
    Kind(
        what="another image under a tag with a digest",
        place="image",
        create=("tag", OTHER, "NAME"),
        holds=False,
        digest=True,
    ),
    Kind(what="another image under the tag", place="image", create=("tag", OTHER, "NAME"), holds=False),
    Kind(
        what="another image that gets the tag later",
        place="image",
        create=("tag", OTHER, "NAME"),
        holds=False,
        late=True,
    ),
)
