"""A call of each task: what goes in, and all the parameters that it has a name for."""

from __future__ import annotations

import base64
import inspect
import struct
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from hfclient import Client
from hfclient.call import Call
from hfclient.tasks.anything import FUNCTIONS
from hfclient.tasks.arguments import call_of

MODEL = "org/model"


def _png(width: int, height: int) -> bytes:
    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    rows = (b"\0" + bytes(3 * width)) * height
    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


PNG = _png(2, 1)
JPEG = b"\xff\xd8\xff\xe0" + bytes(16)
FLAC = b"fLaC" + bytes(16)
MP3 = b"ID3\x04" + bytes(16)
MP4 = b"\x00\x00\x00\x14ftypisom\x00\x00\x02\x00isom" + bytes(8)

IMAGE = base64.b64encode(PNG).decode()
AUDIO = base64.b64encode(FLAC).decode()

TABLE = {"Repository": ["Transformers", "Datasets"], "Stars": ["36542", "4512"]}
SIZE = {"width": 512, "height": 256}


@dataclass(frozen=True)
class Sample:
    """The inputs by name, and a value for every parameter."""

    inputs: Mapping[str, Any]
    parameters: Mapping[str, Any] = field(default_factory=dict)


_IMAGE = {"image": PNG}
_SOUND = {
    "do_sample": True,
    "early_stopping": "never",
    "epsilon_cutoff": 0.1,
    "eta_cutoff": 0.2,
    "max_length": 100,
    "max_new_tokens": 90,
    "min_length": 1,
    "min_new_tokens": 2,
    "num_beam_groups": 3,
    "num_beams": 4,
    "penalty_alpha": 0.3,
    "temperature": 0.4,
    "top_k": 5,
    "top_p": 0.6,
    "typical_p": 0.7,
    "use_cache": False,
}
_MADE = {"negative_prompt": "blurry", "num_inference_steps": 20, "guidance_scale": 3.5}
_FRAMES = {**_MADE, "num_frames": 48, "seed": 7}

SAMPLES: dict[str, Sample] = {
    "audio-classification": Sample({"audio": FLAC}, {"top_k": 2, "function_to_apply": "softmax"}),
    "audio-to-audio": Sample({"audio": FLAC}),
    "automatic-speech-recognition": Sample(
        {"audio": FLAC}, {"return_timestamps": "word", "generation_parameters": {"num_beams": 2}}
    ),
    "document-question-answering": Sample(
        {"image": PNG, "question": "Which number?"},
        {
            "doc_stride": 1,
            "handle_impossible_answer": True,
            "lang": "eng",
            "max_answer_len": 2,
            "max_question_len": 3,
            "max_seq_len": 4,
            "top_k": 5,
            "word_boxes": [[0.0, 1.0, 2.0, 3.0], "us-001"],
        },
    ),
    "feature-extraction": Sample(
        {"text": ["a", "b"]},
        {
            "normalize": True,
            "prompt_name": "query",
            "truncate": False,
            "truncation_direction": "left",
            "dimensions": 2,
            "encoding_format": "float",
        },
    ),
    "fill-mask": Sample({"text": "Paris is the <mask>."}, {"targets": ["capital"], "top_k": 2}),
    "image-classification": Sample(_IMAGE, {"function_to_apply": "sigmoid", "top_k": 3}),
    "image-segmentation": Sample(
        _IMAGE,
        {"mask_threshold": 0.1, "overlap_mask_area_threshold": 0.2, "subtask": "panoptic", "threshold": 0.3},
    ),
    "image-text-to-image": Sample({"image": PNG}, {"prompt": "on the moon", **_MADE, "seed": 7, "target_size": SIZE}),
    "image-text-to-video": Sample({"image": PNG}, {"prompt": "it walks", **_FRAMES, "target_size": SIZE}),
    "image-to-image": Sample(_IMAGE, {"prompt": "a tiger", **_MADE, "target_size": SIZE}),
    "image-to-text": Sample(_IMAGE, {"max_new_tokens": 10, "generation_parameters": {"num_beams": 2}}),
    "image-to-video": Sample(_IMAGE, {"prompt": "it walks", **_FRAMES, "target_size": SIZE}),
    "object-detection": Sample(_IMAGE, {"threshold": 0.5}),
    "question-answering": Sample(
        {"question": "Where?", "context": "She lives in London."},
        {
            "align_to_words": False,
            "doc_stride": 1,
            "handle_impossible_answer": True,
            "max_answer_len": 2,
            "max_question_len": 3,
            "max_seq_len": 4,
            "top_k": 5,
        },
    ),
    "sentence-similarity": Sample({"sentence": "It is sunny.", "other_sentences": ["The sun shines.", "It rains."]}),
    "summarization": Sample(
        {"text": "The tower is tall."},
        {
            "clean_up_tokenization_spaces": True,
            "generate_parameters": {"num_beams": 2},
            "truncation": "longest_first",
        },
    ),
    "table-question-answering": Sample(
        {"table": TABLE, "query": "How many stars?"}, {"padding": "longest", "sequential": True, "truncation": True}
    ),
    "tabular-classification": Sample({"table": TABLE}),
    "tabular-regression": Sample({"table": TABLE}),
    "text-classification": Sample({"text": "I like you."}, {"top_k": 2, "function_to_apply": "none"}),
    "text-generation": Sample(
        {"prompt": "Once upon a time"},
        {
            "adapter_id": "org/adapter",
            "best_of": 1,
            "decoder_input_details": False,
            "details": True,
            "do_sample": True,
            "frequency_penalty": 0.1,
            "grammar": {"type": "regex", "value": "a+"},
            "max_new_tokens": 20,
            "repetition_penalty": 1.1,
            "return_full_text": False,
            "seed": 7,
            "stop": ["END"],
            "temperature": 0.5,
            "top_k": 10,
            "top_n_tokens": 2,
            "top_p": 0.9,
            "truncate": 100,
            "typical_p": 0.8,
            "watermark": False,
        },
    ),
    "text-to-audio": Sample({"text": "Rain on a tin roof"}, _SOUND),
    "text-to-image": Sample({"prompt": "a horse"}, {**_MADE, **SIZE, "scheduler": "ddim", "seed": 7}),
    "text-to-speech": Sample({"text": "Hello there."}, _SOUND),
    "text-to-video": Sample({"prompt": "a cat"}, _FRAMES),
    "token-classification": Sample(
        {"text": "Sarah lives in London."},
        {"aggregation_strategy": "none", "ignore_labels": ["O"], "stride": 2},
    ),
    "translation": Sample(
        {"text": "Good morning"},
        {
            "src_lang": "en_XX",
            "tgt_lang": "fr_XX",
            "clean_up_tokenization_spaces": False,
            "truncation": "only_first",
            "generate_parameters": {"num_beams": 2},
        },
    ),
    "visual-question-answering": Sample({"image": PNG, "question": "What is it doing?"}, {"top_k": 2}),
    "zero-shot-classification": Sample(
        {"text": "Tomatoes are red.", "candidate_labels": ["food", "cars"]},
        {"multi_label": True, "hypothesis_template": "This is about {}."},
    ),
    "zero-shot-image-classification": Sample(
        {"image": PNG, "candidate_labels": ["cat", "dog"]}, {"hypothesis_template": "A picture of {}."}
    ),
}

LABELS = [{"label": "happy", "score": 0.75}, {"label": "sad", "score": 0.25}]

# What hf-inference answers to each task.
ANSWERS: dict[str, Any] = {
    "audio-classification": LABELS,
    "audio-to-audio": [{"label": "voice", "blob": AUDIO, "content-type": "audio/flac"}],
    "automatic-speech-recognition": {
        "text": "a man",
        "chunks": [{"text": "a", "timestamp": [0, 0.5]}, {"text": "man", "timestamp": [0.5, None]}],
    },
    "document-question-answering": [{"score": 0.6, "answer": "us-001", "start": 16, "end": 16}],
    "feature-extraction": [[0.5, 1.0], [0.25, -2.0]],
    "fill-mask": [{"score": 0.1, "token": 5, "token_str": " capital", "sequence": "Paris is the capital."}],
    "image-classification": LABELS,
    "image-segmentation": [{"score": 0.9, "label": "cat", "mask": IMAGE}],
    "image-to-image": PNG,
    "image-to-text": [{"generated_text": "a giraffe "}],
    "object-detection": [{"score": 0.9, "label": "cat", "box": {"xmin": 1, "ymin": 2, "xmax": 3, "ymax": 4}}],
    "question-answering": {"score": 0.9, "start": 13, "end": 19, "answer": "London"},
    "sentence-similarity": [0.9, 0.1],
    "summarization": [{"summary_text": "It is tall."}],
    "table-question-answering": {
        "answer": "SUM > 4512",
        "coordinates": [[1, 1]],
        "cells": ["4512"],
        "aggregator": "SUM",
    },
    "tabular-classification": [5, "good"],
    "tabular-regression": [270.5, 313],
    "text-classification": [LABELS],
    "text-generation": {"choices": [{"text": " there was", "finish_reason": "stop"}]},
    "text-to-audio": FLAC,
    "text-to-image": PNG,
    "text-to-speech": FLAC,
    "token-classification": [{"entity_group": "PER", "score": 0.9, "word": "Sarah", "start": 0, "end": 5}],
    "translation": [{"translation_text": "Bonjour"}],
    "visual-question-answering": [{"score": 0.9, "answer": "2"}],
    "zero-shot-classification": LABELS,
    "zero-shot-image-classification": LABELS,
}


@cache
def _client() -> Client:
    return Client("hf_fake_0123456789", model=MODEL)


def task_call(task: str, /, **arguments: Any) -> Call:
    """The call that a task's own function makes of these arguments."""
    function = FUNCTIONS[task]
    bound = inspect.signature(function).bind(_client(), **arguments)
    bound.apply_defaults()
    return call_of(function, bound.arguments)
