"""Everything that is spoken in OpenAI's terms: chat, completions, embeddings, pictures, speech."""

from __future__ import annotations

import base64
import struct
from collections.abc import Callable
from typing import Any

from hfclient.sandbox import media, results
from hfclient.sandbox.chat import tokens_in
from hfclient.sandbox.wire import JSON, Answer, Arrival, answered, events, file, refused


def completion(arrival: Arrival) -> Answer:
    asked = arrival.json()
    said = results.continuation(str(asked.get("prompt", "")))
    head = {"id": "cmpl-sandbox", "object": "text_completion", "created": 1700000000, "model": asked.get("model")}
    used = tokens_in(str(asked.get("prompt", "")))
    usage = {"prompt_tokens": used, "completion_tokens": tokens_in(said), "total_tokens": used + tokens_in(said)}
    if not asked.get("stream"):
        choice = {"index": 0, "text": said, "finish_reason": "stop", "logprobs": None}
        return answered({**head, "choices": [choice], "usage": usage})
    pieces = [f" {word}" for word in said.split()]
    frames: list[JSON] = [{**head, "choices": [{"index": 0, "text": piece, "finish_reason": None}]} for piece in pieces]
    frames += [{**head, "choices": [{"index": 0, "text": "", "finish_reason": "stop"}]}]
    return events([*frames, {**head, "choices": [], "usage": usage}])


def embeddings(arrival: Arrival) -> Answer:
    asked = arrival.json()
    given = asked.get("input")
    texts = [given] if isinstance(given, str) else list(given or ())
    if not texts:
        return refused(400, "`input` cannot be empty")
    size = int(asked.get("dimensions") or results.DIMENSIONS)
    packed = asked.get("encoding_format") == "base64"
    data = [
        {"object": "embedding", "index": index, "embedding": _packed(row) if packed else row}
        for index, row in enumerate(results.vector(text, size) for text in texts)
    ]
    used = sum(map(tokens_in, texts))
    usage = {"prompt_tokens": used, "total_tokens": used}
    return answered({"object": "list", "model": asked.get("model"), "data": data, "usage": usage})


def _packed(row: list[float]) -> str:
    return base64.b64encode(struct.pack(f"<{len(row)}f", *row)).decode()


def image(arrival: Arrival, keep: Callable[[bytes, str], str]) -> Answer:
    """A picture, as text in the answer or, where that is not asked for, at an address; Hyperbolic has its own words."""
    asked: dict[str, Any] = arrival.json()
    made = results.picture(str(asked.get("prompt")), asked)
    packed = base64.b64encode(made).decode()
    if arrival.provider == "hyperbolic":
        return answered({"images": [{"index": 0, "image": packed, "random_seed": 7}], "inference_time": 0.5})
    written = asked.get("response_format") in {"b64_json", "base64"}
    data = {"index": 0, **({"b64_json": packed} if written else {"url": keep(made, "image/png")})}
    head = {"id": "img-sandbox", "object": "list", "created": 1700000000, "model": asked.get("model")}
    return answered({**head, "data": [data]})


def transcription(arrival: Arrival) -> Answer:
    form = arrival.form()
    if not form.get("file"):
        return refused(400, "Content-Type must be multipart/form-data, with a file")
    segments = [{"id": 0, "start": 0.0, "end": 2.5, "text": results.SPEECH}]
    return answered({"text": results.SPEECH, "segments": segments, "language": "english", "duration": 2.5})


def speech(arrival: Arrival) -> Answer:
    return file(media.wav(str(arrival.json().get("input"))), "audio/wav")
