"""Somebody who can write to etcd and has no sealing key: no host joins or leaves a swarm for what he writes."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from agent.clients.seal import Seal, WithKeys, WithoutKey
from agent.model.records import SEAL_LASTS_S, SwarmRecord, Tokens, UnlockKeys, decode, encode
from tests.fakes.engine import FakeEngine
from tests.support.document import document
from tests.support.simulated_cluster import CLUSTER, KEYS, SimulatedCluster

pytestmark = pytest.mark.usefixtures("unlogged")

THERE, MISSING = ("node-231", "node-232"), "node-233"
ELSEWHERE = "10.159.62.99"
ROUNDS = 25
"""More than the lease and every wait."""


def with_key(
    cluster: SimulatedCluster, *, accepts: bool = False, key: bytes = bytes(32)
) -> Callable[[], Seal]:
    """The seal of each agent that starts from now on, on the clock of the cluster."""

    def made() -> Seal:
        seal = WithKeys(CLUSTER, [key], "the test", accepts=accepts)
        seal.now = cluster.clock
        return seal

    return made


def clock_of_today(cluster: SimulatedCluster) -> None:
    """A clock from which a day can be taken."""
    cluster.clock.advance(1e9)


@pytest.fixture
def cluster(tmp_path: Path) -> SimulatedCluster:
    """Three hosts with a key. Two of them are in, and tokens are published for the third one."""
    cluster = SimulatedCluster(tmp_path)
    clock_of_today(cluster)
    for host in cluster.hosts.values():
        host.new_seal = with_key(cluster)
    cluster.put_intent()
    cluster.start(*THERE)
    cluster.rounds(20)
    assert published(cluster).sealed
    return cluster


def published(cluster: SimulatedCluster) -> Tokens:
    found = cluster.read(KEYS.tokens)
    assert found is not None
    return decode(Tokens, found.value)


def swarms(cluster: SimulatedCluster) -> dict[str, str | None]:
    return {name: host.swarm_id for name, host in cluster.hosts.items()}


def other_swarm(cluster: SimulatedCluster) -> tuple[Tokens, SwarmRecord]:
    """A swarm of somebody else on the same LAN, with what the cluster would have to hold to join it."""
    engine = FakeEngine("elsewhere", ELSEWHERE, cluster.lan, CLUSTER)
    engine.init_swarm(advertise=ELSEWHERE, pool=(), mask_length=24, data_path_port=None)
    tokens = engine.swarm_tokens()
    managers = (("node-elsewhere", f"{ELSEWHERE}:2377"),)
    return tokens, SwarmRecord(claimed_by=THERE[0], swarm_id=tokens.swarm_id, managers=managers)


def named(cluster: SimulatedCluster, name: str, key: str = KEYS.tokens) -> str:
    """What the agent says of the tokens, or of another key."""
    blocked = cluster.agents[name].plan.blocked
    return next((f"{each.kind}: {each.reason}" for each in blocked if each.resource == key), "")


def stays_as_it_is(cluster: SimulatedCluster) -> None:
    before = swarms(cluster)
    for _ in range(ROUNDS):
        cluster.round()
        assert swarms(cluster) == before


def forge(cluster: SimulatedCluster, tokens: Tokens | None, record: SwarmRecord | None) -> None:
    if tokens:
        cluster.put(KEYS.tokens, encode(tokens))
    if record:
        cluster.put(KEYS.swarm, encode(record))


# ---- into another swarm


@pytest.mark.parametrize("sealed", [True, False], ids=["with a key", "without a key"])
def test_tokens_that_nobody_sealed_steer_a_host_with_a_key_nowhere(
    cluster: SimulatedCluster, sealed: bool
) -> None:
    """The same host without a key joins the other swarm: so the attack is one."""
    tokens, record = other_swarm(cluster)
    forge(cluster, tokens, record)
    if not sealed:
        cluster.hosts[MISSING].new_seal = WithoutKey
    cluster.start(MISSING)
    cluster.rounds(ROUNDS)
    joined = None if sealed else record.swarm_id
    assert cluster.hosts[MISSING].swarm_id == joined
    if sealed:
        assert "untrusted: not sealed" in named(cluster, MISSING)


def test_a_forged_record_makes_no_member_leave_and_no_host_join_and_is_mended_by_its_removal(
    cluster: SimulatedCluster,
) -> None:
    before = swarms(cluster)
    forge(cluster, None, other_swarm(cluster)[1])
    cluster.start(MISSING)
    stays_as_it_is(cluster)
    assert swarms(cluster) == before
    foreign = {
        name for name in THERE if "foreign" in {each.kind for each in cluster.agents[name].plan.blocked}
    }
    assert foreign == {*THERE}

    cluster.delete(KEYS.swarm)
    cluster.settle()
    assert {*swarms(cluster).values()} == {before[THERE[0]]}


def test_genuine_tokens_let_a_host_join_at_no_manager_of_another_swarm(cluster: SimulatedCluster) -> None:
    record = cluster.record()
    assert record is not None
    forge(cluster, None, replace(record, managers=other_swarm(cluster)[1].managers))
    cluster.start(MISSING)
    for _ in range(5):
        cluster.round(MISSING)
    assert cluster.hosts[MISSING].swarm_id is None
    assert cluster.agents[MISSING].failed()

    cluster.settle()
    assert cluster.hosts[MISSING].swarm_id == record.swarm_id


def test_genuine_tokens_under_the_name_of_another_swarm_are_not_used(cluster: SimulatedCluster) -> None:
    before = published(cluster)
    record = other_swarm(cluster)[1]
    assert record.swarm_id
    forge(cluster, replace(before, swarm_id=record.swarm_id), record)
    cluster.start(MISSING)
    stays_as_it_is(cluster)
    assert "untrusted: sealed for another" in named(cluster, MISSING)


# ---- what was sealed before and comes back


def of_an_earlier_swarm(cluster: SimulatedCluster, age_s: float) -> tuple[Tokens, SwarmRecord]:
    """Tokens as this cluster's leader sealed them so long ago, for a swarm that somebody else has by now."""
    tokens, record = other_swarm(cluster)
    seal = with_key(cluster)()
    assert isinstance(seal, WithKeys)
    then = cluster.clock() - age_s
    seal.now = lambda: then
    return seal.close(tokens), record


def leave(cluster: SimulatedCluster, name: str) -> None:
    """`docker swarm leave --force`, and its agent is lost."""
    cluster.lose_agent(name)
    cluster.hosts[name].engine.nets.leave()


@pytest.mark.parametrize("age_s", [60.0, SEAL_LASTS_S + 60])
def test_a_host_that_knows_later_tokens_uses_no_copy_also_after_a_restart(
    cluster: SimulatedCluster, age_s: float
) -> None:
    cluster.start(MISSING)
    cluster.settle()
    leave(cluster, MISSING)
    forge(cluster, *of_an_earlier_swarm(cluster, age_s + cluster.clock() - 1e9))
    cluster.start(MISSING)
    cluster.rounds(ROUNDS)
    assert cluster.hosts[MISSING].swarm_id is None
    assert "came back" in named(cluster, MISSING)


@pytest.mark.parametrize(("age_s", "joins"), [(SEAL_LASTS_S + 60, False), (60.0, True)])
def test_a_new_host_uses_no_copy_that_is_older_than_a_day(
    cluster: SimulatedCluster, age_s: float, joins: bool
) -> None:
    """It knows of nothing later: a younger copy of tokens whose swarm is somebody else's by now would do."""
    tokens, record = of_an_earlier_swarm(cluster, age_s)
    forge(cluster, tokens, record)
    cluster.start(MISSING)
    for _ in range(5):
        cluster.round(MISSING)
    assert (cluster.hosts[MISSING].swarm_id == record.swarm_id) == joins


def test_a_copy_of_tokens_from_before_a_rotation_is_replaced_by_the_leader(cluster: SimulatedCluster) -> None:
    before = published(cluster)
    cluster.leader().host.engine.rotate_tokens()
    cluster.rounds(40)
    assert published(cluster) != before
    forge(cluster, before, None)
    leader = cluster.leader().name
    for name in (*(set(THERE) - {leader}), leader):
        cluster.agents[name].turn()
        assert "came back" in named(cluster, name), name
    cluster.rounds(3)
    assert published(cluster) != before
    cluster.start(MISSING)
    cluster.settle()
    assert cluster.hosts[MISSING].swarm_id == cluster.hosts[THERE[0]].swarm_id


def test_a_copy_of_an_earlier_unlock_key_is_replaced_by_the_leader(cluster: SimulatedCluster) -> None:
    cluster.put_intent(document(cluster={"swarm": {"autolock": True}}))
    cluster.start(MISSING)
    cluster.settle()
    found = cluster.read(KEYS.unlock)
    assert found is not None
    membership = cluster.leader().host.engine.nets.membership
    assert membership is not None
    membership[0].rotate_unlock_key()
    cluster.rounds(40)
    cluster.put(KEYS.unlock, found.value)
    cluster.leader().turn()
    assert "came back" in named(cluster, cluster.leader().name, KEYS.unlock)
    cluster.settle()
    now = cluster.read(KEYS.unlock)
    assert now is not None
    assert now.value != found.value
    opened = with_key(cluster)().open_keys(decode(UnlockKeys, now.value))
    assert (opened.on, opened.keys[0]) == (True, membership[0].unlock_key)


# ---- from no key to a key, on one host after the other


def test_the_change_over_ends_although_no_host_with_the_key_uses_unsealed_tokens(tmp_path: Path) -> None:
    cluster = changing_over(tmp_path)
    cluster.hosts[MISSING].new_seal = with_key(cluster)
    cluster.start(MISSING)
    stays_as_it_is(cluster)
    for name in THERE:
        cluster.lose_agent(name)
        cluster.hosts[name].new_seal = with_key(cluster)
        cluster.start(name)
        cluster.rounds(ROUNDS)
    cluster.settle()
    assert {*swarms(cluster).values()} == {cluster.hosts[THERE[0]].swarm_id}


def test_a_host_that_accepts_unsealed_tokens_joins_during_the_change_over(tmp_path: Path) -> None:
    cluster = changing_over(tmp_path)
    cluster.hosts[MISSING].new_seal = with_key(cluster, accepts=True)
    cluster.start(MISSING)
    cluster.settle()
    assert {*swarms(cluster).values()} == {cluster.hosts[THERE[0]].swarm_id}


def changing_over(directory: Path) -> SimulatedCluster:
    """Two hosts without a key are in, and tokens are published unsealed for the third one."""
    cluster = SimulatedCluster(directory)
    clock_of_today(cluster)
    for host in cluster.hosts.values():
        host.new_seal = WithoutKey
    cluster.put_intent()
    cluster.start(*THERE)
    cluster.rounds(20)
    assert published(cluster).worker
    return cluster
