"""Pictures that models make."""

from __future__ import annotations

from typing import TYPE_CHECKING

from typing_extensions import TypedDict, Unpack

from hfclient.call import FileOptions
from hfclient.tasks.arguments import MediaInput, Text, ask
from hfclient.types.files import Image

if TYPE_CHECKING:
    from hfclient.client import Client


class TargetSize(TypedDict):
    """The size of what is to be made, in pixels."""

    width: int
    height: int


async def text_to_image(
    client: Client,
    prompt: Text,
    *,
    model: str | None = None,
    negative_prompt: str | None = None,
    height: int | None = None,
    width: int | None = None,
    num_inference_steps: int | None = None,
    guidance_scale: float | None = None,
    scheduler: str | None = None,
    seed: int | None = None,
    **options: Unpack[FileOptions],
) -> Image:
    """Make a picture from a text.

    >>> image = await client.text_to_image("an astronaut riding a horse", model="black-forest-labs/FLUX.1-dev")
    >>> image.save("horse.png")
    """
    return await ask(text_to_image, locals())


async def image_to_image(
    client: Client,
    image: MediaInput,
    prompt: str | None = None,
    *,
    model: str | None = None,
    negative_prompt: str | None = None,
    num_inference_steps: int | None = None,
    guidance_scale: float | None = None,
    target_size: TargetSize | None = None,
    **options: Unpack[FileOptions],
) -> Image:
    """Make a picture from another.

    >>> image = await client.image_to_image("cat.png", "Turn the cat into a tiger.")
    """
    return await ask(image_to_image, locals())


async def image_text_to_image(
    client: Client,
    image: MediaInput | None,
    prompt: str | None = None,
    *,
    model: str | None = None,
    negative_prompt: str | None = None,
    num_inference_steps: int | None = None,
    guidance_scale: float | None = None,
    seed: int | None = None,
    target_size: TargetSize | None = None,
    **options: Unpack[FileOptions],
) -> Image:
    """Make a picture from a text and, unless it is None, another picture.

    >>> image = await client.image_text_to_image("cat.png", "The same cat on the moon")
    """
    return await ask(image_text_to_image, locals())
