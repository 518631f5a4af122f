"""A swarm that locks its managers: in memory, and on a dockerd that is restarted. One story, in order."""

import contextlib
from collections.abc import Callable, Iterator
from ipaddress import IPv4Network
from pathlib import Path
from typing import NamedTuple

import pytest

from agent.clients.docker import DockerEngine, Engine
from agent.errors import Refused
from tests.contract.engines import CLUSTER
from tests.contract.pairs import KINDS
from tests.fakes.engine import FakeEngine
from tests.fakes.swarm import FakeLan
from tests.support.docker_daemon import ADDRESS, DockerDaemon, running
from tests.support.etcd_server import eventually

WRONG = "SWMKEY-1-AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
SOON_S = 30.0


class Manager(NamedTuple):
    """The only manager of a swarm, and how its dockerd is killed and started again."""

    engine: Engine
    restart: Callable[[], None]


@pytest.fixture(scope="module", params=KINDS)
def manager(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Manager]:
    with contextlib.ExitStack() as stack:
        if request.param == "in memory":
            fake = FakeEngine("host-1", ADDRESS, FakeLan(), CLUSTER)

            def restart() -> None:
                fake.go_down()
                fake.boot()

            found = Manager(fake, restart)
        else:
            daemon = DockerDaemon(tmp_path_factory.mktemp("autolock") / "dockerd")
            stack.enter_context(running(daemon))
            engine = stack.enter_context(contextlib.closing(DockerEngine(daemon.url, 10.0, CLUSTER)))

            def restart() -> None:
                daemon.kill()
                daemon.start()

            found = Manager(engine, restart)
        pool = (IPv4Network("10.200.0.0/16"),)
        found.engine.init_swarm(advertise=ADDRESS, pool=pool, mask_length=24, data_path_port=None)
        yield found


def local(manager: Manager) -> str:
    return manager.engine.info().swarm.local


def test_a_swarm_is_made_without_it(manager: Manager) -> None:
    assert manager.engine.info().swarm.autolock is False
    assert manager.engine.unlock_key() == ""


def test_turned_on_it_has_a_key_and_the_same_one_when_it_is_turned_on_again(manager: Manager) -> None:
    manager.engine.set_autolock(True)
    key = manager.engine.unlock_key()
    manager.engine.set_autolock(True)

    assert key.startswith("SWMKEY-1-")
    assert manager.engine.unlock_key() == key
    assert manager.engine.info().swarm.autolock is True


def test_a_manager_that_was_restarted_is_locked_and_unlocked_with_the_key_alone(
    manager: Manager, tmp_path: Path
) -> None:
    key = manager.engine.unlock_key()
    node_id = manager.engine.info().swarm.node_id
    manager.restart()
    eventually(lambda: local(manager) == "locked", SOON_S)
    with pytest.raises(Refused, match="encrypted"):
        manager.engine.unlock_key()
    for keys in ([], [WRONG], ["nonsense"]):
        with pytest.raises(Refused) as refused:
            manager.engine.unlock_swarm(keys)
        assert not any(each in str(refused.value) for each in keys), "what was tried is not said again"
    assert local(manager) == "locked"

    manager.engine.unlock_swarm([WRONG, key])

    eventually(lambda: manager.engine.info().swarm.is_manager, SOON_S)
    assert manager.engine.info().swarm.node_id == node_id
    assert manager.engine.unlock_key() == key
    manager.engine.unlock_swarm([key])


def test_turned_off_it_locks_nobody_any_more(manager: Manager) -> None:
    manager.engine.set_autolock(False)
    assert manager.engine.unlock_key() == ""
    eventually(lambda: manager.engine.info().swarm.autolock is False, SOON_S)
