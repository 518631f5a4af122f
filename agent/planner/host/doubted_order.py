"""The doubt about an order to leave the swarm: what confirms it without trust in the writer of the order."""

from agent.diff.bridge import bridge_is_right
from agent.diff.nodes import HOST_LABEL, listed_managers, quorum
from agent.diff.replicas import declared_address
from agent.model import records
from agent.model.intent import Intent
from agent.model.observed import HostView
from agent.model.phrases import MISUSED
from agent.model.plan import Blocked, Plan
from agent.model.status import HostStatus

_DOUBTED = (
    "this host does not obey, and its replicas run on. If the swarm did remove its node, run `docker swarm leave` on "
    f"this host; if not, {MISUSED}"
)


def plan_doubted(intent: Intent, observed: HostView, order: records.MembershipOrder) -> Plan:
    """Report an order that this host does not believe; an empty plan: it does, without trust in who wrote it.

    Any host that may lead can write orders. The document, the engine of this host, or most other managers confirm it:
    the declared ones, or while none of them is a manager, those that this engine lists.
    """
    host, cluster, me = observed.host, observed.cluster, observed.me
    own, slot = cluster.statuses.get(me), cluster.disruption
    moved = host.swarm.address not in (None, str(declared_address(observed)))
    rejoins = intent.gwbridge.method == "rejoin" and slot is not None and not bridge_is_right(intent, host)
    if order.what != "force" and (intent.host(me) is None or moved):
        return Plan()
    if order.what == "leave" and rejoins and slot and (slot.host, slot.state) == (me, "acquired"):
        return Plan()
    if order.state == "error" and own and own.joining:
        return Plan()  # it has never been in that swarm
    why = "this engine has the declared address, so no other host is its node"
    if order.what != "quarantine":
        last = order.node_id or (own.joined.node_id if own and own.joined else "")
        # Before a declared manager is one, only managers that the document declares workers can tell.
        declared = [each.name for each in intent.managers if each.name != me]
        for names in (declared, [each.name for each in listed_managers(intent, host.swarm.managers, me)]):
            known = {name: cluster.status_of(name) for name in names}
            lacks = {
                name: _why_unconfirmed(each, last, me, order)
                for name, each in known.items()
                if each is None or each.is_manager or not each.engine_up
            }
            if lacks:
                break
        if lacks and list(lacks.values()).count("") >= quorum(len(lacks)):
            return Plan()
        why = ", ".join(f"{name} {each}" for name, each in lacks.items() if each)
        why = why or "no other host of the document is a manager of its swarm"
    reason = f"{order.what}: {order.reason}; but {why}: {_DOUBTED}"
    key = f"{cluster.root}membership-orders/{me}"
    return Plan(blocked=(Blocked(resource=key, reason=reason, kind="untrusted", order=order),))


def _why_unconfirmed(status: HostStatus | None, node_id: str, me: str, order: records.MembershipOrder) -> str:
    """Return why the report of a manager does not confirm that the swarm lacks this host's node; empty: it does."""
    if status is None or not status.nodes:
        return "does not report the nodes"
    if order.node_id and order.state != "error":
        return "lists its node" if any(each.id == node_id for each in status.nodes) else ""
    # A node that left, or whose engine failed, stays in the list: as down.
    mine = (each for each in status.nodes if each.id == node_id or dict(each.labels).get(HOST_LABEL) == me)
    return "lists its node" if any(each.state != "down" for each in mine) else ""
