"""What Docker cannot change on a volume or a network is reported, and holds no replica."""

from dataclasses import replace

import pytest

from agent.model.host_state import NetworkState, VolumeState
from agent.model.intent import NetworkIntent, VolumeIntent
from agent.planner.host.immutable import network_label_differences, volume_differences

VOLUME = VolumeIntent(
    key="data", name="prod_data", options=(("o", "addr=a,password=secret"),), labels=(("team", "shop"),)
)
FOUND = VolumeState(name="prod_data", options=VOLUME.options, labels=(*VOLUME.labels, ("com.docker.x", "1")))
NET = NetworkIntent(key="net", name="net", driver="bridge", labels=(("team", "shop"),))
SEEN = NetworkState(
    id="1", name="net", driver="bridge", scope="local", subnet=None, gateway=None, ours=True,
    labels=(("io.swarmkeeper.cluster", "prod"), ("team", "shop")),
)  # fmt: skip


def test_a_volume_as_declared_has_no_difference() -> None:
    assert volume_differences(VOLUME, FOUND) == ()


@pytest.mark.parametrize(
    ("found", "said"),
    [
        (replace(FOUND, driver="nfs"), "driver: local wanted, nfs found"),
        (replace(FOUND, options=()), "driver_opts.o: the declared value wanted, nothing found"),
        (replace(FOUND, options=(("o", "x"),)), "driver_opts.o: the declared value wanted, another value found"),
        (replace(FOUND, options=(*FOUND.options, ("type", "nfs"))),
         "driver_opts.type: nothing wanted, another value found"),
        (replace(FOUND, labels=()), "labels.team: 'shop' wanted, nothing found"),
        (replace(FOUND, labels=(("team", "x"),)), "labels.team: 'shop' wanted, 'x' found"),
    ],
)  # fmt: skip
def test_each_field_of_a_volume_is_compared_and_no_option_shown(found: VolumeState, said: str) -> None:
    (difference,) = volume_differences(VOLUME, found)
    assert str(difference) == said


def test_external_volumes_and_networks_are_used_as_they_are() -> None:
    assert volume_differences(replace(VOLUME, external=True), replace(FOUND, driver="nfs")) == ()
    assert network_label_differences(replace(NET, external=True), replace(SEEN, labels=())) == ()


def test_a_label_that_is_left_is_told_of_our_networks_only() -> None:
    bare = replace(NET, labels=())
    assert [str(each) for each in network_label_differences(bare, SEEN)] == [
        "labels.team: nothing wanted, shop found"
    ]
    assert network_label_differences(bare, replace(SEEN, ours=False)) == ()
    assert network_label_differences(NET, SEEN) == ()
