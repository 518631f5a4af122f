"""Every metric of the agent: name, kind, labels, meaning. docs/metrics.md and deploy/ use them."""

from typing import Literal, NamedTuple, get_args

from agent.conditions import finding
from agent.model import host_state, plan

PREFIX = "swarmkeeper_"

Series = dict[tuple[str, ...], float]
"""Values of a gauge by its label values."""

# ---- Label values that are known before the first pass

STEPS: tuple[type[plan.Step], ...] = get_args(plan.Step)
KINDS = tuple(sorted({step.kind for step in STEPS}))
MODES = ("enforce", "observe", "paused")
LOCAL_STATES: tuple[str, ...] = get_args(host_state.LocalState)
ROLES = ("manager", "worker")
SOURCES = ("etcd", "disk")
NODE_STATES = ("ready", "down", "unknown", "disconnected")
BLOCKED: tuple[str, ...] = get_args(plan.BlockedKind)
REJECTIONS = ("yaml", "schema", "semantic", "size", "guard")
RESULTS = ("ok", "error", "noop", "blocked")
START_FAILURES = ("pull", "port", "network", "exit", "oom", "other")
OPERATIONS = ("read", "txn", "grant", "keepalive", "lease", "revoke", "status")
PHASES = ("observe", "plan", "apply")
STATES: tuple[str, ...] = get_args(finding.State)
REPLICAS = ("desired", "running", "ready", "updated", "unknown")
SIZES = ("size", "in_use", "quota")
MANAGERS = ("declared", "listed", "reachable", "needed")


def action_of(step: plan.Step | type[plan.Step]) -> str:
    """Return the step's verb as a label: `campaign for` -> `campaign`."""
    return step.verb.partition(" ")[0]


def _each(values: tuple[str, ...]) -> tuple[tuple[str, ...], ...]:
    return tuple((each,) for each in values)


_ACTIONS = tuple(
    (kind, action, result)
    for kind, action in sorted({(step.kind, action_of(step)) for step in STEPS})
    for result in ("ok", "error")
)


class Metric(NamedTuple):
    name: str
    """Without PREFIX."""
    labels: tuple[str, ...]
    help: str
    series: tuple[tuple[str, ...], ...] = ()
    """Label values of the series that begin at zero: `rate` misses the first increase of a series that does not."""

    @property
    def kind(self) -> Literal["gauge", "counter", "histogram"]:
        """The kind, by the ends of names that Prometheus recommends."""
        if self.name.endswith("_total"):
            return "counter"
        return "histogram" if self.name.endswith("_duration_seconds") else "gauge"


DEFINITIONS = (
    Metric("build_info", ("version", "python", "engine"), "Versions in use on this host; always 1."),
    Metric("intent_revision", ("kind",), "etcd revision of the last document seen, accepted, applied."),
    Metric("intent_valid", (), "0 while the newest document is refused, else 1."),
    Metric("intent_rejections_total", ("reason",), "Refused documents.", _each(REJECTIONS)),
    Metric("intent_applied_timestamp_seconds", (), "When this host last carried out an intent in full."),
    Metric("mode", ("mode",), "1 for the mode of the accepted intent."),
    Metric("leader", (), "1 while this agent holds the leader lock."),
    Metric("leader_changes_total", (), "How often this agent became the leader."),
    Metric("lease_ttl_seconds", (), "Time for which the agent's lease is certainly valid."),
    Metric("store_up", (), "1 if etcd answered the last pass."),
    Metric("store_last_contact_timestamp_seconds", (), "When etcd last answered a request."),
    Metric("assignment_source", ("source",), "1 for the source of the assignment in use."),
    Metric(
        "assignment_seen_timestamp_seconds",
        (),
        "When etcd last confirmed the assignment in use, as far as known.",
    ),
    Metric("state_kept", (), "1 if the state of this host is saved on its disk, and none was unreadable."),
    Metric(
        "store_request_duration_seconds",
        ("op",),
        "Duration of calls to etcd, of each attempt by itself.",
        _each(OPERATIONS),
    ),
    Metric("store_errors_total", ("op",), "Failed attempts of calls to etcd.", _each(OPERATIONS)),
    Metric("store_database_bytes", ("kind",), "Database of the etcd member that answered, as far as known."),
    Metric("status_write_failures_total", (), "Failed writes of this host's status to etcd."),
    Metric("reconcile_duration_seconds", ("phase",), "Phases of a pass.", _each(PHASES)),
    Metric("reconcile_total", ("result",), "Passes, by result.", _each(RESULTS)),
    Metric("reconcile_last_success_timestamp_seconds", (), "Last pass that read both etcd and dockerd."),
    Metric("actions_total", ("kind", "action", "result"), "Completed steps, by result.", _ACTIONS),
    Metric("actions_pending", ("kind",), "Steps that are planned or in flight."),
    Metric("blocked", ("reason",), "1 while a resource is blocked for this reason."),
    Metric("waiting", (), "Resources that wait for an operation under way, or for another resource."),
    Metric("drift", ("kind", "object", "field"), "1 while the field differs from the intent."),
    Metric("drift_since_timestamp_seconds", ("kind", "object"), "Since when the object has differed."),
    Metric("drift_detected_total", ("kind", "field"), "Differences detected."),
    Metric("drift_healed_total", ("kind",), "Objects whose differences have ended.", _each(KINDS)),
    Metric("swarm_state", ("state",), "1 for the swarm state that dockerd reports."),
    Metric("swarm_role", ("role",), "1 for the role of this host in its swarm."),
    Metric("swarm_control_available", (), "1 if this host is a manager that can list the nodes."),
    Metric("swarm_managers_declared", (), "Managers that the intent declares."),
    Metric("swarm_managers_reachable", (), "Managers that raft reaches, as this manager sees them."),
    Metric("swarm_quorum", (), "1 if this manager reaches a majority of the managers."),
    Metric("swarm_nodes", ("state",), "Nodes of the swarm by state, as this manager lists them."),
    Metric("network_info", ("network", "subnet", "gateway"), "Declared network as dockerd has it; always 1."),
    Metric("gwbridge_ok", (), "1 if docker_gwbridge is as declared, in dockerd and in the kernel."),
    Metric("overlay_ok", (), "1 if containers of this host can join every declared overlay."),
    Metric("drained", (), "1 if the intent drains this host and no replica is left on it."),
    Metric("service_replicas_desired", ("service",), "Replicas assigned to this host."),
    Metric("service_replicas_running", ("service",), "Assigned replicas that run."),
    Metric("service_replicas_healthy", ("service",), "Running replicas, healthy or without a check."),
    Metric("container_restarts_total", ("service", "slot"), "Restarts of ended containers."),
    Metric("container_start_failures_total", ("service", "reason"), "Failed starts of replicas."),
    Metric(
        "replica_image_outdated",
        ("service", "slot"),
        "1 if the image tag of the replica points to another image on this host now.",
    ),
    Metric("replica_crashes", ("service", "slot"), "Consecutive ends of a replica soon after its start."),
    Metric("docker_up", (), "1 if dockerd answered the last pass."),
    Metric("docker_request_duration_seconds", ("call",), "Duration of requests to dockerd."),
    Metric("login_failures_total", (), "Requests for pages that had a wrong name or password."),
    Metric("cluster_converged", (), "1 if the cluster is as declared and ready."),
    Metric("cluster_replicas", ("service", "state"), "Replicas of a declared service, by state."),
    Metric("cluster_hosts", ("state",), "Declared hosts, by state."),
    Metric("cluster_host_state", ("name", "state", "reason"), "1 for the state of the host `name`."),
    Metric("cluster_condition", ("type", "reason"), "Resources of the cluster, by state and reason."),
    Metric("cluster_rollout_state", ("service", "state"), "1 for the state of a rollout that is not done."),
    Metric(
        "cluster_quorum",
        ("state",),
        "Managers of the swarm: listed by the leader's manager, else counted from reports.",
    ),
    Metric("cluster_store_keeps_history", (), "1 if etcd has revisions over 20,000 changes old."),
)
