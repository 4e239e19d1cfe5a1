"""Tokens become text one by one, and no character is ever split."""

from __future__ import annotations

from typing import Any

import pytest
from families import sentencepiece, shared
from hypothesis import given, settings
from hypothesis import strategies as st

from hfclient.local.detokenise import Detokeniser
from hfclient.local.spelling import Spelling

HALF = "\N{REPLACEMENT CHARACTER}"


def pieces(tokenizer: Any, tokens: list[int], **how: Any) -> list[str]:
    reader = Detokeniser(tokenizer, **how)
    return [*(reader.feed(token) for token in tokens), reader.finish()]


@given(st.lists(st.integers(0, 419), max_size=40))
@settings(max_examples=300)
def test_any_tokens_give_the_text_that_they_are(tokens: list[int]) -> None:
    """The pieces, joined, are what the tokenizer makes of all tokens at once, also where these are no text."""
    tokenizer = shared("qwen")
    tokens = [token for token in tokens if token < len(tokenizer)]
    assert "".join(pieces(tokenizer, tokens)) == tokenizer.decode(tokens)


@given(st.text(max_size=30))
def test_a_text_comes_out_whole(text: str) -> None:
    """No piece of a text holds half a character."""
    tokenizer = shared("llama")
    found = pieces(tokenizer, tokenizer.encode(text, add_special_tokens=False))
    assert "".join(found) == tokenizer.decode(tokenizer.encode(text, add_special_tokens=False))
    assert all(piece.count(HALF) <= text.count(HALF) for piece in found)


@given(st.text("ab é日😀", max_size=30))
def test_sentencepiece_vocabularies_too(text: str) -> None:
    """Bytes that stand for a letter the vocabulary lacks are waited for; the blank before a text's first word goes."""
    tokenizer = sentencepiece()
    tokens = tokenizer.encode(text, add_special_tokens=False)
    found = pieces(tokenizer, tokens)
    assert "".join(found) == tokenizer.decode(tokens)
    assert HALF not in "".join(found)


def test_a_character_is_given_when_it_is_whole() -> None:
    """The tokens of a character's first bytes bring nothing; its last one brings it."""
    tokenizer = shared("qwen")
    tokens = tokenizer.convert_tokens_to_ids(list("ðŁĺĤ"))  # the four bytes of 😂, as byte-level tokens are written
    assert pieces(tokenizer, tokens) == ["", "", "", "😂", ""]


def test_half_a_character_at_the_end_is_told() -> None:
    """What can never be completed is U+FFFD, once."""
    tokenizer = shared("qwen")
    tokens = tokenizer.convert_tokens_to_ids(list("aðŁ"))
    assert pieces(tokenizer, tokens) == ["a", "", "", HALF]


def test_bytes_that_are_no_text_do_not_hold_up_the_rest() -> None:
    """A run of them is told while it goes on, and costs no more for being long."""
    tokenizer = shared("qwen")
    (byte,) = tokenizer.convert_tokens_to_ids(["Ł"])
    reader = Detokeniser(tokenizer)
    found = [reader.feed(byte) for _ in range(500)]
    assert len("".join(found)) > 480
    assert len(reader._window) < 20
    assert len("".join(found) + reader.finish()) == 500


def test_the_window_stays_small() -> None:
    """However long the text, each token is decoded with only a few before it."""
    tokenizer = shared("qwen")
    reader = Detokeniser(tokenizer)
    for token in tokenizer.encode("The quick brown fox jumps. " * 50):
        reader.feed(token)
        assert len(reader._window) < 20


def test_hidden_tokens_are_passed_over() -> None:
    """Special tokens bring no text, unless they are markup."""
    tokenizer = shared("mistral")
    tokens = tokenizer.encode("[INST]a[TOOL_CALLS]b", add_special_tokens=False)
    spelling = Spelling.of(tokenizer)
    assert "".join(pieces(tokenizer, tokens, hidden=spelling.hidden())) == "ab"
    assert "".join(pieces(tokenizer, tokens, hidden=spelling.hidden("[TOOL_CALLS]"))) == "a[TOOL_CALLS]b"
    assert "".join(pieces(tokenizer, tokens)) == "[INST]a[TOOL_CALLS]b"


def test_a_text_that_goes_on_keeps_its_blank() -> None:
    """The first word's blank is dropped at the beginning of a text, and not where the text goes on from a prompt."""
    tokenizer = sentencepiece()
    tokens = tokenizer.convert_tokens_to_ids(["▁b", "▁a"])
    assert "".join(pieces(tokenizer, tokens)) == "b a"
    assert "".join(pieces(tokenizer, tokens, before=tokenizer.convert_tokens_to_ids(["▁a"]))) == " b a"


class Slow:
    """A tokenizer that is not of the tokenizers library."""

    def __init__(self) -> None:
        self.added_tokens_decoder: dict[int, Any] = {}

    def decode(self, tokens: list[int], **how: Any) -> str:
        return bytes(tokens).decode(errors="replace")

    def convert_ids_to_tokens(self, token: int) -> str | None:
        return f"<0x{token:02X}>" if token < 256 else None


@given(st.binary(max_size=40))
def test_a_slow_tokenizer_does_as_well(data: bytes) -> None:
    """It takes nothing but `decode`."""
    assert "".join(pieces(Slow(), list(data))) == data.decode(errors="replace")


@pytest.mark.parametrize("name", ["qwen", "llama", "mistral"])
def test_each_token_is_spelt_in_bytes(name: str) -> None:
    """The bytes of a text's tokens are the text's bytes."""
    tokenizer = shared(name)
    spelling = Spelling.of(tokenizer)
    text = "Naïve 日本 😀 fox\n"
    tokens = tokenizer.encode(text, add_special_tokens=False)
    assert b"".join(spelling.bytes_of(token) for token in tokens) == text.encode()
    assert spelling.bytes_of(tokenizer.eos_token_id) == tokenizer.eos_token.encode()
    assert spelling.bytes_of(len(tokenizer) + 5) == b""
    assert Spelling.of(tokenizer) is spelling


def test_other_vocabularies_are_spelt_too() -> None:
    """Blanks and bytes are read off SentencePiece's way of writing them."""
    tokenizer = sentencepiece()
    tokens = tokenizer.convert_tokens_to_ids(["▁a", "<0xE6>", "é"])
    assert [Spelling.of(tokenizer).bytes_of(token) for token in tokens] == [b" a", b"\xe6", "é".encode()]
    assert [Spelling.of(Slow()).bytes_of(token) for token in (65, 300)] == [b"A", b""]
