"""Films that models make. They take minutes: `client.submit` begins one and lets you come back for it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from typing_extensions import Unpack

from hfclient.call import FileOptions
from hfclient.tasks.arguments import MediaInput, Text, ask
from hfclient.tasks.images import TargetSize
from hfclient.types.files import Video

if TYPE_CHECKING:
    from hfclient.client import Client


async def text_to_video(
    client: Client,
    prompt: Text,
    *,
    model: str | None = None,
    guidance_scale: float | None = None,
    negative_prompt: str | Sequence[str] | None = None,
    num_frames: float | None = None,
    num_inference_steps: int | None = None,
    seed: int | None = None,
    **options: Unpack[FileOptions],
) -> Video:
    """Make a film from a text.

    >>> video = await client.text_to_video("A cat walks over the roofs.", on_progress=print, save_to="cat.mp4")
    """
    return await ask(text_to_video, locals())


async def image_to_video(
    client: Client,
    image: MediaInput,
    *,
    model: str | None = None,
    prompt: str | None = None,
    negative_prompt: str | None = None,
    num_frames: float | None = None,
    num_inference_steps: int | None = None,
    guidance_scale: float | None = None,
    seed: int | None = None,
    target_size: TargetSize | None = None,
    **options: Unpack[FileOptions],
) -> Video:
    """Make a film from a picture.

    >>> video = await client.image_to_video("cat.png", prompt="The cat begins to walk.")
    """
    return await ask(image_to_video, locals())


async def image_text_to_video(
    client: Client,
    image: MediaInput | None,
    prompt: str | None = None,
    *,
    model: str | None = None,
    negative_prompt: str | None = None,
    num_frames: float | None = None,
    num_inference_steps: int | None = None,
    guidance_scale: float | None = None,
    seed: int | None = None,
    target_size: TargetSize | None = None,
    **options: Unpack[FileOptions],
) -> Video:
    """Make a film from a text and, unless it is None, a picture.

    >>> video = await client.image_text_to_video("cat.png", "The cat begins to walk.")
    """
    return await ask(image_text_to_video, locals())
