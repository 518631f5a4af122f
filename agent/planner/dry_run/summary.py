"""The summary of a plan: one line for each service, host, network and image that it changes."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Literal, NamedTuple

from agent.model import leader_steps, steps
from agent.model.intent import GWBRIDGE, Intent, ServiceIntent
from agent.model.observed import ClusterState
from agent.model.phrases import counted, first_of, short_id
from agent.model.plan import Blocked, Step
from agent.model.spec import Key, why_alone
from agent.model.status import Waiting
from agent.planner.dry_run.cluster import ClusterPlan

_MOST_HOSTS = 6
_REPLACED_S = 1
"""Seconds that docker needs to stop, remove, rename and start a container; the program's own time is extra."""
_BOOKKEEPING = (
    "verdict", "history", "assignment", "specs", "rollout", "disruption", "membership-order", "host", "swarm-record",
    "tokens", "digests",
)  # fmt: skip
"""First parts of the resources whose steps change keys in etcd only."""

Kind = Literal["service", "host", "network", "volume", "image", "swarm"]


class Line(NamedTuple):
    """The effect of a plan on one resource."""

    kind: Kind
    name: str
    text: str

    @property
    def title(self) -> str:
        """Return the name, after the kind unless it is a service or host."""
        return self.name if self.kind in ("service", "host") else f"{self.kind} {self.name}".strip()

    def __str__(self) -> str:
        return f"{self.title}: {self.text}"


def is_bookkeeping(step: Step) -> bool:
    """Return True for a step on the election, on keys in etcd or on the labels of a node."""
    if isinstance(step, leader_steps.UpdateNode):
        return step.availability is None
    if step.kind == "leadership" or isinstance(step, leader_steps.PublishUnlockKey | steps.GiveUpInit):
        return True
    return step.resource.partition("/")[0] in _BOOKKEEPING


def summarize(cluster: ClusterState, plan: ClusterPlan) -> tuple[Line, ...]:
    """Return what `plan` does to `cluster`, for which it was made. Services in the document's order come first."""
    return (*_services(cluster, plan), *_hosts(cluster, plan), *_shared(plan))


# ---- Services


Taken = list[tuple[str, steps.ContainerStep]]
"""The steps of one replica, each with its host."""


class _Group(NamedTuple):
    done: str
    detail: str
    """Origin of a moved replica."""
    reason: str


def _services(cluster: ClusterState, plan: ClusterPlan) -> Iterable[Line]:
    changes, before = _changes(cluster, plan), _hosts_of(cluster)
    newest = _newest(cluster)
    declared = [each.name for each in newest.services] if newest is not None else []
    of_service: dict[str, dict[_Group, list[str]]] = {name: {} for name in declared}
    for key, taken in sorted(changes.items()):
        groups = of_service.setdefault(key[0], {})
        if group := _group(taken, before.get(key, ())):
            groups.setdefault(group, []).append(_host(taken))
    for name, groups in of_service.items():
        for group, hosts in groups.items():
            yield Line("service", name, _describe(group, hosts, name, cluster, plan))


def _changes(cluster: ClusterState, plan: ClusterPlan) -> Mapping[Key, Taken]:
    """Return the steps of each replica. Steps name containers; reports and creations tell whose they are."""
    changes: dict[Key, Taken] = defaultdict(list)
    for host in plan.hosts:
        status = cluster.statuses.get(host.name)
        owner = {each.name: each.key for each in status.replicas} if status else {}
        for step in host.steps:
            if isinstance(step, steps.CreateContainer):
                owner |= dict.fromkeys((step.name, step.becomes), step.replica.key)
            if isinstance(step, steps.ContainerStep) and (key := owner.get(step.name)):
                changes[key].append((host.name, step))
    return changes


_IN_PLACE: Mapping[type[Step], str] = {
    steps.UpdateContainer: "changed in place",
    steps.ConnectNetwork: "reconnected",
    steps.DisconnectNetwork: "reconnected",
    steps.StartContainer: "started",
    steps.UnpauseContainer: "started",
}


def _host(taken: Taken) -> str:
    """Return the host on which the replica is after its steps; for one that is only removed, the first host."""
    stays = [
        host for host, step in taken if isinstance(step, steps.CreateContainer) or type(step) in _IN_PLACE
    ]
    return (
        stays[-1] if stays else next(host for host, step in taken if isinstance(step, steps.RemoveContainer))
    )


def _group(taken: Taken, before: tuple[str, ...]) -> _Group | None:
    created = [(host, step.reason) for host, step in taken if isinstance(step, steps.CreateContainer)]
    if created:
        host, reason = created[-1]
        if host in before:
            return _Group("replaced", "", reason)
        return _Group("moved", ", ".join(before), "") if before else _Group("new", "", "")
    if any(isinstance(step, steps.RemoveContainer) for _, step in taken):
        return _Group("removed", "", "")
    changed = [(_IN_PLACE[type(step)], "", step.reason) for _, step in taken if type(step) in _IN_PLACE]
    updated = [each for each in changed if each[0] == _IN_PLACE[steps.UpdateContainer]]
    return _Group(*(updated[-1] if updated else changed[0])) if changed else None


def _newest(cluster: ClusterState) -> Intent | None:
    return cluster.document.intent if cluster.document else cluster.accepted


def _describe(group: _Group, hosts: list[str], name: str, cluster: ClusterState, plan: ClusterPlan) -> str:
    newest = _newest(cluster)
    service = newest.service(name) if newest else None
    count, on = counted(len(hosts), "replica"), _places(hosts)
    match group.done:
        case "new":
            known = cluster.accepted.service(name) if cluster.accepted else None
            return f"{count} added on {on}" if known and known.replica_count else f"new, {count} on {on}"
        case "removed":
            return f"{count} removed from {on}" if service and service.replica_count else f"removed, {count}"
        case "moved":
            return f"{count} moved from {group.detail} to {on}"
        case "replaced":
            pace = _pace(service, len(hosts), cluster, plan) if service else ""
            return f"{count} replaced{pace}; {group.reason}"
    return f"{count} {group.done} on {on}; {group.reason}"


def _pace(service: ServiceIntent, count: int, cluster: ClusterState, plan: ClusterPlan) -> str:
    """Describe how many replicas are replaced at a time, and the length of the interruption of each."""
    kind = leader_steps.PublishRollout
    rolling = {each.service for each in plan.steps if isinstance(each, kind)} | set(cluster.rollouts)
    width = service.update.parallelism
    order, several = "", count > 1
    if several and service.name in rolling:
        order = " one by one" if width == 1 else " all at once"
        order = f" {width} at a time" if 1 < width < count else order
    if service.update.order == "start-first" and not why_alone(service.spec):
        first = "each new one started before the old one stops" if several else "the new one first"
        return f"{order}, {first}"
    return f"{order}, {'each ' if several else ''}away for about {_REPLACED_S} s"


def _hosts_of(cluster: ClusterState) -> Mapping[Key, tuple[str, ...]]:
    """Return the hosts that report a container of each replica."""
    found: dict[Key, dict[str, None]] = defaultdict(dict)
    for host, status in cluster.statuses.items():
        for each in status.replicas:
            found[each.key][host] = None
    return {key: tuple(hosts) for key, hosts in found.items()}


# ---- Hosts


def _hosts(cluster: ClusterState, plan: ClusterPlan) -> Iterable[Line]:
    changes: dict[str, list[str]] = {host.name: [] for host in plan.hosts}
    for host in plan.hosts:
        status = cluster.statuses.get(host.name)
        subnet = status.bridge.subnet if status else ""
        for step in host.steps:
            about = step.host if isinstance(step, leader_steps.NodeStep) else host.name
            if text := _on_host(step, subnet):
                changes.setdefault(about, []).append(text)
    for name, texts in changes.items():
        if texts:
            yield Line("host", name, "; ".join(dict.fromkeys(texts)))


_ON_HOST: Mapping[type[Step], str] = {
    steps.InitSwarm: "creates the swarm",
    steps.LeaveSwarm: "leaves the swarm",
    steps.AbandonNode: "leaves by force the swarm that has removed it",
    steps.DissolveSwarm: "leaves the empty swarm that it created",
    steps.UnlockHost: "unlocked",
    leader_steps.PromoteNode: "promoted to manager",
    leader_steps.DemoteNode: "demoted to worker",
    leader_steps.RemoveNode: "removed from the swarm",
}


def _on_host(step: Step, subnet: str) -> str:
    match step:
        case steps.CreateBridge() | steps.SwapBridge():
            wanted = str(step.bridge.subnet)
            if not subnet:
                return f"{GWBRIDGE} created with {wanted}"
            same = subnet == wanted
            return f"{GWBRIDGE} replaced: {step.reason}" if same else f"{GWBRIDGE} {subnet} -> {wanted}"
        case steps.JoinSwarm():
            return f"joins the swarm as {step.role}"
        case leader_steps.UpdateNode():
            return f"availability set to {step.availability}" if step.availability else ""
    return _ON_HOST.get(type(step), "")


# ---- Networks, volumes, images and the swarm


def _shared(plan: ClusterPlan) -> Iterable[Line]:
    done: dict[tuple[Kind, str], dict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
    for host in plan.hosts:
        for step in host.steps:
            if change := _on_shared(step):
                kind, name, verb = change
                done[kind, name][verb] += [] if step.lane == "leader" else [host.name]
    for (kind, name), verbs in done.items():
        texts = (f"{verb} on {_places(hosts)}" if hosts else verb for verb, hosts in verbs.items())
        yield Line(kind, name, "recreated" if {"created", "removed"} <= verbs.keys() else "; ".join(texts))


def _on_shared(step: Step) -> tuple[Kind, str, str] | None:
    """Return (kind, name, past participle) of a change of a resource that several replicas or hosts share."""
    match step:
        case steps.CreateNetwork():
            return "network", step.network.name, "created"
        case leader_steps.RemoveOverlay():
            return "network", step.network, "removed"
        case steps.RemoveLeftover():
            return "network", step.network, f"the earlier {short_id(step.id)} removed"
        case steps.CreateVolume():
            return "volume", step.volume.name, "created"
        case steps.PullImage():
            return "image", step.image, "pulled"
        case leader_steps.TurnAutolockOn() | leader_steps.TurnAutolockOff():
            return "swarm", "", f"autolock {'on' if isinstance(step, leader_steps.TurnAutolockOn) else 'off'}"
    return None


# ---- What is blocked, and what waits for what


class Grouped(NamedTuple):
    """Resources that are blocked, or wait, for one reason."""

    resources: tuple[str, ...]
    hosts: tuple[str, ...]
    """Empty: the reason concerns every host."""
    reason: str
    on: str = ""
    """Condition key of the resource that a waiting one waits for."""


def blocked_groups(plan: ClusterPlan) -> tuple[Grouped, ...]:
    """Return the blocked resources, those with an equal reason together."""
    found = [(each, host.name) for host in plan.hosts for each in host.blocked]
    return _grouped([*((each, "") for each in plan.everywhere), *found])


def waiting_groups(plan: ClusterPlan) -> tuple[Grouped, ...]:
    """Return what still waits after the last step, then, without reasons, what waits for another resource before."""
    left = {(each.resource, each.on) for each in plan.waiting}
    passing = [
        (replace(each, reason=""), host.name)
        for host in plan.hosts
        for each in host.waits
        if (each.resource, each.on) not in left
        # Every plan begins with a wait for document or leader, and the pace of a rollout is no news.
        and each.on not in ("document/", "leader/")
        and not each.resource.startswith("rollout/")
    ]
    found = [(each, host.name) for host in plan.hosts for each in host.waiting]
    return _grouped([*((each, "") for each in plan.waiting_everywhere), *found, *passing])


def _grouped(found: Iterable[tuple[Blocked | Waiting, str]]) -> tuple[Grouped, ...]:
    groups: dict[tuple[str, str], tuple[dict[str, None], dict[str, None]]] = {}
    for each, host in found:
        on = each.on if isinstance(each, Waiting) else ""
        resources, hosts = groups.setdefault((each.reason, on), ({}, {}))
        resources[each.resource] = None
        if host:
            hosts[host] = None
    return tuple(
        Grouped(resources=tuple(resources), hosts=tuple(hosts), reason=reason, on=on)
        for (reason, on), (resources, hosts) in groups.items()
    )


def _places(hosts: Iterable[str]) -> str:
    return ", ".join(first_of([*dict.fromkeys(hosts)], _MOST_HOSTS, "{} more"))
