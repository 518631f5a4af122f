"""What has to be on the host before a replica can be made, started or attached.

Its image, its volumes, its networks.
"""

import re
from collections.abc import Iterable

from agent.diff.networks import local_faults, overlay_faults
from agent.diff.replicas import IN_USE
from agent.model import steps
from agent.model.host_state import GOSSIP, ContainerState, HostState
from agent.model.intent import Intent, NetworkIntent, Pull
from agent.model.observed import ClusterState
from agent.model.plan import Blocked, BlockedKind, Plan, Step, blocked_plan
from agent.model.spec import ContainerSpec, Port
from agent.planner.host.wanted import Wanted

# ---- When an image is asked for at its registry: only ever for a container that is about to be made
#
# A replica that runs is not touched because its tag means other bytes now. That is told (`image_now`); new bytes
# come with a new tag, or with `policy.resolve_digests` and a document that is put again: both go the way of a
# rollout.


MAY_BE_OLD_S: dict[Pull, float] = {"always": 60.0, "daily": 86_400.0, "weekly": 604_800.0}
"""How long ago the last pull of an image may be when a container is made of it. `always` has a minute: time for all
replicas of a service to be made of what one pull has brought, and no more pulls than that when making one fails."""


def why_pull(image: str, policy: Pull, host: HostState) -> str | None:
    """What to say of why it is pulled, beside that it is wanted; None: it is not.

    What an image names by its digest never changes, and is not asked for again. What an earlier run of the agent has
    pulled counts for nothing here: at worst it is asked for once more.
    """
    if image not in host.images:
        return ""
    limit, age = MAY_BE_OLD_S.get(policy), host.pulled.get(image)
    if limit is None or "@" in image or (age is not None and age < limit):
        return None
    return f", pull_policy is {policy}"


# ---- A replica that could not be started for a port of the host: who has the port, or what cures it when nobody has.
#
# Docker says it in two ways. "port is already allocated" is about its own table of ports: a container has it,
# or, after a crash of dockerd in the wrong moment, nobody: the mapping of an endpoint that is gone was
# restored, docker-proxy and all, and only the next start of dockerd forgets it (docs/engine-quirks.md).
# "address already in use" is the kernel's no: a process listens there.


_ALLOCATED = re.compile(r"Bind for \S*:(\d+) failed: port is already allocated")
_BOUND = re.compile(rf"listen (tcp|udp)\d? \S*:(\d+): bind: {IN_USE}")


def heed_ports(
    plan: Plan, spec: ContainerSpec, found: ContainerState, host: HostState, failed_with: str
) -> Plan:
    """The plan of one replica, without its start while somebody is seen to have its port.

    Where nobody has it, the start is tried on, as only docker knows when it has forgotten. `failed_with` is why this
    agent's own last start failed, made when nobody was seen to have the port; what docker keeps in the container's
    state may be older than that.
    """
    if not any(isinstance(step, steps.StartContainer) for step in plan.steps):
        return plan
    if reason := _holder(spec, found, host):
        others = tuple(step for step in plan.steps if not isinstance(step, steps.StartContainer))
        return Plan(others, (*plan.blocked, _blocked(found, reason)))
    if reason := _nobodys(spec, failed_with):
        return Plan(plan.steps, (*plan.blocked, _blocked(found, reason)))
    return plan


def _holder(spec: ContainerSpec, found: ContainerState, host: HostState) -> str:
    """Who has the port that the last start of `found` failed for, in words; empty when nobody is seen to."""
    others = [each for each in host.attached if each.running and each.id != found.id]
    for port in _failed_for(spec, found.error):
        for other in others:
            if any(_meets(port, each) for each in other.ports):
                return f"port {_name(port)} is held by the container {other.name}"
        if _BOUND.search(found.error) and any(_meets(port, each) for each in host.listening or ()):
            asked = f"`ss -lnp 'sport = :{port.published}'` on the host names it"
            return f"port {_name(port)} is held by a process of the host: {asked}"
    return ""


def _nobodys(spec: ContainerSpec, failed_with: str) -> str:
    """What cures a start that failed for a port of nobody's, in words; empty for one that did not."""
    if not _ALLOCATED.search(failed_with):
        return ""
    names = " and ".join(_name(port) for port in _failed_for(spec, failed_with))
    cure = "`systemctl restart docker` on this host cures it"
    return f"nobody has port {names}, but dockerd has kept it since a crash: {cure}"


def _failed_for(spec: ContainerSpec, error: str) -> Iterable[Port]:
    """The published ports that docker's words are about."""
    if said := _ALLOCATED.search(error):
        return [port for port in spec.ports if port.published == int(said[1])]
    if said := _BOUND.search(error):
        return [port for port in spec.ports if (port.protocol, port.published) == (said[1], int(said[2]))]
    return ()


def _meets(wanted: Port, taken: str) -> bool:
    """Whether `taken` (`8080/tcp`, `10.0.0.1:8080/tcp`) leaves no room for the port."""
    place, _, protocol = taken.rpartition("/")
    address, _, number = place.rpartition(":")
    anywhere = not address or wanted.host_ip in ("", "0.0.0.0", "::")  # noqa: S104 - every address, as docker says it
    same = (protocol, number) == (wanted.protocol, str(wanted.published))
    return same and (anywhere or address == wanted.host_ip)


def _name(port: Port) -> str:
    return f"{port.published}/{port.protocol}"


def _blocked(found: ContainerState, reason: str) -> Blocked:
    return Blocked(resource=f"container/{found.name}", reason=reason, kind="port")


_SILENT = (
    f"dockerd is in the swarm, but takes no part in its networks (nothing listens on {GOSSIP}): if that goes on after "
    "some seconds, `systemctl restart docker` on this host cures it"
)


class Needs:
    """What replicas need, against what is there. Each part is planned by itself.

    An empty plan says that it is there.
    """

    def __init__(self, intent: Intent, host: HostState, cluster: ClusterState) -> None:
        self._intent, self._host, self._cluster = intent, host, cluster

    def image(self, wanted: Wanted) -> Plan:
        """Pull it where the service's `pull_policy` asks for that."""
        service = self._intent.service(wanted.replica.service)
        policy = service.pull if service else "missing"
        why = why_pull(wanted.spec.image, policy, self._host)
        if why is None:
            return Plan()
        if policy == "never":
            never = f"the image {wanted.spec.image} is not on this host, and pull_policy is never"
            return blocked_plan(wanted.resource, "dependency", never)
        return Plan((steps.PullImage(image=wanted.spec.image, reason=f"wanted by {wanted.name}{why}"),))

    def volumes(self, wanted: Wanted) -> Plan:
        """Create those that are ours to create."""
        plan = Plan()
        for mount in wanted.spec.volumes:
            volume = self._intent.volume(mount.source or "") if mount.type == "volume" else None
            if volume is None or volume.name in self._host.volumes:
                continue
            if volume.external:
                plan += blocked_plan(
                    wanted.resource, "dependency", f"the external volume {volume.name} does not exist"
                )
            else:
                plan += Plan((steps.CreateVolume(volume=volume, reason=f"wanted by {wanted.name}"),))
        return plan

    def networks(self, wanted: Wanted) -> Plan:
        """Create the host's own; wait for the overlays."""
        plan = Plan()
        for network in (each.network for each in wanted.spec.networks):
            declared = self._intent.network(network)
            if declared and declared.driver == "bridge":
                plan += plan_local_network(declared, self._host)
            elif why := self._why_not(network):
                plan += blocked_plan(wanted.resource, *why)
        return plan

    def is_overlay(self, network: str) -> bool:
        """Whether it is declared as one."""
        declared = self._intent.network(network)
        return declared is not None and declared.driver == "overlay"

    def lacks_network(self, step: Step) -> bool:
        """Whether it ends in an attachment; leaving a network to come back is no better than a start that fails."""
        match step:
            case steps.ConnectNetwork():
                return self._cannot_attach(step.attachment.network)
            case steps.DisconnectNetwork():
                return self.is_overlay(step.network) and bool(self._why_not(step.network))
            case _:
                return isinstance(step, steps.StartContainer)

    def _cannot_attach(self, network: str) -> bool:
        if self.is_overlay(network):
            return bool(self._why_not(network))
        declared = self._intent.network(network)
        return declared is not None and self._host.network(declared.name) is None

    def _why_not(self, network: str) -> tuple[BlockedKind, str] | None:
        """Why nothing can step onto that overlay now; None when it can."""
        swarm = self._host.swarm
        if swarm.leaderless:
            # dockerd would ask a leader for the address, wait 20 s for one, and leave the replica exited.
            return "waiting", f"the swarm has no leader that could give out an address on network {network}"
        if self._host.gossip_not_listening:
            # Each try would take 20 s to fail, until dockerd is restarted (docs/engine-quirks.md). That does not
            # end by itself, so it is of a kind that raises the alert.
            return "dependency", _SILENT
        # A worker lists an overlay only while a container of its own is on it, so the leader's word counts there.
        known = self._cluster.record.networks if self._cluster.record else ()
        settled = swarm.local == "active" and not self._host.settles_in_s
        ready = settled and (network in known or self._sees_ready(network))
        return None if ready else ("waiting", f"network {network} is not ready yet")

    def _sees_ready(self, network: str) -> bool:
        declared, found = self._intent.network(network), self._host.network(network)
        return bool(declared and found and not overlay_faults(declared, found))


def plan_local_network(wanted: NetworkIntent, host: HostState) -> Plan:
    """A bridge network of this host: created when missing and not external, never changed."""
    found, resource = host.network(wanted.name), f"network/{wanted.name}"
    if found is None and wanted.external:
        return blocked_plan(resource, "dependency", "declared external, but it does not exist")
    if found is None:
        return Plan((steps.CreateNetwork(network=wanted, reason="declared, and missing on this host"),))
    faults = () if wanted.external else tuple(local_faults(wanted, found))
    return blocked_plan(resource, "foreign", "; ".join(faults)) if faults else Plan()
