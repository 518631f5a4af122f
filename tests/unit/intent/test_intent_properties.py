"""Whatever is put into the key: it parses or is refused, soon, and nothing else happens."""

import random
import string
import subprocess
import sys
import time
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from agent.intent import parse_intent, warnings
from agent.model.faults import InvalidDocument
from agent.model.intent import Intent
from agent.model.spec import decode, encode
from tests.unit.intent.bad import GOOD
from tests.unit.intent.documents import service

EVERYTHING = (Path(__file__).with_name("good") / "everything.yaml").read_text()
SOON_S = 2.0
TRIES = 3
"""Of which one is to be soon: the memory of whatever was tested before in this process is collected in the others."""


def parses_or_is_refused(document: bytes) -> Intent | InvalidDocument:
    for _ in range(TRIES):
        started = time.thread_time()
        result = outcome(document)
        took_s = time.thread_time() - started
        if took_s < SOON_S:
            break
    assert took_s < SOON_S
    if isinstance(result, InvalidDocument):
        assert str(result)
        assert all(fault.line >= 1 and fault.column >= 1 for fault in result.faults)
    else:
        warnings(result)
    return result


def outcome(document: bytes) -> Intent | InvalidDocument:
    try:
        return parse_intent(document, revision=1)
    except InvalidDocument as error:
        return error


@settings(deadline=None)
@given(st.binary(max_size=300))
@example(b"\xef\xbb\xbfname: a")
@example("name: a".encode("utf-16"))
@example(b"\x00")
def test_any_bytes(document: bytes) -> None:
    parses_or_is_refused(document)


@settings(deadline=None)
@given(st.text(alphabet=string.printable + "é\u0085\u2028\ufeff", max_size=200))
@example("? : ?")
@example("&a [*a]")
@example("<<: <<")
@example("- - -\n-")
def test_any_text(document: str) -> None:
    parses_or_is_refused(document.encode())


@settings(max_examples=300, deadline=None)
@given(st.integers(min_value=0), st.integers(min_value=1, max_value=4))
def test_a_real_document_with_pieces_moved_lost_or_replaced(seed: int, edits: int) -> None:
    chance = random.Random(seed)
    document = EVERYTHING
    for _ in range(edits):
        start = chance.randrange(len(document))
        end = min(len(document), start + chance.choice((0, 1, 1, 3, 20)))
        source = chance.randrange(len(EVERYTHING))
        piece = chance.choice(("", EVERYTHING[source : source + 12], *"\n\t:-[]{}&*!|>'\"%@#,?0"))
        document = document[:start] + piece + document[end:]
    parses_or_is_refused(document.encode())


SCALARS = [
    "~",
    "true",
    "-1",
    "0",
    "80",
    "1.5",
    "99999999999999999999",
    "a",
    "'a",
    "b'",
    '"\\0"',
    "/",
    "10.0.0.1",
    "10.10.0.0/16",
    "1m",
    "on-failure",
    "host",
    "$X",
    "$$",
    "inner",
    "'{{.Task.Slot}}'",
    "'a:b:c:d'",
    "'='",
]
INNER_KEYS = ["a", "source", "target", "type", "inner", "test", "driver", "limits"]


def flow(items: dict[str, str]) -> str:
    return "{" + ", ".join(f"{key}: {value}" for key, value in items.items()) + "}"


VALUES = st.recursive(
    st.sampled_from(SCALARS),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3).map(lambda items: f"[{', '.join(items)}]"),
        st.dictionaries(st.sampled_from(INNER_KEYS), inner, max_size=3).map(flow),
    ),
    max_leaves=6,
)
KEYS = sorted({line.strip().split(":")[0] for line in EVERYTHING.splitlines() if line.startswith("    ")})


@settings(max_examples=400, deadline=None)
@given(st.sampled_from(KEYS), VALUES)
def test_any_value_of_any_key(key: str, value: str) -> None:
    result = parses_or_is_refused(service(f"{key}: {value}").encode())
    if isinstance(result, Intent):
        for each in result.services:
            assert decode(encode(each.spec)) == each.spec


@settings(deadline=None)
@given(
    st.permutations(
        ["restart: always", "tty: true", "user: '1'", "labels: {b: 1, a: 2}", "cap_add: [SYS_TIME, CHOWN]"]
    )
)
def test_the_order_of_keys_means_nothing(keys: list[str]) -> None:
    def only(lines: list[str]) -> bytes:
        return encode(parse_intent(service("\n".join(lines)).encode(), revision=1).services[0].spec)

    assert only(keys) == only(sorted(keys))


MOST = 1_390_000
LONG = "x" * 130_000


def services(keys: str, count: int) -> str:
    """Many services with the same keys; `#` is the number."""
    head = GOOD[: GOOD.index("services:\n") + len("services:\n")]
    return head + "".join(f"  s{number}: {{{keys.replace('#', str(number))}}}\n" for number in range(count))


def sharing(keys: str, count: int, **shared: str) -> str:
    """Many services of which each says `keys` by aliases of what is shared, by its name."""
    anchors = "".join(f"x-{name}: &{name} {value}\n" for name, value in shared.items())
    return anchors + services(f"image: a, x-hosts: [one], network_mode: none, {keys}", count)


def chain(first: str, link: str, length: int) -> str:
    """Anchors that use the one before; `@` is the number, `<` the one before."""
    links = (link.replace("@", str(number)).replace("<", str(number - 1)) for number in range(1, length))
    return "".join(f"{line}\n" for line in (first, *links))


LARGE = {
    "services": services("image: a, x-hosts: [one]", 1000),
    "faults": services("imagx: a, x-hosts: [onx]", 10_000),
    "unknown keys": "".join(f"servixes{number}: 1\n" for number in range(49_000)),
    "duplicate keys": "a: 1\n" * (MOST // 5),
    "brackets": "[" * MOST,
    "braces": "{a: " * (MOST // 4),
    "dashes": "- " * (MOST // 2),
    "questions": "? " * (MOST // 2),
    "quotes": '"' + "x" * MOST,
    "documents": "--- a\n" * (MOST // 6),
    "one word": "name: " + "a" * MOST,
    "one command": service("command: " + "a" * 100_000),
    "labels": service("labels:\n" + "".join(f"  k{number}: {'b' * 16_000}\n" for number in range(80))),
    "placeholders": service(
        "labels:\n" + "".join(f"  k{number}: '{'{{.Task.Slot}}' * 1000}'\n" for number in range(90))
    ),
    "bad images": services(f"image: {'a-' * 240}%", 1000),
    "ranges of ports": service(
        "ports:\n" + "".join(f"  - 10.{number % 250}.0.1:1-200:1-200\n" for number in range(40_000))
    ),
    "ports": services("image: a, x-hosts: [one], ports: ['1-99:1-99']", 1000),
    "merges of merges": chain(
        "x-0: &a0 {a: 1}", "x-@: &a@ {k@: 1, <<: *a<}".replace("<<", "\0"), 1000
    ).replace("\0", "<<"),
    "laughs": chain("x-0: &a0 [a, a, a]", "x-@: &a@ [*a<, *a<, *a<]", 40),
    "one text, many aliases": sharing("environment: *e, labels: {l: '#'}", 1000, e=f"{{E: '{LONG}'}}"),
    "one text, as many aliases as may be": sharing(
        "environment: *e, labels: {l: '#'}", 37, e=f"{{E: '{LONG}'}}"
    ),
    "one text of wide letters, many aliases": sharing(
        "environment: *e, labels: {l: '#'}", 37, e="['E=$$" + "\U0001f600" * len(LONG) + "']"
    ),
    "one text that is nearly a placeholder, as many aliases as may be": sharing(
        "environment: *e, labels: {l: '#'}", 37, e="{E: '" + ("{{.." + "a" * 124) * 1015 + "'}"
    ),
    "one line, many aliases": sharing("command: *l, entrypoint: *l", 1000, l="ab " * 5000),
    "one line that is none, many aliases": sharing(
        "command: *l, entrypoint: *l", 1000, l='"' + "ab " * 5000 + "'" + '"'
    ),
    "lines": services(f"image: a, x-hosts: [one], network_mode: none, command: {'ab ' * 400}", 1000),
    "as many lines and labels as may be": sharing(
        "command: *c, entrypoint: *c, labels: *l",
        1000,
        c="'" + "\U0001f600b " * 80 + "'",
        l="[" + ", ".join(f"'k{number}=\U0001f600{'$$' * 25}'" for number in range(76)) + "]",
    ),
    "circles": services(
        f"image: a, x-hosts: [one], depends_on: [{', '.join(f's{each}' for each in range(80))}]", 900
    ),
}


@pytest.mark.parametrize("kind", LARGE)
def test_a_document_as_large_as_can_be_is_answered_soon(kind: str) -> None:
    parses_or_is_refused(LARGE[kind].encode())


@pytest.mark.parametrize("kind", [each for each in LARGE if each.endswith("as may be")])
def test_what_is_said_to_be_as_much_as_may_be_is_accepted(kind: str) -> None:
    assert isinstance(outcome(LARGE[kind].encode()), Intent)


MEMORY = r"""
import re, sys
from pathlib import Path
from agent.intent import parse_intent
from agent.model.faults import InvalidDocument
try:
    parse_intent(sys.stdin.buffer.read(), revision=1)
except InvalidDocument as error:
    str(error)
# Not ru_maxrss: that begins with what the parent had, which forked this process.
print(re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())[1])
"""


@pytest.mark.parametrize(
    "kind",
    [
        "services",
        "unknown keys",
        "ports",
        "laughs",
        "one text, many aliases",
        "one text, as many aliases as may be",
        "one text of wide letters, many aliases",
        "one line, many aliases",
        "as many lines and labels as may be",
    ],
)
def test_a_document_as_large_as_can_be_takes_less_than_150_megabytes(kind: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", MEMORY], input=LARGE[kind].encode(), capture_output=True, check=True
    )
    assert int(done.stdout) < 150 * 1024
