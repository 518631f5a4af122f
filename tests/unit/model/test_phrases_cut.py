"""Texts of others are cut where they enter: what is kept, what is said of the rest, and that both survive UTF-8."""

import pytest

from agent.model.phrases import MOST_TEXT, cut


def test_a_text_of_ordinary_length_stays() -> None:
    assert cut("no space left on device") == "no space left on device"
    assert cut("x" * MOST_TEXT) == "x" * MOST_TEXT


def test_a_long_text_says_how_much_is_left_out() -> None:
    assert cut("x" * 3_000_000) == "x" * 1000 + "... 2,999,000 more characters"


def test_bytes_that_were_not_read_are_counted_too() -> None:
    assert cut("denied", unread=5) == "denied... 5 more characters"


@pytest.mark.parametrize("most", [10, 500, 2000])
def test_a_text_that_was_cut_before_still_has_the_whole_number(most: int) -> None:
    twice = cut(cut("x" * 3_000, 1_000), most)

    assert twice == f"{'x' * min(most, 1000)}... {3000 - min(most, 1000):,} more characters"


@pytest.mark.parametrize("text", ["\ud83d", "я" * 2000, "\N{CRAB}" * 2000, "x" * 999 + "\N{CRAB}y"])
def test_the_result_is_always_valid_utf_8(text: str) -> None:
    cut(text).encode()
