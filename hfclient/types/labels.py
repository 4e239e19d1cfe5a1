"""What models say about texts, pictures and sounds: labels, words, places."""

from __future__ import annotations

from pydantic import ConfigDict, Field

from hfclient.types.base import Result, Wire
from hfclient.types.files import Audio, Image


class Label(Wire):
    """A class, and how sure the model is of it."""

    label: str
    score: float


class Entity(Wire):
    """A word, or a group of them, and what it is; `start` and `end` count characters of the text."""

    word: str
    score: float
    entity_group: str | None = None
    entity: str | None = None
    start: int | None = None
    end: int | None = None

    @property
    def label(self) -> str:
        """What it is, grouped with its neighbours or not."""
        return self.entity_group or self.entity or ""


class FilledMask(Wire):
    """A word for the mask; `sequence` is the text with the word in it."""

    sequence: str
    score: float
    token: int | None = None
    token_str: str | None = None


class Answer(Wire):
    """An answer, and where it stands; `start` and `end` count characters of a text, or words of a document.

    It is None where the model found none.
    """

    answer: str | None
    score: float | None = None
    start: int | None = None
    end: int | None = None
    words: tuple[int, ...] | None = None


class TableAnswer(Result):
    """An answer out of a table: the cells it was taken from, and what was done with them."""

    answer: str
    coordinates: tuple[tuple[int, ...], ...] = ()
    cells: tuple[str, ...] = ()
    aggregator: str | None = None


class Box(Wire):
    """A place in a picture, in pixels from its upper left corner."""

    xmin: float
    ymin: float
    xmax: float
    ymax: float


class DetectedObject(Wire):
    """A thing in a picture, and where."""

    label: str
    score: float
    box: Box


class Segment(Wire):
    """A part of a picture: `mask` is white where it is."""

    model_config = ConfigDict(arbitrary_types_allowed=True)

    label: str
    mask: Image = Field(repr=False)
    score: float | None = None


class Track(Wire):
    """A sound that was made out of another."""

    model_config = ConfigDict(arbitrary_types_allowed=True)

    audio: Audio = Field(repr=False)
    label: str = ""
