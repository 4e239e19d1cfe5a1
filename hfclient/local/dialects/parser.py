"""Tool calls taken out of what a model writes, while it is being written, in whatever markup they stand."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple, TypeAlias

from hfclient.local.dialects.arguments import Asked, Offers, as_json
from hfclient.local.dialects.brackets import Brackets
from hfclient.local.marks import Mark, Marks
from hfclient.local.pieces import Call, Malformed, Markup, Piece, Text

log = logging.getLogger("hfclient")

UNREADABLE = (ValueError, SyntaxError, LookupError, TypeError, AttributeError, RecursionError, MemoryError)


class Body(NamedTuple):
    """What stands between a block's marks, the name of the function where the opening mark holds it, and all of it."""

    text: str
    name: str
    raw: str


Read: TypeAlias = Callable[[Body, Offers], list[Asked]]


@dataclass(frozen=True, slots=True)
class Block:
    """One way in which calls stand in a text: between which marks, and how to read what is between them.

    It ends with its bracketed value (`value`, whose closing mark is a text), with the closing mark outside quotes
    (`quoted`, likewise), or with the next closing mark (`plain`); without a closing mark at the end of the output.
    Where only the reading tells whether a call was meant, it is not `sure`, and what cannot be read is text. One that
    stands `first` counts only where nothing has been said before. One without `read` is its opening mark and no more:
    markup that stands around calls.
    """

    opener: Mark
    closer: Mark
    read: Read | None
    ends: Literal["value", "quoted", "plain"] = "value"
    sure: bool = True
    first: bool = False


class Ended(NamedTuple):
    """Where a block's body ends, where the block does, and the closing mark that is still to come."""

    body: int
    block: int
    pending: str = ""


class Open:
    """A block that has begun: its body stands in the text from `start` on."""

    __slots__ = ("_at", "_brackets", "_closer", "_plain", "block", "name", "start")

    def __init__(self, block: Block, start: int, name: str) -> None:
        self.block, self.start, self.name = block, start, name
        self._at = start
        self._closer = Marks(block.closer) if block.closer else Marks()
        self._plain = block.ends == "plain"
        self._brackets = Brackets(start, block.closer, balanced=False) if block.ends == "quoted" else None

    def ended(self, text: str, *, final: bool) -> Ended | None:
        """Where it ends, None while that cannot be told. A text that is final ends with it, if nothing else does."""
        ended = self._by_brackets(text) if not self._plain else self._by_closer(text, self._at)
        if ended is None and final:
            return self._by_closer(text, self.start, final=True) or Ended(len(text), len(text))
        return ended

    def _by_brackets(self, text: str) -> Ended | None:
        if self._brackets is None:
            blank = len(text) - len(text[self.start :].lstrip())
            if blank == len(text):
                return None
            if text[blank] not in "{[":
                self._plain = True
                return self._by_closer(text, self._at)
            self._brackets = Brackets(blank, self.block.closer)
        if (found := self._brackets.end(text)) is None:
            return None
        at, whole = found
        return Ended(at, at, self.block.closer) if whole else Ended(at, at + len(self.block.closer))

    def _by_closer(self, text: str, start: int, *, final: bool = False) -> Ended | None:
        found, self._at = self._closer.look(text, start, final=final)
        return Ended(found.start, found.end) if found else None


class Parser:
    """Reads one model's output, which comes in pieces cut anywhere. Text goes through at once, but for what may yet be
    the beginning of a call, and the white space before that."""

    def __init__(self, blocks: Sequence[Block], offers: Offers) -> None:
        self._offers = offers
        self._blocks = blocks
        self._openers = Marks(*(block.opener for block in blocks))
        self._text = ""  # what is not settled yet
        self._said = False  # whether there was text before it
        self._open: Open | None = None
        self._pending = ""
        self._go_on = self._outside

    def feed(self, text: str) -> list[Piece]:
        """What became clear with this text."""
        self._text += text
        return self._pieces(final=False)

    def finish(self) -> list[Piece]:
        """What was held back, now that nothing follows."""
        return self._pieces(final=True)

    def _pieces(self, *, final: bool) -> list[Piece]:
        pieces: list[Piece] = []
        while self._text and self._go_on(pieces, final=final):
            pass
        return pieces

    def _take(self, end: int) -> str:
        taken, self._text = self._text[:end], self._text[end:]
        return taken

    def _outside(self, pieces: list[Piece], *, final: bool) -> bool:
        """Tell the text before the next call; whether there is more to be done with the rest."""
        found, settled = self._openers.look(self._text, final=final)
        if found is not None or not final:
            settled = len(self._text[:settled].rstrip())
        if settled:
            self._say(pieces, Text(self._take(settled)))
        if found is None:
            return False
        block = self._blocks[found.which]
        if block.read is None:
            pieces.append(Markup(self._take(found.end - settled)))
        else:
            self._open = Open(block, found.end - settled, (found.groups or {}).get("name") or "")
            self._go_on = self._inside
        return True

    def _say(self, pieces: list[Piece], said: Text | Malformed) -> None:
        pieces.append(said)
        if not self._said:
            self._said = True
            self._blocks = [block for block in self._blocks if not block.first]
            self._openers = Marks(*(block.opener for block in self._blocks))

    def _inside(self, pieces: list[Piece], *, final: bool) -> bool:
        """Read the block that has begun, once it is whole."""
        opened = self._open
        ended = opened.ended(self._text, final=final) if opened else None
        if opened is None or ended is None:
            return False
        body = Body(self._text[opened.start : ended.body], opened.name, self._text[: ended.block])
        calls = self._read(opened.block, body)
        raw = self._take(ended.block)
        if calls:
            pieces += [Call(name, arguments, "" if place else raw) for place, (name, arguments) in enumerate(calls)]
            self._pending = ended.pending
            self._go_on = self._after
        else:
            self._say(pieces, Malformed(raw) if opened.block.sure else Text(raw))
            self._go_on = self._outside
        return True

    def _read(self, block: Block, body: Body) -> list[tuple[str, str]]:
        try:
            asked = block.read(body, self._offers) if block.read else []
            calls = [(call.name, as_json(call.arguments)) for call in asked]
            if not calls:
                raise ValueError("there is none in it")
        except UNREADABLE as error:
            if block.sure:
                said = str(error).partition("\n")[0]  # what follows may quote what was written, which is nobody else's
                log.warning("A tool call that the model wrote cannot be read, and is given as text: %s", said)
            return []
        return calls

    def _after(self, pieces: list[Piece], *, final: bool) -> bool:
        """Pass over what closes a block, and the white space and separators before what comes next."""
        shown = self._text.lstrip(_BLANK + ("}]," if self._pending else ";"))
        passed = len(self._text) - len(shown)
        if self._pending and shown.startswith(self._pending):
            passed += len(self._pending)
            self._pending = ""
        elif self._pending and shown.startswith(("{", "[")) and self._open:
            self._open = Open(self._open.block, 0, "")  # one more in the same block
            self._go_on = self._inside
        elif shown and (final or not self._pending.startswith(shown)):
            self._go_on = self._outside
        if passed:
            pieces.append(Markup(self._take(passed)))
        return self._go_on != self._after or bool(passed and self._text)


_BLANK = " \t\r\n"
