"""Prerequisites of a replica on its host: its image, volumes, networks and ports."""

import re
from collections.abc import Iterable

from agent.diff import networks
from agent.diff.capacity import is_for
from agent.diff.replicas import IN_USE, STOPPABLE, finished
from agent.model import steps
from agent.model.host_state import GOSSIP, ContainerState, HostState, describe
from agent.model.intent import Intent, NetworkIntent, Pull, VolumeIntent
from agent.model.observed import ClusterState
from agent.model.phrases import short_id
from agent.model.plan import Plan, Step, blocked_plan, waiting_plan
from agent.model.spec import ContainerSpec, Key, Port
from agent.planner.host.wanted import Wanted

# ---- Pulling an image: only before a container is created from it
#
# A running replica is not recreated because its tag names another image now; its status shows that (`image_now`).
# A new image comes with a new tag, or with `policy.resolve_digests` and a document that is put again. Both cause a
# rollout.


MAY_BE_OLD_S: dict[Pull, float] = {"always": 60.0, "daily": 86_400.0, "weekly": 604_800.0}
"""Greatest age in seconds of the last pull when a container is created from the image. For `always` it is a minute: one
pull serves all replicas of a service, and a create that keeps failing does not pull each time."""


def why_pull(image: str, policy: Pull, host: HostState) -> str | None:
    """Text to append to the reason of a pull; None: no pull is needed.

    An image named by its digest never changes and is not pulled again. Pulls by an earlier run of the agent are not
    known, so at worst the image is pulled once more.
    """
    if image not in host.images:
        return ""
    limit, age = MAY_BE_OLD_S.get(policy), host.pulled.get(image)
    if limit is None or "@" in image or (age is not None and age < limit):
        return None
    return f", pull_policy is {policy}"


# ---- A start that failed for a port of the host: the user of the port, or the remedy if there is none
#
# Docker has two errors for it. "port is already allocated" concerns its own table of ports: a container has the
# port or, after a crash of dockerd, nothing has it: dockerd restored the mapping of a removed endpoint, including
# docker-proxy, and keeps it until it restarts (docs/engine-quirks.md). "address already in use" comes from the
# kernel: a process listens on the port. Engine 28 words it in another way than 20.10 and 26.1.


_ALLOCATED = re.compile(r"Bind for \S*:(\d+) failed: port is already allocated")
_BOUND = re.compile(
    rf"(?:listen (tcp|udp)\d? \S*:(\d+): bind|host port (?:for )?(?:\[\S*?\]|[\d.]*):(\d+)\S*/(tcp|udp)): {IN_USE}"
)


def heed_ports(
    plan: Plan, spec: ContainerSpec, found: ContainerState, host: HostState, failed_with: str
) -> Plan:
    """Return the plan of one replica without its start while a container or process uses its port.

    If nothing uses the port, the start is retried, because only docker knows when its table has the port free.
    `failed_with` is the error of this agent's last start; the error in the container's state may be older.
    """
    if not any(isinstance(step, steps.StartContainer) for step in plan.steps):
        return plan
    if reason := _port_user(spec, found, host):
        others = tuple(step for step in plan.steps if not isinstance(step, steps.StartContainer))
        return plan._replace(steps=others) + blocked_plan(f"container/{found.name}", "port", reason)
    if reason := _stale_port(spec, failed_with):
        return plan + blocked_plan(f"container/{found.name}", "port", reason)
    return plan


def _port_user(spec: ContainerSpec, found: ContainerState, host: HostState) -> str:
    """Describe the user of the port for which the last start of `found` failed; empty: none is seen."""
    ports = _failed_for(spec, found.error) if _BOUND.search(found.error) else ()
    used = (port for port in ports if any(meets(port, each) for each in host.listening or ()))
    return next(map(process_on, used), "")


def process_on(port: Port) -> str:
    remedy = f"`ss -lnp 'sport = :{port.published}'` on the host shows it"
    return f"port {port_name(port)} is used by a process of the host: {remedy}"


def _stale_port(spec: ContainerSpec, failed_with: str) -> str:
    """Remedy for a port that only dockerd's table has in use; empty if the start failed for another reason."""
    ports = _failed_for(spec, failed_with) if _ALLOCATED.search(failed_with) else ()
    if not (names := " and ".join(map(port_name, ports))):
        return ""
    remedy = "run `systemctl restart docker` on this host"
    return f"nothing uses port {names}, but dockerd has kept it allocated since a crash: {remedy}"


def _failed_for(spec: ContainerSpec, error: str) -> Iterable[Port]:
    if match := _ALLOCATED.search(error):
        return [port for port in spec.ports if port.published == int(match[1])]
    if match := _BOUND.search(error):
        protocol, number = match[1] or match[4], int(match[2] or match[3])
        return [port for port in spec.ports if (port.protocol, port.published) == (protocol, number)]
    return ()


def meets(wanted: Port, taken: str) -> bool:
    """Return True if `taken` (`8080/tcp`, `10.0.0.1:8080/tcp`) conflicts with the wanted port."""
    place, _, protocol = taken.rpartition("/")
    address, _, number = place.rpartition(":")
    every = ("", "0.0.0.0", "::")  # noqa: S104 - every address, in docker's notation
    anywhere = address in every or wanted.host_ip in every
    same = (protocol, number) == (wanted.protocol, str(wanted.published))
    return same and (anywhere or address == wanted.host_ip)


def port_name(port: Port) -> str:
    return f"{port.published}/{port.protocol}"


_GOSSIP_NOT_LISTENING = (
    f"dockerd is in the swarm, but not in its networks (nothing listens on {GOSSIP}): "
    "if this lasts more than some seconds, run `systemctl restart docker` on this host"
)


class Needs:
    """The prerequisites of replicas on this host. An empty plan means that the prerequisite is met."""

    def __init__(self, intent: Intent, host: HostState, cluster: ClusterState, me: str = "") -> None:
        self._intent, self._host, self._cluster, self._me = intent, host, cluster, me
        self._beyond = _beyond(host, cluster)
        self._ready: set[str] = set()
        """Networks that have been found ready: replicas share them."""

    def admission(self, wanted: Wanted, found: ContainerState | None = None) -> Plan:
        """Report what this host does not admit of the replica; `found` is its container of that spec."""
        refused = self._host.not_admitted.get(wanted.replica.spec, "")
        if not refused and wanted.replica.key in self._beyond:
            most = self._host.most_replicas
            refused = (
                f"not admitted by this host: `max_replicas: {most}` in agent.yaml, and as many replicas run"
            )
        if not refused:
            return Plan()
        runs = found is not None and found.status in STOPPABLE
        reason = f"it runs on, and is not started again once it ends: {refused}" if runs else refused
        return blocked_plan(wanted.resource, "admission", reason)

    def image(self, wanted: Wanted) -> Plan:
        """Plan to pull the image if the service's `pull_policy` requires it and this host admits the replica."""
        if (refused := self.admission(wanted)) != Plan():
            return refused
        service = self._intent.service(wanted.replica.service)
        policy = service.pull if service else "missing"
        if (why := why_pull(wanted.spec.image, policy, self._host)) is None:
            return Plan()
        if policy == "never":
            never = f"the image {wanted.spec.image} is not on this host, and pull_policy is never"
            return blocked_plan(wanted.resource, "dependency", never)
        spec, reason = wanted.spec, f"wanted by {wanted.name}{why}"
        return Plan((steps.PullImage(image=spec.image, platform=spec.platform or "", reason=reason),))

    def host(self, wanted: Wanted) -> Plan:
        """Report what the kernel or the engine of this host does not have; dockerd would refuse the container."""
        spec, host = wanted.spec, self._host
        if spec.platform and host.machine.platform and not is_for(spec.platform, host.machine.platform):
            reason = f"it is for {spec.platform}, and the engine of this host runs {host.machine.platform}"
            return blocked_plan(wanted.resource, "unsupported", reason)
        if spec.runtime and host.runtimes and spec.runtime not in host.runtimes:
            has = ", ".join(sorted(host.runtimes))
            reason = f"docker has no runtime {spec.runtime} on this host, only {has}"
            return blocked_plan(wanted.resource, "unsupported", reason)
        for name, _ in spec.sysctls:
            if name in host.no_sysctls:
                reason = f"the kernel of this host has no sysctl {name}"
                return blocked_plan(wanted.resource, "unsupported", reason)
        return Plan()

    def volumes(self, wanted: Wanted) -> Plan:
        """Plan to create missing volumes; report missing external ones as blocked."""
        plan = Plan()
        for mount in wanted.spec.volumes:
            volume = self._intent.volume(mount.source or "") if mount.type == "volume" else None
            if volume is None:
                continue
            if volume.name in self._host.volumes:
                plan += self._strange_volume(wanted, volume)
            elif volume.external:
                reason = f"the external volume {volume.name} does not exist"
                plan += blocked_plan(wanted.resource, "dependency", reason)
            else:
                plan += Plan((steps.CreateVolume(volume=volume, reason=f"wanted by {wanted.name}"),))
        return plan

    def _strange_volume(self, wanted: Wanted, volume: VolumeIntent) -> Plan:
        """Wait while a volume of another driver or cluster has the name: immutable.py reports it."""
        found = self._host.volume(volume.name)
        if volume.external or found is None or (found.driver == volume.driver and not found.of_cluster):
            return Plan()
        other = "is of another cluster" if found.of_cluster else "has another driver"
        reason = f"volume {volume.name} of this host {other}"
        return waiting_plan(wanted.resource, reason, f"host/{self._me}")

    def networks(self, wanted: Wanted) -> Plan:
        """Plan to create missing local networks; report overlays that are not ready as blocked."""
        plan = Plan()
        for network in (each.network for each in wanted.spec.networks):
            declared = self._intent.network(network)
            if declared and declared.driver == "bridge":
                lacks = plan_local_network(declared, self._host)
                plan += lacks
                for why in lacks.blocked:
                    reason = f"network {declared.name} cannot be used here: {why.reason}"
                    plan += blocked_plan(wanted.resource, why.kind, reason)
            elif network not in self._ready:
                obstacle = self._obstacle(network, wanted.resource)
                if obstacle == Plan():
                    self._ready.add(network)
                plan += obstacle
        return plan

    def lacks_network(self, step: Step) -> bool:
        """Return True if the step needs a network that is not ready; a disconnect counts, since a connect follows."""
        match step:
            case steps.ConnectNetwork():
                return self._is_unready(step.attachment.network)
            case steps.DisconnectNetwork():
                return self._is_unready(step.network)
            case _:
                return isinstance(step, steps.StartContainer)

    def _is_unready(self, network: str) -> bool:
        declared = self._intent.network(network)
        if declared is None or declared.driver == "overlay":
            return declared is not None and self._obstacle(network, "") != Plan()
        return plan_local_network(declared, self._host) != Plan()

    def _obstacle(self, network: str, resource: str) -> Plan:
        """Return a plan in which `resource` waits for the overlay or is blocked; empty: a container can join it."""
        swarm, declared = self._host.swarm, self._intent.network(network)
        if declared and (others := networks.strangers(declared, self._host, self._cluster.record)):
            # Docker would attach the container to that one, because it resolves the name on this host.
            reason = f"on this host the name of network {network} belongs to {networks.describe_network(others[0])}"
            whole = networks.is_of_whole_swarm(declared, others[0], self._host, self._cluster.record)
            return waiting_plan(resource, reason, f"network/{network}" if whole else f"host/{self._me}")
        if declared and (kept := networks.leftovers(declared, self._host, self._cluster.record)):
            # dockerd makes the overlay on this host only when it has no other one of that name.
            reason = (
                f"network {network} is not ready: dockerd has kept the earlier overlay {short_id(kept[0].id)}"
            )
            stays = networks.why_kept(kept[0], self._host)
            return waiting_plan(resource, reason, f"host/{self._me}" if stays else f"network/{network}")
        if swarm.leaderless:
            # dockerd would wait 20 s for a raft leader to allocate the address, and leave the replica exited.
            reason = f"the swarm has no raft leader that could allocate an address on network {network}"
            return waiting_plan(resource, reason, "quorum/")
        if self._host.gossip_not_listening:
            # Each start would fail after 20 s until dockerd is restarted (docs/engine-quirks.md). That does not end
            # by itself, so the kind is one that raises the alert.
            return blocked_plan(resource, "dependency", _GOSSIP_NOT_LISTENING)
        # A worker lists an overlay only while it has a container on it, so the leader's record counts there.
        known = self._cluster.record.networks if self._cluster.record else ()
        found = networks.found_for(declared, self._host, self._cluster.record) if declared else None
        ready = network in known or (declared and found and not networks.overlay_differences(declared, found))
        if ready and swarm.local == "active" and not self._host.settles_in_s:
            return Plan()
        return waiting_plan(resource, f"network {network} is not ready yet", f"network/{network}")


def _beyond(host: HostState, cluster: ClusterState) -> frozenset[Key]:
    """Return the assigned replicas that do not run, and for which the policy has no place beside those that run."""
    if host.most_replicas is None or cluster.assignment is None:
        return frozenset()
    up = {each.replica.key for each in host.containers if each.status in STOPPABLE}
    done = {
        each.replica.key for each in host.containers if finished(cluster.specs.get(each.replica.spec), each)
    }
    rest = [each.key for each in cluster.assignment.replicas if each.key not in up | done]
    return frozenset(rest[max(host.most_replicas - len(up), 0) :])


def plan_local_network(wanted: NetworkIntent, host: HostState) -> Plan:
    """Plan to create a local network if it is missing; report one that others made or that differs."""
    # Docker resolves a name to a network of the host before an overlay of the swarm.
    named = (each for each in host.networks if each.name == wanted.name)
    found = min(named, key=lambda each: (each.scope == "swarm", each.ours, each.id), default=None)
    resource = f"network/{wanted.name}"
    if found is None and wanted.external:
        return blocked_plan(resource, "dependency", "declared external, but it does not exist")
    if found is None:
        return Plan((steps.CreateNetwork(network=wanted, reason="declared, and missing on this host"),))
    has, remedy = f"{networks.describe_network(found)} has this name", "remove it, or declare another name"
    if not found.ours and not wanted.external:
        of = " of this cluster" if found.cluster else ""
        reason = f"{has}, and no agent{of} made it: nothing of it is used or changed"
        return blocked_plan(resource, "foreign", f"{reason}; {remedy} or `external: true`")
    wrong = "" if wanted.external else describe(networks.local_differences(wanted, found))
    return blocked_plan(resource, "foreign", f"{has}: {wrong}; {remedy}") if wrong else Plan()
