"""A first leader whose port 2377 another process has: it cannot create the swarm, so a manager that can creates it."""

from functools import partial

import pytest

from integration.cluster import EXAMPLE, UNIT, Cluster
from integration.lab.eventually import eventually
from integration.lab.host import Host
from integration.test_main_job import swarm_ids
from integration.test_roles import check_managers

pytestmark = pytest.mark.every_base

FIRST, OTHERS = "node-231", ("node-232", "node-233")
TAKER = "taker-of-2377"
LISTEN = "import signal, socket; taken = socket.create_server(('', 2377)); signal.pause()"
LED_S, MADE_S, JOINED_S = 30, 90, 120


def take_port(host: Host) -> None:
    """Let a process of somebody else listen on port 2377; it listens on return."""
    host.exec("systemd-run", "--unit", TAKER, "python3", "-c", LISTEN)
    taken = partial(host.exec, "ss", "--no-header", "--listening", "--tcp", "sport = :2377")
    eventually(lambda: bool(taken().stdout), LED_S, "the port is taken")


def swarm_state(host: Host) -> str:
    return str(host.docker.api.info()["Swarm"]["LocalNodeState"])


def test_another_manager_creates_the_swarm_and_the_first_leader_joins_it_once_its_port_is_free(
    first_boot: Cluster,
) -> None:
    cluster, first = first_boot, first_boot.lab[FIRST]
    others = [cluster.lab[name] for name in OTHERS]
    take_port(first)
    revision = cluster.put(EXAMPLE)
    first.systemctl("start", UNIT)

    def has_tried() -> None:
        assert (cluster.get("swarm") or {})["claimed_by"] == FIRST
        assert "address already in use" in str(cluster.status(first)["blocked"]), cluster.status(first)

    eventually(has_tried, LED_S, f"{FIRST} has the claim and says why it cannot create the swarm")
    for host in others:
        host.systemctl("start", UNIT)

    def is_made() -> None:
        record = cluster.get("swarm") or {}
        assert record["swarm_id"], record
        assert record["claimed_by"] in OTHERS

    eventually(is_made, MADE_S, "another manager creates the swarm")
    assert (cluster.get("leader") or {})["host"] in OTHERS
    for host in others:
        eventually(
            partial(cluster.check_converged, host, revision), JOINED_S, f"{host.name} works without {FIRST}"
        )
    assert swarm_state(first) != "active"
    (swarm_id,) = {host.docker.api.info()["Swarm"]["Cluster"]["ID"] for host in others}

    first.systemctl("stop", TAKER)
    cluster.wait_converged(revision, JOINED_S)
    assert swarm_ids(cluster.lab) == {swarm_id}
    check_managers(cluster, {FIRST, *OTHERS})
    # A join that fails for the port would leave a record without a name.
    assert len(first.docker.api.nodes()) == len(cluster.lab.hosts)
    cluster.time_swarm()
