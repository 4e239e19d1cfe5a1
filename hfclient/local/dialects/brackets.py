"""Where a bracketed value ends, found while it is being written: what stands in quotes does not count."""

from __future__ import annotations

import re

_INSIDE = {quote: re.compile(rf"\\.|{quote}", re.DOTALL) for quote in ('"', "'", '"""', "'''")}


class Brackets:
    """Follows a text through quotes and brackets, from where it was until where it is.

    It stops where the first bracket is closed (unless `balanced` is False), or where the closing tag stands outside
    quotes.
    """

    __slots__ = ("_at", "_balanced", "_closer", "_depth", "_outside", "_quote")

    def __init__(self, start: int, closer: str, *, balanced: bool = True) -> None:
        self._at: int = start
        self._closer = closer
        self._balanced = balanced
        self._depth = 0
        self._quote = ""
        tag = f"|{re.escape(closer)}" if closer else ""
        self._outside = re.compile(rf'"""|\'\'\'|["\'(\[{{)\]}}]{tag}')

    def end(self, text: str) -> tuple[int, bool] | None:
        """Where it ends: after its last bracket, which is whole, or before the closing tag; None while it goes on."""
        while True:
            inside = bool(self._quote)
            match = (_INSIDE[self._quote] if inside else self._outside).search(text, self._at)
            if match is None:
                # The end may hold the beginning of a tag or of three quotes; a lone backslash waits for its other half.
                longest = len(self._quote) if inside else len(self._closer)
                self._at = max(self._at, len(text) - max(longest - 1, 1))
                return None
            if not inside and match[0] in _INSIDE and text[match.start() :] in _GROWING:
                self._at = match.start()
                return None
            self._at = match.end()
            if inside:
                self._quote = self._quote if match[0].startswith("\\") else ""
            elif match[0] in _INSIDE:
                self._quote = match[0]
            elif (end := self._counted(match)) is not None:
                return end

    def _counted(self, match: re.Match[str]) -> tuple[int, bool] | None:
        if match[0] == self._closer:
            return match.start(), False
        self._depth += 1 if match[0] in "([{" else -1
        return (match.end(), True) if self._balanced and self._depth <= 0 else None


_GROWING = {'"', "'", '""', "''"}  # one quote, two, or the beginning of three
