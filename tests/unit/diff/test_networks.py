"""Which network of a host stands for a declared one."""

from dataclasses import replace
from typing import Any

import pytest

from agent.diff.networks import (
    describe_network,
    found_for,
    leftovers,
    local_names,
    strangers,
    with_confirmed_overlays,
)
from agent.model.host_state import Attached, HostState, NetworkState
from agent.model.intent import NetworkIntent
from tests.support.builders import (
    bridge_network,
    cluster,
    container,
    host,
    intent,
    member,
    overlay_network,
    record,
    service,
    worker,
)

OVERLAY = NetworkIntent(key="net", name="net", driver="overlay")
RIGHT = overlay_network()
BRIDGE = bridge_network(id="bridge-id", name="net")
MACVLAN = replace(BRIDGE, id="macvlan-id", driver="macvlan")
STALE = overlay_network(id="another-id")
OURS_BEFORE = overlay_network(id="another-id", ours=True, cluster="prod")
OF_ANOTHER = overlay_network(id="another-id", cluster="test")
UNALLOCATED = overlay_network(driver="")


def manager(*networks: NetworkState) -> HostState:
    return host(swarm=member("h1"), networks=networks)


def on_worker(*networks: NetworkState) -> HostState:
    return host(swarm=worker("h1"), networks=networks)


@pytest.mark.parametrize("others", [(), (BRIDGE,), (MACVLAN,), (STALE,), (OF_ANOTHER,), (BRIDGE, OF_ANOTHER)])
@pytest.mark.parametrize("see", [manager, on_worker])
def test_the_recorded_overlay_is_found_among_others_in_any_order(
    see: object, others: tuple[NetworkState, ...]
) -> None:
    assert callable(see)
    for listed in ((RIGHT, *others), (*others, RIGHT)):
        seen = see(*listed)
        assert found_for(OVERLAY, seen, record()) == RIGHT
        assert set(strangers(OVERLAY, seen, record())) == set(others)


@pytest.mark.parametrize("other", [BRIDGE, MACVLAN, OF_ANOTHER])
def test_a_network_of_others_alone_does_not_stand_for_the_overlay(other: NetworkState) -> None:
    for seen in (manager(other), on_worker(other)):
        assert found_for(OVERLAY, seen, record()) is None
        assert found_for(OVERLAY, seen, None) is None
        assert strangers(OVERLAY, seen, record()) == (other,)


def test_only_a_host_that_lists_every_overlay_believes_in_one_that_is_not_recorded() -> None:
    assert found_for(OVERLAY, manager(STALE), record()) == STALE
    assert found_for(OVERLAY, on_worker(STALE), record()) is None
    assert strangers(OVERLAY, on_worker(STALE), record()) == (STALE,)


def test_an_earlier_overlay_of_this_cluster_is_not_used_and_is_no_strangers() -> None:
    seen = on_worker(OURS_BEFORE)
    assert found_for(OVERLAY, seen, record()) is None
    assert strangers(OVERLAY, seen, record()) == ()


def test_a_record_without_ids_or_of_a_recreation_names_no_overlay() -> None:
    for known in (None, record(overlay_ids=()), record(recreating=("net",))):
        assert found_for(OVERLAY, on_worker(STALE), known) == STALE


def test_an_unallocated_overlay_stands_for_the_declared_one() -> None:
    assert found_for(OVERLAY, manager(UNALLOCATED), record()) == UNALLOCATED


def test_an_external_overlay_may_be_another_clusters() -> None:
    assert found_for(replace(OVERLAY, external=True), manager(OF_ANOTHER), record()) == OF_ANOTHER


def test_a_declared_bridge_has_no_strangers_here() -> None:
    wanted = replace(OVERLAY, driver="bridge")
    assert strangers(wanted, manager(BRIDGE, RIGHT), record()) == ()


def test_a_name_is_local_if_no_overlay_has_it() -> None:
    assert local_names(manager(BRIDGE)) == {"net"}
    assert local_names(manager(BRIDGE, RIGHT)) == frozenset()


def test_a_network_is_described_without_its_name() -> None:
    assert describe_network(OF_ANOTHER) == "the overlay network another-id of cluster test (swarm)"
    assert describe_network(UNALLOCATED) == "the unallocated network overlay-id (swarm)"


KEPT = replace(OURS_BEFORE, left_behind=True)


def test_an_overlay_that_the_swarm_no_longer_has_never_stands_for_the_declared_one() -> None:
    for known in (None, record(), record(recreating=("net",)), record(overlay_ids=(("net", KEPT.id),))):
        assert found_for(OVERLAY, manager(KEPT), known) is None
        for listed in ((RIGHT, KEPT), (KEPT, RIGHT)):
            assert found_for(OVERLAY, manager(*listed), known) == RIGHT


def test_an_engine_has_kept_what_its_swarm_does_not_have_or_a_worker_has_with_another_id() -> None:
    assert leftovers(OVERLAY, manager(RIGHT, KEPT), record()) == (KEPT,)
    assert leftovers(OVERLAY, on_worker(RIGHT, OURS_BEFORE), record()) == (OURS_BEFORE,)
    assert leftovers(OVERLAY, on_worker(OURS_BEFORE), record()) == (OURS_BEFORE,)


@pytest.mark.parametrize("other", [BRIDGE, MACVLAN, STALE, OF_ANOTHER, RIGHT])
def test_nothing_of_others_and_not_the_overlay_itself_is_kept_from_an_earlier_time(
    other: NetworkState,
) -> None:
    assert leftovers(OVERLAY, manager(RIGHT, other), record()) == ()
    assert leftovers(OVERLAY, on_worker(other), record()) == ()


def test_a_manager_may_see_a_newer_overlay_before_it_is_recorded() -> None:
    assert leftovers(OVERLAY, manager(OURS_BEFORE), record()) == ()


def test_nothing_is_kept_while_no_overlay_is_recorded_or_it_is_external() -> None:
    for known in (None, record(overlay_ids=()), record(recreating=("net",))):
        assert leftovers(OVERLAY, manager(KEPT), known) == ()
        assert leftovers(OVERLAY, on_worker(OURS_BEFORE), known) == ()
    assert leftovers(replace(OVERLAY, external=True), on_worker(OURS_BEFORE), record()) == ()


@pytest.mark.parametrize("fixed", [True, False], ids=["x-hosts", "placed"])
@pytest.mark.parametrize("confirmed", [True, False])
@pytest.mark.parametrize("running", [True, False])
@pytest.mark.parametrize("see", [worker, member])
def test_a_fixed_replica_that_runs_on_an_overlay_leaves_it_only_for_one_that_its_engine_has_in_use(
    see: Any, *, fixed: bool, confirmed: bool, running: bool
) -> None:
    wanted = service() if fixed else replace(service(), replicas=1, placement=())
    state = cluster(
        replace(intent(wanted), networks=(OVERLAY,)), record=record(overlay_ids=(("net", "new"),))
    )
    used, new = replace(STALE, ours=True), overlay_network(id="new", ours=True)
    mine = container()
    on_it = (
        Attached(
            id=mine.id, name=mine.name, running=running, networks=("net",), network_ids=(("net", used.id),)
        ),
        *(
            (Attached(id="x", name="x", networks=("net",), network_ids=(("net", "new"),)),)
            if confirmed
            else ()
        ),
    )
    seen = host(mine, swarm=see("h1"), networks=(used, new), attached=on_it)
    found = with_confirmed_overlays(state, seen)
    holds = fixed and running and not confirmed and see is worker
    assert found.record is not None
    assert dict(found.record.overlay_ids) == {"net": used.id if holds else "new"}
    assert ("swarm" in "".join(found.untrusted)) == holds
    if holds:
        ((_, why),) = found.unreadable
        assert "docker stop $(docker ps -q --filter network=net)" in why
