"""A text that goes on from a prompt, as it stands: no chat template, no roles."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from hfclient.assembly import TextAssembly
from hfclient.call import Call
from hfclient.local.engine import Constraint, Generation, Written
from hfclient.local.parameters import OF_A_TEXT, arguments_of, wishes_of
from hfclient.local.speaker import Speaker, number
from hfclient.types.chat import Usage
from hfclient.types.text import TextGenerationChunk, Token

if TYPE_CHECKING:
    from hfclient.local.writer import TextPieces, TextWriter


@dataclass(frozen=True, slots=True, kw_only=True)
class AskedText:
    """A text generation, read."""

    prompt: str
    arguments: Mapping[str, Any]


class TextHandler:
    """Text generation."""

    def read(self, call: Call) -> AskedText:
        arguments = arguments_of(call, OF_A_TEXT)
        wishes_of(arguments, {})
        return AskedText(prompt=call.inputs, arguments=arguments)

    def scribe(self, speaker: Speaker, asked: AskedText) -> TextScribe:
        from hfclient.local.spelling import check_characters  # noqa: PLC0415  what these need comes with the engines
        from hfclient.local.writer import TextWriter  # noqa: PLC0415

        check_characters(asked.prompt)
        wishes = wishes_of(asked.arguments, speaker.loaded.defaults)
        tokens = speaker.tokenizer(asked.prompt, verbose=False).input_ids  # how long it may be is said by us
        prompt = _fitted(speaker, tokens, asked.arguments.get("truncate"))
        generation = Generation(
            id=number(),
            tokens=prompt,
            max_tokens=speaker.room(prompt, wishes.max_tokens),
            stop_tokens=speaker.stop_tokens,
            sampling=wishes.sampling,
            constraint=_held_to(asked.arguments.get("grammar"), speaker),
        )
        writer = TextWriter(speaker.tokenizer, stop=wishes.stop, prompt=prompt)
        return TextScribe(speaker.name, generation, writer, asked)

    def assembly(self) -> TextAssembly:
        return TextAssembly()


def _fitted(speaker: Speaker, prompt: list[int], truncate: int | None) -> list[int]:
    """The prompt, or its end: what is nearest to the text that is to come."""
    kept = prompt[-truncate:] if truncate else prompt
    limit = speaker.longest
    if limit is None or len(kept) <= limit:
        return kept
    if speaker.options.long_input == "error":
        raise speaker.too_long(len(kept), limit)
    return kept[-limit:]


def _held_to(grammar: Mapping[str, Any] | None, speaker: Speaker) -> Constraint | None:
    if grammar is None:
        return None
    from hfclient.local.constrain import constraint_for  # noqa: PLC0415  it needs a library of its own

    return constraint_for(grammar, speaker.grammars)


class TextScribe:
    """Makes chunks of the tokens of one text."""

    def __init__(self, model: str, generation: Generation, writer: TextWriter, asked: AskedText) -> None:
        self.generations = (generation,)
        self._model = model
        self._writer = writer
        self._prefix = asked.prompt if asked.arguments.get("return_full_text") else ""
        self._details = bool(asked.arguments.get("details"))
        self._tops = bool(asked.arguments.get("top_n_tokens"))
        self._written = self._cached = 0

    def write(self, written: Written) -> tuple[list[TextGenerationChunk], bool]:
        pieces = self._writer.write(written)
        self._written += 1
        self._cached = max(self._cached, written.cached)
        text, self._prefix = self._prefix + pieces.text, ""
        token = Token.model_validate(pieces.token) if self._details and pieces.token else None
        details = self._told(pieces) if self._details else None
        if not (text or token or pieces.finish_reason):
            return [], self._writer.over
        chunk = TextGenerationChunk.model_construct(
            text=text,
            token=token,
            finish_reason=pieces.finish_reason,
            model=self._model,
            details=details,
        )
        return [chunk], self._writer.over

    def _told(self, pieces: TextPieces) -> dict[str, Any] | None:
        """What is told beside the text: the likeliest tokens at each place, and at the end why it ended."""
        told: dict[str, Any] = {"top_tokens": [pieces.top]} if self._tops and pieces.token else {}
        if pieces.finish_reason is not None:
            told |= {"finish_reason": pieces.finish_reason, "generated_tokens": self._written}
        return told or None

    def farewell(self) -> list[TextGenerationChunk]:
        usage = usage_of(len(self.generations[0].tokens), self._written, self._cached)
        return [TextGenerationChunk.model_construct(text="", model=self._model, usage=usage)]


def usage_of(prompt: int, completion: int, cached: int, thought: int | None = None) -> Usage:
    """What was read and written, in tokens."""
    return Usage(
        prompt_tokens=prompt,
        completion_tokens=completion,
        total_tokens=prompt + completion,
        prompt_tokens_details={"cached_tokens": cached},
        completion_tokens_details=None if thought is None else {"reasoning_tokens": thought},
    )
