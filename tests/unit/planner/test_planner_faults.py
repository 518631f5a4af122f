"""What every plan says first: what of the world is away."""

from dataclasses import replace

from agent.planner import make_plan
from tests.support import builders
from tests.support.builders import (
    cluster,
    container,
    document,
    empty_host,
    host,
    intent,
    observed,
    service,
    told,
)

RUNNING = cluster(intent(service()))


def test_without_etcd_the_revision_that_is_held_is_said() -> None:
    away = observed(RUNNING, host(container()), stale=True, store_error="etcd cannot be read: timeout")
    assert told(make_plan(away)) == [
        "blocked store: etcd cannot be read: timeout; holding revision 7 as last read"
    ]


def test_without_etcd_and_without_anything_kept_nothing_is_done() -> None:
    assert told(make_plan(observed(None, host(), stale=True))) == [
        "blocked store: etcd does not answer; no earlier state is known"
    ]


def test_what_cannot_be_kept_on_disk_is_said_and_the_work_goes_on() -> None:
    # Each file has its own effect and remedy.
    full = observed(cluster(intent(service())), host(), state_fault="cannot keep: No space left; free it")
    plan = make_plan(full)
    assert [(each.kind, str(each)) for each in plan.blocked] == [
        ("disk", "blocked state: cannot keep: No space left; free it")
    ]
    assert any(each.resource == "container/prod-order-1" for each in plan.steps)


def test_a_leader_lock_that_is_stuck_is_said_and_the_work_of_the_host_goes_on() -> None:
    plan = make_plan(observed(RUNNING, host(), lock_fault="it has no lease"))
    assert [(each.kind, str(each)) for each in plan.blocked] == [("lock", "blocked leader: it has no lease")]
    assert any(each.resource == "container/prod-order-1" for each in plan.steps)


BACK = replace(RUNNING, store_rolled_back="it has no accepted document", document=None)
WAITS = (
    f"blocked store: etcd was rolled back, {BACK.store_rolled_back}; holding revision 7; nothing is removed until a "
    "document is put"
)


def test_an_etcd_that_went_back_is_said_and_nothing_is_taken_away() -> None:
    seen = observed(BACK, host(container(), container(5)))
    assert told(make_plan(seen)) == [
        WAITS,
        "waiting container/prod-order-5: the last known assignment does not have it; it stays until etcd answers",
    ]


def test_whoever_leads_then_gives_a_verdict_and_does_nothing_else() -> None:
    leading = observed(replace(BACK, document=document(intent(revision=3))), host(container()), leads=True)
    assert [step.resource for step in make_plan(leading).steps] == ["verdict"]


def test_a_host_outside_the_swarm_does_not_join_then() -> None:
    out = replace(BACK, tokens=builders.tokens())
    plan = make_plan(observed(out, empty_host()))
    assert [str(step) for step in plan.steps] == ["pull image/order:1.0.0: wanted by prod-order-1"]
