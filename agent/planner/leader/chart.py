"""How a service gets from one spec to another: a few copies at a time, each well before the next, or back again.

What must outlive the leader is in a record in etcd, and is written before the first copy is moved by it. All else is
read off the assignments and what the hosts say; a new leader only watches anew how long copies are well.
"""

from agent.model.intent import Intent
from agent.model.observed import Observed
from agent.planner.leader.course import Course
from agent.planner.leader.current import current_of
from agent.planner.leader.digests import resolved
from agent.planner.leader.rollout import Way
from agent.planner.leader.scheduler import Placing, placing_of, settled


def chart(intent: Intent, observed: Observed, placing: Placing | None = None) -> dict[str, Course]:
    """What is decided of every service, by its name, with its copies on the hosts where `placing` has them."""
    cluster = observed.cluster
    assert cluster is not None
    unreadable = {key.rpartition("/rollouts/")[2] for key, _ in cluster.garbage if "/rollouts/" in key}
    placing = placing or placing_of(intent, observed)
    current, courses = settled(intent, current_of(intent, cluster), placing), {}
    for service in intent.services:
        way = Way(service, observed, cluster, current, placing.numbers[service.name])
        courses[service.name] = way.held() if service.name in unreadable else way.course()
    return courses


def looks_again_in_s(observed: Observed) -> float:
    """In how many seconds a rollout may go on although nothing tells; 0: none does."""
    cluster = observed.cluster
    if cluster is None or not observed.fence or observed.stale or (intent := resolved(observed)) is None:
        return 0.0
    times = [each.again_s for each in chart(intent, observed).values() if each.again_s]
    return min(times, default=0.0)
