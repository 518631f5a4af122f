"""What was written to etcd in the whole run, revision by revision: nothing that a leader would not have written.

etcd's history does not say who has written. A write of one who has lost the lock is found where it shows: nobody holds
the lock; a claim of `swarm init` names another host than the leader; a verdict is not on the newest document; what is
accepted, an assignment or digests are of an older document than before. A late write of what another leader would have
written as well is not told from his own here: that none is made is what integration/test_leadership.py checks, in the
log of a leader that was frozen in the middle of its work.
"""

import base64
import json
import subprocess
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from integration.cluster import PREFIX, Cluster
from integration.lab.eventually import eventually

LEADERS = (
    "verdict",
    "trial",
    "accepted",
    "swarm",
    "tokens",
    "unlock",
    "digests",
    "events",
    "history/",
    "disruption",
    "specs/",
    "assignments/",
    "rollouts/",
    "membership-orders/",
)
"""Keys that only a leader writes."""
DATED = ("accepted", "digests", "assignments/")
"""Those of them that say which epoch and document they are from."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One key at one revision; `value` None: it was deleted."""

    revision: int
    key: str
    value: dict[str, Any] | None


def read_history(cluster: Cluster) -> list[Change]:
    """Every change of the cluster's keys, oldest first. etcd must not have been compacted."""
    last = cluster.etcd_revision()
    host = cluster.operator or cluster.lab.hosts[0]
    command = ("env", "ETCDCTL_API=3", "etcdctl", f"--endpoints=http://{host.address}:2379")
    watch = ("watch", "--prefix", PREFIX, "--rev=1", "--write-out=json")
    changes: list[Change] = []
    with cluster.lab.lan.popen(
        *host.enter_command(), "timeout", "60", *command, *watch, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        try:
            for line in process.stdout:
                changes += list(_changes(json.loads(line)))
                if not changes or changes[-1].revision >= last:
                    break
        finally:
            process.kill()
    eventually(lambda: bool(changes), 1, "etcd tells its history")
    return changes


def _changes(answer: dict[str, Any]) -> Iterator[Change]:
    for event in answer.get("Events", ()):
        kv = event["kv"]
        key = base64.b64decode(kv["key"]).decode().removeprefix(PREFIX)
        deleted = event.get("type") in {1, "DELETE"}
        yield Change(revision=kv["mod_revision"], key=key, value=None if deleted else _value(key, kv))


def _value(key: str, kv: dict[str, Any]) -> dict[str, Any]:
    if key == "intent":
        return {}
    return dict(json.loads(base64.b64decode(kv.get("value", ""))))


@dataclass(slots=True)
class _Told:
    """What is there after the changes so far."""

    leader: str | None = None
    """The host that holds the lock."""
    newest: int = 0
    """Revision of the document that was put last; 0: it was deleted, or none was put."""
    swarm: str | None = None
    claimed_by: str | None = None
    dates: dict[str, tuple[int, int]] = field(default_factory=dict)
    """Epoch and document, by key."""


def faults_in(changes: Iterable[Change]) -> list[str]:
    """What must not have been: writes of somebody who does not lead, another swarm, anything that goes back."""
    told = _Told()
    return [fault for each in changes for fault in _faults_of(each, told)]


def _faults_of(change: Change, told: _Told) -> Iterator[str]:
    key, value, at = change.key, change.value, f"at revision {change.revision}"
    if key == "intent":
        told.newest = 0 if value is None else change.revision
    elif key == "leader":
        if value and told.leader not in (None, value["host"]):
            yield f"{value['host']} took the lock {at} while {told.leader} held it"
        told.leader = value["host"] if value else None
    elif key.startswith(LEADERS) and told.leader is None:
        yield f"{key} was written {at} while nobody held the lock"
    if key == "swarm":
        yield from _faults_of_swarm(value or {}, at, told)
    elif value is not None:
        yield from _faults_of_dates(key, value, at, told)


def _faults_of_dates(key: str, value: dict[str, Any], at: str, told: _Told) -> Iterator[str]:
    if key == "verdict" and value["revision"] != told.newest:
        yield f"the verdict {at} is on document {value['revision']}, and {told.newest or 'none'} was the newest"
    if key.startswith(DATED):
        now = (int(value.get("epoch", 0)), int(value["revision"]))
        if now < (before := told.dates.get(key, now)):
            yield f"{key} was of document {before[1]} (epoch {before[0]}), and {at} of {now[1]} (epoch {now[0]})"
        told.dates[key] = now


def _faults_of_swarm(value: dict[str, Any], at: str, told: _Told) -> Iterator[str]:
    claimed_by, known = value.get("claimed_by"), told.claimed_by
    told.claimed_by = claimed_by
    if claimed_by not in (None, known) and told.leader not in (None, claimed_by):
        yield f"{claimed_by} claimed the init {at} while {told.leader} led"
    if now := value.get("swarm_id"):
        if told.swarm not in (None, now):
            yield f"the swarm was {told.swarm}, and {at} {now}"
        told.swarm = now
