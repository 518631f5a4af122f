"""An overlay must not lose its last endpoint on a host while a copy is about to join it there.

dockerd takes an overlay off the host when the last container leaves it, a moment later and without a lock against one
that is just being started: that one fails with "network not found" and keeps the address it was promised (moby#32607
and its kin; docs/engine-quirks.md). So one of the copies that go waits until another one has come.
"""

from collections.abc import Iterable

from agent.model.observed import HostState
from agent.model.steps import Blocked, ConnectNetwork, CreateContainer, Plan, StartContainer, StopContainer

SWARM = "swarm"


def keep_last_endpoints(plan: Plan, host: HostState) -> Plan:
    """The plan less the chain of one copy per overlay that would be left bare while others are started."""
    stopping = {step.name for step in plan.steps if isinstance(step, StopContainer)}
    for network in sorted(_overlays(host)):
        on_it = {each.name for each in host.containers if _runs_on(network, each.addresses)}
        coming = _coming(network, plan, host)
        if on_it and on_it <= stopping and len(on_it | coming) > 1 and coming:
            plan = _hold(plan, _last(on_it, plan), network)
    return plan


def _overlays(host: HostState) -> set[str]:
    local = {each.name for each in host.networks if each.scope != SWARM}
    return {network for each in host.containers for network, _ in each.addresses} - local


def _runs_on(network: str, addresses: Iterable[tuple[str, str]]) -> bool:
    return any(name == network and address for name, address in addresses)


def _coming(network: str, plan: Plan, host: HostState) -> set[str]:
    """Names of the copies that the plan starts on it."""
    starting = {step.name for step in plan.steps if isinstance(step, StartContainer)}
    joined = {each.name for each in host.containers if network in dict(each.addresses)}
    created = (step for step in plan.steps if isinstance(step, CreateContainer))
    connected = (step for step in plan.steps if isinstance(step, ConnectNetwork))
    joined |= {step.name for step in created if network in {each.network for each in step.spec.networks}}
    joined |= {step.name for step in connected if step.attachment.network == network}
    return starting & joined


def _last(names: set[str], plan: Plan) -> str:
    """Of those that go, one that comes back if there is any: what is surplus shall not stay longer than it must."""
    replaced = names & {step.name for step in plan.steps if isinstance(step, CreateContainer)}
    return max(replaced or names)


def _hold(plan: Plan, name: str, network: str) -> Plan:
    held = Blocked(
        resource=f"container/{name}",
        reason=f"waits until another copy is on {network}, which must not lose its last one here meanwhile",
        kind="waiting",
    )
    return plan.without(frozenset({held.resource})) + Plan(blocked=(held,))
