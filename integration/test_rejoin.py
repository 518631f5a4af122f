"""docker_gwbridge changed by leaving the swarm and coming back, where the intent asks for that way.

Every replica has the address again that is reserved for it, unless its host itself has that address now.
"""

import json

from integration.cluster import EXAMPLE, Cluster
from integration.lab.eventually import eventually
from integration.lab.host import Host
from integration.quorum import QuorumWatch
from tests.support.document import document

BRIDGE = "docker_gwbridge"
OVERLAY = "my-network-overlay"
GOOD = document(EXAMPLE, policy={"reserve_addresses": True})
CHANGED_S = 300
ELECTED_S = 40.0
"""A raft leader that leaves is handed over first; one that the others have to miss is replaced within some 15 s."""


def rejoining() -> str:
    """The example with another subnet for the bridge, to be brought about by leaving and coming back."""
    bridge = {"subnet": "172.22.16.0/20", "gateway": "172.22.16.1", "method": "rejoin"}
    return document(GOOD, cluster={"gwbridge": bridge})


def bridge_of(host: Host) -> str:
    config = json.loads(host.exec("docker", "network", "inspect", BRIDGE).stdout)[0]["IPAM"]["Config"][0]
    return f"{config['Subnet']} {config['Gateway']}"


def own_address(host: Host) -> str:
    """The address that the host itself has on the overlay."""
    ends = json.loads(host.exec("docker", "network", "inspect", OVERLAY).stdout)[0]["Containers"]
    return str(ends[f"lb-{OVERLAY}"]["IPv4Address"]).partition("/")[0]


def nodes(cluster: Cluster) -> dict[str, str]:
    """Node id -> what `docker node ls` says of it."""
    listed = cluster.lab.hosts[0].exec(
        "docker", "node", "ls", "--format", "{{.ID}} {{.Status}} {{.ManagerStatus}}"
    )
    return dict(line.split(" ", 1) for line in listed.stdout.splitlines())


def test_with_method_rejoin_every_host_leaves_comes_back_with_its_addresses_and_the_quorum_is_never_lost(
    cluster: Cluster,
) -> None:
    cluster.wait_converged(cluster.put(GOOD))
    before, replicas = nodes(cluster), {each.name for each in cluster.containers()}
    addresses = cluster.addresses(OVERLAY)
    assert addresses.keys() == replicas
    with QuorumWatch(*cluster.lab.hosts) as watch:
        cluster.wait_converged(cluster.put(rejoining()), CHANGED_S)

    assert {bridge_of(host) for host in cluster.lab.hosts} == {"172.22.16.0/20 172.22.16.1"}

    def old_records_are_gone() -> None:
        # A node that left is called Down some 14 s later, and its record goes then.
        assert len(nodes(cluster)) == len(before) == 3

    eventually(old_records_are_gone, 90, "the records of the old nodes are removed")
    after = nodes(cluster)
    assert not set(after) & set(before)
    assert all(
        said.startswith("Ready") and said.split()[-1] in ("Leader", "Reachable") for said in after.values()
    )
    assert {each.name for each in cluster.containers() if each.status == "running"} == replicas
    now, own = cluster.addresses(OVERLAY), {own_address(host) for host in cluster.lab.hosts}
    # The swarm gives a host that joins again the lowest free address, which may be the one that a replica had.
    assert {name for name, address in now.items() if address != addresses[name]} == {
        name for name, address in addresses.items() if address in own
    }
    print(f"\n{watch}")
    assert watch.answers
    assert watch.lost == []
    assert watch.longest_gap_s < ELECTED_S, str(watch)
