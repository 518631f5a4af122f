"""Bytes from outside, into every reader of them: each is understood, or refused in words, soon; nothing else happens.

tests/properties/corpus has what was fed to them before: it is read first, then changed at random.
"""

import random
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agent.clients.disk import StateDirectory
from agent.clients.registry_config import read_auths
from agent.clients.seal import WithKeys
from agent.config import load_config
from agent.errors import Invalid
from agent.http.access import load_web_config
from agent.intent import parse_intent, warnings
from agent.model import spec
from agent.model.records import Tokens, UnlockKeys, decode
from agent.observe import ClusterReader
from tests.support.etcd_keys import GOOD, KEYS, ME, OLD_DIGEST, RECORDS, Scene
from tests.support.thoroughness import examples

CORPUS = Path(__file__).parent / "corpus"
SOON_S = 2.0
LONGEST_ANSWER = 40_000
SEAL = WithKeys("prod", [bytes(32)], "the test")
KINDS = sorted({type(each) for each in RECORDS.values()}, key=lambda kind: kind.__name__)
Reader = Callable[[bytes], object]


def read_document(raw: bytes) -> None:
    warnings(parse_intent(raw, revision=1))


def from_file(read: Callable[[Path], object]) -> Reader:
    def reading(raw: bytes) -> None:
        with tempfile.TemporaryDirectory() as directory:
            path = Path(directory) / "kept.json"
            path.write_bytes(raw)
            read(path)

    return reading


def read_records(raw: bytes) -> None:
    """As each kind of record, as a spec, and as the content of each key of a cluster."""
    faults = [error for kind in KINDS if (error := _refusal(lambda: decode(kind, raw)))]  # noqa: B023 - called at once
    faults += [error] if (error := _refusal(lambda: spec.decode(raw))) else []
    sealed = raw.decode(errors="replace")
    for broken in (
        lambda: SEAL.open(Tokens(swarm_id="s", worker="", manager="", sealed=sealed or "x")),
        lambda: SEAL.open_keys(UnlockKeys(swarm_id="s", on=True, sealed=sealed)),
    ):
        assert _refusal(broken), "what nobody sealed is not opened"
    scene = Scene()
    scene.put(**dict.fromkeys(GOOD, raw))
    state = ClusterReader(KEYS, ME, SEAL).read(scene.store, scene.lease, frozenset()).state
    assert all(each.isprintable() and len(each) < 300 for pair in state.unreadable for each in pair)
    if len(faults) == len(KINDS) + 1:
        raise faults[0]


def _refusal(read: Callable[[], object]) -> Invalid | None:
    try:
        read()
    except Invalid as error:
        return error
    return None


READERS: dict[str, Reader] = {
    "document": read_document,
    "config": from_file(load_config),
    "web": from_file(load_web_config),
    "registry": read_auths,
    "record": read_records,
    "kept": from_file(lambda path: StateDirectory(path.parent).load()),
}
SEEDS = {name: sorted(each for each in (CORPUS / name).iterdir()) for name in READERS}
TOKENS = (
    *(
        b"\0",
        b"\xff",
        b"\n",
        b"\t",
        b"\\ud800",
        b"\xe2\x80\xae",
        b"-",
        b"..",
        b"/",
        b"*a",
        b"&a ",
        b"<<: ",
        b"!!int ",
    ),
    *(
        b"{",
        b"}",
        b"[",
        b"]",
        b'"',
        b"'",
        b": ",
        b", ",
        b"null",
        b"1e999",
        b"-0",
        b"9" * 40,
        b"true",
        b'"v":2',
    ),
)


def answer(name: str, raw: bytes) -> str:
    """What is said of it, empty when it is understood; within the time, whatever it is."""
    began, said = time.process_time(), ""
    try:
        READERS[name](raw)
    except Invalid as error:
        said = str(error)
        assert said
        assert said.replace("\n", "").isprintable(), ascii(said)
        assert len(said) < LONGEST_ANSWER
    assert time.process_time() - began < SOON_S
    return said


def changed(name: str, seed: int) -> bytes:
    """A file of the corpus with a few bytes flipped, cut out, doubled, or taken from another file."""
    chance = random.Random(seed)
    raw = bytearray(chance.choice(SEEDS[name]).read_bytes()[:4000])
    for _ in range(chance.randrange(1, 6)):
        start = chance.randrange(len(raw) + 1)
        end = min(len(raw), start + chance.choice((0, 1, 1, 4, 30)))
        match chance.randrange(5):
            case 0 if start < len(raw):
                raw[start] ^= 1 << chance.randrange(8)
            case 1:
                raw[start:end] = b""
            case 2:
                raw[start:start] = raw[start:end] * chance.choice((2, 50))
            case 3:
                other = chance.choice(SEEDS[name]).read_bytes()[:4000]
                place = chance.randrange(len(other) + 1)
                raw[start:end] = other[place : place + 30]
            case _:
                raw[start:end] = chance.choice(TOKENS)
    return bytes(raw)


@pytest.mark.parametrize(
    ("name", "file"), [(name, each.name) for name, files in SEEDS.items() for each in files]
)
def test_what_was_fed_before_is_answered_as_it_should_be(name: str, file: str) -> None:
    said = answer(name, (CORPUS / name / file).read_bytes())
    if file.startswith("good"):
        assert not said


@pytest.mark.parametrize("name", READERS)
@settings(max_examples=examples(60, 5000), deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(seed=st.integers(min_value=0))
def test_a_file_that_is_changed_at_random_is_answered(name: str, seed: int) -> None:
    answer(name, changed(name, seed))


@pytest.mark.parametrize("name", READERS)
@settings(max_examples=examples(40, 3000), deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(raw=st.binary(max_size=400))
def test_any_bytes_are_answered(name: str, raw: bytes) -> None:
    answer(name, raw)


@pytest.mark.parametrize("key", sorted(set(GOOD) - {KEYS.intent}))
@settings(max_examples=examples(20, 3000), deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(position=st.floats(0, 1, exclude_max=True), bit=st.integers(0, 7))
def test_a_flipped_bit_in_what_an_agent_wrote_never_passes_for_something_else(
    key: str, position: float, bit: int
) -> None:
    raw = bytearray(GOOD[key])
    raw[int(position * len(raw))] ^= 1 << bit
    scene = Scene()
    scene.put(**{key: bytes(raw)})

    reading = ClusterReader(KEYS, ME).read(scene.store, scene.lease, frozenset())

    assert key in dict(reading.state.unreadable) or key == KEYS.spec(OLD_DIGEST)  # which nobody has
