"""The three dashboards: the cluster at a glance, one service, one host."""

from typing import Any

from deploy.mixin import panels
from deploy.mixin.panels import STATES, cells, lines, number, rows, timeline

OVERVIEW, SERVICE, HOST = "swarmkeeper-overview", "swarmkeeper-service", "swarmkeeper-host"

_IN = 'cluster="$cluster"'
_ON_HOST = f'{_IN}, host=~"$host"'
_OF_SERVICE = f'{_IN}, service=~"$service"'
_RATE = "[$__rate_interval]"
_CHOSEN = ', service=~"$service"'
_ORANGE_FROM_1 = ((None, "green"), (1.0, "orange"))
_FAULTS = ', type=~"Degraded|Blocked|Unknown"'


def _cluster(name: str, *by: str, also: str = "") -> str:
    """Return a query for a metric of the cluster, without the leader that exposes it."""
    return f"max by ({', '.join(by)}) (swarmkeeper_cluster_{name}{{{_IN}{also}}})"


def _replicas(state: str, also: str = "") -> str:
    return _cluster("replicas", "service", also=_is(state) + also)


def _host_states() -> str:
    """Return the query for the state of each declared host as a number, also of one without power."""
    return " or ".join(
        f"{_cluster('host_state', 'name', also=_is(state))} * {at}" for state, (at, _) in STATES.items()
    )


def _is(state: str) -> str:
    return f', state="{state}"'


def _latency(metric: str, by: str, selector: str) -> str:
    return f"histogram_quantile(0.95, sum by ({by}, le) (rate(swarmkeeper_{metric}_bucket{{{selector}}}{_RATE})))"


def _increase(counter: str) -> str:
    return f"increase(swarmkeeper_{counter}{{{_OF_SERVICE}}}{_RATE})"


_STATE_COLORS = {str(at): (state, color) for state, (at, color) in STATES.items()}


def overview() -> Any:
    """Return the dashboard of the cluster, from the leader's metrics."""
    status = (
        number(
            "Converged",
            "As the first line of swarmkeeper status. Unknown: no leader reports.",
            (_cluster("converged"), ""),
            steps=panels.GREEN_FROM_1,
            shown=panels.YES_NO,
        ),
        number(
            "Quorum of the swarm",
            "Managers that the leader's manager reaches, and how many a majority needs.",
            (_cluster("quorum", "state", also=', state=~"declared|reachable|needed"'), "{{state}}"),
            width=6,
        ),
        number(
            "Leader",
            "Agents that hold the leader lock; 1 is right.",
            (f"sum(swarmkeeper_leader{{{_IN}}})", ""),
            steps=((None, "red"), (1.0, "green"), (2.0, "red")),
            width=3,
        ),
        number(
            "Hosts by state",
            "Declared hosts, as the leader sees them, also those without power.",
            (_cluster("hosts", "state"), "{{state}}"),
            width=7,
        ),
        number(
            "Mode",
            "Paused: the agents change nothing.",
            (f'max(swarmkeeper_mode{{{_IN}, mode=~"paused|observe"}})', ""),
            steps=_ORANGE_FROM_1,
            shown={"0": ("enforce", "green"), "1": ("PAUSED", "orange")},
            width=4,
        ),
    )
    services = cells(
        "Services",
        "A red cell: fewer ready replicas than declared. Unknown replicas are in no other column.",
        {
            "desired": _replicas("desired"),
            "running": _replicas("running"),
            "ready": _replicas("ready"),
            "updated": _replicas("updated"),
            "unknown": _replicas("unknown"),
            "not ready": f"{_replicas('desired')} - {_replicas('ready')}",
        },
        key="service",
        red=("unknown", "not ready"),
        link=SERVICE,
        width=14,
    )
    built = panels.frame(
        OVERVIEW, "Swarmkeeper / Overview", "One cluster: what is not as declared, and since when."
    )
    for each in (
        *status,
        services,
        panels.alert_list(10),
        rows(
            "Hosts",
            "State and reason of each declared host, also of one without power.",
            f"{_cluster('host_state', 'name', 'state', 'reason')} == 1",
            ("name", "state", "reason"),
            link=("name", HOST),
        ),
        rows(
            "Rollouts that are not done",
            "RolloutPaused waits for you: swarmkeeper status names the replica that failed.",
            f"{_cluster('rollout_state', 'service', 'state')} == 1",
            ("service", "state"),
            link=("service", SERVICE),
        ),
        timeline(
            "Hosts over time", "Colour: state of the host.", (_host_states(), "{{name}}"), shown=_STATE_COLORS
        ),
        lines(
            "Resources that are not ready",
            "Number of resources by state and reason.",
            (f"{_cluster('condition', 'type', 'reason', also=_FAULTS)} > 0", "{{type}} {{reason}}"),
        ),
        lines(
            "Replicas that are not ready",
            "Declared minus ready replicas of each service.",
            (f"({_replicas('desired')} - {_replicas('ready')}) > 0", "{{service}}"),
        ),
        lines(
            "Document",
            "etcd revisions of the newest, the accepted and the carried out document.",
            (f"max by (kind) (swarmkeeper_intent_revision{{{_IN}}})", "{{kind}} (newest)"),
            (f"min by (kind) (swarmkeeper_intent_revision{{{_IN}}})", "{{kind}} (oldest)"),
            unit="none",
        ),
        lines(
            "Refused documents, changes of the leader, failed writes",
            "Events per interval.",
            (
                f"sum by (reason) (increase(swarmkeeper_intent_rejections_total{{{_IN}}}{_RATE})) > 0",
                "refused: {{reason}}",
            ),
            (f"sum(increase(swarmkeeper_leader_changes_total{{{_IN}}}{_RATE})) > 0", "leader changes"),
            (
                f"sum by (host) (increase(swarmkeeper_status_write_failures_total{{{_IN}}}{_RATE})) > 0",
                "status of {{host}} not written",
            ),
        ),
    ):
        built = built.with_panel(each)
    return built.build()


def service() -> Any:
    """Return the dashboard of services: replicas by state and host, restarts, failures."""
    numbers = (
        number(
            "Declared", "Replicas that the document asks for.", (f"sum({_replicas('desired', _CHOSEN)})", "")
        ),
        number(
            "Ready", "Healthy or steady, by a current report.", (f"sum({_replicas('ready', _CHOSEN)})", "")
        ),
        number(
            "Not ready",
            "Declared minus ready.",
            (f"sum({_replicas('desired', _CHOSEN)} - {_replicas('ready', _CHOSEN)})", ""),
            steps=panels.RED_FROM_1,
        ),
        number(
            "Unknown",
            "Replicas whose host does not report.",
            (f"sum({_replicas('unknown', _CHOSEN)})", ""),
            steps=panels.RED_FROM_1,
        ),
        number("Updated", "Replicas with the declared spec.", (f"sum({_replicas('updated', _CHOSEN)})", "")),
        number(
            "Restarts, last hour",
            "Restarts of ended containers.",
            (f"sum(increase(swarmkeeper_container_restarts_total{{{_OF_SERVICE}}}[1h]))", ""),
            steps=((None, "green"), (1.0, "orange"), (6.0, "red")),
        ),
    )
    built = panels.frame(SERVICE, "Swarmkeeper / Service", "Replicas of one or more services.", "service")
    for each in (
        *numbers,
        lines(
            "Replicas by state",
            "As the leader sees them; unknown: the host does not report.",
            (_cluster("replicas", "service", "state", also=_CHOSEN), "{{service}} {{state}}"),
            width=24,
        ),
        lines(
            "Running replicas by host",
            "As each host sees them; a host without dockerd has no line.",
            (f"swarmkeeper_service_replicas_running{{{_OF_SERVICE}}}", "{{host}} {{service}}"),
        ),
        rows(
            "Rollout",
            "State of a rollout that is not done.",
            f"{_cluster('rollout_state', 'service', 'state', also=_CHOSEN)} == 1",
            ("service", "state"),
        ),
        lines(
            "Restarts",
            "Restarts of ended containers, per interval.",
            (
                f"sum by (host, service, slot) ({_increase('container_restarts_total')}) > 0",
                "{{service}}-{{slot}} on {{host}}",
            ),
        ),
        lines(
            "Ends in a row soon after the start",
            "Above 0: the replica crashes.",
            (f"swarmkeeper_replica_crashes{{{_OF_SERVICE}}} > 0", "{{service}}-{{slot}} on {{host}}"),
        ),
        lines(
            "Failed starts",
            "By reason, per interval.",
            (
                f"sum by (host, service, reason) ({_increase('container_start_failures_total')}) > 0",
                "{{service}} on {{host}}: {{reason}}",
            ),
        ),
        rows(
            "Outdated images",
            "The tag names another image on the host now.",
            f"swarmkeeper_replica_image_outdated{{{_OF_SERVICE}}} == 1",
            ("host", "service", "slot"),
            link=("host", HOST),
        ),
    ):
        built = built.with_panel(each)
    return built.build()


_UP = (
    (f"swarmkeeper_docker_up{{{_ON_HOST}}}", "{{host}} dockerd"),
    (f"swarmkeeper_store_up{{{_ON_HOST}}}", "{{host}} etcd"),
    (f'swarmkeeper_swarm_state{{{_ON_HOST}, state="active"}}', "{{host}} swarm"),
    (f"swarmkeeper_overlay_ok{{{_ON_HOST}}}", "{{host}} overlays"),
    (f"swarmkeeper_gwbridge_ok{{{_ON_HOST}}}", "{{host}} docker_gwbridge"),
)


def _of_process(metric: str) -> str:
    """Return the query for a metric of the agent's process, which has no label `host`."""
    return f"{metric} * on (job, instance) group_left (host) swarmkeeper_build_info{{{_ON_HOST}}}"


def host() -> Any:
    """Return the dashboard of hosts: what the agent sees, does, and costs."""
    built = panels.frame(
        HOST, "Swarmkeeper / Host", "What the agents of one or more hosts see and do.", "host"
    )
    for each in (
        rows(
            "State",
            "As the leader sees it, also of a host without power.",
            f'max by (name, state, reason) (swarmkeeper_cluster_host_state{{{_IN}, name=~"$host"}}) == 1',
            ("name", "state", "reason"),
        ),
        rows(
            "Blocked",
            "Kinds of blocked resources: see the runbook.",
            f"max by (host, reason) (swarmkeeper_blocked{{{_ON_HOST}}}) == 1",
            ("host", "reason"),
        ),
        timeline(
            "Parts of the host over time", "No bar: the agent does not answer.", *_UP, shown=panels.UP_DOWN
        ),
        rows(
            "Drift",
            "Fields that differ from the document now.",
            f"max by (host, kind, object, field) (swarmkeeper_drift{{{_ON_HOST}}}) == 1",
            ("host", "kind", "object", "field"),
        ),
        rows(
            "docker_gwbridge",
            "As dockerd has it.",
            f'max by (host, subnet, gateway) (swarmkeeper_network_info{{{_ON_HOST}, network="docker_gwbridge"}})',
            ("host", "subnet", "gateway"),
        ),
        lines(
            "Steps",
            "Completed steps per interval, and open ones.",
            (
                f"sum by (kind, action, result) (increase(swarmkeeper_actions_total{{{_ON_HOST}}}{_RATE})) > 0",
                "{{kind}} {{action}} {{result}}",
            ),
            (f"sum by (kind) (swarmkeeper_actions_pending{{{_ON_HOST}}}) > 0", "open: {{kind}}"),
            (f"sum by (host) (swarmkeeper_waiting{{{_ON_HOST}}}) > 0", "waiting on {{host}}"),
        ),
        lines(
            "Passes",
            "95th percentile of the phases of a pass.",
            (_latency("reconcile_duration_seconds", "host, phase", _ON_HOST), "{{host}} {{phase}}"),
            unit="s",
        ),
        lines(
            "Latency of etcd",
            "95th percentile by operation.",
            (_latency("store_request_duration_seconds", "host, op", _ON_HOST), "{{host}} {{op}}"),
            unit="s",
        ),
        lines(
            "Latency of dockerd",
            "95th percentile by request.",
            (_latency("docker_request_duration_seconds", "host, call", _ON_HOST), "{{host}} {{call}}"),
            unit="s",
        ),
        lines(
            "Failed calls to etcd, time left of the lease",
            "Calls per second; seconds.",
            (
                f"sum by (host, op) (rate(swarmkeeper_store_errors_total{{{_ON_HOST}}}{_RATE})) > 0",
                "{{host}} {{op}} failed",
            ),
            (f"swarmkeeper_lease_ttl_seconds{{{_ON_HOST}}}", "{{host}} lease"),
        ),
        lines(
            "Age of the assignment in use",
            "Grows while a host works from its saved state.",
            (f"time() - swarmkeeper_assignment_seen_timestamp_seconds{{{_ON_HOST}}}", "{{host}}"),
            unit="s",
        ),
        lines(
            "CPU of the agent",
            "Share of one core.",
            (_of_process(f"rate(process_cpu_seconds_total{_RATE})"), "{{host}}"),
            unit="percentunit",
        ),
        lines(
            "Memory of the agent",
            "Resident memory.",
            (_of_process("process_resident_memory_bytes"), "{{host}}"),
            unit="bytes",
        ),
    ):
        built = built.with_panel(each)
    return built.build()


DASHBOARDS = {"overview": overview, "service": service, "host": host}
