"""A finding: one of the five states, with a fixed reason, for operators, metrics and alerts.

    Ready        as declared, observed by a current report
    Progressing  not as declared yet; an operation of Swarmkeeper is under way, and no fault is known
    Degraded     a fault that Swarmkeeper repairs or retries
    Blocked      a fault or a setting that needs the operator
    Unknown      no current report: not known, so never shown as well

A resource has exactly one state: the first that applies of Unknown, Blocked, Degraded, Progressing, Ready. The idea of
typed states with a fixed reason is that of Kubernetes' API conventions ("typical status properties").
"""

from collections.abc import Iterable
from functools import partial
from typing import Literal, NamedTuple

State = Literal["Ready", "Progressing", "Degraded", "Blocked", "Unknown"]
Reason = Literal[
    # Ready
    "Ready", "Completed", "Drained",
    # Progressing
    "Starting", "Monitoring", "Updating", "Moving", "Draining", "Joining", "ChangingRole", "ChangingBridge",
    "Rollout", "RollingBack", "NotAssigned", "WaitsForDependency", "WaitsForSlot", "NoVerdict", "Steps",
    # Degraded
    "CrashLoop", "Exited", "Failed", "Unhealthy", "StartFailed", "PullFailed", "Differs", "EngineDown", "SwarmError",
    "NotInSwarm", "NodeDown", "OtherAddress", "RolledBack", "ReplicasMissing", "NoLeader", "StateNotSaved",
    # Blocked
    "RolloutPaused", "Paused", "ObserveMode", "Refused", "WaitsForConfirmation", "NoDocument", "RolledBackStore",
    "QuorumLost", "Locked", "BridgeBlocked", "PortInUse", "NameInUse", "NoHostFits", "DependencyMissing", "Foreign",
    "Unreadable", "Unsupported", "Error", "WrongSealingKey", "StoreFull", "Duplicate", "NotRemoved",
    "NotAdmitted", "LockStuck",
    # Unknown
    "NeverSeen", "AgentStopped", "Unreachable", "NotReported", "ReportOld", "StoreUnreachable",
]  # fmt: skip
"""The fixed words, a label of metrics and a stable part of the JSON of `status`."""

SEVERITY: dict[State, int] = {"Ready": 0, "Progressing": 1, "Degraded": 2, "Blocked": 3, "Unknown": 4}


class Finding(NamedTuple):
    """A condition without its resource."""

    state: State
    reason: Reason
    text: str = ""
    command: str = ""
    cause: str = ""
    since: str = ""
    attempts: int = 0


Ready = partial(Finding, "Ready")
Progressing = partial(Finding, "Progressing")
Degraded = partial(Finding, "Degraded")
Blocked = partial(Finding, "Blocked")
Unknown = partial(Finding, "Unknown")
READY = Ready("Ready")
APPLY = "swarmkeeper apply FILE"


def severest(findings: Iterable[Finding]) -> Finding:
    """Return the first of the most severe findings; if it needs the operator, with the texts of the others that do."""
    every = tuple(findings)
    worst = max(every, key=lambda each: SEVERITY[each.state], default=READY)
    if (worst.state, worst.cause) != ("Blocked", ""):
        return worst
    texts = (each.text for each in every if (each.state, each.cause) == ("Blocked", ""))
    return worst._replace(text="; ".join(dict.fromkeys(texts)))
