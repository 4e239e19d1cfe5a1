"""Text that goes on from a prompt, whole or as it is written."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

from typing_extensions import TypedDict, Unpack

from hfclient.assembly import join, settled
from hfclient.call import Options
from hfclient.stream import Stream
from hfclient.tasks.arguments import Text, ask, call_of
from hfclient.types.text import TextGeneration, TextGenerationChunk, Token

if TYPE_CHECKING:
    from hfclient.client import Client

TextStream: TypeAlias = Stream[TextGenerationChunk, TextGeneration]


class TextGenerationParameters(TypedDict, total=False):
    """How the text is to be continued, under Hugging Face's names; None is not sent."""

    adapter_id: str | None
    best_of: int | None
    decoder_input_details: bool | None
    details: bool | None
    do_sample: bool | None
    frequency_penalty: float | None
    grammar: Mapping[str, Any] | None
    max_new_tokens: int | None
    repetition_penalty: float | None
    return_full_text: bool | None
    seed: int | None
    stop: Sequence[str] | None
    temperature: float | None
    top_k: int | None
    top_n_tokens: int | None
    top_p: float | None
    truncate: int | None
    typical_p: float | None
    watermark: bool | None


class TextGenerationOptions(TextGenerationParameters, Options, total=False):
    """Everything a text generation takes besides prompt and model."""


class TextAssembly:
    """Adds piece to piece."""

    def __init__(self) -> None:
        self._texts: list[str] = []
        self._tokens: list[Token] = []
        self._details: dict[str, Any] = {}
        self._known: dict[str, Any] = {}

    def add(self, chunk: TextGenerationChunk) -> None:
        self._texts.append(chunk.text)
        if chunk.token is not None:
            self._tokens.append(chunk.token)
        if chunk.details:
            join(self._details, chunk.details, texts_grow=False)
        if chunk.generated_text is not None:  # the server's own word for the whole, even if it is nothing
            self._known["generated_text"] = chunk.generated_text
        told = {name: getattr(chunk, name) for name in ("finish_reason", "model", "usage")}
        self._known |= {name: value for name, value in told.items() if value}

    def whole(self) -> bool:
        return "finish_reason" in self._known or "generated_text" in self._known

    def result(self) -> TextGeneration | None:
        if not self._texts:
            return None
        details = settled(self._details)
        if details and self._tokens:  # the whole answer would list them there
            details["tokens"] = [token.model_dump() for token in self._tokens]
        return TextGeneration.model_validate(
            {"generated_text": "".join(self._texts), **self._known, "details": details or None}
        )


async def text_generation(
    client: Client, prompt: Text, *, model: str | None = None, **options: Unpack[TextGenerationOptions]
) -> TextGeneration:
    """Continue a text. For models that chat, `client.chat` is the better way.

    >>> generated = await client.text_generation("Once upon a time", max_new_tokens=20)
    >>> print(generated.text, generated.finish_reason)
    """
    return await ask(text_generation, locals())


def text_generation_stream(
    client: Client, prompt: Text, *, model: str | None = None, **options: Unpack[TextGenerationOptions]
) -> TextStream:
    """Continue a text and read it as it is written.

    >>> async with client.text_generation_stream("Once upon a time") as stream:
    ...     async for text in stream.text():
    ...         print(text, end="")
    """
    return Stream(client.dispatcher, call_of(text_generation_stream, locals(), stream=True), TextAssembly())
