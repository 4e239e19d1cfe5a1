"""The models that the sandbox knows, and who serves them; it takes any other name too, and guesses its task."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from hfclient.provider import Provider
from hfclient.providers.table import PROVIDERS

CHAT = "conversational"
TASKS = {task for provider in PROVIDERS for task in provider.tasks}

KNOWN: Mapping[str, str] = {
    "Qwen/Qwen3-32B": CHAT,
    "Qwen/Qwen2.5-VL-7B-Instruct": CHAT,
    "meta-llama/Llama-3.3-70B-Instruct": CHAT,
    "deepseek-ai/DeepSeek-R1": CHAT,
    "openai/gpt-oss-120b": CHAT,
    "HuggingFaceTB/SmolLM2-135M": "text-generation",
    "BAAI/bge-small-en-v1.5": "feature-extraction",
    "sentence-transformers/all-MiniLM-L6-v2": "sentence-similarity",
    "distilbert/distilbert-base-uncased-finetuned-sst-2-english": "text-classification",
    "dslim/bert-base-NER": "token-classification",
    "facebook/bart-large-mnli": "zero-shot-classification",
    "google-bert/bert-base-uncased": "fill-mask",
    "deepset/roberta-base-squad2": "question-answering",
    "google/tapas-base-finetuned-wtq": "table-question-answering",
    "impira/layoutlm-document-qa": "document-question-answering",
    "dandelin/vilt-b32-finetuned-vqa": "visual-question-answering",
    "facebook/bart-large-cnn": "summarization",
    "Helsinki-NLP/opus-mt-en-fr": "translation",
    "black-forest-labs/FLUX.1-dev": "text-to-image",
    "black-forest-labs/FLUX.1-Kontext-dev": "image-to-image",
    "black-forest-labs/FLUX.2-dev": "image-text-to-image",
    "Salesforce/blip-image-captioning-base": "image-to-text",
    "google/vit-base-patch16-224": "image-classification",
    "nvidia/segformer-b0-finetuned-ade-512-512": "image-segmentation",
    "facebook/detr-resnet-50": "object-detection",
    "openai/clip-vit-base-patch32": "zero-shot-image-classification",
    "Wan-AI/Wan2.2-T2V-A14B": "text-to-video",
    "Wan-AI/Wan2.2-I2V-A14B": "image-to-video",
    "Lightricks/LTX-Video": "image-text-to-video",
    "openai/whisper-large-v3": "automatic-speech-recognition",
    "MIT/ast-finetuned-audioset-10-10-0.4593": "audio-classification",
    "speechbrain/sepformer-wham": "audio-to-audio",
    "hexgrad/Kokoro-82M": "text-to-speech",
    "stabilityai/stable-audio-open-1.0": "text-to-audio",
    "scikit-learn/tabular-playground": "tabular-classification",
    "scikit-learn/Fish-Weight": "tabular-regression",
}

# Stands in a provider's id for a model between its name and the task, where the name alone does not tell.
FOR = "--"

# What a name gives away about a model nobody has told the sandbox of.
_HINTS = (
    ("automatic-speech-recognition", "whisper|wav2vec|parakeet|asr"),
    ("text-to-speech", "tts|kokoro|speech|bark"),
    ("text-to-audio", "music|audio"),
    ("image-to-video", "i2v"),
    ("text-to-video", "video|t2v|wan|ltx|mochi|hunyuan"),
    ("image-to-image", "kontext|edit|img2img"),
    ("text-to-image", "flux|diffusion|sdxl|sd3|image"),
    ("feature-extraction", "embed|bge|gte|e5|minilm"),
    ("translation", "opus|nllb|mbart|translat"),
    ("summarization", "cnn|pegasus|summar"),
    ("text-classification", "sst|sentiment|classif"),
)


def task_of(model: str, told: Mapping[str, str]) -> str | None:
    """What a model is for: as the sandbox was told, as it knows, as its id says, or as the name sounds."""
    name = model.rpartition(":")[0] or model
    known = {**KNOWN, **told}
    if name in known:
        return known[name]
    task = name.rpartition(FOR)[2]
    return task if task in TASKS else next((task for task, hint in _HINTS if re.search(hint, name.lower())), None)


def serving(task: str) -> Iterator[Provider]:
    return (provider for provider in PROVIDERS if provider.mapped and task in provider.tasks)


def mapping_of(model: str, told: Mapping[str, str]) -> Any:
    """The model's `inferenceProviderMapping`: an object by provider where its task is known, else a row for each
    provider and task, so that a name of one's own serves for everything: the id of the row says for what this time."""
    task = told.get(model) or KNOWN.get(model)
    if task:
        return {each.name: {"status": "live", "providerId": model, "task": task} for each in serving(task)}
    return [
        {"provider": each.name, "status": "live", "providerId": _id_for(name, model), "task": name}
        for each in PROVIDERS
        if each.mapped
        for name in each.tasks
    ]


def _id_for(task: str, model: str) -> str:
    return model if task == CHAT else f"{model}{FOR}{task}"


def model_info(model: str, told: Mapping[str, str]) -> dict[str, Any]:
    """What the Hub says of one model."""
    task = task_of(model, told) or "text-generation"
    pipeline = "text-generation" if task == CHAT else task
    return {
        "id": model,
        "pipeline_tag": pipeline,
        "tags": [pipeline, *([CHAT] if task == CHAT else [])],
        "inference": "warm",
        "inferenceProviderMapping": mapping_of(model, told),
    }


def router_entry(model: str) -> dict[str, Any]:
    """What the router's list of chat models says of one, with figures that stay the same."""
    providers = [
        {
            "provider": provider.name,
            "status": "live",
            "context_length": 32768 + 1024 * place,
            "pricing": {"input": round(0.10 + 0.05 * place, 2), "output": round(0.30 + 0.05 * place, 2)},
            "supports_tools": True,
            "supports_structured_output": place % 2 == 0,
            "first_token_latency_ms": 120 + 10 * place,
            "throughput": 90 + 7 * (place * 5 % 11),
            "is_model_author": False,
        }
        for place, provider in enumerate(serving(CHAT))
    ]
    owner = model.partition("/")[0]
    modalities = {"input_modalities": ["text"], "output_modalities": ["text"]}
    return {
        "id": model,
        "object": "model",
        "created": 1700000000,
        "owned_by": owner,
        "architecture": modalities,
        "providers": providers,
    }


def tasks() -> dict[str, Any]:
    """What the Hub's page of tasks says."""
    found: dict[str, list[str]] = {}
    for name, task in KNOWN.items():
        found.setdefault(task, []).append(name)
    return {
        task: {"widgetModels": names[:1], "models": [{"id": name} for name in names]} for task, names in found.items()
    }
