"""What is changed by hand is seen, named and put right; what is not ours is never touched."""

from collections.abc import Callable
from functools import partial

import pytest

from integration.cluster import Cluster, Running, running_on
from integration.lab.eventually import eventually
from integration.lab.host import Host

pytestmark = pytest.mark.every_base

HEAL_S = 20

ByHand = Callable[[Host], object]
NAME = "prod-order-1"
CHANGES: dict[str, ByHand] = {
    "killed": lambda host: host.exec("docker", "kill", NAME),
    "stopped": lambda host: host.exec("docker", "stop", NAME),
    "paused": lambda host: host.exec("docker", "pause", NAME),
    "removed": lambda host: host.exec("docker", "rm", "-f", NAME),
    "taken off the overlay": lambda host: host.exec(
        "docker", "network", "disconnect", "my-network-overlay", NAME
    ),
    "told another restart policy": lambda host: host.exec("docker", "update", "--restart=no", NAME),
}
IN_PLACE = {"paused", "taken off the overlay", "told another restart policy", "stopped", "killed"}


def the_replica(host: Host) -> Running:
    found = {each.name: each for each in running_on(host, everything=True)}
    return found[NAME]


def drift_detected(cluster: Cluster, host: Host) -> float:
    series = cluster.metrics(host).items()
    return sum(value for name, value in series if name.startswith("swarmkeeper_drift_detected_total"))


def healed(cluster: Cluster, host: Host) -> None:
    cluster.check_converged(host, int((cluster.get("accepted") or {})["revision"]))
    replica = the_replica(host)
    assert replica.status == "running", replica
    seen = host.docker.api.inspect_container(replica.id)
    assert list(seen["NetworkSettings"]["Networks"]) == ["my-network-overlay"]
    assert "order" in seen["NetworkSettings"]["Networks"]["my-network-overlay"]["Aliases"]
    assert seen["HostConfig"]["RestartPolicy"]["Name"] == "always"
    assert not any(
        value for name, value in cluster.metrics(host).items() if name.startswith("swarmkeeper_drift{")
    )


@pytest.mark.parametrize("change", CHANGES)
def test_a_replica_changed_by_hand_raises_drift_and_heals(cluster: Cluster, change: str) -> None:
    host = cluster.lab["node-231"]
    others = {name: at for name, at in cluster.started().items() if name != NAME}
    before, drifts = the_replica(host), drift_detected(cluster, host)
    CHANGES[change](host)
    eventually(lambda: drift_detected(cluster, host) > drifts, HEAL_S, f"drift is seen after it was {change}")
    eventually(partial(healed, cluster, host), HEAL_S, f"{NAME} is as it was before it was {change}")
    assert (the_replica(host).id == before.id) == (change in IN_PLACE)
    assert {name: at for name, at in cluster.started().items() if name != NAME} == others


def test_a_replica_renamed_while_the_agent_was_away_gets_its_name_back(cluster: Cluster) -> None:
    host, before = cluster.lab["node-231"], the_replica(cluster.lab["node-231"])
    host.systemctl("stop", "swarmkeeper")
    host.exec("docker", "stop", NAME)  # engine 20.10 renames no running container that is on an overlay
    host.exec("docker", "rename", NAME, "mine-now")
    host.systemctl("start", "swarmkeeper")
    eventually(partial(healed, cluster, host), HEAL_S, "it has its name and runs")
    assert the_replica(host).id == before.id


def test_a_replica_recreated_by_hand_with_other_settings_is_replaced_field_by_field_named(
    cluster: Cluster,
) -> None:
    host = cluster.lab["node-231"]
    found = host.docker.api.inspect_container(NAME)
    labels = [f"--label={key}={value}" for key, value in found["Config"]["Labels"].items()]
    host.exec("docker", "rm", "-f", NAME)
    host.exec("docker", "run", "-d", "--name", NAME, *labels, "--network", "my-network-overlay", "--network-alias",
              "order", "--restart", "always", "-e", "MINE=1", "-v", "/tmp:/mine", found["Config"]["Image"],
              check=False)  # fmt: skip
    eventually(partial(healed, cluster, host), HEAL_S, "the replica is ours again")
    seen = host.docker.api.inspect_container(NAME)
    assert "MINE=1" not in (seen["Config"]["Env"] or [])
    assert not seen["Mounts"]


def test_what_is_not_ours_is_never_touched(cluster: Cluster) -> None:
    host = cluster.lab["node-231"]
    image = the_replica(host).image
    run = ("docker", "run", "-d", "--network", "my-network-overlay")
    host.exec(*run, "--name", "theirs", image)
    host.exec(*run, "--name", "prod-order-9", image)
    host.exec("docker", "network", "create", "theirs")
    host.exec("docker", "volume", "create", "theirs")
    before = {each.id for each in running_on(host) if each.name in ("theirs", "prod-order-9")}
    host.exec("docker", "rm", "-f", NAME)
    eventually(partial(healed, cluster, host), HEAL_S, "our replica is back")
    assert {each.id for each in running_on(host) if each.name in ("theirs", "prod-order-9")} == before
    assert "theirs" in host.exec("docker", "network", "ls").stdout
    assert "theirs" in host.exec("docker", "volume", "ls").stdout
    host.exec("docker", "rm", "-f", "theirs", "prod-order-9")
    host.exec("docker", "network", "rm", "theirs")
    host.exec("docker", "volume", "rm", "theirs")
