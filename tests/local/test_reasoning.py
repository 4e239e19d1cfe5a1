"""Thoughts and answer are told apart while they are written."""

from __future__ import annotations

import pytest
from cutting import cuts, of, raw, run
from hypothesis import given
from hypothesis import strategies as st

from hfclient.local.pieces import Markup, Text, Thought
from hfclient.local.reasoning import KNOWN_TAGS, Reasoning, Tags

bits = st.lists(st.sampled_from(["<think>", "</think>", "<", "</thi", "think>", "a", " ", "\n", "word"]), max_size=8)


@given(st.data(), bits.map("".join), st.booleans())
def test_where_the_text_is_cut_does_not_matter(data: st.DataObject, text: str, inside: bool) -> None:
    """Any cutting gives the same thoughts and the same answer as the whole, and nothing is lost."""
    whole = run(Reasoning(inside=inside), [text])
    assert run(Reasoning(inside=inside), data.draw(cuts(text))) == whole
    assert raw(whole) == text


@pytest.mark.parametrize(
    ("output", "inside", "thought", "said"),
    [
        ("<think>\nHm.\n</think>\n\nYes.", False, "Hm.", "Yes."),
        ("\n<think>Hm.</think>Yes.", False, "Hm.", "Yes."),
        ("<think>\n\n</think>\n\nYes.", False, "", "Yes."),
        ("Hm.\n</think>\n\nYes.", True, "Hm.", "Yes."),
        ("<think>\nHm.\n</think>Yes.", True, "Hm.", "Yes."),
        ("Hm, and never done", True, "Hm, and never done", ""),
        ("<think>Hm, and never done", False, "Hm, and never done", ""),
        ("Yes.", False, "", "Yes."),
        ("  Yes.", False, "", "  Yes."),
        ("It writes <think> first.</think>", False, "", "It writes <think> first.</think>"),
        ("<thin", False, "", "<thin"),
        ("<think>a</think>b</think>c", False, "a", "b</think>c"),
        ("<think>a < b </thinker></think>c", False, "a < b </thinker>", "c"),
        ("", True, "", ""),
    ],
)
def test_what_is_thought_and_what_is_said(output: str, inside: bool, thought: str, said: str) -> None:
    """Tags and the white space beside them are neither; an opening tag counts only at the beginning."""
    pieces = run(Reasoning(inside=inside), [output])
    assert (of(Thought, pieces), of(Text, pieces)) == (thought, said)


@pytest.mark.parametrize("tags", KNOWN_TAGS)
def test_every_pair_of_tags(tags: Tags) -> None:
    """Each family's tags work alike."""
    pieces = run(Reasoning(tags), f"{tags[0]}Hm.{tags[1]}Yes.")
    assert pieces == [Markup(tags[0]), Thought("Hm."), Markup(tags[1]), Text("Yes.")]


def test_thoughts_come_at_once() -> None:
    """Only what may be the closing tag, or white space before it, is held back."""
    reader = Reasoning(inside=True)
    assert reader.feed("a b") == [Thought("a b")]
    assert reader.feed(" <") == []
    assert reader.feed("3") == [Thought(" <3")]
    assert reader.feed("</think>") == [Markup("</think>")]
    assert not reader.answering
    assert reader.feed("Yes") == [Text("Yes")]
    assert reader.answering
