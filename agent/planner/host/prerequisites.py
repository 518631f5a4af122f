"""What has to be on the host before a copy can be made, started or attached: its image, its volumes, its networks."""

from agent.diff.networks import local_faults, overlay_faults
from agent.model.intent import Intent, NetworkIntent
from agent.model.observed import GOSSIP, ClusterState, HostState
from agent.model.steps import (
    BlockedKind,
    ConnectNetwork,
    CreateNetwork,
    CreateVolume,
    DisconnectNetwork,
    Plan,
    PullImage,
    StartContainer,
    Step,
    untouched,
)
from agent.planner.host.pulling import why_pull
from agent.planner.host.wanted import Wanted

_SILENT = (
    f"dockerd is in the swarm, but takes no part in its networks (nothing listens on {GOSSIP}): if that goes on after "
    "some seconds, `systemctl restart docker` on this host cures it"
)


class Needs:
    """What copies need, against what is there. Each part is planned by itself: an empty plan says that it is there."""

    def __init__(self, intent: Intent, host: HostState, cluster: ClusterState) -> None:
        self._intent, self._host, self._cluster = intent, host, cluster

    def image(self, wanted: Wanted) -> Plan:
        """Pull it where the service's `pull_policy` asks for that."""
        service = self._intent.service(wanted.copy.service)
        policy = service.pull if service else "missing"
        why = why_pull(wanted.spec.image, policy, self._host)
        if why is None:
            return Plan()
        if policy == "never":
            never = f"the image {wanted.spec.image} is not on this host, and pull_policy is never"
            return untouched(wanted.resource, "dependency", never)
        return Plan((PullImage(image=wanted.spec.image, reason=f"wanted by {wanted.name}{why}"),))

    def volumes(self, wanted: Wanted) -> Plan:
        """Create those that are ours to create."""
        plan = Plan()
        for mount in wanted.spec.volumes:
            volume = self._intent.volume(mount.source or "") if mount.type == "volume" else None
            if volume is None or volume.name in self._host.volumes:
                continue
            if volume.external:
                plan += untouched(
                    wanted.resource, "dependency", f"the external volume {volume.name} does not exist"
                )
            else:
                plan += Plan((CreateVolume(volume=volume, reason=f"wanted by {wanted.name}"),))
        return plan

    def networks(self, wanted: Wanted) -> Plan:
        """Create the host's own; wait for the overlays."""
        plan = Plan()
        for network in (each.network for each in wanted.spec.networks):
            declared = self._intent.network(network)
            if declared and declared.driver == "bridge":
                plan += plan_local_network(declared, self._host)
            elif why := self._why_not(network):
                plan += untouched(wanted.resource, *why)
        return plan

    def is_overlay(self, network: str) -> bool:
        """Whether it is declared as one."""
        declared = self._intent.network(network)
        return declared is not None and declared.driver == "overlay"

    def lacks_network(self, step: Step) -> bool:
        """Whether it ends in an attachment; leaving a network to come back is no better than a start that fails."""
        match step:
            case ConnectNetwork():
                return self._cannot_attach(step.attachment.network)
            case DisconnectNetwork():
                return self.is_overlay(step.network) and bool(self._why_not(step.network))
            case _:
                return isinstance(step, StartContainer)

    def _cannot_attach(self, network: str) -> bool:
        if self.is_overlay(network):
            return bool(self._why_not(network))
        declared = self._intent.network(network)
        return declared is not None and self._host.network(declared.name) is None

    def _why_not(self, network: str) -> tuple[BlockedKind, str] | None:
        """Why nothing can step onto that overlay now; None when it can."""
        swarm = self._host.swarm
        if swarm.leaderless:
            # dockerd would ask a leader for the address, wait 20 s for one, and leave the copy exited.
            return "waiting", f"the swarm has no leader that could give out an address on network {network}"
        if self._host.gossip_is_silent:
            # Each try would take 20 s to fail, until dockerd is started anew (docs/engine-quirks.md). That does not
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
        return untouched(resource, "dependency", "declared external, but it does not exist")
    if found is None:
        return Plan((CreateNetwork(network=wanted, reason="declared, and missing on this host"),))
    faults = () if wanted.external else tuple(local_faults(wanted, found))
    return untouched(resource, "foreign", "; ".join(faults)) if faults else Plan()
