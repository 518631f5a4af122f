"""A leader that is killed: how long the cluster is without one that writes."""

import time

from integration.cluster import DOCUMENT, UNIT, Cluster
from integration.lab.eventually import eventually


def first_verdict_s(cluster: Cluster, within_s: float) -> float:
    """Kill the leader's agent, put a document; return the seconds from the kill to the next leader's verdict on it.

    Raises AssertionError if there is none after `within_s` seconds. The moment of the verdict is when this program
    reads it, at most one poll later than it was written.
    """
    cluster.wait_converged(int((cluster.get("accepted") or {})["revision"]), within_s)
    led_by = (cluster.get("leader") or {})["host"]
    began = time.monotonic()
    cluster.lab[led_by].systemctl("kill", "--kill-who=main", "--signal=KILL", UNIT)
    revision = cluster.put(f"{DOCUMENT.read_text()}# {began}\n")
    eventually(
        lambda: _judged(cluster, revision), within_s, f"a leader after {led_by} judges revision {revision}"
    )
    return time.monotonic() - began


def _judged(cluster: Cluster, revision: int) -> None:
    verdict = cluster.get("verdict") or {}
    assert verdict.get("revision") == revision, verdict
