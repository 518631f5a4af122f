"""The leader lock: taking it, giving it back, and telling from what is seen in etcd whether it is ours.

Whether it is held is never remembered, only observed: a lock may outlive its holder's claim to it (an etcd that was
away keeps a lease alive) and a claim its lock (a frozen holder). Every leader's write compares the lock's create
revision, so a holder that is wrong about itself cannot write.
"""

from agent.clients.etcd import Store
from agent.errors import Unreachable
from agent.model.store import Compare, Delete, Fence, KeyRange, KeyValue, Put


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
