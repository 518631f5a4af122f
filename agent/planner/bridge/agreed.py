"""docker_gwbridge: the same subnet, gateway and options on every host.

Docker makes a bridge of its own choice when it finds none at init or join, and refuses to change it later; so ours is
made before either. How one is changed on a host that is in a swarm: parking.py (docs/gwbridge.md).
"""

from agent.diff.bridge import bridge_faults, overlap
from agent.model.intent import Intent
from agent.model.observed import HostState
from agent.model.steps import BRIDGE, CreateBridge, Plan, RemoveBridge, Step, untouched


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
