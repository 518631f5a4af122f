"""What real dockerds report when their membership was taken from them: the leader's membership orders rely on it."""

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from ipaddress import IPv4Network
from typing import NamedTuple

import pytest

from agent.clients.docker import DockerEngine
from agent.clients.docker.swarm import node_certificate
from agent.errors import Refused, SwarmkeeperError, Unreachable
from tests.contract.engines import CLUSTER
from tests.contract.pairs import OTHER, ask
from tests.support.docker_daemon import ADDRESS, DockerDaemon, running
from tests.support.etcd_server import eventually

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="starts dockerds")

POOL = (IPv4Network("10.200.0.0/16"),)
FIRST = f"{ADDRESS}:2377"
JOIN_S = 60.0


class Two(NamedTuple):
    """A manager and its worker, each with its dockerd."""

    manager: DockerEngine
    worker: DockerEngine
    managers: DockerDaemon
    workers: DockerDaemon

    def join(self) -> None:
        self.worker.join_swarm(advertise=OTHER, remotes=[FIRST], token=self.manager.swarm_tokens().worker)

    def remove_by_force(self, node_id: str) -> None:
        """`docker node rm --force`."""
        with contextlib.closing(self.managers.client()) as hands:
            hands.remove_node(node_id, force=True)


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Two]:
    with contextlib.ExitStack() as stack:
        daemons = [DockerDaemon(tmp_path_factory.mktemp("lost"), address=each) for each in (ADDRESS, OTHER)]
        for each in daemons:
            stack.enter_context(running(each))
        daemons[0].link_to(daemons[1])
        engines = [
            stack.enter_context(contextlib.closing(DockerEngine(each.url, 10.0, CLUSTER))) for each in daemons
        ]
        engines[0].init_swarm(advertise=ADDRESS, pool=POOL, mask_length=24, data_path_port=None)
        yield Two(engines[0], engines[1], daemons[0], daemons[1])


@pytest.fixture
def joined(two: Two) -> Two:
    if two.worker.info().swarm.local != "active":
        two.join()
    return two


def test_the_certificate_of_a_worker_says_which_swarm_it_is_in(joined: Two) -> None:
    manager, worker = joined.manager.info(), joined.worker.info()
    assert worker.swarm.swarm_id is None
    found = node_certificate(worker.root)
    assert found is not None
    assert (found.swarm_id, found.node_id) == (manager.swarm.swarm_id, worker.swarm.node_id)


def test_a_worker_removed_by_force_calls_itself_active_and_leaves_without_force(joined: Two) -> None:
    node_id = joined.worker.info().swarm.node_id
    assert node_id
    joined.remove_by_force(node_id)
    assert not joined.manager.has_node(node_id)
    said = joined.worker.info().swarm
    assert (said.local, said.error, said.node_id) == ("active", "", node_id)
    joined.worker.leave_swarm()
    assert joined.worker.info().swarm.local == "inactive"


def test_a_manager_without_a_majority_does_not_say_that_a_node_is_unknown(joined: Two) -> None:
    """One that was cut off a moment ago still lists what it knew."""
    worker = joined.worker.info().swarm.node_id
    assert worker
    ask(joined.manager, worker, role="manager")
    eventually(lambda: joined.worker.info().swarm.is_manager, JOIN_S, "the worker is a manager")
    joined.workers.freeze()
    try:
        assert joined.manager.nodes()
        with pytest.raises(SwarmkeeperError):
            joined.manager.has_node("0" * 25)
    finally:
        joined.workers.thaw()
    eventually(lambda: not _is_leaderless(joined.manager), JOIN_S, "the managers agree again")
    assert not joined.manager.has_node("0" * 25)
    ask(joined.manager, worker, role="worker")
    eventually(lambda: not joined.worker.info().swarm.is_manager, JOIN_S, "it is a worker again")


def _is_leaderless(engine: DockerEngine) -> bool:
    try:
        return not engine.nodes()
    except (Unreachable, Refused):
        return True


def test_a_join_that_nobody_answers_goes_on_in_the_background(joined: Two) -> None:
    joined.worker.leave_swarm()
    token = joined.manager.swarm_tokens().worker
    joined.managers.freeze()
    try:
        with pytest.raises(Unreachable, match="continue in the background"):
            joined.worker.join_swarm(advertise=OTHER, remotes=[FIRST], token=token)
        said = joined.worker.info().swarm
        assert (said.local, said.node_id) == ("pending", None)
    finally:
        joined.managers.thaw()
    eventually(lambda: joined.worker.info().swarm.local != "pending", JOIN_S, "it has come to an end")
    if joined.worker.info().swarm.local == "error":
        joined.worker.leave_swarm()
        joined.join()
    assert joined.worker.info().swarm.local == "active"


def test_a_dockerd_that_is_ending_is_not_taken_for_one_outside(joined: Two) -> None:
    assert joined.worker.info().swarm.local == "active"
    os.kill(joined.workers.pid, signal.SIGTERM)
    states, ends = set(), time.monotonic() + 20.0
    while time.monotonic() < ends:
        try:
            states.add(joined.worker.info().swarm.local)
        except Unreachable:
            break
    assert states <= {"active"}
    with contextlib.suppress(subprocess.SubprocessError):
        joined.workers.kill()
