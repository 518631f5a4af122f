"""The values of the keys in etcd, and their one form."""

from agent.model.records.assignment import Assignment, Copy
from agent.model.records.cluster import Disruption, LeaderRecord, Presence, Ruling, SwarmRecord, Tokens
from agent.model.records.document import Accepted, Digests, Verdict
from agent.model.records.form import NewerFormat, decode, encode
from agent.model.records.status import (
    AttachedReport,
    BlockedReport,
    BridgeReport,
    CopyReport,
    DifferenceReport,
    HostStatus,
    JoinedReport,
    NetworkReport,
    NodeReport,
    Phase,
)

__all__ = [
    "Accepted",
    "Assignment",
    "AttachedReport",
    "BlockedReport",
    "BridgeReport",
    "Copy",
    "CopyReport",
    "DifferenceReport",
    "Digests",
    "Disruption",
    "HostStatus",
    "JoinedReport",
    "LeaderRecord",
    "NetworkReport",
    "NewerFormat",
    "NodeReport",
    "Phase",
    "Presence",
    "Ruling",
    "SwarmRecord",
    "Tokens",
    "Verdict",
    "decode",
    "encode",
]
