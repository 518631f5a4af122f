"""Which copy a container is: a few labels, and nothing else, make it ours."""

from collections.abc import Mapping

from agent.fields.process import PREFIX
from agent.model.records import Copy

CLUSTER = f"{PREFIX}cluster"
PROJECT = f"{PREFIX}project"
SERVICE = f"{PREFIX}service"
NUMBER = f"{PREFIX}copy"
SPEC = f"{PREFIX}spec"
SHAPE = f"{PREFIX}shape"
"""What of the spec cannot change in place: see shape.py."""


def labels(copy: Copy, project: str, cluster: str) -> dict[str, str]:
    """The labels that make a container this copy of this cluster. The project is there for people."""
    return {
        CLUSTER: cluster,
        PROJECT: project,
        SERVICE: copy.service,
        NUMBER: str(copy.number),
        SPEC: copy.spec,
    }


def identity(found: Mapping[str, str]) -> Copy | None:
    """Which copy those labels say it is; None when they say none, or not well."""
    service, number, spec = (found.get(each, "") for each in (SERVICE, NUMBER, SPEC))
    if not service or not spec or not (number.isascii() and number.isdigit()):
        return None
    return Copy(service=service, number=int(number), spec=spec)
