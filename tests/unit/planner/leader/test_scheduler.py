"""Where replicas go whose hosts the leader chooses: hosts, replicas and what is said of them in, assignments out."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from agent.model.intent import Constraint, Intent, ServiceIntent, Where
from agent.model.leader_steps import PublishAssignment
from agent.model.observed import ReplicaTimers
from agent.model.records import Assignment, Replica
from agent.model.spec import Port, spec_hash
from agent.model.status import ReplicaReport
from agent.planner.leader.assignments import assign, plan_assignments
from agent.planner.leader.rollout import plan_rollouts
from agent.planner.leader.scheduler import placement_of, schedule
from tests.support.builders import Seen, cluster, host, intent, member, node, observed, order, service, status

WEB = order(ports=(Port(target=8080, published=80),))


def anywhere(count: int, name: str = "order", **more: Any) -> ServiceIntent:
    """A service of so many replicas, on hosts that the leader chooses."""
    where = {key: more.pop(key) for key in ("constraints", "spread", "most_per_host") if key in more}
    return replace(service(name, on={}, **more), replicas=count, where=Where(**where))


def hosts(wanted: Intent, **said: dict[str, Any]) -> Intent:
    """With more said of some hosts: `h1={"availability": "drain"}`."""
    return replace(wanted, hosts=tuple(replace(each, **said.get(each.name, {})) for each in wanted.hosts))


def placed(wanted: Intent, before: Mapping[str, Assignment] | None = None) -> dict[str, list[str]]:
    return names(assign(wanted, before or {}))


def names(assignments: Mapping[str, Assignment]) -> dict[str, list[str]]:
    """Host -> its replicas as `order-1`; in brackets those that are held."""
    return {
        name: [
            f"({replica.service}-{replica.slot})" if replica.held else f"{replica.service}-{replica.slot}"
            for replica in each.replicas
        ]
        for name, each in assignments.items()
    }


def on(**replicas: str) -> dict[str, Assignment]:
    """What is assigned: `h1="order-1 order-2"`."""

    def read(each: str) -> Replica:
        name, _, slot = each.rpartition("-")
        return Replica(service=name, slot=int(slot), spec=spec_hash(order()))

    return {
        name: Assignment(revision=1, project="prod", replicas=tuple(map(read, said.split())))
        for name, said in replicas.items()
    }


ZONES = {f"h{n}": {"labels": (("zone", zone),)} for n, zone in ((1, "a"), (2, "a"), (3, "b"))}
IN_A = Constraint(of="labels.zone", equal=True, value="A")


# ---- the choice


def test_replicas_are_spread_over_the_hosts() -> None:
    assert placed(intent(anywhere(4), hosts="h1 h2 h3")) == {
        "h1": ["order-1", "order-4"],
        "h2": ["order-2"],
        "h3": ["order-3"],
    }


def test_a_host_with_fewer_replicas_of_other_services_comes_first() -> None:
    wanted = intent(service("billing", on={"h1": 1}), anywhere(1), hosts="h1 h2")

    assert placed(wanted) == {"h1": ["billing-1"], "h2": ["order-1"]}


def test_replicas_are_spread_over_the_values_of_a_label_first() -> None:
    wanted = hosts(intent(anywhere(4, spread=("labels.zone",)), hosts="h1 h2 h3"), **ZONES)

    assert placed(wanted) == {"h1": ["order-1"], "h2": ["order-3"], "h3": ["order-2", "order-4"]}


@pytest.mark.parametrize(
    ("constraint", "expected"),
    [
        (IN_A, ["h1", "h2"]),
        (replace(IN_A, equal=False), ["h3"]),
        (Constraint(of="hostname", equal=True, value="h2"), ["h2"]),
        (Constraint(of="role", equal=False, value="manager"), ["h3"]),
        (Constraint(of="labels.disk", equal=False, value="ssd"), ["h1", "h2", "h3"]),
    ],
)
def test_only_hosts_that_meet_the_constraints_get_replicas(
    constraint: Constraint, expected: list[str]
) -> None:
    wanted = hosts(intent(anywhere(3, constraints=(constraint,)), hosts="h1 h2 h3:worker"), **ZONES)

    assert [name for name, replicas in placed(wanted).items() if replicas] == expected


def test_no_more_replicas_than_may_be_are_on_one_host() -> None:
    wanted = intent(anywhere(3, most_per_host=1), hosts="h1 h2")

    assert placed(wanted) == {"h1": ["order-1"], "h2": ["order-2"]}
    assert [str(each) for each in schedule(wanted, {}).blocked] == [
        (
            "blocked placement/order: order-3: no host can run it: "
            "h1: max_replicas_per_node 1 is reached; h2: max_replicas_per_node 1 is reached"
        )
    ]


def test_two_replicas_that_publish_one_port_are_never_on_one_host() -> None:
    wanted = intent(
        service("proxy", on={"h1": 1}, spec=WEB), anywhere(1, "web", spec=WEB), anywhere(2, spec=WEB),
        hosts="h1 h2 h3",
    )  # fmt: skip

    assert placed(wanted) == {"h1": ["proxy-1"], "h2": ["web-1"], "h3": ["order-1"]}
    assert [str(each) for each in schedule(wanted, {}).blocked] == [
        "blocked placement/order: order-2: no host can run it: h1: port 80/tcp is published by proxy; h2: port 80/tcp is published by web; h3: port 80/tcp is published by order"  # noqa: E501
    ]


def test_no_replica_goes_to_a_host_that_is_drained_or_paused() -> None:
    wanted = intent(anywhere(2), service("billing", on={"h1": 1, "h2": 1}), hosts="h1 h2 h3")
    wanted = hosts(wanted, h1={"availability": "drain"}, h2={"availability": "pause"})

    assert placed(wanted) == {"h1": [], "h2": [], "h3": ["order-1", "order-2"]}
    assert [str(each) for each in schedule(wanted, {}).blocked] == [
        "blocked placement/billing: h2 is paused and takes no new replicas: 0 of 1 exist"
    ]


# ---- what stays


def test_a_replica_stays_where_it_is_when_a_host_is_added() -> None:
    before = on(h1="order-1 order-3", h2="order-2")

    assert placed(intent(anywhere(3), hosts="h1 h2 h3"), before) == {
        "h1": ["order-1", "order-3"],
        "h2": ["order-2"],
        "h3": [],
    }


def test_a_paused_host_keeps_what_it_has() -> None:
    wanted = hosts(intent(anywhere(3), hosts="h1 h2"), h1={"availability": "pause"})

    assert placed(wanted, on(h1="order-2")) == {"h1": ["order-2"], "h2": ["order-1", "order-3"]}


def test_of_too_many_replicas_those_on_the_host_with_the_most_go_first() -> None:
    before = on(h1="order-1 order-2", h2="order-3 order-4", h3="order-5")

    assert placed(intent(anywhere(3), hosts="h1 h2 h3"), before) == {
        "h1": ["order-1"],
        "h2": ["order-3"],
        "h3": ["order-5"],
    }


def test_replicas_that_were_pinned_stay_where_they_are_when_the_leader_may_choose() -> None:
    before = assign(intent(service(on={"h2": 2}), hosts="h1 h2"), {})

    assert placed(intent(anywhere(2), hosts="h1 h2"), before) == {"h1": [], "h2": ["order-1", "order-2"]}


def test_a_replica_stops_first_to_a_pinned_one_that_publishes_its_port() -> None:
    before = assign(intent(anywhere(1, spec=WEB), hosts="h1 h2"), {})
    wanted = intent(anywhere(1, spec=WEB), service("proxy", on={"h1": 1}, spec=WEB), hosts="h1 h2")

    assert placed(wanted, before) == {"h1": ["proxy-1"], "h2": ["order-1"]}


# ---- hosts that are gone, drained, or come back


def report(slot: int, spec: str = "", name: str = "order", **more: Any) -> ReplicaReport:
    made = ReplicaReport(
        service=name,
        slot=slot,
        spec=spec or spec_hash(order()),
        id=f"{name}-{slot}",
        name=f"prod-{name}-{slot}",
        status="running",
        started_at="then",
    )
    return replace(made, **more)


def seen(
    wanted: Intent,
    before: Mapping[str, Assignment],
    *,
    away: str = "",
    lost: Mapping[str, float] | None = None,
    runs: Mapping[str, tuple[ReplicaReport, ...]] | None = None,
    images: Mapping[str, tuple[str, ...]] | None = None,
    for_s: float = 60.0,
    nodes: bool = True,
    **more: Any,
) -> Seen:
    """What the leader on h1 sees: every host has what it is assigned, unless `runs` says otherwise."""
    runs, gone = runs or {}, lost or {}
    declared = [each.name for each in wanted.hosts]
    by_default = {
        name: tuple(
            report(replica.slot, replica.spec, replica.service)
            for replica in each.replicas
            if not replica.held
        )
        for name, each in before.items()
    }
    statuses = {
        name: status(
            name,
            replicas=runs.get(name, by_default.get(name, ())),
            images=(images or {}).get(name, ("order:1.0.0",)),
        )
        for name in declared
    }
    state = cluster(
        wanted,
        assignments=before,
        statuses=statuses,
        present={name: each.instance for name, each in statuses.items() if name not in away.split()},
        stored_specs=frozenset({spec_hash(order())}),
        specs={spec_hash(order()): order()},
        **more,
    )
    listed = tuple(node(name, state="down" if name in gone else "ready") for name in declared)
    leader = host(swarm=member(of=listed) if nodes else replace(member(), nodes=None))
    watches = {
        (name, replica.service, replica.slot): ReplicaTimers(steady_s=for_s)
        for name, each in before.items()
        for replica in each.replicas
    }
    return replace(observed(state, leader, leads=True), lost_s=dict(gone), watches=watches)


def next_of(view: Seen) -> dict[str, list[str]]:
    """The assignments after this pass."""
    assert view.cluster is not None
    assert view.cluster.accepted is not None
    placement = placement_of(view.cluster.accepted, view)
    decisions = plan_rollouts(view.cluster.accepted, view, placement)
    plan = plan_assignments(view.cluster.accepted, view.cluster, decisions, view.host, placement)
    published = {each.host: each.assignment for each in plan.steps if isinstance(each, PublishAssignment)}
    return names({**view.cluster.assignments, **published})


def left(view: Seen) -> list[str]:
    assert view.cluster is not None
    assert view.cluster.accepted is not None
    placement = placement_of(view.cluster.accepted, view)
    return [*map(str, placement.blocked), *map(str, placement.waiting)]


def drained(wanted: Intent, *names: str) -> Intent:
    return hosts(wanted, **{name: {"availability": "drain"} for name in names})


TWO = on(h1="order-1", h2="order-2", h3="")


def test_the_replicas_of_a_host_that_is_gone_get_other_hosts_and_keep_their_numbers() -> None:
    wanted = intent(anywhere(2), hosts="h1 h2 h3")

    assert next_of(seen(wanted, TWO, away="h2", lost={"h2": 60.0})) == {
        "h1": ["order-1"],
        "h2": [],
        "h3": ["order-2"],
    }


def test_nothing_moves_before_a_host_has_been_gone_for_long_enough() -> None:
    view = seen(intent(anywhere(2), hosts="h1 h2 h3"), TWO, away="h2", lost={"h2": 59.0})

    assert view.cluster is not None
    assert view.cluster.accepted is not None
    assert next_of(view) == names(TWO)
    assert left(view) == [
        "waiting placement/order: h2 is lost (unreachable): order-2 will be rescheduled after 60 s of loss"
    ]
    assert placement_of(view.cluster.accepted, view).again_s == 1.0


@pytest.mark.parametrize("nodes", [True, False])
def test_nothing_moves_away_from_a_host_whose_agent_alone_is_away(nodes: bool) -> None:
    assert next_of(seen(intent(anywhere(2), hosts="h1 h2 h3"), TWO, away="h2", nodes=nodes)) == names(TWO)


def test_pinned_replicas_wait_for_their_host() -> None:
    wanted = intent(service(on={"h2": 1}), hosts="h1 h2")
    before = assign(wanted, {})

    assert next_of(seen(wanted, before, away="h2", lost={"h2": 999.0})) == names(before)


def test_a_replica_that_only_its_host_may_run_waits_for_it() -> None:
    only = Constraint(of="hostname", equal=True, value="h2")
    view = seen(
        intent(anywhere(1, constraints=(only,)), hosts="h1 h2"),
        on(h1="", h2="order-1"),
        away="h2",
        lost={"h2": 99.0},
    )

    assert next_of(view) == {"h1": [], "h2": ["order-1"]}
    assert left(view) == [
        "blocked placement/order: order-1 waits for h2: h1: node.hostname == h2 is not met; h2: it is gone"
    ]


def test_what_moved_does_not_go_back_when_its_host_returns() -> None:
    moved = on(h1="order-1", h2="", h3="order-2")
    back = {"h2": (report(2),), "h3": (report(2),), "h1": (report(1),)}

    assert next_of(seen(intent(anywhere(2), hosts="h1 h2 h3"), moved, runs=back)) == names(moved)


def test_a_replica_that_still_runs_elsewhere_is_not_started() -> None:
    moved = on(h1="order-1", h2="", h3="order-2")
    back = {"h2": (report(2),), "h3": ()}

    assert next_of(seen(intent(anywhere(2), hosts="h1 h2 h3"), moved, runs=back))["h3"] == ["(order-2)"]


def test_a_host_is_made_ready_before_a_replica_leaves_the_one_that_is_drained() -> None:
    wanted = drained(intent(anywhere(2), hosts="h1 h2 h3"), "h2")
    view = seen(wanted, TWO, images={"h3": ()})

    assert next_of(view) == {"h1": ["order-1"], "h2": ["order-2"], "h3": ["(order-2)"]}
    assert left(view) == ["waiting drain/h2: h2 is not empty yet: prod-order-2"]


def test_a_replica_leaves_once_the_other_host_has_its_image_and_starts_when_nothing_is_left() -> None:
    wanted = drained(intent(anywhere(2), hosts="h1 h2 h3"), "h2")
    left = seen(wanted, TWO)

    assert next_of(left) == {"h1": ["order-1"], "h2": [], "h3": ["(order-2)"]}
    moved = {**TWO, "h2": on(h2="")["h2"], "h3": on(h3="order-2")["h3"]}
    assert next_of(seen(wanted, moved, runs={"h2": (report(2),), "h3": ()}))["h3"] == ["(order-2)"]
    assert next_of(seen(wanted, moved, runs={"h2": (), "h3": ()}))["h3"] == ["order-2"]


def test_replicas_of_one_service_leave_one_at_a_time() -> None:
    wanted = drained(intent(anywhere(3), hosts="h1 h2 h3"), "h2")
    view = seen(wanted, on(h1="order-3", h2="order-1 order-2", h3=""))

    assert next_of(view) == {"h1": ["order-3"], "h2": ["order-2"], "h3": ["(order-1)"]}
    assert left(view)[0] == (
        "waiting placement/order: order-2 leaves h2 (h2 is drained): another replica moves first"
    )


@pytest.mark.parametrize(
    ("said", "why"),
    [
        (
            {"status": "restarting", "exit_code": 1},
            "is not healthy: it keeps exiting with 1",
        ),
        ({"health": "starting"}, "is not healthy: it is not healthy yet"),
        ({"for_s": 2.0}, "must stay healthy for 5 s"),
    ],
)
def test_no_replica_leaves_while_another_one_is_not_well(said: dict[str, Any], why: str) -> None:
    for_s = said.pop("for_s", 60.0)
    wanted = drained(intent(anywhere(2), hosts="h1 h2 h3"), "h2")
    view = seen(wanted, TWO, runs={"h1": (report(1, **said),)}, for_s=for_s)

    assert next_of(view) == names(TWO)
    assert left(view)[0] == (
        f"waiting placement/order: order-2 leaves h2 (h2 is drained): order-1 on h1 {why}"
    )


def test_a_replica_that_does_no_work_leaves_at_once() -> None:
    wanted = drained(intent(anywhere(2), hosts="h1 h2 h3"), "h2")
    view = seen(
        wanted,
        TWO,
        runs={"h1": (report(1, health="unhealthy"),), "h2": (report(2, status="exited"),)},
        images={"h3": ()},
    )

    assert next_of(view) == {"h1": ["order-1"], "h2": [], "h3": ["(order-2)"]}


@pytest.mark.parametrize(
    ("more", "why"),
    [
        ({"away": "h2"}, "h2 does not report (unreachable)"),
        ({"away": "h3"}, "h3 does not report (unreachable)"),
        ({"nodes": False}, "the swarm lists no nodes"),
    ],
)
def test_nothing_leaves_a_drained_host_while_it_could_not_be_started_elsewhere(
    more: dict[str, Any], why: str
) -> None:
    apart = Constraint(of="hostname", equal=False, value="h1")
    wanted = drained(intent(anywhere(1, constraints=(apart,)), hosts="h1 h2 h3"), "h2")
    before = on(h1="", h2="order-1", h3="")
    view = seen(wanted, before, **more)

    assert next_of(view) == names(before)
    assert left(view)[0] == f"waiting placement/order: order-1 leaves h2 (h2 is drained): {why}"


def test_what_is_pinned_to_a_drained_host_is_stopped_when_the_others_have_left() -> None:
    wanted = drained(intent(anywhere(2), service("billing", on={"h2": 1}), hosts="h1 h2 h3"), "h2")
    before = on(h1="order-1", h2="billing-1 order-2", h3="")
    left = on(h1="order-1", h2="billing-1", h3="order-2")

    assert next_of(seen(wanted, before)) == {"h1": ["order-1"], "h2": ["billing-1"], "h3": ["(order-2)"]}
    assert next_of(seen(wanted, left)) == {"h1": ["order-1"], "h2": [], "h3": ["order-2"]}


def test_a_replica_that_can_go_nowhere_is_stopped_with_the_rest() -> None:
    wanted = drained(intent(anywhere(2, most_per_host=1), hosts="h1 h2"), "h2")
    view = seen(wanted, on(h1="order-1", h2="order-2"))

    assert next_of(view) == {"h1": ["order-1"], "h2": []}
    assert left(view)[0] == (
        "blocked placement/order: order-2: no host can run it: "
        "h1: max_replicas_per_node 1 is reached; h2: it is drained"
    )


def test_a_drained_host_is_empty_when_nothing_is_said_of_it() -> None:
    wanted = drained(intent(anywhere(2), hosts="h1 h2 h3"), "h2")

    assert left(seen(wanted, on(h1="order-1", h2="", h3="order-2"))) == []


def test_a_replica_leaves_a_host_that_does_not_meet_the_constraints_any_more() -> None:
    wanted = hosts(intent(anywhere(2, constraints=(IN_A,)), hosts="h1 h2 h3"), h1=ZONES["h1"], h3=ZONES["h1"])

    assert next_of(seen(wanted, TWO)) == {"h1": ["order-1"], "h2": [], "h3": ["(order-2)"]}


def test_the_replicas_of_a_host_that_was_taken_out_get_others() -> None:
    wanted = intent(anywhere(2), hosts="h1 h3")

    assert next_of(seen(wanted, TWO)) == {"h1": ["order-1"], "h2": [], "h3": ["order-2"]}


def test_a_move_that_was_begun_goes_on_with_another_leader() -> None:
    wanted = drained(intent(anywhere(2), hosts="h1 h2 h3 h4"), "h2")
    begun = {**on(h1="order-1", h2="order-2", h3="", h4=""), "h4": on(h4="order-2")["h4"]}
    (replica,) = begun["h4"].replicas
    begun["h4"] = replace(begun["h4"], replicas=(replace(replica, held="it moves here"),))

    assert next_of(seen(wanted, begun, images={"h4": ()}))["h4"] == ["(order-2)"]
    assert next_of(seen(wanted, begun)) == {"h1": ["order-1"], "h2": [], "h3": [], "h4": ["(order-2)"]}


def test_a_replica_keeps_the_spec_it_has_when_it_moves_in_the_middle_of_a_rollout() -> None:
    wanted = intent(anywhere(2, spec=order("1.0.1")), hosts="h1 h2 h3")
    view = seen(wanted, TWO, away="h2", lost={"h2": 60.0})
    assert view.cluster is not None

    decisions = plan_rollouts(wanted, view)
    made = assign(wanted, TWO, decisions=decisions, placement=placement_of(wanted, view))

    assert [replica.spec for replica in made["h3"].replicas] == [spec_hash(order())]
