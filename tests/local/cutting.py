"""Texts cut anywhere, and pieces joined again, to show that where a text is cut does not matter."""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from typing import Any

from hypothesis import strategies as st

from hfclient.local.pieces import Call, Piece


def cuts(text: str) -> st.SearchStrategy[list[str]]:
    """All ways to cut this text."""
    places = st.lists(st.integers(0, len(text)), max_size=30).map(lambda found: sorted({0, *found, len(text)}))
    return places.map(lambda at: [text[a:b] for a, b in itertools.pairwise(at)])


def run(reader: Any, pieces: Iterable[str]) -> list[Piece]:
    """What a splitter makes of these pieces, neighbours of one kind joined."""
    found = [piece for text in pieces for piece in reader.feed(text)]
    return joined([*found, *reader.finish()])


def joined(pieces: Iterable[Piece]) -> list[Piece]:
    whole: list[Piece] = []
    for piece in pieces:
        before = whole[-1] if whole else None
        if before is not None and type(before) is type(piece) and not isinstance(piece, Call):
            whole[-1] = type(before)(before.raw + piece.raw)  # type: ignore[call-arg]
        else:
            whole.append(piece)
    return whole


def raw(pieces: Iterable[Piece]) -> str:
    return "".join(piece.raw for piece in pieces)


def of(kind: type[Any], pieces: Iterable[Piece]) -> str:
    return "".join(piece.raw for piece in pieces if isinstance(piece, kind))


def calls(pieces: Iterable[Piece]) -> list[tuple[str, str]]:
    return [(piece.name, piece.arguments) for piece in pieces if isinstance(piece, Call)]
