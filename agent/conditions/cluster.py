"""The conditions of a whole cluster."""

from agent.conditions.condition import ClusterConditions
from agent.model.observed import ClusterState


def conditions_of(cluster: ClusterState, *, now_s: float, store_error: str = "") -> ClusterConditions:
    """Return every condition of the cluster. `now_s` is the reader's clock, in seconds since the epoch.

    `store_error` is the alarm or the last error of etcd ("NOSPACE", "etcd does not answer"); empty: it answers.
    """
    raise NotImplementedError
