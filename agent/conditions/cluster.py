"""The conditions of a whole cluster."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Literal

from agent.conditions import document, hosts, problems, replicas, services, swarm
from agent.conditions.condition import (
    ClusterConditions,
    Condition,
    Problem,
    ReplicaCondition,
    ServiceCondition,
    is_fault,
)
from agent.conditions.headline import headline
from agent.conditions.reports import Reports
from agent.model.intent import Intent
from agent.model.observed import ClusterState
from agent.model.spec import Key

_UNSEALED = "join tokens are not sealed: anyone who can read etcd can join the swarm; set tokens.key_file"


def conditions_of(cluster: ClusterState, *, now_s: float, store_error: str = "") -> ClusterConditions:
    """Return every condition of the cluster. `now_s` is the reader's clock, in seconds since the epoch.

    `store_error` is the alarm or the last error of etcd ("NOSPACE", "etcd does not answer"); empty: it answers.
    """
    reports = Reports(cluster, now_s, store_error)
    found = _judge(reports)
    chains = problems.without_absent_causes(_every(found))
    found = _with_critical(_with_conditions(found, chains), chains)
    listed = problems.problems_of(tuple(_every(found)))
    converged = _is_converged(found, listed)
    return replace(
        found,
        problems=listed,
        converged=converged,
        code=_code(found, listed, reports, converged=converged),
        cluster=_cluster(found, listed, reports, converged=converged),
    )


# ---- Every single condition


def _judge(reports: Reports) -> ClusterConditions:
    cluster, intent = reports.cluster, reports.intent
    declared = intent.hosts if intent else ()
    of_hosts = {each.name: hosts.host_condition(each, reports) for each in declared}
    quorum = swarm.quorum_condition(intent, reports, of_hosts)
    rows = _replicas(intent, reports, of_hosts) if intent else ()
    of_rollouts, of_services = _services(intent, rows, reports) if intent else ((), ())
    by_name = {each.condition.name: each for each in of_services}
    rows = tuple(services.with_service_as_cause(each, by_name[each.service]) for each in rows)
    others = sorted({*cluster.statuses, *cluster.present, *cluster.assignments} - of_hosts.keys())
    of_hosts |= {name: hosts.undeclared_condition(name, reports) for name in others}
    return ClusterConditions(
        cluster=Condition(kind="cluster", name="", state="Unknown", reason="NotReported"),
        converged=False,
        store=document.store_condition(reports),
        document=document.document_condition(reports),
        leader=swarm.leader_condition(reports, of_hosts),
        quorum=replace(quorum, critical=quorum.reason == "QuorumLost"),
        hosts=tuple(
            hosts.host_row(name, each, reports, _counts(name, rows)) for name, each in of_hosts.items()
        ),
        networks=tuple(
            swarm.network_condition(each, reports, is_fault(quorum.state))
            for each in (intent.networks if intent else ())
        ),
        images=swarm.image_conditions(reports),
        keys=document.key_conditions(reports),
        services=of_services,
        rollouts=of_rollouts,
        replicas=rows,
        removed=_removed(intent, reports),
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


def _replicas(
    intent: Intent, reports: Reports, of_hosts: dict[str, Condition]
) -> tuple[ReplicaCondition, ...]:
    no_host = {
        each.resource.partition("/")[2]: each.reason
        for each in reports.leader_blocked()
        if each.kind == "placement" and each.resource.startswith("placement/")
    }
    known = replicas.Known(
        hosts=of_hosts,
        rollouts=services.rollouts_of(intent, reports),
        no_host=no_host,
        shown_on=_shown_on(reports),
    )
    return tuple(
        replicas.replica_condition(each, reports, known) for each in replicas.places(intent, reports)
    )


def _shown_on(reports: Reports) -> dict[Key, tuple[str, ...]]:
    found: dict[Key, tuple[str, ...]] = {}
    for host in sorted(reports.cluster.present):
        status = reports.current(host)
        for each in status.replicas if status and status.engine_up else ():
            found[each.key] = (*found.get(each.key, ()), host)
    return found


def _services(
    intent: Intent, rows: Sequence[ReplicaCondition], reports: Reports
) -> tuple[tuple[Condition, ...], tuple[ServiceCondition, ...]]:
    rollouts = services.rollouts_of(intent, reports)
    of_rollouts, of_services = [], []
    for service in intent.services:
        mine = [each for each in rows if each.service == service.name]
        rollout = None
        if record := rollouts.get(service.name):
            rollout = services.rollout_condition(service, record, mine, reports)
            of_rollouts.append(rollout)
        of_services.append(services.service_condition(service, mine, rollout, intent, reports))
    return tuple(of_rollouts), tuple(of_services)


def _counts(host: str, rows: Sequence[ReplicaCondition]) -> tuple[int, int, int]:
    mine = [each for each in rows if each.host == host]
    return len(mine), sum(each.running for each in mine), sum(each.ready for each in mine)


def _removed(intent: Intent | None, reports: Reports) -> tuple[str, ...]:
    names = {each.name for each in intent.services} if intent else set()
    found = set()
    for host in reports.cluster.present:
        status = reports.current(host)
        found |= {each.service for each in status.replicas} if status else set()
    return tuple(sorted(found - names))


# ---- All conditions as one list, and back


def _every(found: ClusterConditions) -> Iterator[Condition]:
    yield from (found.store, found.document, found.quorum, found.leader, *found.keys)
    yield from (each.condition for each in found.hosts)
    yield from (*found.networks, *found.images, *found.rollouts)
    yield from (each.condition for each in found.services)
    yield from (each.condition for each in found.replicas)


def _with_conditions(found: ClusterConditions, conditions: Sequence[Condition]) -> ClusterConditions:
    """Return `found` with these conditions, which are in the order of `_every`."""
    left = iter(conditions)
    store, newest, quorum, leader = (next(left) for _ in range(4))
    return replace(
        found,
        store=store,
        document=newest,
        quorum=quorum,
        leader=leader,
        keys=tuple(next(left) for _ in found.keys),
        hosts=tuple(replace(each, condition=next(left)) for each in found.hosts),
        networks=tuple(next(left) for _ in found.networks),
        images=tuple(next(left) for _ in found.images),
        rollouts=tuple(next(left) for _ in found.rollouts),
        services=tuple(replace(each, condition=next(left)) for each in found.services),
        replicas=tuple(replace(each, condition=next(left)) for each in found.replicas),
    )


def _with_critical(found: ClusterConditions, conditions: Sequence[Condition]) -> ClusterConditions:
    """Mark the services that have no ready replica because of a fault elsewhere, even if they only wait."""
    by_key = {each.key: each for each in conditions}

    def marked(row: ServiceCondition) -> ServiceCondition:
        waits_in_vain = problems.root_of(row.condition, by_key) != row.condition.key
        if row.condition.state != "Progressing" or not waits_in_vain or row.ready or not row.desired:
            return row
        return replace(row, condition=replace(row.condition, critical=True))

    return replace(found, services=tuple(map(marked, found.services)))


# ---- The cluster


def _is_converged(found: ClusterConditions, listed: Sequence[Problem]) -> bool:
    """Return True if every resource of the document is Ready; docs/conditions.md has the list."""
    declared = [each for each in found.hosts if each.declared]
    left = [each for each in found.hosts if not each.declared and each.condition.state != "Ready"]
    ready = not left and all(
        each.state == "Ready"
        for each in (
            found.store,
            found.document,
            found.quorum,
            found.leader,
            *(each.condition for each in declared),
            *found.networks,
            *(each.condition for each in found.services),
            *(each.condition for each in found.replicas),
        )
    )
    return bool(declared) and ready and not listed and not found.rollouts and not found.removed


def _code(
    found: ClusterConditions, listed: Sequence[Problem], reports: Reports, *, converged: bool
) -> Literal[0, 1, 2, 3]:
    declared = [each for each in found.hosts if each.declared]
    if converged:
        return 0
    if reports.store_error or (declared and not any(each.current for each in declared)):
        return 3
    unusable = is_fault(found.document.state) and not reports.accepted_revision
    return 2 if unusable or _is_critical(found, listed) else 1


def _is_critical(found: ClusterConditions, listed: Sequence[Problem]) -> bool:
    services = (each.condition for each in found.services)
    return any(each.critical for each in (*services, *(each.condition for each in listed)))


def _cluster(
    found: ClusterConditions, listed: Sequence[Problem], reports: Reports, *, converged: bool
) -> Condition:
    text = headline(found, listed, reports, converged=converged)
    if converged:
        return Condition(kind="cluster", name="", state="Ready", reason="Ready", text=text)
    first = listed[0].condition if listed else None
    return Condition(
        kind="cluster",
        name="",
        state=first.state if first else "Progressing",
        reason=first.reason if first else "Rollout" if found.rollouts else "Steps",
        text=text,
        command=first.command if first else "",
        since=first.since if first else "",
        cause=first.key if first else "",
        revision=reports.accepted_revision,
        critical=_is_critical(found, listed),
    )
