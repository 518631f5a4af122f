"""The conditions of a whole cluster, and its problems: those with their own cause, each with what follows from it."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Literal, get_args

from agent.conditions import hosts, replicas, services, shared
from agent.conditions.condition import (
    ClusterConditions,
    Condition,
    Kind,
    Problem,
    ReplicaCondition,
    ServiceCondition,
)
from agent.conditions.finding import Progressing, Ready
from agent.conditions.headline import headline
from agent.conditions.reports import Reports
from agent.model.intent import Intent
from agent.model.observed import ClusterState

_UNSEALED = "join tokens are not sealed: anyone who can read etcd can join the swarm; set tokens.key_file"
_FIRST = get_args(Kind)
"""Order of the kinds among problems of the same severity."""
_RANK = {"Blocked": 0, "Degraded": 1, "Unknown": 2}


def conditions_of(cluster: ClusterState, *, now_s: float, store_error: str = "") -> ClusterConditions:
    """Return every condition of the cluster. `now_s` is the reader's clock, in seconds since the epoch.

    `store_error` is the alarm or the last error of etcd ("NOSPACE", "etcd does not answer"); empty: it answers.
    """
    reports = Reports(cluster, now_s, store_error)
    found = _with_critical(_without_absent_causes(_judge(reports)))
    found = replace(found, problems=_problems_of(tuple(found.every())))
    found = replace(found, converged=_is_converged(found))
    return replace(found, code=_code(found, reports), cluster=_cluster(found, reports))


# ---- Every single condition


def _judge(reports: Reports) -> ClusterConditions:
    cluster, intent = reports.cluster, reports.intent
    declared, networks = (intent.hosts, intent.networks) if intent else ((), ())
    of_hosts = {each.name: hosts.host_condition(each.name, reports) for each in declared}
    quorum = Condition.of("quorum", "", shared.quorum_finding(reports, of_hosts))
    rows = _replicas(reports, of_hosts)
    of_rollouts, of_services = _services(intent, rows, reports) if intent else ((), ())
    by_name = {each.condition.name: each for each in of_services}
    rows = tuple(services.with_service_as_cause(each, by_name[each.service]) for each in rows)
    shown = {each.service for _, status in reports.reporting for each in status.replicas}
    others = sorted({*cluster.statuses, *cluster.present, *cluster.assignments} - of_hosts.keys())
    of_hosts |= {name: hosts.host_condition(name, reports) for name in others}
    return ClusterConditions(
        cluster=Condition(kind="cluster", name="", state="Unknown", reason="NotReported"),
        converged=False,
        store=Condition.of("store", "", shared.store_finding(reports)),
        document=shared.document_condition(reports),
        leader=Condition.of("leader", cluster.leader or "", shared.leader_finding(reports, of_hosts)),
        quorum=replace(quorum, critical=quorum.reason == "QuorumLost"),
        hosts=tuple(
            hosts.host_row(name, each, reports, [row for row in rows if row.host == name])
            for name, each in of_hosts.items()
        ),
        networks=tuple(shared.network_condition(each, reports, quorum.is_fault) for each in networks),
        images=shared.image_conditions(reports),
        keys=shared.key_conditions(reports),
        services=of_services,
        rollouts=of_rollouts,
        replicas=rows,
        removed=tuple(sorted(shown - by_name.keys())),
        notes=(
            *(cluster.verdict.warnings if cluster.verdict else ()),
            *(f"{name} is not declared, and its agent runs" for name in others if name in cluster.present),
            *((_UNSEALED,) if cluster.tokens and not cluster.tokens.sealed else ()),
            *(_emptied(intent) if intent else ()),
        ),
    )


def _emptied(intent: Intent) -> Iterator[str]:
    """Yield a note for each drained host that the document names for replicas: no other host may run them."""
    for host in (each for each in intent.hosts if each.availability == "drain"):
        fixed = {
            each.name: dict(each.placement).get(host.name, 0)
            for each in intent.services
            if not each.everywhere
        }
        if texts := [f"{name} ({count})" for name, count in fixed.items() if count]:
            yield f"{host.name} is drained, so its replicas run nowhere: {', '.join(texts)}"


def _replicas(reports: Reports, of_hosts: dict[str, Condition]) -> tuple[ReplicaCondition, ...]:
    no_host = {
        each.resource.partition("/")[2]: each.reason
        for each in reports.leader_blocked()
        if each.kind == "placement" and each.resource.startswith("placement/")
    }
    known = replicas.Known(hosts=of_hosts, no_host=no_host, shown=replicas.shown_in(reports.reporting))
    return tuple(replicas.replica_condition(each, reports, known) for each in replicas.places(reports))


def _services(
    intent: Intent, rows: Sequence[ReplicaCondition], reports: Reports
) -> tuple[tuple[Condition, ...], tuple[ServiceCondition, ...]]:
    of_rollouts, of_services = [], []
    for service in intent.services:
        mine = [each for each in rows if each.service == service.name]
        rollout = None
        if record := reports.rollouts.get(service.name):
            rollout = services.rollout_condition(service, record, mine, reports)
            of_rollouts.append(rollout)
        of_services.append(services.service_condition(service, mine, rollout, reports))
    return tuple(of_rollouts), tuple(of_services)


# ---- Causes, and the problems that have none


def _without_absent_causes(found: ClusterConditions) -> ClusterConditions:
    """Return the conditions without causes that are Ready or not among them."""
    states = {each.key: each.state for each in found.every()}

    def held(each: Condition) -> Condition:
        absent = each.cause and states.get(each.cause, "Ready") == "Ready"
        return replace(each, cause="") if absent else each

    return replace(
        found,
        store=held(found.store),
        document=held(found.document),
        quorum=held(found.quorum),
        leader=held(found.leader),
        keys=tuple(map(held, found.keys)),
        hosts=tuple(replace(each, condition=held(each.condition)) for each in found.hosts),
        networks=tuple(map(held, found.networks)),
        images=tuple(map(held, found.images)),
        rollouts=tuple(map(held, found.rollouts)),
        services=tuple(replace(each, condition=held(each.condition)) for each in found.services),
        replicas=tuple(replace(each, condition=held(each.condition)) for each in found.replicas),
    )


def _with_critical(found: ClusterConditions) -> ClusterConditions:
    """Mark the services that have no ready replica because of a fault elsewhere, even if they only wait."""
    by_key = {each.key: each for each in found.every()}

    def marked(row: ServiceCondition) -> ServiceCondition:
        waits_in_vain = _root_of(row.condition, by_key) != row.condition.key
        if row.condition.state != "Progressing" or not waits_in_vain or row.ready or not row.desired:
            return row
        return replace(row, condition=replace(row.condition, critical=True))

    return replace(found, services=tuple(map(marked, found.services)))


def _problems_of(conditions: Sequence[Condition]) -> tuple[Problem, ...]:
    """Return the problems, most severe first. A problem is critical if one of its consequences is."""
    by_key = {each.key: each for each in conditions}
    roots = {each.key: _root_of(each, by_key) for each in conditions if each.state != "Ready"}
    followers: dict[str, list[Condition]] = {}
    for each in conditions:
        root = roots.get(each.key)
        if root and root != each.key:
            followers.setdefault(root, []).append(each)
    found = []
    for each in conditions:
        if each.is_fault and roots[each.key] == each.key:
            after = tuple(followers.get(each.key, ()))
            critical = each.critical or any(one.critical for one in after)
            found.append(Problem(condition=replace(each, critical=critical), consequences=after))
    return tuple(sorted(found, key=_order))


def _root_of(condition: Condition, by_key: Mapping[str, Condition]) -> str:
    """Return the key of the first fault in the chain of causes; the condition's own if no cause of it is faulty.

    Progress explains no fault, so a cause that only progresses ends the chain. So does a cause that is there already.
    """
    root, seen, current = condition.key, {condition.key}, condition
    while current.cause and current.cause not in seen and (cause := by_key.get(current.cause)):
        seen.add(cause.key)
        if cause.is_fault:
            root = cause.key
        current = cause
    return root


def _order(problem: Problem) -> tuple[bool, int, int]:
    condition = problem.condition
    return not condition.critical, _FIRST.index(condition.kind), _RANK[condition.state]


# ---- The cluster


def _is_converged(found: ClusterConditions) -> bool:
    """Return True if every resource of the document is Ready; docs/conditions.md has the list."""
    return bool(found.declared) and not found.removed and all(each.state == "Ready" for each in found.every())


def _code(found: ClusterConditions, reports: Reports) -> Literal[0, 1, 2, 3]:
    if found.converged:
        return 0
    if reports.store_error or found.none_reports:
        return 3
    unusable = found.document.is_fault and not reports.accepted_revision
    return 2 if unusable or _is_critical(found) else 1


def _is_critical(found: ClusterConditions) -> bool:
    services = (each.condition for each in found.services)
    return any(each.critical for each in (*services, *(each.condition for each in found.problems)))


def _cluster(found: ClusterConditions, reports: Reports) -> Condition:
    text = headline(found, reports)
    if found.converged:
        return Condition.of("cluster", "", Ready("Ready", text))
    if found.problems:
        first = found.problems[0].condition
        of_all = replace(first, kind="cluster", name="", cause=first.key, attempts=0)
    else:
        of_all = Condition.of("cluster", "", Progressing("Rollout" if found.rollouts else "Steps"))
    return replace(of_all, text=text, revision=reports.accepted_revision, critical=_is_critical(found))
