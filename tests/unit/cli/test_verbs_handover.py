"""handover by an operator with an etcd, the orders that a file ends, and the names that `restart` takes."""

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from agent.cli import verbs
from agent.cli.apply import left_out
from agent.cli.connect import Connection
from agent.intent import parse_intent
from agent.model.intent import Handover
from agent.model.observed import ClusterState
from agent.model.records import Assignment, LeaderRecord, Presence, Replica
from agent.model.spec import ContainerSpec
from agent.model.status import BlockedReport
from tests.support.builders import status
from tests.support.document import document
from tests.unit.cli.conftest import GOOD, Cluster
from tests.unit.cli.test_history import good, intent_of, judging, note_of, put

THREE = document(
    GOOD, hosts={name: {"address": f"10.0.0.{name[1]}", "role": "manager"} for name in ("h3", "h4")}
)
"""Managers h1, h3 and h4, and the worker h2."""
SINCE = "2026-11-30T16:00:00Z"


def report(cluster: Cluster, *names: str, **more: Any) -> None:
    """The agents of these hosts run and report."""
    for name in names:
        presence = Presence(
            host=name, instance=f"run-{name}", boot_id="", version="", since=SINCE, machine_id=""
        )
        cluster.put(cluster.keys.presence(name), presence)
        cluster.put(cluster.keys.status(name), status(name, **more))


@pytest.fixture
def led(cluster: Cluster) -> Cluster:
    """Of three managers that report, h1 leads."""
    put(cluster, THREE)
    report(cluster, "h1", "h2", "h3", "h4")
    cluster.put(cluster.keys.leader, LeaderRecord(host="h1", since=SINCE))
    return cluster


@contextmanager
def leading_after(cluster: Cluster, name: str) -> Iterator[None]:
    """Once the order is accepted, `name` has a lock that is of its time."""

    def lead() -> None:
        def found(state: ClusterState) -> Handover | None:
            newest = state.document.intent if state.document else None
            judged = state.document and state.verdict and state.verdict.revision == state.document.revision
            return newest.policy.handover if newest and judged else None

        order = Connection(store=cluster.store, keys=cluster.keys).wait_for(found, 20.0)
        if order:
            cluster.put(cluster.keys.leader, LeaderRecord(host=name, since=order.at))

    thread = threading.Thread(target=lead)
    with judging(cluster):
        thread.start()
        yield
    thread.join()


def order_in(cluster: Cluster) -> Handover:
    found = parse_intent(intent_of(cluster).encode(), 1).policy.handover
    assert found is not None
    return found


def test_a_handover_writes_the_time_and_the_host_and_waits_until_it_leads(led: Cluster) -> None:
    with leading_after(led, "h4"):
        ended = good(led.run("handover", "h4", "--yes"))
    assert "x-cluster.policy.handover.to: changed nothing -> h4" in ended.out
    assert ended.out.splitlines()[-1].startswith("h4 is the leader, ")
    (line,) = [each for each in intent_of(led).splitlines() if each not in THREE.splitlines()]
    assert line == f'  policy: {{handover: {{"at": "{order_in(led).at}", to: h4}}}}'
    note = note_of(led)
    assert note is not None
    assert note.message == "handover h4"


def test_without_a_host_the_first_manager_that_can_lead_is_named(led: Cluster) -> None:
    with leading_after(led, "h3"):
        ended = good(led.run("handover", "--yes", "-o", "json"))
    assert order_in(led).to == "h3"
    assert json.loads(ended.out)["result"] == "accepted"


def test_a_handover_after_one_by_a_clock_that_is_ahead_is_later_all_the_same(led: Cluster) -> None:
    ahead = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + 3600))
    led.put(led.keys.leader, LeaderRecord(host="h1", since=ahead))
    good(led.run("handover", "h3", "--yes", "--no-wait"))
    assert order_in(led).at > ahead


@pytest.mark.parametrize("ordered", [False, True])
def test_a_lock_of_the_far_future_is_refused_with_what_ends_it(led: Cluster, *, ordered: bool) -> None:
    """The lock after it is not before the accepted order, so a restart alone does not help."""
    far = "2099-01-01T00:00:00Z"
    policy = {"handover": {"at": far, "to": "h1"}} if ordered else {}
    put(led, document(THREE, cluster={"policy": policy}))
    led.put(led.keys.leader, LeaderRecord(host="h1", since=far))
    ended = led.run("handover", "--yes")
    first = "remove x-cluster.policy.handover from the document, then " if ordered else ""
    assert (ended.code, f": {first}restart its agent" in ended.err) == (1, True)


def test_no_wait_and_plan_do_not_wait(led: Cluster) -> None:
    planned = good(led.run("handover", "h3", "--plan", "-o", "json"))
    assert "resign" not in {
        step["verb"] for host in json.loads(planned.out)["hosts"] for step in host["steps"]
    }
    assert intent_of(led) == THREE
    ended = good(led.run("handover", "h3", "--yes", "--no-wait", "-o", "json"))
    assert json.loads(ended.out)["result"] == "written"


def test_a_plan_of_nothing_to_change_is_a_plan_as_data_too(led: Cluster) -> None:
    for verb in (("handover", "h1"), ("resume",)):
        planned = json.loads(good(led.run(*verb, "--plan", "-o", "json")).out)
        assert [each["name"] for each in planned["hosts"]] == ["h1", "h2", "h3", "h4"]
        assert "result" not in planned
    assert intent_of(led) == THREE


@pytest.mark.parametrize("leads", ["h1", "h4"])
def test_a_handover_that_did_not_happen_is_an_error_with_who_leads_and_the_cause(
    led: Cluster, monkeypatch: pytest.MonkeyPatch, leads: str
) -> None:
    monkeypatch.setattr(verbs, "_HANDOVER_S", 1.0)
    with leading_after(led, leads):
        ended = led.run("handover", "h3", "--yes", "-o", "json")
    assert ended.code == 1
    assert json.loads(ended.out)["result"] == "failed"
    assert f"s after the verdict, {leads} is the leader, not h3: see the journal of h3" in ended.err


def test_a_leader_that_has_not_resigned_in_time_is_the_one_to_look_at(
    led: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(verbs, "_HANDOVER_S", 0.3)
    with judging(led):
        ended = led.run("handover", "h3", "--yes")
    assert ended.code == 1
    assert (
        "s after the verdict, h1 is the leader, not h3: see the journal of h1; the order stays" in ended.err
    )


@pytest.mark.parametrize(
    ("names", "why"),
    [
        (("h7",), "the accepted document does not declare h7: it declares h1, h2, h3, h4"),
        (("h2",), "h2 cannot lead now: it is declared a worker; name one of h3, h4"),
        (("h3", "h4"), "name one host"),
    ],
)
def test_a_host_that_may_not_lead_is_refused(led: Cluster, names: tuple[str, ...], why: str) -> None:
    ended = led.run("handover", *names, "--yes")
    assert ended.code == 1
    assert why in ended.err
    assert intent_of(led) == THREE


def test_a_host_that_cannot_lead_now_is_refused_with_the_cause(led: Cluster) -> None:
    led.put(led.keys.presence("h3"), Presence(host="h3", instance="", boot_id="", version="", since=""))
    assert "h3 cannot lead now: its agent is starting; name one of h4" in led.run("handover", "h3").err
    report(led, "h3", is_manager=False)
    assert "h3 cannot lead now: its engine is a worker; name one of h4" in led.run("handover", "h3").err
    denied = BlockedReport(resource="host/h4", kind="dependency", reason="its role in etcd does not let it")
    report(led, "h4", blocked=(denied,))
    why = "no other manager can lead now: h4: its role in etcd does not let it; h3: its engine is a worker"
    assert why in led.run("handover").err
    assert why in led.run("handover", "h4").err
    assert intent_of(led) == THREE


def test_the_leader_itself_has_nothing_to_do(led: Cluster) -> None:
    ended = good(led.run("handover", "h1", "--yes"))
    assert ended.out == "h1 is the leader already: nothing was written.\n"


def test_without_a_leader_none_can_hand_over(cluster: Cluster) -> None:
    put(cluster, THREE)
    assert "there is no leader that could hand over" in cluster.run("handover", "--yes").err


# ---- a file without what the accepted document orders

STAMP, BEFORE = "2026-11-30T17:00:00Z", "2026-11-30T16:00:00Z"
ORDERED = document(
    THREE,
    services={"order": {"x-restarted-at": STAMP, "x-rebalanced-at": STAMP, "x-hosts": None, "deploy": {}}},
    policy={"handover": {"at": STAMP, "to": "h3"}},
)
WITHOUT = document(THREE, services={"order": {"x-hosts": None, "deploy": {}}})
ORDERS = ["x-cluster.policy.handover", "services.order.x-restarted-at", "services.order.x-rebalanced-at"]


def accepted(restarted: str | None, rebalanced: str, since: str) -> ClusterState:
    spec = ContainerSpec(image="i", restarted_at=restarted)
    replica = Replica(service="order", slot=1, spec="s")
    done = (("order", rebalanced),) if rebalanced else ()
    return ClusterState(
        revision=1,
        accepted=parse_intent(ORDERED.encode(), 1),
        specs={"s": spec},
        assignments={"h1": Assignment(revision=1, project="prod", replicas=(replica,), rebalanced=done)},
        leader="h1",
        last_leader=LeaderRecord(host="h1", since=since),
    )


def ended_by(text: str, state: ClusterState) -> list[str]:
    return [each.split()[0] for each in left_out(state, parse_intent(text.encode(), 2))]


@pytest.mark.parametrize("before", [None, BEFORE])
def test_a_file_that_lacks_an_order_which_is_not_carried_out_yet_says_that_it_ends_it(
    before: str | None,
) -> None:
    state = accepted(before, before or "", BEFORE)
    assert ended_by(WITHOUT, state) == ORDERS
    assert ended_by(ORDERED, state) == []


def test_an_order_that_is_carried_out_may_be_left_out() -> None:
    assert ended_by(WITHOUT, accepted(STAMP, STAMP, STAMP)) == []


def test_apply_says_which_order_the_file_ends(led: Cluster, write: Any) -> None:
    put(led, document(THREE, policy={"handover": {"at": STAMP, "to": "h3"}}))
    ended = led.run("apply", write(THREE), stdin="n\n")
    (line,) = [each for each in ended.out.splitlines() if each.startswith("warning")]
    assert "x-cluster.policy.handover of the accepted document is not carried out yet, and this one" in line


# ---- restart


def test_a_bare_name_of_a_service_and_of_a_replica_is_refused_with_both_keys(cluster: Cluster) -> None:
    text = document(GOOD, services={"order-1": {"image": "a", "x-hosts": ["h1"], "network_mode": "none"}})
    put(cluster, text)
    replica = Replica(service="order", slot=1, spec="0")
    cluster.put(cluster.keys.assignment("h1"), Assignment(revision=1, project="prod", replicas=(replica,)))
    ended = cluster.run("restart", "order-1", "--yes")
    assert ended.code == 1
    assert "'order-1' is the name of several: write service/order-1 or replica/order-1" in ended.err
    assert intent_of(cluster) == text
    with judging(cluster):
        good(cluster.run("restart", "service/order-1", "--yes"))
    assert "x-restarted-at" in intent_of(cluster)


def test_a_network_of_the_same_name_is_no_other_meaning_of_a_restart(cluster: Cluster) -> None:
    put(cluster, document(GOOD, networks={"order": {"driver": "bridge"}}))
    assert "nothing was written" not in good(cluster.run("restart", "order", "--plan")).out


def test_restart_shows_the_plan_of_a_service_alone(cluster: Cluster) -> None:
    put(cluster, GOOD)
    before = intent_of(cluster)
    assert "order-1" in good(cluster.run("restart", "order", "--plan")).out
    assert intent_of(cluster) == before
    refused = cluster.run("restart", "order-1", "--plan")
    assert refused.code == 64
    assert "--plan is for a service: docker restarts order-1 alone, at once" in refused.err
