"""What an agent says of itself for as long as it is there: which run of it, in which boot of which machine."""

import math
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import structlog

from agent import __version__
from agent.clients.etcd import Store
from agent.errors import Conflict, Invalid, Missing, SwarmkeeperError, Unreachable
from agent.model.records import Presence, decode, encode, timestamp
from agent.model.store import Compare, Delete, Fence, KeyRange, KeyValue, Lease, Put, SessionSettings


def presence(instance: str) -> bytes:
    """The value of the presence key from now on, for the run of the agent called `instance`."""
    return encode(
        Presence(
            instance=instance,
            boot_id=boot_id(),
            version=__version__,
            since=timestamp(time.time()),
            machine_id=machine_id(),
        )
    )


def left_here(value: bytes) -> bool:
    """Whether this presence was put by an earlier agent of this boot, so that nobody else waits for it."""
    try:
        return decode(Presence, value).boot_id == boot_id()
    except Invalid:
        return False


def boot_id() -> str:
    """The kernel's name for this boot of the machine."""
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()


def machine_id() -> str:
    """The name of the machine, machine-id(5); empty where it has none."""
    try:
        return Path("/etc/machine-id").read_text().strip()
    except OSError:
        return ""


# ---- The leader lock: taking it, giving it back, and telling from what is seen in etcd whether it is ours
#
# Whether it is held is never remembered, only observed: a lock may outlive its holder's claim to it (an etcd
# that was away keeps a lease alive) and a claim its lock (a frozen holder). Every leader's write compares the
# lock's create revision, so a holder that is wrong about itself cannot write.


def held_fence(kv: KeyValue | None, lease_id: int | None) -> Fence | None:
    """Return the lock as a fence if it hangs on our lease, else None. `lease_id` None: no lease is provably ours."""
    if kv is None or lease_id is None or kv.lease != lease_id:
        return None
    return Fence(key=kv.key, create_revision=kv.create_revision, lease=lease_id)


def campaign(store: Store, key: str, value: bytes, lease_id: int) -> Fence | None:
    """Take the lock if nobody holds it; return it as a fence when it is ours, None when somebody else has it.

    One that is ours already is success: an earlier try may have been carried out although no answer came. Raises
    Unreachable when that cannot be told, Refused, and Missing when the lease is gone.
    """
    try:
        result = store.txn([Compare(key=key, create_revision=0)], [Put(key=key, value=value, lease=lease_id)])
    except Unreachable:
        return held_fence(store.read([KeyRange(key=key)]).get(key), lease_id)
    if result.succeeded:
        return Fence(key=key, create_revision=result.revision, lease=lease_id)
    return held_fence(store.read([KeyRange(key=key)]).get(key), lease_id)


def resign(store: Store, fence: Fence) -> None:
    """Give the lock back; one that has passed on already is left to its new holder. Raises Unreachable, Refused."""
    store.txn([Compare(key=fence.key, create_revision=fence.create_revision)], [Delete(key=fence.key)])


# ---- The lease of this agent: what its presence and the leader lock hang on
#
# It has a thread and an etcd client of its own, so that no slow work and no long read ever delays a renewal.
# When the lease is lost, both are lost together, and whoever leads finds `lease_id` None.
#
# Validity is counted from *before* the renewal was sent, because etcd may have counted from any moment since,
# and on CLOCK_BOOTTIME, because a suspended machine goes on losing its lease.


log = structlog.get_logger("session")

RETRY_S = 1.0
CLOSE_S = 1.0

GRANTED = "session: granted"
LOST = "session: lost"


def boottime_s() -> float:
    """Return the seconds since boot, suspended ones included."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Held:
    """A lease with our presence on it. One value, so that no reader sees a lease with another one's validity."""

    lease_id: int
    valid_until: float
    renewed_at: float
    """When that renewal was sent."""


class Session:
    """One lease with the presence key on it. Takes over `store`, which nobody else may use: close() closes it.

    `on_change` is called with GRANTED or LOST on the session's thread whenever `lease_id` appears or goes away. The
    properties may be read from every thread.

    A presence that somebody else put there is left to him, unless `left_here` says that its value is from an earlier
    agent of this boot: there is no session before it is gone, or `reassert` insists.
    """

    def __init__(
        self,
        store: Store,
        *,
        presence_key: str,
        presence: Callable[[], bytes],
        settings: SessionSettings,
        on_change: Callable[[str], None],
        left_here: Callable[[bytes], bool] = lambda _: True,
        clock: Callable[[], float] = boottime_s,
    ) -> None:
        self._store = store
        self._presence_key = presence_key
        self._presence = presence
        self._settings = settings
        self._on_change = on_change
        self._left_here = left_here
        self._clock = clock
        self._lease: Lease | None = None
        self._held: _Held | None = None
        self._present = False
        self._insists = False
        self._contested = False
        self._unwanted: int | None = None
        self._told: int | None = None
        self._wakened = threading.Event()
        self._stopping = False
        self._thread = threading.Thread(target=self._run, name="session", daemon=True)

    @property
    def valid_until(self) -> float:
        """The instant, on the session's clock, before which etcd cannot have dropped the lease; 0 without one."""
        held = self._held
        return held.valid_until if held is not None else 0.0

    @property
    def lease_id(self) -> int | None:
        """The lease, while it is provably alive with the margin to spare and carries our presence; else None."""
        held = self._held
        return held.lease_id if held is not None and self._ends_after(held, self._clock()) else None

    @property
    def renewed_s(self) -> float:
        """How long ago etcd last granted or renewed the lease, in seconds; infinite without one."""
        held = self._held
        return self._clock() - held.renewed_at if held is not None else math.inf

    def is_safe_for(self, budget_s: float) -> bool:
        """Whether something that takes `budget_s` from now ends before the lease could."""
        held = self._held
        return held is not None and self._ends_after(held, self._clock() + budget_s)

    def _ends_after(self, held: _Held, instant: float) -> bool:
        return held.lease_id != self._unwanted and instant < held.valid_until - self._settings.margin_s

    def start(self) -> None:
        self._thread.start()

    def reassert(self, *, insist: bool = False) -> None:
        """Write the presence key again soon: its value changed, or somebody deleted it.

        `insist`: whoever has put it, as this host is the one of its name.
        """
        self._insists = self._insists or insist
        self._present = False
        self._wakened.set()

    def replace(self, lease_id: int) -> None:
        """Renew that lease no more, and take another one soon: what else hangs on it goes when it runs out.

        The presence moves to the new one, if etcd lets it.
        """
        self._unwanted = lease_id
        self._wakened.set()

    def run_once(self) -> float:
        """Do what is due: grant, renew, put the presence. Return the seconds until there is more to do."""
        try:
            wait_s = self._hold()
        except Missing as error:
            log.warning("session: lease gone", error=str(error))
            self._lease = self._held = None
            self._present = False
            wait_s = 0.0
        except Conflict as error:
            if not self._contested:
                log.warning("session: no presence", error=str(error))
            self._contested, wait_s = True, RETRY_S
        except SwarmkeeperError as error:
            # The lease is kept: an etcd out of space grants no new one, but goes on renewing those it has.
            valid_s = max(self.valid_until - self._settings.margin_s - self._clock(), 0.0)
            log.warning("session: not renewed", error=str(error), valid_s=round(valid_s, 1))
            wait_s = RETRY_S
        self._tell()
        return wait_s

    def close(self) -> None:
        """Revoke the lease, and with it all that hangs on it, within about 1 s; else it is left to expire."""
        self._stopping = True
        self._wakened.set()
        if self._thread.is_alive():
            self._thread.join(CLOSE_S)
        else:
            self._revoke()
        self._store.close()

    def _run(self) -> None:
        while not self._stopping:
            try:
                wait_s = self.run_once()
            except Exception:
                # Without this thread the agent would lose its lease for good, and nobody would say so.
                log.exception("session: unexpected fault")
                wait_s = RETRY_S
            self._wakened.wait(wait_s)
            self._wakened.clear()
        self._revoke()

    def _hold(self) -> float:
        if self._lease is not None and self._lease.id == self._unwanted:
            self._lease = self._held = None
            self._present = False
        sent = self._clock()
        if self._lease is None:
            self._lease = self._store.grant(self._settings.ttl_s)
            ttl_s = self._lease.ttl_s
        else:
            ttl_s = self._store.keepalive(self._lease.id)
            if ttl_s <= 0:
                raise Missing(f"etcd does not know lease {self._lease.id:x} any more")
        renewed = _Held(lease_id=self._lease.id, valid_until=sent + ttl_s, renewed_at=sent)
        if self._held is not None:
            self._held = renewed
        self._put_presence(self._lease.id)
        self._held = renewed
        return max(sent + self._settings.interval_s - self._clock(), 0.0)

    def _put_presence(self, lease_id: int) -> None:
        if self._present:
            return
        # Noted before it is done: a reassert() meanwhile must not be forgotten.
        self._present, insists = True, self._insists
        try:
            self._claim_presence(Put(key=self._presence_key, value=self._presence(), lease=lease_id), insists)
        except BaseException:
            self._present = False
            raise
        if insists:
            self._insists = False
        self._contested = False

    def _claim_presence(self, mine: Put, insists: bool) -> None:
        """Raises Conflict when another agent has the key."""
        if self._store.txn([Compare(key=mine.key, create_revision=0)], [mine]).succeeded:
            return
        found = self._store.read([KeyRange(key=mine.key)]).get(mine.key)
        if found and not (insists or found.lease == mine.lease or self._left_here(found.value)):
            raise Conflict("another agent is there under this host's name")
        seen = Compare(key=mine.key, mod_revision=found.mod_revision if found else 0)
        if not self._store.txn([seen], [mine]).succeeded:
            raise Conflict("somebody else changed the presence in the meantime")

    def _tell(self) -> None:
        """Say what has changed since it was last said."""
        now = self.lease_id
        before, self._told = self._told, now
        if before is not None and before != now:
            self._on_change(LOST)
        if now is not None and before != now:
            self._on_change(GRANTED)

    def _revoke(self) -> None:
        lease, self._lease, self._held = self._lease, None, None
        if lease is None:
            return
        try:
            self._store.revoke(lease.id)
        except SwarmkeeperError as error:
            log.warning("session: lease left to expire", error=str(error), ttl_s=lease.ttl_s)
