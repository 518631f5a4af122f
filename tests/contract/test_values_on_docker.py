"""Every key of the document with values that it should not have, on a real engine: nothing is lost, nothing dropped.

A third of the keys, by SWARMKEEPER_SEED or else by the day; all of them with SWARMKEEPER_LONG. docs/values.md has the
table of all, which tests/contract/value_table.py writes.
"""

import datetime
import os
import random
from collections.abc import Iterator

import pytest

from agent.intent import parse_intent
from tests.contract.value_cases import document, keys
from tests.contract.value_lists import ALONE, DEFAULTS, OF_HOST, RIGHT
from tests.contract.value_table import IMAGES_OWN, PAGE, row, rows_of, tried
from tests.contract.value_trials import GOOD, Trials
from tests.support.docker_daemon import DockerDaemon
from tests.support.thoroughness import thorough

SEED = os.environ.get("SWARMKEEPER_SEED") or str(datetime.datetime.now(tz=datetime.UTC).toordinal())
ALL = keys()
TRIED = ALL if thorough else tuple(sorted(random.Random(SEED).sample(ALL, len(ALL) // 3)))


@pytest.fixture(scope="module")
def trials(dockerd: DockerDaemon) -> Iterator[Trials]:
    found = Trials(dockerd)
    yield found
    found.close()


@pytest.mark.parametrize("key", TRIED)
def test_no_value_of_a_key_costs_a_replica_or_is_dropped(trials: Trials, key: str) -> None:
    found = tried(trials, key)

    bad = [f"{written}: {outcome}: {text}" for _, written, outcome, text in found if outcome not in GOOD]
    dropped = [
        written
        for kind, written, outcome, _ in found
        if outcome == "as without"
        and (kind != "zero" or key in IMAGES_OWN)
        and (key, written) not in DEFAULTS
    ]
    assert (bad, dropped) == ([], []), f"seed {SEED}"
    assert row(key, found) == rows_of(PAGE.read_text())[key], "run python -m tests.contract.value_table"


@pytest.mark.parametrize("key", RIGHT)
def test_a_right_value_is_taken_where_the_wrong_ones_are_refused(key: str) -> None:
    assert parse_intent(document(key, RIGHT[key]).encode(), revision=1).project == "values"


def test_of_every_key_a_value_is_taken() -> None:
    taken = {
        key
        for key, line in rows_of(PAGE.read_text()).items()
        if set(line.replace(",", "").split()) & {*GOOD[1:], "as", "this"}
    }
    assert {*taken, *RIGHT, *ALONE} == set(ALL)


def test_of_every_key_that_names_something_of_the_host_the_engine_refused_a_value() -> None:
    refused = {key for key, line in rows_of(PAGE.read_text()).items() if "this host" in line}
    assert refused == set(OF_HOST)


def test_the_page_has_every_key() -> None:
    assert list(rows_of(PAGE.read_text())) == list(ALL)
