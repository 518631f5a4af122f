"""Published join tokens: opened, or held with the reason."""

from dataclasses import replace
from pathlib import Path

import pytest

from agent.model.records import encode
from agent.observe import ClusterReader, Opener
from agent.observe.host import Timers
from agent.observe.observer import tokens_age_s
from tests.fakes.store import FakeClock
from tests.support.etcd_keys import KEYS, ME, TOKENS, Scene
from tests.unit.clients.test_seal import new_key, seal


@pytest.fixture
def scene() -> Scene:
    return Scene()


def with_key(scene: Scene, directory: Path, key: str) -> None:
    scene.reader = ClusterReader(
        KEYS, ME, Opener(open=seal(directory, key).open, is_current=lambda tokens: bool(tokens.sealed))
    )


def test_sealed_tokens_are_opened_with_the_key(scene: Scene, tmp_path: Path) -> None:
    key = new_key()
    with_key(scene, tmp_path, key)
    scene.put(**{KEYS.tokens: encode(seal(tmp_path, key).close(TOKENS))})
    state = scene.read().state
    assert (state.tokens, state.tokens_exposed, state.tokens_locked, state.unreadable) == (
        TOKENS,
        False,
        False,
        (),
    )


def test_tokens_that_cannot_be_opened_are_held_and_named(scene: Scene, tmp_path: Path) -> None:
    with_key(scene, tmp_path, new_key())
    scene.put(**{KEYS.tokens: encode(seal(tmp_path, new_key()).close(TOKENS))})
    state = scene.read().state
    assert (state.tokens, state.tokens_locked) == (None, True)
    assert [key for key, _ in state.unreadable] == [KEYS.tokens]
    assert "a key that is not in" in state.unreadable[0][1]


def test_unsealed_tokens_are_good_but_known_to_be_exposed(scene: Scene, tmp_path: Path) -> None:
    with_key(scene, tmp_path, new_key())
    state = scene.read().state
    assert (state.tokens, state.tokens_exposed) == (TOKENS, True)


def test_who_needs_no_tokens_plans_with_sealed_ones(scene: Scene, tmp_path: Path) -> None:
    scene.put(**{KEYS.tokens: encode(seal(tmp_path, new_key()).close(TOKENS))})
    state = scene.read().state
    assert state.tokens is not None
    assert state.tokens.manager == "sealed"
    assert state.unreadable == ()


def test_a_leader_knows_for_how_long_it_has_seen_the_same_tokens() -> None:
    clock = FakeClock()
    timers = Timers[str](clock)
    assert tokens_age_s(timers, TOKENS) == 0.0
    clock.advance(60.0)
    assert tokens_age_s(timers, TOKENS) == 60.0
    assert tokens_age_s(timers, replace(TOKENS, manager="")) == 60.0, "another way to publish the same ones"
    assert tokens_age_s(timers, replace(TOKENS, worker="rotated")) == 0.0


def test_without_tokens_and_without_the_lead_the_time_starts_again() -> None:
    clock = FakeClock()
    timers = Timers[str](clock)
    tokens_age_s(timers, TOKENS)
    clock.advance(60.0)
    assert tokens_age_s(timers, None) == 0.0
    assert tokens_age_s(timers, TOKENS) == 0.0
