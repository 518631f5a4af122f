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
from agent.conditions.goal import Goal, Progress, goal_of, progress_to
from agent.conditions.own_host import OwnHost, own_host, with_own_report

__all__ = [
    "ClusterConditions", "Condition", "Goal", "HostCondition", "OwnHost", "Problem", "Progress",
    "ReplicaCondition", "ServiceCondition", "conditions_of", "goal_of", "own_host", "progress_to", "with_own_report",
]  # fmt: skip
