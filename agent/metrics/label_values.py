"""The label values that are known beforehand: their series are there from the start, at zero."""

from typing import get_args

from agent.model.host_state import LocalState
from agent.model.plan import BlockedKind, Step

STEPS: tuple[type[Step], ...] = get_args(Step)
KINDS = tuple(sorted({step.kind for step in STEPS}))
REVISIONS = ("seen", "accepted", "applied")
MODES = ("enforce", "observe", "paused")
LOCAL_STATES: tuple[str, ...] = get_args(LocalState)
ROLES = ("manager", "worker")
SOURCES = ("etcd", "disk")
NODE_STATES = ("ready", "down", "unknown", "disconnected")
BLOCKED: tuple[str, ...] = get_args(BlockedKind)
REJECTIONS = ("yaml", "schema", "semantic", "size", "guard")
RESULTS = ("ok", "error", "noop", "blocked")
START_FAILURES = ("pull", "port", "network", "exit", "oom", "other")
OPERATIONS = ("read", "txn", "grant", "keepalive", "revoke")
PHASES = ("observe", "plan", "apply")


def action_of(step: Step | type[Step]) -> str:
    """The step's verb as a label: `campaign for` -> `campaign`."""
    return step.verb.partition(" ")[0]


COUNTED: dict[str, list[tuple[str, ...]]] = {
    "intent_rejections_total": [(each,) for each in REJECTIONS],
    "store_errors_total": [(each,) for each in OPERATIONS],
    "reconcile_total": [(each,) for each in RESULTS],
    "actions_total": [
        (kind, action, result)
        for kind, action in sorted({(step.kind, action_of(step)) for step in STEPS})
        for result in ("ok", "error")
    ],
    "drift_healed_total": [(each,) for each in KINDS],
}
TIMED: dict[str, list[tuple[str, ...]]] = {
    "store_request_duration_seconds": [(each,) for each in OPERATIONS],
    "reconcile_duration_seconds": [(each,) for each in PHASES],
}
