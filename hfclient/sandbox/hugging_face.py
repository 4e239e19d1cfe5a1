"""hf-inference, and endpoints of one's own: `inputs` and `parameters`, or media as the body."""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

from hfclient.sandbox import media, results
from hfclient.sandbox.wire import JSON, Answer, Arrival, answered, events, file, refused, within
from hfclient.sniff import media_type_of

Inputs: TypeAlias = Any
Work: TypeAlias = Callable[[Inputs, Mapping[str, Any]], "JSON | Answer"]


def pipeline(arrival: Arrival, task: str | None) -> Answer:
    """The answer of a model that does this task; where nobody knows the task, what came says what is wanted."""
    inputs, parameters = _said(arrival)
    if inputs in (None, "", b""):
        return refused(400, "Input validation error: `inputs` cannot be empty")
    task = task or _guessed(inputs, parameters)
    work = _WORK.get(task)
    if work is None:
        return refused(404, f"Model not supported by provider hf-inference: nobody here does {task}.")
    if task == "text-generation" and arrival.json().get("stream"):
        return events(_tokens(str(inputs)), done=False)
    made = work(inputs, parameters)
    return made if isinstance(made, Answer) else answered(made)


def _said(arrival: Arrival) -> tuple[Inputs, Mapping[str, Any]]:
    if not arrival.headers.get("content-type", "").startswith("application/json"):
        return arrival.body, {}
    body: dict[str, Any] = arrival.json()
    # Models that make embeddings are told what they are told beside the inputs.
    beside = {name: value for name, value in body.items() if name not in {"inputs", "parameters"}}
    return body.get("inputs"), {**beside, **within(body, "parameters")}


def _guessed(inputs: Inputs, parameters: Mapping[str, Any]) -> str:
    if isinstance(inputs, bytes):
        return "automatic-speech-recognition" if _kind(inputs) == "audio" else "image-classification"
    if "candidate_labels" in parameters:
        return "zero-shot-classification"
    if isinstance(inputs, Mapping):
        keys = {
            "context": "question-answering",
            "table": "table-question-answering",
            "source_sentence": "sentence-similarity",
            "image": "visual-question-answering",
            "data": "tabular-classification",
        }
        return next((task for key, task in keys.items() if key in inputs), "text-classification")
    return "fill-mask" if "[MASK]" in str(inputs) or "<mask>" in str(inputs) else "text-classification"


def _kind(content: bytes) -> str:
    return media_type_of(content).partition("/")[0]


def _tokens(prompt: str) -> list[JSON]:
    words = results.continuation(prompt).split(" ")
    said = results.continuation(prompt)
    frames: list[JSON] = [
        {
            "index": place,
            "token": {"id": place, "text": f" {word}", "logprob": -0.1, "special": False},
            "generated_text": None,
            "details": None,
        }
        for place, word in enumerate(filter(None, words), start=1)
    ]
    frames[-1] |= {"generated_text": said, "details": {"finish_reason": "stop", "generated_tokens": len(frames)}}
    return frames


def _text(inputs: Inputs) -> str:
    return inputs if isinstance(inputs, str) else ""


def _vectors(inputs: Inputs, parameters: Mapping[str, Any]) -> JSON:
    size = int(parameters.get("dimensions") or results.DIMENSIONS)
    texts = [inputs] if isinstance(inputs, str) else list(inputs)
    rows = [results.vector(text, size) for text in texts]
    return rows[0] if isinstance(inputs, str) else rows


def _picture(inputs: Inputs, parameters: Mapping[str, Any]) -> Answer:
    prompt = str(parameters.get("prompt") or inputs)[:2000]
    return file(results.picture(prompt, parameters), "image/png")


def _top(scored: list[dict[str, Any]], parameters: Mapping[str, Any]) -> list[dict[str, Any]]:
    return scored[: int(parameters.get("top_k") or len(scored))]


def _sound(inputs: Inputs, _: Mapping[str, Any]) -> Answer:
    return file(media.wav(_text(inputs)), "audio/wav")


def _continued(prompt: Inputs, told: Mapping[str, Any]) -> JSON:
    said = results.continuation(_text(prompt))
    if not told.get("details"):
        return [{"generated_text": said}]
    tokens: JSON = [frame["token"] for frame in _tokens(_text(prompt))]
    details = {"finish_reason": "stop", "generated_tokens": len(tokens), "seed": None, "tokens": tokens}
    return [{"generated_text": said, "details": {**details, "prefill": []}}]


_IMAGE_LABELS = [{"label": "tabby cat", "score": 0.91}, {"label": "tiger cat", "score": 0.07}]
_SOUND_LABELS = [{"label": "Speech", "score": 0.96}, {"label": "Music", "score": 0.03}]

_WORK: Mapping[str, Work] = {
    "audio-classification": lambda _, told: _top(_SOUND_LABELS, told),
    "audio-to-audio": lambda _, __: [
        {"label": "voice", "blob": base64.b64encode(media.wav("voice")).decode(), "content-type": "audio/wav"}
    ],
    "automatic-speech-recognition": lambda _, told: results.transcript(timed=bool(told.get("return_timestamps"))),
    "document-question-answering": lambda _, told: [{"answer": "INV-0042", "score": 0.98, "start": 3, "end": 3}],
    "feature-extraction": _vectors,
    "fill-mask": lambda text, told: _top(results.filled(_text(text)), told),
    "image-classification": lambda _, told: _top(_IMAGE_LABELS, told),
    "image-segmentation": lambda _, __: results.segments(),
    "image-text-to-image": _picture,
    "image-text-to-video": lambda said, _: file(media.mp4(str(said)[:99]), "video/mp4"),
    "image-to-image": _picture,
    "image-to-text": lambda _, __: [{"generated_text": results.CAPTION}],
    "image-to-video": lambda said, _: file(media.mp4(str(said)[:99]), "video/mp4"),
    "object-detection": lambda _, __: results.boxes(),
    "question-answering": lambda asked, _: results.answer(asked["question"], asked["context"]),
    "sentence-similarity": lambda said, _: [
        results.similarity(said["source_sentence"], other) for other in said["sentences"]
    ],
    "summarization": lambda text, _: [{"summary_text": results.summary(_text(text))}],
    "table-question-answering": lambda asked, _: results.table_answer(asked["query"], asked["table"]),
    "tabular-classification": lambda said, _: [place % 2 for place in _rows(said)],
    "tabular-regression": lambda said, _: [round(12.5 + place * 1.25, 2) for place in _rows(said)],
    "text-classification": lambda text, told: [_top(results.feeling(_text(text)), told)],
    "text-generation": _continued,
    "text-to-audio": _sound,
    "text-to-image": _picture,
    "text-to-speech": _sound,
    "text-to-video": lambda said, _: file(media.mp4(str(said)), "video/mp4"),
    "token-classification": lambda text, _: results.entities(_text(text)),
    "translation": lambda text, _: [{"translation_text": f"« {_text(text)} »"}],
    "visual-question-answering": lambda _, told: _top([{"answer": "a cat", "score": 0.94}], told),
    "zero-shot-classification": lambda text, told: results.labels(told["candidate_labels"], _text(text)),
    "zero-shot-image-classification": lambda _, told: results.labels(told["candidate_labels"], "a cat"),
}


def _rows(said: Mapping[str, Any]) -> range:
    columns = list(within(said, "data").values())
    return range(len(columns[0]) if columns else 0)
