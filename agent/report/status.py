"""The status key of a host in etcd, made from its observation and its plan."""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from types import MappingProxyType

from agent.diff import container, nodes, replicas
from agent.diff.bridge import OURS, REFUSAL, REFUSED, has_mesh
from agent.diff.networks import others_on, strangers
from agent.diff.nodes import other_cluster
from agent.diff.reported import alike, finished_reports
from agent.model import host_state, status, steps
from agent.model.intent import GWBRIDGE, LOCAL_DRIVER, PARKING, Intent
from agent.model.observed import Observed
from agent.model.phrases import counted
from agent.model.plan import Blocked, Failure, Plan, Step
from agent.model.spec import Pairs

MOST_NAMES = 500
"""Names that others choose and no decision needs, in one list of a status."""
UNLED_S = 30.0
"""Seconds without a leader after which every manager reports the nodes."""
_KNOWN_DEVICES = ("lo", GWBRIDGE)
"""Every host has lo; docker_gwbridge has its own report."""


def host_status(
    observed: Observed,
    plan: Plan,
    in_flight: tuple[Step, ...],
    failures: Mapping[str, Failure],
    previous: status.HostStatus | None,
    now: str,
    version: str,
    *,
    phase: status.Phase,
    progress: Mapping[str, str] = MappingProxyType({}),
) -> status.HostStatus:
    """Return the status to write; `previous` is the last one of this host, also of an earlier run, or None.

    While dockerd does not answer, the status keeps what dockerd last reported, and `engine_up` is False. `now` is
    RFC 3339. `phase` is the planner's phase of docker_gwbridge, `progress` the progress of steps by resource.
    """
    known = previous or status.HostStatus(instance="", at="", agent_version="")
    if observed.host is None:
        seen = replace(known, engine_up=False, engine_error=observed.engine_error, state="unknown")
    else:
        seen = _seen(known, observed, observed.host, phase, now)
    return replace(
        seen,
        instance=observed.instance,
        host=observed.me,
        at=now,
        agent_version=version,
        advertise=observed.advertise,
        leading=observed.fence is not None,
        stopped=False,
        refreshed=False,
        unreachable=_unreachable(observed, known, now),
        epoch=observed.cluster.epoch if observed.cluster else known.epoch,
        joining=_joining(observed, in_flight, known),
        steps=tuple(dict.fromkeys(_with_progress(step, progress) for step in (*plan.steps, *in_flight))),
        blocked=_blocked(plan.blocked, failures),
        # That a rollout waits for a replica follows from the record and the reports, and would be one for each replica.
        waiting=tuple(
            e for e in dict.fromkeys(plan.waiting) if (e.resource[:8], e.on[:8]) != ("rollout/", "replica/")
        ),
        revision=_applied(observed, plan, in_flight, known.revision),
    )


def _unreachable(observed: Observed, known: status.HostStatus, now: str) -> Pairs:
    """Return the declared hosts without presence, and since when; empty unless this host is the leader.

    A new leader takes over the times of the leader before it, which is the last host that wrote any.
    """
    cluster, intent = observed.cluster, observed.accepted
    if observed.fence is None or cluster is None or intent is None:
        return ()
    if observed.stale:
        return known.unreachable
    led = (each for each in (*cluster.statuses.values(), known) if each.leading or each.unreachable)
    mine = known.leading and known.instance == observed.instance
    before = known if mine else max(led, key=lambda each: each.at, default=known)
    since = dict(before.unreachable)
    for name, last in cluster.statuses.items():
        if last.stopped:
            since.setdefault(name, last.at)
    return tuple(
        (each.name, since.get(each.name, now)) for each in intent.hosts if each.name not in cluster.present
    )


def _with_progress(step: Step, progress: Mapping[str, str]) -> status.StepReport:
    far = progress.get(step.resource, "")
    text, leads = f"{step} ({far})" if far else str(step), step.lane == "leader"
    return status.StepReport(resource=step.resource, verb=step.verb, text=text, leads=leads)


def _joining(observed: Observed, in_flight: tuple[Step, ...], known: status.HostStatus) -> str | None:
    """Return the swarm that this agent joins. Keep it while dockerd joins or has failed: it names no swarm then."""
    record = observed.cluster.record if observed.cluster else None
    if any(isinstance(step, steps.JoinSwarm) for step in in_flight):
        return record.swarm_id if record else None
    unsettled = observed.host is None or observed.host.swarm.local in ("pending", "error")
    return known.joining if unsettled else None


def carried_out(observed: Observed, plan: Plan, in_flight: tuple[Step, ...]) -> bool:
    """Return True if this host has carried out the accepted intent in full."""
    accepted, assignment = observed.accepted, observed.assignment
    if accepted is None or assignment is None or observed.host is None or observed.stale:
        return False
    working = any(step.lane != "leader" for step in (*plan.steps, *in_flight))
    left = any(_concerns_host(each, accepted) for each in plan.left)
    assigned = assignment.revision == accepted.revision and not assignment.pending
    return assigned and not working and not left


def _applied(observed: Observed, plan: Plan, in_flight: tuple[Step, ...], before: int) -> int:
    accepted = observed.accepted
    if accepted is None:
        return before
    if carried_out(observed, plan, in_flight):
        return accepted.revision
    # A re-created etcd begins again with low revisions.
    return before if before <= accepted.revision else 0


def _concerns_host(left: Blocked | status.Waiting, intent: Intent) -> bool:
    """Return True if `left` keeps this host from carrying out the intent; the rest concerns the leader."""
    kind, _, name = left.resource.partition("/")
    if kind == "network":
        declared = intent.network(name)
        return declared is None or declared.driver != "overlay"
    return kind in ("container", "image", "volume", "swarm", "host", "engine")


def _seen(
    known: status.HostStatus, observed: Observed, host: host_state.HostState, phase: status.Phase, now: str
) -> status.HostStatus:
    swarm, bridge = host.swarm, _bridge(observed, host, phase)
    wrong = bridge.phase != "right"
    images, networks, names = _images(host), _networks(observed, host), _foreign_names(observed, host)
    more = {
        "other images": len(host.images) - len(images),
        "networks of others": len(host.networks) - len(networks),
        "foreign names": len(names) - MOST_NAMES,
    }
    return replace(
        known,
        engine_up=True,
        engine_error="",
        **{name: getattr(host, name) for name in ("engine_version", "live_restore", "machine", "admission")},
        **{name: getattr(swarm, name) for name in ("node_id", "swarm_id", "is_manager", "managers")},
        autolock=swarm.autolock,
        state=swarm.local,
        swarm_error=swarm.error,
        other_cluster=other_cluster(host, observed.cluster.record if observed.cluster else None),
        swarm_address=swarm.address,
        joined=nodes.note_join(known.joined, host, now),
        pool=tuple(str(each) for each in swarm.pool),
        nodes=_nodes(observed, swarm.nodes),
        bridge=bridge,
        networks=tuple(_network(each, observed, wrong=wrong) for each in networks),
        images=images,
        volumes=tuple(sorted(host.volumes)),
        volume_drivers=tuple(
            (each.name, each.driver) for each in host.declared_volumes if each.driver != LOCAL_DRIVER
        ),
        left_volumes=_left_volumes(observed, host),
        foreign_names=names[:MOST_NAMES],
        routes=tuple((str(network), device) for network, device in host.routes) if wrong else (),
        addresses=tuple(
            (str(each), device) for each, device in host.addresses if device not in _KNOWN_DEVICES
        ),
        attached=host.attached if wrong else _that_matter(observed, host),
        replicas=replica_reports(observed, host),
        cut=tuple(f"{count:,} {what}" for what, count in more.items() if count > 0),
    )


def _nodes(
    observed: Observed, nodes: tuple[host_state.NodeState, ...] | None
) -> tuple[host_state.NodeState, ...] | None:
    """Return the nodes if this host is the leader, or another one needs them: each change of a node is a report.

    Without the version, which changes with each change of a node, and which a plan does not need.
    """
    ordered = observed.cluster is not None and bool(observed.cluster.membership_orders)
    if nodes is None or not (observed.fence or ordered or observed.unled_s >= UNLED_S):
        return nodes and ()
    return tuple(replace(each, version=0) for each in nodes)


def _networks(observed: Observed, host: host_state.HostState) -> tuple[host_state.NetworkState, ...]:
    """Return all networks that a decision can need, and MOST_NAMES bridges of others on this host alone."""
    intent = observed.accepted
    # Sorted: Docker's order changes from call to call, and the status must not change with it.
    listed = sorted(host.networks, key=lambda each: (each.name, each.id))
    others = [
        each
        for each in listed
        if (each.driver, each.scope) == ("bridge", "local")
        and not (each.ours or each.name in (GWBRIDGE, PARKING) or (intent and intent.network(each.name)))
    ]
    left = {each.id for each in others[MOST_NAMES:]}
    return tuple(each for each in listed if each.id not in left)


def _bridge(observed: Observed, host: host_state.HostState, phase: status.Phase) -> status.BridgeReport:
    link, intent = host.bridge_link, observed.accepted
    found = host.bridges[0] if host.bridges else None
    return status.BridgeReport(
        phase=phase,
        revision=intent.revision if intent else 0,
        mesh=has_mesh(host),
        device=link is not None,
        address=str(link.address) if link and link.address else "",
        up=link is not None and link.up,
        subnet=str(found.subnet) if found and found.subnet else "",
        gateway=(found.gateway if found else None) or "",
        options=found.options if found else (),
    )


def _foreign_names(observed: Observed, host: host_state.HostState) -> tuple[str, ...]:
    """Return the names that could collide with replicas; etcd needs to know no other container of the host."""
    if observed.accepted is None:
        return ()
    prefix = f"{observed.accepted.project}-"
    return tuple(name for name, _ in host.foreign_names if name.startswith(prefix))


def _images(host: host_state.HostState) -> tuple[str, ...]:
    """Return all wanted images that the host has, which decide, and MOST_NAMES other tags, which only `plan` uses."""
    wanted = host.images.intersection(name for name, _ in host.image_ids)
    return tuple(sorted({*wanted, *sorted(host.images - wanted)[:MOST_NAMES]}))


def _that_matter(observed: Observed, host: host_state.HostState) -> tuple[host_state.Attached, ...]:
    """Return the containers that a change of an overlay or of docker_gwbridge affects, unmanaged ones too.

    MOST_NAMES unmanaged ones that publish ports are reported too, so that a plan foresees a conflict with a replica.
    """
    accepted = observed.accepted
    overlays = {each.name for each in host.networks if each.driver == "overlay"}
    # A worker may not list an overlay now, and still have stopped containers on it.
    overlays |= {each.name for each in accepted.networks if each.driver == "overlay"} if accepted else set()
    ours = {each.id for each in host.containers}
    published = [each.id for each in host.attached if each.running and each.ports and each.id not in ours]
    known = frozenset(published[:MOST_NAMES])
    return tuple(each for each in host.attached if each.id in known or not overlays.isdisjoint(each.networks))


def _network(found: host_state.NetworkState, observed: Observed, *, wrong: bool) -> status.NetworkReport:
    slot = observed.cluster.disruption if observed.cluster else None
    known = tuple(each for each in found.labels if each in OURS or each[0] in (REFUSED, REFUSAL))
    return alike(
        status.NetworkReport,
        found,
        subnet=str(found.subnet) if found.subnet else "",
        gateway=found.gateway or "",
        labels=found.labels if found.ours else known,
        peers=found.peers if slot and slot.host == observed.me else (),
        unseen=_unseen(found, observed),
        users=others_on(found, observed.cluster) if observed.cluster else (),
        endpoints=found.endpoints if wrong else (),
    )


def _unseen(found: host_state.NetworkState, observed: Observed) -> tuple[str, ...]:
    """Return the host with the disruption slot if an overlay does not have it as a peer.

    The leader asks for no other one. With all peers each host would report for each host that goes and comes.
    """
    slot = observed.cluster.disruption if observed.cluster else None
    if slot is None or slot.host == observed.me or found.driver != "overlay" or not slot.address:
        return ()
    return () if slot.address in found.peers else (slot.host,)


def replica_reports(observed: Observed, host: host_state.HostState) -> tuple[status.ReplicaReport, ...]:
    """Return a report of every managed container on the host, in the order observed, then of removed finished ones."""
    cluster, intent, reports = observed.cluster, observed.accepted, []
    strange = {
        found.id
        for declared in (intent.networks if intent else ())
        for found in strangers(declared, host, cluster.record if cluster else None)
    }
    assigned = container.by_slot(observed.assignment.replicas) if observed.assignment else {}
    for each in host.containers:
        replica = assigned.get(each.replica.key)
        report = alike(
            status.ReplicaReport,
            each,
            service=each.replica.service,
            slot=each.replica.slot,
            spec=each.replica.spec,
            addresses=tuple(sorted(each.addresses)),
            network_ids=tuple(item for item in each.network_ids if item[1] in strange),
            reserved=replica.addresses if replica else (),
            image_now=replicas.image_now(cluster, host, each) if cluster else "",
            removed=False,
        )
        reports.append(report)
    return (*reports, *finished_reports(host))


def _left_volumes(observed: Observed, host: host_state.HostState) -> tuple[host_state.Remembered, ...]:
    """Return the anonymous volumes of replicas that are neither on the host nor assigned to it."""
    assigned = observed.assignment.replicas if observed.assignment else ()
    here = {each.replica.key for each in host.containers}.union(each.key for each in assigned)
    left = (each for each in host.remembered if each.volumes and each.key not in here)
    return tuple(replace(each, run=None) for each in left)[:MOST_NAMES]


def _blocked(blocked: Iterable[Blocked], failures: Mapping[str, Failure]) -> tuple[status.BlockedReport, ...]:
    planned = [alike(status.BlockedReport, each, attempts=0) for each in blocked]
    # Without the time of the next attempt: the key would change with each attempt, and wake the leader.
    failed = (
        status.BlockedReport(
            resource=resource,
            reason=f"{each.error} ({counted(each.attempts, 'attempt')}, will retry)",
            kind="error",
            attempts=each.attempts,
        )
        for resource, each in sorted(failures.items())
    )
    return tuple(dict.fromkeys((*planned, *failed)))
