"""What a container of ours shows against the replica it is assigned for.

A swarm whose managers lost what they knew last (the raft leader died, or was restored from a replica) gives an
address a second time. On another host than the first one both containers run (planner/leader/address_conflicts.py);
on the same host dockerd refuses the start. The swarm remembers the address by the id of the container, through
every further start and through a disconnect, so that only another container gets another one
(docs/engine-quirks.md, measured).
"""

from ipaddress import IPv4Address

from agent.diff.container import FillContext
from agent.model.host_state import ContainerState, HostState, SwarmState
from agent.model.intent import Intent
from agent.model.observed import ClusterState, Observed
from agent.model.records import Presence, Replica
from agent.model.spec import ContainerSpec
from agent.model.status import ReplicaReport

# ---- Which of two agents that go by one host's name is the host that the intent declares


def namesake(observed: Observed) -> Presence | None:
    """Another agent that is there under this host's name, from another boot; None when there is none."""
    presence = observed.cluster.presence if observed.cluster else None
    if observed.stale or presence is None or presence.instance == observed.instance:
        return None
    return presence if presence.boot_id != observed.boot_id else None


def must_not_act(observed: Observed) -> bool:
    """Whether another agent is there under this host's name, and this one cannot show that it is the right one."""
    return namesake(observed) is not None and not at_home(observed)


def declared_address(observed: Observed) -> IPv4Address | None:
    """The address this host shall have in the swarm; None when nobody says one."""
    intent = observed.cluster.accepted if observed.cluster else None
    declared = intent.host(observed.me) if intent else None
    if observed.advertise:
        return IPv4Address(observed.advertise)
    return declared.address if declared else None


def has_address(host: HostState, wanted: IPv4Address | None) -> bool:
    """Whether a device of the host has that address."""
    return any(address.ip == wanted for address, _ in host.addresses)


def at_home(observed: Observed) -> bool:
    return observed.host is not None and has_address(observed.host, declared_address(observed))


def fill_context(intent: Intent | None, host: str, swarm: SwarmState, replica: Replica) -> FillContext:
    """What the placeholders of `replica`, as assigned, stand for on `host`.

    The node id counts only while the host is in the swarm: one of a join under way may never come to be.
    """
    declared = intent.host(host) if intent else None
    networks = intent.networks if intent else ()
    return FillContext(
        host=host,
        service=replica.service,
        slot=replica.slot,
        node_id=swarm.node_id if swarm.local == "active" else None,
        address=str(declared.address) if declared else None,
        pinned=replica.addresses,
        local=frozenset(each.name for each in networks if each.driver != "overlay"),
    )


def container_name(project: str, replica: Replica) -> str:
    """`<project>-<service>-<slot>`, as Compose names its containers."""
    return f"{project}-{replica.service}-{replica.slot}"


STOPPABLE = ("running", "paused", "restarting")
"""What a container that can be stopped is, in docker's words."""


DUPLICATE_ADDRESS = "the swarm gave it an address that this host has given to another container"
_NOT_UP = ("created", "exited")


def has_duplicate_address(
    found: ContainerState | ReplicaReport, replica: Replica, spec: ContainerSpec
) -> bool:
    """Whether no start of `found` will ever succeed, and one of a new container would.

    One that asks for its address, fixed in its `spec` or pinned for the `replica`, would only ask again. Placeholders
    say nothing of that, and need not have a value: a container that is there has been made with one.
    """
    refused = found.status in _NOT_UP and is_about_an_address(found.error)
    pinned = dict(replica.addresses)
    return refused and not any(each.ipv4_address or each.network in pinned for each in spec.networks)


def is_about_an_address(error: str) -> bool:
    """Whether docker refuses a start for the address on a network: of a port it says the same with more around it."""
    return error.strip().lower() == IN_USE


IN_USE = "address already in use"
"""In docker's words for a start that failed: only then it is worth looking who listens."""


def finished(spec: ContainerSpec, found: ContainerState | ReplicaReport) -> bool:
    """Whether an exited replica has done its work and stays so.

    Compose: `no` never starts again, `on-failure` only after a failure. A service that says nothing is kept running.
    """
    if spec.restart is None or spec.restart.name in ("always", "unless-stopped"):
        return False
    if spec.restart.name == "no":
        return bool(found.started_at) and not found.error
    tried = spec.restart.max_retries and found.restarts >= spec.restart.max_retries
    return found.exit_code == 0 or bool(tried)


def image_now(cluster: ClusterState, host: HostState, found: ContainerState) -> str:
    """Id of the image that a replica would be made of now, if that is not the one it was made of; else empty."""
    spec = cluster.specs.get(found.replica.spec)
    now = next((identity for name, identity in host.image_ids if spec and name == spec.image), "")
    return now if found.image and now != found.image else ""


HELD_BY_ITS_HOST = ("waiting", "dependency")
"""Kinds of what keeps a host from starting a replica, and is no doing of the replica."""
