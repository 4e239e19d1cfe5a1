"""Thoughts and answer told apart, while they are being written."""

from __future__ import annotations

from typing import Literal, TypeAlias

from hfclient.local.marks import Marks
from hfclient.local.pieces import Markup, Piece, Text, Thought

Tags: TypeAlias = tuple[str, str]

# The tags that models in use were trained on; which of them a model has is read off its template and vocabulary.
KNOWN_TAGS: tuple[Tags, ...] = (
    ("<think>", "</think>"),
    ("[THINK]", "[/THINK]"),
    ("<seed:think>", "</seed:think>"),
    ("◁think▷", "◁/think▷"),
    ("<|channel>thought\n", "<channel|>"),
    ("<|begin_of_thought|>", "<|end_of_thought|>"),
    ("<thinking>", "</thinking>"),
    ("<thought>", "</thought>"),
    ("<reasoning>", "</reasoning>"),
)
THINK = KNOWN_TAGS[0]


class Reasoning:
    """Splits what a model writes at its think tags.

    A model thinks first or not at all: an opening tag further on is part of what it says. With `inside` the prompt
    ended with the opening tag; a model that writes it once more is not taken at its word. Thoughts that are never
    closed are thoughts to the end.
    """

    __slots__ = ("_close", "_held", "_inside", "_marks", "_open", "_place")

    def __init__(self, tags: Tags = THINK, *, inside: bool = False) -> None:
        self._open, self._close = tags
        self._marks = Marks(self._close)
        self._inside = inside
        self._held = ""
        self._place: Literal["start", "opened", "thought", "closed", "answer"] = "start"

    @property
    def answering(self) -> bool:
        """Whether all that comes from now on is said, not thought."""
        return self._place == "answer"

    @property
    def thinking(self) -> bool:
        """Whether what comes next is thought, as far as one can know."""
        return self._place in {"opened", "thought"} or (self._place == "start" and self._inside)

    def feed(self, text: str) -> list[Piece]:
        """What became clear with this text."""
        if self._place == "answer":
            return [Text(text)] if text else []
        self._held += text
        return self._pieces(final=False)

    def finish(self) -> list[Piece]:
        """What was held back, now that nothing follows."""
        return self._pieces(final=True)

    def _pieces(self, *, final: bool) -> list[Piece]:
        pieces: list[Piece] = []
        while self._held:
            before = self._place, len(self._held)
            match self._place:
                case "start":
                    self._begin(pieces, final=final)
                case "opened":
                    self._pass_blanks(pieces, then="thought")
                case "thought":
                    self._think(pieces, final=final)
                case "closed":
                    self._pass_blanks(pieces, then="answer")
                case "answer":
                    pieces.append(Text(self._take(len(self._held))))
            if before == (self._place, len(self._held)):
                break
        return pieces

    def _take(self, end: int) -> str:
        taken, self._held = self._held[:end], self._held[end:]
        return taken

    def _begin(self, pieces: list[Piece], *, final: bool) -> None:
        shown = self._held.lstrip()
        if shown.startswith(self._open):
            pieces.append(Markup(self._take(len(self._held) - len(shown) + len(self._open))))
            self._place = "opened"
        elif final or not self._open.startswith(shown):
            self._place = "opened" if self._inside else "answer"

    def _pass_blanks(self, pieces: list[Piece], then: Literal["thought", "answer"]) -> None:
        if blanks := len(self._held) - len(self._held.lstrip()):
            pieces.append(Markup(self._take(blanks)))
        if self._held:
            self._place = then

    def _think(self, pieces: list[Piece], *, final: bool) -> None:
        found, settled = self._marks.look(self._held, final=final)
        if found is not None or not final:
            settled = len(self._held[:settled].rstrip())  # blanks before the closing tag belong to it
        if settled:
            pieces.append(Thought(self._take(settled)))
        if found is not None:
            pieces.append(Markup(self._take(found.end - settled)))
            self._place = "closed"
