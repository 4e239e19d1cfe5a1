"""The tasks: one function each, whose first parameter is the client."""

from hfclient.tasks.audio import (
    audio_classification,
    audio_to_audio,
    automatic_speech_recognition,
    text_to_audio,
    text_to_speech,
)
from hfclient.tasks.chat import chat_completion, chat_completion_stream, chat_parse
from hfclient.tasks.embeddings import feature_extraction, sentence_similarity
from hfclient.tasks.generation import text_generation, text_generation_stream
from hfclient.tasks.images import image_text_to_image, image_to_image, text_to_image
from hfclient.tasks.language import (
    fill_mask,
    question_answering,
    summarization,
    table_question_answering,
    text_classification,
    token_classification,
    translation,
    zero_shot_classification,
)
from hfclient.tasks.tabular import tabular_classification, tabular_regression
from hfclient.tasks.videos import image_text_to_video, image_to_video, text_to_video
from hfclient.tasks.vision import (
    document_question_answering,
    image_classification,
    image_segmentation,
    image_to_text,
    object_detection,
    visual_question_answering,
    zero_shot_image_classification,
)

# Those that give a whole result, and whose names are tasks: what can be submitted.
TASK_FUNCTIONS = (
    audio_classification,
    audio_to_audio,
    automatic_speech_recognition,
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

__all__ = [
    "TASK_FUNCTIONS",
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
]
