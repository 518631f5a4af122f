"""The error for a cluster of which etcd has no key, with those that it has."""

from agent.clients.etcd import Store
from agent.errors import Invalid, Refused
from agent.model.keys import ROOT, Keys, after
from agent.model.observed import ClusterState

MOST = 20
"""Clusters that are listed; each takes one request."""


def refuse_unknown(store: Store, keys: Keys, state: ClusterState) -> None:
    """Raise Invalid if etcd has no key of the cluster. `state` is what was read of it. Raises Unreachable, Refused."""
    seen = state.document, state.accepted, state.leader, state.record, state.verdict, state.tokens
    if any(seen) or state.statuses or state.present or state.assignments or state.unreadable:
        return
    if store.first_key(keys.root, after(keys.root)) is None:
        raise Invalid(f"etcd has no cluster {keys.cluster}: {_existing(store)}")


def _existing(store: Store) -> str:
    create = "apply a document, or start an agent, to create it"
    try:
        found = clusters(store)
    except Refused:
        return f"which others it has, you have no right to read; check the name, or {create}"
    if not found:
        return f"it has no other one either; {create}"
    more = ", ..." if len(found) == MOST else ""
    return f"it has {', '.join(found)}{more}; name one of them with --cluster, or {create}"


def clusters(store: Store) -> list[str]:
    """Return the names of the first MOST clusters in etcd, without their content. Raises Unreachable, Refused."""
    found: list[str] = []
    start = ROOT
    while len(found) < MOST and (key := store.first_key(start, after(ROOT))) is not None:
        name = key.removeprefix(ROOT).partition("/")[0]
        root = Keys(name).root
        if key.startswith(root):
            found.append(name)
            start = after(root)
        else:  # a key beside the clusters
            start = f"{key}\0"
    return found
