"""The sandbox against what was recorded: the same request gets an answer of the same shape.

The recordings lie beside the project and are no part of it; without them, these tests are skipped.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest

from hfclient.sandbox import Sandbox
from hfclient.sandbox.wire import Answer, Arrival
from hfclient.sniff import media_type_of
from tests.opened import opened
from tests.test_sandbox import ASKS, function_of

TAPES = Path(__file__).resolve().parents[2] / "shared" / "tapes"


# What the recorded answers have and ours lack: one engine's or one provider's figures, which no client reads.
OPTIONAL = {
    *("time_info", "service_tier", "prompt_logprobs", "prompt", "seed", "token_id", "stop_reason", "text", "stream"),
    *("content_filter_results", "refusal", "audio", "function_call", "tool_calls", "usage", "timings", "debug_latents"),
    *("completion_tokens_details", "prompt_tokens_details", "debug_per_pass_latents", "num_images", "file_name"),
    *(
        "details",
        "input_length",
        "file_size",
        "best_of_sequences",
        "inputs",
        "speaker",
        "inferred_languages",
        "diarization_segments",
        "chunks",
    ),
    *("completion_tokens_after_first_per_sec", "completion_tokens_after_first_per_sec_first_ten", "total_latency"),
    *("completion_tokens_per_sec", "end_time", "is_last_response", "start_time", "time_to_first_token"),
    "total_tokens_per_sec",
    *("role", "content"),  # of the last piece of a stream, which says nothing any more
    *("description", "parameters"),  # of a tool call, which Text Generation Inference sent for a time
}
# What ours have and some recorded answers lack, for others have it, or have it today.
MORE = {
    *("created", "index", "timings", "logprobs", "system_fingerprint", "content", "finish_reason", "prompt", "usage"),
    *("arguments", "start", "end", "chunks", "seed", "score"),
}
# Of tool calls, as Text Generation Inference had them for a time.
CHANGED = {".choices[].message.tool_calls[].id", ".choices[].message.tool_calls[].function.arguments"}
# Successes that are errors; forms of requests and of answers that are no more.
OUTDATED = {
    "cohere": "/v2/chat",
    "replicate": "/v1/black-forest-labs/",
}


def recorded() -> list[Any]:
    """Every success whose answer is there, but those in protocols that nobody speaks to us any more."""
    found = [
        pytest.param(exchange, id=f"{path.stem.replace('__', '-')}-{exchange['id'][:8]}")
        for path in sorted(TAPES.glob("*.json"))
        for exchange in json.loads(path.read_text("utf-8"))
        if exchange["response"]["status"] in {200, 201} and exchange["response"].get("body_recorded", True)
        if path.stem not in {"hub__model-info", "hf-inference__conversational-legacy", "artifact__download"}
    ]
    return found or [pytest.param({}, id="none", marks=pytest.mark.skip(reason="the recorded exchanges are not here"))]


def body_of(exchange: dict[str, Any]) -> bytes:
    response = exchange["response"]
    text = response.get("body_text")
    return base64.b64decode(response["body_base64"]) if text is None else str(text).encode()


def read(content: bytes, *, stream: bool) -> Any:
    """JSON, the events of a stream one after the other, or the kind of file it is."""
    if stream:
        lines = [line[5:].strip() for line in content.decode().splitlines() if line.startswith("data:")]
        return [json.loads(line) for line in lines if line.startswith("{") and line.endswith("}")]
    try:
        return json.loads(content)
    except ValueError:
        return media_type_of(content).partition("/")[0]


def is_current(exchange: dict[str, Any], found: Any) -> bool:
    first = found[0] if isinstance(found, list) and found else found
    outdated = OUTDATED.get(exchange["provider"])
    no_inputs = exchange["request"].get("body_json", {}).get("inputs", "") is None
    chat_at_the_root = exchange["task"] == "conversational" and "chat" not in exchange["request"]["url"]
    if no_inputs or chat_at_the_root or (outdated and outdated in exchange["request"]["url"]):
        return False
    if found == "application" or (exchange["task"] == "automatic-speech-recognition" and isinstance(found, list)):
        return False  # compressed in a way we do not ask for; the work of a model for another task
    return not (isinstance(first, dict) and ("error" in first or ("sequence" in first and "labels" in first)))


async def answered(exchange: dict[str, Any]) -> Answer:
    """The sandbox's answer to the recorded request or, where its body was not recorded, to what our client sends."""
    request, task = exchange["request"], exchange["task"]
    if request["method"] == "GET" or "body_json" in request or task in {"feature-extraction", "text-generation"}:
        return replayed(exchange)
    sandbox = Listening(models={"me/mine": task})
    client = opened(sandbox=sandbox, model="me/mine", provider=exchange["provider"])
    if exchange["response"].get("sse"):
        await client.chat.stream("Hi").final()
    else:
        await function_of(client, task)(*ASKS[task].inputs)
    return sandbox.heard[-1]


class Listening(Sandbox):
    """Keeps its answers to calls for inference."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.heard: list[Answer] = []

    def answer(self, arrival: Arrival) -> Answer:
        answer = super().answer(arrival)
        if arrival.method == "POST":
            self.heard.append(answer)
        return answer


def replayed(exchange: dict[str, Any]) -> Answer:
    """The recorded request, sent where that provider is today."""
    request = exchange["request"]
    url = urlsplit(request["url"])
    host, segments = url.netloc, [part for part in url.path.split("/") if part]
    if exchange["provider"] == "hf-inference":
        host, segments = "router.huggingface.co", ["hf-inference", "models", *_model_in(segments)]
    sandbox = Sandbox(models={"/".join(segments[2:4]): exchange["task"]} if "hf-inference" in segments else None)
    waits = {name.lower(): value for name, value in request["headers"].items() if name.lower() == "prefer"}
    headers = {"authorization": "Bearer hf_sandbox", "content-type": "application/json", **waits}
    plain = {"inputs": "Hi", "stream": bool(exchange["response"].get("sse"))}
    body = json.dumps(request.get("body_json", plain)).encode()
    return sandbox.answer(
        Arrival(request["method"], host, f"/{'/'.join(segments)}", dict(parse_qsl(url.query)), headers, body)
    )


def _model_in(segments: list[str]) -> list[str]:
    """`owner/name` and what follows, out of every form the addresses of hf-inference have had."""
    rest = [part for part in segments if part not in {"api", "inference-proxy", "hf-inference"}]
    named = rest[2:] if rest[0] == "pipeline" else rest[1:]
    return named if len(named) > 1 else ["someone", *named]


def differences(theirs: Any, ours: Any, path: str = "") -> Iterator[str]:
    """Where ours is not of the shape of theirs; null is of any shape, and of a list the first items are compared."""
    if theirs is None or ours is None:
        return
    if isinstance(theirs, dict) and isinstance(ours, dict):
        yield from (f"{path}.{name} is missing" for name in theirs.keys() - ours.keys() - OPTIONAL)
        yield from (f"{path}.{name} is new" for name in ours.keys() - theirs.keys() - MORE)
        for name in theirs.keys() & ours.keys():
            yield from differences(theirs[name], ours[name], f"{path}.{name}")
    elif isinstance(theirs, list) and isinstance(ours, list):
        yield from (
            each
            for one, other in list(zip(theirs, ours, strict=False))[:1]
            for each in differences(one, other, f"{path}[]")
        )
    elif _kind(theirs) != _kind(ours) and path not in CHANGED:
        yield f"{path}: {_kind(ours)} where {_kind(theirs)} was"


def _kind(value: Any) -> str:
    return "number" if type(value) in {int, float} else type(value).__name__


@pytest.mark.anyio
@pytest.mark.usefixtures("closing")
@pytest.mark.parametrize("exchange", recorded())
async def test_a_recorded_request_gets_an_answer_of_the_recorded_shape(exchange: dict[str, Any]) -> None:
    """The same names, the same types, all the way in; of a stream, its first and its last event."""
    streamed = bool(exchange["response"].get("sse"))
    theirs = read(body_of(exchange), stream=streamed)
    if not is_current(exchange, theirs):
        pytest.skip("an error with a success status, or a form that is no more")
    answer = await answered(exchange)
    ours = read(answer.body, stream=streamed)
    pairs = [(theirs[0], ours[0]), (theirs[-1], ours[-1])] if streamed else [(theirs, ours)]
    assert [each for one, other in pairs for each in differences(one, other)] == []


def test_a_difference_is_noticed() -> None:
    """The comparison can fail: by a name, by a type, at any depth."""
    assert list(differences({"a": [{"b": 1}]}, {"a": [{"b": "1"}]})) == [".a[].b: str where number was"]
    assert sorted(differences({"a": 1}, {"b": 1})) == [".a is missing", ".b is new"]
    assert list(differences([1, "x"], [2.5])) == []
