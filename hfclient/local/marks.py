"""The one way in which text is held back: what may still become a mark stays, everything before it can go.

Stop strings, think tags and the markup of tool calls are all marks in a text that arrives piece by piece.
"""

from __future__ import annotations

from typing import Any, NamedTuple, TypeAlias

Mark: TypeAlias = Any  # a text, or a compiled pattern of the package `regex`, which knows what may yet become a match


class Found(NamedTuple):
    """A mark that is whole: which one, where it stands, and what its pattern's named groups matched."""

    which: int
    start: int
    end: int
    groups: dict[str, str | None] | None = None


class Marks:
    """Some marks to look for. The one that begins first counts, and of two that begin together the one named first."""

    __slots__ = ("_marks",)

    def __init__(self, *marks: Mark) -> None:
        # Most texts hold not one letter of a mark, so its first is kept at hand; and how far its beginning can reach.
        self._marks = [(mark, *((mark[0], len(mark) - 1) if isinstance(mark, str) else ("", 0))) for mark in marks]

    def look(self, text: str, start: int = 0, *, final: bool = False) -> tuple[Found | None, int]:
        """The first mark that is whole, and how much of the text is settled: no mark begins in it, or ever will.

        A mark that is whole is not given while one that would come before it may still be completed. When the text is
        `final`, nothing is waited for.
        """
        size = settled = len(text)
        found: Found | None = None
        for which, (mark, letter, reach) in enumerate(self._marks):
            if letter:
                at = text.find(mark, start)
                if 0 <= at < settled:
                    found, settled = Found(which, at, at + len(mark)), at
                at = -1 if final else text.find(letter, max(start, size - reach))
                begun = size if at < 0 else _begun(mark, text, at)
            else:
                here, begun = _matched(which, mark, text, start, final=final)
                if here is not None and here.start < settled:
                    found, settled = here, here.start
            if begun < settled:  # it comes before what is whole, and may yet become a mark
                found, settled = None, begun
        return found, settled


def _begun(mark: str, text: str, at: int) -> int:
    """Where the longest end of the text begins that the mark begins with; the end of the text where there is none."""
    while at >= 0:
        if mark.startswith(text[at:]):
            return at
        at = text.find(mark[0], at + 1)
    return len(text)


def _matched(which: int, pattern: Any, text: str, start: int, *, final: bool) -> tuple[Found | None, int]:
    match = pattern.search(text, start, partial=not final)
    if match is None:
        return None, len(text)
    if not final and (match.partial or match.end() == len(text) > match.start()):
        return None, int(match.start())  # it may still grow
    return Found(which, match.start(), match.end(), match.groupdict()), len(text)
