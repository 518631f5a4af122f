"""A managed container compared with its assigned replica.

Managers that lost recent raft entries (the raft leader died, or was restored from a backup) allocate an address a
second time. On another host than the first, both containers run (planner/leader/address_conflicts.py); on the same
host dockerd refuses the start. The swarm keeps the address by container id, through every further start and
disconnect, so that only a new container gets another address (docs/engine-quirks.md, measured).
"""

import re
from collections.abc import Callable, Collection
from dataclasses import replace
from ipaddress import IPv4Address

from agent.diff.container import FillContext
from agent.model.host_state import ContainerState, FinishedRun, HostState, SwarmState
from agent.model.intent import GWBRIDGE, Intent
from agent.model.observed import ClusterState, Observed
from agent.model.records import Presence, Replica, seconds_of
from agent.model.spec import ContainerSpec, Key
from agent.model.status import UP, HostStatus, ReplicaReport

# ---- Two agents with one host name: the one whose machine has the declared address is that host


def namesake(observed: Observed) -> Presence | None:
    """The presence of another agent, of another boot, under this host's name; None: there is none."""
    presence = observed.cluster.presence if observed.cluster else None
    if observed.stale or presence is None or presence.instance == observed.instance:
        return None
    return presence if presence.boot_id != observed.boot_id else None


def must_not_act(observed: Observed) -> bool:
    """Return True if another agent has this host's name and this machine does not have the declared address."""
    return namesake(observed) is not None and not at_home(observed)


def declared_address(observed: Observed) -> IPv4Address | None:
    """Address of this host in the swarm, from agent.yaml or the intent; None: neither has one."""
    declared = observed.accepted.host(observed.me) if observed.accepted else None
    if observed.advertise:
        return IPv4Address(observed.advertise)
    return declared.address if declared else None


def has_address(host: HostState, wanted: IPv4Address | None) -> bool:
    return any(address.ip == wanted for address, _ in host.addresses)


def at_home(observed: Observed) -> bool:
    return observed.host is not None and has_address(observed.host, declared_address(observed))


def fill_context(intent: Intent | None, host: str, swarm: SwarmState, replica: Replica) -> FillContext:
    """The values of the placeholders of `replica`, as assigned, on `host`.

    The node id is known only while the host is in the swarm: a join in progress may still fail.
    """
    declared = intent.host(host) if intent else None
    networks = intent.networks if intent else ()
    return FillContext(
        host=host,
        service=replica.service,
        slot=replica.slot,
        node_id=swarm.node_id if swarm.local == "active" else None,
        address=str(declared.address) if declared else None,
        reserved=replica.addresses,
        local=frozenset(each.name for each in networks if each.driver != "overlay"),
    )


def container_name(project: str, replica: Replica) -> str:
    """`<project>-<service>-<slot>`, as Compose names its containers."""
    return f"{project}-{replica.service}-{replica.slot}"


CRASH_LOOP = 2
"""Runs in a row that end soon after their start and make a crash loop: a person may have caused a single end."""
EARLY_S = 10.0
"""Seconds. A run that ends this soon after its start is a crash. Docker resets its restart delay after as many."""


def ended_early(started_at: str, finished_at: str) -> bool:
    """Return True if both times are known, and the run between them was a crash."""
    began, ended = seconds_of(started_at), seconds_of(finished_at)
    return began is not None and ended is not None and 0 <= ended - began < EARLY_S


STOPPABLE = UP
"""Docker's statuses of a container that can be stopped."""


DUPLICATE_ADDRESS = "the swarm allocated it an address that another container on this host has"
_NOT_UP = ("created", "exited")


def has_duplicate_address(
    found: ContainerState | ReplicaReport, replica: Replica, spec: ContainerSpec
) -> bool:
    """Return True if every start of `found` fails for a duplicate address and a new container would get another one.

    A container with a fixed or reserved address would only request the same address again. Placeholders do not matter
    here and need no value: an existing container was created with one.
    """
    refused = found.status in _NOT_UP and is_about_an_address(found.error)
    reserved = dict(replica.addresses)
    return refused and not any(each.ipv4_address or each.network in reserved for each in spec.networks)


def is_about_an_address(error: str) -> bool:
    """Return True if docker refused a start for an address on a network: for a port its error has more text."""
    return error.strip().lower().removeprefix(_SETTING_UP) == IN_USE


_NO_NETWORK = re.compile(
    rf"{GWBRIDGE}|could not attach to network|attaching to network failed|network \S+ not found"
    "|invalid cluster node while attaching",
    re.IGNORECASE,
)
"""Docker's errors of a start that failed for a network, which the host or the swarm repairs: docker_gwbridge was
missing, or no manager of the swarm answered (docs/engine-quirks.md)."""


def is_about_a_network(error: str) -> bool:
    """Return True if docker could not start a container for a network that is missing for now."""
    return bool(_NO_NETWORK.search(error))


EMPTY_TASK = "containerd has kept an empty task of its last run, with which docker cannot start it again"
LEFT_S = 15.0
"""Seconds after the end of a run until a task of it counts as kept: containerd may be deleting it."""


def with_left_task(
    found: ContainerState, has_processes: Callable[[str], bool | None], now: float
) -> ContainerState:
    """Return `found` with its `left_task`, by docker's error of its start; `now`: seconds since the epoch."""
    in_use = found.error == "id already in use"  # engine 20.10, while the task has processes
    kept = in_use or f"task {found.id}: already exists" in found.error
    if not kept or found.status not in _NOT_UP:
        return found
    if has_processes(found.id) is not False:
        return replace(found, left_task="alive")
    lasts = not in_use and now - (seconds_of(found.finished_at) or 0.0) >= LEFT_S
    return replace(found, left_task="empty") if lasts else found


AGAIN = "-again"
"""End of the name of a new container that failed for a network twice, which counts as a refusal."""


_SETTING_UP = "failed to set up container networking: "
"""Beginning of every error of a network on engine 28."""
IN_USE = "address already in use"
"""Docker's error for an address or port in use; only after it the listening ports are read."""


def finished(spec: ContainerSpec | None, found: ContainerState | FinishedRun | ReplicaReport) -> bool:
    """Return True if a replica has exited and is not restarted: it has completed, and its agent did not stop it.

    Compose: `no` never restarts, `on-failure` only after a failure. Without a restart policy a replica is kept running.
    """
    restart = spec.restart if spec and found.status == "exited" and not found.interrupted else None
    if restart is None or restart.name in ("always", "unless-stopped"):
        return False
    if restart.name == "no":
        return bool(found.started_at) and not found.error
    exhausted = restart.max_retries and found.restarts >= restart.max_retries
    return found.exit_code == 0 or bool(exhausted)


def finished_before(host: HostState, replica: Replica, spec: ContainerSpec | None) -> bool:
    """Return True if the replica has finished with this spec, and its container was removed since."""
    memory = host.memory_of(replica.key)
    run = memory.run if memory else None
    return run is not None and run.spec == replica.spec and finished(spec, run)


def image_now(cluster: ClusterState, host: HostState, found: ContainerState) -> str:
    """Id of the image that a new container of the replica would get; empty if that is the image it has."""
    spec = cluster.specs.get(found.replica.spec)
    now = next((identity for name, identity in host.image_ids if spec and name == spec.image), "")
    return now if found.image and now != found.image else ""


def does_not_follow(status: HostStatus, intent: Intent | None, key: Key) -> bool:
    """Return True if a host reports that a replica stays as it is whatever its assignment has."""
    name = f"container/{intent.project}-{key[0]}-{key[1]}" if intent else ""
    return any((each.kind, each.resource) == ("foreign", name) for each in status.blocked)


def is_held_by_its_host(status: HostStatus, resources: Collection[str]) -> bool:
    """Return True if a host does not start a replica, one of `resources`, although the replica itself has no fault."""
    return any(each.resource in resources for each in status.waiting) or any(
        each.resource in resources and each.kind in ("admission", "dependency") for each in status.blocked
    )
