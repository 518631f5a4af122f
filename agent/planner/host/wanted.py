"""An assigned replica with its spec and context, the owners of container names, and containers that keep theirs."""

from collections.abc import Collection
from dataclasses import dataclass

from agent.diff.container import FillContext, fill
from agent.diff.replicas import STOPPABLE, container_name
from agent.model import records, steps
from agent.model.host_state import ContainerState, HostState
from agent.model.phrases import short_id
from agent.model.plan import Plan, Step, blocked_plan
from agent.model.spec import ContainerSpec

# ---- Stopping a managed container: its status must allow it, and it gets a grace period


DEFAULT_GRACE_S = 10.0
"""Docker's default grace period in seconds, if neither the service nor the image has one."""


def grace_s(spec: ContainerSpec | None) -> float:
    """Seconds from stop to kill according to `spec`; None: the spec is not known."""
    if spec is None or spec.stop_grace_period_s is None:
        return DEFAULT_GRACE_S
    return spec.stop_grace_period_s


def stop(name: str, found: ContainerState, within_s: float, reason: str) -> tuple[Step, ...]:
    """Plan to stop the container if its status allows that; `name` is the resource of the step."""
    if found.status not in STOPPABLE:
        return ()
    return (steps.StopContainer(name=name, id=found.id, grace_s=within_s, reason=reason),)


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """A replica assigned to this host; `spec` still has its placeholders."""

    replica: records.Replica
    project: str
    spec: ContainerSpec
    context: FillContext
    called: str = ""
    """Name of its container while another container has the replica's name; empty: the replica's name."""

    @property
    def name(self) -> str:
        return self.called or container_name(self.project, self.replica)

    @property
    def resource(self) -> str:
        return f"container/{self.name}"

    @property
    def filled(self) -> ContainerSpec:
        """The spec with the placeholders of this replica filled in. Raises Invalid if one has no value yet."""
        return fill(self.spec, self.context)

    @property
    def grace_s(self) -> float:
        return grace_s(self.spec)


# ---- Names: docker gives each to one container only, and operators rename and swap containers by hand


class Names:
    """The owners of container names on a host; `kept` are the ids of the containers of assigned replicas."""

    def __init__(
        self, host: HostState, kept: Collection[str], project: str, assigned: Collection[records.Replica]
    ) -> None:
        self._foreign = frozenset(name for name, _ in host.foreign_names)
        replicas = {replica.key for replica in assigned}
        # A surplus container is removed before one of its name is created: both are steps of one resource. A second
        # container of an assigned replica may have to stay for a while.
        self._ours = {
            each.name: each
            for each in host.containers
            if each.id in kept or each.status == "removing" or each.replica.key in replicas
        }
        self._assigned = frozenset(container_name(project, replica) for replica in assigned)

    def plan(self, wanted: Wanted, found: ContainerState | None) -> Plan | None:
        """Plan for `wanted` while another container has its name; None: the name is free.

        A container with the name of another replica is renamed to a temporary name: this resolves cycles of names.
        """
        holder = self._ours.get(wanted.name)
        mine = holder is not None and holder.replica.key == wanted.replica.key
        removing = holder is not None and holder.status == "removing"
        if wanted.name in self._foreign:
            owner = "an unmanaged container"
        elif holder is None or holder is found or (mine and not removing):
            return None  # another container of this replica is removed before its name is used
        else:
            going = ", which is being removed," if removing else ""
            owner = f"replica {holder.replica.slot} of {holder.replica.service}{going}"
        if mine and removing:
            return Plan()  # the end of that causes an event
        if found and found.name in self._assigned:
            aside = f"{wanted.name}-{short_id(found.id)}"
            reason = f"it has the name of another replica, and {owner} has its name"
            return Plan((steps.RenameContainer(name=aside, id=found.id, reason=reason),))
        remedy = "; remove or rename it" if wanted.name in self._foreign else ""
        return blocked_plan(wanted.resource, "name", f"{owner} has the name {wanted.name}{remedy}")


# ---- Containers that docker cannot remove: their replicas go on under another name, and get their own name back later

_REMEDY = "run `systemctl restart docker` on this host, then `docker rm -f` if it is still there"


def name_instead(name: str, host: HostState) -> str:
    """Return the name for the container of a replica while a stuck one has its `name`; empty: its name is free."""
    holder = next((each for each in host.stuck if each.name == name), None)
    return f"{name}-{short_id(holder.id)}" if holder else ""


def plan_stuck(host: HostState) -> Plan:
    """Report the stuck containers, and plan to remove those with which docker is not busy."""
    plan = Plan()
    for found in host.stuck:
        state = "dead" if found.status == "dead" else "being removed"
        reason = f"docker cannot remove {short_id(found.id)}, which is {state}: only its name is in the way"
        plan += blocked_plan(f"container/{found.name}", "error", f"{reason}; {_REMEDY}")
        if found.status == "dead":
            plan += Plan(
                (steps.RemoveContainer(name=found.name, id=found.id, reason="docker reports it as dead"),)
            )
    return plan


# ---- Containers that docker reports as ended while their processes run: no other one may run on their data


def leave_alive(plan: Plan, host: HostState, project: str) -> Plan:
    """Remove all steps of such a container and of its replica from the plan, and report it with the remedy."""
    for found in (each for each in host.containers if each.left_task == "alive"):
        reason = (
            f"docker reports it as {found.status}, but containerd has kept its task, and processes of it may run: "
            f"run `pkill --full 'containerd-shim.* -id {found.id}'` and `docker start {found.name}` on this host"
        )
        names = {f"container/{each}" for each in (found.name, container_name(project, found.replica))}
        plan = plan.without(frozenset(names)) + blocked_plan(f"container/{found.name}", "error", reason)
    return plan
