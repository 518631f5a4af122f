"""An overlay that the swarm has recreated, and that one dockerd has kept: what it answers, and what ends it."""

import contextlib
from collections.abc import Iterator
from typing import NamedTuple

import pytest

from agent.clients.docker import DockerEngine
from agent.diff.container import CREATION
from agent.errors import Conflict, Refused, SwarmkeeperError, Unreachable
from agent.model.host_state import NetworkState
from tests.contract.engines import CLUSTER, checks_names
from tests.contract.pairs import OTHER
from tests.contract.test_overlays import MOVED, NET, SPEC, ours, run, start
from tests.support.attachments import end_attachment
from tests.support.docker_daemon import ADDRESS, DockerDaemon, load_images, running
from tests.support.etcd_server import eventually

NO_START = "does not belong to any|after successful attachment|no configured subnet or ip-range contain"


class Scene(NamedTuple):
    """A manager that made the overlay anew, and a host that has kept the earlier one, with a container on it."""

    first: DockerEngine
    second: DockerEngine
    is_manager: bool
    old: NetworkState
    container: str

    def kept(self) -> list[NetworkState]:
        return [each for each in self.second.networks() if each.id == self.old.id]

    def new(self) -> NetworkState:
        return next(each for each in self.first.networks() if each.name == NET.name)

    def remove_kept(self) -> None:
        self.second.remove_leftover(self.old.id, NET.name, dict(self.old.labels)[CREATION])


@pytest.fixture(params=["manager", "worker"])
def scene(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    home = tmp_path_factory.mktemp("kept")
    with contextlib.ExitStack() as stack:
        daemons = [DockerDaemon(home / address, address=address) for address in (ADDRESS, OTHER)]
        for each in daemons:
            stack.enter_context(running(each))
            load_images(each)
        daemons[0].link_to(daemons[1])
        first, second = (
            stack.enter_context(contextlib.closing(DockerEngine(each.url, 10.0, CLUSTER))) for each in daemons
        )
        first.init_swarm(advertise=ADDRESS, pool=(), mask_length=24, data_path_port=None)
        tokens, is_manager = first.swarm_tokens(), request.param == "manager"
        token = tokens.manager if is_manager else tokens.worker
        second.join_swarm(advertise=OTHER, remotes=[f"{ADDRESS}:2377"], token=token)
        eventually(lambda: len(first.nodes()) == 2 and (not is_manager or len(second.nodes()) == 2), 20.0)
        first.create_network(NET)
        made = run(second, 1)
        old = next(each for each in first.networks() if each.name == NET.name)

        with contextlib.closing(daemons[0].client()) as client:
            (task,) = client.tasks(filters={"runtime": ["attachment"]})  # type: ignore[no-untyped-call]
        end_attachment(daemons[1], f"{ADDRESS}:2377", task["ID"])
        first.remove_network(old.id)
        first.create_network(MOVED)
        yield Scene(first, second, is_manager, old, made)


def test_it_is_told_from_the_overlay_of_the_swarm_and_no_container_starts_until_it_is_removed(
    scene: Scene,
) -> None:
    second, new = scene.second, scene.new()
    (kept,) = scene.kept()
    assert kept.left_behind == scene.is_manager
    assert not any(each.left_behind for each in second.networks() if each.id != kept.id)
    assert dict(kept.labels)[CREATION] == dict(scene.old.labels)[CREATION] != dict(new.labels)[CREATION]
    assert [dict(each.network_ids) for each in ours(second)] == [{NET.name: kept.id}]

    with pytest.raises((Unreachable, Refused)):
        second.remove_network(kept.id)
    with pytest.raises(Conflict, match="is in use by"):
        scene.remove_kept()
    assert [each.status for each in ours(second)] == ["running"]

    second.stop(scene.container, 0.0)
    second.disconnect(scene.container, kept.id)
    second.connect(scene.container, SPEC.networks[0], ("x",))
    with pytest.raises(SwarmkeeperError, match=NO_START):
        second.start(scene.container)
    assert scene.kept() == [kept]

    scene.remove_kept()
    assert scene.kept() == []
    scene.remove_kept()
    # The failed start keeps the address that it was given (docs/engine-quirks.md).
    second.disconnect(scene.container, NET.name)
    second.connect(scene.container, SPEC.networks[0], ("x",))
    start(second, scene.container)
    assert [dict(each.network_ids) for each in ours(second)] == [{NET.name: new.id}]
    assert scene.new() == new


@pytest.mark.parametrize("scene", ["manager"], indirect=True)
def test_the_overlay_is_recreated_on_a_host_that_has_kept_an_earlier_one(scene: Scene) -> None:
    before = scene.new()
    scene.second.remove_network(before.id)
    if checks_names(scene.second):
        with pytest.raises(Conflict, match="already exists"):
            scene.second.create_network(NET)
        scene.first.create_network(NET)
    else:
        scene.second.create_network(NET)

    assert scene.new().id not in (before.id, scene.old.id)
    assert [each.left_behind for each in scene.kept()] == [True]
