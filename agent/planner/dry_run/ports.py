"""Ports of new replicas that an unmanaged container of the host publishes already: their start would fail."""

from agent.model.host_state import ContainerState, HostState
from agent.model.plan import Blocked
from agent.planner.dry_run.replicas import NOW
from agent.planner.dry_run.world import World
from agent.planner.host.prerequisites import meets, port_name


def held_ports(world: World, me: str) -> tuple[Blocked, ...]:
    """Return the replicas that a dry run has started on `me` although another container publishes their port."""
    host = world.agents[me].host
    if host is None:
        return ()
    found = ((each, _holder(world, me, host, each)) for each in host.containers if each.started_at == NOW)
    return tuple(
        Blocked(resource=f"container/{each.name}", reason=reason, kind="port")
        for each, reason in found
        if reason
    )


def _holder(world: World, me: str, host: HostState, started: ContainerState) -> str:
    spec, status = world.cluster.specs.get(started.replica.spec), world.cluster.statuses.get(me)
    ours = {each.id for each in status.replicas} if status else set()
    others = [each for each in host.attached if each.running and each.id not in ours]
    for port in spec.ports if spec else ():
        for other in others:
            if any(meets(port, each) for each in other.ports):
                remedy = "stop that container, or publish another port"
                return f"port {port_name(port)} on {me} is published by container {other.name}: {remedy}"
    return ""
