"""Who sees whom on an overlay, from what the hosts report."""

from dataclasses import replace
from typing import Any, Literal

import pytest

from agent.model.intent import NetworkIntent
from agent.model.records import Disruption
from agent.model.status import HostStatus, NetworkReport, ReplicaReport
from agent.planner.leader.recreate import unseen_peers
from tests.support.builders import ADDRESSES, intent, status

INTENT = intent(hosts="h1 h2 h3")


def on(
    name: str,
    *peers: str,
    overlay: str = "net",
    state: Literal["running", "exited"] = "running",
    **more: Any,
) -> HostStatus:
    """A host with a replica on the overlay, that sees itself and `peers` there."""
    replica = ReplicaReport(
        service="order", slot=1, spec="s", id="c", name="prod-order-1", status=state,
        addresses=((overlay, "10.10.0.1" if state == "running" else ""),),
    )  # fmt: skip
    seen = tuple(ADDRESSES[each] for each in (name, *peers))
    missed = tuple(each for each in ADDRESSES if each not in (name, *peers))
    network = NetworkReport(id="n", name=overlay, driver="overlay", scope="swarm", peers=seen, unseen=missed)
    return status(
        name, **{"replicas": (replica,), "networks": (network,), "swarm_address": ADDRESSES[name], **more}
    )


def slot(host: str) -> Disruption:
    return Disruption(host=host, state="released", reason="", quorum=True, address=ADDRESSES[host])


def unseen(around: str, *hosts: HostStatus) -> tuple[str, ...]:
    return unseen_peers({each.instance.removeprefix("run-"): each for each in hosts}, INTENT, slot(around))


def test_hosts_that_all_see_each_other_are_fine() -> None:
    assert unseen("h1", on("h1", "h2", "h3"), on("h2", "h1", "h3"), on("h3", "h1", "h2")) == ()


def test_a_host_that_is_cut_off_is_missed_by_both_sides() -> None:
    assert unseen("h3", on("h1", "h2"), on("h2", "h1"), on("h3")) == (
        "h1 does not see h3 on net",
        "h2 does not see h3 on net",
        "h3 does not see h1, h2 on net",
    )


def test_one_way_is_not_enough() -> None:
    assert unseen("h1", on("h1", "h2"), on("h2")) == ("h2 does not see h1 on net",)
    assert unseen("h2", on("h1", "h2"), on("h2")) == ("h2 does not see h1 on net",)


@pytest.mark.parametrize("around", ["h1", "h2"])
def test_a_host_that_did_not_say_whom_it_sees_sees_nobody(around: str) -> None:
    silent = on("h2", networks=())

    assert unseen(around, on("h1", "h2"), silent) == ("h2 does not see h1 on net",)


def test_a_host_with_another_address_than_at_the_grant_is_not_looked_for_by_the_others() -> None:
    elsewhere = on("h1", "h2", swarm_address="10.7.7.7")

    assert unseen("h1", elsewhere, on("h2")) == ()


@pytest.mark.parametrize("seen", [(), ("h1",)])
def test_an_agent_of_format_1_sees_the_hosts_that_it_lists_and_no_other(seen: tuple[str, ...]) -> None:
    network = replace(on("h2", *seen).networks[0], unseen=())
    earlier = on("h2", networks=(network,), refreshed=True)

    assert unseen("h1", on("h1", "h2"), earlier) == (() if seen else ("h2 does not see h1 on net",))


@pytest.mark.parametrize(
    "other",
    [
        on("h2", state="exited"),
        on("h2", overlay="another"),
        status("h2"),
    ],
)
def test_a_host_without_a_running_replica_on_the_overlay_need_not_be_seen(other: HostStatus) -> None:
    assert unseen("h1", on("h1"), other) == ()


def test_each_overlay_is_looked_at_by_itself() -> None:
    two = intent(
        hosts="h1 h2",
        networks=tuple(NetworkIntent(key=each, name=each, driver="overlay") for each in ("b", "a")),
    )
    hosts = {"h1": on("h1", overlay="a"), "h2": on("h2", "h1", overlay="a")}

    assert unseen_peers(hosts, two, slot("h1")) == ("h1 does not see h2 on a",)
    assert unseen_peers(hosts, INTENT, slot("h1")) == ()


def test_around_one_host_only_what_it_misses_and_who_misses_it_counts() -> None:
    hosts = {"h1": on("h1"), "h2": on("h2", "h1"), "h3": on("h3", "h1", "h2")}

    assert unseen_peers(hosts, INTENT, slot("h3")) == (
        "h1 does not see h3 on net",
        "h2 does not see h3 on net",
    )
    assert unseen_peers(hosts, INTENT, slot("h2")) == (
        "h1 does not see h2 on net",
        "h2 does not see h3 on net",
    )
