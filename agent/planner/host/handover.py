"""`order: start-first`: a copy's new container runs beside the old one, which goes when the new one has proved well.

So a new container that does not come out well has cost nothing: the old one was never touched.
"""

from collections.abc import Iterable
from dataclasses import replace

from agent.model.intent import ServiceIntent, Update
from agent.model.observed import ContainerState, HostState
from agent.model.spec import spec_hash, why_alone
from agent.planner.host.wanted import Wanted

LOOK_S = 1.0
"""How often to look at a container that has to be well for a time: that time passes is told by no event."""


def starts_first(service: ServiceIntent | None, wanted: Wanted, old: ContainerState) -> bool:
    """Whether a new container of the copy is started while `old` goes on with its work."""
    if service is None or old.status != "running" or wanted.copy.addresses or why_alone(wanted.spec):
        return False
    return _update(service, wanted).order == "start-first"


def on_trial(
    service: ServiceIntent | None,
    wanted: Wanted,
    found: ContainerState,
    others: Iterable[ContainerState],
    *,
    stale: bool = False,
) -> str:
    """What `found` lacks yet to take the place of the container that still runs there; empty: nothing, or none does."""
    old = next((each for each in others if each.name == wanted.name), None)
    if old is None or found.name == wanted.name or service is None or not starts_first(service, wanted, old):
        return ""
    monitor_s = _update(service, wanted).monitor_s
    if found.status != "running" or found.busy:
        return "the new container does not run yet"
    if found.health not in ("", "healthy"):
        return f"the new container is {'unhealthy' if found.health == 'unhealthy' else 'not healthy yet'}"
    if found.up_s < monitor_s:
        return f"the new container has to be well for {monitor_s:g} s"
    return "the old container goes when etcd answers: it may be needed again" if stale else ""


def tries(host: HostState) -> bool:
    """Whether any copy of the host has two containers that run."""
    running = [(each.copy.service, each.copy.number) for each in host.containers if each.status == "running"]
    return len(running) != len(set(running))


def _update(service: ServiceIntent, wanted: Wanted) -> Update:
    """How the copy comes to its spec: as on the way back, when that is not what the intent says."""
    # Its bytes may have been looked up by the leader: then they are beside the tag.
    bytes_said = wanted.spec.image.startswith(f"{service.spec.image}@")
    asked = replace(service.spec, image=wanted.spec.image) if bytes_said else service.spec
    if service.rollback is None or wanted.copy.spec == spec_hash(asked):
        return service.update
    return service.rollback
