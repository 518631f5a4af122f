"""Published join tokens: opened, or held with the reason."""

from dataclasses import replace
from pathlib import Path

import pytest

from agent.clients.seal import WithKeys, load_seal
from agent.model.records import Opened, encode
from agent.observe import ClusterReader
from agent.observe.host import Timers
from agent.observe.observer import tokens_age_s
from tests.fakes.store import FakeClock
from tests.support.etcd_keys import KEYS, ME, TOKENS, Scene
from tests.unit.clients.test_seal import UNLOCK, key_file, new_key, seal


@pytest.fixture
def scene() -> Scene:
    return Scene()


def with_key(scene: Scene, directory: Path, key: str) -> None:
    scene.reader = ClusterReader(KEYS, ME, seal(directory, key))
    scene.put(**{KEYS.unlock: encode(seal(directory, key).close_keys(UNLOCK))})


def test_sealed_tokens_are_opened_with_the_key(scene: Scene, tmp_path: Path) -> None:
    key = new_key()
    with_key(scene, tmp_path, key)
    scene.put(**{KEYS.tokens: encode(seal(tmp_path, key).close(TOKENS))})
    state = scene.read().state
    assert (state.tokens, state.tokens_exposed, state.tokens_locked) == (TOKENS, False, False)
    assert (state.unlock, state.unreadable) == (UNLOCK, ())
    assert state.tokens_sealed_at == scene.reader.seal.opened.tokens > 0


def test_tokens_that_cannot_be_opened_are_held_and_named(scene: Scene, tmp_path: Path) -> None:
    with_key(scene, tmp_path, new_key())
    scene.put(**{KEYS.tokens: encode(seal(tmp_path, new_key()).close(TOKENS))})
    state = scene.read().state
    assert (state.tokens, state.tokens_exposed, state.tokens_locked) == (None, False, True)
    assert [key for key, _ in state.unreadable] == [KEYS.tokens]
    assert "a key that is not in" in state.unreadable[0][1]
    assert state.untrusted == frozenset()


def test_unsealed_tokens_are_not_used_and_to_be_sealed(scene: Scene, tmp_path: Path) -> None:
    with_key(scene, tmp_path, new_key())
    state = scene.read().state
    assert (state.tokens, state.tokens_exposed, state.tokens_locked) == (None, True, False)
    assert [(key, why.startswith("not sealed")) for key, why in state.unreadable] == [(KEYS.tokens, True)]
    assert (state.untrusted, state.tokens_sealed_at) == (frozenset({KEYS.tokens}), 0)


def test_unsealed_unlock_keys_are_not_used_and_to_be_sealed(scene: Scene, tmp_path: Path) -> None:
    with_key(scene, tmp_path, new_key())
    scene.put(**{KEYS.unlock: encode(UNLOCK)})
    state = scene.read().state
    assert (state.unlock, state.unlock_aged, state.unlock_locked) == (None, True, False)


def test_tokens_that_are_accepted_unsealed_have_no_age(scene: Scene, tmp_path: Path) -> None:
    key = new_key()
    opened = load_seal("prod", key_file(tmp_path, key), accept_unsealed=True)
    scene.reader = ClusterReader(KEYS, ME, opened)
    opened.opened = Opened(tokens=1, unlock=1)
    state = scene.read().state
    assert (state.tokens, state.tokens_exposed, state.tokens_sealed_at) == (TOKENS, True, 0)


def test_what_was_opened_is_remembered_on_disk_by_its_time_alone(scene: Scene, tmp_path: Path) -> None:
    key = new_key()
    with_key(scene, tmp_path, key)
    earlier = seal(tmp_path, key)
    assert isinstance(earlier, WithKeys)
    earlier.now = lambda: 1_000_000.0
    copy = encode(earlier.close(TOKENS))
    scene.put(**{KEYS.tokens: encode(seal(tmp_path, key).close(TOKENS))})
    kept = scene.read().kept
    assert b"SWMTKN" not in b"".join(each.value for each in kept)
    assert not any(each.key in (KEYS.tokens, KEYS.unlock) for each in kept)

    scene.reader = ClusterReader(KEYS, ME, seal(tmp_path, key))
    scene.reader.recall(kept)
    scene.put(**{KEYS.tokens: copy})
    state = scene.read().state
    assert (state.tokens, state.tokens_exposed) == (None, True)
    assert "came back" in dict(state.unreadable)[KEYS.tokens]
    assert scene.read().kept == kept


def test_what_somebody_writes_under_that_name_into_etcd_is_not_the_memory(
    scene: Scene, tmp_path: Path
) -> None:
    with_key(scene, tmp_path, new_key())
    before = scene.read().kept
    (memory,) = (each for each in before if each.key.endswith("/opened"))
    scene.put(**{memory.key: encode(Opened(tokens=2**40, unlock=2**40))})
    assert scene.read().kept == before


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
