"""Every metric of the agent: name, kind, labels, meaning. docs/metrics.md and the rules of deploy/ speak of these."""

from typing import Literal, NamedTuple, get_args

from agent.model import host_state, plan

PREFIX = "swarmkeeper_"

# ---- The label values that are known beforehand

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
OPERATIONS = ("read", "txn", "grant", "keepalive", "revoke")
PHASES = ("observe", "plan", "apply")


def action_of(step: plan.Step | type[plan.Step]) -> str:
    """The step's verb as a label: `campaign for` -> `campaign`."""
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
    """Without the prefix, as it is exposed: a counter ends in `_total`."""
    kind: Literal["gauge", "counter", "histogram"]
    labels: tuple[str, ...]
    help: str
    series: tuple[tuple[str, ...], ...] = ()
    """Label values of a counter or histogram that is there from the start, at zero: `rate` does not see the first
    increase of one that is not."""


DEFINITIONS = (
    Metric("build_info", "gauge", ("version", "python", "engine"), "What runs here, 1."),
    Metric(
        "intent_revision", "gauge", ("kind",), "etcd revision of the newest document seen, accepted, applied."
    ),
    Metric("intent_valid", "gauge", (), "0 while the newest document is refused, else 1."),
    Metric("intent_rejections_total", "counter", ("reason",), "Documents found refused.", _each(REJECTIONS)),
    Metric(
        "intent_applied_timestamp_seconds", "gauge", (), "When this host last carried an intent out in full."
    ),
    Metric("mode", "gauge", ("mode",), "1 for the mode of the accepted intent."),
    Metric("leader", "gauge", (), "1 while this agent holds the leader lock."),
    Metric("leader_changes_total", "counter", (), "How often this agent took the lead."),
    Metric("lease_ttl_seconds", "gauge", (), "How long the lease is still provably ours."),
    Metric("store_up", "gauge", (), "Whether etcd answered the last pass."),
    Metric("store_last_contact_timestamp_seconds", "gauge", (), "When etcd last answered anything."),
    Metric("assignment_source", "gauge", ("source",), "1 for where the assignment that counts is from."),
    Metric(
        "assignment_seen_timestamp_seconds",
        "gauge",
        (),
        "When etcd last said what is carried out here, as far as is known.",
    ),
    Metric("state_kept", "gauge", (), "Whether what is accepted is kept on this host's disk."),
    Metric(
        "store_request_duration_seconds",
        "histogram",
        ("op",),
        "Calls to etcd, each try by itself.",
        _each(OPERATIONS),
    ),
    Metric("store_errors_total", "counter", ("op",), "Calls to etcd that failed.", _each(OPERATIONS)),
    Metric("reconcile_duration_seconds", "histogram", ("phase",), "Parts of a pass.", _each(PHASES)),
    Metric("reconcile_total", "counter", ("result",), "Passes, by what came of them.", _each(RESULTS)),
    Metric(
        "reconcile_last_success_timestamp_seconds", "gauge", (), "Last pass that saw both etcd and dockerd."
    ),
    Metric("actions_total", "counter", ("kind", "action", "result"), "Steps carried out.", _ACTIONS),
    Metric("actions_pending", "gauge", ("kind",), "Steps planned and not done yet."),
    Metric("blocked", "gauge", ("reason",), "1 while something is seen as wrong and not touched, by why."),
    Metric("drift", "gauge", ("kind", "object", "field"), "1 while it differs from the intent."),
    Metric("drift_since_timestamp_seconds", "gauge", ("kind", "object"), "Since when it has differed."),
    Metric("drift_detected_total", "counter", ("kind", "field"), "Differences found."),
    Metric(
        "drift_healed_total", "counter", ("kind",), "Objects that differed and are right again.", _each(KINDS)
    ),
    Metric("swarm_state", "gauge", ("state",), "1 for the engine's own membership state."),
    Metric("swarm_role", "gauge", ("role",), "1 for the engine's role in its swarm."),
    Metric(
        "swarm_control_available", "gauge", (), "Whether this engine is a manager that answers for its swarm."
    ),
    Metric("swarm_managers_declared", "gauge", (), "Managers the intent declares."),
    Metric("swarm_managers_reachable", "gauge", (), "Managers that raft reaches, as seen from here."),
    Metric("swarm_quorum", "gauge", (), "Whether this manager sees a majority of managers."),
    Metric("swarm_nodes", "gauge", ("state",), "Nodes of the swarm by state, as this manager lists them."),
    Metric(
        "network_info", "gauge", ("network", "subnet", "gateway"), "A declared network as it is found, 1."
    ),
    Metric("gwbridge_ok", "gauge", (), "Whether docker_gwbridge is as agreed, in docker and in the kernel."),
    Metric("overlay_ok", "gauge", (), "Whether every declared overlay is there for containers to join."),
    Metric("drained", "gauge", (), "Whether the intent drains this host and nothing of ours is left on it."),
    Metric("service_replicas_desired", "gauge", ("service",), "Replicas assigned to this host."),
    Metric("service_replicas_running", "gauge", ("service",), "Of these, how many run."),
    Metric(
        "service_replicas_healthy", "gauge", ("service",), "Of these, how many pass their check or have none."
    ),
    Metric(
        "container_restarts_total", "counter", ("service", "slot"), "Starts of a container that had ended."
    ),
    Metric(
        "container_start_failures_total", "counter", ("service", "reason"), "Replicas that did not come up."
    ),
    Metric(
        "replica_image_outdated",
        "gauge",
        ("service", "slot"),
        "1 for a replica made of other bytes than its image's tag means on this host now.",
    ),
    Metric(
        "replica_crashes",
        "gauge",
        ("service", "slot"),
        "How often in a row a replica ended soon after its start.",
    ),
    Metric("docker_up", "gauge", (), "Whether dockerd answered the last pass."),
    Metric("docker_request_duration_seconds", "histogram", ("call",), "Requests to dockerd."),
)
