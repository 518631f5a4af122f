"""Whole agents pin the overlay addresses of replicas: order is told its own, on node-231 twice and on node-232 once."""

from ipaddress import IPv4Interface
from pathlib import Path

import pytest

from tests.support.document import EXAMPLE, document
from tests.support.simulated_cluster import KEYS, NAMES, TTL_S, SimulatedCluster, images

pytestmark = pytest.mark.usefixtures("unlogged")

NET = "my-network-overlay"
TOLD = document(services={"order": {"environment": {"DUBBO_IP_TO_REGISTRY": "{{.Overlay.IP}}"}}})
PINNED = document(policy={"reserve_addresses": True})
NEWER = document(TOLD, tags={"order": "1.0.1"})
ELSEWHERE = document(TOLD, replicas={"order": {"node-233": 3}})
TOP = [f"10.10.255.{last}" for last in (254, 253, 252)]
ORDERS = ["prod-order-1", "prod-order-2", "prod-order-3"]


def begun(tmp_path: Path, text: str) -> SimulatedCluster:
    made = SimulatedCluster(tmp_path, text)
    made.lan.registry |= images(NEWER)
    made.put_intent(text)
    made.start()
    made.settle()
    return made


@pytest.fixture
def told(tmp_path: Path) -> SimulatedCluster:
    return begun(tmp_path, TOLD)


def addresses(cluster: SimulatedCluster) -> dict[str, str]:
    """Address on the overlay of every replica that has one, by name; no two may have the same."""
    found = {
        name: raw["NetworkSettings"]["Networks"][NET]["IPAddress"]
        for host in cluster.hosts.values()
        for name, raw in host.replicas().items()
        if raw["State"]["Status"] == "running" and NET in raw["NetworkSettings"]["Networks"]
    }
    assert len(set(found.values())) == len(found), found
    return found


def orders(cluster: SimulatedCluster) -> list[str]:
    return [address for name, address in sorted(addresses(cluster).items()) if name in ORDERS]


def environments(cluster: SimulatedCluster) -> list[str]:
    """What each replica of order was told that it has, by name."""
    replicas = {name: raw for host in cluster.hosts.values() for name, raw in host.replicas().items()}
    return [
        line.partition("=")[2]
        for name in ORDERS
        for line in replicas[name]["Config"]["Env"]
        if line.startswith("DUBBO_IP_TO_REGISTRY=")
    ]


def rounds(cluster: SimulatedCluster, within: int = 90) -> None:
    """Until all is at rest, with no address given twice at any time."""
    for _ in range(within):
        cluster.round()
        addresses(cluster)
        agents = cluster.agents.values()
        if any(agent.leads for agent in agents) and all(agent.at_rest for agent in agents):
            return
    raise AssertionError(f"not at rest within {within} rounds:\n{cluster.told()}")


def test_every_replica_is_told_the_address_that_it_has(told: SimulatedCluster) -> None:
    assert orders(told) == environments(told) == TOP


def test_it_keeps_it_when_it_is_replaced_started_again_removed_and_rolled_out(told: SimulatedCluster) -> None:
    host = told.hosts["node-231"]
    host.engine.by_hand.remove("prod-order-1", force=True)
    host.engine.by_hand.end("prod-order-2", exit_code=1)
    rounds(told)
    assert orders(told) == environments(told) == TOP

    told.put_intent(NEWER)
    rounds(told)
    assert all(each.endswith("1.0.1") for name, each in host.running().items() if name in ORDERS)
    assert orders(told) == environments(told) == TOP


def test_it_keeps_it_on_another_host_and_starts_there_when_the_old_one_is_gone(
    told: SimulatedCluster,
) -> None:
    told.put_intent(ELSEWHERE)
    rounds(told)

    assert set(ORDERS) <= set(told.hosts["node-233"].running())
    assert orders(told) == environments(told) == TOP
    assert not told.agents["node-233"].failed()


def test_another_leader_changes_no_address(told: SimulatedCluster) -> None:
    before, ids = addresses(told), told.ids()
    leader = told.leader().name
    told.lose_agent(leader)
    told.rounds(int(TTL_S) + 5)
    told.start(leader)
    rounds(told)

    assert told.leader().name != leader
    assert (addresses(told), told.ids()) == (before, ids)


def test_an_etcd_that_lost_the_assignments_has_them_again_from_what_the_hosts_keep(
    told: SimulatedCluster,
) -> None:
    host = told.hosts["node-231"]
    before, ids = addresses(told), told.ids()
    for name in NAMES:
        told.delete(KEYS.assignment(name))
    told.delete(KEYS.intent)
    told.delete(KEYS.accepted)
    told.delete(KEYS.verdict)
    told.rounds(3)
    host.engine.by_hand.end("prod-order-1", exit_code=1)
    told.rounds(3)
    told.put_intent(TOLD)
    rounds(told)

    assert (addresses(told), told.ids()) == (before, ids)


def test_pinning_all_of_a_cluster_that_runs_touches_no_container(tmp_path: Path) -> None:
    cluster = begun(tmp_path, EXAMPLE)
    before, ids = addresses(cluster), cluster.ids()
    cluster.put_intent(PINNED)
    rounds(cluster)
    assert (addresses(cluster), cluster.ids()) == (before, ids)
    assert all(replica.addresses for name in NAMES for replica in cluster.assignment(name).replicas)  # type: ignore[union-attr]

    for name in before:
        for host in cluster.hosts.values():
            if name in host.replicas():
                host.engine.by_hand.end(name, exit_code=1)
    rounds(cluster)
    assert (addresses(cluster), cluster.ids()) == (before, ids)


def test_an_address_that_was_changed_by_hand_is_put_right_with_the_same_container(
    told: SimulatedCluster,
) -> None:
    engine, ids = told.hosts["node-232"].engine, told.ids()
    engine.by_hand.disconnect("prod-order-3", NET)
    engine.by_hand.connect(
        "prod-order-3", NET, {"Aliases": ["order"], "IPAMConfig": {"IPv4Address": "10.10.7.7"}}
    )
    rounds(told)

    assert (orders(told), told.ids()) == (TOP, ids)


def test_a_container_of_somebody_else_that_took_the_address_meanwhile_costs_the_replica_its_address_only(
    told: SimulatedCluster,
) -> None:
    engine = told.hosts["node-232"].engine
    engine.by_hand.end("prod-order-3", exit_code=1)
    guest = engine.run_foreign("guest", NetworkMode="none")
    engine.by_hand.connect(guest, NET, {"IPAMConfig": {"IPv4Address": TOP[2]}})
    rounds(told)

    assert orders(told) == environments(told) == [*TOP[:2], "10.10.255.251"]


def test_services_that_exchange_their_fixed_addresses_both_get_them(tmp_path: Path) -> None:
    def fixed(**addresses: str) -> str:
        services = {name: {"networks": {NET: {"ipv4_address": each}}} for name, each in addresses.items()}
        return document(services=services)

    cluster = begun(tmp_path, fixed(billing="10.10.1.1", console="10.10.1.2"))
    cluster.put_intent(fixed(billing="10.10.1.2", console="10.10.1.1"))
    rounds(cluster, within=200)

    found = addresses(cluster)
    assert (found["prod-billing-1"], found["prod-console-1"]) == ("10.10.1.2", "10.10.1.1")


# ---- a worker that leaves and joins again, while the swarm keeps its addresses for its previous node

WORKER = document(TOLD, roles={"node-232": "worker"})
REJOINS = document(
    WORKER,
    cluster={"gwbridge": {"method": "rejoin", "driver_opts": {"com.docker.network.driver.mtu": "1450"}}},
)


def keep_addresses(cluster: SimulatedCluster, name: str) -> None:
    """Let the swarm keep what it has given to this host, as it does when the host leaves soon after a stop."""
    found = cluster.hosts[name].engine.nets.membership
    assert found is not None
    swarm, member = found
    member.kept = {
        network: {container: address for address, container, node in swarm.given_out(network) if node == member.node_id}
        for network in swarm.networks
    }  # fmt: skip
    assert any(member.kept.values())


@pytest.mark.parametrize("how", ["by hand", "on the order"])
def test_a_worker_that_leaves_and_joins_again_has_the_addresses_of_its_replicas_again(
    tmp_path: Path, how: str
) -> None:
    cluster = begun(tmp_path, WORKER)
    before, old = addresses(cluster), cluster.hosts["node-232"].engine.nets.membership
    assert old is not None
    keep_addresses(cluster, "node-232")
    if how == "by hand":
        cluster.hosts["node-232"].engine.leave_swarm()
    else:
        cluster.put_intent(REJOINS)
    rounds(cluster, within=200)

    now = cluster.hosts["node-232"].engine.nets.membership
    assert now is not None
    assert now[1] is not old[1]
    assert addresses(cluster) == before
    assert not [each for agent in cluster.agents.values() for each in agent.failed() if "attaching" in each]


@pytest.mark.parametrize("moved", [{"node-231": 1, "node-232": 2}, {"node-231": 3}], ids=["to it", "from it"])
def test_a_replica_that_moves_while_the_worker_joins_again_keeps_its_address(
    tmp_path: Path, moved: dict[str, int]
) -> None:
    cluster = begun(tmp_path, WORKER)
    keep_addresses(cluster, "node-232")
    cluster.put_intent(document(WORKER, replicas={"order": moved}))
    for _ in ("its trial begins", "it is accepted"):
        cluster.leader().turn()
    cluster.hosts["node-232"].engine.leave_swarm()
    rounds(cluster, within=200)

    assert orders(cluster) == environments(cluster) == TOP


def test_a_worker_with_another_address_of_its_own_has_the_addresses_of_its_replicas_again(
    tmp_path: Path,
) -> None:
    cluster = begun(tmp_path, WORKER)
    keep_addresses(cluster, "node-232")
    host = cluster.hosts["node-232"]
    host.kernel.foreign_addresses.append((IPv4Interface("10.159.62.99/24"), "lan"))
    cluster.put_intent(document(WORKER, hosts={"node-232": {"address": "10.159.62.99"}}))
    rounds(cluster, within=200)

    assert host.engine.info().swarm.address == "10.159.62.99"
    assert orders(cluster) == environments(cluster) == TOP


def test_a_worker_that_joins_a_third_time_has_the_addresses_of_its_replicas_again(tmp_path: Path) -> None:
    cluster = begun(tmp_path, WORKER)
    for _ in range(2):
        keep_addresses(cluster, "node-232")
        cluster.hosts["node-232"].engine.leave_swarm()
        rounds(cluster, within=200)

    assert orders(cluster) == environments(cluster) == TOP


def test_fixed_addresses_are_exchanged_while_the_old_record_of_the_worker_has_one_of_them(
    tmp_path: Path,
) -> None:
    def fixed(billing: str, console: str) -> str:
        both = {"billing": billing, "console": console}
        services = {name: {"networks": {NET: {"ipv4_address": each}}} for name, each in both.items()}
        return document(
            WORKER, services=services, replicas={"billing": ["node-232"], "console": ["node-231"]}
        )

    cluster = begun(tmp_path, fixed("10.10.1.1", "10.10.1.2"))
    keep_addresses(cluster, "node-232")
    cluster.hosts["node-232"].engine.leave_swarm()
    cluster.put_intent(fixed("10.10.1.2", "10.10.1.1"))
    rounds(cluster, within=300)

    found = addresses(cluster)
    assert (found["prod-billing-1"], found["prod-console-1"]) == ("10.10.1.2", "10.10.1.1")


def test_a_rollout_does_not_count_it_as_a_failure_that_a_host_stops_its_replicas_to_join_again(
    tmp_path: Path,
) -> None:
    cluster = begun(tmp_path, WORKER)
    keep_addresses(cluster, "node-232")
    cluster.put_intent(document(REJOINS, services={"order": {"environment": {"X": "1"}}}))
    rounds(cluster, within=250)

    assert orders(cluster) == environments(cluster) == TOP
