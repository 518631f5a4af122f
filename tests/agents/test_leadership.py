"""Whole agents in memory whose leader sees less than the others do: it hands over to one that does, once."""

from pathlib import Path

import pytest

from agent.model.leader_steps import Resign
from agent.model.records import LeaderRecord, encode
from agent.model.store import Delete, Put
from agent.observe.lock import JUDGES_S
from tests.support.document import document
from tests.support.simulated_cluster import KEYS, NAMES, SimulatedAgent, SimulatedCluster, at_rest

pytestmark = pytest.mark.usefixtures("unlogged")

LABELLED = document(hosts={name: {"labels": {"rack": "a"}} for name in NAMES})


@pytest.fixture
def cluster(tmp_path: Path) -> SimulatedCluster:
    """Three managers at rest."""
    return at_rest(tmp_path)


def cut(cluster: SimulatedCluster, *names: str) -> None:
    """Each of these hosts reaches no other one; etcd all of them do."""
    for side, name in enumerate(names, 1):
        cluster.lan.sides[cluster.hosts[name].engine.address] = side


def racks(cluster: SimulatedCluster) -> list[str | None]:
    memberships = (host.engine.nets.membership for host in cluster.hosts.values())
    return [found[1].labels.get("rack") for found in memberships if found]


def terms(cluster: SimulatedCluster, rounds: int = 40, seconds: float = 4.0) -> list[str | None]:
    """Who leads in the rounds to come; each once for as long as it does, None where nobody does."""
    seen: list[str | None] = []
    for _ in range(rounds):
        cluster.round(seconds=seconds)
        now = next((each.name for each in cluster.agents.values() if each.leads), None)
        if seen[-1:] != [now]:
            seen.append(now)
    return seen


def held(agent: SimulatedAgent) -> list[str]:
    return [each.resource for each in agent.plan.blocked if each.kind == "quorum"]


def test_a_leader_that_is_cut_from_the_swarm_alone_hands_over_once_and_the_nodes_are_seen_to(
    cluster: SimulatedCluster,
) -> None:
    before = cluster.leader()
    cut(cluster, before.name)
    cluster.put_intent(LABELLED)
    cluster.rounds(5)
    assert before.leads
    assert held(before) == ["nodes"]

    led = [name for name in terms(cluster) if name]

    assert len(led) == 2
    assert led[0] == before.name
    others = [each for each in NAMES if each != before.name]
    assert led[1] in others
    assert racks(cluster) == ["a", "a", "a"]


def test_without_a_quorum_whoever_leads_leads_on_and_judges_documents(cluster: SimulatedCluster) -> None:
    before = cluster.leader().name
    cut(cluster, *NAMES)
    assert terms(cluster) == [before]

    cluster.put_intent(LABELLED)
    cluster.rounds(3)
    verdict = cluster.verdict()
    assert verdict is not None
    assert verdict.accepted


def test_without_a_quorum_a_lost_leader_is_replaced_as_soon_as_its_lease_is_gone(
    cluster: SimulatedCluster,
) -> None:
    cut(cluster, *NAMES)
    cluster.rounds(5)
    cluster.lose_agent(cluster.leader().name)
    led = terms(cluster, 30, 1.0)
    assert led[0] is None
    assert len(led) == 2


def test_of_two_that_are_cut_off_neither_takes_the_lock_from_the_other(tmp_path: Path) -> None:
    names = tuple(f"node-{number}" for number in range(231, 236))
    more = {each: {"address": f"10.159.62.{each[-3:]}", "role": "manager"} for each in names[3:]}
    cluster = SimulatedCluster(tmp_path, names=names)
    cluster.put_intent(document(hosts=more))
    cluster.start()
    cluster.settle()
    before = cluster.leader().name
    other = next(each for each in names if each != before)
    cut(cluster, before, other)

    led = [name for name in terms(cluster) if name]

    assert len(led) == 2
    assert led[1] not in (before, other)


# ---- a leader that renews its lease and cannot read etcd


def presence(cluster: SimulatedCluster, name: str) -> bool:
    return cluster.read(KEYS.presence(name)) is not None


def deny(agent: SimulatedAgent, *, denied: bool = True) -> None:
    """Revoke its role in etcd, or grant it again."""
    agent.store.denied = agent.lease_store.denied = denied


def test_a_leader_whose_role_is_revoked_lets_go_of_the_lock_and_comes_back_when_it_is_granted(
    cluster: SimulatedCluster,
) -> None:
    before, replicas = cluster.leader(), cluster.ids()
    deny(before)
    cluster.rounds(28)
    lock = cluster.read(KEYS.leader)
    assert lock is not None
    assert f'"{before.name}"' in lock.value.decode()

    cluster.rounds(25)
    after = cluster.leader()
    assert after is not before
    cluster.put_intent(LABELLED)
    cluster.rounds(10)
    assert racks(cluster) == ["a", "a", "a"]
    assert cluster.ids() == replicas
    assert not presence(cluster, before.name)

    deny(before, denied=False)
    cluster.settle()
    assert presence(cluster, before.name)
    assert cluster.leader() is after
    assert cluster.ids() == replicas


def test_a_leader_on_a_link_too_slow_to_read_gives_the_lock_back_once_and_stays_present(
    cluster: SimulatedCluster,
) -> None:
    before = cluster.leader()
    lease = before.session.lease_id
    before.store.slow = True
    cluster.rounds(40)

    assert cluster.leader() is not before
    assert presence(cluster, before.name)
    assert before.session.lease_id == lease
    assert not before.plan.steps
    given_back = [each for each in before.outcomes if isinstance(each.step, Resign)]
    assert [each.error for each in given_back] == [""]


def test_a_leader_whose_etcd_is_away_does_nothing_about_the_lock(cluster: SimulatedCluster) -> None:
    before = cluster.leader()
    for agent in cluster.agents.values():
        agent.cut_etcd()
    cluster.rounds(100)
    assert not [each for each in before.outcomes if isinstance(each.step, Resign)]


# ---- a lock that no agent wrote


@pytest.mark.parametrize("ttl_s", [0, 315_360_000])
def test_a_lock_that_does_not_end_is_said_by_every_host_and_touched_by_none(
    cluster: SimulatedCluster, ttl_s: int
) -> None:
    replicas, thief = cluster.ids(), cluster.leader().store
    lease = thief.grant(ttl_s).id if ttl_s else 0
    forged = Put(key=KEYS.leader, value=encode(LeaderRecord(host="node-231", since="now")), lease=lease)
    thief.txn([], [Delete(key=KEYS.leader)])
    thief.txn([], [forged])
    cluster.rounds(2)
    for agent in cluster.agents.values():
        (told,) = [each for each in agent.plan.blocked if each.kind == "lock"]
        assert told.resource == "leader"
        assert f"`etcdctl del {KEYS.leader}` frees it" in told.reason
    cluster.rounds(40)
    lock = cluster.read(KEYS.leader)
    assert lock is not None
    assert lock.value == forged.value

    cluster.delete(KEYS.leader)
    cluster.put_intent(LABELLED)
    cluster.settle()
    assert racks(cluster) == ["a", "a", "a"]
    assert cluster.ids() == replicas


def test_a_holder_of_the_lock_that_judges_no_document_is_said_by_every_host(
    cluster: SimulatedCluster,
) -> None:
    before = cluster.leader()
    before.store.denied = True  # its session renews the lease
    cluster.put_intent(LABELLED)
    others = [each for each in cluster.agents.values() if each is not before]
    lock = cluster.read(KEYS.leader)
    assert lock is not None
    thief = others[0].store
    cluster.rounds(int(JUDGES_S) // 2)
    thief.txn([], [Put(key=KEYS.leader, value=lock.value, lease=thief.grant(100).id)])
    for _ in range(int(JUDGES_S) // 2 + 3):
        cluster.round()
        held = cluster.read(KEYS.leader)
        if held is not None and held.lease != lock.lease:
            thief.keepalive(held.lease)
    for agent in others:
        (told,) = [each for each in agent.plan.blocked if each.kind == "lock"]
        assert "has not judged revision" in told.reason
