"""docker_gwbridge: the same subnet, gateway and options on every host.

Docker makes a bridge of its own choice when it finds none at init or join, and refuses to change it later; so ours is
made before either. How one is changed on a host that is in a swarm: parking.py (docs/gwbridge.md).
"""

from ipaddress import IPv4Network

from agent.model.intent import GWBRIDGE, BridgeIntent, Intent
from agent.model.observed import HostState, NetworkState
from agent.model.steps import BRIDGE, CreateBridge, Plan, RemoveBridge, Step, untouched

_PREFIX = "com.docker.network.bridge."
ENGINE_DEFAULTS = {f"{_PREFIX}enable_icc": "true", f"{_PREFIX}enable_ip_masquerade": "true"}
"""What an option left out means to the engine; written out or not, it is the same bridge."""


def plan_bridge_outside(intent: Intent, host: HostState) -> Plan:
    """Bring docker_gwbridge to the agreed form outside a swarm, where that disturbs nobody."""
    wrong = bridge_faults(intent.gwbridge, host)
    if not wrong:
        return Plan()
    if users := sorted({name for bridge in host.bridges for _, name in bridge.endpoints}):
        return untouched(BRIDGE, "foreign", f"{'; '.join(wrong)}, but it is in use by {', '.join(users)}")
    if clash := overlap(intent.gwbridge.subnet, host):
        return untouched(BRIDGE, "overlap", f"{intent.gwbridge.subnet} overlaps {clash}")
    reason = "; ".join(wrong)
    steps: list[Step] = [RemoveBridge(id=each.id, reason=reason) for each in host.bridges]
    return Plan((*steps, CreateBridge(bridge=intent.gwbridge, reason=reason)))


def bridge_faults(wanted: BridgeIntent, host: HostState) -> tuple[str, ...]:
    """How docker_gwbridge differs from what was agreed, in docker and in the kernel; empty when it does not."""
    if not host.bridges:
        return ("there is no docker_gwbridge",)
    if len(host.bridges) > 1:
        return (f"there are {len(host.bridges)} networks named {GWBRIDGE}",)
    faults = engine_faults(wanted, host.bridges[0])
    return faults or _kernel_faults(wanted, host)


def overlap(subnet: IPv4Network, host: HostState) -> str:
    """What of the host shares addresses with `subnet`, in words; empty when nothing does.

    Docker answers 201 when a new bridge overlaps a route or an address of the host and leaves two equal routes
    behind, so this has to be asked before. The pool of the swarm counts as well: on an overlay that gets a subnet out
    of what is a bridge of the host no container can be started there.
    """
    for network in host.networks:
        if network.name != GWBRIDGE and network.subnet and network.subnet.overlaps(subnet):
            return f"network {network.name} ({network.subnet})"
    for route, device in host.routes:
        if device != GWBRIDGE and route.overlaps(subnet):
            return f"the route {route} dev {device}"
    for address, device in host.addresses:
        # A device that is down has no route until it is up again.
        if device != GWBRIDGE and address.network.overlaps(subnet):
            return f"the address {address} dev {device}"
    pool = next((each for each in host.swarm.pool if each.overlaps(subnet)), None)
    return f"the swarm's address pool {pool}" if pool else ""


def engine_faults(wanted: BridgeIntent, found: NetworkState) -> tuple[str, ...]:
    """How one docker_gwbridge differs from what was agreed, as docker tells it; options left out mean their default."""
    faults = []
    if found.driver != "bridge":
        faults.append(f"driver: bridge wanted, {found.driver} found")
    if found.subnet != wanted.subnet:
        faults.append(f"subnet: {wanted.subnet} wanted, {found.subnet} found")
    if found.gateway != str(wanted.gateway):
        faults.append(f"gateway: {wanted.gateway} wanted, {found.gateway} found")
    want, have = ENGINE_DEFAULTS | dict(wanted.options), ENGINE_DEFAULTS | dict(found.options)
    faults += [
        f"{name.removeprefix(_PREFIX)}: {want.get(name, 'nothing')} wanted, {have.get(name, 'nothing')} found"
        for name in sorted(want.keys() | have.keys())
        if want.get(name) != have.get(name)
    ]
    return tuple(faults)


def _kernel_faults(wanted: BridgeIntent, host: HostState) -> tuple[str, ...]:
    link = host.bridge_link
    if link is None:
        return ("the kernel has no device docker_gwbridge",)
    address = f"{wanted.gateway}/{wanted.subnet.prefixlen}"
    if str(link.address) != address:
        return (f"kernel address: {address} wanted, {link.address or 'none'} found",)
    # A bridge without ports has no carrier; "up" is the administrative state, which is what an operator can lose.
    return () if link.up else ("the device docker_gwbridge is down",)
