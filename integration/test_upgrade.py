"""From Debian 12 to 13, one host after the other: engine, etcd, python and the package change, the swarm does not."""

import os
from collections.abc import Iterator
from functools import partial

import pytest

from integration.cluster import EXAMPLE, REPLICAS, UNIT, Cluster, package
from integration.conftest import session_name
from integration.journals import check_journals
from integration.lab.base import DEBIAN_13, MACHINE
from integration.lab.eventually import eventually
from integration.lab.lab import Lab
from integration.test_main_job import GOSSIP_S, whole_chain

CONVERGE_S = 120

pytestmark = pytest.mark.skipif(
    not os.environ.get("SWARMKEEPER_LONG"), reason="needs two bases: script/test --long"
)


@pytest.fixture
def older() -> Iterator[Cluster]:
    """The example document carried out on hosts of this machine's own distribution."""
    lab = Lab(session_name("-upgrade"), base=MACHINE.name)
    try:
        lab.up()
        cluster = Cluster(lab)
        cluster.install_and_start()
        yield cluster
        check_journals(lab)
    finally:
        lab.down()


def nodes(cluster: Cluster) -> dict[str, str]:
    """The swarm's nodes by host, as their ids."""
    listed = cluster.lab.hosts[0].docker.api.nodes()
    return {node["Description"]["Hostname"]: node["ID"] for node in listed}


def engines(cluster: Cluster) -> list[str]:
    return [host.docker.version()["Version"].split(".")[0] for host in cluster.lab.hosts]


def test_hosts_upgraded_one_by_one_stay_the_nodes_they_were_and_run_what_they_ran(older: Cluster) -> None:
    lab = older.lab
    revision = older.put(EXAMPLE)
    older.wait_converged(revision, CONVERGE_S)
    before = nodes(older)
    if "26" in engines(older):
        pytest.skip("this machine has the newer engine already")
    deb = package(DEBIAN_13.name)

    for number, host in enumerate(lab.hosts, start=1):
        others = {name: at for name, at in older.started().items() if not at.startswith(host.name)}
        host.reinstall(DEBIAN_13.name)
        lab.wait_etcd()
        older.install_on(host, deb)
        host.systemctl("start", UNIT)
        older.wait_converged(revision, CONVERGE_S)

        assert engines(older).count("26") == number
        assert nodes(older) == before
        assert {each.name: each.host for each in older.containers()} == REPLICAS
        assert {name: at for name, at in older.started().items() if not at.startswith(host.name)} == others
        bridge = host.docker.api.inspect_network("docker_gwbridge")
        assert bridge["IPAM"]["Config"] == [{"Subnet": "172.21.0.0/20", "Gateway": "172.21.0.1"}]
        for name in ("node-232", "node-233"):
            eventually(partial(whole_chain, lab, name), GOSSIP_S, f"the api on {name} reaches billing")
