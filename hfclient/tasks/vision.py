"""What is in pictures: classes, things and their places, answers, words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

from typing_extensions import Unpack

from hfclient.call import Options
from hfclient.tasks.arguments import Labels, MediaInput, Text, ask
from hfclient.tasks.language import Transform
from hfclient.types.items import Items
from hfclient.types.labels import Answer, DetectedObject, Label, Segment
from hfclient.types.text import Caption

if TYPE_CHECKING:
    from hfclient.client import Client


async def image_classification(
    client: Client,
    image: MediaInput,
    *,
    model: str | None = None,
    function_to_apply: Transform | None = None,
    top_k: int | None = None,
    **options: Unpack[Options],
) -> Items[Label]:
    """Say which classes a picture is of, the likeliest first.

    >>> labels = await client.image_classification("cat.png")
    """
    return await ask(image_classification, locals())


async def zero_shot_image_classification(
    client: Client,
    image: MediaInput,
    candidate_labels: Labels,
    *,
    model: str | None = None,
    hypothesis_template: str | None = None,
    **options: Unpack[Options],
) -> Items[Label]:
    """Say which of these classes a picture is of; the model need not have been trained for them.

    >>> labels = await client.zero_shot_image_classification("cat.png", ["cat", "dog"])
    """
    return await ask(zero_shot_image_classification, locals())


async def object_detection(
    client: Client,
    image: MediaInput,
    *,
    model: str | None = None,
    threshold: float | None = None,
    **options: Unpack[Options],
) -> Items[DetectedObject]:
    """Find things in a picture, and where they are.

    >>> found = await client.object_detection("cat.png")
    >>> print([(each.label, each.box.xmin, each.box.ymin) for each in found])
    """
    return await ask(object_detection, locals())


async def image_segmentation(
    client: Client,
    image: MediaInput,
    *,
    model: str | None = None,
    mask_threshold: float | None = None,
    overlap_mask_area_threshold: float | None = None,
    subtask: Literal["instance", "panoptic", "semantic"] | None = None,
    threshold: float | None = None,
    **options: Unpack[Options],
) -> Items[Segment]:
    """Cut a picture into its parts; the mask of each is a picture too.

    >>> segments = await client.image_segmentation("cat.png")
    >>> segments[0].mask.save("mask.png")
    """
    return await ask(image_segmentation, locals())


async def image_to_text(
    client: Client,
    image: MediaInput,
    *,
    model: str | None = None,
    max_new_tokens: int | None = None,
    generation_parameters: Mapping[str, Any] | None = None,
    **options: Unpack[Options],
) -> Caption:
    """Say what a picture shows or, with a model for it, what is written there.

    >>> caption = await client.image_to_text("cat.png")
    >>> print(caption.text)
    """
    return await ask(image_to_text, locals())


async def visual_question_answering(
    client: Client,
    image: MediaInput,
    question: Text,
    *,
    model: str | None = None,
    top_k: int | None = None,
    **options: Unpack[Options],
) -> Items[Answer]:
    """Answer a question about a picture, the likeliest answer first.

    >>> answers = await client.visual_question_answering("cat.png", "What is the animal doing?")
    """
    return await ask(visual_question_answering, locals())


async def document_question_answering(
    client: Client,
    image: MediaInput,
    question: Text,
    *,
    model: str | None = None,
    doc_stride: int | None = None,
    handle_impossible_answer: bool | None = None,
    lang: str | None = None,
    max_answer_len: int | None = None,
    max_question_len: int | None = None,
    max_seq_len: int | None = None,
    top_k: int | None = None,
    word_boxes: Sequence[Any] | None = None,
    **options: Unpack[Options],
) -> Items[Answer]:
    """Answer a question about a scanned page.

    >>> answers = await client.document_question_answering("invoice.png", "What is the invoice number?")
    """
    return await ask(document_question_answering, locals())
