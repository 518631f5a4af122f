"""The conditions of what the whole cluster shares: etcd, the document, the quorum, the leader, networks and images."""

from collections.abc import Iterator

from agent.conditions.condition import Condition
from agent.conditions.finding import APPLY, READY, Blocked, Degraded, Finding, Progressing, Unknown, severest
from agent.conditions.hosts import SHORT, in_short
from agent.conditions.reports import LEADERS, NO_SPACE, Reports, short_key
from agent.diff.nodes import quorum
from agent.model.intent import NetworkIntent
from agent.model.phrases import and_more
from agent.model.spec import registry_of
from agent.model.status import BlockedReport, HostStatus
from agent.model.store import DEFAULT_QUOTA, NEARLY_FULL, OLD_REVISIONS, Upkeep

TOKENS, ACCEPTED = "tokens", "accepted"
_SEALED = (TOKENS, "unlock")
_ROLLBACK = ("store", "confirm")
"""Resource and kind of what a host reports of a rollback of etcd."""
_MODES = {
    "paused": Blocked("Paused", "x-cluster.policy.mode is paused: the agents change nothing", APPLY),
    "observe": Blocked("ObserveMode", "x-cluster.policy.mode is observe: the agents only report", APPLY),
}

# ---- etcd and its keys


def store_finding(reports: Reports) -> Finding:
    """Return the state of etcd as the reader sees it."""
    error = reports.store_error
    if not error:
        return READY
    if NO_SPACE in error:
        return Blocked(
            "StoreFull",
            "etcd is out of space and refuses writes, so no report is current: "
            "compact and defragment it, then disarm the alarm",
            "etcdctl alarm disarm",
        )
    if error == "CORRUPT":
        text = "etcd has corrupt data and refuses writes, so no report is current: see docs/operate/backup.md"
        return Unknown("StoreUnreachable", text)
    return Unknown("StoreUnreachable", f"etcd is unreachable ({error}); running containers go on")


def upkeep_notes(upkeep: Upkeep) -> Iterator[str]:
    """Yield what to do before the database of etcd is full, and what is not known of that."""
    size, quota = upkeep.size or 0, upkeep.quota or DEFAULT_QUOTA
    if size > NEARLY_FULL * quota:
        which = "its quota" if upkeep.quota else "etcd's default quota (this etcd does not tell its own)"
        sizes = f"{size / 1e6:,.0f} of {quota / 1e6:,.0f} MB, {which}"
        yield f"etcd's database has {sizes}: compact and defragment it (docs/operate/etcd.md)"
    if upkeep.keeps_history:
        remedy = "set --auto-compaction-retention=1h (docs/operate/etcd.md)"
        yield f"etcd keeps more than {OLD_REVISIONS:,} old revisions, until its database is full: {remedy}"
    if upkeep.fault:
        yield f"not known whether etcd's database fills up: {upkeep.fault}"


def key_conditions(reports: Reports) -> tuple[Condition, ...]:
    """Return a condition for each unreadable key, and one for tokens that hosts cannot open."""
    cluster = reports.cluster
    found = {
        short_key(key): Blocked(
            "Unreadable",
            f"unreadable: {problem}; its last readable value stays valid: delete the key, or upgrade this agent "
            "if a newer one wrote it",
            f"etcdctl del {key}",
        )
        for key, problem in cluster.unreadable
    }
    for key, problem in cluster.unreadable:
        if cluster.accepted_doubt and short_key(key) == ACCEPTED:
            found[ACCEPTED] = Blocked("Unreadable", f"it does not count: {problem}", APPLY)
    damaged = {key for key, _ in cluster.unreadable}
    # Hosts do not use what this reader finds undamaged: they lack the key, or do not trust the value.
    locked: dict[str, None] = {}
    for host, each in reports.blocked:
        name = short_key(each.resource)
        if each.kind == "untrusted":
            found[name] = Blocked("Unreadable", f"not used by {host}: {each.reason}")
        elif each.kind == "unreadable" and name in _SEALED and each.resource not in damaged:
            locked[host] = None
    if locked or cluster.tokens_locked:
        on = ", ".join(locked) or "this host"
        found[TOKENS] = Blocked(
            "WrongSealingKey",
            f"{on} cannot open the join tokens: the key in tokens.key_file differs from that of the leader; "
            "copy the same key to every host",
        )
    return tuple(Condition.of("key", name, each) for name, each in sorted(found.items()))


# ---- The document


def document_condition(reports: Reports) -> Condition:
    """Return the condition of the newest document: accepted and enforced, or the reason against it."""
    document = reports.cluster.document
    return Condition.of("document", "", _document(reports), revision=document.revision if document else 0)


def _document(reports: Reports) -> Finding:
    cluster, accepted = reports.cluster, reports.accepted_revision
    if reports.store_error:
        return Unknown("StoreUnreachable", "the document is not known", cause="store/")
    stays = f"; revision {accepted} stays accepted" if accepted else ""
    if cluster.document is None:
        return Blocked("NoDocument", f"etcd has no document{stays}: apply one", APPLY)
    # Only agents with saved state can detect a rollback.
    reported = (
        f"{host}: {each.reason}" for host, each in reports.blocked if (each.resource, each.kind) == _ROLLBACK
    )
    if why := cluster.store_rolled_back or next(reported, ""):
        return Blocked(
            "RolledBackStore", f"etcd was rolled back ({why}): apply the correct document again", APPLY
        )
    verdict, revision = cluster.verdict, cluster.document.revision
    if verdict is None or verdict.revision != revision or (verdict.accepted and accepted != revision):
        return Progressing(
            "NoVerdict",
            f"the leader has published no verdict on revision {revision} yet{stays}",
            cause="leader/",
        )
    first = f"{verdict.errors[0] if verdict.errors else 'no reason given'}{and_more(len(verdict.errors))}"
    if verdict.confirm:
        command = f"swarmkeeper apply --confirm {verdict.confirm} FILE"
        return Blocked("WaitsForConfirmation", f"revision {revision} waits: {first}{stays}", command)
    if not verdict.accepted:
        return Blocked("Refused", f"revision {revision} is refused: {first}{stays}", APPLY)
    return _MODES.get(reports.mode, READY)


# ---- The quorum of the managers


def quorum_finding(reports: Reports, hosts: dict[str, Condition]) -> Finding:
    """Return the state of the quorum. Only a manager that lists the nodes proves that there is one."""
    if reports.store_error:
        return Unknown("StoreUnreachable", "the managers are not known", cause="store/")
    if reports.intent is None:
        return Progressing("NoVerdict", "no document declares managers yet", cause="document/")
    if lister := reports.lister:
        managers = [each for each in lister.nodes or () if each.role == "manager"]
        reachable = sum(each.reachable is True for each in managers)
        return READY._replace(text=f"{reachable} of {len(managers)} managers reachable")
    if reports.has_quorum:
        return READY._replace(text="a manager reaches the raft leader")
    if not reports.swarm_exists:
        return Progressing("Joining", "the swarm does not exist yet", cause=reports.swarm_work)
    names = [each.name for each in reports.intent.managers]
    working = [name for name in names if _is_manager(reports.current(name))]
    known = [each for name in names if (each := reports.current(name))]
    down = [each for each in known if not each.engine_up or each.state in ("error", "locked")]
    if not working and len(names) - len(down) >= quorum(len(names)):
        return Unknown("Unreachable", f"none of the {len(names)} managers reports the nodes")
    others = [f"{name} {_why_no_manager(hosts[name], reports)}" for name in names if name not in working]
    why = f" ({', '.join(others)})" if others else ""
    if len(working) >= quorum(len(names)):
        count = f"{len(working)} of {len(names)} managers run{why}, but they elect no raft leader"
        remedy = "open the ports 2377 and 7946 between them"
    else:
        count = f"{len(working)} of {len(names)} managers reachable{why}"
        remedy = "start the missing managers"
    return Blocked(
        "QuorumLost",
        f"{count}; running containers go on; joins, role changes and new networks wait; "
        f"{remedy} (docs/runbook.md, SwarmkeeperQuorumLost)",
    )


def _is_manager(status: HostStatus | None) -> bool:
    return status is not None and status.engine_up and status.state == "active" and status.is_manager


def _why_no_manager(host: Condition, reports: Reports) -> str:
    """Return why a declared manager does not count, in a few words: a healthy host may be a worker still."""
    status = reports.current(host.name)
    short = in_short(host, reports.now_s)
    if status is None or not status.engine_up or host.is_fault:
        return short
    if status.state != "active":
        return SHORT["NotInSwarm"]
    return short if status.is_manager else "is a worker"


# ---- The leader of the agents


def leader_finding(reports: Reports, hosts: dict[str, Condition]) -> Finding:
    """Return the state of the leader and of the work that is the leader's alone."""
    cluster = reports.cluster
    if reports.store_error:
        return Unknown("StoreUnreachable", "the leader is not known", cause="store/")
    if cluster.leader is None:
        present = len(cluster.present)
        if not present:
            return Degraded("NoLeader", "no agent runs, so none is the leader: start the agents")
        why = f"only a declared manager that lists the nodes takes it{_why_none_leads(reports, hosts)}"
        cause = "quorum/" if reports.swarm_work == "quorum/" else ""
        return Degraded("NoLeader", f"none of the {present} agents has the leader lock: {why}", cause=cause)
    # Every host sees the lock, and the leader's own report may be missing or false.
    if fault := next((each.reason for _, each in reports.blocked if each.kind == "lock"), ""):
        return Blocked("LockStuck", fault)
    if unknown := reports.why_unknown(cluster.leader):
        text = f"it has the lock, and its report is not current: {unknown.text}"
        found = Progressing("Starting") if unknown.reason == "NotReported" else unknown
        return found._replace(text=text, cause=f"host/{cluster.leader}")
    waits = (
        Progressing("Steps", f"waits to write {each.resource}: {each.reason}", cause=each.on)
        for each in reports.leader_waiting()
        if each.resource in ("swarm-record", "assignments")
    )
    blocked = (
        Degraded("NoLeader", each.reason, cause="quorum/")
        if each.resource == "nodes"
        else reports.finding(each)
        for each in reports.leader_blocked()
        if each.resource.partition("/")[0] in LEADERS
    )
    return severest((*blocked, *waits))


def _why_none_leads(reports: Reports, hosts: dict[str, Condition]) -> str:
    """Return what keeps each declared manager from the lock, as far as it is known."""
    if reports.intent is None or not reports.swarm_exists:
        return ", or any if no swarm exists yet"
    found = []
    for name in (each.name for each in reports.intent.managers):
        status = reports.current(name)
        if not _is_manager(status):
            found.append(f"{name} {_why_no_manager(hosts[name], reports)}")
        elif status and status.nodes is None:
            found.append(f"{name} lists no nodes")
    return f" ({', '.join(found)})" if found else ""


# ---- Networks


def network_condition(declared: NetworkIntent, reports: Reports, quorum_lost: bool) -> Condition:
    """Return the condition of a declared network, by its name in Docker."""
    found = severest(_network(declared, reports, quorum_lost))
    return Condition.of("network", declared.name, found, revision=reports.accepted_revision)


def _network(declared: NetworkIntent, reports: Reports, quorum_lost: bool) -> Iterator[Finding]:
    if reports.store_error:
        yield Unknown("StoreUnreachable", "the network is not known", cause="store/")
        return
    resource, record = f"network/{declared.name}", reports.cluster.record
    for host, each in reports.blocked:
        if each.resource == resource and each.kind != "unreadable":
            found = reports.finding(each)
            yield found if declared.driver == "overlay" else found._replace(text=f"on {host}: {found.text}")
    for waits in (each for _, status in reports.reporting for each in status.waiting):
        if waits.resource == resource:
            yield Progressing("Updating", waits.reason, cause=waits.on)
    if declared.driver == "overlay" and (record is None or declared.name not in record.networks):
        cause = "quorum/" if quorum_lost else reports.swarm_work
        yield Progressing("Starting", "the overlay does not exist yet", cause=cause)
    if record and declared.name in record.recreating:
        yield Progressing("Updating", "the overlay is being recreated")


# ---- Images that cannot be pulled: one problem for each registry


def image_conditions(reports: Reports) -> tuple[Condition, ...]:
    """Return a condition for each image that a host cannot pull; the first one of a registry is cause of the others."""
    failing: dict[str, tuple[BlockedReport, list[str]]] = {}
    for host, each in reports.blocked:
        kind, _, image = each.resource.partition("/")
        if kind == "image" and each.kind == "error":
            failing.setdefault(image, (each, []))[1].append(host)
    first: dict[str, str] = {}
    for image in failing:
        first.setdefault(registry_of(image), image)
    conditions = []
    for image, (blocked, on) in failing.items():
        registry = registry_of(image)
        others = [each for each in failing if each != image and registry_of(each) == registry]
        more = f"; of the same registry: {', '.join(others)}" if others and first[registry] == image else ""
        found = reports.finding(blocked, error="PullFailed")
        cause = "" if first[registry] == image else f"image/{first[registry]}"
        text = f"{', '.join(on)} cannot pull it: {found.text}{more}"
        conditions.append(Condition.of("image", image, found._replace(text=text, cause=cause)))
    return tuple(conditions)
