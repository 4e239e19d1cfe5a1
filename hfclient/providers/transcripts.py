"""What was said in a recording, and when, under the names that providers have for it."""

from __future__ import annotations

from typing import Any, cast

from hfclient.flow import JSON
from hfclient.providers.reading import at, items_of
from hfclient.types.text import Transcript, TranscriptChunk

# Whisper says `text`, Nemotron `output`; the translation is what was said only where nothing else is.
_TEXT = ("text", "output", "transcription", "translation")


def transcript_in(payload: JSON) -> Transcript | None:
    """The transcript in an answer; None where there is no text. Whatever else is told stays with it."""
    if not isinstance(payload, dict):
        return None
    fields = cast("dict[str, Any]", payload)
    text = next((said for name in _TEXT if isinstance(said := fields.get(name), str)), None)
    if text is None:
        return None
    pieces = items_of(fields.get("chunks")) or items_of(fields.get("segments"))
    chunks = tuple(_chunk(piece) for piece in pieces if isinstance(at(piece, "text"), str))
    return Transcript.model_validate({**fields, "text": text, "chunks": chunks or None})


def _chunk(piece: JSON) -> TranscriptChunk:
    """A piece with its `timestamp`, or with its `start` and `end`."""
    times = items_of(at(piece, "timestamp")) or [at(piece, "start"), at(piece, "end")]
    known = tuple(time if isinstance(time, int | float) else None for time in times)
    return TranscriptChunk.model_validate({**piece, "timestamp": known if set(known) != {None} else ()})
