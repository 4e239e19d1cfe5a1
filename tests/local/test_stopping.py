"""Stop strings: what is told ends where the first of them begins, however the text was cut."""

from __future__ import annotations

import pytest
from cutting import cuts
from hypothesis import given
from hypothesis import strategies as st

from hfclient.local.marks import Marks
from hfclient.local.stopping import Stops

letters = st.text("ab", max_size=12)
stops = st.lists(st.text("ab", min_size=1, max_size=4), max_size=3)


def told(strings: list[str], pieces: list[str]) -> tuple[list[str], str | None]:
    reader = Stops(strings)
    texts = [reader.feed(piece) for piece in pieces]
    return [*texts, reader.finish()], reader.matched


@given(st.data(), letters, stops)
def test_a_text_ends_where_the_first_stop_string_begins(data: st.DataObject, text: str, strings: list[str]) -> None:
    """As str.find has it, for any strings, any text and any cutting; of two that begin together the shorter counts."""
    texts, matched = told(strings, data.draw(cuts(text)))
    found = sorted((text.find(string), len(string), string) for string in strings if string in text)
    assert "".join(texts) == (text[: found[0][0]] if found else text)
    assert matched == (found[0][2] if found else None)


@given(letters, stops)
def test_no_more_is_held_back_than_may_be_a_stop_string(text: str, strings: list[str]) -> None:
    """After each letter, what is not told yet is the longest end of the text that a stop string begins with."""
    reader = Stops(strings)
    given_out = ""
    for place, letter in enumerate(text, start=1):
        given_out += reader.feed(letter)
        if reader.matched is not None:
            break
        seen = text[:place]
        held = max(
            (n for n in range(place + 1) for string in strings if n < len(string) and string[:n] == seen[place - n :]),
            default=0,
        )
        assert given_out == seen[: place - held]


@pytest.mark.parametrize(
    ("strings", "pieces", "texts", "matched"),
    [
        (["stop"], ["a st", "op b"], ["a ", "", ""], "stop"),
        (["stop"], ["a st", "ep"], ["a ", "step", ""], None),
        (["stop"], ["a st"], ["a ", "st"], None),
        (["bcd", "c"], ["abc", "d"], ["a", "", ""], "bcd"),
        (["bcd", "c"], ["abc", "e"], ["a", "b", ""], "c"),
        (["\n\n", "\n"], ["a\n\n"], ["a", ""], "\n"),
        ([""], ["a"], ["a", ""], None),
    ],
)
def test_what_is_told_when(strings: list[str], pieces: list[str], texts: list[str], matched: str | None) -> None:
    """Text goes out as soon as it cannot be the beginning of a stop string any more; nothing follows one."""
    assert told(strings, pieces) == (texts, matched)


def test_nothing_is_told_after_a_stop_string() -> None:
    """A text that has ended stays ended."""
    reader = Stops(["x"])
    assert reader.feed("axb") == "a"
    assert reader.feed("c") == ""
    assert reader.finish() == ""


def test_a_mark_waits_for_one_that_may_come_before_it() -> None:
    """A whole mark is not given while an earlier one may still be completed, unless the text is final."""
    marks = Marks("bcd", "c")
    assert marks.look("abc") == (None, 1)
    found, settled = marks.look("abc", final=True)
    assert found is not None
    assert (found.which, found.start, found.end, settled) == (1, 2, 3, 2)
