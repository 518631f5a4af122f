"""Join tokens, sealed: only who has the key gets them back, and nothing tells them to anybody else."""

import base64
import os
from pathlib import Path

import pytest
import structlog

from agent.clients.seal import Seal, load_seal
from agent.errors import Invalid, Refused
from agent.model.records import Tokens, UnlockKeys, encode

TOKENS = Tokens(swarm_id="swarm-1", worker="SWMTKN-worker", manager="SWMTKN-manager")

UNLOCK = UnlockKeys(swarm_id="swarm-1", on=True, keys=("SWMKEY-1-new", "SWMKEY-1-old"))


def new_key() -> str:
    return base64.b64encode(os.urandom(32)).decode()


def seal(directory: Path, *keys: str, cluster: str = "prod") -> Seal:
    file = directory / "tokens.key"
    file.write_text("\n".join(keys) + "\n")
    return load_seal(cluster, str(file))


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


def test_without_a_key_tokens_are_published_as_they_are_and_that_is_said_once() -> None:
    plain = load_seal("prod", None)
    with structlog.testing.capture_logs() as logged:
        assert [plain.close(TOKENS), plain.close(TOKENS)] == [TOKENS, TOKENS]
    assert [each["log_level"] for each in logged] == ["warning"]
    assert "SWMTKN" not in str(logged)
    assert plain.open(TOKENS) == TOKENS


def test_tokens_that_were_published_without_a_key_are_read_by_hosts_that_have_one(tmp_path: Path) -> None:
    assert seal(tmp_path, new_key()).open(TOKENS) == TOKENS


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
    assert both.is_current(both.close_keys(UNLOCK))


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
