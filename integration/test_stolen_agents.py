"""A thief with an agent's user of etcd, in the roles that `swarmkeeper etcd-roles` prints: what he can do, and cannot.

docs/operate/etcd.md has the table. Every user here is made with the printed commands, one per host.
"""

from dataclasses import replace
from typing import Any

import pytest

from agent.model.records import (
    Accepted,
    Assignment,
    Disruption,
    MembershipOrder,
    Replica,
    SwarmRecord,
    Tokens,
    encode,
)
from agent.model.spec import ContainerSpec, spec_hash
from agent.model.spec import encode as encode_spec
from agent.model.status import HostStatus
from integration.cluster import PREFIX, UNIT
from integration.conftest import CONVERGE_S
from integration.guarded import (
    DOCUMENT,
    IMAGE,
    LEADERS,
    NAMED_S,
    WORKER,
    GuardedCluster,
    fixed,
    lock_of_thief,
    now,
    said_on,
    stays,
    take_lock,
)
from integration.lab.eventually import eventually
from integration.lab.host import Host
from tests.support.document import document

DENIED = "permission denied"
OVERLAY = "my-network-overlay"
EVIL = ContainerSpec(image=IMAGE, network_mode="host", privileged=True)
MEMORY_MAX = 256 << 20


@pytest.fixture
def cluster(guarded: GuardedCluster) -> GuardedCluster:
    """The document carried out, whatever the test before has forged."""
    guarded.wait_converged(guarded.put_unless_accepted(DOCUMENT), CONVERGE_S)
    return guarded


KEYS_OF_OTHERS = (
    "intent", "accepted", "verdict", "leader", "swarm", "tokens", "unlock", "disruption", "digests", "specs/x",
    "assignments/node-231", "assignments/node-233", "membership-orders/node-231", "rollouts/order",
    "hosts/node-231/status", "hosts/node-232/presence", "hosts/node-2330/status",
)  # fmt: skip


def test_a_stolen_worker_writes_nothing_but_its_own_keys(cluster: GuardedCluster) -> None:
    before, revision = (
        fixed(cluster),
        {key: value for key, value in cluster.writes().items() if "/hosts/" not in key},
    )
    for key in KEYS_OF_OTHERS:
        for argv in (("put", f"{PREFIX}{key}", "x"), ("del", f"{PREFIX}{key}")):
            code, said = cluster.as_user(WORKER, *argv)
            assert (code != 0, DENIED in said) == (True, True), (argv, said)
    assert {key: value for key, value in cluster.writes().items() if "/hosts/" not in key} == revision
    assert fixed(cluster) == before


def test_a_reader_of_etcd_writes_nothing_and_sees_the_document_but_no_token(cluster: GuardedCluster) -> None:
    for key in (*KEYS_OF_OTHERS, f"hosts/{WORKER}/status"):
        assert DENIED in cluster.as_user("reader", "put", f"{PREFIX}{key}", "x")[1]
    code, said = cluster.as_user("reader", "get", "--prefix", "--print-value-only", PREFIX)
    assert code == 0
    assert "somecom/order" in said
    assert "SWMTKN" not in said


def test_a_stolen_operator_is_no_more_than_the_policy_of_each_host(cluster: GuardedCluster) -> None:
    """test_attacks.py has what the policy refuses; here: the operator's user writes the document and nothing else."""
    assert DENIED in cluster.as_user("ci", "put", f"{PREFIX}accepted", "x")[1]
    assert DENIED in cluster.as_user("ci", "put", f"{PREFIX}assignments/{WORKER}", "x")[1]
    code, said = cluster.as_user("ci", "put", f"{PREFIX}intent", value=DOCUMENT)
    assert code == 0, said


def test_a_status_that_speaks_for_another_host_is_named_and_counts_for_nothing(
    cluster: GuardedCluster,
) -> None:
    before, other = fixed(cluster), cluster.lab["node-231"]
    stolen = cluster.lab[WORKER]
    stolen.systemctl("stop", UNIT)
    try:
        told = cluster.etcdctl("get", "--print-value-only", f"{PREFIX}hosts/{other.name}/status").strip()
        since = now(other)
        cluster.forge(WORKER, f"hosts/{WORKER}/status", told)

        def is_named() -> None:
            said = "".join(said_on(host, since) for host in cluster.lab.hosts)
            assert f"hosts/{WORKER}/status" in said

        eventually(is_named, NAMED_S, "the status of another host is named")
        stays(cluster, before)
    finally:
        stolen.systemctl("start", UNIT)


RESYNC_S = 35
"""Seconds within which each agent makes a pass whatever happens."""


def manager(cluster: GuardedCluster) -> tuple[str, Host]:
    """The stolen user, and a host that follows what he writes: neither is the leader's."""
    led = (cluster.get("leader") or {})["host"]
    return next(name for name in LEADERS if name != led), cluster.lab[WORKER]


def forged_spec(cluster: GuardedCluster, user: str) -> str:
    digest = spec_hash(EVIL)
    cluster.forge(user, f"specs/{digest}", encode_spec(EVIL).decode())
    return digest


def forge_until_named(
    cluster: GuardedCluster, user: str, victim: Host, forged: Assignment, name: str
) -> None:
    """Write the assignment of a host until the host has named what it does not take of it: the leader repairs it."""
    since = now(victim)

    def is_named() -> None:
        forged_spec(cluster, user)  # the leader removes what no assignment of its own names
        cluster.forge(user, f"assignments/{victim.name}", encode(forged).decode())
        lines = [line for line in said_on(victim, since).splitlines() if name in line]
        assert any("rights in etcd were misused" in line for line in lines), lines

    eventually(is_named, NAMED_S, f"the host names {name}")


def test_an_assignment_of_what_no_document_declares_starts_nothing_and_is_named(
    cluster: GuardedCluster,
) -> None:
    before = fixed(cluster)
    user, victim = manager(cluster)
    digest = forged_spec(cluster, user)
    # As the leader writes it again: one of an earlier revision than the last one does not count at all.
    revision = cluster.record(Accepted, "accepted").revision
    found = replace(cluster.record(Assignment, f"assignments/{victim.name}"), revision=revision)
    evil = Replica(service="evil", slot=1, spec=digest)
    swapped = tuple(
        replace(each, spec=digest) if each.service == "terminal" else each for each in found.replicas
    )

    forgeries = {
        "container/prod-evil-1": replace(found, replicas=(*found.replicas, evil)),
        "container/prod-terminal-1": replace(found, replicas=swapped),
    }
    for name, forged in forgeries.items():
        forge_until_named(cluster, user, victim, forged, name)
        stays(cluster, before)


def test_no_fixed_or_global_replica_stops_whatever_the_assignment_lacks(cluster: GuardedCluster) -> None:
    """Neither one for whose platform the host's own engine is the right one, as the leader alone knows the others'."""
    platform = document(DOCUMENT, services={"everywhere": {"platform": "linux/amd64"}})
    cluster.wait_converged(cluster.put(platform), CONVERGE_S)
    before = fixed(cluster)
    user, victim = manager(cluster)
    found = cluster.record(Assignment, f"assignments/{victim.name}")
    since = now(victim)

    cluster.forge(user, f"assignments/{victim.name}", encode(replace(found, replicas=())).decode())

    def are_named() -> None:
        said = said_on(victim, since)
        for name in ("terminal", "everywhere"):
            assert [each for each in said.splitlines() if name in each and "it stays" in each], name

    eventually(are_named, NAMED_S, "the host names what the assignment lacks")
    stays(cluster, before)
    code, said = cluster.as_user(user, "del", f"{PREFIX}assignments/{victim.name}")
    assert code == 0, said
    stays(cluster, before)


ROLLS_BACK = document(
    DOCUMENT,
    services={"everywhere": {"deploy": {"mode": "global", "update_config": {"failure_action": "rollback"}}}},
)


def test_a_forged_rollback_restarts_no_global_replica(cluster: GuardedCluster) -> None:
    cluster.wait_converged(cluster.put(ROLLS_BACK), CONVERGE_S)
    user, victim = manager(cluster)
    earlier = cluster.record(Assignment, f"assignments/{victim.name}")
    (old,) = (each.spec for each in earlier.replicas if each.service == "everywhere")
    spec = cluster.etcdctl("get", "--print-value-only", f"{PREFIX}specs/{old}").strip()
    later = document(ROLLS_BACK, services={"everywhere": {"labels": {"version": "2"}}})
    cluster.wait_converged(cluster.put(later), CONVERGE_S)
    before = fixed(cluster)
    with lock_of_thief(cluster, user):
        cluster.forge(user, f"specs/{old}", spec)
        latest = cluster.record(Assignment, f"assignments/{victim.name}")
        back = tuple(
            replace(each, spec=old) if each.service == "everywhere" else each for each in latest.replicas
        )
        since = now(victim)
        cluster.forge(user, f"assignments/{victim.name}", encode(replace(latest, replicas=back)).decode())
        eventually(lambda: "it works on this host" in said_on(victim, since), NAMED_S, "the host names it")
        stays(cluster, before)
        since = now(victim)
        victim.systemctl("restart", UNIT)
        eventually(lambda: "it works on this host" in said_on(victim, since), CONVERGE_S, "it does so again")
        stays(cluster, before)


def test_no_later_document_lets_a_thief_give_other_slots(cluster: GuardedCluster) -> None:
    """He has the lock while the operator puts it, and makes it the accepted one as a leader does."""
    before = fixed(cluster)
    user, victim = manager(cluster)
    accepted, found = (
        cluster.record(Accepted, "accepted"),
        cluster.record(Assignment, f"assignments/{victim.name}"),
    )
    with lock_of_thief(cluster, user):
        later = document(DOCUMENT, services={"placed": {"labels": {"version": "2"}}})
        revision, since = cluster.put(later), now(victim)
        forged = replace(accepted, revision=revision, document=later)
        cluster.forge(user, "accepted", encode(forged).decode())
        slots = tuple(replace(each, slot=each.slot + 50) for each in found.replicas)
        cluster.forge(
            user,
            f"assignments/{victim.name}",
            encode(replace(found, revision=revision, replicas=slots)).decode(),
        )

        def are_named() -> None:
            said = said_on(victim, since).splitlines()
            for name in ("terminal", "everywhere"):
                assert [each for each in said if name in each and "it stays" in each], name

        eventually(are_named, NAMED_S, "the host names the slots")
        stays(cluster, before)
    cluster.wait_converged(revision, CONVERGE_S)
    stays(cluster, before)


def test_a_forged_record_and_tokens_move_no_member_and_stop_nothing(cluster: GuardedCluster) -> None:
    before, members = fixed(cluster), cluster.members()
    user, victim = manager(cluster)
    since, record = now(victim), cluster.record(SwarmRecord, "swarm")
    tokens = Tokens(swarm_id=record.swarm_id or "", worker="SWMTKN-1-a-b", manager="SWMTKN-1-a-c")
    cluster.forge(user, "tokens", encode(tokens).decode())
    eventually(lambda: "not sealed" in said_on(victim, since), NAMED_S, "the host names the unsealed tokens")
    stays(cluster, before)

    foreign = replace(record, swarm_id="x" * 25, managers=(("y" * 25, "10.159.62.240:2377"),))
    cluster.forge(user, "swarm", encode(foreign).decode())

    def is_named() -> None:
        found = [each for host in cluster.lab.hosts for each in cluster.status(host)["blocked"]]
        assert any(each["kind"] == "foreign" and "swarm" in each["resource"] for each in found), found

    eventually(is_named, NAMED_S, "a host names the record of another swarm")
    stays(cluster, before)
    assert cluster.members() == members
    cluster.delete("swarm")


def untrusted(cluster: GuardedCluster, host: Host) -> str:
    """Return what the host reports as untrusted, in its status and as the metric that the alert is about."""
    metrics = cluster.metrics(host)
    assert [name for name, value in metrics.items() if "blocked" in name and "untrusted" in name and value]
    found = [each for each in cluster.status(host)["blocked"] if each["kind"] == "untrusted"]
    return "; ".join(f"{each['resource']}: {each['reason']}" for each in found)


def without_node(cluster: GuardedCluster, name: str, node_id: str) -> str:
    """Return the status of a manager, which no longer lists that node."""
    told = cluster.record(HostStatus, f"hosts/{name}/status")
    return encode(replace(told, nodes=tuple(each for each in told.nodes if each.id != node_id))).decode()


@pytest.mark.parametrize("what", ["leave", "quarantine"])
def test_a_forged_order_is_named_and_costs_no_host_its_membership(cluster: GuardedCluster, what: Any) -> None:
    before, members = fixed(cluster), cluster.members()
    user, victim = manager(cluster)
    order = MembershipOrder(state="active", node_id=members[victim.name], what=what, reason="forged")
    with lock_of_thief(cluster, user):
        cluster.forge(user, f"membership-orders/{victim.name}", encode(order).decode())

        def is_named() -> None:
            # One of two managers is not most of them.
            cluster.forge(user, f"hosts/{user}/status", without_node(cluster, user, members[victim.name]))
            said = untrusted(cluster, victim)
            assert f"membership-orders/{victim.name}" in said
            assert "this host does not obey" in said

        eventually(is_named, NAMED_S, "the host names the order")
        stays(cluster, before)
        assert cluster.members() == members


def test_a_worker_that_its_swarm_removed_follows_the_order_of_a_leader(cluster: GuardedCluster) -> None:
    """With its role in etcd it reads the reports of managers that confirm the order."""
    members, before = cluster.members(), fixed(cluster)
    cluster.lab.hosts[0].exec("docker", "node", "rm", "--force", members[WORKER])

    def is_in_again() -> None:
        assert cluster.members()[WORKER] not in {"", members[WORKER]}

    eventually(is_in_again, CONVERGE_S, "the worker is in the swarm again")
    cluster.wait_converged(cluster.newest(), CONVERGE_S)
    assert fixed(cluster).keys() == before.keys()


def test_a_forged_recreation_of_an_overlay_that_is_as_declared_stops_no_replica(
    cluster: GuardedCluster,
) -> None:
    allowed = document(DOCUMENT, policy={"allow_network_recreate": True})
    cluster.wait_converged(cluster.put(allowed), CONVERGE_S)
    before = fixed(cluster)
    user, _ = manager(cluster)
    with lock_of_thief(cluster, user):
        forged = replace(cluster.record(SwarmRecord, "swarm"), recreating=(OVERLAY,), networks=())
        cluster.forge(user, "swarm", encode(forged).decode())

        def is_named() -> None:
            for host in cluster.lab.hosts:
                assert f"{OVERLAY} is to be recreated" in untrusted(cluster, host), host.name

        eventually(is_named, NAMED_S, "every host names the recreation")
        stays(cluster, before)


def forge_replicas(cluster: GuardedCluster, user: str, victim: Host, **changes: Any) -> None:
    """Write the assignment of a host with these changes of every replica."""
    found = cluster.record(Assignment, f"assignments/{victim.name}")
    replicas = tuple(replace(each, **changes) for each in found.replicas)
    cluster.forge(user, f"assignments/{victim.name}", encode(replace(found, replicas=replicas)).decode())


def test_a_forged_duplicate_address_recreates_no_replica(cluster: GuardedCluster) -> None:
    before = fixed(cluster)
    user, victim = manager(cluster)
    ids = victim.exec("docker", "ps", "--quiet", "--no-trunc").stdout.split()
    assert ids
    with lock_of_thief(cluster, user):
        since = now(victim)
        forge_replicas(cluster, user, victim, recreate=tuple((each, "forged") for each in ids))

        def is_named() -> None:
            assert "announce no second container with that address" in said_on(victim, since)

        eventually(is_named, NAMED_S, "the host names the order")
        stays(cluster, before)


def test_a_running_replica_keeps_its_reserved_address(cluster: GuardedCluster) -> None:
    cluster.wait_converged(cluster.put(document(DOCUMENT, policy={"reserve_addresses": True})), CONVERGE_S)
    before = fixed(cluster)
    user, victim = manager(cluster)
    with lock_of_thief(cluster, user):
        since = now(victim)
        forge_replicas(cluster, user, victim, addresses=((OVERLAY, "10.10.9.9"),))

        def is_named() -> None:
            assert "changes its address" in said_on(victim, since)

        eventually(is_named, NAMED_S, "the host names the address")
        stays(cluster, before)


@pytest.mark.parametrize("user", [LEADERS[0], "any"], ids=["of a manager", "of all agents"])
def test_a_worker_stays_on_its_overlay_whatever_id_the_record_has(cluster: GuardedCluster, user: str) -> None:
    """With the one role for all agents, the thief also writes the reports of all managers."""
    before, victim = fixed(cluster), cluster.lab[WORKER]
    with lock_of_thief(cluster, user):
        found, other = cluster.record(SwarmRecord, "swarm"), "x" * 25
        for name in LEADERS if user == "any" else (user,):
            told = cluster.record(HostStatus, f"hosts/{name}/status")
            networks = (replace(each, id=other) if each.name == OVERLAY else each for each in told.networks)
            cluster.forge(
                user, f"hosts/{name}/status", encode(replace(told, networks=tuple(networks))).decode()
            )
        cluster.forge(user, "swarm", encode(replace(found, overlay_ids=((OVERLAY, other),))).decode())

        def is_named() -> None:
            assert "and replicas of this host run on" in untrusted(cluster, victim)

        eventually(is_named, NAMED_S, "the worker names the record")
        stays(cluster, before)
        cluster.forge(user, "swarm", encode(found).decode())


def test_a_fixed_replica_that_is_down_starts_although_its_assignment_holds_it(
    cluster: GuardedCluster,
) -> None:
    before = fixed(cluster)
    user, victim = manager(cluster)
    name = next(each for each, at in before.items() if at.startswith(victim.name) and "-everywhere-" in each)
    with lock_of_thief(cluster, user):
        found = cluster.record(Assignment, f"assignments/{victim.name}")
        held = tuple(replace(each, held="forged", waits="forged") for each in found.replicas)
        since = now(victim)
        cluster.forge(user, f"assignments/{victim.name}", encode(replace(found, replicas=held)).decode())
        eventually(
            lambda: "it does not wait" in said_on(victim, since), NAMED_S, "the host names what holds it"
        )
        stays(cluster, before)
        victim.exec("docker", "rm", "--force", name)

        def runs_again() -> None:
            assert name in fixed(cluster)

        eventually(runs_again, NAMED_S, "it runs again")


def test_a_held_disruption_slot_is_named_on_every_host(cluster: GuardedCluster) -> None:
    before = fixed(cluster)
    user, _ = manager(cluster)
    with lock_of_thief(cluster, user):
        for host in (user, "nobody"):
            forged = Disruption(host=host, state="acquired", reason="forged", quorum=True)
            cluster.forge(user, "disruption", encode(forged).decode())

        def is_named() -> None:
            for each in cluster.lab.hosts:
                said = untrusted(cluster, each)
                assert "nobody has the disruption slot" in said, (each.name, said)
                assert f"etcdctl del {PREFIX}disruption" in said

        eventually(is_named, NAMED_S, "every host names the slot")
        stays(cluster, before)
        cluster.delete("disruption")


def test_a_lock_that_outlives_every_lease_is_an_alarm_with_its_remedy(cluster: GuardedCluster) -> None:
    before = fixed(cluster)
    user, _ = manager(cluster)
    since = {host.name: now(host) for host in cluster.lab.hosts}
    take_lock(cluster, user)

    def is_named(*names: str) -> None:
        for name in names:
            assert f"etcdctl del {PREFIX}leader" in said_on(cluster.lab[name], since[name]), name

    eventually(lambda: is_named(*LEADERS), NAMED_S, "the hosts that may lead name the lock and its remedy")
    eventually(lambda: is_named(WORKER), RESYNC_S, "so does a worker, which does not watch the lock")
    stays(cluster, before)
    cluster.delete("leader")
    cluster.wait_converged(cluster.put(document(DOCUMENT, tags={"order": "1.0.1"})), CONVERGE_S)


def test_28_megabytes_below_specs_end_no_leader(cluster: GuardedCluster) -> None:
    user, _ = manager(cluster)
    pids = {
        host.name: host.systemctl("show", "--value", "--property=MainPID", UNIT) for host in cluster.lab.hosts
    }
    chunk = "x" * 1_400_000
    for number in range(20):
        cluster.forge(user, f"specs/{number:064x}", chunk)
    revision = cluster.put(document(DOCUMENT, tags={"order": "1.0.1"}))
    cluster.wait_converged(revision, CONVERGE_S)
    for host in cluster.lab.hosts:
        assert host.systemctl("show", "--value", "--property=MainPID", UNIT) == pids[host.name]
        peak = int(host.exec("awk", "/VmHWM/ {print $2}", f"/proc/{pids[host.name]}/status").stdout) * 1024
        print(f"{host.name}: at most {peak >> 20} MB")
        assert peak < MEMORY_MAX
    cluster.etcdctl("del", "--prefix", f"{PREFIX}specs/0000")
