"""Every change by hand to a replica is seen after its event alone, without an inspect of the others."""

import threading
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from dataclasses import replace

import docker
import pytest

from agent.clients.docker import DockerEngine, EngineEvents
from agent.diff.container import FillContext, create_request
from agent.errors import Unreachable
from agent.model.host_state import ContainerState
from agent.model.records import Replica
from agent.model.spec import ContainerSpec, Healthcheck, Restart, spec_hash
from tests.contract.engines import CLUSTER, DockerScene
from tests.support.docker_daemon import BARE, DockerDaemon
from tests.support.etcd_server import eventually

WITHIN_S = 20.0
NAME, OTHER, NET = "prod-order-1", "prod-order-2", "extra"
SPEC = ContainerSpec(image=BARE, command=("sleep", "1000"), stop_signal="SIGKILL")
RESTARTED = replace(SPEC, restart=Restart(name="always"), command=("sh", "-c", "sleep 0.5; false"))
CHECKED = replace(
    SPEC, healthcheck=Healthcheck(test=("CMD-SHELL", "test -e /tmp/well"), interval_s=1.0, retries=1)
)
BROKEN = replace(SPEC, command=("/no/such/program",))


def _context(replica: Replica) -> FillContext:
    return FillContext(host="host-1", service=replica.service, slot=replica.slot)


class Seen:
    """Two replicas, the engine of an agent that listens to events, and one that inspects everything each time."""

    def __init__(self, dockerd: DockerDaemon) -> None:
        self.scene = DockerScene(dockerd)
        self.hands: docker.APIClient = dockerd.client()
        self.inspects = 0
        self.engine = DockerEngine(dockerd.url, 10.0, CLUSTER, self._called)
        self._specs: dict[str, ContainerSpec] = {}
        self.events: EngineEvents | None = None
        self._listener = threading.Thread(target=self._listen)

    def subscribe(self, *, reads: bool = True) -> None:
        """Open the stream of events; `reads` is False if every event is lost on the way."""
        self.events = self.engine.events()
        if reads:
            self._listener = threading.Thread(target=self._listen)
            self._listener.start()

    def lose(self) -> None:
        """End the stream, as an agent does that reconnects."""
        if self.events is not None:
            self.events.close()
        if self._listener.ident is not None:
            self._listener.join(WITHIN_S)

    def _called(self, call: str, _seconds: float, _error: str | None) -> None:
        self.inspects += call == "container_inspect"

    def _listen(self) -> None:
        assert self.events is not None
        with suppress(Unreachable):
            for _ in self.events:
                pass

    def run(self, spec: ContainerSpec) -> None:
        """Create both; the second one is not touched afterwards."""
        for slot, each in ((1, spec), (2, SPEC)):
            self._specs[spec_hash(each)] = each
            replica = Replica(service="order", slot=slot, spec=spec_hash(each))
            name = f"prod-order-{slot}"
            made = self.engine.create_container(
                create_request(each, replica, project="prod", cluster=CLUSTER, name=name)
            )
            if each is not BROKEN:
                self.engine.start(made)

    def look(self, *, inspect_all: bool = False) -> tuple[ContainerState, ...]:
        return self.engine.containers(self._specs, _context, inspect_all=inspect_all).ours

    def truth(self) -> tuple[ContainerState, ...]:
        return self.scene.engine.containers(self._specs, _context, inspect_all=True).ours

    def close(self) -> None:
        self.lose()
        self.engine.close()
        self.hands.close()
        self.scene.clean()
        self.scene.close()


@pytest.fixture
def seen(dockerd: DockerDaemon) -> Iterator[Seen]:
    with closing(Seen(dockerd)) as seen:
        yield seen


def _start_in_vain(hands: docker.APIClient) -> None:
    with suppress(docker.errors.APIError):
        hands.start(NAME)


def _reconnect(hands: docker.APIClient) -> None:
    hands.connect_container_to_network(NAME, NET)
    hands.disconnect_container_from_network(NAME, "bridge")


def _get_well(hands: docker.APIClient) -> None:
    made = hands.exec_create(NAME, ["sh", "-c", "echo > /tmp/well"])
    hands.exec_start(made["Id"])


CHANGES: dict[str, tuple[ContainerSpec, Callable[[docker.APIClient], object]]] = {
    "kill": (SPEC, lambda hands: hands.kill(NAME)),
    "stop": (SPEC, lambda hands: hands.stop(NAME, timeout=1)),
    "restart": (SPEC, lambda hands: hands.restart(NAME, timeout=1)),
    "pause": (SPEC, lambda hands: hands.pause(NAME)),
    "rename": (SPEC, lambda hands: hands.rename(NAME, "another")),
    "update": (SPEC, lambda hands: hands.update_container(NAME, cpu_shares=512)),
    "update of the restart policy": (
        SPEC,
        lambda hands: hands.update_container(NAME, restart_policy={"Name": "always"}),
    ),
    "connect": (SPEC, lambda hands: hands.connect_container_to_network(NAME, NET)),
    "disconnect": (SPEC, lambda hands: hands.disconnect_container_from_network(NAME, "bridge", force=True)),
    "another network": (SPEC, _reconnect),
    "remove": (SPEC, lambda hands: hands.remove_container(NAME, force=True)),
    "a start that fails": (BROKEN, _start_in_vain),
    "its own restarts": (RESTARTED, lambda _: None),
    "health": (CHECKED, _get_well),
}


@pytest.mark.parametrize(("spec", "change"), CHANGES.values(), ids=CHANGES)
def test_a_change_by_hand_is_seen_after_its_event_alone(
    seen: Seen, spec: ContainerSpec, change: Callable[[docker.APIClient], object]
) -> None:
    seen.subscribe()
    seen.hands.create_network(NET)
    seen.run(spec)
    eventually(lambda: seen.look() == seen.truth(), WITHIN_S)
    before = seen.look()

    change(seen.hands)

    def is_seen() -> bool:
        now = seen.look()
        return now != before and now == seen.truth()

    eventually(is_seen, WITHIN_S, f"{seen.look()} is {seen.truth()}")


def test_a_change_of_one_inspects_no_other(seen: Seen) -> None:
    seen.subscribe()
    seen.run(SPEC)

    def rests() -> bool:
        before = seen.inspects
        seen.look()
        return seen.inspects == before

    eventually(rests, WITHIN_S)
    before, inspects = seen.look(), seen.inspects

    seen.hands.update_container(NAME, cpu_shares=512)
    eventually(lambda: seen.look() != before, WITHIN_S)

    assert seen.inspects == inspects + 1


def test_a_command_in_a_container_inspects_none(seen: Seen) -> None:
    seen.subscribe()
    seen.run(SPEC)
    eventually(lambda: seen.look() == seen.truth(), WITHIN_S)
    seen.look()
    inspects = seen.inspects

    made = seen.hands.exec_create(NAME, ["true"])
    seen.hands.exec_start(made["Id"])
    seen.hands.rename(OTHER, "another")  # a change that comes later
    eventually(lambda: seen.look() == seen.truth(), WITHIN_S)

    assert seen.inspects == inspects + 1


LISTED = ("kill", "stop", "pause", "rename", "connect", "disconnect", "another network", "remove", "health")
"""Changes that the list of containers shows."""


@pytest.mark.parametrize("name", LISTED)
def test_a_change_whose_event_is_lost_is_seen_if_docker_lists_it(seen: Seen, name: str) -> None:
    spec, change = CHANGES[name]
    seen.subscribe(reads=False)
    seen.hands.create_network(NET)
    seen.run(spec)
    eventually(lambda: seen.look() == seen.truth(), WITHIN_S)
    before = seen.look()

    change(seen.hands)

    eventually(lambda: seen.look() != before, WITHIN_S)
    eventually(lambda: seen.look() == seen.truth(), WITHIN_S)


def test_limits_whose_event_is_lost_are_seen_at_the_next_inspection_of_all(seen: Seen) -> None:
    seen.subscribe(reads=False)
    seen.run(SPEC)
    eventually(lambda: seen.look() == seen.truth(), WITHIN_S)
    before = seen.look()

    seen.hands.update_container(NAME, cpu_shares=512)

    assert seen.look() == before
    assert seen.look(inspect_all=True) == seen.truth() != before
    assert seen.look() == seen.truth()


def test_a_change_while_the_stream_is_down_is_seen_at_once(seen: Seen) -> None:
    seen.subscribe()
    seen.run(SPEC)
    eventually(lambda: seen.look() == seen.truth(), WITHIN_S)
    seen.lose()

    seen.hands.update_container(NAME, cpu_shares=512)
    assert seen.look() == seen.truth()

    seen.hands.update_container(NAME, cpu_shares=256)
    seen.subscribe()
    assert seen.look() == seen.truth()


def test_what_a_restart_of_the_engine_changed_is_seen(seen: Seen, dockerd: DockerDaemon) -> None:
    seen.subscribe()
    seen.run(SPEC)
    eventually(lambda: seen.look() == seen.truth(), WITHIN_S)
    before = seen.look()

    dockerd.kill()
    with pytest.raises(Unreachable):
        seen.look()
    dockerd.start()
    seen.lose()
    seen.subscribe()

    assert seen.look() == seen.truth() != before
    seen.hands.start(NAME)
    eventually(lambda: [each.status for each in seen.look()] == ["running", "exited"], WITHIN_S)
    eventually(lambda: seen.look() == seen.truth(), WITHIN_S)
