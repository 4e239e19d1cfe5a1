"""Tokens back to text, one by one, in constant time for each, and never half a character."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from hfclient.local.spelling import Spelling

_HALF = "\N{REPLACEMENT CHARACTER}"
_WINDOW = 12  # tokens that are decoded together; how a token reads depends on those just before it
_CHARACTER = 4  # bytes, and so tokens, that a character can take


class Detokeniser:
    """Turns the tokens of one text into its pieces.

    `hidden` tokens are passed over. `before` are tokens that the text goes on from, where it matters how it goes on:
    some vocabularies drop the blank before the first word of a text.
    """

    __slots__ = ("_decode", "_given", "_hidden", "_waiting", "_window")

    def __init__(self, tokenizer: Any, *, hidden: frozenset[int] = frozenset(), before: Sequence[int] = ()) -> None:
        self._decode = _decoder(tokenizer)
        self._hidden = hidden
        self._window = [token for token in before if token not in hidden][-_CHARACTER:]
        self._given = len(self._decode(self._window)) if self._window else 0  # characters of the window's text
        self._waiting = 0  # how many tokens at the window's end have completed no character yet

    def feed(self, token: int) -> str:
        """The text that this token completes, "" where it does not complete any."""
        if token in self._hidden:
            return ""
        self._window.append(token)
        self._waiting += 1
        text = self._decode(self._window)
        if text.endswith(_HALF):
            return self._settled(text) if self._waiting > 2 * _CHARACTER else ""
        piece = text[self._given :]
        if len(self._window) > _WINDOW:
            del self._window[: -self._waiting]
            text = self._decode(self._window)
        self._given = len(text)
        self._waiting = 0
        return piece

    def finish(self) -> str:
        """What is left: a character that was cut in half is told as U+FFFD."""
        text = self._decode(self._window)[self._given :] if self._waiting else ""
        self._window, self._given, self._waiting = [], 0, 0
        return text

    def _settled(self, text: str) -> str:
        """All but the last character of bytes that are no text: so many cannot be halves of one character."""
        piece = text[self._given : -1]
        del self._window[:-_CHARACTER]
        self._waiting = _CHARACTER
        self._given = len(self._decode(self._window)) - 1
        return piece


def _decoder(tokenizer: Any) -> Callable[[list[int]], str]:
    fast = Spelling.of(tokenizer).fast
    if fast is not None:
        decode = fast.decode
        return lambda tokens: decode(tokens, skip_special_tokens=False)
    slow = tokenizer.decode
    return lambda tokens: slow(tokens, skip_special_tokens=False, clean_up_tokenization_spaces=False)
