"""Whatever happens to three to seven hosts, in whatever order: nothing that must not be, and in the end all is well."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.properties.simulation import tell
from tests.properties.simulation.history import Event, events, history
from tests.support.thoroughness import examples, thorough


@settings(max_examples=examples(10), deadline=None, print_blob=True)
@given(
    hosts=st.integers(3, 7),
    begun=st.booleans(),
    first=st.integers(0, 9999),
    happens=st.lists(events, max_size=40),
    last=st.integers(0, 9999),
)
def test_whatever_happens_nothing_is_lost_and_the_last_document_is_carried_out(
    hosts: int, begun: bool, first: int, happens: list[Event], last: int
) -> None:
    with history(hosts, begun=begun, first=first) as told:
        told.happens(happens)
        told.rest(last)


@pytest.mark.skipif(not thorough, reason="takes long: SWARMKEEPER_LONG, or script/simulate")
@pytest.mark.timeout(3 * 3600)
def test_of_twenty_thousand_histories_from_seeds_none_comes_to_a_bad_end() -> None:
    assert tell.main(["--examples", "20000", "--seed", "1", "--jobs", "2"]) == 0
