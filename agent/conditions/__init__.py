"""Conditions: what is so, for `status`, `apply`, metrics, alerts, /readyz and systemd alike. Pure."""

from agent.conditions.cluster import conditions_of
from agent.conditions.condition import (
    ClusterConditions,
    Condition,
    HostCondition,
    Problem,
    ReplicaCondition,
    ServiceCondition,
)

__all__ = [
    "ClusterConditions",
    "Condition",
    "HostCondition",
    "Problem",
    "ReplicaCondition",
    "ServiceCondition",
    "conditions_of",
]
