"""Why a copy did not come up, in one word for the metric, out of Docker's own."""

import re
import threading
from collections.abc import Mapping

import structlog

from agent.diff.replicas import container_name, is_about_an_address
from agent.model.faults import Fault
from agent.model.observed import ClusterState
from agent.model.plan import Step
from agent.model.steps import CreateContainer, PullImage, StartContainer

_WORDS = (
    ("port", ("port is already allocated", "address already in use", "external connectivity")),
    ("oom", ("out of memory", "oom", "cannot allocate memory")),
    ("network", ("network", "endpoint", "address already in use by", "swarm")),
    ("exit", ("oci runtime", "shim task", "exec:", "no such file", "executable file")),
)


def services_by_resource(cluster: ClusterState) -> dict[str, tuple[str, ...]]:
    """Resource of a step -> names of the services that wait for it: of containers and of images."""
    assignment = cluster.assignment
    found: dict[str, set[str]] = {}
    for copy in assignment.copies if assignment else ():
        name = container_name(assignment.project, copy) if assignment else ""
        found.setdefault(f"container/{name}", set()).add(copy.service)
        if spec := cluster.specs.get(copy.spec):
            found.setdefault(f"image/{spec.image}", set()).add(copy.service)
    return {resource: tuple(sorted(services)) for resource, services in found.items()}


def failure_reason(step: Step, error: str) -> str | None:
    """pull, port, network, exit, oom or other; None for a step without which a copy comes up as well."""
    if isinstance(step, PullImage):
        return "pull"
    if not isinstance(step, CreateContainer | StartContainer):
        return None
    text = error.lower()
    if is_about_an_address(error):
        return "network"
    return next((reason for reason, words in _WORDS if any(word in text for word in words)), "other")


# ---- How far long pulls are: the last word on each, told to the log and to the status once in a while


log = structlog.get_logger()

TELL_S = 10.0
"""A status that is written, and a line in the log, are no progress bar."""


class Pulls:
    """Of pulls under way. Every method may be called from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._told: dict[str, tuple[str, float]] = {}
        """By resource: what was told last, and when. Empty: nothing yet, it began then."""

    def hear(self, resource: str, progress: str, now: float) -> bool:
        """Take in how far it is; whether it was told, because it is long enough since it began, or was told last."""
        with self._lock:
            before, at = self._told.setdefault(resource, ("", now))
            if now - at < TELL_S or progress == before:
                return False
            self._told[resource] = (progress, now)
        log.info(f"pulling {resource.partition('/')[2]}", progress=progress)
        return True

    def forget(self, resource: str) -> None:
        """It has ended, one way or the other."""
        with self._lock:
            self._told.pop(resource, None)

    def progress(self) -> Mapping[str, str]:
        """What was told last of each that goes on."""
        with self._lock:
            return {resource: told for resource, (told, _) in self._told.items() if told}


# ---- What kind of fault a document was refused for, in one word for the metric


_SIZE = re.compile(r"the document has \d+ bytes")
_SCHEMA = re.compile(
    r"unknown key|wants |.*(is missing|has no value|is empty|is an empty list|is not |is neither |is too )"
)


def rejection_reason(faults: tuple[Fault, ...]) -> str:
    """Return size, yaml, schema or semantic: by the first fault, as the parser words it.

    yaml: it cannot be read at all; schema: a key or a value by itself; semantic: what does not go together.
    """
    if not faults or _SIZE.match(faults[0].problem):
        return "size" if faults else "semantic"
    if _SCHEMA.match(faults[0].problem) and faults[0].path:
        return "schema"
    return "semantic" if faults[0].path else "yaml"
