"""One async client for the Hugging Face router and every inference provider behind it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hfclient.version import __version__

if TYPE_CHECKING:
    from hfclient.call import Options, Timeout
    from hfclient.client import Client
    from hfclient.flow import Progress
    from hfclient.job import Job
    from hfclient.local.options import LocalOptions
    from hfclient.mapping import Mapped
    from hfclient.media import Media
    from hfclient.provider import Provider, Task
    from hfclient.retry import Retry
    from hfclient.stream import Stream
    from hfclient.tasks import (
        audio_classification,
        audio_to_audio,
        automatic_speech_recognition,
        chat_completion,
        chat_completion_stream,
        chat_parse,
        document_question_answering,
        feature_extraction,
        fill_mask,
        image_classification,
        image_segmentation,
        image_text_to_image,
        image_text_to_video,
        image_to_image,
        image_to_text,
        image_to_video,
        object_detection,
        question_answering,
        sentence_similarity,
        summarization,
        table_question_answering,
        tabular_classification,
        tabular_regression,
        text_classification,
        text_generation,
        text_generation_stream,
        text_to_audio,
        text_to_image,
        text_to_speech,
        text_to_video,
        token_classification,
        translation,
        visual_question_answering,
        zero_shot_classification,
        zero_shot_image_classification,
    )
    from hfclient.types.messages import Message, assistant, system, tool, user

_HOMES = {
    "hfclient.call": ("Options", "Timeout"),
    "hfclient.client": ("Client",),
    "hfclient.flow": ("Progress",),
    "hfclient.job": ("Job",),
    "hfclient.local.options": ("LocalOptions",),
    "hfclient.mapping": ("Mapped",),
    "hfclient.media": ("Media",),
    "hfclient.provider": ("Provider", "Task"),
    "hfclient.retry": ("Retry",),
    "hfclient.stream": ("Stream",),
    "hfclient.tasks": (
        "audio_classification",
        "audio_to_audio",
        "automatic_speech_recognition",
        "chat_completion",
        "chat_completion_stream",
        "chat_parse",
        "document_question_answering",
        "feature_extraction",
        "fill_mask",
        "image_classification",
        "image_segmentation",
        "image_text_to_image",
        "image_text_to_video",
        "image_to_image",
        "image_to_text",
        "image_to_video",
        "object_detection",
        "question_answering",
        "sentence_similarity",
        "summarization",
        "table_question_answering",
        "tabular_classification",
        "tabular_regression",
        "text_classification",
        "text_generation",
        "text_generation_stream",
        "text_to_audio",
        "text_to_image",
        "text_to_speech",
        "text_to_video",
        "token_classification",
        "translation",
        "visual_question_answering",
        "zero_shot_classification",
        "zero_shot_image_classification",
    ),
    "hfclient.types.messages": ("Message", "assistant", "system", "tool", "user"),
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}

__all__ = [
    "Client",
    "Job",
    "LocalOptions",
    "Mapped",
    "Media",
    "Message",
    "Options",
    "Progress",
    "Provider",
    "Retry",
    "Stream",
    "Task",
    "Timeout",
    "__version__",
    "assistant",
    "audio_classification",
    "audio_to_audio",
    "automatic_speech_recognition",
    "chat_completion",
    "chat_completion_stream",
    "chat_parse",
    "document_question_answering",
    "feature_extraction",
    "fill_mask",
    "image_classification",
    "image_segmentation",
    "image_text_to_image",
    "image_text_to_video",
    "image_to_image",
    "image_to_text",
    "image_to_video",
    "object_detection",
    "question_answering",
    "sentence_similarity",
    "summarization",
    "system",
    "table_question_answering",
    "tabular_classification",
    "tabular_regression",
    "text_classification",
    "text_generation",
    "text_generation_stream",
    "text_to_audio",
    "text_to_image",
    "text_to_speech",
    "text_to_video",
    "token_classification",
    "tool",
    "translation",
    "user",
    "visual_question_answering",
    "zero_shot_classification",
    "zero_shot_image_classification",
]


def __getattr__(name: str) -> Any:
    """Import a public name when it is first used: `import hfclient` alone costs next to nothing."""
    import importlib  # noqa: PLC0415

    if name in _HOME_OF:
        return getattr(importlib.import_module(_HOME_OF[name]), name)
    if name in {"errors", "types"}:
        return importlib.import_module(f"hfclient.{name}")
    msg = f"module 'hfclient' has no attribute {name!r}"
    raise AttributeError(msg)


def __dir__() -> list[str]:
    return sorted([*__all__, "errors", "types"])
