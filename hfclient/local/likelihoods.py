"""Log probabilities kept in step with the content that is delivered: each token's come with the last of its text."""

from __future__ import annotations

from collections import deque
from typing import Any

from hfclient.local.engine import Written
from hfclient.local.spelling import Spelling

_NEVER = -9999.0  # what OpenAI's API has for a token that could not come: JSON has no infinity


class Likelihoods:
    """Holds each token's entry, in the shape of OpenAI's API, until the reader has its text; those of tokens that are
    not part of the content are dropped."""

    __slots__ = ("_entries", "_partly", "_passed", "_released", "_spelling", "_unplaced", "_written")

    def __init__(self, spelling: Spelling) -> None:
        self._spelling = spelling
        self._unplaced: list[dict[str, Any]] = []  # of tokens that have completed no character yet
        self._entries: deque[tuple[int, dict[str, Any]]] = deque()  # with the place where the token's text ends
        self._written = 0  # characters that tokens have brought
        self._passed = 0  # characters that have been dealt with, as content or not
        self._released = 0  # where the text of the last token that is done with ended
        self._partly = False  # whether some of the next token's text was content

    def note(self, written: Written) -> None:
        """Take down a token whose text is to come."""
        if written.token is not None and written.logprob is not None:
            top = [self._one(token, logprob) for token, logprob in written.top]
            self._unplaced.append({**self._one(written.token, written.logprob), "top_logprobs": top})

    def came(self, characters: int) -> None:
        """The tokens that were noted last brought so many characters."""
        if characters:
            self._written += characters
            self._entries.extend((self._written, entry) for entry in self._unplaced)
            self._unplaced = []

    def passed(self, characters: int, *, content: bool) -> list[dict[str, Any]]:
        """So many characters went to the reader, or elsewhere; the entries of the tokens that this makes whole."""
        if not characters:
            return []
        self._passed += characters
        told: list[dict[str, Any]] = []
        while self._entries and self._entries[0][0] <= self._passed:
            self._released, entry = self._entries.popleft()
            if content or self._partly:
                told.append(entry)
            self._partly = False
        self._partly = self._partly or (content and self._released < self._passed)
        return told

    def rest(self) -> list[dict[str, Any]]:
        """The entry of a token of which only the beginning was content, at the end."""
        rest = [self._entries[0][1]] if self._partly and self._entries else []
        self._entries.clear()
        return rest

    def _one(self, token: int, logprob: float) -> dict[str, Any]:
        spelt = self._spelling.bytes_of(token)
        return {"token": spelt.decode(errors="replace"), "logprob": max(logprob, _NEVER), "bytes": [*spelt]}
