"""Join tokens, sealed: only who has the key gets them back, and nothing tells them to anybody else."""

import base64
import os
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import pytest
import structlog

from agent.clients.seal import Seal, WithKeys, load_seal
from agent.errors import Invalid, NotUsed, Refused
from agent.model.records import Opened, Tokens, UnlockKeys, encode

TOKENS = Tokens(swarm_id="swarm-1", worker="SWMTKN-worker", manager="SWMTKN-manager")

UNLOCK = UnlockKeys(swarm_id="swarm-1", on=True, keys=("SWMKEY-1-new", "SWMKEY-1-old"))


def new_key() -> str:
    return base64.b64encode(os.urandom(32)).decode()


def key_file(directory: Path, *keys: str) -> str:
    file = directory / "tokens.key"
    file.write_text("\n".join(keys) + "\n")
    return str(file)


def seal(directory: Path, *keys: str, cluster: str = "prod") -> Seal:
    return load_seal(cluster, key_file(directory, *keys))


def test_what_is_sealed_is_opened_with_the_same_key(tmp_path: Path) -> None:
    made = seal(tmp_path, new_key())
    assert made.open(made.close(TOKENS)) == TOKENS


def test_tokens_for_workers_alone_are_sealed_too(tmp_path: Path) -> None:
    made = seal(tmp_path, new_key())
    workers = Tokens(swarm_id="swarm-1", worker="SWMTKN-worker", manager="")
    assert made.open(made.close(workers)) == workers


def test_a_sealed_record_holds_no_token_and_its_repr_not_even_that(tmp_path: Path) -> None:
    sealed = seal(tmp_path, new_key()).close(TOKENS)
    assert b"SWMTKN" not in encode(sealed)
    assert sealed.sealed
    assert sealed.sealed not in repr(sealed)
    assert "SWMTKN" not in repr(TOKENS)


def test_another_key_opens_nothing_and_says_where_to_look(tmp_path: Path) -> None:
    sealed = seal(tmp_path, new_key()).close(TOKENS)
    with pytest.raises(Invalid, match=f"sealed with a key that is not in {tmp_path}/tokens.key"):
        seal(tmp_path, new_key()).open(sealed)


def test_a_host_without_a_key_says_that_it_needs_one(tmp_path: Path) -> None:
    with pytest.raises(Invalid, match=r"set tokens\.key_file in agent\.yaml"):
        load_seal("prod", None).open(seal(tmp_path, new_key()).close(TOKENS))


def test_a_key_is_replaced_with_both_in_the_file(tmp_path: Path) -> None:
    old, new = new_key(), new_key()
    sealed = seal(tmp_path, old).close(TOKENS)
    assert seal(tmp_path, new, old).open(sealed) == TOKENS
    assert seal(tmp_path, new).open(seal(tmp_path, new, old).close(TOKENS)) == TOKENS


def test_tokens_of_another_cluster_or_swarm_do_not_pass(tmp_path: Path) -> None:
    key = new_key()
    sealed = seal(tmp_path, key).close(TOKENS)
    for other in (
        seal(tmp_path, key, cluster="other").close(TOKENS),
        Tokens(swarm_id="swarm-2", worker="", manager="", sealed=sealed.sealed),
    ):
        with pytest.raises(Invalid, match="sealed for another cluster or swarm"):
            seal(tmp_path, key).open(other)


@pytest.mark.parametrize("value", ["x", "gAAAAAB", "\x00", "é"])
def test_an_unreadable_value_opens_to_nothing(tmp_path: Path, value: str) -> None:
    with pytest.raises(Invalid):
        seal(tmp_path, new_key()).open(Tokens(swarm_id="swarm-1", worker="", manager="", sealed=value))


def test_without_a_key_tokens_are_published_as_they_are_with_a_warning() -> None:
    plain = load_seal("prod", None)
    with structlog.testing.capture_logs() as logged:
        assert plain.close(TOKENS) == TOKENS
    assert [each["log_level"] for each in logged] == ["warning"]
    assert "SWMTKN" not in str(logged)
    assert plain.open(TOKENS) == TOKENS


# ---- what somebody wrote who has no key


def test_tokens_that_are_not_sealed_are_not_used_by_a_host_that_has_a_key(tmp_path: Path) -> None:
    with pytest.raises(
        NotUsed, match=r"not sealed: set tokens\.key_file on every host; until then"
    ) as refused:
        seal(tmp_path, new_key()).open(TOKENS)
    assert "SWMTKN" not in str(refused.value)


def test_they_are_used_during_the_change_over_and_are_not_current(tmp_path: Path) -> None:
    made = load_seal("prod", key_file(tmp_path, new_key()), accept_unsealed=True)
    assert made.open(TOKENS) == TOKENS
    assert not made.is_current(TOKENS)
    with pytest.raises(NotUsed, match="not sealed"):
        made.open_keys(UNLOCK)


# ---- what was sealed before and comes back


DAY_S = 86_400


class Clocked(NamedTuple):
    """Two hosts with one key and the clock of each."""

    leader: WithKeys
    other: WithKeys


@pytest.fixture
def clocked(tmp_path: Path) -> Clocked:
    key = new_key()
    return Clocked(at(seal(tmp_path, key), 1_000_000), at(seal(tmp_path, key), 1_000_000))


def at(made: Seal, now: float) -> WithKeys:
    assert isinstance(made, WithKeys)
    made.now = lambda: now
    return made


def test_a_copy_of_earlier_tokens_is_refused_once_later_ones_were_opened(clocked: Clocked) -> None:
    before = clocked.leader.close(TOKENS)
    assert clocked.other.open(before) == clocked.other.open(before) == TOKENS
    at(clocked.leader, 1_000_001)
    rotated = replace(TOKENS, worker="SWMTKN-rotated")
    assert clocked.other.open(clocked.leader.close(rotated)) == rotated
    with pytest.raises(NotUsed) as refused:
        clocked.other.open(before)
    assert str(refused.value) == (
        "sealed at 1970-01-12T13:46:40Z, and this host knows a value of 1970-01-12T13:46:41Z: "
        "an earlier value came back, or a clock is wrong"
    )


def test_a_copy_of_an_earlier_swarms_tokens_is_refused_although_the_record_names_that_swarm(
    clocked: Clocked,
) -> None:
    earlier = clocked.leader.close(replace(TOKENS, swarm_id="swarm-0"))
    at(clocked.leader, 1_000_001)
    clocked.other.open(clocked.leader.close(TOKENS))
    with pytest.raises(NotUsed, match="came back"):
        clocked.other.open(earlier)


def test_a_copy_of_an_earlier_unlock_key_is_refused_and_tokens_are_remembered_apart(clocked: Clocked) -> None:
    before, joined = clocked.leader.close_keys(UNLOCK), clocked.leader.close(TOKENS)
    at(clocked.leader, 1_000_001)
    later = replace(UNLOCK, keys=("SWMKEY-1-later",))
    assert clocked.other.open_keys(clocked.leader.close_keys(later)) == later
    with pytest.raises(NotUsed, match="came back"):
        clocked.other.open_keys(before)
    assert clocked.other.open(joined) == TOKENS


def test_autolock_is_on_by_what_is_sealed_alone(clocked: Clocked) -> None:
    off = clocked.leader.close_keys(replace(UNLOCK, on=False))
    assert not clocked.other.open_keys(replace(off, on=True)).on


def test_a_leader_whose_clock_is_behind_seals_later_than_what_it_has_opened(clocked: Clocked) -> None:
    clocked.other.open(clocked.leader.close(TOKENS))
    sealed = at(clocked.other, 999_000).close(TOKENS)
    assert clocked.leader.open(sealed) == TOKENS
    assert clocked.leader.opened.tokens == 1_000_001


def test_what_is_sealed_far_in_the_future_is_not_used_and_not_remembered(clocked: Clocked) -> None:
    ahead = at(clocked.leader, 1_000_001 + DAY_S).close(TOKENS)
    with pytest.raises(NotUsed, match="that is in the future here"):
        clocked.other.open(ahead)
    assert clocked.other.opened == Opened()
    assert at(clocked.other, 1_000_001).open(ahead) == TOKENS


def test_a_memory_from_a_clock_that_was_wrong_keeps_nobody_out(clocked: Clocked) -> None:
    at(clocked.other, 4e9).open(at(clocked.leader, 4e9).close(TOKENS))
    at(clocked.other, 1_000_000)
    assert clocked.other.open(clocked.other.close(TOKENS)) == TOKENS
    assert clocked.other.opened.tokens == 1_000_000


@pytest.mark.parametrize(
    "content", [b"", b"short", b"c2hvcnQ=", b"\xff\xfe", b"*" * 44, b"QUFB\n" + b"A" * 44]
)
def test_a_file_that_holds_no_key_is_refused_without_a_word_of_it(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "tokens.key"
    file.write_bytes(content)
    with pytest.raises(Invalid, match=r"tokens\.key_file") as refused:
        load_seal("prod", str(file))
    assert content == b"" or content.decode("latin-1").strip() not in str(refused.value)


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Invalid, match="cannot be read"):
        load_seal("prod", str(tmp_path / "none"))


def test_what_openssl_writes_is_a_key(tmp_path: Path) -> None:
    made = seal(tmp_path, base64.b64encode(b"\xfb\xff" * 16).decode())
    assert made.open(made.close(TOKENS)) == TOKENS


# ---- unlock keys


def test_unlock_keys_are_sealed_and_opened_in_their_order(tmp_path: Path) -> None:
    made = seal(tmp_path, new_key())
    sealed = made.close_keys(UNLOCK)
    assert b"SWMKEY" not in encode(sealed)
    assert (sealed.keys, sealed.on) == ((), True)
    assert made.open_keys(sealed) == UNLOCK
    assert "SWMKEY" not in repr(UNLOCK)
    assert sealed.sealed not in repr(sealed)


def test_without_a_key_unlock_keys_are_not_published_at_all(tmp_path: Path) -> None:
    with pytest.raises(Refused, match=r"unlock key cannot be published") as refused:
        load_seal("prod", None).close_keys(UNLOCK)
    assert "SWMKEY" not in str(refused.value)
    with pytest.raises(Invalid, match=r"set tokens\.key_file"):
        load_seal("prod", None).open_keys(seal(tmp_path, new_key()).close_keys(UNLOCK))


def test_unlock_keys_that_somebody_wrote_unsealed_are_not_used(tmp_path: Path) -> None:
    with pytest.raises(Invalid, match="not sealed"):
        seal(tmp_path, new_key()).open_keys(UNLOCK)


def test_what_is_sealed_with_a_second_key_is_open_but_not_current(tmp_path: Path) -> None:
    old, new = new_key(), new_key()
    sealed = seal(tmp_path, old).close_keys(UNLOCK)
    both = seal(tmp_path, new, old)
    assert both.open_keys(sealed) == UNLOCK
    assert not both.is_current(sealed)
    assert not both.is_current(seal(tmp_path, old).close(TOKENS))
    assert both.is_current(both.close_keys(UNLOCK))
    assert both.is_current(both.close(TOKENS))


def test_sealed_unlock_keys_of_another_cluster_or_swarm_are_not_used(tmp_path: Path) -> None:
    key = new_key()
    sealed = seal(tmp_path, key).close_keys(UNLOCK)
    for made, found in (
        (seal(tmp_path, key, cluster="other"), sealed),
        (seal(tmp_path, key), UnlockKeys(swarm_id="swarm-2", on=True, sealed=sealed.sealed)),
    ):
        with pytest.raises(Invalid, match="another cluster or swarm"):
            made.open_keys(found)


def test_neither_sealed_secret_passes_for_the_other(tmp_path: Path) -> None:
    made = seal(tmp_path, new_key())
    with pytest.raises(Invalid):
        made.open_keys(UnlockKeys(swarm_id="swarm-1", on=True, sealed=made.close(TOKENS).sealed))
    with pytest.raises(Invalid):
        made.open(Tokens(swarm_id="swarm-1", worker="", manager="", sealed=made.close_keys(UNLOCK).sealed))
