"""Conditions made by hand, for the tests of what `status` makes of them."""

from dataclasses import replace

from agent.conditions import (
    ClusterConditions,
    Condition,
    HostCondition,
    Problem,
    ReplicaCondition,
    ServiceCondition,
)
from agent.conditions.condition import Kind
from agent.conditions.finding import Reason, State

AT = "2024-05-01T12:00:00Z"
NOW_S = 1714565160.0
"""12:06:00 of the same day."""


def condition(
    kind: Kind,
    name: str = "",
    state: State = "Ready",
    reason: Reason = "Ready",
    text: str = "",
    command: str = "",
    since: str = "",
) -> Condition:
    return Condition(
        kind=kind, name=name, state=state, reason=reason, text=text, command=command, since=since
    )


def service(name: str, found: Condition | None = None, **numbers: int) -> ServiceCondition:
    counted = {"desired": 2, "running": 2, "ready": 2, "updated": 2, "unknown": 0, **numbers}
    return ServiceCondition(condition=found or condition("service", name), **counted)  # type: ignore[arg-type]


def host(name: str, found: Condition | None = None, **more: object) -> HostCondition:
    known = HostCondition(
        condition=found or condition("host", name),
        declared="manager",
        role="manager",
        current=True,
        reported_at=AT,
        engine_up=True,
        subnet="172.21.0.0/20",
        desired=2,
        running=2,
        ready=2,
        revision=7,
    )
    return replace(known, **more)  # type: ignore[arg-type]


GOOD = ClusterConditions(
    cluster=condition("cluster", text="converged: 3 hosts, 2 services, 4 replicas"),
    converged=True,
    store=condition("store"),
    document=Condition(kind="document", name="", state="Ready", reason="Ready", revision=7),
    leader=condition("leader", "h1"),
    quorum=condition("quorum"),
    hosts=(host("h1"), host("h2"), host("h3", declared="worker", role="worker")),
    services=(service("order"), service("web")),
    code=0,
)

CRASH = Problem(
    condition=condition(
        "rollout",
        "order",
        "Blocked",
        "RolloutPaused",
        "order-2 exited with code 3; apply the former document or a mended one",
        "swarmkeeper plan",
        AT,
    ),
    consequences=(
        condition("replica", "order-2", "Degraded", "CrashLoop"),
        condition("service", "order", "Degraded", "ReplicasMissing"),
    ),
)
GONE = Problem(
    condition=condition(
        "host", "h2", "Unknown", "Unreachable", "its lease ended; look at the machine", "", AT
    ),
    consequences=(
        condition("replica", "web-1", "Unknown", "NotReported"),
        condition("replica", "web-2", "Unknown", "NotReported"),
        condition("service", "web", "Unknown", "NotReported"),
    ),
)
BAD = replace(
    GOOD,
    cluster=condition(
        "cluster",
        "",
        "Blocked",
        "RolloutPaused",
        "h2 unreachable for 6 m: web down; rollout of order paused",
    ),
    converged=False,
    hosts=(
        host(
            "h1", condition("host", "h1", "Degraded", "EngineDown"), engine_up=False, running=None, ready=None
        ),
        host(
            "h2",
            condition("host", "h2", "Unknown", "Unreachable", since=AT),
            current=False,
            running=None,
            ready=None,
            drained=True,
        ),
        host(
            "h3",
            condition("host", "h3", "Degraded", "NotInSwarm"),
            declared="manager",
            role="",
            running=1,
            ready=1,
        ),
        host("h4", condition("host", "h4", "Ready", "Drained"), drained=True, desired=0, running=0, ready=0),
        host("h5", condition("host", "h5", "Blocked", "Foreign"), declared=None, role="", desired=0),
    ),
    services=(
        service("order", condition("service", "order", "Degraded", "ReplicasMissing"), ready=1, updated=1),
        service(
            "web",
            condition("service", "web", "Unknown", "NotReported"),
            running=0,
            ready=0,
            updated=0,
            unknown=2,
        ),
        service(
            "db",
            condition("service", "db", "Unknown", "NotReported"),
            running=1,
            ready=1,
            updated=1,
            unknown=1,
        ),
        service(
            "new",
            replace(condition("service", "new", "Progressing", "Starting"), cause="rollout/new"),
            running=1,
            ready=0,
        ),
    ),
    rollouts=(
        CRASH.condition,
        condition("rollout", "new", "Progressing", "Rollout", "1 of 2 replicas updated", "", AT),
    ),
    replicas=(
        ReplicaCondition(
            condition=CRASH.consequences[0],
            service="order",
            slot=2,
            host="h1",
            output=("boom", "cannot reach \x1b[2J the database"),
        ),
    ),
    problems=(GONE, CRASH),
    notes=("join tokens are not sealed",),
    code=2,
)
"""Two faults with their consequences, a rollout under way, hosts of all kinds."""


def many(services: int, hosts: int) -> ClusterConditions:
    """Return a cluster of that size in which the last service and the last host have a problem."""
    last = condition("service", f"s{services - 1}", "Degraded", "ReplicasMissing")
    away = condition("host", f"h{hosts - 1}", "Unknown", "Unreachable", since=AT)
    return replace(
        GOOD,
        services=(
            *(service(f"s{number}") for number in range(services - 1)),
            service(last.name, last, ready=1),
        ),
        hosts=(*(host(f"h{number}") for number in range(hosts - 1)), host(away.name, away, current=False)),
        problems=tuple(
            Problem(
                condition=condition("replica", f"s0-{number}", "Degraded", "Exited", "exited with code 1")
            )
            for number in range(30)
        ),
        notes=tuple(f"note number {number}" for number in range(9)),
    )


def long_names() -> ClusterConditions:
    """Return the bad cluster with names and texts as long as they may be."""
    name = f"a{'very-' * 11}long"
    hosts = tuple(replace(each, condition=replace(each.condition, name=name)) for each in BAD.hosts)
    services = tuple(replace(each, condition=replace(each.condition, name=name)) for each in BAD.services)
    told = replace(
        CRASH.condition, name=name, text="x" * 300 + " and words " * 40, command=f"swarmkeeper {'y' * 90}"
    )
    affected = tuple(condition("replica", f"{name}-{number}") for number in range(40))
    return replace(
        BAD, hosts=hosts, services=services, problems=(Problem(condition=told, consequences=affected),)
    )
