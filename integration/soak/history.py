"""What was written to etcd in the whole run, revision by revision: only who held the lock has written as a leader."""

import base64
import json
import subprocess
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from integration.cluster import PREFIX, Cluster
from integration.lab.eventually import eventually

LEADERS = ("verdict", "accepted", "swarm", "tokens", "specs/", "assignments/", "rollouts/", "rulings/")
"""Keys that only a leader writes."""


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


def faults_in(changes: Iterable[Change]) -> list[str]:
    """What must not have been: writes of nobody's, another swarm, a document that goes back."""
    found: list[str] = []
    leader: dict[str, Any] | None = None
    swarm, accepted = None, 0
    for each in changes:
        if each.key == "leader":
            leader = each.value
        elif each.key.startswith(LEADERS) and leader is None:
            found.append(f"{each.key} was written at revision {each.revision} while nobody held the lock")
        if each.key == "swarm" and each.value and (now := each.value.get("swarm_id")):
            if swarm not in (None, now):
                found.append(f"the swarm was {swarm}, and at revision {each.revision} {now}")
            swarm = now
        if each.key == "accepted" and each.value:
            if each.value["revision"] < accepted:
                found.append(f"after document {accepted} document {each.value['revision']} was in force")
            accepted = each.value["revision"]
    return found
