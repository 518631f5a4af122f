"""Any mixture of faults: what converged implies, what a report may prove, and that causes end."""

from dataclasses import replace
from typing import Any

from hypothesis import event, given, settings
from hypothesis import strategies as st

from agent.conditions import conditions_of
from agent.conditions.headline import MOST
from agent.model.intent import PolicyIntent
from agent.model.observed import ClusterState
from agent.model.records import Rollout
from agent.model.spec import spec_hash
from agent.model.status import BlockedReport, StepReport, Waiting
from tests.support.cluster_states import HOSTS, NEXT_ORDER, NODES, NOW_S, ORDER, bridge, cluster, document
from tests.unit.conditions.test_cluster import every

KEYS = [f"host/{name}" for name in HOSTS] + [
    "",
    "service/web",
    "replica/web-1",
    "replica/order-1",
    "quorum/",
    "leader/",
    "document/",
    "store/",
    "network/net",
    "rollout/order",
]
RESOURCES = [
    "swarm",
    "engine",
    "network/net",
    "container/prod-web-1",
    "container/prod-order-1",
    "rollout/order",
]
KINDS = [
    "error",
    "port",
    "foreign",
    "crash",
    "dependency",
    "mode",
    "placement",
    "quorum",
    "unreadable",
    "disk",
]
RESOURCE = st.sampled_from(RESOURCES)
BLOCKED = st.builds(BlockedReport, resource=RESOURCE, reason=st.just("why"), kind=st.sampled_from(KINDS))
WAITING = st.builds(Waiting, resource=RESOURCE, reason=st.just("why"), on=st.sampled_from(KEYS))
STEP = StepReport(resource="swarm", verb="join", text="join")
STATES_OF_A_ROLLOUT = ("moving", "paused", "rolling-back", "rolled-back", "rollback-paused")
Change = tuple[str, Any]
"""(field, value)"""


def one_of(**fields: Any) -> st.SearchStrategy[Change]:
    """A change of one field to one of its values, or to what its strategy draws."""
    changes = []
    for name, values in fields.items():
        each = values if isinstance(values, st.SearchStrategy) else st.sampled_from(values)
        changes.append(st.tuples(st.just(name), each))
    return st.one_of(changes)


OF_A_REPLICA = one_of(
    status=["exited", "created", "restarting", "paused", "dead", "removing"],
    health=["unhealthy", "starting", ""],
    steady=[False],
    crashes=[1, 2, 9],
    exit_code=[1, 137],
    spec=[spec_hash(NEXT_ORDER.spec), "other"],
    error=["no such device"],
)
OF_A_HOST = one_of(
    at=["2026-11-29T11:50:00Z", "never"],
    engine_up=[False],
    state=["inactive", "pending", "error", "locked", "unknown"],
    is_manager=[False],
    nodes=[None, NODES[:1]],
    swarm_address=["10.9.9.9", None],
    bridge=st.builds(
        bridge, phase=st.sampled_from(["waiting", "moving", "held"]), revision=st.sampled_from([6, 7])
    ),
    revision=[6, 0],
    stopped=[True],
    steps=[(STEP,)],
    blocked=st.tuples(BLOCKED),
    waiting=st.tuples(WAITING),
    replicas=[()],
)
ROLLOUTS = [
    {"order": Rollout(before=spec_hash(NEXT_ORDER.spec), to=spec_hash(ORDER.spec), state=each, why="why")}  # type: ignore[arg-type]
    for each in STATES_OF_A_ROLLOUT
]
OF_ETCD = one_of(
    rollouts=ROLLOUTS,
    leader=[None, HOSTS[1], "?"],
    record=[None],
    verdict=[None],
    accepted=[None, *(document(policy=PolicyIntent(mode=mode)) for mode in ("paused", "observe"))],
    document=[None],
    unreadable=[(("/swarmkeeper/prod/hosts/node-232/status", "damaged"),)],
    store_rolled_back=["revision 90"],
    unreported=[{HOSTS[1]: "2026-11-29T11:50:00Z"}],
)


@st.composite
def states(draw: st.DrawFn) -> ClusterState:
    """The healthy cluster with a few faults, often with none or one."""
    state = cluster()
    for _ in range(draw(st.sampled_from([0, 1, 1, 2, 3, 5, 9]))):
        host = draw(st.sampled_from(HOSTS))
        found = state.statuses.get(host)
        match draw(
            st.sampled_from(
                ["replica", "replica", "host", "host", "etcd", "presence", "status", "assignment"]
            )
        ):
            case "replica" if found and found.replicas:
                at = draw(st.integers(0, len(found.replicas) - 1))
                changed = replace(found.replicas[at], **dict([draw(OF_A_REPLICA)]))
                replicas = (*found.replicas[:at], changed, *found.replicas[at + 1 :])
                state = replace(state, statuses={**state.statuses, host: replace(found, replicas=replicas)})
            case "host" if found:
                changes = dict([draw(OF_A_HOST)])
                state = replace(state, statuses={**state.statuses, host: replace(found, **changes)})
            case "etcd":
                state = replace(state, **dict([draw(OF_ETCD)]))
            case "presence":
                left = {name: run for name, run in state.present.items() if name != host}
                later = {**state.present, host: "another run"}
                state = replace(state, present=draw(st.sampled_from([left, later])))
            case "status":
                state = replace(
                    state, statuses={name: each for name, each in state.statuses.items() if name != host}
                )
            case "assignment":
                kept = {name: each for name, each in state.assignments.items() if name != host}
                state = replace(state, assignments=kept)
    return state


untimed = settings(deadline=None)
"""How long an example takes depends on what else runs on the machine."""
STORE_ERRORS = st.sampled_from(["", "", "", "", "NOSPACE", "etcd does not answer"])


def current(state: ClusterState, host: str) -> bool:
    """Return True if the report of a host may prove anything, by the rule of the issue and not by our code."""
    status = state.statuses.get(host)
    if status is None or status.stopped or state.present.get(host) != status.instance:
        return False
    return host not in state.unreported


@untimed
@given(states(), STORE_ERRORS)
def test_converged_implies_that_everything_is_as_declared(state: ClusterState, store_error: str) -> None:
    found = conditions_of(state, now_s=NOW_S, store_error=store_error)
    event(f"converged: {found.converged}")
    if not found.converged:
        return
    assert store_error == ""
    assert state.accepted is not None
    assert state.verdict is not None
    assert state.accepted.policy.mode == "enforce"
    assert (state.rollouts, found.problems, state.unreadable) == ({}, (), ())
    for name in HOSTS:
        status = state.statuses[name]
        assert current(state, name)
        assert (status.engine_up, status.state, status.is_manager) == (True, "active", True)
        assert status.swarm_address in (f"10.0.0.{name[-3:]}", None)
        assert (status.bridge.phase, status.revision, status.steps) == ("right", state.accepted.revision, ())
        for replica in state.assignments[name].replicas:
            (report,) = (each for each in status.replicas if each.key == replica.key)
            assert (report.status, report.spec, report.steady) == ("running", replica.spec, True)
            assert report.health in ("", "healthy")
            assert report.crashes < 2


@untimed
@given(states(), STORE_ERRORS)
def test_nothing_is_ready_by_a_report_that_is_not_current(state: ClusterState, store_error: str) -> None:
    found = conditions_of(state, now_s=NOW_S, store_error=store_error)
    for host in found.hosts:
        known = current(state, host.condition.name) and not store_error
        assert host.condition.state == "Unknown" or known or host.declared is None
        assert host.running is None or known
    for replica in found.replicas:
        known = current(state, replica.host) and state.statuses[replica.host].engine_up and not store_error
        assert known or (replica.condition.state != "Ready" and not replica.ready and not replica.running)
    for service in found.services:
        assert service.ready + service.unknown <= max(service.desired, len(found.replicas))


@untimed
@given(states(), STORE_ERRORS)
def test_every_fault_has_a_root_and_no_chain_of_causes_goes_round(
    state: ClusterState, store_error: str
) -> None:
    found = conditions_of(state, now_s=NOW_S, store_error=store_error)
    conditions = every(found)
    assert len({each.key for each in conditions}) == len(conditions)
    shown = [each.key for problem in found.problems for each in (problem.condition, *problem.consequences)]
    assert len(shown) == len(set(shown))
    assert {each.key for each in conditions if each.is_fault} <= set(shown)
    by_key = {each.key: each for each in conditions}
    for problem in found.problems:
        assert problem.condition.is_fault
        for each in problem.consequences:
            seen, at = set(), each
            while at.key != problem.condition.key:
                assert at.key not in seen, f"the causes of {each.key} go round"
                seen.add(at.key)
                at = by_key[at.cause]


@untimed
@given(states(), STORE_ERRORS)
def test_the_first_line_is_short_and_the_code_fits_it(state: ClusterState, store_error: str) -> None:
    found = conditions_of(state, now_s=NOW_S, store_error=store_error)
    assert 0 < len(found.cluster.text) <= MOST
    assert "\n" not in found.cluster.text
    assert (found.code == 0) == found.converged
    if any(each.condition.critical for each in found.services):
        assert found.code >= 2
