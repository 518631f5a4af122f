"""What every plan says first: what of the world is away."""

from agent.planner import make_plan
from tests.planner.builders import cluster, container, host, intent, observed, service, told

RUNNING = cluster(intent(service()))


def test_without_etcd_the_revision_that_is_held_is_said() -> None:
    away = observed(RUNNING, host(container()), stale=True, store_fault="etcd cannot be read: timeout")
    assert told(make_plan(away)) == [
        "blocked store: etcd cannot be read: timeout; holding revision 7 as kept"
    ]


def test_without_etcd_and_without_anything_kept_nothing_is_done() -> None:
    assert told(make_plan(observed(None, host(), stale=True))) == [
        "blocked store: etcd does not answer; nothing known from before"
    ]


def test_what_cannot_be_kept_on_disk_is_said_and_the_work_goes_on() -> None:
    full = observed(
        cluster(intent(service())), host(), state_fault="cannot keep state: No space left on device"
    )
    plan = make_plan(full)
    assert [each.kind for each in plan.blocked] == ["disk"]
    assert any(each.resource == "container/prod-order-1" for each in plan.steps)
