"""What wakes the loop: etcd, the engine, and the engine coming back."""

import threading
from collections.abc import Callable, Iterator
from ipaddress import IPv4Network
from typing import Any

import pytest
import structlog

from agent.daemon import triggers
from agent.daemon.triggers import Triggers, WakeUps
from agent.model.intent import GWBRIDGE, BridgeIntent
from agent.model.store import KeyRange, Put
from tests.fakes.engine import FakeEngine
from tests.fakes.kernel import FakeKernel
from tests.fakes.store import FakeEtcd, FakeStore
from tests.fakes.swarm import FakeLan
from tests.support.etcd_server import eventually

WITHIN_S = 5.0
POOL = (IPv4Network("10.200.0.0/16"),)
MINE = (KeyRange(key="/c/intent"),)
ALL = (*MINE, KeyRange(key="/c/hosts/", prefix=True))


class Scene:
    """Triggers on an engine and an etcd in memory."""

    def __init__(self) -> None:
        self.store = FakeStore(FakeEtcd())
        self.engine = FakeEngine("h1", "10.0.0.1", FakeLan())
        self.kernel = FakeKernel(self.engine)
        self.wake = WakeUps()
        self.triggers = Triggers(self.store, self.engine, self.kernel, self.wake)

    def put(self, key: str) -> None:
        self.store.txn([], [Put(key=key, value=b"x")])

    def reasons(self) -> frozenset[str]:
        """What has woken the loop since the last call; waits for nothing."""
        return self.wake.wait(0.0)

    def woken_by(self, reason: str) -> None:
        """Wait until that has woken the loop."""
        heard: set[str] = set()

        def came() -> bool:
            heard.update(self.wake.wait(0.05))
            return reason in heard

        eventually(came, WITHIN_S, f"{reason}; heard {heard}")


@pytest.fixture
def scene(monkeypatch: pytest.MonkeyPatch) -> Iterator[Scene]:
    monkeypatch.setattr(triggers, "RECONNECT_S", 0.02)
    scene = Scene()
    scene.triggers.start(MINE)
    scene.woken_by("engine: listening")
    scene.reasons()
    yield scene
    scene.triggers.close()
    ended(scene)


def ended(scene: Scene) -> None:
    scene.triggers._listener.join(WITHIN_S)
    assert not scene.triggers._listener.is_alive()


def test_a_change_in_a_watched_key_wakes(scene: Scene) -> None:
    scene.put("/c/intent")
    assert scene.reasons() == {"watch: change"}


def test_a_change_elsewhere_does_not(scene: Scene) -> None:
    scene.put("/c/hosts/h2/status")
    assert not scene.reasons()


def test_other_ranges_are_watched_from_when_they_are_named(scene: Scene) -> None:
    scene.triggers.rearm(ALL)
    scene.woken_by("hosts: watch: open")
    scene.put("/c/hosts/h2/status")
    scene.woken_by("hosts: watch: change")
    scene.triggers.rearm(MINE)
    scene.put("/c/hosts/h2/status")
    assert not scene.wake.wait(2 * triggers.GATHER_S)


def test_news_of_all_hosts_are_gathered_and_the_clusters_own_keys_are_not(scene: Scene) -> None:
    scene.triggers.rearm(ALL)
    scene.woken_by("hosts: watch: open")
    scene.put("/c/hosts/h2/status")
    assert not scene.reasons()
    scene.put("/c/intent")
    assert scene.reasons() == {"hosts: watch: change", "watch: change"}


def test_the_same_ranges_again_disturb_nothing(scene: Scene) -> None:
    scene.triggers.rearm(list(MINE))
    assert not scene.reasons()


def test_before_the_start_there_is_nothing_to_rearm() -> None:
    scene = Scene()
    scene.triggers.rearm(ALL)
    assert not scene.reasons()
    scene.triggers.close()


def test_an_event_of_the_engine_wakes_with_its_hint(scene: Scene) -> None:
    scene.engine.happens("container die prod-order-1")
    scene.woken_by("container die prod-order-1")


def test_a_dockerd_that_goes_wakes_and_so_does_its_return(scene: Scene) -> None:
    scene.engine.go_down()
    scene.woken_by("engine: lost")
    scene.engine.answers = True
    scene.woken_by("engine: listening")
    scene.engine.happens("container start prod-order-1")
    scene.woken_by("container start prod-order-1")


def test_a_stream_that_ends_by_itself_is_opened_again(scene: Scene) -> None:
    scene.engine.close()
    scene.woken_by("engine: listening")


def test_a_fault_of_ours_while_listening_is_logged_and_does_not_end_it(scene: Scene) -> None:
    with structlog.testing.capture_logs() as lines:
        for stream in scene.engine._listeners:
            stream.put(KeyError("Actor"))
        scene.woken_by("engine: listening")
    assert [each["event"] for each in lines] == ["reading events of dockerd failed"]


def test_an_absence_of_dockerd_is_logged_once_and_so_is_its_return(scene: Scene) -> None:
    with structlog.testing.capture_logs() as lines:
        scene.engine.go_down()
        for _ in range(3):
            scene.woken_by("engine: lost")
        scene.engine.answers = True
        scene.woken_by("engine: listening")
    assert [each["event"] for each in lines] == ["dockerd sends no events", "dockerd answers again"]


def test_an_agent_that_starts_without_dockerd_hears_it_when_it_comes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(triggers, "RECONNECT_S", 0.02)
    scene = Scene()
    scene.engine.answers = False
    scene.triggers.start(MINE)
    scene.woken_by("engine: lost")
    scene.engine.answers = True
    scene.woken_by("engine: listening")
    scene.triggers.close()
    ended(scene)


def test_close_ends_a_listener_that_waits_for_an_event(scene: Scene) -> None:
    scene.triggers.close()
    ended(scene)
    scene.put("/c/intent")
    assert not scene.reasons()


def test_a_last_pass_that_names_other_ranges_after_the_close_begins_no_watch(scene: Scene) -> None:
    scene.triggers.close()
    scene.triggers.rearm(ALL)
    scene.put("/c/hosts/h2/status")
    assert not scene.reasons()


def test_a_bridge_that_the_kernel_lost_wakes_also_when_that_was_before_the_first_look(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The first pass may have seen it whole a moment before."""
    monkeypatch.setattr(triggers, "LOOK_S", 0.02)
    scene = Scene()
    subnet = IPv4Network("172.21.0.0/20")
    scene.engine.create_bridge(BridgeIntent(subnet=subnet, gateway=subnet[1], options=()))
    scene.kernel.delete_address()
    scene.triggers.start(MINE)
    scene.woken_by("docker_gwbridge read")
    scene.kernel.delete_link()
    scene.woken_by("docker_gwbridge changed")
    scene.triggers.close()
    ended(scene)


def test_close_ends_a_listener_that_waits_to_try_again() -> None:
    scene = Scene()
    scene.engine.answers = False
    scene.triggers.start(MINE)
    scene.woken_by("engine: lost")
    scene.triggers.close()
    ended(scene)


def test_close_ends_a_listener_that_is_just_opening_a_stream(monkeypatch: pytest.MonkeyPatch) -> None:
    scene = Scene()
    opening, go_on = threading.Event(), threading.Event()
    events: Callable[[], Any] = scene.engine.events

    def slow_events() -> Any:
        opening.set()
        assert go_on.wait(WITHIN_S)
        return events()

    monkeypatch.setattr(scene.engine, "events", slow_events)
    scene.triggers.start(MINE)
    assert opening.wait(WITHIN_S)
    scene.triggers.close()
    go_on.set()
    ended(scene)


# ---- the look at docker_gwbridge, of which docker tells nothing

CHANGED = "docker_gwbridge changed"
LOOKS = 5


class Looked(Scene):
    """A member of a swarm with docker_gwbridge, at which is looked all the time."""

    def __init__(self) -> None:
        super().__init__()
        self.engine.init_swarm(advertise="10.0.0.1", pool=POOL, mask_length=24, data_path_port=None)

    def looks(self) -> int:
        return self.engine.calls.count("bridge_endpoints")

    def after_looks(self) -> frozenset[str]:
        """What has woken the loop when there was time for several more looks."""
        before = self.looks()
        eventually(lambda: self.looks() >= before + LOOKS, WITHIN_S)
        return self.reasons()


@pytest.fixture
def looked(monkeypatch: pytest.MonkeyPatch) -> Iterator[Looked]:
    monkeypatch.setattr(triggers, "LOOK_S", 0.01)
    monkeypatch.setattr(triggers, "RECONNECT_S", 0.02)
    scene = Looked()
    scene.triggers.start(MINE)
    scene.woken_by("engine: listening")
    scene.after_looks()
    yield scene
    scene.triggers.close()
    ended(scene)
    scene.triggers._looker.join(WITHIN_S)
    assert not scene.triggers._looker.is_alive()


def test_a_bridge_that_is_as_it_was_wakes_nobody(looked: Looked) -> None:
    assert looked.after_looks() == frozenset()


@pytest.mark.parametrize(
    "damage",
    [
        lambda scene: scene.kernel.delete_address(),
        lambda scene: scene.kernel.set_down(),
        lambda scene: scene.kernel.delete_link(),
        lambda scene: scene.engine.nets.release(GWBRIDGE, "gateway_ingress-sbox"),
        lambda scene: scene.engine.nets.local.pop(GWBRIDGE),
        lambda scene: scene.engine.nets.relabel(GWBRIDGE, gateway="172.18.0.9"),
    ],
    ids=["address", "link down", "link gone", "endpoint", "network gone", "another gateway"],
)
def test_whatever_changes_on_it_wakes_once(looked: Looked, damage: Callable[[Looked], object]) -> None:
    damage(looked)

    looked.woken_by(CHANGED)
    assert looked.after_looks() == frozenset()


def test_a_dockerd_that_is_away_is_survived_and_a_change_meanwhile_is_seen_when_it_is_back(
    looked: Looked,
) -> None:
    looked.engine.answers = False
    assert CHANGED not in looked.after_looks()

    looked.kernel.delete_address()
    looked.engine.answers = True

    looked.woken_by(CHANGED)


def test_a_fault_of_ours_while_looking_is_logged_and_does_not_end_it(
    looked: Looked, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(_: str) -> None:
        raise KeyError("Containers")

    with structlog.testing.capture_logs() as lines, monkeypatch.context() as patched:
        patched.setattr(looked.kernel, "link", broken)
        eventually(lambda: lines, WITHIN_S)
    assert {each["event"] for each in lines} == {"reading docker_gwbridge failed"}

    looked.kernel.delete_address()
    looked.woken_by(CHANGED)


def test_the_look_is_every_five_seconds() -> None:
    assert triggers.LOOK_S == 5.0
