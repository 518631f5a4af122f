"""The lease of an agent, with its presence and the leader lock."""

import math
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import structlog

from agent import __version__
from agent.clients.etcd import Store
from agent.errors import Conflict, Invalid, Missing, Refused, SwarmkeeperError, Unreachable
from agent.model.records import Presence, decode, encode
from agent.model.store import Compare, Delete, Fence, KeyRange, KeyValue, Lease, Put, SessionSettings


def presence(host: str, instance: str, since: str, unreported_since: str) -> bytes:
    """Return the value of the presence key of a host for the run `instance` of its agent; times as RFC 3339."""
    return encode(
        Presence(
            host=host,
            instance=instance,
            boot_id=boot_id(),
            version=__version__,
            since=since,
            machine_id=machine_id(),
            unreported_since=unreported_since,
        )
    )


def left_here(value: bytes) -> bool:
    """Return True if an earlier agent of this boot wrote this presence: then no other agent uses it."""
    try:
        return decode(Presence, value).boot_id == boot_id()
    except Invalid:
        return False


def boot_id() -> str:
    """Return the kernel's id of this boot of the machine."""
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()


def machine_id() -> str:
    """Return the machine-id(5); empty if the machine has none."""
    try:
        return Path("/etc/machine-id").read_text().strip()
    except OSError:
        return ""


# ---- The leader lock: acquire it, release it, and detect in etcd whether this agent has it
#
# The agent never remembers that it has the lock; it observes it. A lock can outlive its holder's claim (an etcd that
# was unreachable keeps a lease alive), and a claim its lock (a frozen holder). Every write of the leader compares the
# lock's create revision, so that a holder with a wrong claim cannot write.


def held_fence(kv: KeyValue | None, lease_id: int | None) -> Fence | None:
    """Return the lock as a fence if it is on the lease `lease_id`; None: it is not, or no lease is surely alive."""
    if kv is None or lease_id is None or kv.lease != lease_id:
        return None
    return Fence(key=kv.key, create_revision=kv.create_revision, lease=lease_id)


def campaign(store: Store, key: str, value: bytes, lease_id: int) -> Fence | None:
    """Acquire the lock if it is free. Return it as a fence; None: another agent has it.

    A lock that this agent has already counts as success: etcd may have carried out an attempt without an answer. Raises
    Unreachable when the outcome is unknown, Refused, and Missing when the lease is gone.
    """
    with suppress(Unreachable):
        result = store.txn([Compare(key=key, create_revision=0)], [Put(key=key, value=value, lease=lease_id)])
        if result.succeeded:
            return Fence(key=key, create_revision=result.revision, lease=lease_id)
    return held_fence(store.read([KeyRange(key=key)]).get(key), lease_id)


def resign(store: Store, fence: Fence) -> None:
    """Release the lock. A lock with a new holder is left unchanged. Raises Unreachable, Refused."""
    store.txn([Compare(key=fence.key, create_revision=fence.create_revision)], [Delete(key=fence.key)])


# ---- The lease
#
# It has its own thread and etcd client, so that no slow work or long read delays a renewal. A lost lease takes the
# presence and the lock with it, and the leader then finds `lease_id` None.
#
# Validity counts from *before* the renewal was sent, because etcd may have counted from any moment since, and on
# CLOCK_BOOTTIME, because a lease also expires while the machine is suspended.


log = structlog.get_logger("session")

RETRY_S = 1.0
CLOSE_S = 1.0

GRANTED = "session: granted"
LOST = "session: lost"

NO_ANSWER = "session: etcd does not answer; the lease is not renewed"
NOT_RENEWED = "session: cannot renew the lease"


def boottime_s() -> float:
    """Return the seconds since boot, including those in suspension."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Held:
    """A lease that carries the presence. One value, so that no reader mixes a lease with another one's validity."""

    lease_id: int
    valid_until: float
    renewed_at: float
    """Time at which the last renewal was sent."""


class Session:
    """One lease with the presence key. It owns `store`, which close() closes.

    The session's thread calls `on_change` with GRANTED or LOST whenever `lease_id` appears or disappears. Every thread
    may read the properties.

    A presence of another agent stays, unless `left_here` returns True for its value: an earlier agent of this boot
    wrote it. Until that presence is gone, or `reassert` insists, there is no session.
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
        self._present = b""
        """The presence as written; empty: it is to be written again."""
        self._insists = False
        self._contested = False
        """True if it could not be written, as the log says."""
        self._failed = ""
        """Event of the last failed renewal; empty: the last one succeeded."""
        self._unwanted: int | None = None
        self._reported: int | None = None
        self._wakened = threading.Event()
        self._stopping = False
        self._thread = threading.Thread(target=self._run, name="session", daemon=True)

    @property
    def valid_until(self) -> float:
        """Return the time on the session's clock until which etcd keeps the lease at least; 0 without a lease."""
        held = self._held
        return held.valid_until if held is not None else 0.0

    @property
    def lease_id(self) -> int | None:
        """Return the lease id while the lease carries the presence and is alive for at least the margin; else None."""
        held = self._held
        return held.lease_id if held is not None and self._ends_after(held, self._clock()) else None

    @property
    def renewed_s(self) -> float:
        """Return the seconds since etcd last granted or renewed the lease; infinite without a lease."""
        held = self._held
        return self._clock() - held.renewed_at if held is not None else math.inf

    def is_safe_for(self, budget_s: float) -> bool:
        """Return True if work of `budget_s` seconds ends before the lease can."""
        held = self._held
        return held is not None and self._ends_after(held, self._clock() + budget_s)

    def _ends_after(self, held: _Held, instant: float) -> bool:
        return held.lease_id != self._unwanted and instant < held.valid_until - self._settings.margin_s

    def start(self) -> None:
        self._thread.start()

    def reassert(self, *, insist: bool = False) -> None:
        """Write the presence key again soon: another client deleted it.

        `insist`: also over the presence of another agent, because this host is the one of that name.
        """
        self._insists = self._insists or insist
        self._present = b""
        self._wakened.set()

    def replace(self, lease_id: int) -> None:
        """Renew that lease no more and take another one soon. The other keys of the lease disappear when it expires.

        The presence moves to the new lease, if etcd permits it.
        """
        self._unwanted = lease_id
        self._wakened.set()

    def run_once(self) -> float:
        """Grant or renew the lease and write the presence, as due. Return the seconds until the next call."""
        try:
            wait_s = self._keep_alive()
        except Missing as error:
            if not self._failed:  # else etcd did not answer, which the log says already
                log.warning("session: lease lost", error=str(error))
            self._lease = self._held = None
            self._present = b""
            wait_s = 0.0
        except Conflict as error:
            self._warn_of_presence(error)
            wait_s = RETRY_S
        except SwarmkeeperError as error:
            # The agent keeps the lease: an etcd without space grants no new one and still renews the existing ones.
            valid_s = max(self.valid_until - self._settings.margin_s - self._clock(), 0.0)
            self._failed = NO_ANSWER if isinstance(error, Unreachable) else NOT_RENEWED
            log.warning(self._failed, error=str(error), valid_s=round(valid_s, 1))
            wait_s = RETRY_S
        else:
            if self._failed:
                log.info("etcd answers again: the lease is renewed", recovers=self._failed)
            self._failed = ""
        self._report()
        return wait_s

    def close(self) -> None:
        """Revoke the lease with its keys, within about 1 s; after that, leave it to expire."""
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
                # Without this thread the agent would lose its lease permanently and without a message.
                log.exception("session: unexpected error")
                wait_s = RETRY_S
            self._wakened.wait(wait_s)
            self._wakened.clear()
        self._revoke()

    def _keep_alive(self) -> float:
        if self._lease is not None and self._lease.id == self._unwanted:
            self._lease = self._held = None
            self._present = b""
        sent = self._clock()
        if self._lease is None:
            self._lease = self._store.grant(self._settings.ttl_s)
            ttl_s = self._lease.ttl_s
        else:
            ttl_s = self._store.keepalive(self._lease.id)
            if ttl_s <= 0:
                raise Missing(f"etcd has no lease {self._lease.id:x}: it expired or was revoked")
        renewed = _Held(lease_id=self._lease.id, valid_until=sent + ttl_s, renewed_at=sent)
        if self._held is not None:
            self._held = renewed
        try:
            self._put_presence(self._lease.id)
        except Refused as error:
            if self._held is None or isinstance(error, (Conflict, Missing)):
                raise
            # A full etcd renews the lease, and takes no other presence: the next renewal tries again.
            self._warn_of_presence(error)
        self._held = renewed
        return max(sent + self._settings.interval_s - self._clock(), 0.0)

    def _warn_of_presence(self, error: SwarmkeeperError) -> None:
        if not self._contested:
            log.warning("session: cannot write the presence", error=str(error))
        self._contested = True

    def _put_presence(self, lease_id: int) -> None:
        value = self._presence()
        if self._present == value:
            return
        # Set before the write, so that a reassert() meanwhile is not lost.
        self._present, insists = value, self._insists
        try:
            self._claim_presence(Put(key=self._presence_key, value=value, lease=lease_id), insists)
        except BaseException:
            self._present = b""
            raise
        if insists:
            self._insists = False
        self._contested = False

    def _claim_presence(self, mine: Put, insists: bool) -> None:
        """Write the presence key. Raises Conflict when another agent has it."""
        if self._store.txn([Compare(key=mine.key, create_revision=0)], [mine]).succeeded:
            return
        found = self._store.read([KeyRange(key=mine.key)]).get(mine.key)
        if found and not (insists or found.lease == mine.lease or self._left_here(found.value)):
            raise Conflict("another agent, or an earlier boot, has the presence of this host")
        seen = Compare(key=mine.key, mod_revision=found.mod_revision if found else 0)
        if not self._store.txn([seen], [mine]).succeeded:
            raise Conflict("another client changed the presence meanwhile")

    def _report(self) -> None:
        """Call `on_change` for what has changed since the last call."""
        now = self.lease_id
        before, self._reported = self._reported, now
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
            log.warning("session: cannot revoke the lease; it expires", error=str(error), ttl_s=lease.ttl_s)
