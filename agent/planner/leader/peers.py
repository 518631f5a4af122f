"""Whether the hosts that share an overlay have heard of each other there: without it names and addresses lead nowhere.

dockerd tells of an overlay which hosts' gossip about it reached this one. A host that is cut off is missed within 10 s,
one that comes is known within 1 s. What it does not tell: whether the way of the packets is open (a firewall that drops
the overlay's UDP port), and a way that is cut between two hosts only, as long as a third one reaches both
(docs/engine-quirks.md).
"""

from collections.abc import Mapping

from agent.model.intent import Intent
from agent.model.records import HostStatus


def unseen_peers(statuses: Mapping[str, HostStatus], intent: Intent, around: str = "") -> tuple[str, ...]:
    """Who does not see whom, of each two hosts with running copies on one overlay: both must see the other there.

    With `around` only what is missing between that host and the others counts. Sorted, in words; empty when all see
    each other. A host that did not say whom it sees counts as seeing nobody.
    """
    unseen: list[str] = []
    for overlay in sorted(each.name for each in intent.networks if each.driver == "overlay"):
        on_it = {name: each for name, each in sorted(statuses.items()) if _runs_on(each, overlay)}
        for name, status in on_it.items():
            seen = _peers(status, overlay)
            wanted = [other for other in on_it if other != name and around in ("", name, other)]
            if missed := [other for other in wanted if on_it[other].swarm_address not in seen]:
                unseen.append(f"{name} does not see {', '.join(missed)} on {overlay}")
    return tuple(unseen)


def _runs_on(status: HostStatus, overlay: str) -> bool:
    running = (each for each in status.copies if each.status in ("running", "paused"))
    return any(dict(each.addresses).get(overlay) for each in running)


def _peers(status: HostStatus, overlay: str) -> frozenset[str]:
    return frozenset(peer for each in status.networks if each.name == overlay for peer in each.peers)
