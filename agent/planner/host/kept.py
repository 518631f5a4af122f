"""The old container of a replica is kept until dockerd has started the new one.

The new container is created under another name while the old one runs. Then the old one is stopped and gets another
name, and the new one gets the replica's name and is started. The old one is removed last. If dockerd refuses the start,
the new one gives the name back, and the old one is started again.

Each pass plans from the names and states of the two, and from docker's error of the failed start, which docker keeps
over restarts. So it does not matter between which steps an agent ends.
"""

from collections.abc import Iterable
from dataclasses import replace

from agent.diff.replicas import STOPPABLE, finished, is_about_a_network, is_about_an_address
from agent.model import steps
from agent.model.host_state import ContainerState
from agent.model.phrases import short_id
from agent.model.plan import Plan, Step
from agent.model.spec import ContainerSpec
from agent.planner.host.wanted import Wanted, stop

AGAIN_S = 300.0
"""Seconds for which the old container runs before a start that failed for a network is tried again. Another refusal is
not repeated: each attempt stops the old container."""
_KEPT = ("running", "paused", "restarting", "exited")
"""Docker's statuses of a container that has been started."""


def aside(wanted: Wanted) -> str:
    """Return the name of the new container while the old one has the replica's name."""
    return f"{wanted.name}-{short_id(wanted.replica.spec)}"


def old_of(found: ContainerState, others: Iterable[ContainerState], name: str) -> ContainerState | None:
    """Return the container that `found`, not started yet, replaces; None: there is none, or `found` has run."""
    if found.status != "created":
        return None
    return min(
        (each for each in others if each.status in _KEPT),
        key=lambda each: (each.status == "exited", each.name != name, each.id),
        default=None,
    )


def refused_among(wanted: Wanted, others: Iterable[ContainerState]) -> ContainerState | None:
    """Return the new container of the wanted spec that dockerd has refused to start; None: there is none."""
    mine = (each for each in others if each.replica.spec == wanted.replica.spec)
    return next(filter(is_refused, mine), None)


def is_refused(found: ContainerState) -> bool:
    """Return True if dockerd refused to start the container, for a cause that another start would meet again."""
    return found.status == "created" and bool(found.error) and not _is_temporary(found.error)


def goes_back(
    found: ContainerState, old: ContainerState, wanted: Wanted, old_spec: ContainerSpec | None
) -> bool:
    """Return True if the old container is to run instead of `found`, whose start failed.

    A network that both join would be missing for the old one too, so that only the new one is started again. So it is
    beside an old one that is not started again in any case: another attempt stops nothing.
    """
    if (
        not found.error
        or found.status != "created"
        or not (old.status in STOPPABLE or runs_again(old, old_spec))
    ):
        return False
    if not _is_temporary(found.error):
        return True
    if old_spec is not None and old_spec.networks == wanted.spec.networks:
        return False
    if old.status in ("exited", "dead"):
        return not old.error  # once the old one cannot start either, the new one is tried
    return old.up_s < AGAIN_S


def _is_temporary(error: str) -> bool:
    return is_about_a_network(error) or is_about_an_address(error)


def runs_again(old: ContainerState, spec: ContainerSpec | None) -> bool:
    """Return True if the old container may be started again: a job that has completed must not."""
    return spec is None or not finished(spec, old)


def put_aside(wanted: Wanted, old: ContainerState, reason: str) -> tuple[Step, ...]:
    """Plan to stop the old container, and to give it a name of its own."""
    stopped = stop(wanted.name, old, wanted.grace_s, reason)
    if old.name != wanted.name:
        return stopped
    kept = f"{wanted.name}-{short_id(old.id)}"
    rename = steps.RenameContainer(
        name=wanted.name, id=old.id, under=kept, reason="kept until the new one has started"
    )
    return (*stopped, rename)


def replacement(made: Plan, wanted: Wanted, old: ContainerState, reason: str) -> Plan:
    """Extend `made`, which creates the new container: put the old one aside, start the new one, remove the old one."""
    new = aside(wanted)
    start = (
        steps.RenameContainer(name=wanted.name, id=new, reason=reason),
        steps.StartContainer(name=wanted.name, reason=reason),
    )
    if old.status not in _KEPT:
        remove = steps.RemoveContainer(name=wanted.name, id=old.id, reason=reason)
        return under_own_name(made, wanted) + Plan((remove, *start))
    return under_own_name(made, wanted) + around(Plan(start), wanted, old, reason)


def under_own_name(made: Plan, wanted: Wanted) -> Plan:
    """Change `made`, which creates the new container, to use a name other than the old container's."""
    renamed = (
        replace(each, under=aside(wanted)) if isinstance(each, steps.CreateContainer) else each
        for each in made.steps
    )
    return made._replace(steps=tuple(renamed))


def stopped_first(made: Plan, wanted: Wanted, old: ContainerState, reason: str) -> Plan:
    """Extend `made`, which creates the new container: the old one stops, as another replica waits for what it has."""
    return under_own_name(made, wanted) + Plan(put_aside(wanted, old, reason))


def around(start: Plan, wanted: Wanted, old: ContainerState, reason: str = "") -> Plan:
    """Extend `start`, which starts the new container: the old one is put aside before and removed after it."""
    reason = reason or f"another container is {wanted.replica.service} replica {wanted.replica.slot} now"
    remove = steps.RemoveContainer(name=wanted.name, id=old.id, reason="the new one has started")
    return start._replace(steps=(*put_aside(wanted, old, reason), *start.steps, remove))


def give_name_back(wanted: Wanted, found: ContainerState) -> tuple[Step, ...]:
    """Plan to give `found`, which dockerd did not start, a name other than the replica's."""
    if found.name != wanted.name:
        return ()
    reason = (
        f"docker did not start it: {found.error}" if found.error else "the old one runs until it can start"
    )
    return (steps.RenameContainer(name=wanted.name, id=found.id, under=aside(wanted), reason=reason),)


def why_refused(wanted: Wanted, found: ContainerState) -> str:
    """Return what the operator sees while the old container runs instead of `found`."""
    if _is_temporary(found.error):
        return (
            f"docker cannot start its new container: {found.error}; the old one runs until the next attempt"
        )
    name = found.name if found.name != wanted.name else aside(wanted)
    return (
        f"docker refuses to start its new container: {found.error}; the old one is kept. Change the document, or "
        f"remove the cause and run `docker rm {name}` on this host to have it tried again"
    )
