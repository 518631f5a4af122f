"""A service changes a few replicas at a time, as users and operators see it on real hosts."""

import json
import os
import random
import re
import time
from collections.abc import Mapping
from functools import partial

import pytest

from integration.cluster import EXAMPLE, UNIT, Cluster, Running, running_on
from integration.conftest import LONG_ONLY
from integration.lab.eventually import eventually
from integration.lab.host import Host
from integration.test_main_job import GOSSIP_S, asks
from integration.watching.clients import PortSeen, knocking

LONG = bool(os.environ.get("SWARMKEEPER_LONG"))
KILLS = 30 if LONG else 3
SEED = int(os.environ.get("SWARMKEEPER_SEED", "0")) or random.SystemRandom().randrange(1, 10**6)
GOOD = EXAMPLE
IMAGE = "10.159.62.231/somecom/terminal"
PORT = 8095
SERVICE = """\
  shop:
    <<: *service
    image: {image}
    x-hosts: {hosts}
{ports}    deploy: {{update_config: {{{update}}}}}
"""
HOSTS = "[node-231, node-232, node-233]"
PUBLISHED = f'    ports: ["{PORT}:20880"]\n'
MONITOR_S = 3
CAREFUL = f"parallelism: 1, monitor: {MONITOR_S}s, failure_action: rollback"
START_FIRST = f"{CAREFUL}, order: start-first"
REPLICAS = ("prod-shop-1", "prod-shop-2", "prod-shop-3")
ROLL_S, CONVERGE_S = 120, 90


def document(tag: str, *, update: str = CAREFUL, ports: str = PUBLISHED, hosts: str = HOSTS) -> str:
    return GOOD + SERVICE.format(image=f"{IMAGE}:{tag}", update=update, ports=ports, hosts=hosts)


def shops(cluster: Cluster) -> dict[str, Running]:
    """Every container of the service, whatever it is called and does, by name."""
    found = cluster.containers(everything=True)
    return {each.name: each for each in found if each.name.startswith("prod-shop")}


def tags(cluster: Cluster) -> dict[str, str]:
    return {name: each.image.rpartition(":")[2] for name, each in shops(cluster).items()}


def identity(cluster: Cluster) -> Mapping[str, tuple[str, str]]:
    """What a replica loses that is touched: its container, and the moment it was started."""
    return {name: (each.id, each.started_at) for name, each in shops(cluster).items()}


def is_at(cluster: Cluster, tag: str) -> None:
    """AssertionError unless there are the three replicas and nothing else of the service, running, with that image."""
    assert tags(cluster) == dict.fromkeys(REPLICAS, tag)
    assert {each.status for each in shops(cluster).values()} == {"running"}


def begun(cluster: Cluster, **more: str) -> None:
    """The service runs at 1.0.0."""
    cluster.wait_converged(cluster.put(document("1.0.0", **more)), CONVERGE_S)
    is_at(cluster, "1.0.0")


def bad(cluster: Cluster) -> str:
    """An image whose program ends a moment after it has started; returns its tag."""
    cluster.lab.push("terminal", "bad", {"PORT": "none"})
    return "bad"


def overlapping(ports: Mapping[str, PortSeen]) -> list[tuple[str, str, float]]:
    """Pairs of ports that were away at the same time, and since when."""
    away = [(name, since, until) for name, each in ports.items() for since, until in each.refused]
    return [
        (one, other, max(since, begin))
        for index, (one, since, until) in enumerate(away)
        for other, begin, end in away[index + 1 :]
        if one != other and begin < until and since < end
    ]


def told(cluster: Cluster) -> str:
    """Reason and text of the rollout in the JSON of `swarmkeeper status`."""
    conditions = json.loads(cluster.command("status", "-o", "json").stdout)
    return "\n".join(
        f"{each['reason']}: {each['text']}" for each in conditions["rollouts"] if each["name"] == "shop"
    )


def leader(cluster: Cluster) -> Host:
    record = cluster.get("leader")
    assert record is not None
    return cluster.lab[str(record["host"])]


def ports(cluster: Cluster) -> list[str]:
    return [f"{host.address}:{PORT}" for host in cluster.lab.hosts]


def moved(plan: str) -> list[str]:
    """The replicas in the order in which a plan moves them."""
    text = [step["text"] for host in json.loads(plan)["hosts"] for step in host["steps"]]
    return re.findall(r"\((shop-\d) is moved\)", "\n".join(text))


def test_of_three_replicas_no_more_than_one_is_ever_away(cluster: Cluster) -> None:
    begun(cluster)
    cluster.lab.hosts[0].write("/tmp/newer.yaml", document("1.0.1"))
    assert moved(cluster.command("plan", "-o", "json", "/tmp/newer.yaml").stdout) == [
        "shop-1",
        "shop-2",
        "shop-3",
    ]
    with knocking(cluster.lab, ports(cluster)) as seen:
        revision = cluster.put(document("1.0.1"))
        eventually(lambda: told(cluster).startswith("Rollout: "), ROLL_S, "the status tells of the rollout")
        cluster.wait_converged(revision, ROLL_S)
    print(seen)
    is_at(cluster, "1.0.1")
    assert overlapping(seen.ports) == []
    assert all(each.answered for each in seen.ports.values())
    assert cluster.get("rollouts/shop") is None


def test_an_image_that_does_not_run_touches_one_replica_only_and_that_one_goes_back(cluster: Cluster) -> None:
    begun(cluster)
    before, tag = identity(cluster), bad(cluster)
    cluster.put(document(tag))
    eventually(
        lambda: told(cluster).startswith("RolledBack: "), ROLL_S, "the status says that it was rolled back"
    )
    eventually(partial(is_at, cluster, "1.0.0"), ROLL_S, "what ran before runs again")
    after = identity(cluster)
    print(told(cluster))
    assert {name for name in REPLICAS if after[name] != before[name]} == {"prod-shop-1"}


def test_the_rollout_goes_on_when_the_leader_is_killed_in_the_middle(cluster: Cluster) -> None:
    begun(cluster)
    first = cluster.get("leader")
    with knocking(cluster.lab, ports(cluster)) as seen:
        revision = cluster.put(document("1.0.1"))
        eventually(lambda: "1.0.1" in tags(cluster).values(), ROLL_S, "the first replica is moved")
        assert "1.0.0" in tags(cluster).values()
        leader(cluster).systemctl("kill", "--signal=KILL", UNIT)
        cluster.wait_converged(revision, ROLL_S)
    print(seen)
    is_at(cluster, "1.0.1")
    assert cluster.get("leader") != first
    assert overlapping(seen.ports) == []


def test_start_first_goes_back_from_an_image_that_does_not_run_without_touching_any_replica(
    cluster: Cluster,
) -> None:
    begun(cluster, update=START_FIRST, ports="")
    before, tag = identity(cluster), bad(cluster)
    cluster.put(document(tag, update=START_FIRST, ports=""))
    eventually(lambda: tag in tags(cluster).values(), ROLL_S, "the new image is tried")
    eventually(
        lambda: told(cluster).startswith("RolledBack: "), ROLL_S, "the status says that it was rolled back"
    )
    eventually(
        lambda: identity(cluster) == before, ROLL_S, "the containers that ran all the time are alone again"
    )


@LONG_ONLY
def test_start_first_stops_the_old_replica_when_the_new_one_has_been_well(cluster: Cluster) -> None:
    begun(cluster, update=START_FIRST, ports="")
    before = identity(cluster)
    moments = {host.name: host.exec("date", "+%s.%N").stdout.strip() for host in cluster.lab.hosts}
    cluster.wait_converged(cluster.put(document("1.0.1", update=START_FIRST, ports="")), ROLL_S)
    is_at(cluster, "1.0.1")
    for host, name in zip(cluster.lab.hosts, REPLICAS, strict=True):
        old, new = before[name][0], shops(cluster)[name].id
        both_s = happened(host, moments[host.name], "die", old) - happened(
            host, moments[host.name], "start", new
        )
        print(f"{name}: both ran for {both_s:.1f} s")
        assert both_s >= MONITOR_S
        eventually(
            partial(asks, host, name, f"http://{name}:20880/"), GOSSIP_S, f"{name} is found by its name"
        )


def happened(host: Host, since: str, what: str, container: str) -> float:
    """When something first happened to a container, in seconds."""
    until = host.exec("date", "+%s.%N").stdout.strip()
    listed = host.exec(
        "docker", "events", f"--since={since}", f"--until={until}", f"--filter=event={what}",
        f"--filter=container={container}", "--format={{.TimeNano}}",
    ).stdout.split()  # fmt: skip
    return int(listed[0]) / 1e9


@pytest.mark.timeout(1800)
def test_an_agent_killed_at_any_moment_of_a_replacement_leaves_one_container(cluster: Cluster) -> None:
    """On one host, whose agent does not lead, by turns stop-first and start-first."""
    chance = random.Random(SEED)
    host = next(each for each in cluster.lab.hosts if each is not leader(cluster))
    cluster.wait_converged(cluster.put(solo(host, 0)), CONVERGE_S)
    others = {each.id for each in running_on(host, everything=True)} - {
        each.id for each in shops(cluster).values()
    }
    print(f"\nseed {SEED} (SWARMKEEPER_SEED)")
    for turn in range(1, KILLS + 1):
        wait_s = round(chance.uniform(0, 5), 2)
        revision = cluster.put(solo(host, turn))
        time.sleep(wait_s)  # a moment is what is asked for
        midst = sorted(tags(cluster).items())
        host.systemctl("kill", "--signal=KILL", UNIT)
        print(f"{turn}: killed after {wait_s} s, at {midst}")
        cluster.wait_converged(revision, CONVERGE_S)
        assert tags(cluster) == {"prod-shop-1": f"1.0.{turn % 2}"}
        found = {each.id for each in running_on(host, everything=True)}
        assert found == others | {shops(cluster)["prod-shop-1"].id}


def solo(host: Host, turn: int) -> str:
    """The service with one replica; each document has another image than the one before."""
    order = ("stop-first", "start-first")[turn // 2 % 2]
    return document(
        f"1.0.{turn % 2}", update=f"monitor: 1s, order: {order}", ports="", hosts=f"[{host.name}]"
    )
