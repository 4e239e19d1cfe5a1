"""What a model is able to do, read off its config.json; its name is never asked."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any, Literal, TypeAlias, cast

from hfclient.errors import ModelFilesError

Capability: TypeAlias = Literal[
    "text",
    "vision-language",
    "audio-language",
    "text-to-text",
    "embeddings",
    "classification",
    "speech",
    "image",
    "unknown",
]

_SPOKEN: Mapping[Capability, str] = {
    "text": "a causal language model",
    "vision-language": "a model of images and text",
    "audio-language": "a model of sound and text",
    "text-to-text": "an encoder and decoder for text, as translation and summaries use them",
    "embeddings": "an encoder, which turns text into vectors",
    "classification": "a classifier of text",
    "speech": "a model of speech",
    "image": "a model of images",
    "unknown": "of a kind that is not known here",
}

_ENDINGS: tuple[tuple[str, Capability], ...] = (
    ("ForCausalLM", "text"),
    ("LMHeadModel", "text"),
    ("ForSequenceClassification", "classification"),
    ("ForTokenClassification", "classification"),
    ("ForMultipleChoice", "classification"),
    ("ForQuestionAnswering", "classification"),
    ("ForCTC", "speech"),
    ("ForAudioClassification", "speech"),
    ("ForSpeechSeq2Seq", "speech"),
    ("ForTextToSpeech", "speech"),
    ("ForSpeechToText", "speech"),
    ("ForMaskedLM", "embeddings"),
    ("ForPreTraining", "embeddings"),
    ("ForConditionalGeneration", "text-to-text"),
)
_WRITES = ("ForCausalLM", "LMHeadModel", "ForConditionalGeneration", "ForImageTextToText", "ForMultimodalLM")


def capability(config: Mapping[str, Any]) -> Capability:
    """What the model that has this config.json is for."""
    kind = _architecture(config)
    if config.get("thinker_config"):  # a model of everything, whose parts have configurations of their own
        return "vision-language"
    writes = kind.endswith(_WRITES) or not kind
    if config.get("vision_config"):
        return "vision-language" if writes else "image"
    if config.get("audio_config"):
        return "audio-language" if writes else "speech"
    able: Capability | None = next((able for ending, able in _ENDINGS if kind.endswith(ending)), None)
    if config.get("is_encoder_decoder") or able == "text-to-text":
        return _encoder_decoder(config)
    return able or _by_its_input(kind, config)


def check_capability(name: str, config: Mapping[str, Any], wanted: Collection[Capability]) -> None:
    """Refuse a model that cannot do what it is asked for."""
    able = capability(config)
    if able in wanted:
        return
    kind = _architecture(config) or config.get("model_type") or "no architecture"
    needed = " or ".join(_SPOKEN[each] for each in wanted)
    raise ModelFilesError(
        f"{name} is {_SPOKEN[able]}, as its config.json says ({kind}); this call needs {needed}.",
        advice="Name one, such as Qwen/Qwen3-0.6B, or call the task that this model is for.",
        model=name,
    )


def _architecture(config: Mapping[str, Any]) -> str:
    named = config.get("architectures")
    return str(cast("list[object]", named)[0]) if isinstance(named, list) and named else ""


def _by_its_input(kind: str, config: Mapping[str, Any]) -> Capability:
    if _hears(config):
        return "speech"
    if "image_size" in config or "num_channels" in config or "Image" in kind:
        return "image"
    if kind.endswith("Model"):
        return "embeddings"
    return "text" if not kind and "vocab_size" in config and "model_type" in config else "unknown"


def _hears(config: Mapping[str, Any]) -> bool:
    return "num_mel_bins" in config or "conv_dim" in config


def _encoder_decoder(config: Mapping[str, Any]) -> Capability:
    if _hears(config):
        return "speech"
    encoder = config.get("encoder")
    pictures = isinstance(encoder, Mapping) and "image_size" in encoder
    return "image" if pictures else "text-to-text"
