"""A plan made from what a host reported is the plan that the host makes itself, word for word."""

from dataclasses import replace
from ipaddress import IPv4Network

import pytest
from hypothesis import HealthCheck, given, settings

from agent.diff.reported import host_of
from agent.errors import Invalid
from agent.model.plan import Plan
from agent.model.records import decode, encode
from agent.model.status import BridgeReport, HostStatus
from agent.planner import make_plan
from agent.planner.dry_run.world import World
from agent.planner.host.bridge import phase_of
from agent.planner.host.bridge_swap import plan_swap
from agent.report.status import host_status
from tests.support.builders import bridge_network, cluster, host, intent, observed, service, status
from tests.support.generators import worlds
from tests.support.guests import guest, hosting
from tests.support.thoroughness import examples


@settings(max_examples=examples(50), deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(worlds())
def test_the_report_of_a_host_is_enough_to_plan_for_it(world: World) -> None:
    for name in world.agents:
        seen = world.observed(name)
        plan = make_plan(seen)
        report = host_status(seen, plan, (), {}, None, "2024-05-01T00:00:00Z", "0.1.0", phase=phase_of(seen))
        told = host_of(decode(HostStatus, encode(report)))

        assert str(make_plan(replace(seen, host=told))) == str(plan)


def test_a_host_whose_dockerd_is_away_reports_nothing_to_plan_upon() -> None:
    seen = observed(cluster(intent(service())), None, engine_error="no such socket")
    report = host_status(
        seen, make_plan(seen), (), {}, status("h1"), "2024-05-01T00:00:00Z", "0.1.0", phase=phase_of(seen)
    )

    assert host_of(report) is None
    assert report.engine_error == "no such socket"


def test_the_names_of_other_peoples_containers_stay_on_the_host_unless_they_are_in_our_way() -> None:
    seen = observed(
        cluster(intent(service())), host(foreign_names=(("prod-order-1", "x"), ("their-secret-project", "y")))
    )
    report = host_status(
        seen, make_plan(seen), (), {}, None, "2024-05-01T00:00:00Z", "0.1.0", phase=phase_of(seen)
    )

    assert report.foreign_names == ("prod-order-1",)


def test_a_plan_of_another_bridge_names_beforehand_every_container_that_it_would_touch() -> None:
    """Also others', as their ports are away as well; the bridge that is there is right, so nothing speaks of them."""
    found = hosting(
        guest("theirs", ports=("8080/tcp",)), guest("elsewhere", "local"), bridge=bridge_network()
    )
    now = intent(service())
    seen = observed(cluster(now), found)
    report = host_status(
        seen, make_plan(seen), (), {}, None, "2024-05-01T00:00:00Z", "0.1.0", phase=phase_of(seen)
    )
    told = host_of(decode(HostStatus, encode(report)))

    assert told is not None
    assert plan_swap(now, told, "") == Plan()
    other = replace(now, gwbridge=replace(now.gwbridge, subnet=IPv4Network("172.22.0.0/20")))
    planned = [str(step).split(": ")[0] for step in plan_swap(other, told, "").steps]
    assert planned == [
        "prepare network/swarmkeeper_parking",
        "park container/theirs",
        "swap network/docker_gwbridge",
        "unpark container/theirs",
        "clear network/swarmkeeper_parking",
    ]


def test_a_report_with_an_address_that_is_none_is_refused() -> None:
    garbled = status("h1", bridge=BridgeReport(device=True, address="somewhere"))

    with pytest.raises(Invalid, match="not a host status"):
        host_of(garbled)
