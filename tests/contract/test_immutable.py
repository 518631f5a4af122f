"""A document that changes what Docker cannot change, on a real dockerd: nothing is lost, and it is said."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

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
def host(dockerd: DockerDaemon, tmp_path: Path) -> Iterator[OneHost]:
    scene, made = DockerScene(dockerd), OneHost(dockerd, tmp_path)
    put(made)
    made.settle()
    yield made
    scene.clean()
    scene.close()
    made.close()


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
