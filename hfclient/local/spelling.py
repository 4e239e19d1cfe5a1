"""How a tokenizer's single tokens are spelt: the bytes they stand for, and which of them are no text at all."""

from __future__ import annotations

import re
from functools import cache
from typing import Any

from hfclient.errors import InputError

_BYTE = re.compile(r"<0x([0-9A-Fa-f]{2})>")


class Spelling:
    """What is worth knowing about each token, found once for a tokenizer and kept on it."""

    def __init__(self, tokenizer: Any) -> None:
        self._tokenizer = tokenizer
        added = tokenizer.added_tokens_decoder
        self.added: dict[int, str] = {int(number): token.content for number, token in added.items()}
        self.special = frozenset(int(number) for number, token in added.items() if token.special)
        self.fast: Any = getattr(tokenizer, "_tokenizer", None)
        self._bytewise = self.fast is not None and "ByteLevel" in str(_state(self.fast.decoder))
        self._known: dict[int, bytes] = {}
        self._hidden: dict[tuple[str, ...], frozenset[int]] = {}

    @classmethod
    def of(cls, tokenizer: Any) -> Spelling:
        """The spelling of this tokenizer's tokens."""
        found = getattr(tokenizer, "_hfclient_spelling", None)
        if not isinstance(found, cls) or len(found.added) != len(tokenizer.added_tokens_decoder):
            found = cls(tokenizer)
            tokenizer._hfclient_spelling = found
        return found

    def hidden(self, *markup: str) -> frozenset[int]:
        """The special tokens, which nobody reads, but for those that this markup is made of."""
        if markup not in self._hidden:
            shown = (number for number in self.special if any(self.added[number] in mark for mark in markup))
            self._hidden[markup] = self.special.difference(shown)
        return self._hidden[markup]

    def bytes_of(self, token: int) -> bytes:
        """What the token adds to a text; a part of a character may be all of it."""
        if token not in self._known:
            self._known[token] = self._spelt(token)
        return self._known[token]

    def _spelt(self, token: int) -> bytes:
        if token in self.added:
            return self.added[token].encode()
        piece: str | None = self._tokenizer.convert_ids_to_tokens(token)
        if piece is None:
            return b""  # the model has more places than the vocabulary has tokens
        if self._bytewise:
            letters = _bytes_by_letter()
            return bytes(letters[letter] for letter in piece if letter in letters)
        if found := _BYTE.fullmatch(piece):
            return bytes([int(found[1], 16)])
        return piece.replace("▁", " ").encode(errors="replace")


def check_characters(text: str) -> None:
    """Refuse what tokenizers have only words of their own for."""
    try:
        text.encode()
    except UnicodeEncodeError:
        raise InputError(
            "There is half a character (a lone surrogate) in the text, which no tokenizer reads.",
            advice='Repair it where it was cut: text.encode("utf-16", "surrogatepass").decode("utf-16", "replace").',
        ) from None


def _state(decoder: Any) -> Any:
    return b"" if decoder is None else decoder.__getstate__()


@cache
def _bytes_by_letter() -> dict[str, int]:
    """Byte-level vocabularies write each byte as a letter: itself where it prints, else the next one from U+0100 on."""
    prints = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    rest = [byte for byte in range(256) if byte not in prints]
    return {chr(byte): byte for byte in prints} | {chr(256 + place): byte for place, byte in enumerate(rest)}
