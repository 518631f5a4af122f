"""Conditions: what is so, for `status`, `apply`, metrics, alerts, /readyz and systemd alike. Pure."""

from agent.conditions.changes import Progress, changed_services, progress_of
from agent.conditions.cluster import conditions_of
from agent.conditions.condition import (
    ClusterConditions,
    Condition,
    HostCondition,
    Problem,
    ReplicaCondition,
    ServiceCondition,
)
from agent.conditions.own_host import OwnHost, own_host

__all__ = [
    "ClusterConditions",
    "Condition",
    "HostCondition",
    "OwnHost",
    "Problem",
    "Progress",
    "ReplicaCondition",
    "ServiceCondition",
    "changed_services",
    "conditions_of",
    "own_host",
    "progress_of",
]
