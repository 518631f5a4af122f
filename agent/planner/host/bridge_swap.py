"""Replacement of docker_gwbridge under running containers, without leaving the swarm or restarting a container.

The steps are measured on real engines (docs/gwbridge.md). Every container on overlays is connected to the parking
network, and docker moves its gateway there. The bridge is replaced, and the containers are disconnected from the
parking network. Each pass plans from the observed state, so a crash in between only changes where the next one begins.
"""

from collections.abc import Iterable
from dataclasses import replace
from ipaddress import IPv4Network

from agent.diff import bridge
from agent.model import steps
from agent.model.host_state import Attached, HostState, describe
from agent.model.intent import PARKING, Intent, NetworkIntent
from agent.model.plan import Plan, Step, blocked_plan
from agent.model.spec import Pairs
from agent.model.steps import BRIDGE

_OPTIONS = (
    ("com.docker.network.bridge.enable_icc", "false"),
    ("com.docker.network.bridge.enable_ip_masquerade", "true"),
)
_NAME = "com.docker.network.bridge.name"
_SUBNETS = tuple(
    IPv4Network(each)
    for each in ("192.168.252.0/22", "172.31.252.0/22", "10.254.252.0/22", "100.127.252.0/22")
)
"""Subnets for the parking network: the ends of the private ranges, which are seldom in use."""
_INTERRUPTION = "for about 0.1 s"


def needs_disruption(intent: Intent, host: HostState) -> bool:
    """Return True if changing the bridge interrupts a working gateway.

    A bridge that is missing in docker or in the kernel needs no slot: no gateway works.
    """
    return bool(host.bridges) and (
        len(host.bridges) > 1 or bool(bridge.docker_differences(intent.gwbridge, host.bridges[0]))
    )


def swap_obstacles(intent: Intent, host: HostState) -> Plan:
    """Report faults that prevent the change of the bridge; checked before anything is removed."""
    wrong = describe(bridge.bridge_differences(intent.gwbridge, host)) or "containers without a gateway"
    if host.live_restore:
        return blocked_plan(
            BRIDGE, "guard", f"{wrong}, but live-restore is on: disable it, Swarm does not support it"
        )
    if strangers := bridge.attached_by_hand(host):
        return blocked_plan(BRIDGE, "foreign", f"{wrong}, but attached to it by hand: {', '.join(strangers)}")
    if clash := bridge.overlap(intent.gwbridge.subnet, host):
        return blocked_plan(BRIDGE, "overlap", f"{intent.gwbridge.subnet} overlaps {clash}")
    if bridge.is_begun(host):
        return Plan()
    if host.network(PARKING):
        return blocked_plan(BRIDGE, "name", f"{wrong}, but an unmanaged network is named {PARKING}")
    if _parking_subnet(intent, host) is None:
        return blocked_plan(BRIDGE, "overlap", f"{wrong}, but no subnet is free for the parking network")
    return Plan()


def plan_swap(intent: Intent, host: HostState, quorum: str) -> Plan:
    """Plan to replace the bridge and move every container's gateway onto it; `quorum` is part of the reason.

    All steps have one resource and are barriers: no other step of this host is in flight at the same time.
    """
    if bridge.bridge_is_right(intent, host):
        return Plan()
    differences = bridge.bridge_differences(intent.gwbridge, host)
    moving = bridge.to_move(host) if differences else bridge.without_gateway(host)
    parked = _parked(host)
    if (differences or moving) and (blocked := swap_obstacles(intent, host)) != Plan():
        return blocked
    todo = [*_park(intent, host, moving, swaps=bool(differences))]
    begins = bool(todo)
    if differences:
        wrong = describe(differences)
        todo.append(
            steps.SwapBridge(
                bridge=intent.gwbridge,
                old=tuple(each.id for each in host.bridges),
                release=_unowned_endpoints(host),
                before=bridge.form_before(host),
                mark=bridge.mark_of(intent.gwbridge, host),
                reason=f"{wrong}; {quorum}" if quorum else wrong,
            )
        )
    if begins or bridge.is_begun(host):
        todo += _unpark([*parked, *(each for each in moving if each not in parked)])
    return Plan(tuple(todo))


def plan_retreat(host: HostState) -> Plan:
    """Plan to undo a change that has begun: disconnect the containers from the parking network and remove it."""
    return Plan(tuple(_unpark(_parked(host)))) if bridge.is_begun(host) else Plan()


def _parked(host: HostState) -> tuple[Attached, ...]:
    """Containers on our parking network, including those that have ended."""
    return tuple(each for each in host.attached if bridge.is_begun(host) and PARKING in each.networks)


def _unowned_endpoints(host: HostState) -> Pairs:
    """Endpoints on the old bridge that belong to no running container: the ingress sandbox's and left-overs.

    An endpoint of a container that is starting, or newer than the list of containers, is excluded: docker then refuses
    to remove the bridge, and the next pass knows that container.
    """
    left_over = set(bridge.resting(host)) - host.settling
    return tuple(
        (found.id, name)
        for found in host.bridges
        for owner, name in found.endpoints
        if owner == bridge.INGRESS or owner in left_over
    )


def _park(intent: Intent, host: HostState, moving: Iterable[Attached], *, swaps: bool) -> Iterable[Step]:
    unparked = [each for each in moving if PARKING not in each.networks]
    if unparked or _loses_form(intent, host):
        # With the declared options, so that docker refuses them before anything that works is removed.
        yield from _prepare(intent, host, intent.gwbridge.options)
    for each in unparked:
        ports = f"{_ports(each)} unreachable {_INTERRUPTION}" if each.ports else "it publishes no port"
        why = "its gateway leaves docker_gwbridge" if swaps else "it has no gateway"
        yield steps.Park(container=each.id, name=each.name, network=PARKING, reason=f"{why}; {ports}")


def _loses_form(intent: Intent, host: HostState) -> bool:
    """Return True if the change removes a form of docker_gwbridge that only a note can bring back after a crash."""
    form = bridge.form_of(host)
    return form is not None and bool(bridge.docker_differences(intent.gwbridge, host.bridges[0]))


def _prepare(intent: Intent, host: HostState, options: Pairs) -> Iterable[Step]:
    subnet = _parking_subnet(intent, host)
    if host.network(PARKING) or subnet is None:
        return
    declared = {name: value for name, value in options if name != _NAME}
    network = NetworkIntent(
        key=PARKING, name=PARKING, driver="bridge", attachable=False, subnet=subnet, gateway=subnet[1],
        options=tuple(sorted({**dict(_OPTIONS), **declared}.items())),
        labels=(*bridge.OURS, *bridge.note_of(bridge.form_of(host))),
    )  # fmt: skip
    yield steps.CreateParking(network=network, reason="for the gateways while docker_gwbridge is replaced")


def _unpark(parked: Iterable[Attached]) -> Iterable[Step]:
    for each in parked:
        ports = f"; {_ports(each)} unreachable {_INTERRUPTION}" if each.ports else ""
        reason = f"its gateway returns to docker_gwbridge{ports}"
        yield steps.Unpark(container=each.id, name=each.name, network=PARKING, reason=reason)
    yield steps.RemoveParking(network=PARKING, reason="all gateways are on docker_gwbridge")


def _ports(found: Attached) -> str:
    return f"port{'s' if len(found.ports) > 1 else ''} {', '.join(found.ports)}"


def _parking_subnet(intent: Intent, host: HostState) -> IPv4Network | None:
    taken = [each.subnet for each in host.networks if each.subnet]
    taken += [each.subnet for each in intent.networks if each.subnet]
    taken += [network for network, _ in host.routes] + [each.network for each, _ in host.addresses]
    taken += [intent.gwbridge.subnet, *intent.swarm.default_addr_pool, *host.swarm.pool]
    return next((subnet for subnet in _SUBNETS if not any(map(subnet.overlaps, taken))), None)


def stays_refused(intent: Intent, host: HostState) -> tuple[Intent, Plan] | None:
    """Return (the intent with the form that stays, the blocked bridge) if docker has refused the declared form."""
    refused = bridge.refused_form(intent.gwbridge, host)
    if refused is None:
        return None
    form, error, lasts = refused
    tried = f"Remove the cause: the declared one is tried again after {bridge.TRY_AGAIN_S / 60:g} minutes"
    remedy = "Correct x-cluster.gwbridge" if lasts else tried
    reason = f"docker refuses it as declared: {error}; the earlier one was created again. {remedy}"
    return replace(intent, gwbridge=form), blocked_plan(BRIDGE, "unsupported", reason)


def plan_bridge_outside(intent: Intent, host: HostState) -> Plan:
    """Plan to bring docker_gwbridge to its declaration on a host outside a swarm, if nothing uses it."""
    if refused := stays_refused(intent, host):
        return plan_bridge_outside(refused[0], host) + refused[1]
    wrong = describe(bridge.bridge_differences(intent.gwbridge, host))
    if not wrong:
        return plan_retreat(host)
    if users := sorted({name for found in host.bridges for _, name in found.endpoints}):
        return blocked_plan(BRIDGE, "foreign", f"{wrong}, but it is in use by {', '.join(users)}")
    if clash := bridge.overlap(intent.gwbridge.subnet, host):
        return blocked_plan(BRIDGE, "overlap", f"{intent.gwbridge.subnet} overlaps {clash}")
    # Without the declared options: a host on which docker refuses them joins with the old form.
    note = tuple(_prepare(intent, host, ())) if _loses_form(intent, host) else ()
    removals = (steps.RemoveBridge(id=each.id, reason=wrong) for each in host.bridges)
    mark = bridge.mark_of(intent.gwbridge, host)
    create = steps.CreateBridge(
        bridge=intent.gwbridge, before=bridge.form_before(host), mark=mark, reason=wrong
    )
    return Plan((*note, *removals, create)) + (Plan(tuple(_unpark(()))) if note else plan_retreat(host))
