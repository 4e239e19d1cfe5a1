"""The types of files, vectors and lists, pinned: this file is checked by mypy and pyright, and never run."""

from __future__ import annotations

from pathlib import Path
from typing import assert_type

import numpy
import PIL.Image
from numpy.typing import NDArray

from hfclient.types import Audio, Embeddings, File, Image, Items, Meta, Usage, Video


async def files(image: Image, audio: Audio, video: Video) -> None:
    for file in (File(b""), image, audio, video):
        assert_type(file.content, bytes)
        assert_type(bytes(file), bytes)
        assert_type(file.meta, Meta)
    assert_type(Image.of(b"", declared="image/png"), Image)
    assert_type(image.save("cat.png"), Path)
    assert_type(await image.asave(Path("cat.png")), Path)
    assert_type(image.dimensions, tuple[int, int])
    assert_type(image.pil(), PIL.Image.Image)
    assert_type(image.numpy(), NDArray[numpy.uint8])
    assert_type(audio.numpy(), tuple[NDArray[numpy.float32], int])
    assert_type(image.with_meta(image.meta), Image)


def vectors(embeddings: Embeddings) -> None:
    assert_type(embeddings.shape, tuple[int, ...])
    assert_type(embeddings[0], memoryview[float] | Embeddings)
    assert_type(embeddings[:2], Embeddings)
    assert_type(embeddings.numpy(), NDArray[numpy.float32])
    assert_type(embeddings.cosine(), list[list[float]])
    assert_type(embeddings.usage, Usage | None)
    assert_type(numpy.asarray(embeddings, dtype=numpy.float32), NDArray[numpy.float32])
    for row in embeddings:
        assert_type(row, memoryview[float] | Embeddings)


def lists(items: Items[Image]) -> None:
    assert_type(items[0], Image)
    assert_type(items[:2], list[Image])
    assert_type(items.meta, Meta)
    assert_type(items.with_meta(items.meta), Items[Image])
