"""The panels of the dashboards, asked by a real promtool: each shows something in one of these states."""

import json
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

from tests.contract.deploy.test_alerts_of_states import MINUTES, _series, _values
from tests.support.cluster_states import CLUSTERS
from tests.support.exposed_cluster import pages

DASHBOARDS = sorted((Path(__file__).parents[3] / "deploy" / "dashboards").glob("*.json"))
CLUSTER = '"$cluster"'
STATES = ("host off for 6 minutes", "rollout paused", "bridge held", "foreign port", "crash loop, exited")
EVENTS = (
    "actions_total",
    "intent_rejections_total",
    "leader_changes_total",
    "status_write_failures_total",
    "store_errors_total",
    "container_start_failures_total",
    "replica_image_outdated",
    "waiting",
    "actions_pending",
    "changes(",
    "_duration_seconds",
    "network_info",
)
"""Panels of what these states do not have: events, the open steps of a plan, the networks of a host."""


def questions() -> Iterator[tuple[str, str]]:
    for path in DASHBOARDS:
        for panel in json.loads(path.read_text())["panels"]:
            for target in panel.get("targets", ()):
                yield f"{path.stem}: {panel['title']}", target["expr"]


def asked(expr: str) -> str:
    """Return a question with the answer 0 if the expression has a series in any of the states, as Grafana asks it."""
    text = re.sub(r'"\$(host|service)"', '".*"', expr.replace("$__rate_interval", "5m"))
    counts = (f"count({text.replace(CLUSTER, json.dumps(name))})" for name in STATES)
    return f"({' or '.join(counts)}) * 0"


def test_every_panel_shows_something(tmp_path: Path) -> None:
    found = [
        _series(
            each.name, {"job": "swarmkeeper", "instance": f"{host}:9477", **each.labels}, _values(each, name)
        )
        for name in STATES
        for host, page in pages(name, CLUSTERS[name]).items()
        for each in page or ()
        if "_bucket" not in each.name
    ]
    wanted = [(title, asked(expr)) for title, expr in questions() if not any(each in expr for each in EVENTS)]
    test = {
        "interval": "1m",
        "input_series": found,
        "promql_expr_test": [
            {
                "expr": expr,
                "eval_time": f"{MINUTES}m",
                "exp_samples": [{"labels": "{}", "value": 0}],
            }
            for _, expr in wanted
        ],
    }
    (tmp_path / "test.json").write_text(json.dumps({"rule_files": [], "tests": [test]}))

    done = subprocess.run(
        ["promtool", "test", "rules", str(tmp_path / "test.json")],
        capture_output=True,
        text=True,
        check=False,
    )

    assert len(wanted) > 30
    assert done.returncode == 0, done.stdout + done.stderr
