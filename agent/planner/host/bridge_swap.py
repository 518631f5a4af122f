"""docker_gwbridge under running containers: changed without leaving the swarm and without restarting anything.

The way is measured on real engines (docs/gwbridge.md): every overlay container is attached to a temporary bridge, where
its gateway moves to by itself, the old bridge is replaced, and the containers are taken off the temporary one again.
Each pass looks again, so what a crash leaves behind is only another beginning.
"""

from collections.abc import Iterable
from ipaddress import IPv4Network

from agent.diff import bridge
from agent.model import steps
from agent.model.host_state import Attached, HostState
from agent.model.intent import PARKING, Intent, NetworkIntent
from agent.model.plan import Plan, Step, blocked_plan
from agent.model.spec import Pairs
from agent.model.steps import BRIDGE

_OPTIONS = (
    ("com.docker.network.bridge.enable_icc", "false"),
    ("com.docker.network.bridge.enable_ip_masquerade", "true"),
)
_PLACES = tuple(
    IPv4Network(each)
    for each in ("192.168.252.0/22", "172.31.252.0/22", "10.254.252.0/22", "100.127.252.0/22")
)
"""Where the temporary network may lie: at the ends of the private ranges, where seldom anybody is."""
_AWAY = "for about 0.1 s"


def needs_disruption(intent: Intent, host: HostState) -> bool:
    """Whether bringing the bridge to the agreed form takes something away that works now.

    A bridge that is missing, or that the kernel lost, is put right at once: there is nothing to lose any more.
    """
    return bool(host.bridges) and (
        len(host.bridges) > 1 or bool(bridge.engine_faults(intent.gwbridge, host.bridges[0]))
    )


def why_held(intent: Intent, host: HostState) -> Plan:
    """What keeps the bridge from being changed, asked before anything is removed; empty when nothing does."""
    wrong = "; ".join(bridge.bridge_faults(intent.gwbridge, host)) or "containers without a gateway"
    if host.live_restore:
        return blocked_plan(
            BRIDGE, "guard", f"{wrong}, but live-restore is on: a swarm and it do not go together"
        )
    if strangers := bridge.attached_by_hand(host):
        return blocked_plan(BRIDGE, "foreign", f"{wrong}, but attached to it by hand: {', '.join(strangers)}")
    if clash := bridge.overlap(intent.gwbridge.subnet, host):
        return blocked_plan(BRIDGE, "overlap", f"{intent.gwbridge.subnet} overlaps {clash}")
    if bridge.is_begun(host):
        return Plan()
    if host.network(PARKING):
        return blocked_plan(BRIDGE, "name", f"{wrong}, but a network that is not ours is named {PARKING}")
    if _parking_place(intent, host) is None:
        return blocked_plan(
            BRIDGE, "overlap", f"{wrong}, but there is no room for the temporary network beside it"
        )
    return Plan()


def plan_swap(intent: Intent, host: HostState, quorum: str) -> Plan:
    """Bring the bridge to the agreed form, and every container's gateway onto it; `quorum` is told with it.

    All steps are of one resource and barriers: no start or stop of ours is in flight meanwhile.
    """
    if bridge.bridge_is_right(intent, host):
        return Plan()
    faults = bridge.bridge_faults(intent.gwbridge, host)
    moving = bridge.to_move(host) if faults else bridge.without_gateway(host)
    parked = _parked(host)
    if (faults or moving) and (held := why_held(intent, host)) != Plan():
        return held
    todo = [*_park(intent, host, moving, faults)]
    if faults:
        todo.append(_swap(intent, host, faults, quorum))
    if moving or bridge.is_begun(host):
        todo += _unpark([*parked, *(each for each in moving if each not in parked)])
    return Plan(tuple(todo))


def plan_retreat(host: HostState) -> Plan:
    """Take back what was begun, as far as it can be: every container off the temporary network, and that away."""
    return Plan(tuple(_unpark(_parked(host)))) if bridge.is_begun(host) else Plan()


def touched(host: HostState) -> str:
    """Whom a change of the bridge touches, in words: every container that has its gateway there, and its ports."""
    names = [
        f"{each.name} ({', '.join(each.ports)})" if each.ports else each.name for each in bridge.to_move(host)
    ]
    return ", ".join(names)


def _parked(host: HostState) -> tuple[Attached, ...]:
    """Containers on our temporary network, also those that have ended since."""
    return tuple(each for each in host.attached if bridge.is_begun(host) and PARKING in each.networks)


def _nobodys(host: HostState) -> Pairs:
    """Endpoints on a bridge that is to go which are no container's: the ingress sandbox's, and left-overs.

    One of a container that came after the list of containers was read, or that may be starting, is let be: docker
    refuses to remove the bridge then, and the next pass knows more of that container.
    """
    left_over = set(bridge.resting(host)) - host.settling
    return tuple(
        (found.id, name)
        for found in host.bridges
        for whose, name in found.endpoints
        if whose == bridge.INGRESS or whose in left_over
    )


def _park(
    intent: Intent, host: HostState, moving: Iterable[Attached], faults: tuple[str, ...]
) -> Iterable[Step]:
    going = [each for each in moving if PARKING not in each.networks]
    if going and not host.network(PARKING):
        place = _parking_place(intent, host)
        assert place is not None  # why_held has looked
        network = NetworkIntent(
            key=PARKING, name=PARKING, driver="bridge", attachable=False, subnet=place, gateway=place[1],
            options=_OPTIONS, labels=bridge.OURS,
        )  # fmt: skip
        yield steps.CreateParking(network=network, reason="a place for the gateways meanwhile")
    for each in going:
        ports = f"{_ports(each)} away {_AWAY}" if each.ports else "it publishes no port"
        why = "its gateway leaves docker_gwbridge" if faults else "it has no gateway"
        yield steps.Park(container=each.id, name=each.name, network=PARKING, reason=f"{why}; {ports}")


def _swap(intent: Intent, host: HostState, faults: tuple[str, ...], quorum: str) -> Step:
    reason = "; ".join((*faults, quorum)) if quorum else "; ".join(faults)
    return steps.SwapBridge(
        bridge=intent.gwbridge,
        old=tuple(each.id for each in host.bridges),
        release=_nobodys(host),
        reason=reason,
    )


def _unpark(parked: Iterable[Attached]) -> Iterable[Step]:
    for each in parked:
        ports = f"; {_ports(each)} away {_AWAY}" if each.ports else ""
        yield steps.Unpark(
            container=each.id, name=each.name, network=PARKING, reason=f"its gateway goes back{ports}"
        )
    yield steps.RemoveParking(network=PARKING, reason="nobody needs it any more")


def _ports(found: Attached) -> str:
    return f"port{'s' if len(found.ports) > 1 else ''} {', '.join(found.ports)}"


def _parking_place(intent: Intent, host: HostState) -> IPv4Network | None:
    taken = [each.subnet for each in host.networks if each.subnet]
    taken += [each.subnet for each in intent.networks if each.subnet]
    taken += [network for network, _ in host.routes] + [each.network for each, _ in host.addresses]
    taken += [intent.gwbridge.subnet, *intent.swarm.default_addr_pool, *host.swarm.pool]
    return next((place for place in _PLACES if not any(map(place.overlaps, taken))), None)


def plan_bridge_outside(intent: Intent, host: HostState) -> Plan:
    """Bring docker_gwbridge to the agreed form outside a swarm, where that disturbs nobody."""
    wrong = bridge.bridge_faults(intent.gwbridge, host)
    if not wrong:
        return Plan()
    if users := sorted({name for found in host.bridges for _, name in found.endpoints}):
        return blocked_plan(BRIDGE, "foreign", f"{'; '.join(wrong)}, but it is in use by {', '.join(users)}")
    if clash := bridge.overlap(intent.gwbridge.subnet, host):
        return blocked_plan(BRIDGE, "overlap", f"{intent.gwbridge.subnet} overlaps {clash}")
    reason = "; ".join(wrong)
    away: list[Step] = [steps.RemoveBridge(id=each.id, reason=reason) for each in host.bridges]
    return Plan((*away, steps.CreateBridge(bridge=intent.gwbridge, reason=reason)))
