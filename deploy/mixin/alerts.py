"""The rule file: all alerts, in the order of docs/runbook.md."""

from typing import Any

from deploy.mixin import cluster_alerts, host_alerts, service_alerts

GROUPS = (
    ("swarmkeeper-services", service_alerts.SERVICES),
    ("swarmkeeper-document", service_alerts.DOCUMENT),
    ("swarmkeeper-hosts", host_alerts.HOSTS),
    ("swarmkeeper-cluster", cluster_alerts.CLUSTER),
)


def alert_rules(runbook: str) -> dict[str, Any]:
    """Return the rule file as Prometheus reads it."""
    return {
        "groups": [
            {"name": name, "rules": [each.rule(runbook) for each in alerts]} for name, alerts in GROUPS
        ]
    }
