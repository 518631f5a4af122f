"""Why a copy did not come up, in one word for the metric, out of Docker's own."""

from agent.diff.replicas import container_name, is_about_an_address
from agent.model.observed import ClusterState
from agent.model.steps import CreateContainer, PullImage, StartContainer, Step

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
