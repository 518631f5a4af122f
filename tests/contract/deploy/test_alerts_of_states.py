"""The alerts that fire in each named state of a cluster, by a real promtool, from the metrics that the agents expose.

No alert may call a state well that is broken: each state that is not converged fires something, makes progress, or
stands in QUIET with the reason.
"""

import json
import re
import subprocess
from pathlib import Path

import pytest

from tests.support.cluster_states import CLUSTERS, STORE_ERRORS
from tests.support.exposed_cluster import AWAY, Sample, pages

RULES = Path(__file__).parents[3] / "deploy" / "prometheus" / "alerts.yaml"
USED = set(re.findall(r"\bswarmkeeper_\w+", RULES.read_text()))
MINUTES = 50
"""Every state lasts this long: `for` of all alerts but that of a forgotten pause is shorter."""

EXPECTED: dict[str, str] = {
    "healthy": "",
    "crash loop, exited": "CrashLoop! ServiceDown!",
    "crash loop, between two exits": "CrashLoop! ServiceDown!",
    "crash loop, restarted by docker": "CrashLoop! ServiceDown!",
    "exited once": "ServiceDown!",
    "unhealthy": "ReplicasMissing",
    "health check has not passed yet": "ReplicasMissing",
    "monitor window runs": "ServiceDown!",
    "differs from its spec": "Drift",
    "paused container": "ServiceDown!",
    "start failed": "ServiceDown!",
    "replica still on its earlier host": "Drift",
    "two containers of a slot": "Drift",
    "host off for 6 minutes": "HostUnreachable QuorumAtRisk ReplicasMissing ServiceDown!",
    "host cut off from etcd": "HostUnreachable ReplicasMissing ServiceDown!",
    "host off, its last report blocked": "HostUnreachable ReplicasMissing ServiceDown!",
    "host never seen": "HostUnreachable ReplicasMissing",
    "host starting": "HostUnreachable ReplicasMissing ServiceDown!",
    "agent stopped": "HostUnreachable ReplicasMissing ServiceDown!",
    "every agent stopped": "AgentDown Unobserved!",
    "dockerd down": "DockerDown! ReplicasMissing ServiceDown!",
    "frozen: the report is old": "HostUnreachable ReplicasMissing ServiceDown!",
    "manager in error": "SwarmInactive",
    "swarm locked": "SwarmInactive",
    "outside the swarm nothing is attached": "Drift SwarmInactive",
    "outside the swarm nothing starts": "ServiceDown! SwarmInactive",
    "not in the swarm": "ReplicasMissing SwarmInactive",
    "node down": "NodeDown",
    "other address in the swarm": "HostNotAsDeclared",
    "other address on the host": "HostNotAsDeclared NodeDown",
    "duplicate node": "Blocked",
    "managers cut from each other": "QuorumLost!",
    "quorum lost": "DockerDown! HostUnreachable QuorumLost! ReplicasMissing ServiceDown!",
    "no leader": "NoLeader",
    "paused": "",
    "paused, and a host is off": "HostUnreachable ReplicasMissing ServiceDown!",
    "observe": "",
    "no document": "NotConverged",
    "document refused": "IntentRejected",
    "first document refused": "IntentRejected",
    "guard": "IntentRejected",
    "no verdict": "NotConverged",
    "etcd rolled back": "NotConverged",
    "healthy rollout": "NotConverged",
    "rollout paused": "RolloutFailed",
    "rollback under way": "NotConverged",
    "rolled back": "RolloutFailed",
    "rollback paused": "RolloutFailed",
    "first start": "ServiceDown!",
    "newest revision not assigned": "NotConverged",
    "drain under way": "NotConverged",
    "drained": "",
    "drained and off": "",
    "join under way": "QuorumAtRisk ReplicasMissing SwarmInactive",
    "wrong sealing key": "Blocked QuorumAtRisk ReplicasMissing SwarmInactive",
    "unsealed tokens": "Blocked QuorumAtRisk ReplicasMissing SwarmInactive",
    "earlier unlock key": "Blocked",
    "role change": "NotConverged",
    "bridge waits": "BridgeRolloutStuck",
    "bridge moves": "NotConverged",
    "bridge held": "Blocked Drift",
    "foreign port": "Blocked ServiceDown!",
    "foreign name": "Blocked ServiceDown!",
    "registry away": "NotConverged",
    "missing image at a first start": "ServiceDown!",
    "no host fits": "Blocked ReplicasMissing",
    "dependency waits": "ServiceDown!",
    "dependency failed": "ServiceDown!",
    "one-shot completed": "",
    "one-shot failed": "ServiceDown!",
    "unreadable key": "NotConverged",
    "unreadable status": "HostUnreachable ReplicasMissing ServiceDown! SwarmInactive",
    "undeclared host": "",
    "removed host is off": "Blocked",
    "quarantined host": "Blocked",
    "two images of a dead registry": "ReplicasMissing ServiceDown!",
    "external volume missing": "Blocked ServiceDown!",
    "setting that the kernel ignores": "Blocked",
    "setting that a host does not admit": "Blocked ServiceDown!",
    "volume that docker cannot change": "Blocked",
    "leader lock without a lease": "LeaderLockStuck!",
    "replica moves": "ReplicasMissing",
    "replica not assigned": "ServiceDown!",
    "network cannot be created": "NotConverged",
    "overlay of another network": "Blocked Drift",
    "state not saved": "Blocked",
    "etcd away": "StoreUnreachable!",
    "etcd out of space": "StoreFull!",
}
"""State -> the alerts without `Swarmkeeper`; ! is critical. Progress that stands still this long is a fault."""

WELL = {"healthy", "drained", "drained and off", "one-shot completed", "undeclared host"}
QUIET: dict[str, str] = {
    "paused": "the operator chose the mode; SwarmkeeperPaused reminds after four hours",
    "observe": "the operator chose the mode, and nothing else is wrong; the first line of status says so",
}
"""States that only status tells, and why."""


def series(name: str) -> list[dict[str, str]]:
    """Return the series of a state that the rules ask for, as promtool reads them."""
    state, found = CLUSTERS[name], []
    for host, page in pages(name, state).items():
        target = {"cluster": name, "instance": f"{host}:9477", "job": "swarmkeeper"}
        found.append(_series("up", target, f"{int(page is not None)}x{MINUTES}"))
        found.extend(
            _series(each.name, {**target, **each.labels}, _values(each, name))
            for each in page or ()
            if each.name in USED and each.labels.get("action", "swap") == "swap"
        )
    return found


def _series(metric: str, labels: dict[str, str], values: str) -> dict[str, str]:
    inner = ", ".join(f"{key}={json.dumps(value)}" for key, value in labels.items())
    return {"series": f"{metric}{{{inner}}}", "values": values}


def _values(sample: Sample, name: str) -> str:
    """Return the values over time. What grows in a state that lasts: restarts, failed writes, and the time itself."""
    growing = {
        "swarmkeeper_reconcile_last_success_timestamp_seconds": sample.value > 0,
        "swarmkeeper_container_restarts_total": _crashes(name, sample.labels),
        "swarmkeeper_status_write_failures_total": STORE_ERRORS.get(name, AWAY) != AWAY,
    }
    step = 60 if sample.name.endswith("_seconds") else 1
    return f"0+{step}x{MINUTES}" if growing.get(sample.name) else f"{sample.value:g}x{MINUTES}"


def _crashes(name: str, labels: dict[str, str]) -> bool:
    status = CLUSTERS[name].statuses.get(labels.get("host", ""))
    return any(
        (each.service, str(each.slot)) == (labels.get("service"), labels.get("slot")) and each.crashes > 1
        for each in (status.replicas if status else ())
    )


@pytest.fixture(scope="module")
def fired(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The alerts of each state, with their severities: one run of promtool over all of them."""
    folder = tmp_path_factory.mktemp("states")
    (folder / "alerts.yaml").write_text(RULES.read_text())
    asked = {
        name: f'max by (alertname, severity) (ALERTS{{alertstate="firing", cluster={json.dumps(name)}}})'
        for name in CLUSTERS
    }
    test = {
        "interval": "1m",
        "input_series": [each for name in CLUSTERS for each in series(name)],
        "promql_expr_test": [
            {"expr": expr, "eval_time": f"{MINUTES}m", "exp_samples": [_NEVER]} for expr in asked.values()
        ],
    }
    (folder / "test.json").write_text(
        json.dumps({"rule_files": ["alerts.yaml"], "evaluation_interval": "1m", "tests": [test]})
    )
    done = subprocess.run(
        ["promtool", "test", "rules", str(folder / "test.json")], capture_output=True, text=True, check=False
    )
    return _parse(done.stdout + done.stderr)


_NEVER = {"labels": '{alertname="none"}', "value": 1}
"""A sample that no state has: promtool prints what it got only where it differs."""


def _parse(output: str) -> dict[str, str]:
    found = {}
    for name, got in re.findall(r'cluster=\\"(.*?)\\"\}\)",(?:.*\n){2}\s*got: ?(.*)', output):
        alerts = re.findall(r'alertname="Swarmkeeper(\w+)", severity="(\w+)"', got)
        found[name] = " ".join(f"{alert}!" if how == "critical" else alert for alert, how in sorted(alerts))
    return found


def test_the_table_has_every_named_state() -> None:
    assert set(EXPECTED) == set(CLUSTERS)


@pytest.mark.parametrize("name", CLUSTERS)
def test_the_alerts_of_a_state(name: str, fired: dict[str, str]) -> None:
    assert fired[name] == EXPECTED[name]


@pytest.mark.parametrize("name", CLUSTERS)
def test_no_alert_calls_a_broken_state_well(name: str, fired: dict[str, str]) -> None:
    converged = name in WELL

    assert bool(fired[name]) != (converged or name in QUIET), fired[name]


@pytest.mark.parametrize("name", CLUSTERS)
def test_the_metric_of_convergence_says_the_same(name: str) -> None:
    exposed = [
        each.value
        for page in pages(name, CLUSTERS[name]).values()
        for each in page or ()
        if each.name == "swarmkeeper_cluster_converged"
    ]

    assert exposed in ([], [float(name in WELL)])
    assert exposed or name in ("every agent stopped", "no leader", "etcd away")


def test_a_service_without_a_ready_replica_is_critical(fired: dict[str, str]) -> None:
    """From the exposed numbers alone, whatever the cause."""
    down = {
        name
        for name in CLUSTERS
        for page in pages(name, CLUSTERS[name]).values()
        for each in page or ()
        if each.name == "swarmkeeper_cluster_replicas" and each.labels["state"] == "ready" and each.value == 0
    }

    assert len(down) > 20
    assert [name for name in down if not re.search(r"(ServiceDown|StoreFull)!", fired[name])] == []
