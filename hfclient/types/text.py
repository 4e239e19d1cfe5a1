"""Text that models write: completions, summaries, translations, captions, transcripts."""

from __future__ import annotations

from typing import Any

from hfclient.types.base import Result, Wire
from hfclient.types.chat import Usage, cost_of


class Token(Wire):
    """One token of a completion, where the server tells them apart."""

    id: int | None = None
    text: str = ""
    logprob: float | None = None
    special: bool = False


class TextGeneration(Result):
    """A text that goes on from the prompt; `details` is what the server tells beyond it, if it was asked."""

    generated_text: str
    finish_reason: str | None = None
    model: str = ""
    usage: Usage | None = None
    details: dict[str, Any] | None = None

    @property
    def text(self) -> str:
        return self.generated_text

    @property
    def cost(self) -> float | None:
        """What the text cost, in USD, where that is known; see `ChatCompletion.cost`."""
        return cost_of(self.usage, self._meta)


class TextGenerationChunk(Wire):
    """A piece of a completion; the last one says why it ended, or holds the whole text."""

    text: str = ""
    generated_text: str | None = None
    token: Token | None = None
    finish_reason: str | None = None
    model: str = ""
    usage: Usage | None = None
    details: dict[str, Any] | None = None


class Summary(Result):
    """A text made shorter."""

    summary_text: str

    @property
    def text(self) -> str:
        return self.summary_text


class Translation(Result):
    """A text in another language."""

    translation_text: str

    @property
    def text(self) -> str:
        return self.translation_text


class Caption(Result):
    """What a picture shows, or the text that stands in it."""

    generated_text: str

    @property
    def text(self) -> str:
        return self.generated_text


class TranscriptChunk(Wire):
    """A stretch of speech; `timestamp` is its beginning and end in seconds, None where the server does not know."""

    text: str = ""
    timestamp: tuple[float | None, ...] = ()


class Transcript(Result):
    """What is said in a recording, and when, where the provider tells."""

    text: str
    chunks: tuple[TranscriptChunk, ...] | None = None
