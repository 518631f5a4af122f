"""What steps come through to the outside."""

from collections.abc import Callable
from dataclasses import dataclass

from agent.clients.docker import Engine
from agent.clients.etcd import Store
from agent.errors import LeadershipLost
from agent.lease import Session
from agent.model.keys import Keys
from agent.model.records import Tokens, UnlockKeys
from agent.model.store import Fence


@dataclass(frozen=True, slots=True, kw_only=True)
class Doors:
    """The doors to the outside, and what a leader's write needs: a lease that lasts and the fencing token."""

    engine: Engine
    store: Store
    session: Session
    keys: Keys
    me: str
    cluster: str
    fence: Callable[[], Fence | None]
    """The lock as last observed."""
    now: Callable[[], str]
    """The time of day in RFC 3339, for people."""
    told: Callable[[str, str], None] = lambda *_: None
    """Hears how far the pull of an image is, in words, many times a second."""
    seal: Callable[[Tokens], Tokens] = lambda tokens: tokens
    """What is done to join tokens before anybody who reads etcd can see them."""
    seal_keys: Callable[[UnlockKeys], UnlockKeys] = lambda keys: keys
    """As `seal`, for the swarm's unlock keys."""

    def safe_fence(self, budget_s: float) -> Fence:
        """The lock, if it is sure to last for `budget_s` seconds; raises LeadershipLost otherwise."""
        fence = self.fence()
        if fence is None:
            raise LeadershipLost("this host does not lead any more")
        if self.session.lease_id != fence.lease:
            # A new lease says nothing of a lock that hung on the last one: somebody else may have it by now.
            raise LeadershipLost("the lease that the lock hangs on is not held any more")
        if not self.session.is_safe_for(budget_s):
            raise LeadershipLost(f"the lease may end within the {budget_s:.0f} s this step may take")
        return fence
