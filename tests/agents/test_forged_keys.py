"""Somebody with the rights of an agent in etcd writes what leaders write: nothing runs that no operator declared."""

from collections.abc import Callable
from copy import deepcopy
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import pytest

from agent.model.records import (
    Assignment,
    Digests,
    Disruption,
    LeaderRecord,
    MembershipOrder,
    Presence,
    Replica,
    Rollout,
    SwarmRecord,
    Tokens,
    Verdict,
    decode,
    encode,
)
from agent.model.spec import ContainerSpec, spec_hash
from agent.model.spec import encode as encoded
from agent.model.status import HostStatus
from agent.observe.assigned import HELD_S, MOST_RETURNS
from tests.support.document import EXAMPLE, document
from tests.support.simulated_cluster import KEYS, SimulatedCluster, images, parsed

pytestmark = pytest.mark.usefixtures("unlogged")

MINER = {"image": "registry.example/miner:1", "network_mode": "none", "deploy": {"mode": "global"}}
FORGED = document(services={"miner": MINER})
EDITED = document(tags={"billing": "1.0.1"})
WITHOUT_BILLING = document(services={"billing": None})
LATEST = 2**63 - 1
ROUNDS = 25
"""More than the lease and every wait."""


@pytest.fixture
def cluster(tmp_path: Path) -> SimulatedCluster:
    """The example carried out, and every image of the forgery within reach."""
    cluster = SimulatedCluster(tmp_path)
    cluster.lan.registry |= images(EDITED) | images(FORGED)
    cluster.put_intent()
    cluster.start()
    cluster.settle()
    return cluster


def write(cluster: SimulatedCluster, *, ahead: int = 0, epoch: int = 0, text: str = FORGED) -> None:
    """Write `accepted` anew, with a later revision and epoch than it has."""
    found = cluster.accepted()
    assert found is not None
    value = replace(found, revision=found.revision + ahead, epoch=found.epoch + epoch, document=text)
    cluster.put(KEYS.accepted, encode(value))


def is_named(cluster: SimulatedCluster, name: str) -> bool:
    return KEYS.accepted in {each.resource for each in cluster.agents[name].plan.blocked}


ACCEPTED: dict[str, Callable[[SimulatedCluster], None]] = {
    "one more service": lambda cluster: write(cluster, ahead=1),
    "far in the future": lambda cluster: write(cluster, ahead=LATEST // 2),
    "the next epoch": lambda cluster: write(cluster, epoch=1),
    "the next epoch and a later revision": lambda cluster: write(cluster, ahead=1, epoch=1),
    "the last epoch": lambda cluster: write(cluster, epoch=LATEST, text=EXAMPLE),
    "services removed": lambda cluster: write(cluster, ahead=1, text=WITHOUT_BILLING),
}


@pytest.mark.parametrize("how", ACCEPTED)
def test_a_forged_document_is_named_on_each_host_and_replaced_and_nothing_of_it_runs(
    cluster: SimulatedCluster, how: str
) -> None:
    before, accepted, named = cluster.ids(), cluster.accepted(), set()
    leader = cluster.leader().name
    ACCEPTED[how](cluster)
    for name in [each for each in cluster.agents if each != leader] + [leader]:
        cluster.agents[name].turn()
        named |= {name} if is_named(cluster, name) else set()
    assert named == set(cluster.hosts)
    assert cluster.accepted() == accepted
    for _ in range(ROUNDS):
        cluster.round()
        assert cluster.ids() == before
    cluster.settle()
    assert KEYS.accepted not in cluster.told()

    cluster.put_intent(EDITED)
    cluster.settle()
    assert "billing:1.0.1" in str(cluster.running())


@pytest.mark.parametrize("how", ACCEPTED)
def test_a_document_put_after_a_forged_one_is_in_force_although_it_is_forged_again(
    cluster: SimulatedCluster, how: str
) -> None:
    for _ in range(3):
        ACCEPTED[how](cluster)
        cluster.round()
    cluster.put_intent(EDITED)
    ACCEPTED[how](cluster)
    cluster.settle()
    assert "billing:1.0.1" in str(cluster.running())
    assert "miner" not in str(cluster.running())


def test_a_forged_document_is_replaced_also_while_a_refused_one_is_the_newest(
    cluster: SimulatedCluster,
) -> None:
    accepted = cluster.accepted()
    cluster.put_intent("services: 1")
    cluster.rounds(3)
    write(cluster, ahead=1)
    cluster.rounds(3)
    assert cluster.accepted() == accepted
    assert "miner" not in str(cluster.running())


def test_an_earlier_document_of_the_operator_is_not_accepted_again_in_a_forged_epoch(
    cluster: SimulatedCluster,
) -> None:
    first = cluster.accepted()
    assert first is not None
    cluster.put_intent(EDITED)
    cluster.settle()
    before = cluster.ids()
    cluster.put(KEYS.accepted, encode(replace(first, epoch=1)))
    for _ in range(ROUNDS):
        cluster.round()
        assert cluster.ids() == before
    assert cluster.accepted() != replace(first, epoch=1)


def test_a_new_host_follows_a_document_that_etcd_has_compacted_once_it_is_put_again(tmp_path: Path) -> None:
    cluster = SimulatedCluster(tmp_path)
    cluster.put_intent()
    late = "node-233"
    cluster.start("node-231", "node-232")
    cluster.rounds(10)
    cluster.put_intent("services: 1")
    cluster.rounds(3)
    before = cluster.running()
    cluster.etcd.compact()
    cluster.start(late)
    cluster.rounds(ROUNDS)
    assert "apply the document again" in str(cluster.agents[late].plan)
    assert cluster.running() == before
    assert not cluster.hosts[late].running()

    cluster.put_intent()
    cluster.settle()
    assert cluster.hosts[late].running()


# ---- Assignments and specs

NETWORK = "my-network-overlay"

EVIL = ContainerSpec(image="registry.example/miner:1", network_mode="host", privileged=True)


def assigned(cluster: SimulatedCluster, name: str) -> Assignment:
    found = cluster.assignment(name)
    assert found is not None
    return found


def give(cluster: SimulatedCluster, name: str, *replicas: Replica, **changes: Any) -> None:
    """Write the assignment of a host, with these replicas."""
    found = replace(assigned(cluster, name), replicas=tuple(sorted(replicas)), **changes)
    cluster.put(KEYS.assignment(name), encode(found))


def change(cluster: SimulatedCluster, name: str, **changes: Any) -> None:
    """Write the assignment of a host with these changes of every replica."""
    give(cluster, name, *(replace(each, **changes) for each in assigned(cluster, name).replicas))


def write_spec(cluster: SimulatedCluster, spec: ContainerSpec) -> str:
    cluster.put(KEYS.spec(spec_hash(spec)), encoded(spec))
    return spec_hash(spec)


def with_service(cluster: SimulatedCluster, name: str) -> None:
    miner = Replica(service="miner", slot=1, spec=write_spec(cluster, EVIL))
    give(cluster, name, *assigned(cluster, name).replicas, miner)


def with_more(cluster: SimulatedCluster, name: str, spec: str = "") -> None:
    """A replica more of each service, on each host; without `spec` with the right one."""
    specs = {each.name: each.spec_hash for each in parsed(EXAMPLE).services}
    more = (
        Replica(service=service, slot=50, spec=spec or specs[service])
        for service in ("order", "billing", "api")
    )
    give(cluster, name, *assigned(cluster, name).replicas, *more)


def with_other_slots(cluster: SimulatedCluster, name: str) -> None:
    give(cluster, name, *(replace(each, slot=each.slot + 50) for each in assigned(cluster, name).replicas))


def changed_in_place(cluster: SimulatedCluster, name: str) -> None:
    """Specs whose difference needs no new container."""
    specs = {each.name: each.spec for each in parsed(EXAMPLE).services}
    small = {service: replace(spec, memory_limit_bytes=6_000_000) for service, spec in specs.items()}
    replicas = assigned(cluster, name).replicas
    give(cluster, name, *(replace(each, spec=write_spec(cluster, small[each.service])) for each in replicas))


def by_digest(cluster: SimulatedCluster, name: str) -> None:
    specs = {each.name: each.spec for each in parsed(EXAMPLE).services}
    other = {each: replace(spec, image=f"{spec.image}@sha256:{'6' * 64}") for each, spec in specs.items()}
    replicas = assigned(cluster, name).replicas
    give(cluster, name, *(replace(each, spec=write_spec(cluster, other[each.service])) for each in replicas))


def of_revision(change: int) -> Callable[[SimulatedCluster, str], None]:
    return lambda cluster, name: give(cluster, name, revision=assigned(cluster, name).revision + change)


ASSIGNED: dict[str, Callable[[SimulatedCluster, str], None]] = {
    "the spec": lambda cluster, name: change(cluster, name, spec=write_spec(cluster, EVIL)),
    "a service": with_service,
    "more replicas": with_more,
    "more replicas of a forged spec": lambda cluster, name: with_more(
        cluster, name, write_spec(cluster, EVIL)
    ),
    "other slots": with_other_slots,
    "a change in place": changed_in_place,
    "a digest that the document does not ask for": by_digest,
    "a spec that is nowhere": lambda cluster, name: change(cluster, name, spec="0" * 64),
    "nothing": give,
    "an earlier revision": of_revision(-1),
    "a later revision": of_revision(1),
    "deleted": lambda cluster, name: cluster.delete(KEYS.assignment(name)),
    "unreadable": lambda cluster, name: cluster.put(KEYS.assignment(name), b"{}"),
}
HARMLESS: dict[str, Callable[[SimulatedCluster, str], None]] = {
    "held": lambda cluster, name: change(cluster, name, held="so", waits="so", stops_first=True),
    "addresses": lambda cluster, name: change(
        cluster, name, addresses=(("my-network-overlay", "10.10.9.9"),)
    ),
    "a project": lambda cluster, name: give(
        cluster, name, *assigned(cluster, name).replicas, project="another"
    ),
}


def take_lock(cluster: SimulatedCluster) -> None:
    """Nobody leads from now on."""
    cluster.put(KEYS.leader, encode(LeaderRecord(host="node-231", since="now")))


def foreign(cluster: SimulatedCluster) -> set[str]:
    """The hosts that name a forgery."""
    kinds = ("foreign", "unreadable", "untrusted")
    plans = {name: agent.plan for name, agent in cluster.agents.items()}
    return {name for name, plan in plans.items() if any(each.kind in kinds for each in plan.blocked)}


@pytest.mark.parametrize("how", [*ASSIGNED, *HARMLESS])
@pytest.mark.parametrize("led", [True, False], ids=["with a leader", "without one"])
def test_a_forged_assignment_starts_and_stops_nothing(cluster: SimulatedCluster, how: str, led: bool) -> None:
    before, leader = containers(cluster), cluster.leader().name
    if not led:
        take_lock(cluster)
    for name in cluster.hosts:
        (ASSIGNED | HARMLESS)[how](cluster, name)
    others = set(cluster.agents) - ({leader} if led else set())
    cluster.round(*others)
    assert how in HARMLESS or foreign(cluster) >= others
    for _ in range(ROUNDS):
        cluster.round()
        assert containers(cluster) == before
    restart(cluster)
    cluster.rounds(5)
    assert containers(cluster) == before
    if not led:
        cluster.delete(KEYS.leader)
    cluster.put_intent(EDITED)
    cluster.settle()
    assert "billing:1.0.1" in str(cluster.running())
    assert not foreign(cluster)
    assert {name: each.keys() for name, each in containers(cluster).items()} == {
        name: each.keys() for name, each in before.items()
    }


def containers(cluster: SimulatedCluster) -> dict[str, Any]:
    """All that the engines show of replicas of ours: their names, networks, limits and runs."""
    return deepcopy({name: host.replicas() for name, host in cluster.hosts.items()})


def restart(cluster: SimulatedCluster) -> None:
    """Every agent, with what it has on its disk."""
    for name in tuple(cluster.agents):
        cluster.lose_agent(name)
        cluster.start(name)


def test_no_replica_is_recreated_for_an_address_that_no_other_container_has(
    cluster: SimulatedCluster,
) -> None:
    take_lock(cluster)
    before = containers(cluster)
    cluster.clock.advance(60.0)
    for name, host in cluster.hosts.items():
        recreate = tuple((raw["Id"], "why") for raw in host.replicas().values())
        change(cluster, name, recreate=recreate)
    cluster.round()
    assert foreign(cluster) == set(cluster.hosts)
    assert "announce no second container with that address" in cluster.told()
    for _ in range(ROUNDS):
        cluster.round()
        assert containers(cluster) == before
    restart(cluster)
    cluster.rounds(5)
    assert containers(cluster) == before


def test_two_replicas_with_one_address_get_two_although_nobody_but_the_engines_confirms_it(
    cluster: SimulatedCluster,
) -> None:
    """What must go on to work: the order of a leader, confirmed by the engine of the host."""
    first, second = cluster.hosts["node-231"], cluster.hosts["node-232"]
    address = on_overlay(first)["prod-order-1"]
    raw = second.replicas()["prod-order-3"]
    raw["NetworkSettings"]["Networks"][NETWORK]["IPAddress"] = address
    cluster.rounds(40)
    cluster.settle()
    assert on_overlay(first)["prod-order-1"] == address
    assert on_overlay(second)["prod-order-3"] != address
    assert ("node-231", first.replicas()["prod-order-1"]["Id"]) in cluster.ids()
    assert ("node-232", raw["Id"]) not in cluster.ids()


def on_overlay(host: Any) -> dict[str, str]:
    """Address on the overlay of each replica of a host."""
    return {
        name: raw["NetworkSettings"]["Networks"][NETWORK]["IPAddress"]
        for name, raw in host.replicas().items()
        if NETWORK in raw["NetworkSettings"]["Networks"]
    }


def carried_out(tmp_path: Path, text: str) -> SimulatedCluster:
    cluster = SimulatedCluster(tmp_path, text)
    cluster.put_intent(text)
    cluster.start()
    cluster.settle()
    return cluster


RESERVED = document(policy={"reserve_addresses": True})


@pytest.fixture
def reserving(tmp_path: Path) -> SimulatedCluster:
    """The example with reserved addresses, carried out."""
    return carried_out(tmp_path, RESERVED)


@pytest.mark.parametrize("addresses", [((NETWORK, "10.10.9.9"),), ()], ids=["another", "none"])
def test_a_running_replica_keeps_its_reserved_address_whatever_its_assignment_has(
    reserving: SimulatedCluster, addresses: Any
) -> None:
    cluster, before = reserving, containers(reserving)
    take_lock(cluster)
    for name in cluster.hosts:
        change(cluster, name, addresses=addresses)
    cluster.round()
    assert foreign(cluster) == set(cluster.hosts)
    for name in cluster.hosts:  # in two parts: as if it had none, then another one
        change(cluster, name, addresses=((NETWORK, f"10.10.8.{name[-1]}"),))
    for _ in range(ROUNDS):
        cluster.round()
        assert containers(cluster) == before
    restart(cluster)
    cluster.rounds(5)
    assert containers(cluster) == before
    cluster.delete(KEYS.leader)
    cluster.settle()
    assert containers(cluster) == before
    assert not foreign(cluster)


ROLLS_BACK = {"update_config": {"failure_action": "rollback"}}


def test_a_replica_goes_back_so_often_under_one_document_whatever_restarts(cluster: SimulatedCluster) -> None:
    """One that the leader places."""
    seen = there_and_back(cluster, {"x-hosts": None, "deploy": {"replicas": 1, **ROLLS_BACK}}, MOST_RETURNS)
    assert len(seen) == 1 + 2 * MOST_RETURNS


@pytest.mark.parametrize("deploy", [ROLLS_BACK, {**ROLLS_BACK, "mode": "global"}], ids=["x-hosts", "global"])
def test_a_forged_rollback_takes_no_fixed_replica_back_whatever_restarts(
    cluster: SimulatedCluster, deploy: dict[str, Any]
) -> None:
    seen = there_and_back(cluster, {"deploy": deploy, **({"x-hosts": None} if "mode" in deploy else {})}, 0)
    assert len(seen) == 1


def there_and_back(cluster: SimulatedCluster, billing: dict[str, Any], often: int) -> list[str]:
    """The containers of a replica that is ordered to its earlier spec and back, which it follows so `often`."""
    back = document(services={"billing": billing})
    cluster.put_intent(back)
    cluster.settle()
    cluster.put_intent(document(back, tags={"billing": "1.0.1"}))
    cluster.settle()
    take_lock(cluster)
    (old,) = (each.spec for each in parsed(back).services if each.name == "billing")
    name = next(each for each, host in cluster.hosts.items() if "prod-billing-1" in host.replicas())
    latest, write_old = assigned(cluster, name), write_spec(cluster, old)

    def runs() -> str:
        return str(cluster.hosts[name].replicas()["prod-billing-1"]["Id"])

    seen = [runs()]
    for _ in range(3 + MOST_RETURNS):
        for spec in (write_old, ""):
            write_spec(cluster, old)
            changed = (
                replace(each, spec=spec if each.service == "billing" and spec else each.spec)
                for each in latest.replicas
            )
            give(cluster, name, *changed)
            cluster.agents[name].turn()
            if spec and len(seen) > 2 * often:
                why = "left its spec before" if often else "it works on this host"
                assert why in str(cluster.agents[name].plan)
            cluster.rounds(3, seconds=30.0)
            seen += [runs()] if runs() != seen[-1] else []
        restart(cluster)
    assert cluster.hosts[name].running()["prod-billing-1"].endswith(":1.0.1")
    return seen


def test_a_service_goes_back_only_where_its_rollback_is_declared(cluster: SimulatedCluster) -> None:
    first = {name: assigned(cluster, name) for name in cluster.hosts}
    cluster.put_intent(EDITED)
    cluster.settle()
    take_lock(cluster)
    before = cluster.ids()
    for name, found in first.items():
        for replica in found.replicas:
            (spec,) = (each.spec for each in parsed(EXAMPLE).services if each.name == replica.service)
            write_spec(cluster, spec)
        give(cluster, name, *found.replicas)
    for _ in range(ROUNDS):
        cluster.round()
        assert cluster.ids() == before
    assert "is not rollback" in cluster.told()


def test_a_forged_rollout_goes_back_to_no_forged_spec(cluster: SimulatedCluster) -> None:
    cluster.put(KEYS.spec(spec_hash(EVIL)), encoded(EVIL))
    cluster.put_intent(EDITED)
    cluster.round()
    (billing,) = (each for each in parsed(EDITED).services if each.name == "billing")
    rollout = Rollout(
        before=spec_hash(EVIL), to=spec_hash(billing.spec), state="rolling-back", why="no reason"
    )
    for _ in range(5):
        cluster.put(KEYS.spec(spec_hash(EVIL)), encoded(EVIL))  # the leader has deleted it
        cluster.put(KEYS.rollout("billing"), encode(rollout))
        cluster.round()
        assert "miner" not in str(cluster.running())
    assert "is of no document that was accepted here" in cluster.told()
    cluster.delete(KEYS.rollout("billing"))
    cluster.settle()
    assert "billing:1.0.1" in str(cluster.running())


# ---- The swarm record, orders, the disruption slot and what hosts report

WORKER = "node-233"
WITH_WORKER = document(roles={WORKER: "worker"})


@pytest.fixture
def mixed(tmp_path: Path) -> SimulatedCluster:
    """The example with two managers and a worker, carried out."""
    return carried_out(tmp_path, WITH_WORKER)


def record(**changes: Any) -> Callable[[SimulatedCluster], None]:
    def forge(cluster: SimulatedCluster) -> None:
        found = cluster.record()
        assert found is not None
        cluster.put(KEYS.swarm, encode(replace(found, **changes)))

    return forge


def order(what: Literal["leave", "force", "quarantine"], *names: str) -> Callable[[SimulatedCluster], None]:
    def forge(cluster: SimulatedCluster) -> None:
        for name in names or cluster.hosts:
            node_id = cluster.hosts[name].engine.info().swarm.node_id
            if node_id:
                wanted = MembershipOrder(state="active", node_id=node_id, what=what, reason="forged")
                cluster.put(KEYS.membership_order(name), encode(wanted))

    return forge


def slot(state: Literal["granted", "acquired"]) -> Callable[[SimulatedCluster], None]:
    forged = encode(Disruption(host=WORKER, state=state, reason="forged", quorum=True))
    return lambda cluster: cluster.put(KEYS.disruption, forged)


def reports(**changes: Any) -> Callable[[SimulatedCluster], None]:
    def forge(cluster: SimulatedCluster) -> None:
        for name in cluster.hosts:
            found = cluster.read(KEYS.status(name))
            assert found is not None
            cluster.put(KEYS.status(name), encode(replace(decode(HostStatus, found.value), **changes)))

    return forge


def presences(cluster: SimulatedCluster) -> None:
    forged = encode(Presence(instance="forged", boot_id="forged", version="1", since="now"))
    for name in cluster.hosts:
        cluster.put(KEYS.presence(name), forged)


def without_specs(cluster: SimulatedCluster) -> None:
    for key in cluster.written():
        if key.startswith(KEYS.specs):
            cluster.delete(key)


def rollouts(cluster: SimulatedCluster) -> None:
    forged = encode(Rollout(before="0" * 64, to="1" * 64, state="rolling-back", why="forged"))
    for service in parsed(EXAMPLE).services:
        cluster.put(KEYS.rollout(service.name), forged)


OTHERS: dict[str, Callable[[SimulatedCluster], None]] = {
    "managers leave": order("leave", "node-231", "node-232"),
    "a worker leaves": order("leave", WORKER),
    "all leave by force": order("force"),
    "quarantine": order("quarantine"),
    "an overlay is recreated": record(recreating=(NETWORK,)),
    "no overlays": record(networks=(), overlay_ids=()),
    "another swarm": record(swarm_id="forged"),
    "other managers": record(managers=(("forged", "10.6.6.6:2377"),)),
    "no swarm": lambda cluster: cluster.delete(KEYS.swarm),
    "an init": lambda cluster: cluster.put(KEYS.swarm, encode(SwarmRecord(claimed_by="node-231"))),
    "the slot is granted": slot("granted"),
    "the slot is acquired": slot("acquired"),
    "no replicas reported": reports(replicas=()),
    "another node reported": reports(node_id="forged"),
    "no dockerd reported": reports(engine_up=False),
    "another presence": presences,
    "no specs": without_specs,
    "rollouts": rollouts,
    "digests": lambda cluster: cluster.put(KEYS.digests, encode(Digests(revision=1, epoch=0))),
    "a verdict": lambda cluster: cluster.put(
        KEYS.verdict, encode(Verdict(revision=LATEST, accepted=True, accepted_revision=LATEST))
    ),
    "tokens": lambda cluster: cluster.put(
        KEYS.tokens, encode(Tokens(swarm_id="forged", worker="SWMTKN-1", manager="SWMTKN-1"))
    ),
}
NAMED = ("quarantine", "another swarm", "a worker leaves")
"""What hosts would act on: they say so. The others change nothing that runs."""


@pytest.mark.parametrize("how", OTHERS)
@pytest.mark.parametrize("led", [True, False], ids=["with a leader", "without one"])
def test_other_forged_keys_stop_no_replica(mixed: SimulatedCluster, how: str, led: bool) -> None:
    before = containers(mixed)
    if not led:
        take_lock(mixed)
    for _ in range(ROUNDS):
        OTHERS[how](mixed)
        mixed.round(*(name for name, agent in mixed.agents.items() if not agent.leads))
        assert how not in NAMED or foreign(mixed)
        mixed.round()
        assert containers(mixed) == before


@pytest.mark.parametrize("reported", [False, True], ids=["by nobody", "by the stolen one of two managers"])
def test_a_worker_stays_on_its_overlay_whatever_id_the_record_has(
    mixed: SimulatedCluster, reported: bool
) -> None:
    take_lock(mixed)
    before = containers(mixed)
    found = mixed.read(KEYS.status("node-232"))
    assert found is not None
    status = decode(HostStatus, found.value)
    for _ in range(ROUNDS):
        record(overlay_ids=((NETWORK, "forged"),))(mixed)
        if reported:
            forged = tuple(
                replace(each, id="forged") if each.name == NETWORK else each for each in status.networks
            )
            mixed.put(KEYS.status("node-232"), encode(replace(status, networks=forged)))
        mixed.agents[WORKER].turn()
        assert WORKER in foreign(mixed)
        mixed.round(WORKER)
        assert containers(mixed) == before
    assert "and replicas of this host run on" in str(mixed.agents[WORKER].plan)
    mixed.delete(KEYS.leader)
    mixed.settle()
    assert containers(mixed) == before


def test_a_worker_stays_on_its_overlay_although_its_engine_has_kept_the_recorded_one(
    mixed: SimulatedCluster,
) -> None:
    take_lock(mixed)
    before, nets = containers(mixed), mixed.hosts[WORKER].engine.nets
    swarm = nets.membership[0]  # type: ignore[index]
    for _ in range(ROUNDS):
        nets.kept[NETWORK] = replace(swarm.networks[NETWORK], id="earlier")  # the agent may have removed it
        record(overlay_ids=((NETWORK, "earlier"),))(mixed)
        mixed.round(WORKER)
        assert containers(mixed) == before
        assert "and replicas of this host run on" in str(mixed.agents[WORKER].plan)


def test_the_thief_of_the_only_manager_takes_no_worker_off_its_overlay(tmp_path: Path) -> None:
    workers = {"node-232": "worker", WORKER: "worker"}
    cluster = carried_out(tmp_path, document(roles=workers))
    take_lock(cluster)
    before, found = containers(cluster), cluster.read(KEYS.status("node-231"))
    assert found is not None
    status = decode(HostStatus, found.value)
    forged = tuple(replace(each, id="forged") if each.name == NETWORK else each for each in status.networks)
    for _ in range(5):
        record(overlay_ids=((NETWORK, "forged"),))(cluster)
        cluster.put(KEYS.status("node-231"), encode(replace(status, networks=forged)))
        cluster.round(WORKER)
        assert WORKER in foreign(cluster)
        assert containers(cluster) == before
    restart(cluster)
    cluster.rounds(5)
    assert containers(cluster) == before
    cluster.delete(KEYS.leader)
    cluster.settle()
    assert containers(cluster) == before


def test_a_fixed_replica_with_a_reserved_address_that_is_down_is_held_for_a_time_and_then_starts(
    reserving: SimulatedCluster,
) -> None:
    cluster, name = reserving, "node-231"
    take_lock(cluster)
    names = set(cluster.hosts[name].running())
    before = on_overlay(cluster.hosts[name])
    on = set(before)
    change(cluster, name, held="forged", held_by_fault=True)
    cluster.rounds(3)
    for each in on:
        cluster.hosts[name].engine.by_hand.remove(each, force=True)
    cluster.rounds(10, seconds=(HELD_S - 30) / 10)
    assert set(cluster.hosts[name].running()) == names - on != names
    cluster.rounds(10, seconds=10.0)
    assert set(cluster.hosts[name].running()) == names
    assert on_overlay(cluster.hosts[name]) == before


def test_a_replica_that_is_down_follows_another_reserved_address_and_no_other_one_does(
    reserving: SimulatedCluster,
) -> None:
    """What its host cannot tell from an address that another container took meanwhile."""
    cluster, name = reserving, "node-231"
    take_lock(cluster)
    before, names = cluster.ids(), set(cluster.hosts[name].running())
    down = min(on_overlay(cluster.hosts[name]))
    taken = min(on_overlay(cluster.hosts["node-232"]).values())
    change(cluster, name, held="forged")
    cluster.rounds(3)
    cluster.hosts[name].engine.by_hand.remove(down, force=True)
    cluster.rounds(3)
    change(cluster, name, held="", addresses=((NETWORK, taken),))
    for _ in range(ROUNDS):
        cluster.round()
        assert down not in cluster.hosts[name].running()
    assert len(before - cluster.ids()) == 1
    cluster.delete(KEYS.leader)
    cluster.settle(seconds=10.0)
    assert set(cluster.hosts[name].running()) == names


def test_only_the_first_replica_of_a_host_on_an_overlay_waits_for_the_record(mixed: SimulatedCluster) -> None:
    host = mixed.hosts[WORKER]
    names, on = set(host.running()), sorted(on_overlay(host))
    assert len(on) > 1
    take_lock(mixed)
    forge = record(networks=(), overlay_ids=(), recreating=(NETWORK,))
    forge(mixed)
    mixed.rounds(3)
    for gone, runs in ((on[1:], names), (on, names - set(on))):
        for each in gone:
            host.engine.by_hand.remove(each, force=True)
        for _ in range(ROUNDS):
            mixed.round()
        assert set(host.running()) == runs
    mixed.delete(KEYS.leader)
    mixed.settle(seconds=10.0)
    assert set(host.running()) == names


def test_a_worker_whose_engine_has_kept_an_overlay_names_the_commands_that_take_its_replicas_to_the_new_one(
    mixed: SimulatedCluster,
) -> None:
    """Its engine shows nothing that tells it from a forged id."""
    host, before = mixed.hosts[WORKER], containers(mixed)
    on = on_overlay(host).keys()
    assert on
    host.engine.nets.keep(NETWORK)
    swarm = host.engine.nets.membership[0]  # type: ignore[index]
    swarm.networks[NETWORK] = replace(swarm.networks[NETWORK], id="made-anew")
    mixed.rounds(10)
    assert containers(mixed)[WORKER] == before[WORKER]
    told = str(mixed.agents[WORKER].plan)
    assert f"docker stop $(docker ps -q --filter network={NETWORK}); systemctl start swarmkeeper`" in told

    mixed.lose_agent(WORKER)
    for each in on:
        host.engine.by_hand.end(each, exit_code=0)
    mixed.start(WORKER)
    mixed.settle(seconds=10.0)
    ids = {host.replicas()[each]["NetworkSettings"]["Networks"][NETWORK]["NetworkID"] for each in on}
    assert (ids, set(host.running())) == ({"made-anew"}, set(before[WORKER]))
