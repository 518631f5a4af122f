"""A document that changes what Docker cannot change, on a real dockerd: nothing is lost, and it is said."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from agent.clients.docker import DockerEngine
from agent.errors import Conflict
from agent.model.intent import NetworkIntent
from tests.contract.engines import DockerScene
from tests.contract.one_host import OneHost
from tests.support.docker_daemon import BARE, DockerDaemon

SERVICE = {
    "image": BARE,
    "command": ["sleep", "1000"],
    "stop_signal": "KILL",
    "volumes": ["data:/data"],
    "networks": ["net"],
}
VOLUME = {"driver_opts": {"type": "tmpfs", "device": "tmpfs", "o": "size=1m"}, "labels": {"team": "shop"}}
NET = {"driver": "bridge", "ipam": {"config": [{"subnet": "10.20.0.0/24"}]}, "labels": {"team": "shop"}}


@pytest.fixture
def bare_host(dockerd: DockerDaemon, tmp_path: Path) -> Iterator[OneHost]:
    scene, made = DockerScene(dockerd), OneHost(dockerd, tmp_path)
    yield made
    scene.clean()
    scene.close()
    made.close()


@pytest.fixture
def host(bare_host: OneHost) -> OneHost:
    put(bare_host)
    bare_host.settle()
    return bare_host


def put(host: OneHost, volume: Any = VOLUME, net: Any = NET) -> None:
    host.put({"db": SERVICE}, volumes={"data": volume}, networks={"net": net})


@pytest.mark.parametrize(
    ("volume", "net", "said"),
    [
        ({**VOLUME, "driver_opts": {**VOLUME["driver_opts"], "o": "size=2m"}}, NET,
         "volume/prod_data: driver_opts.o: the declared value wanted, another value found"),
        ({**VOLUME, "labels": {"team": "shop", "tier": "1"}}, NET,
         "volume/prod_data: labels.tier: '1' wanted, nothing found"),
        (VOLUME, {**NET, "labels": {"team": "shop", "tier": "1"}},
         "network/prod_net: labels.tier: '1' wanted, nothing found"),
        (VOLUME, {**NET, "labels": {}}, "network/prod_net: labels.team: nothing wanted, shop found"),
    ],
    ids=["driver_opts", "label of a volume", "label of a network", "label removed"],
)  # fmt: skip
def test_what_docker_cannot_change_is_said_until_it_is_put_back(
    host: OneHost, volume: Any, net: Any, said: str
) -> None:
    before = host.inspected("prod-db-1")["Id"]
    assert not host.plan.blocked

    put(host, volume, net)
    host.settle()

    (blocked,) = host.plan.blocked
    assert (f"{blocked.resource}: {blocked.reason}").startswith(said)
    assert blocked.kind == "unsupported"
    assert host.inspected("prod-db-1")["Id"] == before
    assert host.status().revision < host.verdict_revision()
    put(host)
    host.settle()
    assert not host.plan.blocked


def test_a_new_replica_starts_all_the_same(host: OneHost) -> None:
    """Its volume and its network are there, and only their labels differ."""
    net = {**NET, "labels": {"tier": "1"}}
    host.put(
        {"db": {**SERVICE, "environment": {"A": "1"}}, "more": SERVICE},
        volumes={"data": {**VOLUME, "labels": {"tier": "1"}}},
        networks={"net": net},
    )
    host.settle()

    assert host.containers() == ["prod-db-1", "prod-more-1"]
    assert {each.status for each in host.status().replicas} == {"running"}
    assert len(host.plan.blocked) == 2


def test_a_bridge_of_others_with_the_name_of_ours_is_not_used(
    bare_host: OneHost, dockerd: DockerDaemon
) -> None:
    bare_host.docker("network", "create", "--subnet", "10.30.0.0/24", "prod_net")
    bare_host.put({"db": SERVICE}, volumes={"data": VOLUME}, networks={"net": {"driver": "bridge"}})
    bare_host.settle()

    blocked = {each.resource: each.kind for each in bare_host.plan.blocked}
    assert blocked == {"network/prod_net": "foreign", "container/prod-db-1": "foreign"}
    assert bare_host.containers() == []
    # One that comes between the look and the create is not taken for ours either.
    made = NetworkIntent(key="net", name="prod_net", driver="bridge")
    engine = DockerEngine(dockerd.url, 10.0, "prod")
    with pytest.raises(Conflict):
        engine.create_network(made)
    engine.close()

    bare_host.docker("network", "rm", "prod_net")
    bare_host.settle()
    assert bare_host.containers() == ["prod-db-1"]
    assert bare_host.plan.blocked == ()
