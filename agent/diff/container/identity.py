"""Which copy a container is: a few labels, and nothing else, make it ours."""

import re
from collections.abc import Iterable, Mapping

from agent.diff.container.process import PREFIX
from agent.model.records import Copy

CLUSTER = f"{PREFIX}cluster"
PROJECT = f"{PREFIX}project"
SERVICE = f"{PREFIX}service"
NUMBER = f"{PREFIX}copy"
SPEC = f"{PREFIX}spec"
SHAPE = f"{PREFIX}shape"
"""What of the spec cannot change in place: see shape.py."""
_ASIDE = r"(-[0-9a-f]{12})?"
"""Behind the name of a copy while another container has that."""


def labels(copy: Copy, project: str, cluster: str) -> dict[str, str]:
    """The labels that make a container this copy of this cluster. The project is there for people."""
    return {
        CLUSTER: cluster,
        PROJECT: project,
        SERVICE: copy.service,
        NUMBER: str(copy.number),
        SPEC: copy.spec,
    }


def is_called_so(found: Mapping[str, str], names: Iterable[str]) -> bool:
    """Whether a container with those labels has the name of the copy that they say, or one that an agent gave it."""
    own = re.escape(f"{found.get(PROJECT)}-{found.get(SERVICE)}-{found.get(NUMBER)}")
    return any(re.fullmatch(f"{own}{_ASIDE}", each) for each in names)


def are_copied(found: Mapping[str, str], image: Mapping[str, str]) -> bool:
    """Whether the labels of a container are those of its `image`: `docker commit` puts those of a copy there."""
    return all(found.get(each) == image.get(each) for each in (CLUSTER, SERVICE, NUMBER, SPEC))


def identity(found: Mapping[str, str]) -> Copy | None:
    """Which copy those labels say it is; None when they say none, or not well."""
    service, number, spec = (found.get(each, "") for each in (SERVICE, NUMBER, SPEC))
    if not service or not spec or not (number.isascii() and number.isdigit()):
        return None
    return Copy(service=service, number=int(number), spec=spec)
