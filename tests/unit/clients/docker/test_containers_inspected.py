"""Which containers are inspected: those that an event has named, that are listed otherwise, or that we have touched."""

import contextlib
import json
import queue
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Any

import pytest

from agent.clients.docker import DockerEngine, EngineEvents
from agent.diff.container import FillContext
from agent.errors import Unreachable
from agent.model.records import Replica
from agent.model.spec import Attachment, ContainerSpec
from tests.unit.clients.docker.stub import StubDockerd
from tests.unit.clients.docker.test_docker_answers import LABELS

ID, OTHER = "c0ffee", "decaf0"


class Scene:
    """Two replicas of ours behind a dockerd, looked at again and again, and its events."""

    def __init__(self, stub: StubDockerd, engine: DockerEngine) -> None:
        self._stub, self.engine, self.assigned = stub, engine, "10.10.0.9"
        self.events: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        self.entry: dict[str, Any] = {
            "Id": ID,
            "Names": ["/prod-order-1"],
            "Labels": LABELS,
            "State": "running",
            "Status": "Up 4 minutes (healthy)",
            "ImageID": "sha256:1",
            "NetworkSettings": {"Networks": {"net": {"NetworkID": "n1", "IPAddress": "10.10.0.9"}}},
        }
        other = {"Id": OTHER, "Names": ["/prod-order-2"], "Labels": {**LABELS, "io.swarmkeeper.slot": "2"}}
        self.listed = [self.entry, other]
        for each in self.listed:
            raw = {"Id": each["Id"], "Name": each["Names"][0], "Config": {}, "State": {}}
            stub.answers[f"GET /containers/{each['Id']}/json"] = (200, raw)
        stub.answers["GET /events"] = self._stream

    def look(
        self, specs: Mapping[str, ContainerSpec] = MappingProxyType({}), *, inspect_all: bool = False
    ) -> str:
        """Return the containers that were inspected for that."""
        self._stub.answers["GET /containers/json"] = (200, self.listed)
        before = len(self._stub.asked)
        assert len(self.engine.containers(specs, self._context, inspect_all=inspect_all).ours) == len(
            self.listed
        )
        gets = [each.split("/")[-2] for each in self._stub.asked[before:] if each.endswith("/json")]
        return " ".join(each for each in gets if each in (ID, OTHER))

    def happens(self, stream: EngineEvents, kind: str, action: str, owner: str, **attributes: str) -> None:
        actor = {"ID": owner, "Attributes": attributes}
        self.events.put(json.dumps({"Type": kind, "Action": action, "Actor": actor, "timeNano": 1}) + "\n")
        next(stream)

    def _stream(self, send: Callable[[str], None]) -> None:
        while (event := self.events.get()) is not None:
            send(event)

    def _context(self, replica: Replica) -> FillContext:
        context = FillContext(host="host-1", service=replica.service, slot=replica.slot)
        return replace(context, reserved=(("net", self.assigned),) if replica.slot == 1 else ())


@pytest.fixture
def scene(stub: StubDockerd, engine: DockerEngine) -> Iterator[Scene]:
    scene = Scene(stub, engine)
    yield scene
    scene.events.put(None)


@pytest.fixture
def stream(scene: Scene) -> Iterator[EngineEvents]:
    """Events that are listened to, by an agent that has looked at everything once."""
    with contextlib.closing(scene.engine.events()) as stream:
        assert scene.look() == f"{ID} {OTHER}"
        assert scene.look() == ""
        yield stream


@pytest.mark.parametrize(
    ("kind", "action", "owner", "attributes", "inspected"),
    [
        ("container", "health_status: unhealthy", ID, {"name": "prod-order-1"}, ID),
        ("container", "update", OTHER, {"name": "prod-order-2"}, OTHER),
        ("container", "die", "another", {"name": "web"}, ""),
        ("network", "connect", "n1", {"container": ID, "name": "net"}, ID),
        ("network", "disconnect", "n1", {"container": OTHER, "name": "net"}, OTHER),
        ("network", "create", "n1", {"name": "net"}, ""),
        ("image", "tag", ID, {"name": "order:1.0.0"}, ""),
        ("node", "update", ID, {}, ""),
    ],
)
def test_only_what_an_event_names_is_inspected_and_once(
    scene: Scene, stream: EngineEvents, kind: str, action: str, owner: str, attributes: Any, inspected: str
) -> None:
    scene.happens(stream, kind, action, owner, **attributes)

    assert [scene.look(), scene.look()] == [inspected, ""]


@pytest.mark.parametrize(
    "change",
    [
        {"Names": ["/prod-order-1", "/web/order"]},
        {"State": "exited"},
        {"Status": "Up 5 minutes (unhealthy)"},
        {"Status": "Exited (137) 1 second ago"},
        {"ImageID": "sha256:2"},
        {"NetworkSettings": {"Networks": {"net": {"NetworkID": "n2", "IPAddress": "10.10.0.9"}}}},
    ],
)
@pytest.mark.usefixtures("stream")
def test_what_is_listed_otherwise_is_inspected(scene: Scene, change: Mapping[str, Any]) -> None:
    scene.entry |= change

    assert [scene.look(), scene.look()] == [ID, ""]


@pytest.mark.usefixtures("stream")
def test_the_time_since_a_start_is_no_change(scene: Scene) -> None:
    scene.entry["Status"] = "Up About an hour (healthy)"

    assert scene.look() == ""


@pytest.mark.usefixtures("stream")
def test_what_is_wanted_or_known_otherwise_is_inspected(scene: Scene) -> None:
    scene.assigned = "10.10.0.8"
    assert [scene.look(), scene.look()] == [ID, ""]
    known = {"5bec": ContainerSpec(image="x")}
    assert [scene.look(known), scene.look(known)] == [f"{ID} {OTHER}", ""]
    assert scene.look(known, inspect_all=True) == f"{ID} {OTHER}"


@pytest.mark.parametrize(
    ("call", "act"),
    [
        ("start", lambda engine: engine.start(ID)),
        ("stop", lambda engine: engine.stop(ID, 1.0)),
        ("unpause", lambda engine: engine.unpause(ID)),
        ("rename", lambda engine: engine.rename(ID, "new")),
        ("update", lambda engine: engine.update(ID, ContainerSpec(image="x"))),
        ("/networks/net/connect", lambda engine: engine.connect(ID, Attachment(network="net"), ())),
        ("/networks/net/disconnect", lambda engine: engine.disconnect(ID, "net")),
        ("/networks/net/disconnect", lambda engine: engine.disconnect("prod-order-1", "net")),
    ],
)
@pytest.mark.parametrize("status", [204, 500])
@pytest.mark.usefixtures("stream")
def test_what_we_have_touched_is_inspected_also_if_that_failed(
    stub: StubDockerd, scene: Scene, call: str, act: Callable[[DockerEngine], object], status: int
) -> None:
    path = call if call.startswith("/") else f"/containers/{ID}/{call}"
    stub.answers[f"POST {path}"] = (status, None if status < 500 else {"message": "no"})

    with contextlib.suppress(Unreachable):
        act(scene.engine)

    assert stub.asked[-1].partition("?")[0].endswith(path)
    assert [scene.look(), scene.look()] == [ID, ""]


def test_nothing_is_believed_while_nobody_listens(scene: Scene) -> None:
    assert [scene.look(), scene.look()] == [f"{ID} {OTHER}"] * 2


def test_what_was_known_before_the_events_were_lost_is_not_believed(
    scene: Scene, stream: EngineEvents
) -> None:
    scene.events.put(None)
    with pytest.raises(Unreachable):
        next(stream)
    assert [scene.look(), scene.look()] == [f"{ID} {OTHER}"] * 2

    with contextlib.closing(scene.engine.events()):
        assert [scene.look(), scene.look()] == [f"{ID} {OTHER}", ""]


def test_an_event_is_not_lost_by_a_look_that_fails(
    stub: StubDockerd, scene: Scene, stream: EngineEvents
) -> None:
    scene.happens(stream, "container", "update", ID)
    stub.answers["GET /containers/json"] = (500, {"message": "context deadline exceeded"})
    with pytest.raises(Unreachable):
        scene.engine.containers({}, scene._context)

    assert [scene.look(), scene.look()] == [ID, ""]


def test_an_event_during_a_look_is_for_the_next_one(
    stub: StubDockerd, scene: Scene, stream: EngineEvents
) -> None:
    scene.happens(stream, "container", "update", ID)
    old = json.dumps(stub.answers[f"GET /containers/{ID}/json"][1])

    def changes_after_it_was_read(send: Callable[[str], None]) -> None:
        scene.happens(stream, "container", "update", ID)
        send(old)

    new = stub.answers[f"GET /containers/{ID}/json"]
    stub.answers[f"GET /containers/{ID}/json"] = [changes_after_it_was_read, new]

    assert [scene.look(), scene.look(), scene.look()] == [ID, ID, ""]
