"""The model that a command asks unless it is told another: one for each task, and named in its help."""

from __future__ import annotations

from collections.abc import Mapping

CHAT = "conversational"
CHAT_WITH_PICTURES = "image-text-to-text"
ROOM = 47  # beside the name of a task, on a line of 80

DEFAULT_MODELS: Mapping[str, str] = {
    CHAT: "Qwen/Qwen3-32B",
    CHAT_WITH_PICTURES: "Qwen/Qwen2.5-VL-7B-Instruct",
    "audio-classification": "MIT/ast-finetuned-audioset-10-10-0.4593",
    "audio-to-audio": "speechbrain/sepformer-wham",
    "automatic-speech-recognition": "openai/whisper-large-v3",
    "document-question-answering": "impira/layoutlm-document-qa",
    "feature-extraction": "BAAI/bge-small-en-v1.5",
    "fill-mask": "google-bert/bert-base-uncased",
    "image-classification": "google/vit-base-patch16-224",
    "image-segmentation": "nvidia/segformer-b0-finetuned-ade-512-512",
    "image-text-to-image": "black-forest-labs/FLUX.2-dev",
    "image-text-to-video": "Lightricks/LTX-Video",
    "image-to-image": "black-forest-labs/FLUX.1-Kontext-dev",
    "image-to-text": "Salesforce/blip-image-captioning-base",
    "image-to-video": "Wan-AI/Wan2.2-I2V-A14B",
    "object-detection": "facebook/detr-resnet-50",
    "question-answering": "deepset/roberta-base-squad2",
    "sentence-similarity": "sentence-transformers/all-MiniLM-L6-v2",
    "summarization": "facebook/bart-large-cnn",
    "table-question-answering": "google/tapas-base-finetuned-wtq",
    "tabular-classification": "scikit-learn/tabular-playground",
    "tabular-regression": "scikit-learn/Fish-Weight",
    "text-classification": "distilbert/distilbert-base-uncased-finetuned-sst-2-english",
    "text-generation": "HuggingFaceTB/SmolLM2-135M",
    "text-to-audio": "stabilityai/stable-audio-open-1.0",
    "text-to-image": "black-forest-labs/FLUX.1-dev",
    "text-to-speech": "hexgrad/Kokoro-82M",
    "text-to-video": "Wan-AI/Wan2.2-T2V-A14B",
    "token-classification": "dslim/bert-base-NER",
    "translation": "Helsinki-NLP/opus-mt-en-fr",
    "visual-question-answering": "dandelin/vilt-b32-finetuned-vqa",
    "zero-shot-classification": "facebook/bart-large-mnli",
    "zero-shot-image-classification": "openai/clip-vit-base-patch32",
}


def listed() -> str:
    """Tasks and their models, a line each where it is not too long, as help shows them."""
    rows = [(task, model) for task, model in DEFAULT_MODELS.items() if task not in {CHAT, CHAT_WITH_PICTURES}]
    return "\n".join(f"  {task:31}{model}" if len(model) < ROOM else f"  {task}\n      {model}" for task, model in rows)
