"""Text that goes on from a prompt, whole or as it is written."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

from typing_extensions import TypedDict, Unpack

from hfclient.assembly import TextAssembly
from hfclient.call import Options
from hfclient.stream import Stream
from hfclient.tasks.arguments import Text, ask, call_of
from hfclient.types.text import TextGeneration, TextGenerationChunk

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
