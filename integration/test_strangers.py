"""Objects of others under names of the document: their host alone waits and names them; nothing of theirs is used."""

import os
import random
from functools import partial

import pytest

from integration.cluster import EXAMPLE, UNIT, Cluster, running_on
from integration.lab.eventually import eventually
from integration.strangers.kinds import KINDS
from integration.strangers.trial import Trial

LONG = bool(os.environ.get("SWARMKEEPER_LONG"))
SEED = int(os.environ.get("SWARMKEEPER_SEED", "0")) or random.SystemRandom().randrange(1, 10**6)
ROUNDS = 40 if LONG else 5

NET = "my-network-overlay"
WITH_BRIDGE = "node-232"
OTHERS = ("node-231", "node-233")


def bridge_of(cluster: Cluster) -> dict[str, object]:
    found = cluster.lab[WITH_BRIDGE].docker.api.networks(filters={"driver": "bridge"})
    (bridge,) = [each for each in found if each["Name"] == NET]
    return {key: bridge[key] for key in ("Id", "Options", "IPAM", "Created")}


def networks_of(cluster: Cluster, name: str) -> set[str]:
    """Ids of the networks of our replicas on a host."""
    api = cluster.lab[name].docker.api
    seen = [api.inspect_container(each.id) for each in running_on(cluster.lab[name])]
    return {end["NetworkID"] for raw in seen for end in raw["NetworkSettings"]["Networks"].values()}


def waits_and_names_it(cluster: Cluster, bridge: str) -> None:
    host = cluster.lab[WITH_BRIDGE]
    blocked = {each["resource"]: each["reason"] for each in cluster.status(host)["blocked"]}
    assert f"docker network rm {bridge[:12]}" in blocked[f"host/{WITH_BRIDGE}"]
    assert not list(running_on(host))


def runs(cluster: Cluster, name: str, count: int) -> None:
    assert len(list(running_on(cluster.lab[name]))) == count


@pytest.mark.parametrize("leader", [WITH_BRIDGE, "node-231"])
def test_only_its_host_waits_until_it_is_removed(fresh_cluster: Cluster, leader: str) -> None:
    cluster = fresh_cluster
    host = cluster.lab[WITH_BRIDGE]
    host.exec("docker", "network", "create", NET)
    bridge = bridge_of(cluster)
    revision = cluster.put(EXAMPLE)
    cluster.lab[leader].systemctl("start", UNIT)
    eventually(lambda: (cluster.get("leader") or {})["host"] == leader, 60, f"{leader} leads")
    cluster.start()

    eventually(partial(waits_and_names_it, cluster, str(bridge["Id"])), 120, "the host names the bridge")
    for name, count in zip(OTHERS, (3, 2), strict=True):
        eventually(partial(runs, cluster, name, count), 120, f"the replicas of {name} run")
    assert networks_of(cluster, OTHERS[0]) == networks_of(cluster, OTHERS[1])
    assert str(bridge["Id"]) not in networks_of(cluster, OTHERS[0])
    assert bridge_of(cluster) == bridge

    host.exec("docker", "network", "rm", str(bridge["Id"]))
    cluster.wait_converged(revision, 120)
    assert networks_of(cluster, WITH_BRIDGE) == networks_of(cluster, OTHERS[0])


@pytest.mark.timeout(ROUNDS * 60)
def test_strangers(cluster: Cluster) -> None:
    """Everything runs but what needs a stranger's place, and no stranger is used or touched."""
    print(f"SWARMKEEPER_SEED={SEED}")
    trial = Trial(cluster, SEED)
    trial.run(ROUNDS)
    print(trial.planted, trial.held)
    assert trial.held >= ROUNDS, trial.held
    assert len(trial.planted) >= len(KINDS) - 4, trial.planted
