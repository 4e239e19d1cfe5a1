"""What a model's output is made of. Every piece knows the text it was: joined, these are the output, to the letter."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias


@dataclass(frozen=True, slots=True)
class Text:
    """Something said to the reader."""

    raw: str


@dataclass(frozen=True, slots=True)
class Thought:
    """Something thought before that."""

    raw: str


@dataclass(frozen=True, slots=True)
class Markup:
    """Tags, and white space beside them, which no reader sees."""

    raw: str


@dataclass(frozen=True, slots=True)
class Malformed:
    """A call of a tool that cannot be read. It is given as text: the reader may make more of it."""

    raw: str


@dataclass(frozen=True, slots=True)
class Call:
    """A call of a tool; `arguments` is JSON text. Where one markup holds several calls, the first has its text."""

    name: str
    arguments: str
    raw: str = ""


Piece: TypeAlias = Text | Thought | Markup | Malformed | Call
