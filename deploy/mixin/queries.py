"""Queries that several alerts and panels share.

The leader alone exposes the metrics of the cluster. `max by (cluster, ...)` therefore drops the leader's own `host`, so
that a new leader continues the series and resets no alert.
"""

import re

JOB = "swarmkeeper"
"""Name of the scrape job, as in deploy/prometheus/scrape.yaml."""
PREFIX = "swarmkeeper_"


def cluster(name: str, *by: str, **labels: str) -> str:
    """Return the query for a metric of the cluster, without the label of the leader that exposes it.

    A value of `labels` that begins with ~ or !~ is a regular expression.
    """
    selector = ", ".join(f"{label}{_match(value)}" for label, value in labels.items())
    return f"max by ({', '.join(('cluster', *by))}) ({PREFIX}cluster_{name}{{{selector}}})"


def _match(value: str) -> str:
    operator = re.match("!?~|", value)
    sign = {"~": "=~", "!~": "!~"}.get(operator[0] if operator else "", "=")
    return f'{sign}"{value.lstrip("!~")}"'


def ready_average(minutes: int) -> str:
    """Return the query for the ready replicas of each service, averaged over time and over changes of the leader.

    A short life in a crash loop changes an average little, where it resets `for`.
    """
    series = f'{PREFIX}cluster_replicas{{state="ready"}}[{minutes}m]'
    total, samples = (f"sum by (cluster, service) ({over}_over_time({series}))" for over in ("sum", "count"))
    return f"{total} / {samples}"


DESIRED = cluster("replicas", "service", state="desired")
STORE_FULL = cluster("condition", reason="StoreFull") + " > 0"
STORE_AWAY = f"max by (cluster) ({PREFIX}store_up) == 0"
ABSENT_HOSTS = (
    f"sum by (cluster) ({cluster('host_state', 'name', state='Unknown')} "
    f"or {cluster('host_state', 'name', reason='Drained')})"
)
"""Hosts that may be down without a further alert: they have one, or the operator drained them, to switch them off."""
READY_HOSTS = f'label_replace({cluster("host_state", "name", state="Ready")}, "host", "$1", "name", "(.+)")'
NO_QUORUM = (
    f"max by (cluster) ({PREFIX}swarm_quorum) == 0 "
    f'and on (cluster) max by (cluster) ({PREFIX}swarm_role{{role="manager"}}) == 1'
)
QUORUM_LOST = f"({NO_QUORUM}) or {cluster('condition', reason='QuorumLost')} > 0"
SERVICE_DOWN = f"{ready_average(5)} < 0.5 and on (cluster, service) {DESIRED} > 0"
NOT_ENFORCED = f'max by (cluster) ({PREFIX}mode{{mode=~"paused|observe"}}) == 1'
