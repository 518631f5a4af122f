from dataclasses import replace
from ipaddress import IPv4Address, IPv4Network
from typing import Any

import pytest

from agent.diff.networks import overlay_differences, ready_overlays
from agent.model.host_state import HostState, NetworkState, describe
from agent.model.intent import Intent, NetworkIntent
from agent.planner import make_plan
from agent.planner.host.prerequisites import plan_local_network
from agent.planner.leader.recreate import plan_overlays
from agent.report.drift import find_differences
from tests.support import builders
from tests.support.builders import (
    LOCAL,
    OVERLAY,
    cluster,
    host,
    intent,
    member,
    observed,
    overlay_network,
    service,
    told,
    worker,
)

EXTERNAL = NetworkIntent(key="net", name="net", driver="overlay", external=True)


def overlays(seen: HostState, wanted: Intent | None = None, **etcd: Any) -> list[str]:
    wanted = wanted or intent()
    etcd = {"record": builders.record(overlay_ids=()), **etcd}
    return told(plan_overlays(wanted, observed(cluster(wanted, **etcd), seen, leads=True)))


def with_networks(*networks: NetworkState) -> HostState:
    return host(networks=(builders.bridge_network(), *networks))


def test_a_declared_overlay_that_is_missing_is_created_once_by_the_leader() -> None:
    assert overlays(with_networks()) == ["create network/net: declared, and missing in the swarm"]


def test_an_overlay_that_is_gone_is_created_once_the_record_no_longer_names_it() -> None:
    """A worker would take the new one for an earlier one."""
    assert overlays(with_networks(), record=builders.record()) == [
        "waiting network/net: missing in the swarm: it is created once the key swarm no longer has its id"
    ]
    steps = told(make_plan(observed(cluster(intent()), with_networks(), leads=True)))
    assert any(each.startswith("publish swarm-record") for each in steps)


def test_an_earlier_overlay_that_keeps_the_engine_from_creating_one_is_reported_with_the_remedy() -> None:
    seen = with_networks(replace(overlay_network(id="earlier", ours=True), left_behind=True))
    assert overlays(replace(seen, engine_version="20.10.24+dfsg1")) == overlays(with_networks())
    (reported,) = overlays(replace(seen, engine_version="28.5.2"))
    assert "dockerd of h1 cannot create it: it has kept the earlier overlay earlier;" in reported
    assert reported.endswith("; run `systemctl restart docker` on h1")


def test_an_overlay_as_declared_is_left_alone() -> None:
    assert overlays(with_networks(overlay_network())) == []


@pytest.mark.parametrize(
    ("found", "why"),
    [
        (
            overlay_network(subnet=IPv4Network("10.99.0.0/16")),
            "subnet: 10.10.0.0/16 wanted, 10.99.0.0/16 found",
        ),
        (overlay_network(gateway="10.10.0.1"), "gateway: 10.10.0.254 wanted, 10.10.0.1 found"),
        (overlay_network(attachable=False), "attachable: true wanted, false found"),
        (overlay_network(driver=""), "driver: overlay wanted, none (never allocated) found"),
        (overlay_network(internal=True), "internal: false wanted, true found"),
        (overlay_network(options=(("encrypted", ""),)), "driver_opts.encrypted: nothing wanted, '' found"),
    ],
)
def test_an_overlay_of_others_that_is_not_as_declared_is_reported_and_not_changed(
    found: NetworkState, why: str
) -> None:
    assert overlays(with_networks(found)) == [
        f"blocked network/net: {why}: the overlay is not managed by this cluster, so it is not changed"
    ]


def test_an_option_that_is_declared_and_not_there_is_a_difference_and_what_the_swarm_adds_is_none() -> None:
    wanted = replace(OVERLAY, options=(("encrypted", ""),))
    ids = ("com.docker.network.driver.overlay.vxlanid_list", "4097")

    assert describe(overlay_differences(wanted, overlay_network(options=(ids,)))) == (
        "driver_opts.encrypted: '' wanted, nothing found"
    )
    assert overlay_differences(wanted, overlay_network(options=(ids, ("encrypted", "")))) == ()


# ---- what containers can join


def ready(host: HostState, *known: str) -> list[str]:
    return [each.name for each in ready_overlays(intent(), host, known, record=None)]


def test_an_overlay_that_was_ready_stays_so_when_it_is_declared_otherwise_later() -> None:
    """What runs on it goes on, and is started again when it ends."""
    other = with_networks(overlay_network(subnet=IPv4Network("10.99.0.0/16")))

    ours = with_networks(overlay_network(subnet=IPv4Network("10.99.0.0/16"), ours=True))

    assert ready(other) == []
    assert ready(other, "net") == ["net"]
    assert ready(ours) == ["net"]


@pytest.mark.parametrize("broken", [overlay_network(driver=""), overlay_network(attachable=False)])
def test_an_overlay_that_takes_no_containers_is_never_ready(broken: NetworkState) -> None:
    assert ready(with_networks(broken), "net") == []


def test_an_overlay_that_a_worker_does_not_list_is_no_drift_and_replicas_start_on_it() -> None:
    wanted = intent(service(), hosts="h2 h1:worker")
    seen = host(swarm=worker(), networks=(builders.bridge_network(),))
    there = observed(cluster(wanted), seen)
    plan = make_plan(there)

    assert [str(step) for step in plan.steps] == [
        "create container/prod-order-1: order replica 1 is assigned here",
        "start container/prod-order-1: order replica 1 is assigned here",
    ]
    assert not any(each.kind in ("overlay", "network") for each in find_differences(there, plan, ()))


def test_an_external_overlay_is_used_and_never_created() -> None:
    wanted = intent(networks=(EXTERNAL,))

    assert overlays(with_networks(), wanted) == [
        "blocked network/net: declared external, but the swarm has no network of that name"
    ]
    assert overlays(with_networks(overlay_network(subnet=IPv4Network("10.99.0.0/16"))), wanted) == []


def test_without_a_quorum_no_overlay_is_thought_missing() -> None:
    silent = replace(member(), nodes=None)

    assert overlays(host(swarm=silent, networks=())) == []


def test_networks_of_a_single_host_are_not_the_leaders_business() -> None:
    assert overlays(with_networks(overlay_network()), intent(networks=(OVERLAY, LOCAL))) == []


def local(subnet: str) -> NetworkState:
    return NetworkState(
        id="l",
        name="local",
        driver="bridge",
        scope="local",
        subnet=IPv4Network(subnet),
        gateway=None,
        ours=True,
    )


def test_a_missing_network_of_the_host_is_created() -> None:
    assert told(plan_local_network(LOCAL, host())) == [
        "create network/local: declared, and missing on this host"
    ]


def test_a_network_of_the_host_with_another_subnet_is_reported_and_not_changed() -> None:
    (blocked,) = told(plan_local_network(LOCAL, with_networks(local("10.30.0.0/24"))))
    assert blocked == (
        "blocked network/local: the bridge network l (local) has this name: "
        "subnet: 10.20.0.0/24 wanted, 10.30.0.0/24 found; remove it, or declare another name"
    )


@pytest.mark.parametrize(
    ("found", "said"),
    [
        ({"driver": "macvlan"}, "driver: bridge wanted, macvlan found"),
        ({"internal": True}, "internal: false wanted, true found"),
        ({"gateway": "10.20.0.1"}, "gateway: 10.20.0.254 wanted, 10.20.0.1 found"),
        ({"options": (("a", "2"),)}, "driver_opts.a: '1' wanted, '2' found"),
        ({"options": ()}, "driver_opts.a: '1' wanted, nothing found"),
    ],
)
def test_a_network_of_the_host_that_is_otherwise_is_reported_by_field(
    found: dict[str, Any], said: str
) -> None:
    wanted = replace(LOCAL, gateway=IPv4Address("10.20.0.254"), options=(("a", "1"),))
    right = replace(local("10.20.0.0/24"), gateway="10.20.0.254", options=(("a", "1"), ("engine's", "own")))

    assert told(plan_local_network(wanted, with_networks(right))) == []
    (blocked,) = told(plan_local_network(wanted, with_networks(replace(right, **found))))
    assert blocked.startswith("blocked network/local: the ")
    assert blocked.endswith(f"network l (local) has this name: {said}; remove it, or declare another name")
    assert (
        told(plan_local_network(replace(wanted, external=True), with_networks(replace(right, **found)))) == []
    )


@pytest.mark.parametrize(
    ("found", "whose"),
    [
        ({}, "the bridge network l (local) has this name, and no agent made it"),
        ({"subnet": None}, "the bridge network l (local) has this name, and no agent made it"),
        (
            {"cluster": "test"},
            "the bridge network l of cluster test (local) has this name, and no agent of this cluster made it",
        ),
    ],
)
def test_a_network_of_the_host_that_others_made_is_not_used_unless_it_is_external(
    found: dict[str, Any], whose: str
) -> None:
    theirs = replace(local("10.20.0.0/24"), ours=False, **found)
    remedy = "nothing of it is used or changed; remove it, or declare another name or `external: true`"
    ours = replace(local("10.20.0.0/24"), id="a")

    for networks in ((theirs,), (ours, theirs)):
        assert told(plan_local_network(LOCAL, with_networks(*networks))) == [
            f"blocked network/local: {whose}: {remedy}"
        ]
    assert told(plan_local_network(replace(LOCAL, external=True), with_networks(theirs))) == []


def test_a_missing_external_network_of_the_host_is_waited_for() -> None:
    assert told(plan_local_network(replace(LOCAL, external=True), host())) == [
        "blocked network/local: declared external, but it does not exist"
    ]
