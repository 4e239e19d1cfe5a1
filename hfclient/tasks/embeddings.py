"""Texts as vectors, and how near they are to each other."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from typing_extensions import Unpack

from hfclient.call import Options
from hfclient.tasks.arguments import Text, Texts, ask
from hfclient.types.embeddings import Embeddings
from hfclient.types.items import Items

if TYPE_CHECKING:
    from hfclient.client import Client


async def feature_extraction(
    client: Client,
    text: Text | Texts,
    *,
    model: str | None = None,
    normalize: bool | None = None,
    prompt_name: str | None = None,
    truncate: bool | None = None,
    truncation_direction: Literal["left", "right"] | None = None,
    dimensions: int | None = None,
    encoding_format: Literal["float", "base64"] | None = None,
    batch_size: int | None = None,
    **options: Unpack[Options],
) -> Embeddings:
    """Texts as vectors, one row each, in the order of the texts.

    A list longer than the provider takes at once is sent in several requests; `batch_size` says how many texts go
    into one.

    >>> vectors = await client.feature_extraction(["Hello", "Good morning"])
    >>> print(vectors.shape)
    """
    return await ask(feature_extraction, locals())


async def sentence_similarity(
    client: Client,
    sentence: Text,
    other_sentences: Texts,
    *,
    model: str | None = None,
    **options: Unpack[Options],
) -> Items[float]:
    """How near each of the other sentences is to this one, between -1 and 1.

    >>> scores = await client.sentence_similarity("It is sunny.", ["The sun shines.", "It rains."])
    """
    return await ask(sentence_similarity, locals())
