"""Named states of one cluster, as an operator meets them, and what has to be said of each.

Three managers, node-231 (the leader) to node-233, run `web` (one replica on each host, with a health check), `order`
(four replicas, placed by the scheduler) and `billing` (one replica, on node-232 only).
"""

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from ipaddress import IPv4Address
from typing import Any, NamedTuple

from agent.model.host_state import Difference, NodeState
from agent.model.intent import HostIntent, Intent, PolicyIntent, ServiceIntent
from agent.model.keys import Keys
from agent.model.observed import ClusterState, Document
from agent.model.records import (
    Assignment,
    Disruption,
    MembershipOrder,
    Replica,
    Rollout,
    SwarmRecord,
    Tokens,
    Verdict,
)
from agent.model.spec import Attachment, ContainerSpec, Healthcheck, Restart, spec_hash
from agent.model.status import (
    BlockedReport,
    BridgeReport,
    HostStatus,
    ReplicaReport,
    StepReport,
    Waiting,
)
from tests.support.builders import BRIDGE, intent

NOW = "2026-11-29T12:10:00Z"
NOW_S = datetime.fromisoformat(NOW).timestamp()
REPORTED = "2026-11-29T12:08:30Z"
SIX_MINUTES_AGO = "2026-11-29T12:04:00Z"
REVISION = 7
SWARM = "swarm-1"
HOSTS = ("node-231", "node-232", "node-233")
A, B, C = HOSTS
KEYS = Keys("prod")


# ---- The document


def spec(name: str, tag: str = "1.0.0", **more: Any) -> ContainerSpec:
    return ContainerSpec(image=f"registry.local/{name}:{tag}", networks=(Attachment(network="net"),), **more)


WEB = ServiceIntent(
    name="web",
    spec=spec("web", healthcheck=Healthcheck(test=("CMD", "true"))),
    placement=tuple((each, 1) for each in HOSTS),
)
ORDER = ServiceIntent(name="order", spec=spec("order"), replicas=4)
BILLING = ServiceIntent(name="billing", spec=spec("billing"), placement=((B, 1),))
JOB = ServiceIntent(name="job", spec=spec("job", restart=Restart(name="no")), placement=((A, 1),))
NEXT_ORDER = replace(ORDER, spec=spec("order", "1.0.1"))
ON: Mapping[str, tuple[str, ...]] = {"web": HOSTS, "order": (A, B, C, A), "billing": (B,), "job": (A,)}
"""Service -> the host of each slot."""


def declared(name: str, **more: Any) -> HostIntent:
    return HostIntent(name=name, address=IPv4Address(f"10.0.0.{name[-3:]}"), **{"role": "manager", **more})


def wanted(*services: ServiceIntent, **more: Any) -> Intent:
    return intent(*(services or (WEB, ORDER, BILLING)), **{"hosts": "", "revision": REVISION, **more})


def document(*services: ServiceIntent, **more: Any) -> Intent:
    """The accepted document; hosts by keyword."""
    return replace(wanted(*services), **{"hosts": tuple(map(declared, HOSTS)), **more})


# ---- The reports


def replica(service: ServiceIntent, slot: int, **more: Any) -> ReplicaReport:
    """A replica that has run for longer than its monitor window, healthy if it has a check."""
    name = f"prod-{service.name}-{slot}"
    return ReplicaReport(
        **{
            "service": service.name,
            "slot": slot,
            "spec": spec_hash(service.spec),
            "id": f"id-{name}",
            "name": name,
            "status": "running",
            "health": "healthy" if service.spec.healthcheck else "",
            "started_at": "2026-11-29T10:00:00Z",
            "steady": True,
            **more,
        }
    )


def node(name: str, **more: Any) -> NodeState:
    return NodeState(
        **{
            "id": f"id-{name}",
            "hostname": name,
            "role": "manager",
            "availability": "active",
            "state": "ready",
            "address": f"10.0.0.{name[-3:]}",
            "reachable": True,
            **more,
        }
    )


NODES = tuple(map(node, HOSTS))


def bridge(**more: Any) -> BridgeReport:
    return BridgeReport(
        **{
            "subnet": str(BRIDGE.subnet),
            "device": True,
            "up": True,
            "phase": "right",
            "revision": REVISION,
            **more,
        }
    )


def report(name: str, *replicas: ReplicaReport, **more: Any) -> HostStatus:
    """The report of a manager that has carried out the accepted revision."""
    return HostStatus(
        **{
            "instance": f"run-{name}",
            "at": REPORTED,
            "agent_version": "0.1.0",
            "engine_up": True,
            "state": "active",
            "node_id": f"id-{name}",
            "swarm_id": SWARM,
            "is_manager": True,
            "swarm_address": f"10.0.0.{name[-3:]}",
            "addresses": ((f"10.0.0.{name[-3:]}/24", "eth0"),),
            "nodes": NODES,
            "leading": name == A,
            "revision": REVISION,
            "bridge": bridge(),
            "replicas": replicas,
            **more,
        }
    )


# ---- etcd


def cluster(accepted: Intent | None = None, **more: Any) -> ClusterState:
    """The healthy cluster: every replica of `accepted` runs where it is assigned."""
    accepted = accepted or document()
    specs = {spec_hash(each.spec): each.spec for each in accepted.services}
    slots = [
        (host, each, slot)
        for each in accepted.services
        for slot, host in enumerate(ON[each.name], start=1)
        if slot <= each.replica_count
    ]
    assignments = {
        name: Assignment(
            revision=accepted.revision,
            project="prod",
            replicas=tuple(
                Replica(service=each.name, slot=slot, spec=spec_hash(each.spec))
                for host, each, slot in slots
                if host == name
            ),
        )
        for name in HOSTS
    }
    statuses = {
        name: report(name, *(replica(each, slot) for host, each, slot in slots if host == name))
        for name in HOSTS
    }
    return ClusterState(
        **{
            "revision": 100,
            "document": Document(revision=accepted.revision, intent=accepted, text="text"),
            "accepted": accepted,
            "verdict": Verdict(
                revision=accepted.revision, accepted=True, accepted_revision=accepted.revision
            ),
            "leader": A,
            "record": SwarmRecord(claimed_by=A, swarm_id=SWARM, networks=("net",)),
            "tokens": Tokens(swarm_id=SWARM, worker="", manager="", sealed="sealed"),
            "specs": specs,
            "stored_specs": frozenset(specs),
            "assignments": assignments,
            "statuses": statuses,
            "present": {name: f"run-{name}" for name in HOSTS},
            **more,
        }
    )


def on(etcd: ClusterState, host: str, /, **more: Any) -> ClusterState:
    """Return the state with another report of one host."""
    return replace(etcd, statuses={**etcd.statuses, host: replace(etcd.statuses[host], **more)})


def on_all(etcd: ClusterState, /, **more: Any) -> ClusterState:
    for host in HOSTS:
        etcd = on(etcd, host, **more)
    return etcd


def absent(state: ClusterState, *hosts: str, since: str = SIX_MINUTES_AGO) -> ClusterState:
    """Return the state without the presence of these hosts; the leader knows since when."""
    state = replace(state, present={name: run for name, run in state.present.items() if name not in hosts})
    return on(state, A, unreachable=tuple((name, since) for name in hosts))


def listed(etcd: ClusterState, host: str, /, **more: Any) -> ClusterState:
    """Return the state in which every manager lists one node otherwise."""
    nodes = tuple(replace(each, **more) if each.hostname == host else each for each in NODES)
    return on_all(etcd, nodes=nodes)


def with_replica(state: ClusterState, host: str, service: str, slot: int, **more: Any) -> ClusterState:
    """Return the state in which one replica is reported otherwise."""
    replicas = tuple(
        replace(each, **more) if each.key == (service, slot) else each
        for each in state.statuses[host].replicas
    )
    return on(state, host, replicas=replicas)


def without_replicas(state: ClusterState, host: str, *keys: tuple[str, int]) -> ClusterState:
    left = tuple(each for each in state.statuses[host].replicas if keys and each.key not in keys)
    return on(state, host, replicas=left)


def assigned(state: ClusterState, host: str, service: str, **more: Any) -> ClusterState:
    """Return the state in which the replicas of a service are assigned to the host otherwise."""
    before = state.assignments[host]
    replicas = tuple(replace(each, **more) if each.service == service else each for each in before.replicas)
    return replace(state, assignments={**state.assignments, host: replace(before, replicas=replicas)})


def blocked(resource: str, kind: str, reason: str) -> tuple[BlockedReport, ...]:
    return (BlockedReport(resource=resource, kind=kind, reason=reason),)


def waiting(resource: str, reason: str, cause: str = "") -> tuple[Waiting, ...]:
    return (Waiting(resource=resource, reason=reason, on=cause),)


def step(resource: str, text: str, verb: str = "create") -> Any:
    return (StepReport(resource=resource, verb=verb, text=text),)


def releasing(
    state: str = "moving", *, updated: tuple[int, ...] = (), why: str = "", failed: tuple[int, ...] = ()
) -> ClusterState:
    """Return the cluster in a rollout of `order` to 1.0.1: the slots `updated` run it and are steady."""
    found = cluster(document(WEB, NEXT_ORDER, BILLING))
    before = spec_hash(ORDER.spec)
    for slot, host in enumerate(ON["order"], start=1):
        if slot in updated:
            continue
        found = with_replica(found, host, "order", slot, spec=before)
        mine = found.assignments[host]
        replicas = tuple(
            replace(each, spec=before) if each.key == ("order", slot) else each for each in mine.replicas
        )
        mine = replace(mine, replicas=replicas, pending=("order",))
        found = replace(found, assignments={**found.assignments, host: mine})
        found = on(found, host, revision=REVISION - 1)
    rollout = Rollout(before=before, to=spec_hash(NEXT_ORDER.spec), state=state, why=why, failed=failed)  # type: ignore[arg-type]
    return replace(found, rollouts={"order": rollout}, specs={**found.specs, before: ORDER.spec})


# ---- The named states


CRASHING: dict[str, Any] = {
    "steady": False,
    "crashes": 7,
    "restarts": 7,
    "exit_code": 1,
    "output": ("no such table: users",),
}
HEALTHY = cluster()
DRAINED = document(hosts=(declared(A), declared(B), declared(C, availability="drain")))
PORT = "port 80/tcp is used by the container nginx"
PULL = "registry.local does not answer (3 attempts, will retry)"


def crash_loop(status: str) -> ClusterState:
    return with_replica(HEALTHY, B, "billing", 1, **{**CRASHING, "status": status})


def drained(state: ClusterState) -> ClusterState:
    """Return the state without replicas on node-233."""
    nothing = Assignment(revision=REVISION, project="prod", drained=REVISION)
    state = replace(state, assignments={**state.assignments, C: nothing})
    moved = replace(replica(ORDER, 3), id="moved")
    state = on(listed(state, C, availability="drain"), C, replicas=())
    mine = state.assignments[A]
    mine = replace(
        mine, replicas=(*mine.replicas, Replica(service="order", slot=3, spec=spec_hash(ORDER.spec)))
    )
    state = replace(state, assignments={**state.assignments, A: mine})
    return on(state, A, replicas=(*state.statuses[A].replicas, moved))


def first_start() -> ClusterState:
    """Return the cluster after its first document: the swarm exists, the replicas are being created."""
    return on_all(
        HEALTHY, replicas=(), revision=0, steps=step("container/prod-web-1", "create container/prod-web-1")
    )


def joining() -> ClusterState:
    outside = {
        "state": "inactive",
        "node_id": None,
        "is_manager": False,
        "nodes": None,
        "swarm_address": None,
    }
    state = without_replicas(HEALTHY, C)
    state = on_all(state, nodes=NODES[:2])
    waits = waiting("swarm", "dockerd has not finished joining the swarm")
    return on(state, C, **outside, joining=SWARM, revision=0, bridge=bridge(phase=""), waiting=waits)


def quorum_lost() -> ClusterState:
    state = on(absent(HEALTHY, B), C, engine_up=False, engine_error="connection refused")
    return on(state, A, nodes=None, blocked=blocked("nodes", "quorum", "the swarm does not list its nodes"))


def held_bridge() -> ClusterState:
    why = "attached to it by hand: probe"
    return on(
        HEALTHY,
        B,
        bridge=bridge(phase="held"),
        blocked=blocked("network/docker_gwbridge", "foreign", why),
        revision=6,
    )


def paused(mode: Any) -> ClusterState:
    return cluster(document(policy=PolicyIntent(mode=mode)))


def refused(**verdict: Any) -> ClusterState:
    answer = Verdict(**{"revision": 8, "accepted": False, "accepted_revision": REVISION, **verdict})
    return replace(HEALTHY, document=Document(revision=8, intent=None), verdict=answer)


def missing_image() -> ClusterState:
    """Return a first start of `order` whose image cannot be pulled on any host."""
    state = HEALTHY
    for host in HOSTS:
        mine = tuple(key for key in (("order", 1), ("order", 2), ("order", 3), ("order", 4)))
        state = without_replicas(state, host, *mine)
        state = on(
            state, host, blocked=blocked("image/registry.local/order:1.0.0", "error", PULL), revision=6
        )
    return state


def registry_away() -> ClusterState:
    """Return a release of `order` while the registry does not answer: the old replicas run on."""
    state = releasing(updated=())
    state = assigned(state, B, "order", spec=spec_hash(NEXT_ORDER.spec))
    images = blocked("image/registry.local/order:1.0.1", "error", PULL)
    return on(state, B, blocked=(*images, *blocked("registry/registry.local", "error", PULL)))


def dependency(condition: str) -> ClusterState:
    """Return a cluster in which `web` waits for `billing`, which never becomes healthy."""
    state = cluster(document(replace(WEB, depends_on=(("billing", "service_healthy"),)), ORDER, BILLING))
    why = "depends on billing: billing-1 on node-232 has to be healthy first"
    for slot, host in enumerate(HOSTS, start=1):
        state = without_replicas(assigned(state, host, "web", waits=why), host, ("web", slot))
        state = on(state, host, waiting=waiting(f"container/prod-web-{slot}", why, "replica/billing-1"))
    changes: dict[str, Any] = (
        {"health": "starting", "steady": False} if condition == "waits" else {"health": "unhealthy"}
    )
    return with_replica(state, B, "billing", 1, **changes)


def undeclared() -> ClusterState:
    state = replace(HEALTHY, present={**HEALTHY.present, "spare": "run-spare"})
    spare = report("node-234", state="inactive", node_id=None, is_manager=False, nodes=None, revision=0)
    return replace(state, statuses={**state.statuses, "spare": replace(spare, instance="run-spare")})


def removed() -> ClusterState:
    """Return the cluster after node-234 was removed from the document while it was off."""
    nothing = Assignment(revision=REVISION, project="prod")
    why = "no longer in the intent: its agent does not run and its node is ready: start the agent or power off the host"
    state = replace(HEALTHY, assignments={**HEALTHY.assignments, "node-234": nothing})
    return on(state, A, blocked=blocked("host/node-234", "removal", why))


def quarantined() -> ClusterState:
    why = "another host has the identity of this node"
    order = MembershipOrder(state="active", node_id="id-node-233", what="quarantine", reason=why)
    state = replace(HEALTHY, membership_orders={C: order})
    return on(state, C, blocked=blocked("swarm", "foreign", why))


def dead_registry() -> ClusterState:
    state = on(without_replicas(HEALTHY, A), A, blocked=_pulls("order", "web"), revision=6)
    return on(without_replicas(state, B), B, blocked=_pulls("order", "web", "billing"), revision=6)


def _pulls(*names: str) -> tuple[BlockedReport, ...]:
    return tuple(
        each for name in names for each in blocked(f"image/registry.local/{name}:1.0.0", "error", PULL)
    )


ROTTEN = (
    *blocked("container/prod-order-2", "port", PORT),
    *blocked("image/registry.local/order:1.0.0", "error", PULL),
)
CLUSTERS: Mapping[str, ClusterState] = {
    "healthy": HEALTHY,
    "crash loop, exited": crash_loop("exited"),
    "crash loop, between two exits": crash_loop("running"),
    "crash loop, restarted by docker": crash_loop("restarting"),
    "exited once": with_replica(
        HEALTHY, B, "billing", 1, status="exited", exit_code=137, steady=False, crashes=1
    ),
    "unhealthy": on(
        with_replica(HEALTHY, C, "web", 3, health="unhealthy"),
        C,
        blocked=blocked("container/prod-web-3", "unhealthy", "its health check fails: no route to billing"),
    ),
    "health check has not passed yet": with_replica(HEALTHY, C, "web", 3, health="starting", steady=False),
    "monitor window runs": with_replica(HEALTHY, B, "billing", 1, steady=False),
    "differs from its spec": with_replica(
        HEALTHY,
        A,
        "order",
        1,
        differences=(Difference(field="memory_limit_bytes", wanted="1", found="2", repair="update"),),
    ),
    "paused container": with_replica(HEALTHY, B, "billing", 1, status="paused"),
    "start failed": with_replica(
        HEALTHY, B, "billing", 1, status="created", error="no such device", steady=False
    ),
    "replica still on its earlier host": on(
        HEALTHY, C, replicas=(*HEALTHY.statuses[C].replicas, replace(replica(BILLING, 1), id="earlier"))
    ),
    "two containers of a slot": on(
        HEALTHY,
        B,
        replicas=(
            *HEALTHY.statuses[B].replicas,
            replace(replica(BILLING, 1), id="second", name="prod-billing-1-old"),
        ),
    ),
    "host off for 6 minutes": listed(absent(HEALTHY, B), B, state="down", reachable=False),
    "host cut off from etcd": absent(HEALTHY, B),
    "host off, its last report blocked": on(absent(HEALTHY, B), B, blocked=ROTTEN),
    "host never seen": replace(absent(HEALTHY, C), statuses={A: HEALTHY.statuses[A], B: HEALTHY.statuses[B]}),
    "host starting": replace(HEALTHY, present={**HEALTHY.present, B: "a later run"}),
    "agent stopped": on(absent(HEALTHY, B), B, stopped=True, at=SIX_MINUTES_AGO),
    "every agent stopped": replace(on_all(HEALTHY, stopped=True), present={}, leader=None),
    "dockerd down": on(HEALTHY, B, engine_up=False, engine_error="connection refused"),
    "frozen: the report is old": replace(HEALTHY, unreported={B: "2026-11-29T11:58:00Z"}),
    "manager in error": on(
        HEALTHY, C, state="error", swarm_error="manager stopped: can't initialize raft node", nodes=None
    ),
    "outside the swarm nothing is attached": on(
        with_replica(
            HEALTHY,
            B,
            "billing",
            1,
            differences=(
                Difference(field="networks.net", wanted="connected", found="absent", repair="reconnect"),
            ),
        ),
        B,
        state="inactive",
        node_id=None,
        is_manager=False,
        nodes=None,
    ),
    "outside the swarm nothing starts": on(
        with_replica(HEALTHY, B, "billing", 1, status="exited", error="invalid cluster node", steady=False),
        B,
        state="error",
        swarm_error="no certificate",
        nodes=None,
    ),
    "swarm locked": on(HEALTHY, C, state="locked", nodes=None),
    "not in the swarm": on(
        without_replicas(HEALTHY, C), C, state="inactive", node_id=None, is_manager=False, nodes=None
    ),
    "node down": listed(HEALTHY, C, state="down"),
    "other address in the swarm": on(listed(HEALTHY, C, address="10.0.0.9"), C, swarm_address="10.0.0.9"),
    "other address on the host": on(
        listed(HEALTHY, C, state="down"), C, addresses=(("10.9.9.9/24", "eth0"),)
    ),
    "duplicate node": on(
        HEALTHY,
        A,
        blocked=blocked("node/id-node-233", "foreign", "node-233 and copy both report this node id"),
    ),
    "quorum lost": quorum_lost(),
    "managers cut from each other": on_all(HEALTHY, nodes=None),
    "no leader": replace(HEALTHY, leader=None),
    "paused": paused("paused"),
    "paused, and a host is off": absent(paused("paused"), B),
    "observe": paused("observe"),
    "no document": ClusterState(revision=1, leader=A, present=HEALTHY.present),
    "document refused": refused(
        errors=("line 3, column 1: services.web.imag: unknown key; remove it", "second")
    ),
    "first document refused": replace(
        ClusterState(revision=1, leader=A, present=HEALTHY.present),
        document=Document(revision=8, intent=None),
        verdict=Verdict(revision=8, accepted=False, accepted_revision=0, errors=("line 1: not a mapping",)),
    ),
    "guard": refused(errors=("it would remove 4 of 8 replicas (all of order)",), confirm="fe68a1"),
    "no verdict": replace(HEALTHY, document=Document(revision=8, intent=document(revision=8))),
    "etcd rolled back": replace(HEALTHY, store_rolled_back="revision 90 after revision 100"),
    "healthy rollout": releasing(updated=(1, 2)),
    "rollout paused": releasing("paused", updated=(1,), why="order-1: it exited with 3", failed=(1,)),
    "rollback under way": releasing("rolling-back", updated=(1,), why="order-1: it is unhealthy"),
    "rolled back": releasing("rolled-back", why="order-1: it is unhealthy"),
    "rollback paused": releasing("rollback-paused", updated=(1,), why="order-2: it exited with 1"),
    "first start": first_start(),
    "newest revision not assigned": replace(
        cluster(document(WEB, NEXT_ORDER, BILLING, revision=8)),
        assignments=HEALTHY.assignments,
        statuses=HEALTHY.statuses,
    ),
    "drain under way": on(
        listed(cluster(DRAINED), C, availability="drain"),
        A,
        waiting=(
            *waiting("drain/node-233", "node-233 is not empty yet: prod-order-3, prod-web-3"),
            *waiting(
                "placement/order", "order-3 leaves node-233 (it is drained): another replica moves first"
            ),
        ),
    ),
    "drained": drained(cluster(DRAINED)),
    "drained and off": listed(absent(drained(cluster(DRAINED)), C), C, availability="drain", state="down"),
    "join under way": joining(),
    "wrong sealing key": on(
        joining(),
        C,
        waiting=(),
        joining=None,
        blocked=blocked(KEYS.tokens, "unreadable", "sealed with a key that is not in tokens.key_file"),
    ),
    "unsealed tokens": on(
        joining(),
        C,
        waiting=(),
        joining=None,
        blocked=blocked(KEYS.tokens, "untrusted", "not sealed: set tokens.key_file on every host"),
    ),
    "earlier unlock key": on(
        HEALTHY,
        C,
        blocked=blocked(KEYS.unlock, "untrusted", "sealed at 1, and this host knows a value of 2"),
    ),
    "role change": cluster(document(hosts=(declared(A), declared(B), declared(C, role="worker")))),
    "bridge waits": replace(
        on(
            HEALTHY,
            C,
            bridge=bridge(phase="waiting"),
            revision=6,
            waiting=waiting("network/docker_gwbridge", "waits for the disruption slot", "host/node-232"),
        ),
        disruption=Disruption(host=B, state="acquired", reason="subnet", quorum=True),
    ),
    "bridge moves": on(HEALTHY, B, bridge=bridge(phase="moving"), revision=6),
    "bridge held": held_bridge(),
    "foreign port": on(
        with_replica(
            HEALTHY, B, "billing", 1, status="created", error="port is already allocated", steady=False
        ),
        B,
        blocked=blocked("container/prod-billing-1", "port", PORT),
    ),
    "foreign name": on(
        without_replicas(HEALTHY, B, ("billing", 1)),
        B,
        blocked=blocked(
            "container/prod-billing-1",
            "name",
            "an unmanaged container has the name prod-billing-1; remove or rename it",
        ),
    ),
    "registry away": registry_away(),
    "missing image at a first start": missing_image(),
    "no host fits": on(
        replace(
            without_replicas(HEALTHY, A, ("order", 4)),
            assignments={
                **HEALTHY.assignments,
                A: replace(
                    HEALTHY.assignments[A],
                    replicas=tuple(
                        each for each in HEALTHY.assignments[A].replicas if each.key != ("order", 4)
                    ),
                ),
            },
        ),
        A,
        replicas=tuple(each for each in HEALTHY.statuses[A].replicas if each.key != ("order", 4)),
        blocked=blocked("placement/order", "placement", "node-231: publishes a port of the host"),
    ),
    "dependency waits": dependency("waits"),
    "dependency failed": dependency("failed"),
    "one-shot completed": with_replica(
        cluster(document(WEB, JOB)), A, "job", 1, status="exited", steady=False
    ),
    "one-shot failed": with_replica(
        cluster(document(WEB, JOB)), A, "job", 1, status="exited", exit_code=3, steady=False
    ),
    "unreadable key": replace(HEALTHY, unreadable=((KEYS.rollout("order"), "not a Rollout: damaged"),)),
    "unreadable status": replace(
        HEALTHY,
        unreadable=((KEYS.status(B), "not a HostStatus: damaged"),),
        statuses={A: HEALTHY.statuses[A], C: HEALTHY.statuses[C]},
    ),
    "undeclared host": undeclared(),
    "removed host is off": removed(),
    "quarantined host": quarantined(),
    "two images of a dead registry": dead_registry(),
    "external volume missing": on(
        without_replicas(HEALTHY, B, ("billing", 1)),
        B,
        blocked=blocked(
            "container/prod-billing-1", "dependency", "the external volume ledger does not exist"
        ),
    ),
    "setting that the kernel ignores": on(
        HEALTHY,
        B,
        blocked=blocked(
            "container/prod-billing-1", "unsupported", "memory_swappiness: 10 wanted, none found"
        ),
    ),
    "setting that a host does not admit": on(
        without_replicas(HEALTHY, B, ("billing", 1)),
        B,
        blocked=blocked("container/prod-billing-1", "admission", "privileged: true is not admitted"),
    ),
    "leader lock without a lease": on(
        HEALTHY,
        B,
        blocked=blocked(
            "leader",
            "lock",
            "the lock of node-231 has no lease: `etcdctl del /swarmkeeper/prod/leader` frees it",
        ),
    ),
    "volume that docker cannot change": on(
        HEALTHY,
        B,
        blocked=blocked("volume/prod_data", "unsupported", "labels.tier: '1' wanted, nothing found"),
    ),
    "replica moves": assigned(
        without_replicas(HEALTHY, C, ("order", 3)), C, "order", held="node-232 still runs it", waits=""
    ),
    "replica not assigned": replace(
        without_replicas(HEALTHY, B, ("billing", 1)),
        assignments={
            **HEALTHY.assignments,
            B: replace(HEALTHY.assignments[B], replicas=HEALTHY.assignments[B].replicas[:2]),
        },
    ),
    "network cannot be created": on(HEALTHY, A, blocked=blocked("network/net", "error", "no free subnet")),
    "overlay of another network": on(
        HEALTHY,
        A,
        blocked=blocked("network/net", "foreign", "subnet: 10.10.0.0/16 wanted, 10.11.0.0/16 found"),
    ),
    "state not saved": on(HEALTHY, C, blocked=blocked("state", "disk", "no space left on device")),
    "etcd away": HEALTHY,
    "etcd out of space": HEALTHY,
}
STORE_ERRORS: Mapping[str, str] = {"etcd away": "etcd does not answer", "etcd out of space": "NOSPACE"}


# ---- What has to be said of each: `pytest tests/unit/conditions` compares it


class Expected(NamedTuple):
    """What every reader has to say of a state."""

    line: str
    """First line of `status`."""
    code: int = 1
    problems: tuple[str, ...] = ()
    """`<key> <state>/<reason>`, and `!` if it is critical; most severe first."""
    states: tuple[str, ...] = ()
    """Without problems: every condition that is not Ready, in the same form, without those of replicas."""


EXPECTED: Mapping[str, Expected] = {
    "healthy": Expected(
        line="converged: 3 hosts, 3 services, 8 replicas",
        code=0,
    ),
    "crash loop, exited": Expected(
        line="billing: 0 of 1 replica ready; billing-1 on node-232: it keeps exiting, 7 times so far, "
        "last with code 1",
        code=2,
        problems=("service/billing Degraded/CrashLoop!",),
    ),
    "crash loop, between two exits": Expected(
        line="billing: 0 of 1 replica ready; billing-1 on node-232: it keeps exiting, 7 times so far",
        code=2,
        problems=("service/billing Degraded/CrashLoop!",),
    ),
    "crash loop, restarted by docker": Expected(
        line="billing: 0 of 1 replica ready; billing-1 on node-232: it keeps exiting, 7 times so far, "
        "last with code 1",
        code=2,
        problems=("service/billing Degraded/CrashLoop!",),
    ),
    "exited once": Expected(
        line="billing: 0 of 1 replica ready; billing-1 on node-232: it exited with code 137; its "
        "agent starts it again",
        code=2,
        problems=("service/billing Degraded/Exited!",),
    ),
    "unhealthy": Expected(
        line="web: 2 of 3 replicas ready; web-3 on node-233: its health check fails: no route to billing",
        problems=("service/web Degraded/Unhealthy",),
    ),
    "health check has not passed yet": Expected(
        line="in progress: 7 of 8 replicas ready; web: web-3: its health check has not passed yet",
        states=("service/web Progressing/Monitoring",),
    ),
    "monitor window runs": Expected(
        line="in progress: 7 of 8 replicas ready; billing: billing-1: it has not run for its monitor "
        "window of 5 s yet",
        states=("service/billing Progressing/Monitoring",),
    ),
    "differs from its spec": Expected(
        line="order: 4 of 4 replicas ready; order-1 on node-231: it differs from its spec "
        "(memory_limit_bytes); its agent repairs it",
        problems=("service/order Degraded/Differs",),
    ),
    "paused container": Expected(
        line="billing: 0 of 1 replica ready; billing-1 on node-232: it is paused (`docker pause`); "
        "its agent unpauses it",
        code=2,
        problems=("service/billing Degraded/Differs!",),
    ),
    "start failed": Expected(
        line="billing: 0 of 1 replica ready; billing-1 on node-232: it cannot start: no such device",
        code=2,
        problems=("service/billing Degraded/StartFailed!",),
    ),
    "replica still on its earlier host": Expected(
        line="in progress: 8 of 8 replicas ready; billing: billing-1: node-233 still has a container of it",
        states=("host/node-233 Progressing/Steps", "service/billing Progressing/Moving"),
    ),
    "two containers of a slot": Expected(
        line="in progress: 8 of 8 replicas ready; billing: billing-1: 2 containers of it exist until "
        "one is removed",
        states=("service/billing Progressing/Updating",),
    ),
    "host off for 6 minutes": Expected(
        line="node-232 unreachable for 6 m: billing has no ready replica",
        code=2,
        problems=("host/node-232 Unknown/Unreachable!",),
    ),
    "host cut off from etcd": Expected(
        line="node-232 unreachable for 6 m: billing has no ready replica",
        code=2,
        problems=("host/node-232 Unknown/Unreachable!",),
    ),
    "host off, its last report blocked": Expected(
        line="node-232 unreachable for 6 m: billing has no ready replica",
        code=2,
        problems=("host/node-232 Unknown/Unreachable!",),
    ),
    "host never seen": Expected(
        line="node-233: no agent of it has ever reported: install Swarmkeeper there and start it",
        problems=("host/node-233 Unknown/NeverSeen",),
    ),
    "host starting": Expected(
        line="node-232 starting: billing has no ready replica",
        code=2,
        problems=("host/node-232 Unknown/NotReported!",),
    ),
    "agent stopped": Expected(
        line="node-232 agent stopped for 6 m: billing has no ready replica",
        code=2,
        problems=("host/node-232 Unknown/AgentStopped!",),
    ),
    "every agent stopped": Expected(
        line="not known: no agent reports (node-231 agent stopped for 1 m, node-232 agent stopped for "
        "1 m, node-233 agent stopped for 1 m)",
        code=3,
        problems=(
            "host/node-231 Unknown/AgentStopped!",
            "host/node-232 Unknown/AgentStopped!",
            "quorum/ Unknown/Unreachable",
            "leader/ Degraded/NoLeader",
            "host/node-233 Unknown/AgentStopped",
        ),
    ),
    "dockerd down": Expected(
        line="node-232 dockerd does not answer: billing has no ready replica",
        code=2,
        problems=("host/node-232 Degraded/EngineDown!",),
    ),
    "frozen: the report is old": Expected(
        line="node-232 report too old for 12 m: billing has no ready replica",
        code=2,
        problems=("host/node-232 Unknown/ReportOld!",),
    ),
    "manager in error": Expected(
        line="node-233: docker reports an error of its swarm: manager stopped: can't initialize raft "
        "node; `systemctl restart docker` on that host often ends it",
        problems=("host/node-233 Degraded/SwarmError",),
    ),
    "outside the swarm nothing is attached": Expected(
        line="node-232: it is not in the swarm (docker says inactive)",
        problems=("host/node-232 Degraded/NotInSwarm",),
    ),
    "outside the swarm nothing starts": Expected(
        line="node-232 error in the swarm: billing has no ready replica",
        code=2,
        problems=("host/node-232 Degraded/SwarmError!",),
    ),
    "swarm locked": Expected(
        line="node-233: its swarm is locked: unlock it with the unlock key",
        problems=("host/node-233 Blocked/Locked",),
    ),
    "not in the swarm": Expected(
        line="node-233: it is not in the swarm (docker says inactive)",
        problems=("host/node-233 Degraded/NotInSwarm",),
    ),
    "node down": Expected(
        line="node-233: the managers list its node as down, although its dockerd answers: check the "
        "ports 2377 and 7946 between the hosts",
        problems=("host/node-233 Degraded/NodeDown",),
    ),
    "other address in the swarm": Expected(
        line="node-233: the swarm has the address 10.0.0.9 for it, 10.0.0.233 is declared: correct "
        "the address in the document or on the host",
        problems=("host/node-233 Degraded/OtherAddress",),
    ),
    "other address on the host": Expected(
        line="node-233: no device of it has the declared address 10.0.0.233: it has 10.9.9.9 (eth0)",
        problems=("host/node-233 Degraded/OtherAddress",),
    ),
    "duplicate node": Expected(
        line="node-233: node-233 and copy both report this node id",
        problems=("host/node-233 Blocked/Duplicate",),
    ),
    "managers cut from each other": Expected(
        line="quorum lost: 3 of 3 managers run, but they elect no raft leader; running containers go on; "
        "joins, role changes and new networks wait",
        code=2,
        problems=("quorum/ Blocked/QuorumLost!",),
    ),
    "quorum lost": Expected(
        line="quorum lost: 1 of 3 managers reachable (node-232 unreachable for 6 m, node-233 dockerd "
        "does not answer); running containers go on; joins, role changes and new networks wait (+2 more)",
        code=2,
        problems=(
            "quorum/ Blocked/QuorumLost!",
            "host/node-232 Unknown/Unreachable!",
            "host/node-233 Degraded/EngineDown",
        ),
    ),
    "no leader": Expected(
        line="leader: none of the 3 agents has the leader lock: only a declared manager that lists "
        "the nodes takes it",
        problems=("leader/ Degraded/NoLeader",),
    ),
    "paused": Expected(
        line="paused: nothing is changed until x-cluster.policy.mode is enforce",
        problems=("document/ Blocked/Paused",),
    ),
    "paused, and a host is off": Expected(
        line="paused: node-232 unreachable for 6 m: billing has no ready replica",
        code=2,
        problems=("host/node-232 Unknown/Unreachable!", "document/ Blocked/Paused"),
    ),
    "observe": Expected(
        line="observe: steps are only reported until x-cluster.policy.mode is enforce",
        problems=("document/ Blocked/ObserveMode",),
    ),
    "no document": Expected(
        line="document: etcd has no document: apply one",
        code=2,
        problems=("document/ Blocked/NoDocument",),
    ),
    "document refused": Expected(
        line="document: revision 8 is refused: line 3, column 1: services.web.imag: unknown key; "
        "remove it (and 1 more); revision 7 stays accepted",
        problems=("document/ Blocked/Refused",),
    ),
    "first document refused": Expected(
        line="document: revision 8 is refused: line 1: not a mapping",
        code=2,
        problems=("document/ Blocked/Refused",),
    ),
    "guard": Expected(
        line="document: revision 8 waits: it would remove 4 of 8 replicas (all of order); revision 7 "
        "stays accepted",
        problems=("document/ Blocked/WaitsForConfirmation",),
    ),
    "no verdict": Expected(
        line="document: the leader has published no verdict on revision 8 yet; revision 7 stays accepted",
        states=("document/ Progressing/NoVerdict",),
    ),
    "etcd rolled back": Expected(
        line="document: etcd was rolled back (revision 90 after revision 100): apply the correct "
        "document again",
        problems=("document/ Blocked/RolledBackStore",),
    ),
    "healthy rollout": Expected(
        line="rollout of order: 2 of 4 replicas updated to registry.local/order:1.0.1",
        states=(
            "host/node-231 Progressing/Rollout",
            "host/node-233 Progressing/Rollout",
            "rollout/order Progressing/Rollout",
            "service/order Progressing/Rollout",
        ),
    ),
    "rollout paused": Expected(
        line="rollout of order: paused, 1 of 4 replicas updated, because order-1: it exited with 3: "
        "roll back, or apply a corrected document",
        problems=("rollout/order Blocked/RolloutPaused",),
    ),
    "rollback under way": Expected(
        line="rollout of order: 3 of 4 replicas rolled back to registry.local/order:1.0.0, because "
        "order-1: it is unhealthy",
        states=(
            "host/node-231 Progressing/Rollout",
            "host/node-232 Progressing/Rollout",
            "host/node-233 Progressing/Rollout",
            "rollout/order Progressing/RollingBack",
            "service/order Progressing/RollingBack",
        ),
    ),
    "rolled back": Expected(
        line="rollout of order: rolled back to registry.local/order:1.0.0, because order-1: it is "
        "unhealthy: apply a corrected document",
        problems=("rollout/order Degraded/RolledBack",),
    ),
    "rollback paused": Expected(
        line="rollout of order: the rollback is paused, 3 of 4 replicas rolled back, because order-2: "
        "it exited with 1: roll back, or apply a corrected document",
        problems=("rollout/order Blocked/RolloutPaused",),
    ),
    "first start": Expected(
        line="in progress: 0 of 8 replicas ready; web: web-1: it is being started on node-231 (and 2 more)",
        states=(
            "host/node-231 Progressing/Steps",
            "host/node-232 Progressing/Steps",
            "host/node-233 Progressing/Steps",
            "service/web Progressing/Starting",
            "service/order Progressing/Starting",
            "service/billing Progressing/Starting",
        ),
    ),
    "newest revision not assigned": Expected(
        line="in progress: 8 of 8 replicas ready; order: order-1: it has the previous spec; the "
        "rollout begins (and 3 more)",
        states=(
            "host/node-231 Progressing/NotAssigned",
            "host/node-232 Progressing/NotAssigned",
            "host/node-233 Progressing/NotAssigned",
            "service/order Progressing/Updating",
        ),
    ),
    "drain under way": Expected(
        line="in progress: node-233 drains: prod-order-3, prod-web-3 are left: order-3 leaves node-233 (it is "
        "drained): another replica moves first",
        states=("host/node-233 Progressing/Draining", "service/web Progressing/Moving"),
    ),
    "drained": Expected(
        line="converged: 3 hosts, 3 services, 7 replicas",
        code=0,
    ),
    "drained and off": Expected(
        line="converged: 3 hosts, 3 services, 7 replicas",
        code=0,
    ),
    "join under way": Expected(
        line="in progress: node-233 joins the swarm: dockerd has not finished joining the swarm",
        states=(
            "host/node-233 Progressing/Joining",
            "service/web Progressing/Starting",
            "service/order Progressing/Starting",
        ),
    ),
    "wrong sealing key": Expected(
        line="key tokens: node-233 cannot open the join tokens: the key in tokens.key_file differs "
        "from that of the leader; copy the same key to every host",
        problems=("key/tokens Blocked/WrongSealingKey",),
    ),
    "unsealed tokens": Expected(
        line="key tokens: not used by node-233: not sealed: set tokens.key_file on every host",
        problems=("key/tokens Blocked/Unreadable",),
    ),
    "earlier unlock key": Expected(
        line="key unlock: not used by node-233: sealed at 1, and this host knows a value of 2",
        problems=("key/unlock Blocked/Unreadable",),
    ),
    "role change": Expected(
        line="in progress: node-233 is a manager, worker is declared",
        states=("host/node-233 Progressing/ChangingRole",),
    ),
    "bridge waits": Expected(
        line="in progress: node-233 waits to change docker_gwbridge: waits for the disruption slot",
        states=("host/node-233 Progressing/WaitsForSlot",),
    ),
    "bridge moves": Expected(
        line="in progress: node-232 changes docker_gwbridge",
        states=("host/node-232 Progressing/ChangingBridge",),
    ),
    "bridge held": Expected(
        line="node-232: docker_gwbridge is not as declared: attached to it by hand: probe",
        problems=("host/node-232 Blocked/BridgeBlocked",),
    ),
    "foreign port": Expected(
        line="billing: 0 of 1 replica ready; billing-1 on node-232: port 80/tcp is used by the "
        "container nginx",
        code=2,
        problems=("service/billing Blocked/PortInUse!",),
    ),
    "foreign name": Expected(
        line="billing: 0 of 1 replica ready; billing-1 on node-232: an unmanaged container has the name "
        "prod-billing-1; remove or rename it",
        code=2,
        problems=("service/billing Blocked/NameInUse!",),
    ),
    "registry away": Expected(
        line="image registry.local/order:1.0.1: node-232 cannot pull it: registry.local does not "
        "answer (3 attempts, will retry)",
        problems=("image/registry.local/order:1.0.1 Degraded/PullFailed",),
    ),
    "missing image at a first start": Expected(
        line="image registry.local/order:1.0.0: node-231, node-232, node-233 cannot pull it: "
        "registry.local does not answer (3 attempts, will retry); order has no ready replica",
        code=2,
        problems=("image/registry.local/order:1.0.0 Degraded/PullFailed!",),
    ),
    "no host fits": Expected(
        line="order: 3 of 4 replicas ready; order-4: no host can run it: node-231: publishes a port "
        "of the host",
        problems=("service/order Blocked/NoHostFits",),
    ),
    "dependency waits": Expected(
        line="in progress: 4 of 8 replicas ready; web: web-1: depends on billing: billing-1 on "
        "node-232 has to be healthy first (and 2 more)",
        states=("service/web Progressing/WaitsForDependency", "service/billing Progressing/Monitoring"),
    ),
    "dependency failed": Expected(
        line="billing: 0 of 1 replica ready; billing-1 on node-232: its health check fails",
        code=2,
        problems=("service/billing Degraded/Unhealthy!",),
    ),
    "one-shot completed": Expected(
        line="converged: 3 hosts, 2 services, 4 replicas",
        code=0,
    ),
    "one-shot failed": Expected(
        line="job: 0 of 1 replica ready; job-1 on node-231: it exited with code 3, and its restart "
        "policy ends it",
        code=2,
        problems=("service/job Degraded/Failed!",),
    ),
    "unreadable key": Expected(
        line="key rollouts/order: unreadable: not a Rollout: damaged; its last readable value stays "
        "valid: delete the key, or upgrade this agent if a newer one wrote it",
        problems=("key/rollouts/order Blocked/Unreadable",),
    ),
    "unreadable status": Expected(
        line="key hosts/node-232/status: unreadable: not a HostStatus: damaged; its last readable "
        "value stays valid: delete the key, or upgrade this agent if a newer one wrote it; "
        "billing has no ready replica",
        code=2,
        problems=("key/hosts/node-232/status Blocked/Unreadable!",),
    ),
    "undeclared host": Expected(
        line="converged: 3 hosts, 3 services, 8 replicas",
        code=0,
    ),
    "removed host is off": Expected(
        line="node-234: no longer in the intent: its agent does not run and its node is ready: start "
        "the agent or power off the host",
        problems=("host/node-234 Blocked/NotRemoved",),
    ),
    "quarantined host": Expected(
        line="node-233: another host has the identity of this node",
        problems=("host/node-233 Blocked/Duplicate",),
    ),
    "two images of a dead registry": Expected(
        line="image registry.local/order:1.0.0: node-231, node-232 cannot pull it: registry.local "
        "does not answer (3 attempts, will retry)",
        code=2,
        problems=("image/registry.local/order:1.0.0 Degraded/PullFailed!",),
    ),
    "external volume missing": Expected(
        line="billing: 0 of 1 replica ready; billing-1 on node-232: the external volume ledger does "
        "not exist",
        code=2,
        problems=("service/billing Blocked/DependencyMissing!",),
    ),
    "setting that the kernel ignores": Expected(
        line="billing: 1 of 1 replica ready; billing-1 on node-232: memory_swappiness: 10 wanted, none found",
        problems=("service/billing Blocked/Unsupported",),
    ),
    "setting that a host does not admit": Expected(
        line="billing: 0 of 1 replica ready; billing-1 on node-232: privileged: true is not admitted",
        code=2,
        problems=("service/billing Blocked/NotAdmitted!",),
    ),
    "leader lock without a lease": Expected(
        line="leader: the lock of node-231 has no lease: `etcdctl del /swarmkeeper/prod/leader` frees it",
        problems=("leader/ Blocked/LockStuck",),
    ),
    "volume that docker cannot change": Expected(
        line="node-232: volume/prod_data: labels.tier: '1' wanted, nothing found",
        problems=("host/node-232 Blocked/Unsupported",),
    ),
    "replica moves": Expected(
        line="in progress: 7 of 8 replicas ready; order: order-3: node-232 still runs it",
        states=("service/order Progressing/Moving",),
    ),
    "replica not assigned": Expected(
        line="in progress: 7 of 8 replicas ready; billing: billing-1: the leader has not assigned it "
        "to a host yet",
        states=("service/billing Progressing/NotAssigned",),
    ),
    "network cannot be created": Expected(
        line="network net: no free subnet",
        problems=("network/net Degraded/Error",),
    ),
    "overlay of another network": Expected(
        line="network net: subnet: 10.10.0.0/16 wanted, 10.11.0.0/16 found",
        problems=("network/net Blocked/Foreign",),
    ),
    "state not saved": Expected(
        line="node-233: no space left on device",
        problems=("host/node-233 Degraded/StateNotSaved",),
    ),
    "etcd away": Expected(
        line="etcd is unreachable (etcd does not answer); running containers go on",
        code=3,
        problems=("store/ Unknown/StoreUnreachable!",),
    ),
    "etcd out of space": Expected(
        line="etcd is out of space and refuses writes, so no report is current: compact and "
        "defragment it, then disarm the alarm",
        code=3,
        problems=("store/ Blocked/StoreFull!",),
    ),
}


class Named(NamedTuple):
    """A state, and what has to be said of it."""

    cluster: ClusterState
    expected: Expected
    store_error: str = ""


STATES: Mapping[str, Named] = {
    name: Named(state, EXPECTED[name], STORE_ERRORS.get(name, "")) for name, state in CLUSTERS.items()
}
