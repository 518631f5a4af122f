"""Each invariant of the leader, held against its formula."""

from dataclasses import replace
from typing import Literal

import pytest
from hypothesis import event, given
from hypothesis import strategies as st

from agent.diff.nodes import quorum, tolerated
from agent.model.leader_steps import DemoteNode, GrantDisruption, PromoteNode
from agent.model.records import Disruption
from agent.planner.leader.disruption import may_grant, plan_disruption
from agent.planner.leader.nodes import plan_roles
from agent.planner.leader.rollout import exceeds_ratio, startable
from tests.support.builders import Seen, cluster, host, intent, member, node, observed
from tests.support.guests import disruption, says
from tests.unit.planner.leader.swarms import nodes_of, seen

HOSTS = ("h1", "h2", "h3", "h4", "h5")


# ---- raft: quorum(n) = n // 2 + 1, tolerated(n) = n - quorum(n)


@pytest.mark.parametrize(
    ("managers", "needed", "may_fail"), [(1, 1, 0), (2, 2, 0), (3, 2, 1), (4, 3, 1), (5, 3, 2)]
)
def test_the_quorum_of_a_few_managers(managers: int, needed: int, may_fail: int) -> None:
    assert (quorum(managers), tolerated(managers)) == (needed, may_fail)


@pytest.mark.parametrize("managers", range(1, 30))
def test_a_quorum_is_the_smallest_number_of_which_there_are_not_two(managers: int) -> None:
    assert 2 * quorum(managers) > managers >= 2 * (quorum(managers) - 1)
    assert quorum(managers - 1) <= quorum(managers)
    assert tolerated(2 * managers) == tolerated(2 * managers - 1) == managers - 1


@given(
    wanted=st.lists(st.booleans(), min_size=5, max_size=5),
    found=st.lists(st.sampled_from(["worker", "reached", "lost", "down"]), min_size=5, max_size=5),
)
def test_a_change_of_roles_never_takes_the_quorum_away(wanted: list[bool], found: list[str]) -> None:
    """The raft leader, h1, is a manager; a new manager counts before it answers."""
    found, wanted = ["reached", *found[1:]], [True, *wanted[1:]]
    declared = " ".join(name if is_ else f"{name}:worker" for name, is_ in zip(HOSTS, wanted, strict=True))
    roles = " ".join(
        name if is_ != "worker" else f"{name}:worker" for name, is_ in zip(HOSTS, found, strict=True)
    )
    nodes = tuple(
        replace(each, reachable=False, state="down" if is_ == "down" else "ready")
        if is_ in ("lost", "down")
        else each
        for each, is_ in zip(nodes_of(roles), found, strict=True)
    )
    look = seen(declared, nodes)
    assert look.cluster.accepted
    assert look.node_owners is not None
    steps = plan_roles(look.cluster.accepted, look, look.node_owners).steps
    managers, reached = sum(is_ != "worker" for is_ in found), found.count("reached")
    assert len(steps) <= 1
    for step in steps:
        event(type(step).__name__)
        if isinstance(step, PromoteNode):
            assert reached == managers
            assert reached >= quorum(managers + 1) or managers == 1
        else:
            assert isinstance(step, DemoteNode)
            reached -= found[HOSTS.index(step.host)] == "reached"
            assert reached >= quorum(managers - 1) or reached < quorum(managers)


# ---- disruption: sum over hosts of (granted or acquired) <= 1


def slots_taken(now: Disruption | None) -> int:
    return 0 if now is None else int(now.state in ("granted", "acquired"))


@given(
    phases=st.lists(st.sampled_from(["right", "waiting", "moving", "held"]), min_size=3, max_size=3),
    state=st.sampled_from([None, "granted", "acquired", "released"]),
    of=st.sampled_from(HOSTS[:3]),
    away=st.sets(st.sampled_from(HOSTS[:3]), max_size=2),
)
def test_at_most_one_host_is_disrupted(
    phases: list[str], state: Literal["granted", "acquired", "released"] | None, of: str, away: set[str]
) -> None:
    now = replace(disruption(of), state=state) if state else None
    view = leader_sees(dict(zip(HOSTS, phases, strict=False)), now, away)
    assert view.cluster.accepted
    steps = plan_disruption(view.cluster.accepted, view).steps
    grants = [each for each in steps if isinstance(each, GrantDisruption)]
    event(f"{len(grants)} granted")
    assert slots_taken(now) + len(grants) <= 1
    assert may_grant(now) is (slots_taken(now) == 0)
    # Of two leaders that saw the same slot only one writes it: both writes compare its revision.
    assert all(each.over == view.cluster.disruption_revision for each in grants)


def leader_sees(phases: dict[str, str], now: Disruption | None, away: set[str]) -> Seen:
    state = cluster(
        intent(hosts=" ".join(phases)),
        statuses={name: says(name, phase) for name, phase in phases.items()},
        present={name: f"run-{name}" for name in phases if name not in away},
        disruption=now,
        disruption_revision=60 if now else 0,
    )
    swarm = member("h1", of=tuple(map(node, phases)))
    return replace(observed(state, host(swarm=swarm), me="h1", leads=True), led_s=60.0)


# ---- rollouts: updating + started + idle <= parallelism, or started = 0; failed > ratio * total stops


@given(*(st.integers(0, 50) for _ in range(4)))
def test_no_more_running_replicas_start_than_the_parallelism_leaves(
    parallelism: int, total: int, updating: int, idle: int
) -> None:
    limit = parallelism or total
    started = startable(parallelism, total, updating, idle)
    assert started == 0 or updating + started + idle == limit
    assert started > 0 or updating + idle >= limit


@pytest.mark.parametrize(
    ("failed", "total", "ratio", "stops"),
    [
        (0, 4, 0.0, False),
        (1, 4, 0.0, True),
        (1, 4, 0.25, False),
        (2, 4, 0.25, True),
        (4, 4, 1.0, False),
        (0, 0, 0.0, False),
    ],
)
def test_more_failures_than_the_ratio_stop_a_rollout(
    failed: int, total: int, ratio: float, stops: bool
) -> None:
    assert exceeds_ratio(failed, total, ratio) is stops
