"""The words for conditions that `status` and the agent's page share. What is not known is a `?`, never an old value."""

from collections.abc import Iterable, Mapping, Sequence

from agent.conditions.condition import (
    ClusterConditions,
    Condition,
    HostCondition,
    Problem,
    ReplicaCondition,
    ServiceCondition,
)
from agent.conditions.finding import Reason
from agent.conditions.reports import duration, seconds_since

UNKNOWN = "?"
_ALONE = ("cluster", "store", "document", "quorum", "leader")
"""Kinds of which a cluster has one; their conditions have no name that tells them apart."""
_TITLES = {"store": "etcd"}
_ON_HOST: Reason = "Unhealthy"
"""The reason whose command asks the dockerd of the replica's host."""
_VERDICTS: dict[Reason, str] = {
    "Ready": "accepted",
    "Paused": "accepted, mode paused",
    "ObserveMode": "accepted, mode observe",
    "Refused": "refused",
    "WaitsForConfirmation": "waits for a confirmation",
    "NoVerdict": "no verdict yet",
    "NoDocument": "none",
    "StoreUnreachable": "not known",
    "RolledBackStore": "held, because etcd was rolled back",
}


def since(at: str, now_s: float) -> str:
    """Return the time since `at`, RFC 3339, in one unit; empty if it is not known."""
    seconds = seconds_since(at, now_s)
    return "" if seconds is None else duration(seconds)


def aged(condition: Condition, now_s: float) -> str:
    """Return the reason and the age of a condition, as far as it is known: `Unreachable 6 m`; of a Ready one no age."""
    age = "" if condition.state == "Ready" else since(condition.since, now_s)
    return f"{condition.reason} {age}".rstrip()


def title(condition: Condition) -> str:
    """Return the kind of the resource, and its name if there can be several of the kind."""
    kind = _TITLES.get(condition.kind, condition.kind)
    return kind if condition.kind in _ALONE else f"{kind} {condition.name}"


def affected(consequences: Iterable[Condition], most: int) -> str:
    """Return `billing-1, order-2 (replicas), billing (service)`, of each kind the first `most` names."""
    kinds: dict[str, list[str]] = {}
    for each in consequences:
        name = "" if each.kind in _ALONE else each.name
        kinds.setdefault(_TITLES.get(each.kind, each.kind), []).append(name)
    return ", ".join(_listed(kind, names, most) for kind, names in kinds.items())


def _listed(kind: str, names: list[str], most: int) -> str:
    if not any(names):
        return kind
    rest = f" and {len(names) - most} more" if len(names) > most else ""
    return f"{', '.join(names[:most])}{rest} ({kind if len(names) == 1 else f'{kind}s'})"


def concerned_by(problem: Problem, replicas: Mapping[str, ReplicaCondition]) -> list[ReplicaCondition]:
    """Return the replicas that have the problem or follow from it; `replicas` has all by their keys."""
    every = (problem.condition, *problem.consequences)
    return [replicas[each.key] for each in every if each.key in replicas]


def output_of(concerned: Sequence[ReplicaCondition]) -> tuple[str, ...]:
    """Return the first output: the replicas of one problem, such as a paused rollout, end for the same cause."""
    return next((each.output for each in concerned if each.output), ())


def next_on(condition: Condition, concerned: Sequence[ReplicaCondition]) -> str:
    """Return `next`, with the host on which the command of a condition has to be run; without one: any machine."""
    hosts = (each.host for each in concerned if condition.reason == each.condition.reason == _ON_HOST)
    host = condition.name if condition.kind == "host" else next(hosts, "")
    return f"next, on {host}" if host else "next"


def in_progress(found: ClusterConditions) -> list[Condition]:
    """Return what is under way, but what the problems and their consequences name already."""
    listed = {each.condition.key for each in found.problems}
    listed |= {each.key for problem in found.problems for each in problem.consequences}
    services = {each.condition.name for each in found.services if each.condition.state == "Progressing"}
    candidates = (
        found.document,
        found.quorum,
        found.leader,
        *found.rollouts,
        *(each.condition for each in found.hosts),
        *found.networks,
        *(each.condition for each in found.services),
        # The line of a service is about its replicas.
        *(each.condition for each in found.replicas if each.service not in services),
    )
    return [
        each
        for each in candidates
        if each.state == "Progressing" and not each.cause and each.key not in listed
    ]


def number(count: int, service: ServiceCondition) -> str:
    """Return `2`, `1+1?` if one more is not known, or `?` if none is known."""
    if not service.unknown:
        return str(count)
    return UNKNOWN if service.unknown >= service.desired else f"{count}+{service.unknown}{UNKNOWN}"


def role(host: HostCondition) -> str:
    """Return the role in the swarm, `none→manager` if it is not the declared one."""
    drained = ", drained" if host.drained and host.condition.reason not in ("Drained", "Draining") else ""
    if host.declared is None:
        return f"{host.role or 'host'}, undeclared"
    if not (host.current and host.engine_up) or host.role == host.declared:
        return f"{host.declared}{drained}"
    return f"{host.role or 'none'}→{host.declared}{drained}"


def bridge(host: HostCondition) -> str:
    """Return the subnet of docker_gwbridge."""
    return known(host, host.subnet or "none") if host.engine_up else UNKNOWN


def known(host: HostCondition, content: object) -> str:
    """Return what a host reports; `?` if its report is not current, or it does not know."""
    return str(content) if host.current and content is not None else UNKNOWN


def document_line(found: ClusterConditions, accepted: int) -> str:
    """Return the revision of the newest document and its verdict, and the accepted revision if it is another one."""
    document = found.document
    verdict = _VERDICTS.get(document.reason, document.reason)
    revision = f"revision {document.revision}, {verdict}" if document.revision else verdict
    other = f"; revision {accepted} is accepted" if accepted not in (0, document.revision) else ""
    return f"{revision}{other}"
